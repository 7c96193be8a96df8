"""What the alerts should show: computed again each time from the broker's truth, apart from the ledger.

Owns the expectation. It learns which frames were taken in and which alerts the tracker could see then, and
looks everything else up at the broker: no fact of it comes from the tracker's own reading, and it keeps no
sums. Only the rule table of `match_execution` is shared.

From the rules, and nothing else: a fill is matched when it is taken in, or later when an alert appears; the
parts that open belong to the alerts that matched, together; a closing part is taken from what the order
names, else from the oldest; a newer record of the same contract takes over what is owned.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any, Final, NamedTuple

from tests.sim.broker import AccountContract, SimBroker
from tests.sim.gateway import SimGateway
from tests.sim.lots import ZERO, Known, Lot, Moment, OwnedPosition, close_lots, open_lot, owned_position
from tracker.core.matching import match_execution
from tracker.core.model import Alert, AlertId, Contract, Execution, Frame, Matched, Side, Source
from tracker.paper.contracts import PaperContract
from tracker.paper.framing import Fields

EARLY_FILL: Final = timedelta(seconds=120)
RETRY_FOR: Final = timedelta(minutes=15)


Names = tuple[str, str]
"""(account, execId)."""
OrderName = tuple[AccountContract, tuple[int, ...]]


class View(NamedTuple):
    """Hold what a record shows of its position and its order, in comparable numbers."""

    quantity: float
    avg_price: float | None
    opened_at: str | None
    shared_with: tuple[str, ...]
    exec_id: str
    account: str
    con_id: int
    filled_qty: float
    avg_fill_price: float
    last_fill_price: float
    side: str


@dataclass
class Oracle:
    """Follow one life."""

    broker: SimBroker
    gateway: SimGateway
    watched: tuple[str, ...]
    visible: tuple[Alert, ...] = ()
    readable: bool = False
    """Whether the last look at the store succeeded; while it is away nothing of it is decided again."""
    known: dict[Names, Known] = field(default_factory=dict)
    owners: dict[tuple[str, ...], tuple[AlertId, ...]] = field(default_factory=dict)
    """Execution whatever its version -> the alerts that it matched."""
    successor: Callable[[AlertId], AlertId | None] = lambda alert: None
    """What the tracker decided, asked only where both answers are right."""
    in_doubt: Mapping[AccountContract, Decimal] = field(default_factory=dict)
    """The bases that the tracker itself calls unconfirmed."""
    loose: frozenset[AccountContract] = frozenset()
    """Contracts whose ownership the tracker could not settle at this commit or the one before."""
    successors: dict[AlertId, AlertId] = field(default_factory=dict)
    history: dict[AlertId, dict[AccountContract, list[OwnedPosition | None]]] = field(default_factory=dict)
    """What each alert may have had of each contract so far."""
    sums: dict[OrderName, set[tuple[float, float]]] = field(default_factory=dict)
    """Filled quantity and average price that each order may have shown so far."""
    _last_visible: tuple[Alert, ...] = ()
    """What could be seen at the last look that succeeded, of this process or the one before."""
    _possible: set[tuple[AlertId, View]] = field(default_factory=set)

    # Learning

    def saw(self, alerts: Sequence[Alert], readable: bool) -> None:
        """Learn what the tracker can see of the store."""
        self.visible = tuple(alerts)
        self.readable = readable
        if readable:
            self._last_visible = self.visible

    def commit(self, frames: Iterable[Frame], now: datetime) -> None:
        """Learn which frames were taken in, in one transaction."""
        noted: set[AlertId] = set()
        for frame in frames:
            if frame.source is Source.STORE and frame.fields[0] in ("replaced", "back"):
                noted |= {
                    _alert_id(frame.fields[at : at + 4]) for at in range(1, min(9, len(frame.fields)), 4)
                }
            known = self._execution(frame)
            if known is not None:
                if not any(one.root == known.root for one in self.known.values() if one is not known):
                    # Another version keeps the decision; it is made again with all the others below.
                    self._decide(known)
                self._remember((known.key,))
                # A record may have been handed on before this was folded, or after.
                self.loose |= {known.key}
        for known in self.known.values() if self.readable else ():
            if known.received_at >= now - RETRY_FOR:
                self._decide(known)
        self._take_over(noted)
        self._remember(self._contracts())

    def _execution(self, frame: Frame) -> Known | None:
        """Return the execution that a frame brings for the first time."""
        fields: Fields = frame.fields
        if frame.source is not Source.BROKER or fields[0] != "11" or fields in self.gateway.garbled:
            return None
        truth = self.broker.executions[fields[14]]
        names = (truth.account, truth.exec_id)
        if names in self.known:
            return None
        strange = "Olympus" in self.broker.texts[truth.exec_id]
        known = Known(truth, frame.seq, frame.received_at, frame.received_at if strange else truth.time)
        # What came before it in the same batch, a snapshot say, was decided without it.
        self._remember({known.key} & set(self._contracts()))
        self.known[names] = known
        return known

    def _decide(self, known: Known) -> None:
        """Match an execution, unless it or an earlier version of it is matched already."""
        if known.root in self.owners or known.truth.contract.sec_type == "BAG":
            return
        if self.watched and known.truth.account not in self.watched:
            return
        if known.time == known.received_at:
            # Its text names no time, so that of its first version counts.
            first = min(one.time for one in self.known.values() if one.root == known.root)
            known = replace(known, time=first)
        match = match_execution(_core(known), self.visible, early_fill=EARLY_FILL)
        if isinstance(match, Matched):
            self.owners[known.root] = tuple(alert for alert, _ in match.alerts)

    def _take_over(self, noted: Collection[AlertId]) -> None:
        """Hand what a vanished record owns to the record of the same contract in its place.

        While the store is away that happens only where it was `noted` before, on what was seen then.
        """
        visible = self.visible if self.readable else self._last_visible
        there = {alert.id: alert for alert in visible}
        for alert in [alert for alert in there if self.readable or alert in noted]:
            # A record that a stale copy brought back takes back what it had handed on.
            if (holder := self.current(alert)) != alert:
                del self.successors[alert]
                self.successors[holder] = alert
        in_place = {alert.id[:2]: alert for alert in visible}
        for owner in [owner for owner in self.history if self.readable or owner in noted]:
            successor = in_place.get(owner[:2])
            if owner in there or successor is None or self.current(owner) != owner:
                continue
            owned = any(self._speaks_of(successor, key) for key, _ in self.owned(owner))
            contracts = self.history[owner].keys()
            if self.loose & contracts or any(len(self._bases(key)) > 1 for key in contracts):
                # What is owned hangs on a base or on a sweep that is not settled; either is right. After a
                # crash the tracker may have handed on by way of another record than was seen here.
                line = [one for one in self.history if self.current(one) == owner]
                owned = any(self.successor(one) == successor.id for one in line)
            if owned:
                self.successors[owner] = successor.id

    def current(self, alert: AlertId) -> AlertId:
        """Follow a record to the one that took over from it."""
        while alert in self.successors:
            alert = self.successors[alert]
        return alert

    def _speaks_of(self, alert: Alert, key: AccountContract) -> bool:
        contract = self.broker.contract(key[1])
        if contract.con_id in alert.con_ids:
            return True
        same = (alert.symbol, alert.right, alert.strike) == (contract.symbol, contract.right, contract.strike)
        return same and (contract.sec_type == "STK" or alert.expiry.day == _day(contract))

    # Expecting

    def owned(self, alert: AlertId) -> list[tuple[AccountContract, OwnedPosition]]:
        """Return what an alert owns now, as far as the executions taken in tell."""
        found = []
        for key in self._contracts():
            position = self.fold(key, self._base(key)).get(alert)
            if position is not None and position.quantity:
                found.append((key, position))
        return found

    def now(self) -> dict[AlertId, set[View | None]]:
        """Return what each alert may show now; one value each, but where a baseline is unconfirmed."""
        bases = {key: self._bases(key) for key in self._contracts()}
        return self._views(self._contracts(), bases)

    def final(self) -> dict[AlertId, View]:
        """Return what each alert must show once everything is known."""
        views = self._views(self._contracts(), {key: {self._base(key)} for key in self._contracts()})
        return {alert: view for alert, (view,) in views.items() if view is not None}

    def complete(self) -> bool:
        """Tell whether all that the broker ever executed was taken in, the replaced versions apart."""
        latest = {self.broker.latest(exec_id) for exec_id in self.broker.executions}
        return latest <= {exec_id for _, exec_id in self.known}

    def held(self, key: AccountContract) -> Decimal:
        """Return what the executions taken in add up to."""
        return self._base(key) + sum((known.truth.signed for known, _ in self._entries(key)), ZERO)

    def fold(self, key: AccountContract, base: Decimal) -> dict[AlertId, OwnedPosition]:
        """Return what each alert has or had of a contract, from what was held at first."""
        held = base
        lots: list[Lot] = []
        owned_positions: dict[AlertId, OwnedPosition] = {}
        for known, moment in self._entries(key):
            signed = known.truth.signed
            closing = min(abs(signed), abs(held)) if signed * held < 0 else ZERO
            touched = close_lots(lots, closing, known.truth.order_ref)
            lots = [lot for lot in lots if lot.quantity]
            opening = abs(signed) - closing
            held += signed
            mine = tuple(sorted({self.current(owner) for owner in self.owners.get(known.root, ())}))
            if opening and mine:
                open_lot(lots, mine, opening.copy_sign(signed), known.truth.price, moment)
                touched |= set(mine)
            for alert in touched:
                owned_positions[alert] = owned_position(
                    alert, lots, owned_positions.get(alert), known, moment
                )
        return owned_positions

    def _entries(self, key: AccountContract) -> list[tuple[Known, Moment]]:
        """Return the executions in force, each in the place of its first version."""
        newest: dict[tuple[str, ...], Known] = {}
        places: dict[tuple[str, ...], Moment] = {}
        for known in self.known.values():
            if known.key != key:
                continue
            root, moment = known.root, (known.time, known.seq)
            places[root] = min(places.get(root, moment), moment)
            if root not in newest or newest[root].truth.exec_id < known.truth.exec_id:
                newest[root] = known
        return sorted(((newest[root], places[root]) for root in newest), key=lambda entry: entry[1])

    def _contracts(self) -> list[AccountContract]:
        keys = {known.key: None for known in self.known.values() if known.truth.contract.sec_type != "BAG"}
        return list(keys)

    def _base(self, key: AccountContract) -> Decimal:
        return self.broker.base.get(key, ZERO)

    def _bases(self, key: AccountContract) -> set[Decimal]:
        """Return what the tracker may take for the start: each listing less what it knows of it.

        A listing holds executions that are not known yet, and the version of its time where a later one is in
        force now. Where the tracker calls it unconfirmed, it may start from what it likes.
        """
        bases = {self._base(key)}
        entries = [entry for entry, _ in self._entries(key)]
        for listing in self.gateway.listings:
            listed = listing.positions.get(key, ZERO)
            known = [entry.truth.signed for entry in entries if entry.truth.exec_id in listing.contained]
            then = [self._version_of(entry, listing.contained) for entry in entries]
            bases |= {listed - sum(known, ZERO), listed - sum(then, ZERO)}
        if key in self.in_doubt:
            bases.add(self.in_doubt[key])
        return bases

    def _version_of(self, known: Known, contained: frozenset[str]) -> Decimal:
        """Return what an execution moved in the newest of the versions that a listing contains."""
        family = [known.truth.exec_id]
        if known.truth.exec_id.count(".") == 3:
            head, _, last = known.truth.exec_id.rpartition(".")
            family = [f"{head}.{version:02d}" for version in range(int(last), 0, -1)]
        for exec_id in family:
            if exec_id in contained:
                return self.broker.executions[exec_id].signed
        return ZERO

    def _remember(self, keys: Iterable[AccountContract]) -> None:
        """Add what alerts may have of these contracts now, and what their orders sum up to."""
        for key in keys:
            for base in self._bases(key):
                owned_positions = self.fold(key, base)
                for alert in {
                    *owned_positions,
                    *(alert for alert, had in self.history.items() if key in had),
                }:
                    had = self.history.setdefault(alert, {}).setdefault(key, [None])
                    if owned_positions.get(alert) not in had:
                        had.append(owned_positions.get(alert))
            for known, _ in self._entries(key):
                self.sums.setdefault((key, known.order), set()).add(self._sum(known))

    def possible(self, alert: AlertId, view: View) -> bool:
        """Tell whether some prefix of the facts, contract by contract, makes a record show this."""
        if (alert, view) in self._possible:
            return True
        truth = self.broker.executions[view.exec_id]
        order = (truth.perm_id,) if truth.perm_id else (truth.client_id, truth.order_id)
        sums = self.sums.get(((truth.account, truth.contract.con_id), order), set())
        if (view.filled_qty, view.avg_fill_price) not in sums:
            return False
        for choice in product(*self.history.get(alert, {}).values()):
            owned_positions = [position for position in choice if position is not None]
            # An order's sums may be ahead of the position, whose fills wait for the end of their sweep.
            if owned_positions and self._view(owned_positions)._replace(
                filled_qty=0, avg_fill_price=0
            ) == view._replace(filled_qty=0, avg_fill_price=0):
                self._possible.add((alert, view))
                return True
        return False

    def _sum(self, known: Known) -> tuple[float, float]:
        """Return the filled quantity and the average price of an execution's order."""
        fills = [one.truth for one, _ in self._entries(known.key) if one.order == known.order]
        filled = sum((fill.quantity for fill in fills), ZERO)
        return _number(filled), _number(sum((fill.quantity * fill.price for fill in fills), ZERO) / filled)

    def _views(
        self, keys: Sequence[AccountContract], bases: Mapping[AccountContract, set[Decimal]]
    ) -> dict[AlertId, set[View | None]]:
        options: dict[AccountContract, list[dict[AlertId, OwnedPosition]]] = {}
        for key in self._contracts():
            of_key: list[dict[AlertId, OwnedPosition]] = []
            for base in bases[key]:
                owned_positions = self.fold(key, base)
                if owned_positions not in of_key:
                    of_key.append(owned_positions)
            options[key] = of_key
        alerts = {
            alert for key in keys for owned_positions in options.get(key, ()) for alert in owned_positions
        }
        views: dict[AlertId, set[View | None]] = {}
        for alert in alerts:
            choices = [
                found
                for of_key in options.values()
                if (found := _unique(owned_positions.get(alert) for owned_positions in of_key)) != [None]
            ]
            for choice in product(*choices):
                chosen_positions = [position for position in choice if position is not None]
                views.setdefault(alert, set()).add(self._view(chosen_positions) if chosen_positions else None)
        return views

    def _view(self, owned_positions: Sequence[OwnedPosition]) -> View:
        last = max(owned_positions, key=lambda position: position.last)
        live = [position for position in owned_positions if position.quantity] or [last]
        size = sum((abs(position.quantity) for position in live), ZERO)
        cost = sum((abs(position.quantity) * position.avg_price for position in live), ZERO)
        truth = last.by.truth
        filled, average = self._sum(last.by)
        return View(
            quantity=_number(sum((position.quantity for position in live), ZERO)),
            avg_price=_number(cost / size if size else last.avg_price),
            opened_at=min(position.opened_at for position in live).isoformat(timespec="microseconds"),
            shared_with=tuple(sorted({name for position in live for name in position.others})),
            exec_id=truth.exec_id,
            account=truth.account,
            con_id=truth.contract.con_id,
            filled_qty=filled,
            avg_fill_price=average,
            last_fill_price=_number(truth.price),
            side="BUY" if truth.side == "BOT" else "SELL",
        )


