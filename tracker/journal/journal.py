"""The journal's file: frames, the transaction of the pump, and what was done to the alert store.

Owns the SQL of everything but state rows (`rows.py`). One connection, used on one thread, by the one daemon
that holds the lock.

- Frames are appended before they are decided, or in one commit with the decision; a decision that fails takes
  back no frame, and a frame is never changed.
- State rows are written only inside a step, in one transaction with the cursor.
- A commit that returned survives a power cut: WAL with synchronous=FULL, set and read back.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import is_
from pathlib import Path
from typing import Final

import msgspec

from tracker.core.journal_entries import Arriving as ArrivingFrame
from tracker.core.journal_entries import Entry, execution_key, read_entry
from tracker.core.message_fields import Message
from tracker.core.model import Alert, CommissionReport, ExecutionKey, Frame, Source, correction_parts
from tracker.core.state import EXECUTIONS, FEES
from tracker.journal.event_log import EventLog
from tracker.journal.file_watch import FileWatch
from tracker.journal.journal_file import (
    UNREADABLE,
    damaged,
    failure,
    open_file,
    select,
    whole_number,
)
from tracker.journal.journal_file import JournalFailed as JournalFailed
from tracker.journal.prefetch import look_up
from tracker.journal.rows import JournalState

_ALERTS: Final = msgspec.json.Decoder(tuple[Alert, ...])
_TAIL_FRAMES: Final = 10_000
"""How many appended frames are kept in memory for the pump; it reads further ones from the file."""
_CLOCKS_APART: Final = timedelta(hours=1)
"""A longer time than the broker's clock and ours can differ by."""

Arriving = Sequence[ArrivingFrame]
"""Frames without a number, before they are appended."""

KEPT: Final = "kept"
"""Outcome in the store's log under which a record's text is kept beside its first update."""
REMOVING: Final = "removing"
"""Outcome under which a record's whole text is kept before it is taken out."""


