"""Keep every input and every state row, in one SQLite file.

Owns all SQL. Frames are appended before anything looks at them, and a frame is never changed. State rows are
written only inside `step`, with the cursor, in one transaction. Durable means durable: WAL with
synchronous=FULL, set and read back; a commit that returned survives a power cut. One connection, used on one
thread, by the one daemon that holds the lock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from tracker.core.book import EXECUTIONS, TABLES, Row, Table
from tracker.core.model import Alert, ExecutionKey, Frame, Source, correction_parts
from tracker.stores.schema import MIGRATIONS

_ADAPTERS: Final[dict[str, TypeAdapter[Any]]] = {table.name: TypeAdapter(table.row) for table in TABLES}
_ALERTS: Final[TypeAdapter[tuple[Alert, ...]]] = TypeAdapter(tuple[Alert, ...])
_CACHED_ROWS: Final = 2_000
"""Rows that one table keeps decoded; beyond that the cache begins anew."""
_TAIL_FRAMES: Final = 20_000
"""Frames kept as they were appended, for the pump; when there are more it reads them from the file."""

KEPT: Final = "kept"
"""Outcome in the store's log under which a record's text is kept beside its first update."""
REMOVING: Final = "removing"
"""Outcome under which a record's whole text is kept before it is taken out."""


class JournalFailed(Exception):
    """The journal cannot be opened, read or written; the message names the file, the cause and what to do."""


def _select(db: sqlite3.Connection, sql: str, values: Sequence[object] = ()) -> list[Any]:
    """Return the rows of a query; raises JournalFailed."""
    try:
        return db.execute(sql, values).fetchall()
    except sqlite3.Error as error:
        path = db.execute("PRAGMA database_list").fetchone()[2]
        raise JournalFailed(
            f"the journal {path} could not be read: {error}; restore it from a copy, or move it away and"
            " start the tracker with a new one"
        ) from error


