"""What other programs did to the alert store, found by comparing it with the ledger's state.

Owns what each comparison looks for: records that no longer show what was decided, records that are gone, came
back or were replaced by a newer one, and fills whose alert has appeared since. It writes nothing and decides
nothing: what it finds is journalled and applied by the pump.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from tracker.core.alert_updates import stakes_of
from tracker.core.journal_entries import Entry, RecordBack, RecordGone, RecordReplaced, Rematched
from tracker.core.model import Alert, AlertId, Ambiguous, Execution, ExecutionKey, Match, Matched
from tracker.core.ports import AlertStore
from tracker.core.state import ALERTS, EXECUTIONS, LedgerState
from tracker.core.state_rows import AlertState, BookedExecution, alert_text
from tracker.pipeline.careful_match import MatchAlerts


class StoreDifferences(NamedTuple):
    """Hold what a comparison found."""

    notes: list[Entry]
    undone: list[AlertState]
    """The records that show something else than was decided."""


class StoreChanges:
    """Compare one store with one ledger's state, each time it changed.

    `passes_over` says why an execution is never matched, empty where it may be. A fill is decided again for
    `retry_for` after its receipt, of which `readable_time` says how much the store could be read.
    """

    def __init__(
        self,
        book: LedgerState,
        store: AlertStore,
        match_alerts: MatchAlerts,
        passes_over: Callable[[Execution], str],
        *,
        readable_time: Callable[[datetime], timedelta],
        now: Callable[[], datetime],
        retry_for: timedelta,
    ) -> None:
        self._book = book
        self._store = store
        self._match = match_alerts
        self._passes_over = passes_over
        self._readable_time = readable_time
        self._now = now
        self._retry_for = retry_for
        self._unanswered: dict[ExecutionKey, Match | None] = {
            row.key: None for row in self._recent() if not isinstance(row.match, Matched)
        }
        """The fills without an alert, and what was noted of each last."""

    def unanswered(self, booked: BookedExecution) -> None:
        """Take a fill that was decided just now; without an alert it is decided again for a while."""
        if not isinstance(booked.match, Matched):
            self._unanswered[booked.key] = None

    def find(self) -> StoreDifferences:
        """Compare every record that was ever written, and decide again what found no alert."""
        notes: list[Entry] = []
        undone: list[AlertState] = []
        for state in self._book.find(ALERTS, "kept", "1"):
            shown = self._store.shown(state.alert)
            assert state.shown is not None, "only records with a decided state are kept"
            if shown is None:
                notes.append(self._missing(state))
            elif not shown.agrees(state.shown):
                undone.append(state)
        for state in self._book.find(ALERTS, "gone", "1"):
            shown = self._store.shown(state.alert)
            if shown is not None and state.gone:
                notes.append(RecordBack(state.alert))
            elif shown is not None and state.shown is not None and not shown.agrees(state.shown):
                # It had been removed, and a stale copy put it back.
                undone.append(state)
            elif (
                state.successor is None
                and not state.closed
                and (successor := self._successor(state)) is not None
            ):
                notes.append(RecordReplaced(state.alert, successor.id))
        notes += self._rematches()
        return StoreDifferences(notes, undone)

    def _missing(self, state: AlertState) -> Entry:
        """Return what became of a record that is no longer there: replaced by a newer one, or gone."""
        successor = self._successor(state)
        if successor is None:
            return RecordGone(state.alert)
        return RecordReplaced(state.alert, successor.id)

    def _successor(self, state: AlertState) -> Alert | None:
        """Return the newer record of the same alerter, ticker and contract."""
        for holding, stake in stakes_of(self._book, state):
            booked = self._book.get(EXECUTIONS, f"{holding.account} {stake.last_exec_id}")
            if booked is None or not stake.quantity:
                continue
            for alert in self._store.candidates(booked.execution):
                other = alert.id[:2] == state.alert[:2] and alert.id != state.alert
                if other and (_same_contract(alert, booked) or self._handed_on(alert.id, state.alert)):
                    return alert
        return None

    def _handed_on(self, alert: AlertId, to: AlertId) -> bool:
        """Tell whether a record, put back by a stale copy, had handed on what the other one owns."""
        state = self._book.get(ALERTS, alert_text(alert))
        while state is not None and state.successor is not None:
            if state.successor == to:
                return True
            state = self._book.get(ALERTS, alert_text(state.successor))
        return False

    def _rematches(self) -> Iterator[Entry]:
        """Yield the fills whose alert has appeared."""
        for key, noted in list(self._unanswered.items()):
            booked = self._book.get(EXECUTIONS, f"{key.account} {key.exec_id}")
            over = booked is None or isinstance(booked.match, Matched) or self._is_over(booked)
            # A correction in force has an entry of its own.
            over = over or bool(booked is not None and booked.superseded_by)
            if booked is None or over or self._passes_over(booked.execution):
                del self._unanswered[key]
                continue
            match = self._match(booked.dated, self._store.candidates(booked.execution))
            # What was noted once is not noted again, whatever the ledger made of it.
            if match not in (booked.match, noted) and isinstance(match, Matched | Ambiguous):
                self._unanswered[key] = match
                yield Rematched(key)

    def _is_over(self, booked: BookedExecution) -> bool:
        """Whether a fill's time to find an alert is over; time without a readable store does not count."""
        return self._readable_time(booked.received_at) > self._retry_for

    def _recent(self) -> list[BookedExecution]:
        now = self._now()
        days = {(now - self._retry_for).date(), now.date()}
        rows = [row for day in days for row in self._book.find(EXECUTIONS, "day", day.isoformat())]
        return [row for row in rows if row.received_at >= now - self._retry_for]


def _same_contract(alert: Alert, booked: BookedExecution) -> bool:
    """Whether a record speaks of the contract of an execution."""
    contract = booked.execution.contract
    if contract.con_id in alert.con_ids:
        return True
    details = (alert.symbol.upper(), alert.right, alert.strike)
    same = details == (contract.symbol.upper(), contract.right, contract.strike)
    return same and (alert.expiry.day == contract.expiry or not contract.is_option)
