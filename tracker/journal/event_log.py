"""Store events by number, so that a consumer can continue after the last event it saw, also after a restart
of either side.

Owns the table of events and their numbers. The events of a decision are stored in the decision's transaction,
so neither exists without the other. A number is given only once in the life of a journal. It never decides
what an event is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from tracker.journal.journal_file import damaged, path_of, select, select_each, whole_number

Event: TypeAlias = Mapping[str, Any]

_EVENTS: Final = msgspec.json.Decoder(list[dict[str, Any]])
_LIFE: Final = 1_000_000
"""How far the numbers of a run begin after the last stored one: events that were only in memory had numbers,
too.
"""
_FROM: Final = "events_from"
_DROPPED: Final = "events_dropped"


class KeptEvents(NamedTuple):
    """Hold events by number, and the highest number that is no longer stored."""

    dropped: int
    events: list[tuple[int, Event]]


class EventLog:
    """Number events, and store those of decisions; `db` is the journal's own connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        ((kept,),) = select(db, "SELECT coalesce(max(last), 0) FROM events")
        rows = select(db, "SELECT value FROM meta WHERE name = ?", (_FROM,))
        path = path_of(db)
        begun = whole_number(path, f"the value {_FROM!r}", rows[0][0]) if rows else 0
        self.last = max(whole_number(path, "the number of an event", kept), begun)
        """The last number that was given."""
        self._under_way = 0

    def begin_life(self, set_meta: Callable[[str, str], None]) -> None:
        """Leave room for the numbers that an earlier run gave and did not store; the first run needs none."""
        life = select(self._db, "SELECT 1 FROM meta WHERE name = ?", (_FROM,))
        if life or self.last:
            self.last += _LIFE
        set_meta(_FROM, str(self.last))

    def keep(self, events: Sequence[Event], at: datetime) -> None:
        """Store events inside a step; their numbers follow the last one, in order."""
        if not events:
            return
        first = self.last + self._under_way + 1
        self._under_way += len(events)
        self._db.execute(
            "INSERT INTO events (first, last, at, body) VALUES (?, ?, ?, ?)",
            (first, first + len(events) - 1, at.timestamp(), msgspec.json.encode(events)),
        )

    def skip(self) -> None:
        """Give a number to an event that is not stored."""
        self.last += 1

    def committed(self) -> None:
        """Confirm the numbers of the stored events after the commit."""
        self.last += self._under_way
        self._under_way = 0

    def forget(self) -> None:
        """Take back the numbers of a step that was rolled back."""
        self._under_way = 0

    def after(self, number: int, limit: int) -> KeptEvents:
        """Return stored events with higher numbers, in order, at least `limit` if there are so many.

        Raises JournalFailed.
        """
        found: list[tuple[int, Event]] = []
        sql = "SELECT first, body FROM events WHERE last > ? ORDER BY first"
        for first, body in select_each(self._db, sql, (number,)):
            try:
                events = _EVENTS.decode(body)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise damaged(path_of(self._db), f"the events from {first} on", error) from error
            found += [(at, event) for at, event in enumerate(events, first) if at > number]
            if len(found) >= limit:
                break
        dropped = select(self._db, "SELECT value FROM meta WHERE name = ?", (_DROPPED,))
        gone = whole_number(path_of(self._db), f"the value {_DROPPED!r}", dropped[0][0]) if dropped else 0
        return KeptEvents(gone, found)

    def drop(self, before: datetime, set_meta: Callable[[str, str], None]) -> None:
        """Delete older events; inside a transaction."""
        ((last,),) = select(self._db, "SELECT max(last) FROM events WHERE at < ?", (before.timestamp(),))
        if last is not None:
            self._db.execute("DELETE FROM events WHERE at < ?", (before.timestamp(),))
            set_meta(_DROPPED, str(last))
