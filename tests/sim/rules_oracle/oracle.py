"""The oracle: what is right after these events, by the rules page alone.

`expected(events)` recomputes everything. It imports nothing of the tracker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from tests.sim.rules_oracle.answers import Opening
from tests.sim.rules_oracle.decisions import Replay
from tests.sim.rules_oracle.entries import Decision, Kind
from tests.sim.rules_oracle.facts import AccountContract, Event, Fact, Known, OrderKey
from tests.sim.rules_oracle.folded import Folded
from tests.sim.rules_oracle.orders import OrderExpected, Orders
from tests.sim.rules_oracle.records import Alert
from tests.sim.rules_oracle.settings import Settings
from tests.sim.rules_oracle.tallies import Tally


@dataclass(frozen=True, slots=True)
class AlertExpected:
    """What is right for one alert; `shown` tells whether its record has a position of ours at all."""

    alerter: str
    ticker: str
    created_at: str | None
    present: bool
    """Whether its record is in the store."""
    shown: bool
    open: bool
    quantities: dict[AccountContract, Decimal]
    """Signed, by account and contract; without zeros."""
    avg_price: Decimal | None
    opened_at: datetime | None
    closed_at: datetime | None
    closed_by: str | None
    shared_with: tuple[str, ...]
    """ALERTER/TICKER of the present alerts that own a lot together with it."""
    matched_by: str
    """The rule of the last lot that it was given."""
    rules: dict[OrderKey, str]
    removed: bool
    """Whether the closing policy takes the record out."""
    unmanaged: tuple[str, ...] = ()
    """Accounts of its holdings that the login no longer manages (rule 4.7)."""

    @property
    def quantity(self) -> Decimal:
        return sum(self.quantities.values(), Decimal(0))

    @property
    def name(self) -> str:
        return f"{self.alerter}/{self.ticker}"


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """Something that needs a person (rule 1.7)."""

    kind: str
    """ambiguous, near miss, reopened, undecodable or unexplained."""
    reason: str
    exec_ids: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    holding: AccountContract | None = None
    order: OrderKey | None = None


@dataclass(frozen=True, slots=True)
class LotExpected:
    quantity: Decimal
    price: Decimal | None
    time: datetime
    owners: tuple[str, ...]
    order: OrderKey | None


@dataclass(frozen=True, slots=True)
class Orphan:
    """What a record that is gone still owns, without a successor (rule 2.4)."""

    alert: str
    """As it was spelled when it was looked at last."""
    created_at: str | None
    holding: AccountContract
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class AdjustmentExpected:
    holding: AccountContract
    cause: str
    time: datetime
    held: Decimal | None
    ratio: Decimal | None


@dataclass(frozen=True, slots=True)
class Expected:
    """Everything that is right after the events."""

    alerts: tuple[AlertExpected, ...]
    positions: dict[AccountContract, Decimal]
    """By executions, opening balance and adjustments."""
    openings: dict[AccountContract, Opening]
    opening_left: dict[AccountContract, Decimal]
    lots: dict[AccountContract, tuple[LotExpected, ...]]
    inbox: tuple[InboxEntry, ...]
    orders: dict[OrderKey, OrderExpected]
    orphans: tuple[Orphan, ...]
    adjustments: tuple[AdjustmentExpected, ...]
    unexplained: dict[AccountContract, Decimal]
    """By how much the broker's last answer differed; nothing is left of it where a fill that came since
    explains it."""
    took_from_others: tuple[str, ...]
    """Executions whose reference did not name the alerts that they closed."""
    by_person: frozenset[OrderKey] = frozenset()
    """Orders about which a decision of a person stands."""
    decisions: tuple[str, ...] = field(default=(), repr=False)

    def alert(self, name: str, created_at: str | None = None) -> AlertExpected:
        """Return an alert by ALERTER/TICKER, the present one first, else the last that had the name."""
        fitting = [
            one
            for one in self.alerts
            if one.name == name and (created_at is None or one.created_at == created_at)
        ]
        if not fitting:
            raise KeyError(name)
        return next((one for one in fitting if one.present), fitting[-1])

    def unowned(self, holding: AccountContract) -> Decimal:
        """Return what lots without owner hold."""
        return sum((lot.quantity for lot in self.lots.get(holding, ()) if not lot.owners), Decimal(0))

    def waiting(self, kind: str) -> list[InboxEntry]:
        return [entry for entry in self.inbox if entry.kind == kind]


class Oracle:
    """Take in events as they are handled, and say at any time what is right by then.

    Only the decisions are kept from event to event, as the rules want; everything else is recomputed.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._replay, self._orders = Replay(settings or Settings()), Orders()

    def handle(self, event: Event) -> None:
        self._replay.handle(event)
        self._orders.handle(event)

    @property
    def decisions(self) -> Sequence[Decision]:
        """Return every decision so far, in the order in which they were taken."""
        return self._replay.decisions

    @property
    def lagged(self) -> int:
        """Return how many answers about positions lagged."""
        return self._replay.holdings.lagged

    def opening(self, holding: AccountContract) -> Opening:
        """Return an opening balance as it is taken to be now."""
        return self._replay.holdings.opening(holding)

    def known(self) -> Known:
        """Return what a look at the stores finds something for by now."""
        return self._replay.known()

    def now(self) -> Expected:
        return answer(self._replay, self._orders)


def expected(events: Iterable[Event], settings: Settings | None = None) -> Expected:
    """Recompute everything from all events, in the order in which the tracker handled them."""
    oracle = Oracle(settings)
    for event in events:
        oracle.handle(event)
    return oracle.now()


