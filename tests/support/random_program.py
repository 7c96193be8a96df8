"""A program that orders at random on the paper gateway, from a seed, as trading programs do.

Each step is finished before the next: what was ordered is filled, cancelled or at rest. Some steps are no
order: an order by hand, a correction, a lost link; and what changes positions without an execution: splits
either way, transfers in and out, a merger, an exercise or assignment, another number for the account.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any, Final

from tests.support.paper_clients import RawClient, fields_of_order, until
from tracker.clock import now
from tracker.paper.contracts import PaperContract, bag, option, stock
from tracker.paper.model import PaperOrder
from tracker.paper.scenario import event_of
from tracker.paper.scenario_player import ScenarioPlayer
from tracker.paper.server import PaperGateway

CONTRACTS: Final = {
    "call": option("NVDA", "20301220", "C", "122.5", con_id=700100200),
    "put": option("NVDA", "20301220", "P", "122.5", con_id=700100201),
    "shares": stock("AMD", con_id=4391),
    "other": stock("XLNX", con_id=4391001),
}
STOCKS: Final = ("shares", "other")
CLIENT_ID: Final = 7
SECOND: Final = timedelta(seconds=1)
BASE: Final = 3
"""How many of each the account holds before the tracker comes; no alert's."""
_DONE: Final = ("Filled", "Cancelled", "Inactive")


