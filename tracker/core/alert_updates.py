"""Compose the values that a record must show, from the rows of the state.

Owns the shape of `last_order_update` and `position`; "What a record shows" in MATCHING.md explains each key.
It never computes a quantity from what a file says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from decimal import Context, Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tracker.core.lot_changes import last_stand, second_of
from tracker.core.model import (
    ZERO,
    AlertId,
    AlertUpdate,
    CommissionReport,
    Execution,
    Frame,
    Matched,
    Rule,
    Totals,
    Value,
)
from tracker.core.order_sizes import order_total, over_accounts, remaining
from tracker.core.state import (
    ADJUSTMENTS,
    ALERTS,
    EXECUTIONS,
    HOLDINGS,
    ORDERS,
    OUTBOX,
    POSITIONS,
    SNAPSHOTS,
    TOTALS,
    LedgerState,
)
from tracker.core.state_rows import (
    AlertPosition,
    AlertState,
    Attention,
    BookedExecution,
    ContractKey,
    Delivery,
    Holding,
    alert_text,
    attention_of,
    broker_order_text,
)


class ClosingPolicy(StrEnum):
    """Name what happens to an alert whose position has ended."""

    MARK = "mark"
    REMOVE = "remove"
    KEEP = "keep"


class EventKind(StrEnum):
    """Name what happened, for logs, streams and notifications."""

    FILL = "fill"
    CORRECTION = "correction"
    FEE = "fee"
    OPENED = "opened"
    CHANGED = "changed"
    CLOSED = "closed"
    NEEDS_YOU = "needs_you"
    SETTLED = "settled"
    """A person assigned or dismissed a fill."""
    UNDECODABLE = "undecodable"
    CONFLICT = "conflict"
    TAKEN_OVER = "taken_over"
    ORPHANED = "orphaned"
    """A record is gone, and no other record takes over what it still owns."""
    GAP = "gap"
    """A day that ended without proof, or a gap that is closed now."""
    UNEXPLAINED = "unexplained"
    """A position that no execution explains: found, settled by an adjustment, or gone."""
    CLOCK = "clock"
    """Our clock differs from the broker's, or an execution's time from its receipt."""


class TrackerEvent(Struct, frozen=True):
    """Report one thing that happened, to an execution if `about` is one."""

    kind: EventKind
    at: datetime
    about: BookedExecution | Mapping[str, str | int | float | None]
    note: str = ""
    fee: CommissionReport | None = None
    """The fee that the execution has now, if the event is about it."""

    @property
    def what(self) -> Mapping[str, str | int | float | None]:
        """Return the event, ready to be written as JSON; each call makes a new mapping."""
        return _described(self.about, self) if isinstance(self.about, BookedExecution) else self.about

    def as_json(self) -> dict[str, str | int | float | None]:
        """Return the event as it is stored, and as followers receive it."""
        return {"event": self.kind.value, "at": instant(self.at), **self.what}


def _described(booked: BookedExecution, event: TrackerEvent) -> dict[str, str | int | float | None]:
    execution = booked.execution
    what: dict[str, str | int | float | None] = {
        "account": execution.account,
        "exec_id": execution.exec_id,
        "symbol": execution.contract.symbol,
        "con_id": execution.contract.con_id,
        "side": execution.side.value,
        "quantity": str(execution.quantity),
        "price": str(execution.price),
    }
    if event.note:
        what["note"] = event.note
    if event.fee is not None:
        what |= {"commission": str(event.fee.commission), "currency": event.fee.currency}
    return what


_EIGHT_DIGITS = Context(prec=8)
_TIMES_KEPT: Final = 256
_AVERAGES = ("avg_price", "avg_fill_price")
OWNERSHIP = "ownership"
"""`matched_by` of a fill that closed what an alert owned; no rule applies to it."""
FOREIGN = "the order's reference names another alert, of which nothing was left"
"""Why a sale closed lots of an alert that its order's reference does not name."""
CLOSED_AS_BEFORE = "what had opened it again was corrected, or assigned to another alert"
"""Why an alert shows the position again that it had closed before it was open."""


def number(value: Decimal | None) -> Value:
    """Return a JSON number: an int where the value is integral, else a float."""
    if value is None:
        return None
    return int(value) if value == value.to_integral_value() else float(value)


def average(value: Decimal) -> Value:
    """Return an average as a record shows it; the exact one stays in the journal."""
    return number(_EIGHT_DIGITS.plus(value))


def instant(value: datetime | None) -> str | None:
    """Return an ISO time with microseconds, None for None."""
    return None if value is None else _iso(value, value.tzinfo)


@lru_cache(_TIMES_KEPT)
def _iso(value: datetime, zone: tzinfo | None) -> str:
    """Write a time in its zone: the events of one packet have one."""
    return value.isoformat(timespec="microseconds")