def answer(replay: Replay, orders: Orders) -> Expected:
    """Return what is right now; the same for every way of getting here."""
    folds = replay.fold_all()
    tallies = replay.tallies()
    by_order: dict[OrderKey, list[Fact]] = {}
    for fact in replay.facts.values():
        by_order.setdefault(fact.order, []).append(fact)
    names = [alert.name for alert in replay.registry.alerts]
    positions = {key: replay.fold_of(key, settled=True).position for key in folds}
    return Expected(
        alerts=tuple(_alert(replay, alert, tallies, folds) for alert in replay.registry.alerts),
        positions=positions,
        openings={key: replay.holdings.opening(key) for key in folds},
        opening_left={key: one.opening for key, one in folds.items()},
        lots={
            key: tuple(
                LotExpected(
                    lot.quantity, lot.price, lot.time, tuple(names[alert] for alert in lot.owners), lot.order
                )
                for lot in one.lots
                if lot.quantity
            )
            for key, one in folds.items()
        },
        inbox=tuple(_inbox(replay, folds, names, by_order)),
        orders={
            order: orders.expected(order, _of_order(order, facts, by_order))
            for order, facts in by_order.items()
        },
        orphans=tuple(
            Orphan("/".join(alert.spelled), alert.record.created_text, key, quantity)
            for alert in replay.registry.alerts
            if not alert.present and alert.number in tallies
            for key, quantity in tallies[alert.number].quantities.items()
            if quantity
        ),
        adjustments=tuple(
            AdjustmentExpected(one.holding, one.cause, one.time, one.held, one.ratio)
            for key in folds
            for one in replay.holdings.adjustments(key)
        ),
        unexplained={key: folds[key].difference or Decimal(0) for key in replay.holdings.unexplained},
        took_from_others=tuple(exec_id for one in folds.values() for exec_id in one.took_from_others),
        by_person=replay.persons.settled,
        decisions=tuple(
            f"{one.kind.value}: {one.order or one.holding} -> "
            f"{[names[alert] for alert in (one.rules or ([one.new] if one.kind is Kind.TAKEOVER else []))]}"
            f" behind {one.place.time:%Y-%m-%d %H:%M:%S}"
            for one in replay.decisions
        ),
    )


def _of_order(order: OrderKey, facts: list[Fact], by_order: dict[OrderKey, list[Fact]]) -> Iterable[Fact]:
    """Return every fact of the broker's order; without permId that is its client's orderId."""
    first = facts[0].now
    if order.perm_id or first.order_id <= 0:
        return facts
    return [
        fact
        for other, ones in by_order.items()
        if not other.perm_id and other.holding == order.holding
        for fact in ones
        if (fact.now.client_id, fact.now.order_id) == (first.client_id, first.order_id)
    ]


def _alert(
    replay: Replay, alert: Alert, tallies: dict[int, Tally], folds: dict[AccountContract, Folded]
) -> AlertExpected:
    record, policy = alert.record, replay.settings.policy
    one = tallies.get(alert.number, Tally())
    shown = alert.number in tallies
    # What all went to others, or was void, is no position that was closed.
    over = shown and not one.open and not one.emptied
    partners = {
        other
        for folded in folds.values()
        for lot in folded.lots
        if lot.quantity and alert.number in lot.owners
        for other in lot.owners
        if other != alert.number and replay.registry.alerts[other].present
    }
    quantities = {key: quantity for key, quantity in one.quantities.items() if quantity}
    return AlertExpected(
        record.alerter,
        record.ticker,
        record.created_text,
        alert.present,
        shown,
        one.open or (over and policy == "keep"),
        quantities,
        None if one.emptied else one.average,
        None if one.emptied else one.opened_at,
        one.closed_at,
        one.closed_by,
        tuple(sorted(replay.registry.alerts[other].name for other in partners)),
        one.rule,
        dict(one.rules),
        over and policy == "remove",
        tuple(sorted({account for account, _ in quantities} & replay.unmanaged)),
    )


def _inbox(
    replay: Replay,
    folds: dict[AccountContract, Folded],
    names: list[str],
    by_order: dict[OrderKey, list[Fact]],
) -> Iterable[InboxEntry]:
    settled = replay.persons.settled
    for order, facts in by_order.items():
        left = [lot for lot in folds[order.holding].lots if lot.order == order and lot.quantity]
        if not left or any(lot.owners for lot in left) or order in settled:
            continue
        exec_ids = tuple(fact.now.exec_id for fact in facts)
        if order in replay.ambiguous:
            rivals = tuple(names[alert] for alert in replay.ambiguous[order])
            yield InboxEntry("ambiguous", "several alerts agree", exec_ids, rivals, order.holding, order)
        elif near := replay.near.get(order):
            for alert, reason in near.items():
                yield InboxEntry("near miss", reason, exec_ids, (names[alert],), order.holding, order)
    for alert in sorted(replay.reopened):
        yield InboxEntry("reopened", "it opened again and its record is gone", (), (names[alert],))
    for exec_id in replay.undecodable:
        yield InboxEntry("undecodable", "the execution cannot be read", (exec_id,))
    for key, seen in replay.holdings.unexplained.items():
        difference = folds[key].difference
        if not difference:
            # An execution that came since explains it.
            continue
        reason = f"the broker holds {seen.held}, {difference:+} of what we have"
        if seen.after_gap:
            reason += "; missed fills are the likely cause"
        yield InboxEntry("unexplained", reason, (), (), key)
