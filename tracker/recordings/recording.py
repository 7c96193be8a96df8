"""One recording, from its first message to the file without names.

Owns the order of the steps, so that no file that can be opened ever contains a name. Messages are collected
twice: whole, in a file without a directory entry, and in `FILE.part`, with names replaced as they come and
without texts that could contain a name not known yet. At the end all names are known. Then the text without
names is written into a second file without a directory entry, read again and searched; only then it is copied
to its place, and the part removed. A recorder that is killed leaves the part, which `complete` turns into a
transcript.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Final

from tracker.recordings.redaction import EarlyRedactor, NameLeft, Redactor
from tracker.recordings.transcript import (
    LONGEST_LINE,
    Line,
    TranscriptHead,
    TranscriptUnusable,
    TranscriptWriter,
    complete_transcript,
    parse_transcript,
)
from tracker.stores.filesystem import RealDisk

MOST_BYTES: Final = 1 << 30
"""Size at which a recording ends by itself."""
_COPIED_BYTES: Final = 1 << 20


class RecordingNotWritten(Exception):
    """Raised with the reason where a recording cannot be made, or was not kept."""


class Recording:
    """Collect messages; `finish` writes the transcript, and `close` ends the recording in any case.

    Makes both files at once, so that the paths are taken; only their user may read them. Raises
    RecordingNotWritten.
    """

    def __init__(self, path: Path, head: TranscriptHead, redactor: Redactor, early: EarlyRedactor) -> None:
        self.path = path
        self.part = part_of(path)
        self.count = 0
        self._head = head
        self._redactor, self._early = redactor, early
        self._disk = RealDisk()
        self._stack = ExitStack()
        self._made: list[Path] = []
        self._kept: Path | None = None
        try:
            self._target = self._make(path, "name another file")
            part = self._make(self.part, f"a recording to it was killed; {next_step(path)}")
            fcntl.flock(part, fcntl.LOCK_EX)
            opened = os.fdopen(part, "w", 1, encoding="utf-8", newline="\n", closefd=False)
            self._part_writer = TranscriptWriter(self._stack.enter_context(opened), head)
            self._gathered = self._nameless()
            self._writer = TranscriptWriter(self._gathered, head)
        except RecordingNotWritten:
            self.close()
            raise
        except OSError as error:
            self.close()
            cause = f"nothing can be written beside {path}: {error.strerror or error}"
            raise RecordingNotWritten(cause) from None

    def _make(self, path: Path, if_there: str) -> int:
        try:
            file = self._disk.open_new(path)
        except FileExistsError:
            raise RecordingNotWritten(f"{path} is there already; {if_there}") from None
        except OSError as error:
            raise RecordingNotWritten(f"{path} cannot be made: {error.strerror or error}") from None
        self._made.append(path)
        self._stack.callback(self._disk.close, file)
        return file

    def _nameless(self) -> TextIOWrapper:
        """Open a file that no other process can find, on the disk of the transcript."""
        folder = self.path.absolute().parent
        with ExitStack() as opening:
            file = opening.enter_context(tempfile.TemporaryFile(dir=folder))
            text = opening.enter_context(TextIOWrapper(file, encoding="utf-8", newline="\n"))
            self._stack.push(opening.pop_all())
        return text

    def add(self, line: Line) -> bool:
        """Collect one message; False once the recording has its largest size. Raises OSError."""
        self._writer.write(line)
        self._redactor.learn(line)
        # A message whose names cannot be replaced yet is in the whole recording only.
        with suppress(NameLeft):
            self._part_writer.write(self._early.redact(line))
        self.count += 1
        self._kept = self.part
        return self._gathered.tell() < MOST_BYTES

    def finish(self) -> None:
        """Write the transcript; raises RecordingNotWritten, which leaves the part, or NameLeft."""
        try:
            self._writer.finish()
            clean = self._redacted()
            self._check(clean)
            clean.seek(0)
            while copied := bytes(clean.buffer.read(_COPIED_BYTES)):
                self._disk.write(self._target, copied)
            self._disk.sync(self._target)
            self._kept = self.path
        except OSError as error:
            raise RecordingNotWritten(f"{self.path} cannot be written: {error.strerror or error}") from None
        except NameLeft:
            self._kept = None
            raise
        finally:
            self.close()

    def close(self) -> None:
        """Drop the collected messages, and all files but the one to keep, if there is one."""
        # Closing writes what a full disk refused before, and fails again.
        with suppress(OSError):
            self._stack.close()
        for path in self._made:
            if path != self._kept:
                with suppress(OSError):
                    self._disk.remove(path)

    @property
    def left_in_part(self) -> bool:
        """Whether the part is all that is left."""
        return self._kept == self.part

    def _redacted(self) -> TextIOWrapper:
        clean = self._nameless()
        writer = TranscriptWriter(clean, self._head)
        for line in self._lines(self._gathered):
            writer.write(self._redactor.redact(line))
        writer.finish()
        return clean

    def _check(self, clean: TextIOWrapper) -> None:
        """Read the text that is to be published, and raise NameLeft where it contains a name."""
        for number, line in enumerate(self._lines(clean), 2):
            self._redactor.check(line, f"line {number}")

    def _lines(self, file: TextIOWrapper) -> Iterator[Line]:
        file.seek(0)
        texts = iter(lambda: file.readline(LONGEST_LINE), "")
        return parse_transcript(self.path.name, enumerate(texts, 1))[1]


def part_of(path: Path) -> Path:
    """Return the path of a recording until its end."""
    return path.with_name(f"{path.name}.part")


def next_step(path: Path) -> str:
    """Return a sentence on how a part becomes a transcript."""
    return f"`tracker record --finish {path}` makes a transcript of what is in {part_of(path)}"


def complete(path: Path) -> int:
    """Make a transcript from the part of a recording that was killed; returns how many lines it has.

    Raises RecordingNotWritten.
    """
    part = part_of(path)
    try:
        with part.open("r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RecordingNotWritten(f"{part} is being recorded; Ctrl-C ends that recorder") from None
            if path.exists() and path.stat().st_size:
                raise RecordingNotWritten(f"{path} is not empty; move it away first")
            count = complete_transcript(file, part.name)
            os.replace(part, path)
    except TranscriptUnusable as error:
        raise RecordingNotWritten(str(error)) from None
    except FileNotFoundError:
        raise RecordingNotWritten(f"{part} is not there, so nothing is left to finish") from None
    except OSError as error:
        raise RecordingNotWritten(f"{part} cannot be made {path}: {error.strerror or error}") from None
    return count
