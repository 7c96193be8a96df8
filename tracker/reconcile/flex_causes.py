"""Say by a Flex report why a position changed that no execution explains.

Owns which of a report's events explain which unexplained position. An event is told only where the broker's
answer shows just that change, also where that was settled within `NEAR` of its day as a change that nobody
explains, so that an older report, or one that comes twice, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from tracker.core.adjustment_rows import Difference
from tracker.core.differences import leads_to, settled_of
from tracker.core.journal_entries import FlexAdjustment
from tracker.core.state import DIFFERENCES, HOLDINGS, POSITIONS, LedgerState
from tracker.gateway.flex_events import PositionEvent

NEAR: Final = timedelta(days=5)


def explained(
    state: LedgerState, events: Iterable[PositionEvent]
) -> Iterator[tuple[PositionEvent, FlexAdjustment]]:
    """Yield the events that explain a position, each with what is to be journalled."""
    for event in events:
        text = event.text or f"Flex transaction {event.transaction}"
        key = f"{event.account} {event.contract.con_id}"
        waiting = _unexplained(state, key, event.day)
        into = _into(state, event)
        if waiting is not None and into and waiting.amount == event.quantity and not waiting.listed:
            yield event, FlexAdjustment(key, event.cause, str(event.ratio), text, into)
            continue
        if waiting is not None and _fits(event, waiting):
            ratio = str(event.ratio) if event.ratio is not None and event.becomes is None else ""
            yield event, FlexAdjustment(key, event.cause, ratio, text)
        if event.becomes is None or event.ratio is None:
            continue
        key = f"{event.account} {event.becomes.con_id}"
        waiting = _unexplained(state, key, event.day)
        if waiting is not None and waiting.amount == -event.quantity * event.ratio:
            yield event, FlexAdjustment(key, event.cause, "", text)


def _into(state: LedgerState, event: PositionEvent) -> str:
    """Return in what a contract goes on, where the broker's positions or fills name it."""
    if event.becomes is None or event.ratio is None:
        return ""
    into, key = f"{event.account} {event.becomes.con_id}", f"{event.account} {event.contract.con_id}"
    known = state.get(POSITIONS, into) is not None or state.get(HOLDINGS, into) is not None
    return into if known and not leads_to(state, into, key) else ""


def _unexplained(state: LedgerState, key: str, day: date | None) -> Difference | None:
    row = state.get(DIFFERENCES, key)
    if row is not None and not row.over:
        return row
    settled = settled_of(state, key)
    if settled is None or day is None or abs(settled.place.time.date() - day) > NEAR:
        return None
    return settled.as_difference


def _fits(event: PositionEvent, waiting: Difference) -> bool:
    """Tell whether an event brought just what the broker's answer showed."""
    ours: Decimal = waiting.listed - waiting.amount
    if event.becomes is not None:
        return waiting.amount == event.quantity
    if event.ratio is not None:
        return waiting.listed == ours * event.ratio
    return waiting.amount == event.quantity
