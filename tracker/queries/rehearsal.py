"""Try what a decision would change, in an overlay over the journal's rows; nothing is written.

Owns the overlay over the journal's rows, and the run of the real ledger on it. The decision itself will do
exactly the same, unless something else changes in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final, TypeVar

from tracker.core.alert_updates import ClosingPolicy
from tracker.core.alerters import AlerterNames
from tracker.core.journal_entries import Entry
from tracker.core.ledger import Ledger
from tracker.core.matching import match_execution
from tracker.core.model import Execution, Frame, Match
from tracker.core.ownership import Circumstances
from tracker.core.ports import AlertStore
from tracker.core.state import LedgerState, MemoryLedgerState, Table

Row = TypeVar("Row")
FIRST_REHEARSED: Final = 2**62
"""Number of the first frame of a rehearsal, higher than that of every frame of a journal."""


class Overlay:
    """Hold changed rows in front of another state, whose rows stay unchanged."""

    def __init__(self, below: LedgerState) -> None:
        self._below = below
        self._above = MemoryLedgerState()
        self._changed: set[tuple[str, str]] = set()

    def get(self, table: Table[Row], key: str) -> Row | None:
        """Return the row of that key."""
        state: LedgerState = self._above if (table.name, key) in self._changed else self._below
        return state.get(table, key)

    def find(self, table: Table[Row], index: str, value: str) -> list[Row]:
        """Return the rows whose index has that value."""
        unchanged = self._unchanged(table, self._below.find(table, index, value))
        return [*unchanged, *self._above.find(table, index, value)]

    def values(self, table: Table[Any], index: str) -> list[str]:
        """Return each value of an index that leads to rows."""
        found = {*self._above.values(table, index), *self._below.values(table, index)}
        return sorted(value for value in found if self.find(table, index, value))

    def every(self, table: Table[Row]) -> Iterable[Row]:
        """Return all rows of a table."""
        return [*self._unchanged(table, self._below.every(table)), *self._above.every(table)]

    def has_key_from(self, table: Table[Any], prefix: str) -> bool:
        """Return whether the key of a row begins so."""
        return any(state.has_key_from(table, prefix) for state in (self._above, self._below))

    def put(self, table: Table[Row], row: Row) -> None:
        """Hold a row in place of the other state's."""
        self._changed.add((table.name, table.key(row)))
        self._above.put(table, row)

    def changed(self, table: Table[Row]) -> list[Row]:
        """Return the changed rows of a table."""
        return list(self._above.every(table))

    def _unchanged(self, table: Table[Row], rows: Iterable[Row]) -> list[Row]:
        return [row for row in rows if (table.name, table.key(row)) not in self._changed]


def rehearse(
    state: LedgerState,
    entries: Iterable[Entry],
    store: AlertStore,
    names: AlerterNames,
    *,
    early_fill: timedelta,
    policy: ClosingPolicy,
    zone: tzinfo,
    now: datetime,
) -> Overlay:
    """Return the rows as these notes would leave them; `zone` is that of the accounts' midnight."""

    def decide(execution: Execution, met: Circumstances) -> Match:
        candidates = store.candidates(execution)
        return match_execution(execution, candidates, early_fill=early_fill, names=names, **met._asdict())

    overlay = Overlay(state)
    trial = Ledger(overlay, decide, policy=policy, names=names, candidates=store.candidates, zone=zone)
    for number, entry in enumerate(entries):
        frame = Frame(FIRST_REHEARSED + number, now, 0, entry.SOURCE, entry.fields)
        trial.apply(frame, None)
        trial.settle(frame)
    return overlay
