"""Say in one log line what happened: the contract with strike and expiry, price and fee, the reason.

Owns the words of events in the log, and which of them are warnings. The log's own thread makes them, so they
do not delay a fill.
"""

from __future__ import annotations

from typing import Final

from tracker.core.alert_updates import EventKind, TrackerEvent, number
from tracker.core.model import Execution
from tracker.core.state_rows import BookedExecution
from tracker.queries.as_json import contract_words, why_undecided

LOUD: Final = (EventKind.NEEDS_YOU, EventKind.UNDECODABLE, EventKind.CONFLICT, EventKind.CLOCK)
UNBOUNDED: Final = (EventKind.UNDECODABLE, EventKind.CONFLICT, EventKind.CLOCK)
"""Kinds of events of which a faulty gateway may cause any number; `status` counts them, `why` and the inbox
list them.
"""


def line_of(event: TrackerEvent) -> str:
    """Return the line of an event."""
    if isinstance(event.about, BookedExecution):
        return _of_fill(event, event.about)
    what = event.what
    match event.kind:
        case EventKind.UNDECODABLE:
            return "set aside: {kind} that cannot be read ({reason}); see `tracker inbox`".format(**what)
        case EventKind.OPENED | EventKind.CHANGED | EventKind.CLOSED:
            note = f"; {what['note']}" if "note" in what else ""
            return (
                f"{event.kind.value}: {what['alert']} of {what['created_at']}: {what['quantity']} held{note}"
            )
    return " ".join([event.kind.value, *(f"{key}={value}" for key, value in what.items())])


def _of_fill(event: TrackerEvent, booked: BookedExecution) -> str:
    execution = booked.execution
    text = f"{in_words(execution)}, {execution.account}, {execution.exec_id}"
    if event.fee is not None:
        pending = event.fee.commission is None
        fee = "not known yet" if pending else f"{event.fee.commission} {event.fee.currency}"
        return f"{event.kind.value}: {fee} for {text}"
    note = f": {event.note}" if event.note else ""
    if event.kind is EventKind.NEEDS_YOU:
        note = f": {event.note.replace('_', ' ')}: {why_undecided(booked)}; see `tracker inbox`"
    return f"{event.kind.value}: {text}{note}"


def in_words(execution: Execution) -> str:
    """Describe an execution: side, quantity, contract and price."""
    quantity, price = number(execution.quantity), number(execution.price)
    return f"{execution.side.value} {quantity} {contract_words(execution.contract)} at {price}"
