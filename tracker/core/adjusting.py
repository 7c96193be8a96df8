"""Change lots and alert positions by a position adjustment.

Owns the arithmetic of a change that no execution caused, as a pure function. It reads no state.

- An increase: a lot without owner.
- A decrease: takes the opening balance, then lots without owner, then owned ones, the oldest first.
- A known ratio scales everything, including prices.
- A change to the other side of zero: removes all lots, then adds a lot without owner.
- A move into another contract or account: moves all lots there with their owners. What is left of the opening
  balance is a part of the opening balance there.

An adjustment that brings an alert to zero closes it with its cause. Until a second answer agrees, a
difference counts only if it enlarges the position, or if nothing is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from msgspec.structs import replace

from tracker.core.adjustment_rows import ADJUSTED, Adjustment
from tracker.core.lot_changes import last_stand, second_of
from tracker.core.lot_parts import fill_name
from tracker.core.lot_rows import Lot
from tracker.core.model import ZERO, AlertId
from tracker.core.scaling import changed, owned_of, scaled, scaled_lots
from tracker.core.state_rows import AlertPosition, Holding


def adjust(holding: Holding, one: Adjustment) -> tuple[Holding, tuple[AlertId, ...]]:
    """Return the holding after an adjustment, and the alerts that it touched."""
    before = holding.held
    if not one.settled and not counts(before, one.held or ZERO):
        return holding, ()
    touched: tuple[AlertId, ...] = ()
    if one.came_from:
        holding, touched = _joined(holding, one)
    elif one.ratio is not None:
        holding, touched = _scaled(holding, one.ratio)
    if one.held is not None:
        holding, more = _brought_to(holding, one, one.held)
        touched += more
    elif one.change is not None:
        holding, touched = _brought_to(holding, one, changed(holding.held, one.change))
    pending = holding.pending
    if not one.settled:
        pending += holding.held - before
    elif one.held is not None:
        pending = ZERO  # The broker's word counts what was unexplained before it.
    return replace(holding, last=one.place, expired=False, pending=pending), touched


def counts(ours: Decimal, listed: Decimal) -> bool:
    """Return whether the broker's quantity counts for what a fill closes before a second answer agrees."""
    return bool(listed) and ours * (listed - ours) >= 0


def _scaled(holding: Holding, ratio: Decimal) -> tuple[Holding, tuple[AlertId, ...]]:
    lots = scaled_lots(holding.lots, ratio)
    alerts = tuple(
        replace(mine, quantity=owned_of(lots, mine.alert), avg_price=mine.avg_price / ratio)
        if mine.quantity
        else mine
        for mine in holding.alerts
    )
    held, pending = scaled(holding.held, ratio), scaled(holding.pending, ratio)
    after = replace(holding, held=held, pending=pending, lots=lots, alerts=alerts, in_lots=_sum(lots))
    return after, tuple(mine.alert for mine in alerts if mine.quantity)


def _joined(holding: Holding, one: Adjustment) -> tuple[Holding, tuple[AlertId, ...]]:
    """Add what was held elsewhere. Of opposite sides, it closes what is held here; the rest keeps its owners
    if nobody owns what is held here, else it has none.
    """
    ratio = one.ratio or Decimal(1)
    total = scaled(one.moved, ratio)
    left = holding.held + total
    opposite = holding.held * total < 0
    if opposite and (left * total <= 0 or any(lot.owners for lot in holding.lots)):
        return _brought_to(holding, one, left)
    if opposite:
        empty = replace(holding, held=ZERO, lots=(), in_lots=ZERO, has_surplus=False)
        came, touched = _added(empty, one, ratio, total)
        rest, more = _shrunk(came, one, left)
        return rest, (*touched, *more)
    return _added(holding, one, ratio, total)


