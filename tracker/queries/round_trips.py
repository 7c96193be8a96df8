"""Follow each alert's position in a contract, from its first lot to its last, with price, fees and profit.

Owns the history of a contract by alert: it runs the ledger's own fold and observes each entry. It changes
nothing. Profit is the difference between the prices of opening and closing, before fees, in the contract's
currency. A lot that an adjustment or a takeover by another alert moved has no price, so it makes no profit;
an option that expired is worth nothing. What goes on in another contract or account is not over: what was
closed before is counted here, the rest there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from tracker.core.adjustment_rows import Adjustment
from tracker.core.alerters import AlerterNames
from tracker.core.entries import ContractEntries
from tracker.core.lot_changes import Movement
from tracker.core.lot_rows import Lot
from tracker.core.lots import OnEntry, at_opening_balance, fold
from tracker.core.model import ZERO, AlertId, Contract, Execution
from tracker.core.ownership_rows import OwnershipDecision
from tracker.core.scaling import scaled
from tracker.core.state import EXECUTIONS, FEES, HOLDINGS, LedgerState
from tracker.core.state_rows import AlertPosition, ContractKey, Holding

_EXPIRED: Final = "expired"


@dataclass(frozen=True, slots=True)
class TripStep:
    """Hold what one fill did for an alert."""

    at: datetime
    quantity: Decimal
    """The quantity that it closed, positive; 0 where it opened."""
    price: Decimal
    profit: Decimal
    fee: Decimal
    """The fee; negative where the lot went to another alert, which bears its fee from then on."""


@dataclass(frozen=True, slots=True)
class SharedStep:
    """Hold what one fill did for all alerts together; lots that several alerts share count once."""

    at: datetime
    profit: Decimal
    fee: Decimal


@dataclass(slots=True)
class ContractPast:
    """Hold the positions that alerts had in one contract of one account."""

    currency: str = ""
    trips: list[RoundTrip] = field(default_factory=list)
    """In the order in which they began."""
    in_all: list[SharedStep] = field(default_factory=list)


@dataclass(slots=True)
class RoundTrip:
    """Hold one position of an alert in a contract, from its first fill until it was flat again."""

    alert: AlertId
    account: str
    contract: Contract
    opened_at: datetime
    opened: Decimal = ZERO
    """The largest quantity that it held, positive."""
    avg_price: Decimal = ZERO
    """The average price of the opening fills."""
    long: bool = True
    closed_at: datetime | None = None
    priced: bool = True
    """Whether the profit is known: False where a part left without a price."""
    steps: list[TripStep] = field(default_factory=list)

    def scale(self, ratio: Decimal) -> None:
        """Count what was before a split in the units after it."""
        self.opened = scaled(self.opened, ratio)
        self.steps = [
            replace(step, quantity=scaled(step.quantity, ratio), price=step.price / ratio)
            for step in self.steps
        ]

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
    """Return the round trips of a contract, in the order in which they began."""
    return contract_past(state, key, names).trips


def contract_past(state: LedgerState, key: ContractKey, names: AlerterNames) -> ContractPast:
    """Return the round trips of a contract, and their steps for all alerts together."""
    holding = state.get(HOLDINGS, key.text())
    if holding is None:
        return ContractPast()
    fees = {
        row.execution.exec_id: _fee_of_one(state, row.execution)
        for row in state.find(EXECUTIONS, "contract", key.text())
    }
    trips = _Trips(holding, fees, lambda move: _brought(state, move, names))
    _fold_again(state, holding, names, trips.on_entry)
    return trips.past


def _fold_again(state: LedgerState, holding: Holding, names: AlerterNames, on_entry: OnEntry) -> None:
    key, entries = holding.key, ContractEntries(state, names)
    rows = [row for row in state.find(EXECUTIONS, "contract", key.text()) if row.counted and row.folded]
    last = max((row.moment for row in rows), default=None)
    movements = [*(entries.movement(row) for row in rows), *entries.expired(key, last)]
    decisions, adjustments = entries.decisions(key), entries.adjustments(key)
    fold(at_opening_balance(holding), movements, decisions, entries.name_of(holding), adjustments, on_entry)


def _brought(state: LedgerState, move: Adjustment, names: AlerterNames) -> set[AlertId]:
    """Return the alerts that have a position where a move brought it."""
    found: set[AlertId] = set()

    def on_entry(entry: Movement | OwnershipDecision | Adjustment, before: Holding, after: Holding) -> None:
        if isinstance(entry, Adjustment) and entry.seq == move.seq:
            found.update(mine.alert for mine in after.alerts if mine.quantity)

    target = state.get(HOLDINGS, move.into)
    if target is not None:
        _fold_again(state, target, names, on_entry)
    return found


def _fee_of_one(state: LedgerState, execution: Execution) -> Decimal:
    """Return the fee of one unit of an execution, 0 before it is known."""
    fee = state.get(FEES, execution.exec_id)
    commission = fee.commission if fee is not None else None
    return ZERO if commission is None or not execution.quantity else commission / execution.quantity


def multiplier_of(contract: Contract) -> Decimal:
    """Return the multiplier of a contract; 1 where it names none."""
    try:
        found = Decimal(contract.multiplier or "1")
    except InvalidOperation:
        return Decimal(1)
    return found if found.is_finite() and found > 0 else Decimal(1)


def _gains(before: Iterable[Lot], after: Iterable[Lot]) -> dict[str, Decimal]:
    """Return the change of each execution's lot, negative where it became smaller."""
    found: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for sign, lots in ((-1, before), (1, after)):
        for lot in lots:
            found[lot.exec_id] += sign * abs(lot.quantity)
    return {exec_id: gain for exec_id, gain in found.items() if gain}


