"""The transcript of TWS connections: one JSON line for each message.

Owns the format and its check. It never interprets a message. Each line ends with `sum`, the beginning of the
SHA-256 of everything up to it, so that a change is found in its own line:

    {"transcript": 1, "began": "2025-11-18T17:00:00+00:00", "timezone": "US/Eastern", "made_by": "...", "sum"
    {"at": 0.01, "link": 1, "from": "client", "fields": ["API", "v157..176"], "sum"
    {"at": 0.02, "link": 1, "from": "gateway", "fields": ["API", "176", "20251118 12:00:00 EST"], "sum"
    {"at": 0.03, "link": 1, "from": "client", "fields": ["71", "2", "0", ""], "sum"
    {"at": 9.5, "link": 1, "closed_by": "client", "sum"
    {"end": 4, "sum"

`at` is in seconds from `began`, `link` counts connections, `blocked` marks a request that was not passed on,
`end` counts the lines between the first and the last. The sums find damage and edits, not somebody who
computes them again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, Literal, TypeAlias

from tracker.core.journal_entries import Fields
from tracker.gateway.times import zone_named

VERSION: Final = 1
HANDSHAKE: Final = "API"
"""Field 0 of the first message of each side, which has no number of its own."""
CLIENT: Final = "client"
GATEWAY: Final = "gateway"
LONGEST_LINE: Final = 1 << 25
"""The longest line in characters, longer than the longest message."""

Side: TypeAlias = Literal["client", "gateway"]

_SUM_DIGITS: Final = 16
_SUMMED: Final = re.compile(rf'(.*), "sum": "([0-9a-f]{{{_SUM_DIGITS}}})"\}}', re.DOTALL)
_START: Final = '{"transcript": '
_LATEST: Final = 366 * 86400.0


class TranscriptUnusable(Exception):
    """Raised where a transcript cannot be read; the text names the file, the line and the reason."""


@dataclass(frozen=True, slots=True)
class TranscriptHead:
    """Hold when a recording began, the zone of the login's times, and the program that made it."""

    began: datetime
    timezone: str
    made_by: str

    @property
    def zone(self) -> tzinfo:
        """The zone of TWS times without one."""
        zone = zone_named(self.timezone)
        assert zone is not None, "checked when it was read"
        return zone


@dataclass(frozen=True, slots=True)
class Said:
    """Hold one message: its time (seconds), link, sender and fields."""

    at: float
    link: int
    by: Side
    fields: Fields
    blocked: bool = False
    """A request of the client that was not passed on to the gateway."""


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """Hold the end of a link, and who ended it."""

    at: float
    link: int
    by: Side


Line: TypeAlias = Said | LinkClosed


@dataclass(frozen=True, slots=True)
class Transcript:
    """Hold a whole recording."""

    head: TranscriptHead
    lines: tuple[Line, ...]


class TranscriptWriter:
    """Write a transcript line by line into an open text file; `finish` writes its end."""

    def __init__(self, file: IO[str], head: TranscriptHead) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._count = 0
        began = head.began.isoformat()
        self._write(
            {"transcript": VERSION, "began": began, "timezone": head.timezone, "made_by": head.made_by}
        )

    def write(self, line: Line) -> None:
        """Write one line; raises OSError."""
        self._write(_as_json(line))
        self._count += 1

    def finish(self) -> None:
        """Write the last line; raises OSError."""
        self._write({"end": self._count})
        self._file.flush()

    def _write(self, values: dict[str, Any]) -> None:
        self._file.write(_summed(values, self._hash))


def complete_transcript(file: IO[bytes], name: str) -> int:
    """End a transcript whose writer was killed after its last whole line; returns how many lines it has.

    Only the last line may be incomplete. Raises TranscriptUnusable, OSError.
    """
    digest = hashlib.sha256()
    length = whole = 0
    break_missing = b""
    for line in iter(partial(file.readline, LONGEST_LINE), b""):
        before = digest.copy()
        place = f"{name}, line {whole + 1}"
        try:
            values = _checked(place, line.decode(errors="replace"), digest)
        except TranscriptUnusable:
            if line.endswith(b"\n") or file.read(1):
                raise
            values = {"end": whole}
        if "end" in values:
            digest = before
            break
        if not whole:
            _head(place, values)
        length, whole = length + len(line), whole + 1
        break_missing = b"" if line.endswith(b"\n") else b"\n"
    if whole < 2:
        raise TranscriptUnusable(f"{name}: no message is in it; remove it")
    file.seek(length)
    file.truncate()
    file.write(break_missing + _summed({"end": whole - 1}, digest).encode())
    file.flush()
    os.fsync(file.fileno())
    return whole - 1


def read_transcript(path: Path) -> Transcript:
    """Read and check a transcript, or the one at the end of a doctor's report; raises TranscriptUnusable."""
    try:
        with path.open(encoding="utf-8", errors="strict") as file:
            head, lines = parse_transcript(path.name, _lines_of(file))
            return Transcript(head, tuple(lines))
    except OSError as error:
        why = error.strerror or error
        raise TranscriptUnusable(f"{path} cannot be read ({why}); name a file of `tracker record`") from None
    except UnicodeDecodeError:
        raise TranscriptUnusable(f"{path.name}: it is no text, so it is no transcript") from None


