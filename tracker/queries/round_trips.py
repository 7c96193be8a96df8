"""Follow what each alert had of a contract, from its first lot to its last, with price, fees and profit.

Owns that account of a contract's past: the ledger's own fold, watched entry by entry. It changes nothing.

Profit is what the prices made of what was closed, before fees, in the contract's currency. What an adjustment
or another alert's takeover moved has no price, so it makes none; an option that expired is worth nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from tracker.core.adjustment_rows import Adjustment
from tracker.core.alerters import AlerterNames
from tracker.core.entries import ContractEntries
from tracker.core.lot_changes import Movement
from tracker.core.lots import at_opening_balance, fold
from tracker.core.model import ZERO, AlertId, Contract, Execution
from tracker.core.ownership_rows import OwnershipDecision
from tracker.core.state import EXECUTIONS, FEES, HOLDINGS, LedgerState
from tracker.core.state_rows import AlertPosition, ContractKey, Holding, Lot

_EXPIRED: Final = "expired"


@dataclass(frozen=True, slots=True)
class TripStep:
    """Hold what one fill did for an alert."""

    at: datetime
    exec_id: str
    """Empty where a decision brought or took it."""
    moved: Decimal
    """How much it opened or closed, positive."""
    quantity: Decimal
    """How much it closed, positive; 0 where it opened."""
    price: Decimal
    profit: Decimal
    fee: Decimal


@dataclass(slots=True)
class RoundTrip:
    """Hold what an alert had of one contract, until it was flat again."""

    alert: AlertId
    account: str
    contract: Contract
    opened_at: datetime
    opened: Decimal = ZERO
    """The most that it had, positive."""
    avg_price: Decimal = ZERO
    """Of what was opened."""
    long: bool = True
    closed_at: datetime | None = None
    priced: bool = True
    """False where a part went without a price."""
    steps: list[TripStep] = field(default_factory=list)

    @property
    def profit(self) -> Decimal:
        return sum((step.profit for step in self.steps), ZERO)

    @property
    def fees(self) -> Decimal:
        return sum((step.fee for step in self.steps), ZERO)

    @property
    def closing_price(self) -> Decimal | None:
        """Return the average price of what was closed, None before."""
        quantity = sum((step.quantity for step in self.steps), ZERO)
        return sum((step.quantity * step.price for step in self.steps), ZERO) / quantity if quantity else None

    @property
    def held_for(self) -> timedelta | None:
        return None if self.closed_at is None else self.closed_at - self.opened_at


def round_trips(state: LedgerState, key: ContractKey, names: AlerterNames) -> list[RoundTrip]:
    """Return what each alert had of a contract, in the order in which it began."""
    holding = state.get(HOLDINGS, key.text())
    if holding is None:
        return []
    entries = ContractEntries(state, names)
    rows = [row for row in state.find(EXECUTIONS, "contract", key.text()) if row.counted and row.folded]
    last = max((row.moment for row in rows), default=None)
    movements = [*(entries.movement(row) for row in rows), *entries.expired(key, last)]
    trips = _Trips(holding, {row.execution.exec_id: _fee_of_one(state, row.execution) for row in rows})
    fold(
        at_opening_balance(holding),
        movements,
        entries.decisions(key),
        entries.name_of(holding),
        entries.adjustments(key),
        trips.on_entry,
    )
    return trips.found


def _fee_of_one(state: LedgerState, execution: Execution) -> Decimal:
    """Return the fee of one unit of an execution, 0 before it is known."""
    fee = state.get(FEES, execution.exec_id)
    commission = fee.commission if fee is not None else None
    return ZERO if commission is None or not execution.quantity else commission / execution.quantity


def multiplier_of(contract: Contract) -> Decimal:
    """Return how many units one of a contract is of; 1 where it says none."""
    try:
        found = Decimal(contract.multiplier or "1")
    except InvalidOperation:
        return Decimal(1)
    return found if found.is_finite() and found > 0 else Decimal(1)


def _gained(alert: AlertId, before: Holding, after: Holding) -> list[Lot]:
    """Return the lots that became an alert's."""
    had = {lot.exec_id for lot in before.lots if alert in lot.owners}
    return [lot for lot in after.lots if alert in lot.owners and lot.exec_id not in had]