def shown_view(record: Mapping[str, Any]) -> View | None:
    """Return what a record shows; None where it shows nothing, or that it owns nothing after all."""
    position, order = record.get("position"), record.get("last_order_update")
    if position is None or order is None or position["opened_at"] is None:
        return None
    return View(
        quantity=_number(position["quantity"]),
        avg_price=_number(position["avg_price"]),
        opened_at=position["opened_at"],
        shared_with=tuple(position["shared_with"]),
        exec_id=order["exec_id"],
        account=order["account"],
        con_id=order["con_id"],
        filled_qty=_number(order["filled_qty"]),
        avg_fill_price=_number(order["avg_fill_price"]),
        last_fill_price=_number(order["last_fill_price"]),
        side=order["side"],
    )


def _alert_id(fields: Sequence[str]) -> AlertId:
    alerter, ticker, created_at, con_id = fields
    return AlertId(alerter, ticker, created_at, int(con_id) if con_id else None)


def _number(value: Decimal | float) -> float:
    return round(float(value), 9)


def _unique(values: Iterable[OwnedPosition | None]) -> list[OwnedPosition | None]:
    found: list[OwnedPosition | None] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _core(known: Known) -> Execution:
    truth = known.truth
    return Execution(
        exec_id=truth.exec_id,
        account=truth.account,
        contract=_contract(truth.contract),
        side=Side.BUY if truth.side == "BOT" else Side.SELL,
        quantity=truth.quantity,
        price=truth.price,
        time=known.time,
        time_text="",
        time_known=True,
        perm_id=truth.perm_id,
        order_id=truth.order_id,
        client_id=truth.client_id,
        cum_qty=None,
        avg_price=None,
        order_ref=truth.order_ref,
        request_id=-1,
    )


def _contract(contract: PaperContract) -> Contract:
    return Contract(
        con_id=contract.con_id,
        symbol=contract.symbol,
        sec_type=contract.sec_type,
        expiry=_day(contract),
        strike=contract.strike,
        right=contract.right,
        trading_class=contract.trading_class,
    )


def _day(contract: PaperContract) -> date | None:
    return datetime.strptime(contract.expiry, "%Y%m%d").date() if contract.expiry else None
