"""Store state rows in the journal's file, and keep decoded ones in memory.

Owns reading, writing and finding state rows. Changed rows are written when the step commits, or earlier if
there are many, never outside a step. It reads no frame and decides nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

import msgspec

from tracker.core.state import TABLES, Row, Table
from tracker.journal.journal_file import damaged, path_of, select, select_each
from tracker.journal.row_parts import RowParts

_ENCODE: Final = msgspec.json.Encoder().encode
_CACHED_ROWS: Final = 2_000
"""How many decoded rows of one table are kept; beyond that the cache is cleared."""
_ABSENT_KEPT: Final = 7_500
"""How many absent keys of one table, and absent values of one index, are remembered.

A fill has one of each, and thousands of fills may be journalled before they are decided.
"""


class JournalState:
    """Keep the ledger's state in the journal; each change is written within the step that makes it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        path = path_of(db)
        self._tables = {table.name: _Rows(table, path) for table in TABLES}

    def get(self, table: Table[Row], key: str) -> Row | None:
        kept = self._tables[table.name]
        row: Row | None = kept.rows.get(key)
        return kept.read(self._db, key) if row is None else row

    def has(self, table: Table[Row], key: str) -> bool:
        """Return whether a row exists, without decoding it."""
        return self._tables[table.name].has(self._db, key)

    def keys(self, table: Table[Any], index: str, value: str) -> Iterator[str]:
        """Yield the keys of the rows with this index value in the file, without decoding them."""
        for (key,) in select_each(self._db, f"SELECT key FROM {table.name} WHERE {index} = ?", (value,)):
            yield key

    def has_key_from(self, table: Table[Any], prefix: str) -> bool:
        """Return whether the key of any row begins with a text, in the file or about to be written."""
        if any(key.startswith(prefix) for key in self._tables[table.name].rows):
            return True
        query = f"SELECT 1 FROM {table.name} WHERE key >= ? AND key < ? LIMIT 1"
        return bool(select(self._db, query, (prefix, f"{prefix}\U0010ffff")))

    def look_up(self, table: Table[Any], values: Collection[str], index: str = "key") -> None:
        """Find out with one query which of these have no row in the file."""
        self._tables[table.name].look_up(self._db, values, index)

    def count(self, table: Table[Any], index: str, value: str) -> int:
        """Count the rows with this index value in the file, without decoding them."""
        (found,) = select(self._db, f"SELECT COUNT(*) FROM {table.name} WHERE {index} = ?", (value,))
        return int(found[0])

    def find(self, table: Table[Row], index: str, value: str) -> list[Row]:
        assert index in table.indexes, f"{table.name} has no index {index}"
        return self._tables[table.name].find(self._db, index, value)

    def values(self, table: Table[Any], index: str) -> list[str]:
        return self._tables[table.name].values(self._db, index)

    def every(self, table: Table[Row]) -> Iterable[Row]:
        kept = self._tables[table.name]
        kept.write(self._db)
        for key, *body in select(self._db, f"SELECT key, {kept.columns} FROM {table.name} ORDER BY key"):
            yield kept.load(key, *body)

    def put(self, table: Table[Row], row: Row) -> None:
        self._tables[table.name].put(row)

    def flush(self) -> None:
        """Write all changed rows into the open transaction."""
        for kept in self._tables.values():
            if kept.changed:
                kept.write(self._db)

    def committed(self) -> None:
        """Clear what is kept in memory beyond the limits; all rows are in the file now."""
        for kept in self._tables.values():
            kept.bound()

    def forget(self) -> None:
        """Drop the changes of a failed step."""
        for kept in self._tables.values():
            kept.forget()
            # A value without a row within the step may have one again after the rollback.
            kept.forget_absent()


class _Index:
    """Hold which rows each value of one index of a table leads to."""

    def __init__(self, name: str, column: int) -> None:
        self.name = name
        self.column = column
        self.keys: dict[str, dict[str, None]] = {}
        """Value -> keys of decoded rows."""
        self.complete: set[str] = set()
        """Values whose keys are all in `keys`, including those in the file."""
        self.empty: set[str] = set()
        """Values without any row, here or in the file."""

    def move(self, key: str, old: str | None, new: str | None) -> None:
        """Change the value that leads to a row; None for no value."""
        if old is not None and old in self.keys:
            self.keys[old].pop(key, None)
        if new is None:
            return
        there = self.keys.get(new)
        if there is None:
            there = self.keys[new] = {}
        there[key] = None
        if new in self.empty:
            self.empty.discard(new)
            self.complete.add(new)

    def unknown(self, values: Collection[str]) -> set[str]:
        """Return the values of which it is unknown whether they lead to a row."""
        # Rows that were put and not written yet are only in `keys`.
        return {*values}.difference(self.empty, self.complete, self.keys)

    def forget(self) -> None:
        """Forget all rows; values without rows stay known."""
        self.keys.clear()
        self.complete.clear()