class RandomProgram:
    """Take one step at a time on a gateway, over one client's connection."""

    def __init__(self, seed: int, gateway: PaperGateway, player: ScenarioPlayer, client: RawClient) -> None:
        self._rng = Random(seed)
        self._gateway, self._player, self._client = gateway, player, client
        self._next = int(client.of("9")[0][2])
        self._prices = {
            "call": Decimal("2.50"),
            "put": Decimal("3.10"),
            "shares": Decimal(160),
            "other": Decimal(90),
        }
        self.steps: list[str] = []
        for name, price in self._prices.items():
            gateway.engine.set_price(CONTRACTS[name], price)

    async def step(self) -> str:
        """Do something; returns what it was."""
        acts: tuple[Callable[[str], Awaitable[None]], ...] = (
            *(self.market, self.market, self.limit, self.bracket, self.one_cancels_all, self.trailing),
            *(self.combo, self.partial_and_replace, self.cancelled, self.what_if),
            *(self.by_hand, self.correct, self.lose_link, self.split, self.reverse_split),
            *(self.transfer, self.transfer_out, self.merge, self.assign, self.renumber),
        )
        act, name = self._rng.choice(acts), self._rng.choice(tuple(CONTRACTS))
        await self._new_second()
        await act(name)
        self.steps.append(f"{act.__name__} {name}")
        return self.steps[-1]

    # Orders

    async def market(self, name: str) -> None:
        await self._ended(self._place(name, self._side(), self._quantity()))

    async def limit(self, name: str) -> None:
        """A limit away from the market, which comes to it."""
        side = self._side()
        price = self._off(name, Decimal("0.95") if side == "BUY" else Decimal("1.05"))
        order = self._place(name, side, self._quantity(), "LMT", lmtPrice=float(price))
        await self._resting(order)
        self._move(name, price)
        await self._ended(order)

    async def bracket(self, name: str) -> None:
        """One of take-profit and stop-loss is reached, and cancels the other."""
        quantity = self._quantity()
        parent = self._place(name, "BUY", quantity, transmit=False)
        profit_at, loss_at = self._off(name, Decimal("1.1")), self._off(name, Decimal("0.9"))
        exits = {"parentId": parent}
        profit = self._place(
            name, "SELL", quantity, "LMT", lmtPrice=float(profit_at), transmit=False, **exits
        )
        loss = self._place(name, "SELL", quantity, "STP", auxPrice=float(loss_at), **exits)
        await self._ended(parent)
        await self._new_second()
        self._move(name, self._rng.choice((profit_at, loss_at)))
        await self._ended(profit)
        await self._ended(loss)

    async def one_cancels_all(self, name: str) -> None:
        group = {"ocaGroup": f"group {self._next}", "ocaType": 1}
        low, high = self._off(name, Decimal("0.9")), self._off(name, Decimal("0.95"))
        quantity = self._quantity()
        pair = [self._place(name, "BUY", quantity, "LMT", lmtPrice=float(at), **group) for at in (low, high)]
        for order in pair:
            await self._resting(order)
        self._move(name, high)
        for order in pair:
            await self._ended(order)

    async def trailing(self, name: str) -> None:
        """A stop that follows the price up and is reached on its way down."""
        trail = (self._prices[name] / 20).quantize(Decimal("0.01"))
        order = self._place(name, "SELL", self._quantity(), "TRAIL", auxPrice=float(trail))
        await self._resting(order)
        self._move(name, self._off(name, Decimal("1.1")))
        self._move(name, self._off(name, Decimal("0.9")))
        await self._ended(order)

    async def combo(self, name: str) -> None:
        """Call and put as one, named by their conIds."""
        legs = bag("NVDA", (CONTRACTS["call"], 1, "BUY"), (CONTRACTS["put"], 1, self._side()))
        await self._ended(self._send(legs, self._side(), self._quantity(), "MKT"))

    async def partial_and_replace(self, name: str) -> None:
        """Part of a resting order fills, the rest is cancelled and bought at the market."""
        quantity = self._quantity() + 1
        order = self._place(name, "BUY", quantity, "LMT", lmtPrice=float(self._off(name, Decimal("0.9"))))
        await self._resting(order)
        part = self._rng.randint(1, quantity - 1)
        self._gateway.fill(self._order(order), part)
        self._client.send(4, 1, order, "")
        await self._ended(order)
        await self._ended(self._place(name, "BUY", quantity - part))

    async def cancelled(self, name: str) -> None:
        order = self._place(name, "BUY", 5, "LMT", lmtPrice=float(self._off(name, Decimal("0.8"))))
        await self._resting(order)
        self._client.send(4, 1, order, "")
        await self._ended(order)

    async def what_if(self, name: str) -> None:
        self._place(name, "BUY", 10, whatIf=True)
        await self._client.settle()

    # What is no order of the program

    async def by_hand(self, name: str) -> None:
        """An order by hand in TWS, in two fills, the second one never pushed."""
        order = self._gateway.order(CONTRACTS[name], self._side(), 5, limit=self._prices[name], manual=True)
        self._gateway.fill(order, 2)
        self._gateway.fill(order, 3, push=False)

    async def correct(self, name: str) -> None:
        """The newest execution that can be corrected was of one less, at another price."""
        for execution in reversed(list(self._gateway.book.executions.values())):
            root, _, version = execution.exec_id.rpartition(".")
            newest = f"{root}.{int(version) + 1:02d}" not in self._gateway.book.executions
            if newest and execution.quantity > 1 and execution.contract == CONTRACTS[name]:
                self._gateway.correct(execution, execution.quantity - 1, execution.price + Decimal("0.05"))
                return

    async def split(self, name: str) -> None:
        if self._held(name) > 0:
            await self._event("split", contract=name, new=2)

    async def reverse_split(self, name: str) -> None:
        """One for two, where no half is left."""
        if self._held(name) > 0 and self._held(name) % 2 == 0:
            await self._event("split", contract=name, new=1, old=2)

    async def transfer(self, name: str) -> None:
        """Some come from another broker."""
        if self._held(name) > 0:
            await self._event("transfer", contract=name, quantity=2, to_account=self._account)

    async def transfer_out(self, name: str) -> None:
        """Some of what is held goes to another broker, the alert's as well."""
        if (held := self._held(name)) > 0:
            quantity = self._rng.randint(1, int(held))
            await self._event("transfer", contract=name, quantity=quantity, from_account=self._account)

    async def merge(self, name: str) -> None:
        """One stock becomes the other, three for two, where no half is left."""
        name, into = (name, STOCKS[name == "shares"]) if name in STOCKS else STOCKS
        if self._held(name) > 0 and self._held(name) % 2 == 0:
            await self._event("merge", contract=name, into=into, new=3, old=2)

    async def assign(self, name: str) -> None:
        """One option becomes a hundred shares: exercised if it was long, assigned if it was short."""
        if name not in STOCKS and self._held(name):
            await self._event("assign", contract=name, stock="shares", quantity=1)

    async def renumber(self, name: str) -> None:
        """The account gets another number."""
        await self._event("renumber", account=self._account, into=f"DU{7000000 + len(self.steps)}")

    async def lose_link(self, name: str) -> None:
        """The tracker's link ends, and an order by hand fills before it is back."""
        self._gateway.drop_connections(to=(0,))
        order = self._gateway.order(CONTRACTS[name], "BUY", 2, limit=self._prices[name], client_id=9)
        self._gateway.fill(order, 2)

    # Means

    async def _new_second(self) -> None:
        """Wait until the broker's times tell what comes from what has been.

        Within a second the rules place what grows a position first, whatever came first.
        """
        last = max((one.time for one in self._gateway.book.executions.values()), default=None)
        await until(lambda: last is None or now() - last.replace(microsecond=0) >= SECOND, "a new second")

    def _side(self) -> str:
        return self._rng.choice(("BUY", "BUY", "SELL"))

    def _quantity(self) -> int:
        return self._rng.randint(1, 6)

    def _off(self, name: str, factor: Decimal) -> Decimal:
        return (self._prices[name] * factor).quantize(Decimal("0.01"))

    def _move(self, name: str, price: Decimal) -> None:
        self._prices[name] = price
        self._gateway.engine.set_price(CONTRACTS[name], price)

    @property
    def _account(self) -> str:
        return self._gateway.book.accounts[0]

    def _held(self, name: str) -> Decimal:
        return self._gateway.book.position(self._account, CONTRACTS[name]).quantity

    async def _event(self, do: str, **keys: Any) -> None:
        """Change positions, and wait until the tracker has asked for them."""
        self._player.perform_at_once(event_of({"do": do, **keys}, "event", timed=False))
        # A new link asks for positions, and again after its first sweep, which makes the answer certain.
        asked = self._gateway.broadcast.received_counts
        goal = asked[0, "61"] + 2
        self._gateway.drop_connections(to=(0,))
        await until(lambda: asked[0, "61"] >= goal, "the tracker to ask for positions twice", 60)

    def _place(self, name: str, side: str, quantity: int, kind: str = "MKT", **terms: Any) -> int:
        return self._send(CONTRACTS[name], side, quantity, kind, **terms)

    def _send(self, contract: PaperContract, side: str, quantity: int, kind: str, **terms: Any) -> int:
        number, self._next = self._next, self._next + 1
        order = {"action": side, "totalQuantity": quantity, "orderType": kind, **terms}
        self._client.send(*fields_of_order(number, contract, **order))
        return number

    def _order(self, number: int) -> PaperOrder:
        found = self._gateway.book.find_order(CLIENT_ID, number)
        assert found is not None, self._client.of("4")[-3:]
        return found

    async def _resting(self, number: int) -> None:
        await until(lambda: self._status(number) in ("Submitted", "PreSubmitted"), f"order {number} at rest")

    async def _ended(self, number: int) -> None:
        await until(lambda: self._status(number) in _DONE, f"order {number} to end ({self.steps[-3:]})")

    def _status(self, number: int) -> str:
        found = [fields[2] for fields in self._client.of("3") if fields[1] == str(number)]
        return found[-1] if found else ""
