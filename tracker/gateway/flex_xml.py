"""Read the elements of a Flex report one after the other, without holding the file.

Owns the XML: it yields each element inside a FlexStatement, with its attributes as text, and knows nothing of
their meaning. It keeps one block of the file in memory, however long the file is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from xml.parsers.expat import ExpatError, ParserCreate, errors

STATEMENT: Final = "FlexStatement"

_BLOCK: Final = 1 << 16
_HEAD_OF_SECTION: Final = 2
"""The depth of a statement's sections; the statement itself has depth 1."""
_RESPONSE: Final = "FlexStatementResponse"
"""The element that the web service sends instead of a report that is not ready."""

Progress = Callable[[int, int], None]
"""Receives how many of how many bytes have been read."""


class FlexUnreadable(Exception):
    """Say that a file is not a usable Flex report; the message names the file, the cause and what to do.

    `labels` are the boxes of the query's page that would correct it, none where it is not the query.
    """

    def __init__(self, message: str, labels: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.labels = tuple(labels)


class FlexElement(NamedTuple):
    """Hold one element: the head of a statement, of a section, or a row."""

    section: str
    """Which section of the statement; empty for the statement itself."""
    tag: str
    """The row's own name; empty for the head of a section."""
    attributes: Mapping[str, str]


class FlexXml:
    """Read one file, as often as asked and each time the same.

    Raises FlexUnreadable where the file cannot be read, is not XML, or was replaced after the first
    reading.
    """

    def __init__(self, path: Path, progress: Progress = lambda done, total: None) -> None:
        self.path = path
        self._progress = progress
        self._identity: tuple[int, ...] = ()

    def elements(self) -> Iterator[FlexElement]:
        """Yield the elements of all statements in the order of the file."""
        try:
            # Reading a pipe would block, and it could not be read twice.
            if not stat.S_ISREG(self.path.stat().st_mode):
                raise FlexUnreadable(f"{self.path} is no file; name the report's file")
            with self.path.open("rb") as file:
                size = self._check(os.fstat(file.fileno()))
                reader = _ElementParser()
                done = 0
                while block := file.read(_BLOCK):
                    yield from reader.read(block)
                    done += len(block)
                    self._progress(done, max(size, done))
                yield from reader.read(b"", last=True)
        except OSError as error:
            raise FlexUnreadable(f"{self.path} cannot be read: {error.strerror or error}") from None
        except ExpatError as error:
            what = errors.messages[error.code]
            raise FlexUnreadable(
                f"{self.path} is no Flex report: {what} in line {error.lineno}; download it as XML"
            ) from None
        except (_NoReport, LookupError, ValueError) as error:
            # The last two are raised for an unknown encoding, or one with several bytes per character.
            raise FlexUnreadable(f"{self.path} is no Flex report: {error}") from None

    def _check(self, now: os.stat_result) -> int:
        identity = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)
        if self._identity and identity != self._identity:
            raise FlexUnreadable(f"{self.path} was changed while it was read; import it again")
        self._identity = identity
        return now.st_size


class _NoReport(Exception):
    """Say that a file contains something that is never in a Flex report."""


class _ElementParser:
    """Feed the parser, and gather the elements of one block."""

    def __init__(self) -> None:
        self._parser = ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._found: list[FlexElement] = []
        self._depth = 0
        """The depth below a statement; 0 outside."""
        self._section = ""

    def read(self, block: bytes, *, last: bool = False) -> list[FlexElement]:
        self._found = []
        self._parser.Parse(block, last)
        return self._found

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._depth or tag == STATEMENT:
            self._depth += 1
            if self._depth <= _HEAD_OF_SECTION:
                self._section = "" if self._depth == 1 else tag
            name = "" if self._depth == _HEAD_OF_SECTION else tag
            self._found.append(FlexElement(self._section, name, attributes))
        elif tag == _RESPONSE:
            raise _NoReport("it is an answer of the web service without one; download the report again")

    def _end(self, tag: str) -> None:
        if self._depth:
            self._depth -= 1

    def _doctype(self, *declared: object) -> None:
        # Entities that refer to each other could expand a small file without limit.
        raise _NoReport("it declares a document type; download it as XML")
