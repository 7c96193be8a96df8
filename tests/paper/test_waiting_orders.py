"""Orders that wait: for a price, a time, an execution, a parent or another order of their group."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support.paper_clients import (
    AAPL,
    NOON,
    NVDA,
    Clock,
    RawClient,
    fields_of_order,
    library,
    make_gateway,
    raw_client,
    until,
)  # fmt: skip
from tracker.paper.model import PaperOrder
from tracker.paper.order_engine import FillPolicy
from tracker.paper.server import PaperGateway


class Floor:
    """Hold a gateway, its clock and the client that orders on it."""

    def __init__(self, gateway: PaperGateway, clock: Clock, client: RawClient) -> None:
        self.gateway = gateway
        self.clock = clock
        self.client = client
        gateway.book.learn(AAPL)
        gateway.book.learn(NVDA)

    async def place(self, number: int, **terms: Any) -> PaperOrder:
        """Place an order for AAPL as client 7; terms are attributes of the library's Order."""
        usual = {"action": "BUY", "totalQuantity": 10, "orderType": "LMT"}
        self.client.send(*fields_of_order(number, AAPL, **{**usual, **terms}))
        await self.client.settle()
        order = self.gateway.book.find_order(7, number)
        assert order is not None, self.client.of("4")
        return order

    async def price(self, price: str) -> None:
        """Set the price of AAPL."""
        self.gateway.engine.set_price(AAPL, Decimal(price))
        await self.client.settle()

    def states(self, number: int) -> list[tuple[str, str]]:
        """Return (status, whyHeld) of an order as they came, repetitions left out."""
        found = [(f[2], f[10]) for f in self.client.of("3") if f[1] == str(number)]
        return [state for n, state in enumerate(found) if not n or state != found[n - 1]]

    def fills(self, number: int) -> list[tuple[str, str]]:
        """Return (quantity, price) of an order's executions."""
        return [(f[19], f[20]) for f in self.client.of("11") if f[2] == str(number)]


def play(story: Callable[[Floor], Awaitable[None]], **settings: Any) -> None:
    async def run() -> None:
        clock = Clock()
        async with make_gateway(clock, **settings) as gateway, raw_client(gateway, 7) as client:
            await story(Floor(gateway, clock, client))

    asyncio.run(run())


@pytest.mark.parametrize(
    ("terms", "untouched", "touched"),
    [
        ({"action": "SELL", "orderType": "STP", "auxPrice": 40}, "40.01", "39.90"),
        ({"action": "BUY", "orderType": "STP", "auxPrice": 60}, "59.99", "60.10"),
        ({"action": "BUY", "orderType": "MIT", "auxPrice": 40}, "40.01", "39.90"),
        ({"action": "SELL", "orderType": "MIT", "auxPrice": 60}, "59.99", "60.10"),
    ],
)
def test_stop_and_touch_become_market_orders(terms: dict[str, Any], untouched: str, touched: str) -> None:
    """They wait with whyHeld trigger, and fill whole at the price that reaches them."""

    async def story(floor: Floor) -> None:
        await floor.place(1, **terms)
        await floor.price(untouched)
        assert floor.states(1) == [("PreSubmitted", "trigger")]
        await floor.price(touched)
        assert floor.states(1) == [("PreSubmitted", "trigger"), ("Submitted", ""), ("Filled", "")]
        assert floor.fills(1) == [("10", touched)]

    play(story)


def test_stop_limit_works_at_its_limit() -> None:
    """Triggered below its limit it rests there, and fills once the price is back."""

    async def story(floor: Floor) -> None:
        await floor.place(1, action="SELL", orderType="STP LMT", auxPrice=40, lmtPrice=39)
        await floor.price("38.50")
        assert floor.states(1) == [("PreSubmitted", "trigger"), ("Submitted", "")]
        await floor.price("39.20")
        await floor.client.until("11", 2)
        assert floor.fills(1) == [("5", "39.20"), ("5", "39.20")]

    play(story)


