"""Bring about what a life meets too seldom: a record that may own, long after it, what was traded before.

Owns three habits, of some of the lives. While nobody runs, a record is written that is older than a fill
which belongs to nobody; or somebody buys and sells, and a record of the contract is younger than both. And a
record that was away as its contract was bought again is there once more when what it owned is sold. What
comes of either is the oracle's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Final, NamedTuple

from tests.sim.broker import Event, SimBroker
from tests.sim.neighbour import Neighbour, RecordKey
from tests.sim.options import Options
from tests.sim.oracle_feed import OracleFeed
from tracker.paper.contracts import PaperContract

_EVERY: Final = 20
_LIVES: Final = 17
"""Of every twenty lives this one meets it, so that the others stay as they are."""
_PAUSES: Final = 0.03
_SECONDS: Final = (150, 1000)
"""How long nothing happens, so that retry windows are over."""
_STEPS: Final = 0.3
_ROUND_TRIPS: Final = 0.4


class _Plan(NamedTuple):
    """Hold a record, and what it owned of a contract as it was taken away."""

    record: RecordKey
    account: str
    contract: PaperContract
    quantity: Decimal


class Latecomers:
    """Act in one life whose neighbour writes at all; `trade` is given what the broker tells."""

    def __init__(
        self,
        seed: int,
        options: Options,
        broker: SimBroker,
        neighbour: Neighbour,
        feed: OracleFeed,
        trade: Callable[[list[Event]], None],
    ) -> None:
        self._rng = Random(f"latecomers of {seed}")
        self._acts = seed % _EVERY == _LIVES and options.neighbour > 0
        self._broker = broker
        self._neighbour = neighbour
        self._feed = feed
        self._trade = trade
        self._going_on: Iterator[None] = iter(())

    def pause(self) -> float:
        """Return for how many more seconds nothing happens."""
        return self._rng.uniform(*_SECONDS) if self._acts and self._rng.random() < _PAUSES else 0.0

    def while_down(self) -> None:
        """Write a record while nobody runs: older than a fill of nobody's, or younger than a round trip."""
        if not self._acts or self._neighbour.busy:
            return
        if self._rng.random() < _ROUND_TRIPS:
            self._round_trip()
            return
        free = [
            (self._broker.contract(con_id), lot.time)
            for (_, con_id), lots in self._feed.now().lots.items()
            for lot in lots
            if not lot.owners and lot.order is not None
        ]
        if free:
            contract, time = self._rng.choice(free)
            self._neighbour.write_late(self._rng, contract, time - timedelta(seconds=30))

    def _round_trip(self) -> None:
        """Buy, sell all of it or all but one, and write a record that was created two seconds later."""
        made = [one for one in self._broker.executions.values() if one.contract.sec_type != "BAG"]
        if not made:
            return
        contract = self._rng.choice(made).contract
        plan = _Plan(("", ""), self._broker.accounts[0], contract, Decimal(self._rng.randint(2, 4)))
        self._fill_whole(plan, "", -plan.quantity)
        self._fill_whole(plan, "", plan.quantity - self._rng.randint(0, 1))
        sold = max(one.time for one in self._broker.executions.values())
        self._neighbour.write_late(self._rng, contract, sold + timedelta(seconds=2))

    def step(self) -> None:
        """Go on with what was begun, or begin."""
        if not self._acts or self._neighbour.busy or self._rng.random() >= _STEPS:
            return
        if next(self._going_on, self) is self and (plan := self._chosen()) is not None:
            self._going_on = self._back_again(plan)

    def _chosen(self) -> _Plan | None:
        """Choose a record that owns something of the contract that it is about."""
        own = self._neighbour.own
        plans = [
            _Plan(record, account, self._broker.contract(con_id), quantity)
            for alert in self._feed.now().alerts
            for (account, con_id), quantity in alert.quantities.items()
            if alert.present
            and (record := (alert.alerter, alert.ticker)) in own
            and own[record]["about"] == con_id
        ]
        return self._rng.choice(plans) if plans else None

    def _back_again(self, plan: _Plan) -> Iterator[None]:
        """Take a record away, buy more, sell what the record owned, and put it back."""
        if not (record := self._neighbour.take_away(plan.record)):
            return
        yield
        self._fill_whole(plan, "", -plan.quantity)
        yield
        self._fill_whole(plan, f"tracker:{'/'.join(plan.record)}", plan.quantity)
        yield
        self._neighbour.put_back(plan.record, record)

    def _fill_whole(self, plan: _Plan, reference: str, held: Decimal) -> None:
        """Fill an order that would close what is `held`."""
        self._trade(self._broker.order(plan.contract, reference, (plan.account, held)))
        order = self._broker.orders[-1]
        while order.live:
            self._trade(self._broker.fill(order))
