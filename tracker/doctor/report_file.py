"""`tracker doctor --report`: one text file that a person can read whole and send.

Owns what is in it: the findings, versions, zones, settings, the running tracker's status and the newest
messages of the gateway. Names of accounts and people are replaced as in a recording, secrets are left out,
and the whole is searched again before the file is there.
"""

from __future__ import annotations

import io
import json
import platform
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tracker.clock import HostZone
from tracker.config.loader import SECRETS
from tracker.config.settings import SECTIONS, Settings, SettingsError, key_of
from tracker.core.state import LINKS
from tracker.doctor.check_machine import CONFLICTING, LIBRARY
from tracker.doctor.read_stores import MAX_COPIED_BYTES, read_lock, readable_journal
from tracker.journal.journal import Journal, JournalFailed
from tracker.journal.journal_file import size_of
from tracker.recordings.journal_transcript import newest_lines
from tracker.recordings.redaction import Redactor
from tracker.recordings.transcript import Line, TranscriptHead, TranscriptWriter
from tracker.status.client import NotReachable, ask
from tracker.status.protocol import is_loopback
from tracker.status.token import read_token
from tracker.stores.filesystem import RealDisk

TITLE: Final = "Report of tracker doctor"
SPAN: Final = timedelta(minutes=15)
_PATIENCE_SECONDS: Final = 5.0
_HEADING: Final = """
Account numbers, references and other names are replaced; secrets and the path of your home folder are left
out. What stays are contracts, prices, quantities and times. Read it whole before you send it.
"""


class ReportNotWritten(Exception):
    """The report cannot be written; the text says why."""