@pytest.mark.parametrize("terms", [{"auxPrice": 2}, {"trailingPercent": 4}])
def test_trailing_stop_follows_the_price(terms: dict[str, Any]) -> None:
    """2 (or 4 %) below the best price since: 55 lifts it from 48 to 53 (52.80), and 54 lowers nothing."""

    async def story(floor: Floor) -> None:
        order = await floor.place(1, action="SELL", orderType="TRAIL", **terms)
        for price in ("50", "55", "54"):
            await floor.price(price)
        assert order.trail_stop == (Decimal(53) if "auxPrice" in terms else Decimal("52.8"))
        assert floor.fills(1) == []
        await floor.price("52.50")
        assert floor.fills(1) == [("10", "52.50")]

    play(story)


def test_trailing_limit_works_beyond_its_stop() -> None:
    """Triggered at 53 with an offset of 1 it sells at 52 or better."""

    async def story(floor: Floor) -> None:
        order = await floor.place(
            1, action="SELL", orderType="TRAIL LIMIT", auxPrice=2, lmtPriceOffset=1, trailStopPrice=48
        )
        await floor.price("55")
        await floor.price("51")
        assert (order.limit, order.status) == (Decimal(52), "Submitted")
        assert floor.fills(1) == []

    play(story)


def test_price_decides_over_a_limit() -> None:
    """Once a price is set a limit order fills there if it is as good, and rests otherwise."""

    async def story(floor: Floor) -> None:
        await floor.price("50")
        resting = await floor.place(1, lmtPrice=49)
        await floor.place(2, lmtPrice=51)
        await floor.client.until("11", 2)
        assert floor.fills(2) == [("5", "50"), ("5", "50")]
        assert (resting.filled, resting.status) == (Decimal(0), "Submitted")

    play(story)


def condition(kind: str, **values: Any) -> Any:
    return getattr(library(), kind)(**values)


PRICE = condition("PriceCondition", conId=AAPL.con_id, exch="SMART", isMore=True, price=60)
TIME = condition("TimeCondition", isMore=True, time="20251118 13:00:00 US/Eastern")
EXECUTED = condition("ExecutionCondition", secType="OPT", exch="SMART", symbol="NVDA")


@pytest.mark.parametrize("kind", ["price", "time", "execution"])
def test_condition_keeps_an_order_waiting(kind: str) -> None:
    """A conditional order is PreSubmitted until its condition holds."""
    conditions = {"price": PRICE, "time": TIME, "execution": EXECUTED}

    async def story(floor: Floor) -> None:
        order = await floor.place(1, orderType="MKT", conditions=[conditions[kind]])
        assert floor.states(1) == [("PreSubmitted", "")]
        if kind == "price":
            await floor.price("59")
            assert not order.filled
            await floor.price("61")
        elif kind == "time":
            floor.clock.advance(hours=1)
            floor.gateway.engine.work(order)
        else:
            floor.gateway.execute(AAPL, "BUY", 1, 50)
            assert not order.filled
            floor.gateway.fill(floor.gateway.order(NVDA, "BUY", 1, limit=2))
        assert order.status == "Filled"

    play(story)


def test_conditions_join_and_cancel() -> None:
    """Price and time must both hold where they are joined by and; with conditionsCancelOrder they cancel."""

    async def story(floor: Floor) -> None:
        both = await floor.place(1, orderType="MKT", conditions=[PRICE, TIME])
        ends = await floor.place(2, lmtPrice=10, conditions=[PRICE], conditionsCancelOrder=True)
        assert ends.status == "Submitted"
        await floor.price("61")
        assert (both.status, ends.status) == ("PreSubmitted", "Cancelled")
        floor.clock.advance(hours=1)
        await floor.price("62")
        assert both.status == "Filled"

    play(story, fills=FillPolicy(rest=True))


