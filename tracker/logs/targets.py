"""Where log lines go: standard error, and a file of bounded size with its rotated predecessors.

Owns how a line looks and how the file is rotated. Only the thread of a LogWriter writes here, since a write
may block for any time.
"""

from __future__ import annotations

import json
import os
import re
import select
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from errno import EINVAL
from functools import lru_cache
from io import UnsupportedOperation
from pathlib import Path
from typing import Final, TextIO

from tracker.clock import now
from tracker.logs.writer import LogLine

Format = Callable[[LogLine], str]
_COLOURS: Final = {"DEBUG": "\x1b[34m\x1b[1m", "WARNING": "\x1b[33m\x1b[1m", "ERROR": "\x1b[31m\x1b[1m"}
_GREEN, _BOLD, _END = "\x1b[32m", "\x1b[1m", "\x1b[0m"
_STAMP: Final = "%Y-%m-%d_%H-%M-%S_%f"


@lru_cache(maxsize=8)
def _local_second(second: int) -> str:
    return f"{datetime.fromtimestamp(second):%Y-%m-%d %H:%M:%S}"


def _local(at: datetime) -> str:
    return f"{_local_second(int(at.timestamp()))}.{at.microsecond // 1000:03}"


def plain(line: LogLine) -> str:
    """Return the line as files have it: local time, level, words."""
    return f"{_local(line.at)} {line.level: <7} {line.text()}\n"


def coloured(line: LogLine) -> str:
    """Return the line as a terminal shows it."""
    colour = _COLOURS.get(line.level, _BOLD)
    return f"{_GREEN}{_local(line.at)}{_END} {colour}{line.level: <7}{_END} {line.text()}\n"


def json_line(line: LogLine) -> str:
    """Return the line as one JSON object: loguru's, or for a line about the log itself one of the same
    form.
    """
    if line.whole:
        return line.text()
    record = {
        "level": {"name": line.level},
        "message": line.text(),
        "time": {"repr": str(line.at), "timestamp": line.at.timestamp()},
    }
    return json.dumps({"text": plain(line), "record": record}) + "\n"


class StandardError:
    """Write to the file descriptor of a stream, or to the stream itself where it has none, as in a test."""

    name = "standard error"

    def __init__(self, stream: TextIO, line_format: Format) -> None:
        self._stream = stream
        self._format = line_format
        self._file: int | None = None
        with suppress(UnsupportedOperation):
            self._file = stream.fileno()

    def write(self, lines: Sequence[LogLine]) -> None:
        """Write all of them; blocks while the reader does not read."""
        text = "".join(map(self._format, lines))
        if self._file is None:
            self._stream.write(text)
            self._stream.flush()
            return
        # Not through the stream's buffer: a blocked write would hold its lock while the interpreter ends.
        rest = memoryview(text.encode(self._stream.encoding or "utf-8", "backslashreplace"))
        while rest:
            try:
                rest = rest[os.write(self._file, rest) :]
            except BlockingIOError:
                # Another process with the same terminal or pipe has made it non-blocking.
                waiting = select.poll()
                waiting.register(self._file, select.POLLOUT)
                waiting.poll()

    def close(self) -> None:
        """Leave the stream open: it is not ours."""


class LogFile:
    """Append to a file; when the next line does not fit, rename it and begin a new one."""

    def __init__(self, path: Path, line_format: Format, *, limit: int, kept: int) -> None:
        """Open the file, whose size is bounded by `limit` bytes; `kept` earlier ones stay. Raises OSError."""
        self.name = f"the log file {path}"
        self._path = path
        self._format = line_format
        self._limit = limit
        self._kept = kept
        self._torn = False
        self._file = -1
        self._size = 0
        self._open()

    def write(self, lines: Sequence[LogLine]) -> None:
        """Write all of them, in as few writes as the size allows."""
        chunk, size = [b"\n"] if self._torn else [], self._size
        for line in lines:
            data = self._format(line).encode("utf-8", "backslashreplace")
            if size + len(data) > self._limit and size:
                self._append(b"".join(chunk))
                self._renew()
                chunk, size = [], 0
            chunk.append(data)
            size += len(data)
        self._append(b"".join(chunk))

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _append(self, data: bytes) -> None:
        if self._file < 0:
            self._open()
        rest = memoryview(data)
        while rest:
            written = os.write(self._file, rest)
            self._size += written
            rest = rest[written:]
            # A full disk may take the first half of a line; the next line must begin on a line of its own.
            self._torn = bool(rest)

    def _open(self) -> None:
        # Opening a named pipe would block the start until somebody reads it.
        if self._path.exists() and not self._path.is_file():
            raise OSError(EINVAL, "it is not a regular file")
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._size = os.fstat(self._file).st_size

    def _renew(self) -> None:
        self.close()
        stamp = now().astimezone().strftime(_STAMP)
        os.rename(self._path, self._path.with_name(f"{self._path.stem}.{stamp}{self._path.suffix}"))
        self._open()
        name = re.compile(
            re.escape(self._path.stem)
            + r"\.\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d{6}"
            + re.escape(self._path.suffix)
        )
        earlier = sorted(path for path in self._path.parent.iterdir() if name.fullmatch(path.name))
        for path in earlier[: -self._kept]:
            path.unlink(missing_ok=True)