def positions_of(state: LedgerState, alert_state: AlertState) -> list[tuple[Holding, AlertPosition]]:
    """Return what an alert owns or owned, contract by contract."""
    found: list[tuple[Holding, AlertPosition]] = []
    for key in alert_state.contracts:
        holding = state.get(HOLDINGS, key.text())
        assert holding is not None, "an alert's contract was folded"
        found.extend((holding, mine) for mine in holding.alerts if mine.alert == alert_state.alert)
    return found


def compose(
    state: LedgerState,
    alert_state: AlertState,
    *,
    keep_open: bool,
    remove: bool,
    closed: bool,
    updated_at: datetime,
) -> AlertUpdate:
    """Return the absolute values for a record; `closed` says that its position has ended.

    `keep_open` and `remove` are the closing policies `keep` and `remove`.
    """
    found = positions_of(state, alert_state)
    if not found:
        return _emptied(state, alert_state, updated_at)
    return AlertUpdate(
        alert_state.alert,
        keep_open or not closed,
        _last_order_update(state, _last_booked(state, found), alert_state.alert, updated_at),
        _position(state, found, closed),
        remove=remove and closed,
    )


def _emptied(state: LedgerState, alert_state: AlertState, updated_at: datetime) -> AlertUpdate:
    """Return that a record owns nothing after all: its only fill was assigned away or voided."""
    shown = alert_state.shown
    assert shown is not None, "what never showed anything is not written"
    if not shown.last_order_update:
        # It never had an order of its own; what it showed was copied from another record.
        return AlertUpdate(alert_state.alert, False, {}, nothing_owned())
    last = {
        **shown.last_order_update,
        **_sums(state, shown.last_order_update),
        "updated_at": instant(updated_at),
    }
    return AlertUpdate(alert_state.alert, False, last, nothing_owned())


def nothing_owned() -> dict[str, Value]:
    """Return the position of a record that has none."""
    return {
        "quantity": 0,
        "avg_price": None,
        "opened_at": None,
        "closed_at": None,
        "closed_by": None,
        "shared_with": [],
    }


def _sums(state: LedgerState, last: Mapping[str, Value]) -> dict[str, Value]:
    """Return what the order that a record last showed has filled by now; a void lowers it."""
    booked = state.get(EXECUTIONS, f"{last['account']} {last['exec_id']}")
    assert booked is not None, "what was shown is about a booked execution"
    row = state.get(TOTALS, booked.order)
    assert row is not None, "a counted execution is in the sums of its order"
    filled = row.totals.filled
    return {
        "status": last["status"] if filled else "PARTIALLY_FILLED",
        "filled_qty": number(filled),
        "avg_fill_price": average(row.totals.cost / filled) if filled else None,
    }


def _last_order_update(
    state: LedgerState, booked: BookedExecution, alert: AlertId, updated_at: datetime
) -> dict[str, Value]:
    execution = booked.execution
    row = state.get(TOTALS, booked.order)
    totals = row.totals if row is not None else Totals()
    key = execution.order_key
    order = state.get(ORDERS, broker_order_text(key)) if key is not None else None
    filled, whole = totals.filled, over_accounts(state, order, booked, totals)
    total = order_total(order, booked, whole)
    return {
        "order_id": str(execution.order_id if execution.order_id > 0 else execution.perm_id),
        "status": "FILLED" if total is not None and whole.filled == total else "PARTIALLY_FILLED",
        "filled_qty": number(filled),
        "updated_at": instant(updated_at),
        "remaining_qty": number(remaining(order, total, whole)),
        "avg_fill_price": average(totals.cost / filled) if filled else None,
        "last_fill_price": number(execution.price),
        "side": execution.side.value,
        "account": execution.account,
        "perm_id": execution.perm_id,
        "con_id": execution.contract.con_id,
        "exec_id": execution.exec_id,
        "matched_by": matched_by(booked, alert),
        "commission": number(totals.commission),
        "realized_pnl": number(totals.realized_pnl),
    }


def matched_by(booked: BookedExecution, alert: AlertId) -> str:
    """Name the rule that bound a fill to an alert; a closing fill follows ownership."""
    if any(part.alert[:2] == alert[:2] for part in booked.parts):
        return Rule.PERSON.value
    if booked.opening and isinstance(booked.match, Matched):
        for owner, rule in booked.match.alerts:
            if owner[:2] == alert[:2]:
                return rule.value
    return OWNERSHIP