def _owned(holding: Holding) -> dict[tuple[object, ...], Lot]:
    """Return the lots that alerts own, by the fields that a fill does not change."""
    return {(lot.exec_id, lot.opened, lot.owners, lot.part): lot for lot in holding.lots if lot.owners}


class _Trips:
    """Gather the round trips of one contract."""

    def __init__(
        self, holding: Holding, fees: dict[str, Decimal], brought: Callable[[Adjustment], set[AlertId]]
    ) -> None:
        self._brought = brought
        self.past = ContractPast(holding.contract.currency)
        self._open: dict[AlertId, RoundTrip] = {}
        self._holding = holding
        self._fees = fees
        self._multiplier = multiplier_of(holding.contract)

    def on_entry(
        self, entry: Movement | OwnershipDecision | Adjustment, before: Holding, after: Holding
    ) -> None:
        had = {one.alert: one for one in before.alerts}
        has = {one.alert: one for one in after.alerts}
        made_by_one: dict[AlertId, Decimal] = {}
        for alert in {**had, **has}:
            one, other = had.get(alert), has.get(alert)
            was, now = one.quantity if one else ZERO, other.quantity if other else ZERO
            if was == now:
                continue
            if isinstance(entry, Movement):
                made_by_one[alert] = self._moved(entry, alert, one, other)
                continue
            fees = ZERO
            if isinstance(entry, OwnershipDecision):
                mine = [[lot for lot in each.lots if alert in lot.owners] for each in (before, after)]
                fees = self._fees_of(_gains(*mine))
            self._decided(entry, alert, was, other, fees)
        if isinstance(entry, Movement):
            self._moved_in_all(entry, before, after, made_by_one)
        elif isinstance(entry, OwnershipDecision):
            fees = self._fees_of(_gains(_owned(before).values(), _owned(after).values()))
            self._in_all(entry.place.time, ZERO, fees)

    def _fees_of(self, gains: Mapping[str, Decimal]) -> Decimal:
        return sum((self._fees.get(exec_id, ZERO) * gain for exec_id, gain in gains.items()), ZERO)

    def _in_all(self, at: datetime, profit: Decimal, fee: Decimal) -> None:
        if profit or fee:
            self.past.in_all.append(SharedStep(at, profit, fee))

    def _moved_in_all(
        self, entry: Movement, before: Holding, after: Holding, made_by_one: Mapping[AlertId, Decimal]
    ) -> None:
        """Count each owned lot once; a shared one made the mean of the profits that its alerts made with
        it.
        """
        had, has = _owned(before), _owned(after)
        opened = sum((abs(lot.quantity) for key, lot in has.items() if key not in had), ZERO)
        all_closed = profit = ZERO
        for key, lot in had.items():
            closed = abs(lot.quantity) - (abs(has[key].quantity) if key in has else ZERO)
            made = sum((made_by_one.get(alert, ZERO) for alert in lot.owners), ZERO)
            all_closed += closed
            profit += closed * made / len(lot.owners)
        fee = self._fees.get(entry.exec_id, ZERO) * (opened + all_closed)
        self._in_all(entry.moment.time, profit, fee)

    def _moved(
        self, entry: Movement, alert: AlertId, one: AlertPosition | None, other: AlertPosition | None
    ) -> Decimal:
        """Follow one fill; return the profit for each lot that it closed."""
        was, now = one.quantity if one else ZERO, other.quantity if other else ZERO
        same_side = was * now > 0
        closed = abs(was) - (abs(now) if same_side else ZERO)
        opened = abs(now) - (abs(was) if same_side else ZERO)
        fee = self._fees.get(entry.exec_id, ZERO)
        at, made = entry.moment.time, ZERO
        if closed > 0 and one is not None and (trip := self._open.get(alert)) is not None:
            price = ZERO if entry.expired else entry.price
            made = (price - one.avg_price) * (1 if was > 0 else -1) * self._multiplier
            if entry.expired and entry.expired != _EXPIRED:
                # Exercised or assigned: the contract that it became has the price.
                trip.priced, made = False, ZERO
            trip.steps.append(TripStep(at, closed, price, made * closed, fee * closed))
            if not now or not same_side:
                self._end(alert, at)
        if opened > 0 and other is not None:
            trip = self._begun(alert, other, at)
            trip.steps.append(TripStep(at, ZERO, entry.price, ZERO, fee * opened))
            trip.opened = max(trip.opened, abs(now))
        return made

    def _decided(
        self,
        entry: OwnershipDecision | Adjustment,
        alert: AlertId,
        was: Decimal,
        other: AlertPosition | None,
        fees: Decimal,
    ) -> None:
        """Follow what a decision or an adjustment changed; taken lots bring their `fees` along."""
        at = entry.place.time
        if other is None or not other.quantity:
            if (trip := self._open.get(alert)) is not None:
                trip.steps.append(TripStep(at, ZERO, ZERO, ZERO, fees))
                self._taken(entry, alert, trip)
            return
        trip = self._begun(alert, other, other.opened_at)
        if isinstance(entry, Adjustment) and entry.ratio is not None and not entry.came_from:
            trip.scale(entry.ratio)
        trip.opened = max(trip.opened, abs(other.quantity))
        if isinstance(entry, Adjustment):
            if entry.ratio is None and abs(other.quantity) < abs(was):
                trip.priced = False
            return
        trip.steps.append(TripStep(at, ZERO, ZERO, ZERO, fees))

    def _taken(self, entry: OwnershipDecision | Adjustment, alert: AlertId, trip: RoundTrip) -> None:
        """End the round trips whose lots left without a fill. A lot that always belonged to another alert was
        part of none of these.
        """
        if isinstance(entry, Adjustment) and entry.into and alert in self._brought(entry):
            # It goes on in another contract or account, so it is not over.
            del self._open[alert]
            return
        self._end(alert, entry.place.time)
        if isinstance(entry, Adjustment):
            trip.priced = False
        elif trip.closing_price is None:
            self.past.trips.remove(trip)

    def _begun(self, alert: AlertId, position: AlertPosition, at: datetime) -> RoundTrip:
        trip = self._open.get(alert)
        if trip is None:
            holding = self._holding
            trip = self._open[alert] = RoundTrip(
                alert, holding.account, holding.contract, at, long=position.quantity > 0
            )
            self.past.trips.append(trip)
        trip.avg_price = position.avg_price
        return trip

    def _end(self, alert: AlertId, at: datetime) -> None:
        self._open.pop(alert).closed_at = at
