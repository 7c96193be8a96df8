"""Store each item of a long field of a row by itself.

Owns the numbers of the items, and which of them a change of the row writes. It never writes outside the
caller's step.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tracker.core.packed_lots import alike_at_end, alike_at_start
from tracker.core.state import Parts

_ENCODE: Final = msgspec.json.Encoder().encode


class RowParts:
    """Hold which items of each decoded row are in the file, and under which numbers."""

    def __init__(self, parts: Parts, of: str) -> None:
        self._field = parts.field
        self._pack = parts.pack
        self._decode = msgspec.json.Decoder(list[tuple[int, parts.item]]).decode  # type: ignore[name-defined]  # a type that is a value
        self._written: dict[str, tuple[Sequence[Any], array[int]]] = {}
        self.column: Final = (
            "(SELECT '[' || coalesce(group_concat('[' || number || ',' || text || ']'), '') || ']' FROM"
            f" (SELECT number, CAST(body AS TEXT) AS text FROM {parts.table}"
            f" WHERE {parts.table}.row = {of}.key ORDER BY number))"
        )
        """The SQL that reads the items together with a row's body, so that both are of one commit."""
        self._insert = f"INSERT OR REPLACE INTO {parts.table} (row, number, body) VALUES (?, ?, ?)"
        self._delete = f"DELETE FROM {parts.table} WHERE row = ? AND number = ?"
        self._clear = f"DELETE FROM {parts.table} WHERE row = ?"

    def joined(self, key: str, row: Any, text: str) -> Any:
        """Return a row with the items that were read with it."""
        numbered = self._decode(text)
        items = self._pack(tuple([item for _, item in numbered]))
        self._written[key] = (items, array("q", [number for number, _ in numbered]))
        return msgspec.structs.replace(row, **{self._field: items})

    def without(self, row: Any) -> Any:
        """Return a row as it is stored, without its items."""
        return msgspec.structs.replace(row, **{self._field: ()})

    def forget(self) -> None:
        """Forget what is in the file."""
        self._written.clear()

    def write(self, db: sqlite3.Connection, rows: dict[str, Any]) -> None:
        """Write the new and changed items of these rows; delete those that no longer exist.

        Each row is replaced by one that holds the same items in less memory.
        """
        new: list[tuple[str, int, bytes]] = []
        for key, row in rows.items():
            items = getattr(row, self._field)
            new += self._changed(db, key, items)
            less = self._pack(items)
            if less is not items:
                self._written[key] = (less, self._written[key][1])
                rows[key] = msgspec.structs.replace(row, **{self._field: less})
        db.executemany(self._insert, new)

    def _changed(
        self, db: sqlite3.Connection, key: str, items: Sequence[Any]
    ) -> list[tuple[str, int, bytes]]:
        """Return which items of one row must be written; those that no longer exist are deleted when it
        returns.
        """
        if key not in self._written:
            return self._all(db, key, items)
        before, numbers = self._written[key]
        start = alike_at_start(before, items)
        most = min(len(before), len(items)) - start
        end = min(alike_at_end(before, items), most) if most else 0
        new = items[start : len(items) - end]
        old = numbers[start : len(numbers) - end]
        if end and len(new) > len(old):
            # A late entry was inserted among them.
            return self._all(db, key, items)
        following = numbers[-1] + 1 if numbers else 0
        now = array("q", [*old[: len(new)], *range(following, following + len(new) - len(old))])
        if len(old) > len(new):
            db.executemany(self._delete, [(key, number) for number in old[len(new) :]])
        numbers[start : start + len(old)] = now
        self._written[key] = (items, numbers)
        return _encoded(key, now, new)

    def _all(self, db: sqlite3.Connection, key: str, items: Sequence[Any]) -> list[tuple[str, int, bytes]]:
        db.execute(self._clear, (key,))
        numbers = array("q", range(len(items)))
        self._written[key] = (items, numbers)
        return _encoded(key, numbers, items)


def _encoded(key: str, numbers: Sequence[int], items: Sequence[Any]) -> list[tuple[str, int, bytes]]:
    return [(key, number, _ENCODE(item)) for number, item in zip(numbers, items, strict=True)]