def _position(
    state: LedgerState, found: Sequence[tuple[Holding, AlertPosition]], closed: bool
) -> dict[str, Value]:
    live = [each for each in found if each[1].quantity] or [_latest(state, found)]
    positions = [mine for _, mine in live]
    size = sum((abs(mine.quantity) for mine in positions), ZERO)
    cost = sum((abs(mine.quantity) * mine.avg_price for mine in positions), ZERO)
    end = positions[0] if closed else None
    return {
        "quantity": number(sum((mine.quantity for mine in positions), ZERO)),
        "avg_price": average(cost / size if size else positions[-1].avg_price),
        "opened_at": instant(min(mine.opened_at for mine in positions)),
        "closed_at": instant(end.closed_at) if end is not None else None,
        "closed_by": cause_of_end(state, *live[0]) if closed else None,
        "shared_with": sorted({name for each in live for name in shared_names(state, *each)}),
    }


def cause_of_end(state: LedgerState, holding: Holding, mine: AlertPosition) -> str | None:
    """Return what closed an alert's position, None where a fill did or it is open.

    A report also books expiries, exercises and assignments as executions.
    """
    if mine.closed_by is not None or mine.quantity:
        return mine.closed_by
    row = state.get(EXECUTIONS, holding.last_execution(mine))
    return (row.execution.cause or None) if row is not None else None


def _latest(
    state: LedgerState, found: Sequence[tuple[Holding, AlertPosition]]
) -> tuple[Holding, AlertPosition]:
    """Return what changed last; within a second, what went on elsewhere changed before all else."""
    if len(found) == 1:
        return found[0]

    def stand(one: tuple[Holding, AlertPosition]) -> tuple[datetime, bool, str]:
        second, exec_id = last_stand(one[1])
        moves = state.find(ADJUSTMENTS, "contract", one[0].key.text())
        left = any(each.into and not each.undone and second_of(each.place.time) == second for each in moves)
        return second, not left, exec_id

    return max(found, key=stand)


def shared_names(state: LedgerState, holding: Holding, mine: AlertPosition) -> set[str]:
    """Return the names of the records that show the same fills now, or were closed with the same sale."""
    others = holding.sharing_with(mine.alert) if mine.quantity else set(mine.sold_with)
    there = {other for other in others if _is_there(state, other)}
    kept_by_name = () if mine.quantity or mine.sold_with else mine.shared_with
    return {*(other.name for other in there), *kept_by_name}


def _is_there(state: LedgerState, alert: AlertId) -> bool:
    """Return whether a record that shared a fill still shows it."""
    row = state.get(ALERTS, alert_text(alert))
    return row is None or not (row.gone or row.successor is not None)


def partners_of(state: LedgerState, alert: AlertId) -> set[AlertId]:
    """Return the alerts that share a lot with one, and so name it in `shared_with`."""
    row = state.get(ALERTS, alert_text(alert))
    found: set[AlertId] = set()
    for holding, _ in positions_of(state, row) if row is not None else ():
        found |= holding.sharing_with(alert)
    return found


def order_shown(execution: Execution) -> str:
    """Name the order whose status and fees an alert shows after this execution."""
    key = execution.order_key
    return broker_order_text(key) if key is not None else f"{execution.account} {execution.exec_id}"


def queue_update(
    state: LedgerState, alert: AlertId, touched: Iterable[ContractKey], policy: ClosingPolicy, frame: Frame
) -> list[TrackerEvent]:
    """Put what an alert must show into the outbox; return nothing if it shows that already.

    `touched` are the contracts of this batch in which it has, or had, a position.
    """
    alert_state = state.get(ALERTS, alert_text(alert)) or AlertState(alert)
    if alert_state.successor is not None:
        return []
    was_open = alert_state.shown is not None and not alert_state.closed
    alert_state = replace(alert_state, contracts=tuple(dict.fromkeys((*alert_state.contracts, *touched))))
    found = positions_of(state, alert_state)
    if alert_state.shown is None and not found:
        return []
    over = all(not mine.quantity for _, mine in found)
    unconfirmed = over and not alert_state.closed and any(_contradicted(state, *owned) for owned in found)
    closed = over and not unconfirmed
    alert_state = replace(alert_state, closed=closed, unconfirmed=unconfirmed)
    update = compose(
        state,
        alert_state,
        keep_open=policy is ClosingPolicy.KEEP and bool(found),
        remove=policy is ClosingPolicy.REMOVE,
        closed=closed,
        updated_at=frame.received_at,
    )
    before = alert_state.shown
    if before is not None and _same(before, update):
        state.put(ALERTS, alert_state)
        return []
    events: list[TrackerEvent] = []
    if alert_state.removed and not closed:
        events.append(_reopened(state, found, frame))
    if closed and was_open and (alert_state.gone or update.remove):
        settle_reopened(state, alert)
    order = alert_state.order
    if found:
        order = order_shown(_last_booked(state, found).execution)
    state.put(ALERTS, replace(alert_state, shown=update, order=order, removed=update.remove))
    state.put(OUTBOX, Delivery(update, frame.seq, frame.received_at))
    if closed:
        kind = EventKind.CLOSED if was_open else EventKind.CHANGED
    else:
        kind = EventKind.CHANGED if was_open else EventKind.OPENED
    quantity = sum((mine.quantity for _, mine in found), ZERO)
    what = {"alert": alert.name, "created_at": alert.created_at, "quantity": str(quantity)}
    if found and _is_news_of_another(_last_booked(state, found), alert, before):
        what["note"] = FOREIGN
    if closed and was_open and _is_earlier(update, before):
        what["note"] = CLOSED_AS_BEFORE
    if closed and not was_open and _opened_since(before, update):
        return [
            *events,
            TrackerEvent(EventKind.OPENED, frame.received_at, what),
            TrackerEvent(EventKind.CLOSED, frame.received_at, what),
        ]
    return [*events, TrackerEvent(kind, frame.received_at, what)]


