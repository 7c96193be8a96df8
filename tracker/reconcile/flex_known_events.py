"""Find which events of a Flex report are entered already, and which a report cancels.

Owns how an event is recognised among the adjustments. A later report may cancel what an earlier one had, by a
row of its own, and book it again by a third one.

| the row cancels | what is journalled |
|---|---|
| an adjustment of the journal | that it is taken back in its place |
| a transfer that the journal does not know | that it is cancelled: an older report may still bring it |
| another event that the journal does not know | nothing here: it turns back what the broker did |

What was cancelled is not imported again, but what was booked after the cancellation is: transactions are
numbered in their order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

from tracker.core.adjustment_rows import TRANSFERRED, Adjustment
from tracker.core.journal_entries import EventCancelled
from tracker.core.position_history import PositionHistory
from tracker.core.scaling import is_same_ratio
from tracker.core.state import ADJUSTMENTS, LedgerState
from tracker.gateway.flex_dates import hours_of
from tracker.gateway.flex_events import PositionEvent

NEAR: Final = timedelta(days=5)
SECOND: Final = timedelta(seconds=1)
"""How much before its time an action counts."""


def key_of(event: PositionEvent) -> str:
    """Return account and contract of an event, as `ContractKey.text`."""
    return f"{event.account} {event.contract.con_id}"


def into_key_of(event: PositionEvent) -> str:
    """Return account and contract of what it became, empty where it stayed what it was."""
    return "" if event.becomes is None else f"{event.account} {event.becomes.con_id}"


def text_of(event: PositionEvent) -> str:
    """Return what says in words what happened."""
    return event.text or f"Flex transaction {event.transaction}"


class Cancellations:
    """Find what the events of one report cancel; `known` are the cancellations of earlier reports."""

    def __init__(
        self, state: LedgerState, events: Iterable[PositionEvent], known: Sequence[EventCancelled] = ()
    ) -> None:
        self._state = state
        self.left: list[PositionEvent] = list(events)
        """The events that are neither cancelled nor known to cancel something."""
        self.gone: list[PositionEvent] = []
        """The other events of the report."""
        self.taken: list[tuple[PositionEvent, EventCancelled]] = []
        """What is to be journalled, each with the row that cancels."""
        self._rows: dict[int, Adjustment] = {}
        self._entries = list(known)
        for event in [each for each in self.left if each.cancels]:
            self._cancel(event)
        for entry in self._entries:
            self._drop_cancelled(entry)

    @property
    def undone(self) -> Collection[Adjustment]:
        """The adjustments that the report takes back."""
        return self._rows.values()

    def is_booked_after(self, event: PositionEvent, row: Adjustment) -> bool:
        """Return whether an event was booked after an adjustment like it was cancelled."""
        return any(entry.frame == row.seq and _is_newer(event, entry) for entry in self._entries)

    def _cancel(self, event: PositionEvent) -> None:
        told = next((entry for entry in self._entries if _is_told(event, entry)), None)
        row = self._row_of(event) if told is None else None
        if row is not None:
            self._rows[row.seq] = row
        elif told is not None or event.cause != TRANSFERRED or event.at is None:
            if told is not None and told.frame:
                self._drop(event)
            return
        at = row.place.time if row is not None else event.at
        assert at is not None, "only what has a time is cancelled"
        entry = EventCancelled(
            key_of(event),
            event.cause,
            at.isoformat(),
            str(event.quantity),
            text_of(event),
            event.transaction,
            row.seq if row is not None else 0,
        )
        self._entries.append(entry)
        self.taken.append((event, entry))
        if row is not None:
            self._drop(event)

    def _drop(self, event: PositionEvent) -> None:
        self.left.remove(event)
        self.gone.append(event)

    def _row_of(self, event: PositionEvent) -> Adjustment | None:
        """Return the adjustment that an event cancels."""
        rows = self._state.find(ADJUSTMENTS, "contract", key_of(event))
        if event.becomes is not None:
            rows += self._state.find(ADJUSTMENTS, "contract", into_key_of(event))
        rows = [row for row in rows if row.told and not row.undone and row.seq not in self._rows]
        rows = [row for row in rows if self._is_opposite(row, event)]
        at = event.at
        if at is None:
            return rows[-1] if len(rows) == 1 else None
        here = [row for row in rows if is_at(row, event.day, at)]
        before = [row for row in rows if row.place.time <= at]
        return max(here or before, key=lambda row: row.place, default=None)

    def _is_opposite(self, row: Adjustment, event: PositionEvent) -> bool:
        if event.becomes is not None:
            return row.into in (key_of(event), into_key_of(event))
        if row.into or row.came_from:
            return False
        if event.ratio is not None:
            return is_same_ratio(row.ratio, 1 / event.ratio)
        if row.note != text_of(event) or row.cause != event.cause or row.ratio is not None:
            return False
        if row.change is not None:
            return _are_opposite(row.change, event)
        assert row.held is not None, "it is a change, a ratio or a quantity"
        before = PositionHistory(self._state, row_key(row), without=(row,)).held_behind(row.place)
        return _are_opposite(row.held - before, event)

    def _drop_cancelled(self, entry: EventCancelled) -> None:
        """Drop the event that was cancelled, if the report has it too."""
        found = [event for event in self.left if self._is_of(event, entry)]
        at = datetime.fromisoformat(entry.at)
        nearest = min(found, key=lambda event: abs((event.at or at) - at), default=None)
        if nearest is not None:
            self._drop(nearest)

    def _is_of(self, event: PositionEvent, entry: EventCancelled) -> bool:
        if event.cancels or event.at is None or _is_newer(event, entry):
            return False
        if entry.frame:
            rows = self._state.find(ADJUSTMENTS, "name", str(entry.frame))
            return any(row_key(row) == key_of(event) and is_same(row, event) for row in rows)
        alike = (key_of(event), event.cause, text_of(event)) == (entry.contract, entry.cause, entry.text)
        return alike and _are_opposite(Decimal(entry.amount), event)


def _are_opposite(one: Decimal, event: PositionEvent) -> bool:
    """Return whether an event turns back a change, or is turned back; without a sign it may be either's."""
    return one == -event.quantity or (event.unsigned and one == event.quantity)