class Journal:
    """Read and write the open journal.

    `read_only` opens an existing file beside a running daemon. Raises JournalFailed.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._db, self.upgrade = open_file(path, read_only=read_only)
        self._file = FileWatch(self._db, path)
        self.state = JournalState(self._db)
        self.events = EventLog(self._db)
        self._read_only = read_only
        self._cursor: int | None = None
        """The last applied frame that is known here; in another process's file it may be higher by now."""
        self._captured: dict[ExecutionKey, None] = {}
        try:
            self._last_seq = int(select(self._db, "SELECT coalesce(max(seq), 0) FROM frames")[0][0])
        except BaseException:
            self._db.close()
            raise
        self._tail: list[Frame] = []
        """The newest frames without a gap, back to the cursor at most."""
        self._considered: list[tuple[int, str, bytes]] = []
        self._dumped: tuple[Sequence[Alert], bytes] = ((), b"")
        """The alerts that the last decision looked at, and their JSON: the fills of one order share them."""

    def close(self) -> None:
        """Close the file; what was committed stays. Raises JournalFailed where the file was overwritten."""
        self._file.close()

    def stamp_file(self) -> None:
        """Mark the file with a number of this run, by which it is recognised. Raises JournalFailed."""
        self._file.stamp()

    def check_file(self) -> None:
        """Check that the path still leads to the open file, as we wrote it. Raises JournalFailed."""
        self._file.check()

    # Frames

    def append(self, connection_no: int, received_at: datetime, frames: Arriving) -> int:
        """Append frames in one commit, durable on return; return the last number. Raises JournalFailed."""
        arrived = self._numbered(connection_no, received_at, frames)
        with self._transaction():
            self._insert(arrived)
        self._keep(arrived)
        return self._last_seq

    @contextmanager
    def append_and_step(
        self, connection_no: int, received_at: datetime, frames: Arriving
    ) -> Iterator[tuple[Sequence[Frame], Callable[[int], None]]]:
        """Append frames and open a step over them, all in one commit; nothing else may wait to be applied.

        Yields the frames, and what `step` yields. If the block fails, only its own changes are rolled back:
        the frames are durable when its error is raised. Raises JournalFailed, and then nothing is stored.
        """
        assert not self.waiting, "frames are applied in their order"
        arrived = self._numbered(connection_no, received_at, frames)
        failed: Exception | None = None
        with self._changing_rows() as cursor:
            self._insert(arrived)
            self._db.execute("SAVEPOINT step")
            try:
                yield arrived, partial(self._advance, cursor)
                self._write_rows()
            except (sqlite3.Error, JournalFailed):
                raise
            except Exception as error:
                self._db.execute("ROLLBACK TO step")
                cursor.clear()
                self._forget_rows()
                failed = error
        if failed is not None:
            self._keep(arrived)
            raise failed
        self._last_seq = arrived[-1].seq

    def _numbered(self, connection_no: int, received_at: datetime, frames: Arriving) -> list[Frame]:
        first = self._last_seq + 1
        return [
            Frame(seq, received_at, connection_no, source, tuple(fields))
            for seq, (source, fields) in enumerate(frames, first)
        ]

    def _insert(self, frames: Sequence[Frame]) -> None:
        self._db.executemany(
            "INSERT INTO frames (seq, received_at, session, source, fields) VALUES (?, ?, ?, ?, ?)",
            [
                (one.seq, one.received_at.timestamp(), one.connection_no, one.source.value, _bytes(one))
                for one in frames
            ],
        )

    def _keep(self, frames: Sequence[Frame]) -> None:
        """Keep appended frames until they are applied."""
        self._last_seq += len(frames)
        if len(self._tail) + len(frames) > _TAIL_FRAMES:
            self._tail.clear()
        self._tail += frames
        for frame in frames:
            fields = frame.fields
            if fields[0] == Message.EXECUTION and (key := execution_key(fields)) is not None:
                self._captured[key] = None

    @property
    def waiting(self) -> bool:
        """Whether frames wait to be applied."""
        return self._last_seq > self.cursor

    def contains(self, key: ExecutionKey) -> bool:
        """Return whether an execution is in the journal, booked or still waiting."""
        return key in self._captured or self.state.has(EXECUTIONS, f"{key.account} {key.exec_id}")

    def prefetch(self, messages: Sequence[Sequence[str]]) -> None:
        """Look up together what `contains` and the pump will ask about each of these messages.

        Outside a transaction each query takes and releases SQLite's locks, and in a stream of fills almost
        none of them is in the file yet.
        """
        look_up(self.state, messages)

    def newest_fee(self, exec_id: str) -> CommissionReport | None:
        """Return the newest applied fee report of an execution, None where there is none."""
        return self.state.get(FEES, exec_id)

    def count_missing(self, account: str, listed: Collection[str], since: datetime, asked: datetime) -> int:
        """Count the account's executions since a moment that an answer did not list in any version.

        Executions received after the request need not be in the answer. Times are aware.
        """
        start = f"{account} "
        absent: list[str] = []
        for day in (since.date(), since.date() + timedelta(days=1), since.date() + timedelta(days=2)):
            keys = self.state.keys(EXECUTIONS, "day", day.isoformat())
            absent += [key for key in keys if key.startswith(start) and key[len(start) :] not in listed]
        rows = [booked for key in absent if (booked := self.state.get(EXECUTIONS, key)) is not None]
        rows = [row for row in rows if row.received_at < asked]
        # An answer lists the version in force.
        replaced = {row.superseded_by for row in rows if row.superseded_by}.intersection(listed)
        rows = [row for row in rows if row.execution.time >= since and row.superseded_by not in replaced]
        # Computed only if needed: on a busy day the roots of all listed executions cost time.
        roots = {_root(exec_id) for exec_id in listed} if rows else set()
        return sum(_root(row.execution.exec_id) not in roots for row in rows)

    def fills_since(self, since: datetime) -> tuple[int, int]:
        """Count the fills executed since a moment (aware), and those of them whose fee is not known yet.

        A replaced version and a combo's own line do not count. SQLite counts them, since on a busy day
        decoding them all would delay the fills that come meanwhile.
        """
        since = since.astimezone(UTC)
        (found,) = select(
            self._db,
            "SELECT COUNT(*), TOTAL(NOT EXISTS (SELECT 1 FROM fees AS f WHERE f.key = e.exec_id"
            " AND json_extract(CAST(f.body AS TEXT), '$.commission') IS NOT NULL))"
            " FROM executions AS e WHERE e.day >= ?"
            " AND json_extract(CAST(e.body AS TEXT), '$.execution.time') >= ?"
            " AND json_extract(CAST(e.body AS TEXT), '$.superseded_by') = ''"
            " AND json_extract(CAST(e.body AS TEXT), '$.execution.contract.sec_type') <> 'BAG'",
            # `day` is the day of the receipt, which is after the execution, give or take the clocks'
            # difference. Times are texts in UTC, so a fraction of a second sorts after the whole second.
            ((since - _CLOCKS_APART).date().isoformat(), f"{since:%Y-%m-%dT%H:%M:%S}"),
        )
        return int(found[0]), int(found[1])

    def frames_after(self, seq: int, limit: int) -> list[Frame]:
        """Return the next frames in order, at most `limit`."""
        if seq >= self._last_seq:
            return []
        if self._tail and self._tail[0].seq <= seq + 1:
            start = seq + 1 - self._tail[0].seq
            return self._tail[start : start + limit]
        rows = select(
            self._db,
            "SELECT seq, received_at, session, source, fields FROM frames WHERE seq > ? ORDER BY seq LIMIT ?",
            (seq, limit),
        )
        return [self._frame(row) for row in rows]

    def frame(self, seq: int) -> Frame | None:
        """Return one frame, None where retention has removed it."""
        rows = select(
            self._db, "SELECT seq, received_at, session, source, fields FROM frames WHERE seq = ?", (seq,)
        )
        return self._frame(rows[0]) if rows else None

    def _frame(self, row: tuple[int, float, int, str, bytes]) -> Frame:
        seq, received_at, connection_no, source, fields = row
        try:
            texts = tuple(fields.decode().split("\0"))
            return Frame(seq, _instant(received_at), connection_no, Source(source), texts)
        except (*UNREADABLE, AttributeError) as error:
            raise damaged(self.path, f"frame {seq}", error) from error

    def notes(self) -> list[Frame]:
        """Return the notes about decisions of people and about the alert store's other users, in order.

        These are the frames of the sources `person` and `store`, as far as retention keeps them.
        """
        rows = select(
            self._db,
            "SELECT seq, received_at, session, source, fields FROM frames"
            " WHERE source IN ('person', 'store') ORDER BY seq",
        )
        return [self._frame(row) for row in rows]

    def flex_entries(self, containing: bytes) -> list[Entry]:
        """Return the entries of Flex reports that contain a text, as far as retention keeps them."""
        rows = select(
            self._db,
            "SELECT seq, received_at, session, source, fields FROM frames"
            " WHERE source = 'flex' AND instr(fields, ?) ORDER BY seq",
            (containing,),
        )
        entries = [read_entry(self._frame(row)) for row in rows]
        return [entry for entry in entries if entry is not None]

    def days(self) -> list[str]:
        """Return the UTC dates on which executions were received, in order; the index `day` holds them."""
        found = select(self._db, "SELECT DISTINCT day FROM executions WHERE day IS NOT NULL ORDER BY day")
        return [str(row[0]) for row in found]

    def drop_frames(self, before: datetime, limit: int = 5000) -> int:
        """Delete old frames, oldest first, at most `limit`; returns how many.

        These frames stay at any age: not applied yet, not decodable, notes of what people decided and other
        programs did to records, and the frame at the cursor, without which its number would be given again.
        The state has rows of its own, which stay for ever, so dedup and `why` lose nothing.
        """
        last_connection_no = self.last_connection_no
        with self._transaction():
            self._set_meta("session", str(last_connection_no))
            gone = self._db.execute(
                "DELETE FROM frames WHERE seq IN (SELECT seq FROM frames WHERE received_at < ? AND seq < ?"
                " AND source NOT IN ('person', 'store')"
                " AND seq NOT IN (SELECT CAST(key AS INTEGER) FROM undecoded WHERE open IS NOT NULL)"
                " ORDER BY seq LIMIT ?)",
                (before.timestamp(), self.cursor, limit),
            ).rowcount
            self._db.execute("DELETE FROM considered WHERE seq < (SELECT min(seq) FROM frames)")
        return gone

    def drop_events(self, before: datetime) -> None:
        """Delete the events before a moment."""
        with self._transaction():
            self.events.drop(before, self._set_meta)

    @property
    def cursor(self) -> int:
        """The last frame that was applied."""
        if self._cursor is None or self._read_only:
            self._cursor = self.number("cursor")
        return self._cursor

    @property
    def last_connection_no(self) -> int:
        """The number of the last connection, 0 before the first."""
        rows = select(self._db, "SELECT session FROM frames ORDER BY seq DESC LIMIT 1")
        if not rows:
            return self.number("session")
        return whole_number(self.path, "the connection of the newest frame", rows[0][0])

    # The pump's transaction

    @contextmanager
    def step(self) -> Iterator[Callable[[int], None]]:
        """Open the transaction in which frames change state; call what it yields with the new cursor.

        That call writes all changed rows; the end of the block commits. Nothing is stored if the block
        raises. Raises JournalFailed when the commit fails.
        """
        with self._changing_rows() as cursor:
            yield partial(self._advance, cursor)
            self._write_rows()

    @contextmanager
    def _changing_rows(self) -> Iterator[list[int]]:
        """Open a transaction; the caller puts the new cursor into the list that it yields."""
        cursor: list[int] = []
        try:
            with self._transaction():
                yield cursor
        except BaseException:
            self._forget_rows()
            raise
        self.state.committed()
        self.events.committed()
        if cursor:
            self._cursor = cursor[-1]
            self._applied(self._cursor)

    def _advance(self, cursor: list[int], seq: int) -> None:
        cursor.append(seq)
        self._write_rows()
        self._set_meta("cursor", str(seq))

    def _write_rows(self) -> None:
        self.state.flush()
        self._flush_considered()

    def _forget_rows(self) -> None:
        self.state.forget()
        self.events.forget()
        self._considered.clear()

    def _applied(self, cursor: int) -> None:
        """Drop from memory what was kept until its frame was applied."""
        if self._tail and self._tail[0].seq <= cursor:
            del self._tail[: cursor + 1 - self._tail[0].seq]
        if cursor >= self._last_seq:
            self._captured.clear()

    def considered(self, seq: int, key: ExecutionKey, alerts: Sequence[Alert]) -> None:
        """Record, inside a step, the alerts that a decision looked at."""
        if alerts:
            if not _same(alerts, self._dumped[0]):
                self._dumped = (alerts, msgspec.json.encode(alerts))
            body = self._dumped[1]
            self._considered.append((seq, f"{key.account} {key.exec_id}", body))

    def _flush_considered(self) -> None:
        if self._considered:
            self._db.executemany(
                "INSERT OR REPLACE INTO considered (seq, execution, alerts) VALUES (?, ?, ?)",
                self._considered,
            )
            self._considered.clear()

    def was_considered(self, seq: int, key: ExecutionKey) -> tuple[Alert, ...]:
        """Return the recorded alerts that a decision looked at."""
        rows = select(
            self._db,
            "SELECT alerts FROM considered WHERE seq = ? AND execution = ?",
            (seq, f"{key.account} {key.exec_id}"),
        )
        try:
            return _ALERTS.decode(rows[0][0]) if rows else ()
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise damaged(self.path, f"what was considered for {key.exec_id}", error) from error

    # What was done to the alert store

    def log_store(self, at: datetime, entries: Iterable[tuple[str, str, bytes]]) -> None:
        """Record, inside a step, what was done to the store: (alert's row key, outcome, body)."""
        self._db.executemany(
            "INSERT INTO store_log (at, alert, outcome, body) VALUES (?, ?, ?, ?)",
            [(at.timestamp(), alert, outcome, body) for alert, outcome, body in entries],
        )

    def store_log(self, alert: str, limit: int = 100) -> list[tuple[datetime, str, object]]:
        """Return what was done to one record, oldest first: (when, outcome, update; None for a removal)."""
        rows = select(
            self._db,
            f"SELECT at, outcome, body FROM store_log WHERE alert = ? AND outcome != '{KEPT}'"
            " ORDER BY id DESC LIMIT ?",
            (alert, limit),
        )
        try:
            return [
                (_instant(at), outcome, None if outcome == REMOVING else json.loads(body))
                for at, outcome, body in reversed(rows)
            ]
        except (*UNREADABLE, RecursionError) as error:
            raise damaged(self.path, "what was written to an alert", error) from error

    def kept_record(self, alert: str) -> str | None:
        """Return the newest whole text of one record in the log, None where there is none."""
        rows = select(
            self._db,
            f"SELECT body FROM store_log WHERE alert = ? AND outcome IN ('{KEPT}', '{REMOVING}')"
            " ORDER BY id DESC LIMIT 1",
            (alert,),
        )
        try:
            return str(rows[0][0], "utf-8") if rows else None
        except UNREADABLE as error:
            raise damaged(self.path, "the text of an alert", error) from error

    # The kind of login

    def login_kind(self) -> str | None:
        """Return `paper` or `live`, None before the first login."""
        return self.meta("mode")

    def bind_login_kind(self, kind: str) -> None:
        """Store the kind of login that this journal belongs to from now on."""
        self.set_meta("mode", kind)

    def meta(self, name: str) -> str | None:
        """Return a single value by name."""
        rows = select(self._db, "SELECT value FROM meta WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def number(self, name: str) -> int:
        """Return a single value that is a whole number, 0 where there is none."""
        return whole_number(self.path, f"the value {name!r}", self.meta(name) or "0")

    def set_meta(self, name: str, value: str) -> None:
        """Store a single value, in a commit of its own."""
        with self._transaction():
            self._set_meta(name, value)

    def _set_meta(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._file.check_if_written()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
                self._file.committed()
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            problem = failure(self.path, "written", error)
            raise JournalFailed(f"{problem}, then start the tracker again: no change is half done") from error


def _bytes(frame: Frame) -> bytes:
    return "\0".join(frame.fields).encode()


def _root(exec_id: str) -> str:
    parts = correction_parts(exec_id)
    return exec_id if parts is None else parts.root


def _same(one: Sequence[object], other: Sequence[object]) -> bool:
    """Return whether two sequences hold the very same objects."""
    return len(one) == len(other) and all(map(is_, one, other))


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