class _Rows:
    """Hold the decoded rows of one table, which of them are not written yet, and the index values that lead
    to them.

    Only this object writes the table, so nothing must be looked up twice.
    """

    def __init__(self, table: Table[Any], path: str) -> None:
        self._name = table.name
        self._path = path
        self.rows: dict[str, Any] = {}
        self.changed: dict[str, None] = {}
        self._values: dict[str, tuple[str | None, ...]] = {}
        """Key -> the index values of a changed row, in the table's order."""
        self._unplaced: dict[str, Any] = {}
        """Key -> the previous row, for rows that were put since an index was last used."""
        self._missing: set[str] = set()
        """Keys that are neither here nor in the file."""
        self._empty: bool | None = None
        """Whether the file has no row of this table, nor is one put; None before it was asked."""
        self._there: set[str] = set()
        """Keys that the last lookup of many found in the file; no row is ever removed."""
        self._parts = RowParts(table.parts, table.name) if table.parts is not None else None
        self.columns = "body" if self._parts is None else f"body, {self._parts.column}"
        """The columns from which a row is decoded."""
        self._by_key = f"SELECT {self.columns} FROM {table.name} WHERE key = ?"
        self._by_index = {
            index: f"SELECT key, {self.columns} FROM {table.name} WHERE {index} = ?"
            for index in table.indexes
        }
        self._among = {
            column: f"SELECT {column} FROM {table.name} WHERE {column} IN (SELECT value FROM json_each(?))"
            for column in ("key", *table.indexes)
        }
        self._key = table.key
        self._indexes = {name: _Index(name, column) for column, name in enumerate(table.indexes)}
        self._no_values = (None,) * len(table.indexes)
        self._of = tuple(table.indexes.values())
        self._changing = tuple(index not in table.lasting for index in table.indexes)
        self._upsert = _upsert(table)
        self._decode = msgspec.json.Decoder(table.row).decode

    def put(self, row: Any) -> None:
        """Put a changed row."""
        key = self._key(row)
        rows = self.rows
        if self._indexes and key not in self._unplaced:
            self._unplaced[key] = rows.get(key)
        rows[key] = row
        self.changed[key] = None
        self._missing.discard(key)
        self._empty = False

    def _place(self) -> None:
        """Update the indexes for the rows that were put since then."""
        for key, old in self._unplaced.items():
            row = self.rows[key]
            before = self._values.get(key)
            if before is None:
                before = self._no_values if old is None else self._values_of(old)
            if before is self._no_values:
                values = self._values_of(row)
            else:
                values = tuple(
                    [
                        of(row) if changes else was
                        for of, changes, was in zip(self._of, self._changing, before, strict=True)
                    ]
                )
            self._values[key] = values
            if before != values:
                for index, was, now in zip(self._indexes.values(), before, values, strict=True):
                    if was != now:
                        index.move(key, was, now)
        self._unplaced.clear()

    def _values_of(self, row: Any) -> tuple[str | None, ...]:
        return tuple([of(row) for of in self._of])

    def find(self, db: sqlite3.Connection, name: str, value: str) -> list[Any]:
        """Return the rows whose index has that value."""
        if self._unplaced:
            self._place()
        index = self._indexes[name]
        if value in index.empty:
            return []
        if value not in index.complete:
            self._make_room(db)
            keys = index.keys.setdefault(value, {})
            for key, *body in self._select(db, self._by_index[name], value):
                # The rows that were put since then are not in the indexes yet.
                if key not in self._values or self._values[key][index.column] == value:
                    self.load(key, *body)
                    keys[key] = None
            index.complete.add(value)
        rows = self.rows
        return [rows[key] for key in index.keys[value]]

    def values(self, db: sqlite3.Connection, name: str) -> list[str]:
        """Return each value of an index that leads to rows, in order."""
        self.write(db)
        # Each value costs one step in the index, however many rows it leads to.
        query = f"SELECT min({name}) FROM {self._name} WHERE {name} > ?"
        found = [""]
        while (value := select(db, query, (found[-1],))[0][0]) is not None:
            found.append(value)
        return found[1:]

    def read(self, db: sqlite3.Connection, key: str) -> Any:
        """Read a row that is not decoded yet; None where there is no such key."""
        if key in self._missing:
            return None
        self._make_room(db)
        found = self._select(db, self._by_key, key)
        if found:
            return self.load(key, *found[0])
        self._missing.add(key)
        return None

    def has(self, db: sqlite3.Connection, key: str) -> bool:
        """Return whether there is a row with that key."""
        if key in self.rows or key in self._there:
            return True
        if key in self._missing:
            return False
        there = bool(self._select(db, self._by_key, key))
        if not there:
            self._missing.add(key)
        return there

    def _select(self, db: sqlite3.Connection, query: str, value: str) -> list[Any]:
        """Ask the file; a table without rows is asked once, since nobody else adds any."""
        if self._empty is None:
            self._empty = not select(db, f"SELECT 1 FROM {self._name} LIMIT 1")
        return [] if self._empty else select(db, query, (value,))

    def look_up(self, db: sqlite3.Connection, values: Collection[str], column: str) -> None:
        """Find out which of these keys or index values have no row, here or in the file."""
        self._place()
        index = self._indexes.get(column)
        known_keys = (self._missing, self.rows)
        asked = {*values}.difference(*known_keys) if index is None else index.unknown(values)
        if not asked:
            return
        there = {value for (value,) in select(db, self._among[column], (_ENCODE(asked).decode(),))}
        if index is None:
            self._there = there
            self._missing |= asked - there
        else:
            index.empty |= asked - there

    def load(self, key: str, body: bytes, parts: str = "") -> Any:
        """Return the row; it is decoded at most once while it is cached."""
        row = self.rows.get(key)
        if row is None:
            try:
                row = self._decode(body)
                if self._parts is not None:
                    row = self._parts.joined(key, row, parts)
                self.rows[key] = row
            except (msgspec.MsgspecError, UnicodeDecodeError, TypeError) as error:
                raise damaged(self._path, f"the row {key[:80]!r} of {self._name}", error) from error
        return row

    def write(self, db: sqlite3.Connection) -> None:
        """Write the changed rows."""
        if not self.changed:
            return
        self._place()
        rows = self.rows
        if self._parts is not None:
            written = {key: rows[key] for key in self.changed}
            self._parts.write(db, written)
            rows.update(written)
            rows = {key: self._parts.without(row) for key, row in written.items()}
        if self._indexes:
            values = self._values
            db.executemany(self._upsert, [(key, *values[key], _ENCODE(rows[key])) for key in self.changed])
        else:
            db.executemany(self._upsert, [(key, _ENCODE(rows[key])) for key in self.changed])
        self.changed.clear()

    def _make_room(self, db: sqlite3.Connection) -> None:
        """Clear the cache if it holds many rows, before more are read.

        A sweep reads each fee of the day, and a step after an outage the past of many contracts.
        """
        if len(self.rows) > _CACHED_ROWS:
            self.write(db)
            self.forget()

    def bound(self) -> None:
        """Clear the decoded rows, the known absent keys, or the absent values of an index, if there are very
        many.
        """
        if len(self._missing) > _ABSENT_KEPT:
            self._missing.clear()
        found = 0
        for index in self._indexes.values():
            found += len(index.complete)
            if len(index.empty) > _ABSENT_KEPT:
                index.empty.clear()
        if len(self.rows) > _CACHED_ROWS or found > _CACHED_ROWS:
            self.forget()

    def forget_absent(self) -> None:
        """Forget which keys and index values lead to no row."""
        self._missing.clear()
        for index in self._indexes.values():
            index.empty.clear()

    def forget(self) -> None:
        """Drop all rows; absent keys stay known."""
        self.rows.clear()
        if self._parts is not None:
            self._parts.forget()
        self.changed.clear()
        for index in self._indexes.values():
            index.forget()
        self._values.clear()
        self._unplaced.clear()
        # Some may have been written by a step that is rolled back.
        self._there.clear()


def _upsert(table: Table[Any]) -> str:
    columns = ["key", *table.indexes, "body"]
    updates = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
    marks = ", ".join("?" * len(columns))
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks})"
        f" ON CONFLICT (key) DO UPDATE SET {updates}"
    )
