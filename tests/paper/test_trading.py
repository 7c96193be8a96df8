"""Trading on the paper gateway with the real ib_insync and by hand: what is taken, what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.support.paper_clients import (
    ACCOUNT,
    NVDA,
    SPXW,
    RawClient,
    fields_of_order,
    library,
    library_contract,
    make_gateway,
    raw_client,
    until,
)
from tracker.paper.book import PaperContract, bag, option
from tracker.paper.decode_orders import asked_order
from tracker.paper.framing import Fields
from tracker.paper.order_engine import FillPolicy, piece_of
from tracker.paper.server import PaperGateway

RESTING = FillPolicy(rest=True)
Scene = Callable[[PaperGateway, RawClient], Awaitable[None]]


def limit_order(order_id: int, contract: PaperContract = NVDA, **terms: Any) -> Fields:
    return fields_of_order(
        order_id,
        contract,
        **{"action": "BUY", "totalQuantity": 10, "orderType": "LMT", "lmtPrice": 2.5, **terms},
    )


def play(scene: Scene, client_id: int = 7, **settings: Any) -> None:
    async def run() -> None:
        async with make_gateway(**{"fills": RESTING, **settings}) as gateway:
            gateway.book.learn(NVDA)
            gateway.book.learn(SPXW)
            async with raw_client(gateway, client_id) as client:
                await scene(gateway, client)

    asyncio.run(run())


async def errors(client: RawClient) -> list[tuple[str, str]]:
    """Return (request id, code) of the errors that came, without the farm notices."""
    await client.settle()
    return [(fields[2], fields[3]) for fields in client.of("4") if fields[2] != "-1"]


def test_ib_insync_places_changes_cancels() -> None:
    """Ib insync trades places changes and cancels."""

    async def run() -> None:
        ib_insync = library()
        async with make_gateway(fills=RESTING) as gateway:
            ib = ib_insync.IB()
            await ib.connectAsync("127.0.0.1", gateway.port, clientId=7, timeout=5)
            codes: list[int] = []
            ib.errorEvent += lambda request_id, code, text, contract: codes.append(code)
            order = ib_insync.LimitOrder("BUY", 10, 2.5, orderRef="a/NVDA", account=ACCOUNT)
            trade = ib.placeOrder(library_contract(NVDA), order)
            await until(lambda: trade.orderStatus.status == "Submitted")
            order.lmtPrice = 2.75
            ib.placeOrder(trade.contract, order)
            known = gateway.book.open_orders()[0]
            await until(lambda: known.limit == Decimal("2.75"))
            gateway.fill(known, 4)
            await until(lambda: trade.filled() == 4)
            ib.cancelOrder(order)
            await until(lambda: trade.orderStatus.status == "Cancelled")
            assert (trade.order.permId, trade.fills[0].execution.orderRef) == (known.perm_id, "a/NVDA")
            await until(lambda: codes == [202])
            assert await ib.reqCompletedOrdersAsync(True)
            ib.disconnect()

    asyncio.run(run())


def test_market_order_fills_at_once() -> None:
    """A market order fills at once in one piece."""

    async def run() -> None:
        ib_insync = library()
        async with make_gateway(fills=RESTING) as gateway:
            ib = ib_insync.IB()
            await ib.connectAsync("127.0.0.1", gateway.port, clientId=7, timeout=5)
            trade = ib.placeOrder(ib_insync.Stock("AAPL", "SMART", "USD"), ib_insync.MarketOrder("BUY", 5))
            await until(lambda: trade.isDone() and trade.fills and trade.fills[0].commissionReport.execId)
            assert [fill.execution.shares for fill in trade.fills] == [5]
            assert trade.fills[0].contract.conId == next(iter(gateway.book.contracts))
            ib.disconnect()

    asyncio.run(run())


@pytest.mark.parametrize("partials", [1, 2, 3])
def test_limit_order_fills_in_pieces(partials: int) -> None:
    """A limit order fills at its limit in pieces."""

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        client.send(*limit_order(3))
        fills = await client.until("59", partials)
        assert len(fills) == partials
        assert sum(Decimal(f[19]) for f in client.of("11")) == 10
        assert {f[20] for f in client.of("11")} == {"2.5"}

    play(scene, fills=FillPolicy(latency_seconds=0.005, partials=partials))


def test_change_while_filling() -> None:
    """A change while it fills starts again and nothing is filled twice."""

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        client.send(*limit_order(3))
        await client.until("11")
        client.send(*limit_order(3, totalQuantity=20, lmtPrice=2.6))
        await until(lambda: not gateway.book.open_orders())
        await client.settle()
        assert sum(Decimal(f[19]) for f in client.of("11")) == 20
        assert gateway.book.position(ACCOUNT, NVDA).quantity == 20

    # Slow enough that the change comes while most is still to be filled.
    play(scene, fills=FillPolicy(latency_seconds=0.08, partials=10))


@pytest.mark.parametrize(
    ("remaining", "pieces", "piece"),
    [
        ("10", 2, "5"),
        ("3", 2, "2"),
        ("1", 2, "1"),
        ("0.5", 2, "0.25"),
        ("0.0001", 3, "0.0001"),
        ("7", 1, "7"),
    ],
)
def test_pieces_of_whole_orders(remaining: str, pieces: int, piece: str) -> None:
    """Pieces are whole where the order is."""
    assert piece_of(Decimal(remaining), pieces) == Decimal(piece)


def test_cancel_answers_status_then_202() -> None:
    """Cancelling stops the filling and answers status then 202."""

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        client.send(*limit_order(3))
        await client.until("11")
        await client.settle()
        client.send(4, 1, 3, "")
        await client.until("4", 4)
        assert [f[0] for f in client.frames if f[0] in ("3", "4")][-2:] == ["3", "4"]
        assert client.of("3")[-1][2:5] == ("Cancelled", "1", "9")
        assert client.of("4")[-1][2:5] == ("3", "202", "Order Canceled - reason:")

    play(scene, fills=FillPolicy(latency_seconds=0.3, partials=10))


def test_cancel_of_unknown_or_finished() -> None:
    """A cancel of an unknown or finished order is refused."""

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        client.send(4, 1, 99, "")
        client.send(*limit_order(3))
        client.send(4, 1, 3, "")
        client.send(4, 1, 3, "")
        assert await errors(client) == [("99", "10147"), ("3", "202"), ("3", "10148")]
        assert client.of("4")[-1][4].endswith("state: Cancelled.")

    play(scene)


def test_another_client_may_cancel() -> None:
    """A number that this client never used means the working order of another one."""

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        order = gateway.order(NVDA, "BUY", 1, limit=2, client_id=8)
        client.send(4, 1, order.order_id, "")
        client.send(4, 1, 4711, "")
        assert await errors(client) == [("4711", "10147")]
        assert order.status == "Cancelled"

    play(scene)


def test_client_0_cancels_bound_order() -> None:
    """Client 0 cancels a manual order once it is bound."""

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        order = gateway.order(NVDA, "BUY", 1, limit=2, manual=True)
        client.send(5, 1)
        await client.until("53")
        client.send(4, 1, -1, "")
        assert await errors(client) == [("-1", "202")] or client.of("4")[-1][3] == "202"
        assert order.status == "Cancelled"

    play(scene, client_id=0, master_client_id=None)


def test_a_global_cancel_ends_everybodys_orders() -> None:
    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        gateway.order(NVDA, "BUY", 1, limit=2, client_id=8)
        gateway.order(NVDA, "BUY", 1, limit=2, manual=True)
        client.send(*limit_order(3))
        client.send(58, 1)
        assert await errors(client) == [("3", "202")]
        assert gateway.book.open_orders() == ()

    play(scene)


def test_change_shows_new_values() -> None:
    """A change shows the new values and counts."""

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        client.send(*limit_order(3))
        client.send(*limit_order(3, lmtPrice=2.75, totalQuantity=12))
        await client.settle()
        first, second = client.of("5")
        assert (second[14], second[16]) == ("12", "2.75")
        assert first[30].split("/")[0].endswith(".0")
        assert second[30].split("/")[0].endswith(".1")
        assert second[25] == first[25]
        assert client.of("3")[-1][2:5] == ("Submitted", "0", "12")

    play(scene)


def test_refused_orders_have_codes() -> None:
    """What no gateway takes is refused with its code."""
    cases: list[tuple[dict[str, Any], str]] = [
        ({"totalQuantity": 0}, "434"),
        ({"totalQuantity": -5}, "201"),
        ({"totalQuantity": 0.5}, "10318"),
        ({"action": "HOLD"}, "321"),
        ({"orderType": ""}, "321"),
        ({"lmtPrice": 1.7976931348623157e308}, "321"),
        ({"lmtPrice": 1e12}, "110"),
        ({"account": "DU9000009"}, "201"),
        ({"parentId": 77}, "135"),
        ({"orderRef": "x" * 600}, "320"),
        ({"trailStopPrice": "abc"}, "320"),
        ({"displaySize": 1.5}, "320"),
    ]

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        for number, (terms, _) in enumerate(cases, start=1):
            client.send(*limit_order(number, **terms))
        assert await errors(client) == [(str(n), code) for n, (_, code) in enumerate(cases, start=1)]
        assert gateway.book.orders == {}

    play(scene)


def test_refused_change_keeps_the_order() -> None:
    """Changes that do not fit the order are refused and it lives on."""

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        client.send(*limit_order(3))
        await client.until("3")
        order = gateway.book.open_orders()[0]
        gateway.fill(order, 4)
        client.send(*limit_order(3, action="SELL"))
        client.send(*limit_order(3, contract=SPXW))
        client.send(*limit_order(3, totalQuantity=4))
        assert await errors(client) == [("3", "105"), ("3", "105"), ("3", "201")]
        assert order.status == "Submitted"
        assert order.quantity == 10
        gateway.fill(order)
        client.send(*limit_order(3, totalQuantity=20))
        assert (await errors(client))[-1] == ("3", "104")

    play(scene)


def test_account_named_among_several() -> None:
    """With several accounts one must be named."""

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        client.send(*limit_order(3))
        client.send(*limit_order(4, account="DU9000001"))
        assert await errors(client) == [("3", "321")]
        assert gateway.book.open_orders()[0].account == "DU9000001"

    play(scene, accounts=("DU1234567", "DU9000001"))


def test_read_only_gateway_refuses_orders() -> None:
    """A read only gateway refuses what the real one does."""

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        gateway.order(NVDA, "BUY", 1, limit=2, client_id=8)
        client.send(*limit_order(3))
        client.send(4, 1, 1, "")
        client.send(58, 1)
        client.send(5, 1)
        client.send(99, 0)
        client.send(16, 1)
        await client.until("53")
        refused = [(f[2], f[3]) for f in client.of("4")[3:]]
        assert refused == [("3", "321"), ("1", "321"), ("-1", "321"), ("-1", "321"), ("-1", "321")]
        assert "Read-Only" in client.of("4")[-1][4]
        assert len(client.of("5")) == 1

    play(scene, read_only=True)


def test_what_if_places_nothing() -> None:
    """What if shows an order and places none."""

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        client.send(*limit_order(3, whatIf=True))
        await client.settle()
        assert client.of("5")[0][93] == "1"
        assert gateway.book.orders == {}

    play(scene)


def test_bracket_and_its_children() -> None:
    """A bracket waits for its parent and its children cancel each other."""

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        client.send(*limit_order(3, transmit=False))
        client.send(*limit_order(4, action="SELL", lmtPrice=3.0, parentId=3, transmit=False))
        client.send(
            *fields_of_order(
                5, NVDA, action="SELL", totalQuantity=10, orderType="STP", auxPrice=1, parentId=3
            )
        )
        await client.settle()
        parent, profit, stop = gateway.book.open_orders()
        assert [order.held for order in (parent, profit, stop)] == [False, True, True]
        assert client.of("3")[-1][10] == ""
        assert [f[10] for f in client.of("3") if f[1] == "4"] == ["child"]
        gateway.fill(parent)
        assert [order.held for order in (profit, stop)] == [False, False]
        gateway.fill(profit)
        assert stop.status == "Cancelled"
        assert await errors(client) == [("5", "202")]

    play(scene)


def test_cancelling_a_parent_cancels_its_children() -> None:
    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        client.send(*limit_order(3))
        client.send(*limit_order(4, action="SELL", lmtPrice=3.0, parentId=3))
        client.send(4, 1, 3, "")
        assert await errors(client) == [("3", "202"), ("4", "202")]

    play(scene)


def test_mismatched_ids_are_refused() -> None:
    """Orders that do not fit their numbers are refused."""

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        client.send(*limit_order(0))
        client.send(*limit_order(3))
        client.send(4, 1, 3, "")
        client.send(*limit_order(3))
        client.send(*limit_order(4, parentId=3))
        client.send(9, 8, 6, 0, "", "OPT", "", "", "", "", "SMART", "", "USD", "", "", "0", "", "", "")
        client.send("4", 1, "x")
        client.send("4", 1)
        assert await errors(client) == [("0", "103"), ("3", "202"), ("3", "103"), ("4", "201"), ("6", "200")]
        assert [f[3] for f in client.of("4") if f[2] == "-1"][3:] == ["320", "320"]

    play(scene)


def test_an_ambiguous_contract_is_refused() -> None:
    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        gateway.book.learn(option("NVDA", "20251219", "C", "122.5", con_id=700100201))
        vague = PaperContract(0, "NVDA", "OPT", strike=Decimal("122.5"), right="C")
        client.send(*limit_order(3, contract=vague))
        assert await errors(client) == [("3", "200")]
        assert "ambiguous" in client.of("4")[-1][4]

    play(scene)


def test_held_order_works_once_transmitted() -> None:
    """A held order works once it is transmitted and a limit can become a market order."""

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        client.send(*limit_order(3, transmit=False))
        client.send(*limit_order(4))
        await client.settle()
        assert [(f[1], f[2]) for f in client.of("3")] == [("3", "PreSubmitted"), ("4", "Submitted")]
        client.send(*limit_order(3))
        client.send(*limit_order(4, orderType="MKT"))
        await client.settle()
        assert [(f[1], f[2]) for f in client.of("3")][2:4] == [("3", "PreSubmitted"), ("3", "Submitted")]
        assert [f[2] for f in client.of("11")] == ["4"]

    play(scene)


def test_combo_of_known_legs() -> None:
    """A combo of known legs is traded."""
    high = option("SPX", "20251118", "P", "6500", con_id=700100301, trading_class="SPXW")

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        client.send(*limit_order(3, contract=bag("SPX", (SPXW, 1, "BUY"), (high, 1, "SELL")), lmtPrice=-0.5))
        assert await errors(client) == [("3", "200")]
        gateway.book.learn(high)
        client.send(*limit_order(4, contract=bag("SPX", (SPXW, 1, "BUY"), (high, 1, "SELL")), lmtPrice=-0.5))
        await client.until("59", 2)
        assert [f[5] for f in client.of("11")] == ["BAG", "OPT", "OPT"]
        assert client.of("5")[0][78] == "700100300|1,700100301|-1"

    play(scene, fills=FillPolicy(latency_seconds=0.005, partials=1))


def test_terms_come_back_in_open_order() -> None:
    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        client.send(
            *limit_order(
                3, ocaGroup="g", outsideRth=True, goodTillDate="20251120 10:00:00", discretionaryAmt=0.5
            )
        )
        await client.until("5")
        told = client.of("5")[0]
        assert (told[19], told[26], told[28], told[36]) == ("g", "1", "0.5", "20251120 10:00:00")

    play(scene)


def test_every_optional_block_is_read() -> None:
    """Every optional block of place order is read."""

    async def run() -> None:
        ib_insync = library()
        conditions = [
            ib_insync.PriceCondition(price=5.5, conId=1, exch="SMART"),
            ib_insync.TimeCondition(time="20251120 10:00:00"),
            ib_insync.MarginCondition(percent=5),
            ib_insync.ExecutionCondition(secType="STK", exch="SMART", symbol="GE"),
            ib_insync.VolumeCondition(volume=5, conId=1, exch="SMART"),
            ib_insync.PercentChangeCondition(changePercent=0.5, conId=1, exch="SMART"),
        ]
        fields = limit_order(
            3, orderType="PEG BENCH", conditions=conditions, algoStrategy="Adaptive",
            algoParams=[ib_insync.TagValue("adaptivePriority", "Urgent")], hedgeType="D", hedgeParam="1",
            scalePriceIncrement=0.1, deltaNeutralOrderType="LMT", duration=77, cashQty=12.5,
        )  # fmt: skip
        asked = asked_order(fields, 176)
        assert [condition[0] for condition in asked.conditions] == ["1", "3", "4", "5", "6", "7"]
        assert (asked.terms["duration"], asked.terms["cash_qty"]) == ("77", "12.5")
        assert (asked.terms["algo_strategy"], asked.terms["hedge_param"]) == ("Adaptive", "1")
        async with make_gateway(fills=RESTING) as gateway:
            gateway.book.learn(NVDA)
            ib = ib_insync.IB()
            await ib.connectAsync("127.0.0.1", gateway.port, clientId=7, timeout=5)
            ib.client.sendMsg("\0".join(fields) + "\0")
            await until(ib.openTrades)
            assert ib.openTrades()[0].order.conditions == conditions
            ib.disconnect()

    asyncio.run(run())