def test_good_after_and_good_till() -> None:
    """An order begins at its good-after time, and one that is good till a time is cancelled then."""

    async def story(floor: Floor) -> None:
        soon = NOON + timedelta(milliseconds=50)
        text = f"{soon + timedelta(hours=1):%Y%m%d-%H:%M:%S}"
        later = await floor.place(1, orderType="MKT", goodAfterTime=text)
        ends = await floor.place(2, orderType="STP", auxPrice=60, tif="GTD", goodTillDate=text)
        assert (later.status, ends.status) == ("PreSubmitted", "PreSubmitted")
        floor.clock.advance(hours=2)
        for order in (later, ends):
            floor.gateway.engine.work(order)
        assert (later.status, ends.status) == ("Filled", "Cancelled")

    play(story)


def test_timer_starts_an_order() -> None:
    """With a clock that runs an order begins by itself at its time."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()

        def now() -> Any:
            return NOON + timedelta(seconds=loop.time() - start)

        async with make_gateway(now) as gateway, raw_client(gateway, 7) as client:
            gateway.book.learn(AAPL)
            client.send(
                *fields_of_order(
                    1, AAPL, action="BUY", totalQuantity=1, orderType="MKT", goodAfterTime="20251118-17:00:01"
                )
            )
            await client.settle()
            order = gateway.book.find_order(7, 1)
            assert order is not None
            assert order.status == "PreSubmitted"
            await until(lambda: order.status == "Filled")
            assert loop.time() - start >= 1

    asyncio.run(run())


def test_orders_go_on_after_a_restart() -> None:
    """What was filling when the gateway stopped goes on when it starts again, each share once."""

    async def run() -> None:
        async with make_gateway() as gateway:
            async with raw_client(gateway, 7) as client:
                client.send(
                    *fields_of_order(1, AAPL, action="BUY", totalQuantity=4, orderType="LMT", lmtPrice=50)
                )
                await client.settle()
                await gateway.stop()
            order = gateway.book.find_order(7, 1)
            assert order is not None
            assert not order.filled
            await gateway.start()
            await until(lambda: order.status == "Filled")
            assert [one.quantity for one in gateway.book.executions.values()] == [Decimal(2), Decimal(2)]

    asyncio.run(run())


@pytest.mark.parametrize(("kind", "left"), [(1, None), (2, 6), (3, 6)])
def test_one_cancels_all(kind: int, left: int | None) -> None:
    """A fill of 4 cancels the others of its group (type 1), or reduces them by 4."""

    async def story(floor: Floor) -> None:
        first = await floor.place(1, lmtPrice=45, ocaGroup="g", ocaType=kind)
        other = await floor.place(2, orderType="STP", auxPrice=60, ocaGroup="g", ocaType=kind)
        alone = await floor.place(3, orderType="STP", auxPrice=60, ocaGroup="h", ocaType=kind)
        floor.gateway.fill(first, 4)
        assert other.status == ("Cancelled" if left is None else "PreSubmitted")
        assert left is None or other.quantity == left
        assert (alone.status, alone.quantity) == ("PreSubmitted", Decimal(10))
        floor.gateway.fill(first)
        assert other.status == "Cancelled"

    play(story, fills=FillPolicy(rest=True))


def test_bracket_follows_prices() -> None:
    """The take-profit rests until its price comes, and its fill cancels the stop."""

    async def story(floor: Floor) -> None:
        await floor.place(1, lmtPrice=50, transmit=False)
        await floor.place(2, action="SELL", lmtPrice=55, parentId=1, transmit=False)
        await floor.place(3, action="SELL", orderType="STP", auxPrice=45, parentId=1)
        assert floor.states(2) == [("PreSubmitted", "child")]
        assert floor.states(3) == [("PreSubmitted", "child,trigger")]
        await floor.client.until("11", 2)
        await asyncio.sleep(0)
        assert floor.fills(2) == []
        assert floor.states(3)[-1] == ("PreSubmitted", "trigger")
        await floor.price("55.10")
        await floor.client.until("11", 4)
        assert floor.fills(2) == [("5", "55.10"), ("5", "55.10")]
        assert floor.states(3)[-1] == ("Cancelled", "")

    play(story)


@pytest.mark.parametrize(
    ("terms", "price", "states", "fills"),
    [
        ({"tif": "FOK", "lmtPrice": 50}, None, ["Submitted", "Filled"], [("10", "50")]),
        ({"tif": "FOK", "lmtPrice": 50}, "51", ["Submitted", "Inactive"], []),
        (
            {"tif": "IOC", "lmtPrice": 50}, None,
            ["Submitted", "PendingCancel", "Cancelled"], [("5", "50")],
        ),
        ({"tif": "IOC", "lmtPrice": 50}, "51", ["Submitted", "PendingCancel", "Cancelled"], []),
        ({"tif": "IOC", "orderType": "MKT"}, "51", ["PreSubmitted", "Filled"], [("10", "51")]),
    ],
)  # fmt: skip
def test_fill_or_kill_and_immediate_or_cancel(
    terms: dict[str, Any], price: str | None, states: list[str], fills: list[tuple[str, str]]
) -> None:
    """FOK fills whole or is Inactive; of an IOC the first piece fills, and the rest is cancelled."""

    async def story(floor: Floor) -> None:
        if price is not None:
            await floor.price(price)
        await floor.place(1, **terms)
        assert [status for status, _ in floor.states(1)] == states
        assert [(quantity, f"{Decimal(paid):g}") for quantity, paid in floor.fills(1)] == fills

    play(story)


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"orderType": "FOO", "lmtPrice": 5}, "387"),
        ({"lmtPrice": 5.123}, "110"),
        ({"orderType": "STP", "auxPrice": 5.123}, "110"),
        ({"orderType": "STP"}, "321"),
        ({"orderType": "TRAIL"}, "321"),
        ({"lmtPrice": 5, "goodAfterTime": "tomorrow"}, "321"),
        ({"lmtPrice": 5, "tif": "GTD", "goodTillDate": "20251332"}, "321"),
    ],
)
def test_order_that_no_gateway_takes(terms: dict[str, Any], code: str) -> None:
    """Unknown types, prices off the tick, a stop without its price and no times are refused."""

    async def story(floor: Floor) -> None:
        usual = {"action": "BUY", "totalQuantity": 1, "orderType": "LMT"}
        floor.client.send(*fields_of_order(1, AAPL, **{**usual, **terms}))
        await floor.client.settle()
        assert [f[3] for f in floor.client.of("4") if f[2] == "1"] == [code]
        assert not floor.gateway.book.orders

    play(story)


def test_what_if_names_margins_and_commission() -> None:
    """100 shares at 50: 2,500 to open, 1,250 to hold, a commission of 1; then a sale frees what is held."""

    async def run() -> None:
        its = library()
        async with make_gateway() as gateway:
            gateway.book.learn(AAPL)
            gateway.engine.set_price(AAPL, Decimal(50))
            ib = its.IB()
            await ib.connectAsync("127.0.0.1", gateway.port, clientId=5, timeout=5)
            share = its.Stock("AAPL", "SMART", "USD", conId=AAPL.con_id)
            bought = await ib.whatIfOrderAsync(share, its.MarketOrder("BUY", 100))
            assert (bought.initMarginBefore, bought.initMarginChange, bought.initMarginAfter) == (
                "0.00", "2500.00", "2500.00",
            )  # fmt: skip
            assert (bought.maintMarginChange, bought.equityWithLoanChange) == ("1250.00", "-1.00")
            assert (bought.commission, bought.commissionCurrency) == (1.0, "USD")
            gateway.set_position("DU1234567", AAPL, 100, 50)
            gateway.engine.set_price(AAPL, Decimal(50))
            sold = await ib.whatIfOrderAsync(share, its.MarketOrder("SELL", 100))
            assert (sold.initMarginBefore, sold.initMarginAfter) == ("2500.00", "0.00")
            assert not gateway.book.orders
            ib.disconnect()

    asyncio.run(run())