def parse_transcript(name: str, numbered: Iterable[tuple[int, str]]) -> tuple[TranscriptHead, Iterator[Line]]:
    """Return the head, and the lines as they are read and checked; both raise TranscriptUnusable.

    `numbered` has each line's number and text, `name` is what messages call the file.
    """
    rest = iter(numbered)
    digest = hashlib.sha256()
    for number, text in rest:
        place = f"{name}, line {number}"
        return _head(place, _checked(place, text, digest)), _lines(name, number, rest, digest)
    raise TranscriptUnusable(f"{name}: no transcript is in it; `tracker record` writes one")


def _lines_of(file: IO[str]) -> Iterator[tuple[int, str]]:
    """Yield numbered lines, without a report before the transcript."""
    started = False
    for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), ""), 1):
        started = started or line.startswith("{" if number == 1 else _START)
        if started:
            yield number, line


def _lines(name: str, number: int, rest: Iterator[tuple[int, str]], digest: Any) -> Iterator[Line]:
    """Yield the lines between the first, which has this number, and the last."""
    for count, (number, text) in enumerate(rest):
        place = f"{name}, line {number}"
        values = _checked(place, text, digest)
        if "end" in values:
            if values["end"] != count:
                raise TranscriptUnusable(f"{place}: it counts {values['end']} lines, and {count} are here")
            _refuse_more(name, rest)
            return
        yield _line(place, values)
    raise TranscriptUnusable(
        f"{name}, line {number + 1}: the end is missing, so the file is cut off; get it again, or make"
        " a transcript of FILE.part by `tracker record --finish FILE`"
    )


def _refuse_more(name: str, rest: Iterable[tuple[int, str]]) -> None:
    for number, _ in rest:
        raise TranscriptUnusable(f"{name}, line {number}: more follows after the end; remove it")


def _checked(place: str, text: str, digest: Any) -> dict[str, Any]:
    """Return a line's values after checking its sum."""
    found = _SUMMED.fullmatch(text.removesuffix("\n"))
    if found is None:
        raise TranscriptUnusable(f"{place}: it is cut off or no line of a transcript; get the file again")
    digest.update(found[1].encode())
    if digest.hexdigest()[:_SUM_DIGITS] != found[2]:
        raise TranscriptUnusable(
            f"{place}: it, or a line taken out before it, was changed after the recording; get the file again"
        )
    try:
        values = json.loads(found[1] + "}")
    except (ValueError, RecursionError):
        raise TranscriptUnusable(f"{place}: it is not JSON") from None
    assert isinstance(values, dict), "it ends with a brace"
    return values


def _summed(values: dict[str, Any], digest: Any) -> str:
    """Return a line with its sum, and add it to the digest."""
    body = json.dumps(values)[:-1]
    digest.update(body.encode())
    return f'{body}, "sum": "{digest.hexdigest()[:_SUM_DIGITS]}"}}\n'


def _head(place: str, values: dict[str, Any]) -> TranscriptHead:
    version = values.get("transcript")
    if version != VERSION:
        raise TranscriptUnusable(
            f"{place}: it is of version {version!r}, this tracker reads version {VERSION}; use a newer one"
        )
    try:
        began = datetime.fromisoformat(str(values["began"]))
        head = TranscriptHead(began, str(values["timezone"]), str(values["made_by"]))
    except (KeyError, ValueError):
        raise TranscriptUnusable(f"{place}: it does not say when the recording began") from None
    if began.tzinfo is None or zone_named(head.timezone) is None:
        raise TranscriptUnusable(f"{place}: its time zone is not known")
    return head


def _line(place: str, values: dict[str, Any]) -> Line:
    at, link = values.get("at"), values.get("link")
    timed = isinstance(at, int | float) and not isinstance(at, bool) and 0 <= at <= _LATEST
    if not timed or type(link) is not int:
        raise TranscriptUnusable(f"{place}: it names no time or no link")
    by = values.get("closed_by", values.get("from"))
    if by not in (CLIENT, GATEWAY):
        raise TranscriptUnusable(f"{place}: it does not say who sent it")
    if "closed_by" in values:
        return LinkClosed(float(at or 0), link, by)
    fields = values.get("fields")
    if not isinstance(fields, list) or not fields or not all(isinstance(each, str) for each in fields):
        raise TranscriptUnusable(f"{place}: its fields are no list of texts")
    if any("\0" in each for each in fields):
        raise TranscriptUnusable(f"{place}: a field holds NUL, which ends a field")
    return Said(float(at or 0), link, by, tuple(fields), values.get("blocked") is True)


def _as_json(line: Line) -> dict[str, Any]:
    values: dict[str, Any] = {"at": round(line.at, 6), "link": line.link}
    if isinstance(line, LinkClosed):
        return {**values, "closed_by": line.by}
    values = {**values, "from": line.by, "fields": list(line.fields)}
    return {**values, "blocked": True} if line.blocked else values