class Journal:
    """Hold the journal open.

    `read_only` opens an existing file for looking, beside a running daemon. Raises JournalFailed.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        try:
            self._db = _open(path, read_only=read_only)
        except sqlite3.Error as error:
            raise JournalFailed(
                f"the journal {path} cannot be opened: {error}; check its folder's permissions and free space"
            ) from error
        self.book = JournalBook(self._db)
        self._captured: dict[ExecutionKey, None] = {}
        self._last_seq = int(_select(self._db, "SELECT coalesce(max(seq), 0) FROM frames")[0][0])
        self._tail: list[Frame] = []
        """The newest frames, without a gap, as far back as the cursor or less."""
        self._considered: list[tuple[int, str, bytes]] = []

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self._db.close()

    # Frames

    def append(
        self, session: int, received_at: datetime, frames: Sequence[tuple[Source, tuple[str, ...]]]
    ) -> None:
        """Append frames in one commit, durable on return; raises JournalFailed."""
        at = received_at.timestamp()
        first = self._last_seq + 1
        rows = [
            (seq, at, session, source.value, "\0".join(fields).encode())
            for seq, (source, fields) in enumerate(frames, first)
        ]
        with self._transaction():
            self._db.executemany(
                "INSERT INTO frames (seq, received_at, session, source, fields) VALUES (?, ?, ?, ?, ?)", rows
            )
        self._last_seq += len(rows)
        if len(self._tail) + len(rows) > _TAIL_FRAMES:
            self._tail.clear()
        self._tail += [
            Frame(seq, received_at, session, source, tuple(fields))
            for seq, (source, fields) in enumerate(frames, first)
        ]
        for _, fields in frames:
            if fields[0] == "11" and len(fields) > 16:
                self._captured[ExecutionKey(fields[16], fields[14])] = None

    def knows(self, account: str, exec_id: str) -> bool:
        """Tell whether an execution is in the journal already, booked or waiting to be."""
        if ExecutionKey(account, exec_id) in self._captured:
            return True
        return self.book.has(EXECUTIONS, f"{account} {exec_id}")

    def unlisted(self, account: str, listed: Collection[str], since: datetime) -> int:
        """Count the account's booked executions since then that an answer did not list, in any version."""
        roots = {_root(exec_id) for exec_id in listed}
        count = 0
        for day in (since.date(), since.date() + timedelta(days=1), since.date() + timedelta(days=2)):
            for key in self.book.keys(EXECUTIONS, "day", day.isoformat()):
                of, _, exec_id = key.partition(" ")
                if of == account and _root(exec_id) not in roots:
                    booked = self.book.get(EXECUTIONS, key)
                    count += booked is not None and booked.execution.time >= since
        return count

    def frames_after(self, seq: int, limit: int) -> list[Frame]:
        """Return the next frames in order, at most `limit`."""
        if seq >= self._last_seq:
            return []
        if self._tail and self._tail[0].seq <= seq + 1:
            start = seq + 1 - self._tail[0].seq
            return self._tail[start : start + limit]
        rows = _select(
            self._db,
            "SELECT seq, received_at, session, source, fields FROM frames WHERE seq > ? ORDER BY seq LIMIT ?",
            (seq, limit),
        )
        return [_frame(row) for row in rows]

    def frame(self, seq: int) -> Frame | None:
        """Return one frame, None where retention has removed it."""
        rows = _select(
            self._db, "SELECT seq, received_at, session, source, fields FROM frames WHERE seq = ?", (seq,)
        )
        return _frame(rows[0]) if rows else None

    def notes(self) -> list[Frame]:
        """Return what people decided and what the alert store's other users did, in order.

        Those are the frames of `person` and `store`, as far as retention keeps them.
        """
        rows = _select(
            self._db,
            "SELECT seq, received_at, session, source, fields FROM frames"
            " WHERE source IN ('person', 'store') ORDER BY seq",
        )
        return [_frame(row) for row in rows]

    def days(self) -> list[str]:
        """Return the UTC dates on which executions were received, in order; the index `day` holds them."""
        found = _select(self._db, "SELECT DISTINCT day FROM executions WHERE day IS NOT NULL ORDER BY day")
        return [str(row[0]) for row in found]

    def drop_frames(self, before: datetime, limit: int = 5000) -> int:
        """Remove old frames, oldest first, at most `limit`; returns how many went.

        Kept, however old: what was not applied yet, what could not be decoded, what people decided and
        other programs did to records, and the frame at the cursor, without which its number would come again. Executions, decisions and
        all other state are rows of their own and stay for ever, so dedup and `why` lose nothing.
        """
        last_session = self.last_session
        with self._transaction():
            self._set_meta("session", str(last_session))
            gone = self._db.execute(
                "DELETE FROM frames WHERE seq IN (SELECT seq FROM frames WHERE received_at < ? AND seq < ?"
                " AND source NOT IN ('person', 'store')"
                " AND seq NOT IN (SELECT CAST(key AS INTEGER) FROM undecoded WHERE open IS NOT NULL)"
                " ORDER BY seq LIMIT ?)",
                (before.timestamp(), self.cursor, limit),
            ).rowcount
            self._db.execute("DELETE FROM considered WHERE seq < (SELECT min(seq) FROM frames)")
        return gone

    @property
    def cursor(self) -> int:
        """The last frame that was applied."""
        return int(self.meta("cursor") or 0)

    @property
    def last_session(self) -> int:
        """The number of the last connection, 0 before the first."""
        rows = _select(self._db, "SELECT session FROM frames ORDER BY seq DESC LIMIT 1")
        return int(rows[0][0]) if rows else int(self.meta("session") or 0)

    # The pump's transaction

    @contextmanager
    def step(self) -> Iterator[Callable[[int], None]]:
        """Open the transaction in which frames change state; call what it yields with the new cursor.

        Nothing is kept unless the block ends well. Raises JournalFailed when the commit fails.
        """
        cursor: list[int] = []
        try:
            with self._transaction():
                yield cursor.append
                self.book.flush()
                self._flush_considered()
                if cursor:
                    self._set_meta("cursor", str(cursor[-1]))
        except BaseException:
            self.book.forget()
            self._considered.clear()
            raise
        self.book.committed()
        if cursor:
            self._applied(cursor[-1])

    def _applied(self, cursor: int) -> None:
        """Let go of what was kept until its frame was applied."""
        if self._tail and self._tail[0].seq <= cursor:
            del self._tail[: cursor + 1 - self._tail[0].seq]
        if cursor >= self._last_seq:
            self._captured.clear()

    def considered(self, seq: int, key: ExecutionKey, alerts: Sequence[Alert]) -> None:
        """Record, inside a step, the alerts that a decision looked at."""
        if alerts:
            body = _ALERTS.dump_json(tuple(alerts))
            self._considered.append((seq, f"{key.account} {key.exec_id}", body))

    def _flush_considered(self) -> None:
        if self._considered:
            self._db.executemany(
                "INSERT OR REPLACE INTO considered (seq, execution, alerts) VALUES (?, ?, ?)",
                self._considered,
            )
            self._considered.clear()

    def was_considered(self, seq: int, key: ExecutionKey) -> tuple[Alert, ...]:
        """Return the alerts that a decision looked at."""
        rows = _select(
            self._db,
            "SELECT alerts FROM considered WHERE seq = ? AND execution = ?",
            (seq, f"{key.account} {key.exec_id}"),
        )
        return _ALERTS.validate_json(rows[0][0]) if rows else ()

    # What was done to the alert store

    def log_store(self, at: datetime, entries: Iterable[tuple[str, str, bytes]]) -> None:
        """Record, inside a step, what was done to the store: (alert's row key, outcome, body)."""
        self._db.executemany(
            "INSERT INTO store_log (at, alert, outcome, body) VALUES (?, ?, ?, ?)",
            [(at.timestamp(), alert, outcome, body) for alert, outcome, body in entries],
        )

    def store_log(self, alert: str, limit: int = 100) -> list[tuple[datetime, str, bytes]]:
        """Return what was done to one record, oldest first: (when, outcome, body)."""
        rows = _select(
            self._db,
            f"SELECT at, outcome, body FROM store_log WHERE alert = ? AND outcome != '{KEPT}'"
            " ORDER BY id DESC LIMIT ?",
            (alert, limit),
        )
        return [(_instant(at), outcome, body) for at, outcome, body in reversed(rows)]

    def kept_record(self, alert: str) -> str | None:
        """Return the newest whole text of one record that the log keeps, None where it keeps none."""
        rows = _select(
            self._db,
            f"SELECT body FROM store_log WHERE alert = ? AND outcome IN ('{KEPT}', '{REMOVING}')"
            " ORDER BY id DESC LIMIT 1",
            (alert,),
        )
        return bytes(rows[0][0]).decode() if rows else None

    # Single values

    def meta(self, name: str) -> str | None:
        """Return a single value by name."""
        rows = _select(self._db, "SELECT value FROM meta WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def set_meta(self, name: str, value: str) -> None:
        """Keep a single value, in a commit of its own."""
        with self._transaction():
            self._set_meta(name, value)

    def _set_meta(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise JournalFailed(
                f"the journal {self.path} could not be written: {error}; free space or mend the disk,"
                " then start the tracker again: nothing is half done"
            ) from error


class JournalBook:
    """Keep the rows of the book in the journal; changes are written when the step commits."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._tables = {table.name: _Rows(table) for table in TABLES}

    def get(self, table: Table[Row], key: str) -> Row | None:
        cached: Row | None = self._tables[table.name].rows.get(key)
        if cached is not None:
            return cached
        kept = self._tables[table.name]
        found = _select(self._db, kept.by_key, (key,))
        return kept.load(key, found[0][0]) if found else None

    def has(self, table: Table[Row], key: str) -> bool:
        """Tell whether a row is there, without decoding it."""
        if key in self._tables[table.name].rows:
            return True
        return bool(_select(self._db, f"SELECT 1 FROM {table.name} WHERE key = ?", (key,)))

    def keys(self, table: Table[Any], index: str, value: str) -> list[str]:
        """Return the keys of the rows with this index value in the file, without decoding them."""
        found = _select(self._db, f"SELECT key FROM {table.name} WHERE {index} = ?", (value,))
        return [key for (key,) in found]

    def find(self, table: Table[Row], index: str, value: str) -> list[Row]:
        assert index in table.indexes, f"{table.name} has no index {index}"
        kept = self._tables[table.name]
        found = _select(self._db, kept.by_index[index], (value,))
        changed = kept.changed
        rows: list[Row] = [kept.load(key, body) for key, body in found if key not in changed]
        rows += [kept.rows[key] for key in kept.places.get((index, value), ())]
        return rows

    def every(self, table: Table[Row]) -> Iterable[Row]:
        kept = self._tables[table.name]
        kept.write(self._db)
        for key, body in _select(self._db, f"SELECT key, body FROM {table.name} ORDER BY key"):
            yield kept.load(key, body)

    def put(self, table: Table[Row], row: Row) -> None:
        self._tables[table.name].put(row)

    def flush(self) -> None:
        """Write all changed rows into the open transaction."""
        for kept in self._tables.values():
            kept.write(self._db)

    def committed(self) -> None:
        """Let go of decoded rows beyond the bound; all of them are in the file now."""
        for kept in self._tables.values():
            if len(kept.rows) > _CACHED_ROWS:
                kept.rows.clear()

    def forget(self) -> None:
        """Drop what a failed step changed."""
        for kept in self._tables.values():
            kept.forget()


class _Rows:
    """Hold the decoded rows of one table, and those among them that are not written yet."""

    def __init__(self, table: Table[Any]) -> None:
        self.rows: dict[str, Any] = {}
        self.changed: dict[str, tuple[str | None, ...]] = {}
        """Key -> the row's index values, in the table's order."""
        self.places: dict[tuple[str, str], dict[str, None]] = {}
        """(index, value) -> the keys of changed rows."""
        self.by_key = f"SELECT body FROM {table.name} WHERE key = ?"
        self.by_index = {
            index: f"SELECT key, body FROM {table.name} WHERE {index} = ?" for index in table.indexes
        }
        self._key = table.key
        self._indexes = tuple(table.indexes.items())
        self._upsert = _upsert(table)
        self._codec = _ADAPTERS[table.name]

    def put(self, row: Any) -> None:
        """Take a changed row."""
        key = self._key(row)
        self.rows[key] = row
        values = tuple([of(row) for _, of in self._indexes])
        before = self.changed.get(key)
        if before == values:
            return
        self.changed[key] = values
        for place, (index, _) in enumerate(self._indexes):
            old, new = before[place] if before else None, values[place]
            if old is not None and old != new:
                del self.places[index, old][key]
            if new is not None:
                self.places.setdefault((index, new), {})[key] = None

    def load(self, key: str, body: bytes) -> Any:
        """Return the row, decoded at most once while it is kept."""
        row = self.rows.get(key)
        if row is None:
            row = self.rows[key] = self._codec.validate_json(body)
        return row

    def write(self, db: sqlite3.Connection) -> None:
        """Write the changed rows."""
        if not self.changed:
            return
        rows, dump = self.rows, self._codec.dump_json
        db.executemany(
            self._upsert, [(key, *values, dump(rows[key])) for key, values in self.changed.items()]
        )
        self.changed.clear()
        self.places.clear()

    def forget(self) -> None:
        """Drop everything."""
        self.rows.clear()
        self.changed.clear()
        self.places.clear()


def _root(exec_id: str) -> str:
    parts = correction_parts(exec_id)
    return exec_id if parts is None else parts.root


def _upsert(table: Table[Any]) -> str:
    columns = ["key", *table.indexes, "body"]
    updates = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
    marks = ", ".join("?" * len(columns))
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks})"
        f" ON CONFLICT (key) DO UPDATE SET {updates}"
    )


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _frame(row: tuple[int, float, int, str, bytes]) -> Frame:
    seq, received_at, session, source, fields = row
    return Frame(seq, _instant(received_at), session, Source(source), tuple(fields.decode().split("\0")))


def _open(path: Path, *, read_only: bool) -> sqlite3.Connection:
    where = f"{path.absolute().as_uri()}?mode=ro" if read_only else str(path)
    db = sqlite3.connect(where, uri=read_only, isolation_level=None)
    try:
        if not read_only:
            _make_durable(db, path)
            _migrate(db)
        _check_version(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _make_durable(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA busy_timeout = 5000")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    mode = db.execute("PRAGMA journal_mode").fetchone()[0]
    synchronous = db.execute("PRAGMA synchronous").fetchone()[0]
    if (mode, synchronous) != ("wal", 2):
        raise JournalFailed(
            f"the journal {path} cannot be made durable: SQLite answers journal_mode={mode},"
            f" synchronous={synchronous}; put it on a local file system"
        )


def _migrate(db: sqlite3.Connection) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        # One transaction each, the record of it included: a crash leaves the old version or the new.
        db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")


def _check_version(db: sqlite3.Connection, path: Path) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise JournalFailed(
            f"the journal {path} has version {version}, written by a newer tracker (this one knows"
            f" {len(MIGRATIONS)}); use that one"
        )
    if version < len(MIGRATIONS):
        raise JournalFailed(
            f"the journal {path} has version {version}, written by an older tracker or never finished;"
            " start the tracker once to bring it up to date"
        )