def _is_told(event: PositionEvent, entry: EventCancelled) -> bool:
    """Return whether an earlier report had the same row."""
    here = (key_of(event), event.cause, str(event.quantity), text_of(event), event.transaction)
    return here == (entry.contract, entry.cause, entry.amount, entry.text, entry.transaction)


def _is_newer(event: PositionEvent, entry: EventCancelled) -> bool:
    numbers = event.transaction, entry.transaction
    return all(each.isascii() and each.isdigit() for each in numbers) and int(numbers[0]) > int(numbers[1])


def row_key(row: Adjustment) -> str:
    """Return account and contract of an adjustment, as `ContractKey.text`."""
    return f"{row.account} {row.con_id}"


def is_same(row: Adjustment, event: PositionEvent) -> bool:
    """Return whether an adjustment that was told is an event, which has a time."""
    assert event.at is not None, "only such an event may count"
    if event.becomes is not None:
        return row.into == into_key_of(event)
    if event.ratio is not None:
        # At any time: a split that counts twice would be worse than one that is left out.
        return is_same_ratio(row.ratio, event.ratio) and row.place.time >= event.at - NEAR
    return row.note == text_of(event) and is_at(row, event.day, event.at)


def is_at(row: Adjustment, day: date | None, at: datetime) -> bool:
    """Return whether an adjustment may be one of that moment, which is known to the day where the report has
    no time: IBKR describes all transfers of a contract alike.
    """
    begins, ends = (at, at) if day is None else hours_of(day, day)
    placed = row.place.time
    if row.place.seq != row.seq:  # It is at an answer, which contains the event.
        return begins - SECOND <= placed and abs(placed - at) <= NEAR
    if any(abs(one - bound) <= SECOND for one in (placed, at) for bound in (begins, ends)):
        return begins - SECOND <= placed <= ends
    return placed == at