def _added(
    holding: Holding, one: Adjustment, ratio: Decimal, total: Decimal
) -> tuple[Holding, tuple[AlertId, ...]]:
    came = scaled_lots(one.lots, ratio)
    lots = tuple(sorted((*holding.lots, *came), key=_age))
    alerts = {mine.alert: mine for mine in holding.alerts}
    for mine in one.alerts:
        there = replace(mine, quantity=owned_of(came, mine.alert), avg_price=mine.avg_price / ratio)
        alerts[mine.alert] = _with(alerts.get(mine.alert), there)
    joined = replace(
        holding, held=holding.held + total, lots=lots, alerts=tuple(alerts.values()), in_lots=_sum(lots)
    )
    surplus = holding.has_surplus or any(lot.surplus for lot in came)
    return replace(joined, has_surplus=surplus), tuple(mine.alert for mine in one.alerts)


def _age(lot: Lot) -> tuple[datetime, str]:
    """Return a lot's place among those of several contracts: fills of one second are in order of execId."""
    return second_of(lot.opened.time), fill_name(lot.exec_id)


def _with(here: AlertPosition | None, came: AlertPosition) -> AlertPosition:
    """Return an alert's position together with the one it had elsewhere; the average counts both."""
    if here is None or not here.quantity:
        return replace(came, earlier=here.last_closed if here is not None else None)
    cost = abs(here.quantity) * here.avg_price + abs(came.quantity) * came.avg_price
    newest = max(here, came, key=last_stand)
    return replace(
        newest,
        quantity=here.quantity + came.quantity,
        avg_price=cost / (abs(here.quantity) + abs(came.quantity)),
        opened_at=min(here.opened_at, came.opened_at),
        sold=here.sold or came.sold,
        earlier=here.earlier,
    )


def _brought_to(holding: Holding, one: Adjustment, held: Decimal) -> tuple[Holding, tuple[AlertId, ...]]:
    """Change a holding to the broker's quantity: first remove lots, then add."""
    ours = holding.held
    kept = held if held * ours > 0 else ZERO
    touched: tuple[AlertId, ...] = ()
    if abs(kept) < abs(ours):
        holding, touched = _shrunk(holding, one, kept)
    more = held - holding.held
    if more:
        lot = Lot((), more, ZERO, one.place, surplus=one.cause == ADJUSTED)
        lots = (*holding.lots, lot)
        surplus = holding.has_surplus or lot.surplus
        holding = replace(holding, held=held, lots=lots, in_lots=_sum(lots), has_surplus=surplus)
    return holding, touched


def _shrunk(holding: Holding, one: Adjustment, kept: Decimal) -> tuple[Holding, tuple[AlertId, ...]]:
    left = abs(holding.held) - abs(kept)
    left -= min(left, abs(holding.held) - _sum(holding.lots))
    lots = list(holding.lots)
    alerts = {mine.alert: mine for mine in holding.alerts}
    touched: dict[AlertId, None] = {}
    for owned in (False, True):
        for at, lot in enumerate(lots):
            if not left or bool(lot.owners) is not owned:
                continue
            taken = min(left, abs(lot.quantity))
            left -= taken
            part = taken.copy_sign(lot.quantity)
            lots[at] = replace(lot, quantity=lot.quantity - part)
            for owner in lot.owners:
                touched[owner] = None
                alerts[owner] = _less(alerts[owner], part, one)
    rest = tuple(lot for lot in lots if lot.quantity)
    shrunk = replace(holding, held=kept, lots=rest, alerts=tuple(alerts.values()), in_lots=_sum(rest))
    return shrunk, tuple(touched)


def _less(mine: AlertPosition, part: Decimal, one: Adjustment) -> AlertPosition:
    quantity = mine.quantity - part or ZERO
    return replace(
        mine,
        quantity=quantity,
        sold=True,
        closed_at=None if quantity else one.place.time,
        closed_by=None if quantity else one.cause,
        last=one.place,
        sold_with=(),
        closed_side=0 if quantity else 1 if part > 0 else -1,
        earlier=mine.earlier if quantity else None,
    )


def _sum(lots: Sequence[Lot]) -> Decimal:
    return sum((abs(lot.quantity) for lot in lots), ZERO)
