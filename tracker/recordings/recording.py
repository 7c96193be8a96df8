"""One recording, from its first message to the file without names.

Owns the order of things, so that no name ever stands in a file that can be opened: messages are gathered in a
file that has no name itself, all names are learned, the text without them goes into a second such file, that
is read again and searched, and only then it is copied to where it belongs. What is killed meanwhile leaves
nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Final

from tracker.recordings.redaction import Redactor
from tracker.recordings.transcript import (
    LONGEST_LINE,
    Line,
    TranscriptHead,
    TranscriptWriter,
    parse_transcript,
)
from tracker.stores.filesystem import RealDisk

MOST_BYTES: Final = 1 << 30
"""Size at which a recording ends by itself."""
_PART_BYTES: Final = 1 << 20


class RecordingNotWritten(Exception):
    """A recording cannot be made, or is not left behind; the text says why."""


class Recording:
    """Gather messages; `finish` writes the transcript, and `close` ends it in any case.

    Makes the file at once, empty and for its user only, so that its name is taken. Raises
    RecordingNotWritten.
    """

    def __init__(self, path: Path, head: TranscriptHead, redactor: Redactor) -> None:
        self.path = path
        self.count = 0
        self._head = head
        self._redactor = redactor
        self._stack = ExitStack()
        self._disk = RealDisk()
        try:
            self._target = self._disk.open_new(path)
        except FileExistsError:
            raise RecordingNotWritten(f"{path} is there already; name another file") from None
        except OSError as error:
            raise RecordingNotWritten(f"{path} cannot be made: {error.strerror or error}") from None
        self._stack.callback(self._disk.close, self._target)
        self._finished = False
        try:
            self._gathered = self._nameless()
            self._writer = TranscriptWriter(self._gathered, head)
        except OSError as error:
            self.close()
            raise RecordingNotWritten(
                f"nothing can be written beside {path}: {error.strerror or error}"
            ) from None

    def _nameless(self) -> TextIOWrapper:
        """Open a file that no other process can find, on the disk of the transcript."""
        folder = self.path.absolute().parent
        with ExitStack() as opening:
            file = opening.enter_context(tempfile.TemporaryFile(dir=folder))
            text = opening.enter_context(TextIOWrapper(file, encoding="utf-8", newline="\n"))
            self._stack.push(opening.pop_all())
        return text

    def add(self, line: Line) -> bool:
        """Gather one message; False once there are as many as may be. Raises OSError."""
        self._writer.write(line)
        self._redactor.learn(line)
        self.count += 1
        return self._gathered.tell() < MOST_BYTES

    def finish(self) -> None:
        """Write the transcript; raises RecordingNotWritten, NameLeft, and then no file is left."""
        try:
            self._writer.finish()
            clean = self._redacted()
            self._check(clean)
            clean.seek(0)
            while part := bytes(clean.buffer.read(_PART_BYTES)):
                self._disk.write(self._target, part)
            self._disk.sync(self._target)
            self._finished = True
        except OSError as error:
            raise RecordingNotWritten(f"{self.path} cannot be written: {error.strerror or error}") from None
        finally:
            self.close()

    def close(self) -> None:
        """Drop what was gathered; a transcript that is not finished is removed."""
        if not self._finished:
            with suppress(OSError):
                self._disk.remove(self.path)
        self._stack.close()

    def _redacted(self) -> TextIOWrapper:
        clean = self._nameless()
        writer = TranscriptWriter(clean, self._head)
        for line in self._lines(self._gathered):
            writer.write(self._redactor.redact(line))
        writer.finish()
        return clean

    def _check(self, clean: TextIOWrapper) -> None:
        """Read what is to be left behind, and raise NameLeft where a name is in it."""
        for number, line in enumerate(self._lines(clean), 2):
            self._redactor.check(line, f"line {number}")

    def _lines(self, file: TextIOWrapper) -> Iterator[Line]:
        file.seek(0)
        texts = iter(lambda: file.readline(LONGEST_LINE), "")
        return parse_transcript(self.path.name, enumerate(texts, 1))[1]
