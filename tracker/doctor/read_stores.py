"""Read the stores, the journal, the locks and the token without changing anything.

Owns how each is read. It never creates a file beside a store, and a lock that it tests is released at
once.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tracker import wiring
from tracker.config.settings import Settings
from tracker.core.model import StoreUnavailable
from tracker.doctor.finding import JournalFacts, Lock, Place, Records, Stamp, Token
from tracker.journal.journal import JournalFailed
from tracker.journal.journal_file import size_of
from tracker.queries.socket_commands import ask_journal
from tracker.stores.alert_stores import StorePort
from tracker.stores.alerter_stores import AlerterStores

_TRIES: Final = 6
_PAUSE_SECONDS: Final = 0.2
"""Seconds between two readings of alerts.json, which its writer empties for a moment."""
MAX_COPIED_BYTES: Final = 512 * 1024 * 1024
"""The largest journal that is copied in order to read it, in bytes."""
NO_RECORDS: Final = Records(0, 0, (), ())
"""The result where there is no folder to read in."""


def read_records(settings: Settings, place: Place, pause: Callable[[float], None]) -> Records:
    """Read alerts.json, several times if its writer seems to be writing it."""
    store = wiring.alert_stores(settings, wiring.names_of(settings))
    trouble = ""
    try:
        for attempt in range(_TRIES):
            if attempt:
                pause(_PAUSE_SECONDS)
            try:
                store.refresh()
                trouble = ""
                break
            except StoreUnavailable as error:
                trouble = str(error)
        return _records(store, place, trouble)
    finally:
        # Nothing was replaced here, so no late write of another program has to be merged.
        with suppress(StoreUnavailable):
            store.close()


def _records(store: StorePort, place: Place, trouble: str) -> Records:
    alerts = store.alerts()
    named = [(f"{alert.id.alerter}/{alert.id.ticker}", alert) for alert in alerts]
    return Records(
        count=len(alerts),
        open=sum(alert.open for alert in alerts),
        stamps=tuple(Stamp(name, alert.id.created_at) for name, alert in named if alert.created_at),
        problems=tuple((name, alert.problems[0]) for name, alert in named if alert.problems),
        trouble=trouble,
        written_at=None if place.file is None else datetime.fromtimestamp(place.file.modified_ns / 1e9, UTC),
    )


def read_alerter_stores(settings: Settings, now: Callable[[], datetime]) -> Mapping[Path, str]:
    """Return path -> reason for those of the two read-only stores that cannot be read."""
    stores = AlerterStores(
        settings.stores.contracts,
        settings.stores.stocks,
        zone=settings.store_zone(),
        names=wiring.names_of(settings),
        now=now,
    )
    stores.refresh()
    return {path: why for path, (_, why) in stores.troubles.items()}


def read_journal(path: Path, *, in_use: bool) -> JournalFacts:
    """Read the journal's facts; `in_use` says that a process has it open.

    See `readable_journal` for which file is opened.
    """
    if not path.exists():
        return JournalFacts()
    try:
        size = size_of(path)
        if not in_use and size > MAX_COPIED_BYTES:
            return JournalFacts(
                unread=f"not read: {size >> 20} MB is too much to copy; `tracker status` shows its login"
            )
        with readable_journal(path, in_use=in_use) as place:
            return replace(_ask_mode(place, instead_of=None if in_use else path), size=size)
    except OSError as error:
        # A journal that cannot be opened was reported above; what failed here is the copy.
        return JournalFacts(unread=f"not read: it cannot be copied ({error.strerror or error})")


@contextmanager
def readable_journal(path: Path, *, in_use: bool) -> Iterator[Path]:
    """Yield the path of a journal, or of a copy, that can be opened without leaving files beside it; raises
    OSError.

    SQLite makes two files beside a journal that it opens, even for reading, and a reader leaves them there. A
    journal in use has them already; of any other journal a copy is opened.
    """
    if in_use:
        yield path
        return
    with TemporaryDirectory(prefix="tracker-doctor-") as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        beside = path.with_name(f"{path.name}-wal")
        if beside.exists():
            shutil.copyfile(beside, copy.with_name(beside.name))
        yield copy


def _ask_mode(path: Path, instead_of: Path | None = None) -> JournalFacts:
    try:
        return JournalFacts(bound_to=ask_journal(path, lambda journal: journal.login_kind()))
    except JournalFailed as error:
        text = str(error)
        return JournalFacts(trouble=text if instead_of is None else text.replace(str(path), str(instead_of)))


def read_lock(path: Path) -> Lock:
    """Return who holds the lock of a file, as `stores.lock` places it; takes it for an instant, shared."""
    # A link that leads to itself has no other end; Path.resolve refuses it.
    path = Path(os.path.realpath(path))
    place = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(place, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return Lock(path, "")
    except OSError as error:
        return Lock(place, "", f"cannot be opened: {error.strerror or error}")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        who = os.pread(descriptor, 500, 0).decode(errors="replace").strip()
        return Lock(path, who or "another process")
    finally:
        os.close(descriptor)
    return Lock(path, "")


def read_token_file(path: Path) -> Token:
    """Return the mode of the token's file; the token itself is not read."""
    mode = mode_of(path)
    return Token(path, mode, mode is not None and os.access(path, os.R_OK))


def mode_of(path: Path) -> int | None:
    """Return a file's permission bits, None where it is not there."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