def _is_news_of_another(booked: BookedExecution, alert: AlertId, before: AlertUpdate | None) -> bool:
    """Return whether the last update comes from a sale whose reference names another alert."""
    shown = before.last_order_update if before is not None else None
    return alert in booked.foreign and (shown or {}).get("exec_id") != booked.execution.exec_id


def _opened_since(before: AlertUpdate | None, after: AlertUpdate) -> bool:
    """Return whether a record that shows no open position had one since it was last shown."""
    opened = (after.position or {}).get("opened_at")
    closed = (before.position or {}).get("closed_at") if before is not None else None
    return opened is not None and (closed is None or str(opened) > str(closed))


def _is_earlier(now: AlertUpdate, before: AlertUpdate | None) -> bool:
    """Return whether a closed position was over when the one that was shown before it began."""
    one, other = now.position or {}, (before.position if before is not None else None) or {}
    began, ended, next_began = one.get("opened_at"), one.get("closed_at"), other.get("opened_at")
    return None not in (ended, next_began) and str(began) < str(next_began) and str(ended) <= str(next_began)


def _last_booked(state: LedgerState, found: Iterable[tuple[Holding, AlertPosition]]) -> BookedExecution:
    """Return the execution that an alert's last update is about: the last that touched it."""
    holding, last = max(found, key=lambda pair: last_stand(pair[1]))
    booked = state.get(EXECUTIONS, holding.last_execution(last))
    assert booked is not None, "a position names an execution of the state"
    return booked


def _contradicted(state: LedgerState, holding: Holding, mine: AlertPosition) -> bool:
    """Return whether a newer position of the broker still has what we consider closed."""
    told = state.get(POSITIONS, holding.key.text())
    if told is None or told.position.quantity in (ZERO, holding.held - holding.pending):
        return False
    snapshot = state.get(SNAPSHOTS, "last")
    if snapshot is not None and told.seq < snapshot.asked.seq:
        # A position that was listed before has ended if a complete answer no longer lists it.
        return False
    booked = state.get(EXECUTIONS, holding.last_execution(mine))
    assert booked is not None, "a position names an execution of the state"
    return told.seq > max(booked.seq, mine.last.seq)


def _same(before: AlertUpdate, after: AlertUpdate) -> bool:
    """Compare what two updates show, except for `updated_at`; an older version did not round averages."""
    if (before.open, before.remove) != (after.open, after.remove):
        return False
    return all(
        _but_time(one) == _but_time(other)
        for one, other in (
            (before.position, after.position),
            (before.last_order_update, after.last_order_update),
        )
    )


def _but_time(shown: Mapping[str, Value] | None) -> dict[str, Value]:
    values = {key: value for key, value in (shown or {}).items() if key != "updated_at"}
    for key in _AVERAGES:
        if isinstance(value := values.get(key), float):
            values[key] = average(Decimal(repr(value)))
    return values


def settle_reopened(state: LedgerState, alert: AlertId) -> None:
    """Take the last fill of a reopened record out of the inbox: what it has is closed, or is shown again.

    A fill that touches no alert any more, since it was folded again, reopened none. What it opened remains.
    """
    for row in state.find(EXECUTIONS, "inbox", Attention.REOPENED.value):
        if alert in row.owners or not row.owners:
            attention = attention_of(row.match) if row.opening else Attention.NONE
            state.put(EXECUTIONS, replace(row, attention=attention))


def _reopened(
    state: LedgerState, found: Iterable[tuple[Holding, AlertPosition]], frame: Frame
) -> TrackerEvent:
    """Mark the last fill of a record that had been taken out as needing a person."""
    booked = replace(_last_booked(state, found), attention=Attention.REOPENED)
    state.put(EXECUTIONS, booked)
    return TrackerEvent(EventKind.NEEDS_YOU, frame.received_at, booked, booked.attention.value)