def write_report(path: Path, findings: str, settings: Settings | SettingsError, now: datetime) -> None:
    """Write the report into a new file, for its user only.

    `settings` may be what is wrong with them. Raises ReportNotWritten, NameLeft, and then no file is left.
    """
    text = _Report(settings).compose(findings, now)
    disk = RealDisk()
    try:
        file = disk.open_new(path)
    except FileExistsError:
        raise ReportNotWritten(f"{path} is there already; name another file") from None
    except OSError as error:
        raise ReportNotWritten(f"{path} cannot be made: {error.strerror or error}") from None
    try:
        disk.write(file, text.encode())
        disk.sync(file)
    except OSError as error:
        disk.remove(path)
        raise ReportNotWritten(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        disk.close(file)


class _Report:
    """Gather the parts of the report, then write it without names."""

    def __init__(self, given: Settings | SettingsError) -> None:
        self._mistakes = given.lines if isinstance(given, SettingsError) else ()
        self._settings = settings = None if isinstance(given, SettingsError) else given
        self._accounts: list[str] = []
        self._hidden: list[str] = []
        self._lines: list[Line] = []
        self._began = datetime.fromtimestamp(0).astimezone()
        self._journal_trouble = ""
        if settings is not None:
            self._read_journal(settings)
            self._accounts += settings.gateway.accounts
            token = read_token(settings.status.token_file)
            hosts = [host for host in (settings.gateway.host, settings.status.host) if not is_loopback(host)]
            maybe = (*settings.notify.urls, settings.notify.heartbeat_url, settings.flex.token, token)
            maybe += (settings.shared.url, *_parts_of(settings.shared.url))
            self._hidden += [*(secret for secret in maybe if secret), *hosts]

    def _read_journal(self, settings: Settings) -> None:
        path = settings.stores.journal
        if not path.exists():
            self._journal_trouble = "there is no journal yet"
            return
        in_use = bool(read_lock(path).holder)
        try:
            if not in_use and size_of(path) > MAX_COPIED_BYTES:
                self._journal_trouble = "the journal is too large to copy; run this while the tracker runs"
                return
            with readable_journal(path, in_use=in_use) as place:
                journal = Journal(place, read_only=True)
                try:
                    self._began, self._lines = newest_lines(journal, SPAN, settings.gateway.client_id)
                    link = journal.state.get(LINKS, "last")
                    self._accounts += link.accounts if link is not None else ()
                finally:
                    journal.close()
        except (JournalFailed, OSError) as error:
            self._journal_trouble = f"the journal cannot be read: {error}"

    def compose(self, findings: str, now: datetime) -> str:
        """Return the whole text; raises NameLeft."""
        parts = [
            f"{TITLE}, {now:%Y-%m-%d %H:%M:%S} UTC",
            *_HEADING.splitlines(),
            *_section("Findings", findings.splitlines()),
            *_section("Versions", _versions(now)),
            *_section("Settings", self._settings_lines()),
            *_section("Status of the running tracker", self._status()),
            *_section("The newest messages of the gateway", self._about_messages()),
        ]
        text = _without_home("\n".join(parts))
        redactor = Redactor(self._hidden, self._accounts)
        for line in self._lines:
            redactor.learn(line)
        redactor.learn_text(text)
        clean = [redactor.redact(line) for line in self._lines]
        # Word by word, so that the text next to a name is checked unchanged.
        text = "\n".join(redactor.redact_text(each) for each in text.splitlines())
        for number, each in enumerate(text.splitlines(), 1):
            redactor.check_text(each, f"line {number}")
        for line in clean:
            redactor.check(line, "the part about messages")
        return f"{text}\n{self._transcript(clean)}"

    def _transcript(self, lines: list[Line]) -> str:
        if not lines or self._settings is None:
            return ""
        zone = self._settings.gateway.timezone
        zone = zone or f"UTC{self._began.astimezone(self._settings.login_zone()):%z}"
        file = io.StringIO()
        writer = TranscriptWriter(file, TranscriptHead(self._began, zone, "tracker doctor"))
        for line in lines:
            writer.write(line)
        writer.finish()
        return file.getvalue()

    def _settings_lines(self) -> Iterator[str]:
        if self._settings is None:
            yield "they cannot be used:"
            yield from self._mistakes
            return
        for section, model in SECTIONS.items():
            for name, info in model.model_fields.items():
                key = key_of(name, info)
                value = getattr(getattr(self._settings, section), name)
                shown = _hidden(value) if (section, key) in SECRETS else _shown(value)
                yield f"{section}.{key} = {shown}   ({self._settings.origin(section, key)})"
        yield f"alerters: {len(self._settings.alerters)} beside the built-in ones"

    def _status(self) -> Iterator[str]:
        if self._settings is None:
            yield "not asked, since the settings cannot be used"
            return
        status = self._settings.status
        request: dict[str, Any] = {"command": "status"}
        if (token := read_token(status.token_file)) is not None:
            request["token"] = token
        try:
            answer: Mapping[str, Any] = ask(status.host, status.port, request, _PATIENCE_SECONDS)
        except NotReachable as error:
            yield f"none answers: {error}"
            return
        yield from json.dumps(answer, indent=2).splitlines()

    def _about_messages(self) -> Iterator[str]:
        if not self._lines:
            yield self._journal_trouble or "none is in the journal"
            return
        minutes = int(SPAN.total_seconds() // 60)
        yield f"The last {minutes} minutes in the journal, one message a line. This file can be given to"
        yield "`tracker replay`, which reads from here to its end."


def _parts_of(url: str) -> tuple[str, ...]:
    """Return the parts of a database's address that say where it is and who connects; nothing for
    `service=NAME`.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return ()
    hosts = [host for host in parts.netloc.rpartition("@")[2].split(",") if host]
    beyond = [host for host in (name.rpartition(":")[0] or name for name in hosts) if not is_loopback(host)]
    return (*(each for each in (parts.username, parts.password) if each), *beyond)


def _section(title: str, lines: Iterator[str] | list[str]) -> Iterator[str]:
    yield ""
    yield title
    yield "-" * len(title)
    yield from lines


def _versions(here: datetime) -> Iterator[str]:
    yield f"time zone of this machine: UTC{here.astimezone(HostZone()):%z}"
    yield f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    for package in ("order-tracker", LIBRARY, *CONFLICTING):
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            yield f"{package} not installed"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None or value == "" else str(value)


def _hidden(value: object) -> str:
    return f"{len(value)} hidden" if isinstance(value, tuple) else "hidden" if value else "none"


def _without_home(text: str) -> str:
    """Remove the path of the home folder, and the user's name from other paths."""
    try:
        home = Path.home()
    except RuntimeError:
        return text
    if not home.name:
        return text
    text = text.replace(str(home), "~")
    return (
        re.sub(rf"/{re.escape(home.name)}\b", "/USER", text)
        if home.parent.name in ("home", "Users")
        else text
    )
