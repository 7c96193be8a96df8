"""Keep the rows of a Flex report on disk, and return them in the order of their executions.

Owns one unnamed file, which is deleted with the object. A report may list its rows in any order, and
importing an execution after later ones of its contract would fold all of these again. Memory holds only the
time and the place of each row.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from typing import Final, NamedTuple

from tracker.gateway.flex_bookings import transaction_of
from tracker.gateway.flex_columns import Row, read_row, row_text
from tracker.gateway.flex_rows import NUMBER, TIME

_BLOCK: Final = 1 << 20


class _Place(NamedTuple):
    time: str
    number: int
    transaction: int
    offset: int
    length: int


class RowSpool:
    """Take dated rows in any order; raises OSError where the disk of temporary files is full."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as file:
            self._file = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._file)
        self._places: list[_Place] = []
        self._waiting: list[bytes] = []
        self._size = self._written = 0

    def add(self, row: Row) -> None:
        """Keep a row, without its empty values."""
        text = row_text(row)
        number = int(row.get(NUMBER, "0"))
        self._places.append(_Place(row[TIME], number, transaction_of(row), self._size, len(text)))
        self._size += len(text)
        self._waiting.append(text)
        if self._size - self._written > _BLOCK:
            self._write()

    def rows(self) -> Iterator[Row]:
        """Yield the rows in the order of their execution times; rows of the same second in the order of their
        transaction numbers, and trades that say the same in the order of their own numbers, as the core asks.
        """
        self._write()
        self._places.sort()
        for place in self._places:
            yield read_row(os.pread(self._file, place.length, place.offset))

    def _write(self) -> None:
        text = memoryview(b"".join(self._waiting))
        self._waiting.clear()
        while text:
            count = os.pwrite(self._file, text, self._written)
            self._written += count
            text = text[count:]