class _Trips:
    """Gather the round trips of one contract."""

    def __init__(self, holding: Holding, fees: dict[str, Decimal]) -> None:
        self.found: list[RoundTrip] = []
        self._open: dict[AlertId, RoundTrip] = {}
        self._holding = holding
        self._fees = fees
        self._multiplier = multiplier_of(holding.contract)

    def on_entry(
        self, entry: Movement | OwnershipDecision | Adjustment, before: Holding, after: Holding
    ) -> None:
        had = {one.alert: one for one in before.alerts}
        has = {one.alert: one for one in after.alerts}
        for alert in {**had, **has}:
            one, other = had.get(alert), has.get(alert)
            was, now = one.quantity if one else ZERO, other.quantity if other else ZERO
            if was == now:
                continue
            if isinstance(entry, Movement):
                self._moved(entry, alert, one, other)
            else:
                self._decided(entry, alert, was, other, _gained(alert, before, after))

    def _moved(
        self, entry: Movement, alert: AlertId, one: AlertPosition | None, other: AlertPosition | None
    ) -> None:
        was, now = one.quantity if one else ZERO, other.quantity if other else ZERO
        same_side = was * now > 0
        closed = abs(was) - (abs(now) if same_side else ZERO)
        opened = abs(now) - (abs(was) if same_side else ZERO)
        fee = self._fees.get(entry.exec_id, ZERO)
        if closed > 0 and one is not None and (trip := self._open.get(alert)) is not None:
            price = ZERO if entry.expired else entry.price
            sign = 1 if was > 0 else -1
            profit = (price - one.avg_price) * closed * sign * self._multiplier
            if entry.expired and entry.expired != _EXPIRED:
                # Exercised or assigned: what it became has the price.
                trip.priced, profit = False, ZERO
            trip.steps.append(
                TripStep(entry.moment.time, entry.exec_id, closed, closed, price, profit, fee * closed)
            )
            if not now or not same_side:
                self._end(alert, entry.moment.time)
        if opened > 0 and other is not None:
            trip = self._begun(alert, other, entry.moment.time)
            trip.steps.append(
                TripStep(entry.moment.time, entry.exec_id, opened, ZERO, entry.price, ZERO, fee * opened)
            )
            trip.opened = max(trip.opened, abs(now))

    def _decided(
        self,
        entry: OwnershipDecision | Adjustment,
        alert: AlertId,
        was: Decimal,
        other: AlertPosition | None,
        gained: Sequence[Lot],
    ) -> None:
        if other is None or not other.quantity:
            if (trip := self._open.get(alert)) is not None:
                self._taken(entry, alert, trip)
            return
        trip = self._begun(alert, other, other.opened_at)
        trip.opened = max(trip.opened, abs(other.quantity))
        if isinstance(entry, Adjustment):
            if entry.ratio is None and abs(other.quantity) < abs(was):
                trip.priced = False
            return
        for lot in gained:
            # The fees of the lots that it takes are its own.
            quantity = abs(lot.quantity)
            fee = self._fees.get(lot.exec_id, ZERO) * quantity
            trip.steps.append(TripStep(entry.place.time, lot.exec_id, quantity, ZERO, lot.price, ZERO, fee))

    def _taken(self, entry: OwnershipDecision | Adjustment, alert: AlertId, trip: RoundTrip) -> None:
        """End what went without a fill; what was another's all along was none of its round trips."""
        self._end(alert, entry.place.time)
        if isinstance(entry, Adjustment):
            trip.priced = False
        elif trip.closing_price is None:
            self.found.remove(trip)

    def _begun(self, alert: AlertId, position: AlertPosition, at: datetime) -> RoundTrip:
        trip = self._open.get(alert)
        if trip is None:
            holding = self._holding
            trip = self._open[alert] = RoundTrip(
                alert, holding.account, holding.contract, at, long=position.quantity > 0
            )
            self.found.append(trip)
        trip.avg_price = position.avg_price
        return trip

    def _end(self, alert: AlertId, at: datetime) -> None:
        self._open.pop(alert).closed_at = at
