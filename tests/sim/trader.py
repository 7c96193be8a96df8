"""What is traded in a simulated life: orders, fills, cancellations and corrections, one thing at a time.

Owns the choice. The broker keeps the books, and `happen` is given what it tells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Final

from tests.sim import spellings
from tests.sim.broker import AccountContract, Event, SimBroker
from tests.sim.changes import FIRST
from tests.sim.neighbour import Neighbour
from tests.sim.options import Options
from tests.sim.oracle_feed import OracleFeed
from tracker.paper.contracts import PaperContract

_ADJUSTED: Final = 0.3
_CLOSES: Final = 0.15
_NAMED: Final = 0.6
_RESTS: Final = 0.1


class Trader:
    """Trade at random, often what an alert is about."""

    def __init__(
        self,
        seed: int,
        rng: Random,
        options: Options,
        broker: SimBroker,
        neighbour: Neighbour,
        feed: OracleFeed,
        happen: Callable[[list[Event]], None],
    ) -> None:
        self._rng = rng
        self._options = options
        self._broker = broker
        self._neighbour = neighbour
        self._feed = feed
        self._happen = happen
        # Drawn apart, so that the other lives stay as they were.
        self._closer = Random(f"whole closes of {seed}")
        self._closes = _CLOSES if self._closer.random() < 0.4 else 0.0
        """How often all that an alert owns is closed at once; in the other lives that is rare."""
        self._oddly = Random(f"adjusted contracts of {seed}")
        self._adjusted = _ADJUSTED if self._oddly.random() < 0.5 else 0.0
        self._restless = Random(f"inactive orders of {seed}")
        changing = seed >= FIRST and self._restless.random() < 0.5
        self._rests = _RESTS if changing else 0.0
        """How often an order rests, or works again."""

    def trade(self) -> None:
        """Do one thing."""
        rng, broker = self._rng, self._broker
        if self._closer.random() < self._closes:
            if self._closer.random() < 0.5:
                self._close_alert()
            else:
                self._open_alert()
            return
        if self._restless.random() < self._rests and self._rest_or_revive():
            return
        live = [order for order in broker.orders if order.live]
        roll = rng.random()
        if roll < 0.3 or not live:
            contract = self._contract()
            self._happen(broker.order(contract, self._order_ref(contract)))
        elif roll < 0.75:
            self._happen(broker.fill(rng.choice(live)))
        elif roll < 0.8:
            self._happen(broker.cancel(rng.choice(live)))
        elif roll < 0.85:
            self._happen(broker.retell(rng.choice(broker.orders)))
        elif rng.random() < self._options.corrections:
            self._happen(broker.correct())
        else:
            self._happen(broker.report_fee())
        if self._options.reused_order_ids and rng.random() < 0.05:
            broker.restart_order_ids()

    def _rest_or_revive(self) -> bool:
        """Have an order rest, or one that rests work again; False where there is none."""
        orders = [order for order in self._broker.orders if order.live or order.rests]
        if not orders:
            return False
        order = self._restless.choice(orders)
        self._happen(self._broker.revive(order) if order.rests else self._broker.rest(order))
        return True

    def close(self, key: AccountContract, held: Decimal) -> None:
        """Sell, or buy back, so many that the broker holds of a contract."""
        account, con_id = key
        self._fill_whole(self._broker.order(self._broker.contract(con_id), "", (account, held)))

    def _close_alert(self) -> None:
        """Sell, or buy back, all that one alert owns of a contract; often the order names the alert."""
        owned = [
            (alert.name, key, quantity)
            for alert in self._feed.now().alerts
            if alert.present
            for key, quantity in alert.quantities.items()
        ]
        if not owned:
            return
        name, (account, con_id), quantity = self._closer.choice(owned)
        contract = self._broker.contract(con_id)
        named = self._closer.random() < _NAMED
        alerter, _, ticker = name.partition("/")
        reference = spellings.reference(self._closer, alerter, ticker, contract, self._options.respellings)
        self._fill_whole(self._broker.order(contract, reference if named else "", (account, quantity)))

    def _open_alert(self) -> None:
        """Trade by the name of one of several alerts of a contract, so that each has lots of its own."""
        about = Counter(record["about"] for record in self._neighbour.own.values())
        names = [name for name, record in self._neighbour.own.items() if about[record["about"]] > 1]
        if not names:
            return
        alerter, ticker = name = self._closer.choice(names)
        contract = self._broker.contract(self._neighbour.own[name]["about"])
        reference = spellings.reference(self._closer, alerter, ticker, contract, self._options.respellings)
        self._fill_whole(self._broker.order(contract, reference))

    def _fill_whole(self, placed: list[Event]) -> None:
        self._happen(placed)
        order = self._broker.orders[-1]
        while order.live:
            self._happen(self._broker.fill(order))

    def _contract(self) -> PaperContract:
        """Choose what to trade; in some lives now and then what a corporate action made of it."""
        contract = self._wanted()
        adjusted = self._broker.adjusted(contract)
        return contract if adjusted is None or self._oddly.random() >= self._adjusted else adjusted

    def _wanted(self) -> PaperContract:
        """Choose a contract: often what an alert is about, often what is held."""
        rng, broker = self._rng, self._broker
        about = [fields["about"] for fields in self._neighbour.own.values()]
        held = [con_id for (_, con_id), quantity in broker.positions.items() if quantity]
        roll = rng.random()
        if about and roll < 0.5:
            return broker.contract(rng.choice(about))
        if held and roll < 0.8:
            return broker.contract(rng.choice(held))
        return rng.choice(broker.contracts)

    def _order_ref(self, contract: PaperContract) -> str:
        if self._rng.random() >= self._options.order_refs or not self._neighbour.own:
            return ""
        alerter, ticker = self._rng.choice(list(self._neighbour.own))
        return spellings.reference(self._rng, alerter, ticker, contract, self._options.respellings)
