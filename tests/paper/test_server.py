"""The paper gateway over a real socket: ib_insync syncs with it and receives what the API makes happen."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from tests.support.paper_clients import (
    AAPL,
    ACCOUNT,
    NVDA,
    SPXW,
    Clock,
    library,
    make_gateway,
    raw_client,
    until,
)
from tracker.paper.book import bag, option


def test_ib_insync_connects_and_syncs() -> None:
    """Ib insync connects and syncs as another client."""

    async def run() -> None:
        async with make_gateway() as gateway:
            gateway.set_position(ACCOUNT, AAPL, 100, "170.5")
            ib = library().IB()
            await ib.connectAsync("127.0.0.1", gateway.port, clientId=3, timeout=5)
            assert ib.client.serverVersion() == 176
            assert ib.managedAccounts() == [ACCOUNT]
            assert [(p.contract.conId, p.position, p.avgCost) for p in ib.positions()] == [
                (265598, 100, 170.5)
            ]
            assert {value.tag for value in ib.accountValues()} >= {"NetLiquidation", "BuyingPower"}
            assert [item.position for item in ib.portfolio()] == [100]
            assert gateway.clients == (3,)
            ib.disconnect()
            await until(lambda: not gateway.clients)

    asyncio.run(run())


def test_ib_insync_as_master() -> None:
    """Ib insync as master receives an order and its fills of another client."""

    async def run() -> None:
        async with make_gateway() as gateway:
            ib = library().IB()
            seen: list[str] = []
            await ib.connectAsync("127.0.0.1", gateway.port, clientId=0, timeout=5)
            ib.openOrderEvent += lambda trade: seen.append("open")
            ib.execDetailsEvent += lambda trade, fill: seen.append(fill.execution.execId)
            ib.commissionReportEvent += lambda trade, fill, report: seen.append(f"fee {report.commission}")
            order = gateway.order(NVDA, "BUY", 10, limit="2.51", client_id=7, order_ref="a/NVDA")
            first = gateway.fill(order, 4)
            last = gateway.fill(order)
            await until(lambda: "fee 3.9" in seen, "the second fee")
            trade = ib.openTrades()[0] if ib.openTrades() else ib.trades()[0]
            assert seen[:2] == ["open", first.exec_id]
            assert last.exec_id in seen
            assert (trade.order.permId, trade.order.orderRef) == (order.perm_id, "a/NVDA")
            assert trade.orderStatus.status == "Filled"
            assert trade.filled() == 10
            assert [p.position for p in ib.positions()] == [10]
            ib.disconnect()

    asyncio.run(run())


def test_ib_insync_fetches_missed_orders() -> None:
    """Ib insync asks for executions and completed orders it missed."""

    async def run() -> None:
        async with make_gateway() as gateway:
            order = gateway.order(NVDA, "BUY", 2, limit=3)
            execution = gateway.fill(order)
            ib = library().IB()
            await ib.connectAsync("127.0.0.1", gateway.port, clientId=3, timeout=5)
            fills = ib.fills()
            assert [fill.execution.execId for fill in fills] == [execution.exec_id]
            assert fills[0].execution.time == Clock()()
            assert fills[0].contract.localSymbol == "NVDA  251121C00122500"
            done = await ib.reqCompletedOrdersAsync(False)
            assert [(t.orderStatus.status, t.order.permId) for t in done] == [("Filled", order.perm_id)]
            ib.disconnect()

    asyncio.run(run())


def test_order_of_messages_of_a_fill() -> None:
    """A fill is told in the recorded order."""

    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway) as client:
            order = gateway.order(AAPL, "BUY", 100, "MKT")
            gateway.fill(order, price="201.94")
            await client.settle()
            told = [fields for fields in client.of("3", "5", "11", "59") if fields]
            assert [fields[0] for fields in told] == ["5", "3", "11", "5", "3", "5", "3", "59"]
            assert [fields[94] for fields in told if fields[0] == "5"] == ["PreSubmitted", "Filled", "Filled"]
            assert [fields[104] for fields in told if fields[0] == "5"] == ["", "", "1.0"]
            assert told[2][1] == "-1"

    asyncio.run(run())


def test_partial_fill_leaves_order_submitted() -> None:
    """A partial fill leaves the order submitted."""

    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway) as client:
            order = gateway.order(NVDA, "BUY", 10, limit="2.51")
            gateway.fill(order, 4)
            await client.settle()
            assert client.of("3")[-1] == (
                "3", "1", "Submitted", "4", "6", "2.51", str(order.perm_id), "0", "2.51", "7", "", "0",
            )  # fmt: skip

    asyncio.run(run())


def test_owner_and_master_see_an_order() -> None:
    """Only the owner and the master hear of an order."""

    async def run() -> None:
        async with (
            make_gateway() as gateway,
            raw_client(gateway, 0) as master,
            raw_client(gateway, 7) as owner,
            raw_client(gateway, 8) as other,
        ):
            gateway.fill(gateway.order(NVDA, "BUY", 1, limit=2, client_id=7))
            for client in (master, owner, other):
                await client.settle()
            assert len(master.of("11")) == len(owner.of("11")) == len(owner.of("59")) == 1
            assert other.of("3", "5", "11", "59") == []

    asyncio.run(run())


def test_foreign_client_sees_own_fees_only() -> None:
    """A foreign client is answered all executions but only its own fees."""

    async def run() -> None:
        async with make_gateway(master_client_id=None) as gateway:
            mine = gateway.fill(gateway.order(NVDA, "BUY", 1, limit=2, client_id=8))
            gateway.fill(gateway.order(AAPL, "BUY", 1, limit=2, client_id=7))
            async with raw_client(gateway, 8) as client:
                client.send(7, 3, 41, 0, "", "", "", "", "", "")
                await client.until("55")
                assert [fields[1] for fields in client.of("11")] == ["41", "41"]
                assert [fields[2] for fields in client.of("59")] == [mine.exec_id]

    asyncio.run(run())


def test_executions_are_filtered() -> None:
    async def run() -> None:
        clock = Clock()
        async with make_gateway(clock, accounts=("DU1234567", "DU9000001")) as gateway:
            bought = gateway.fill(gateway.order(NVDA, "BUY", 1, limit=2, client_id=8)).exec_id
            clock.advance(minutes=5)
            sold = gateway.fill(gateway.order(AAPL, "SELL", 1, limit=2, account="DU9000001")).exec_id
            async with raw_client(gateway, 3) as client:
                wanted = {
                    (8, "", "", "", "", "", ""): [bought],
                    (0, "DU9000001", "", "", "", "", ""): [sold],
                    (0, "", "20251118-17:03:00", "", "", "", ""): [sold],
                    (0, "", "20251118 12:03:00", "", "", "", ""): [sold],
                    (0, "", "20251118 12:03:00 US/Eastern", "", "", "", ""): [sold],
                    (0, "", "", "NVDA", "", "", ""): [bought],
                    (0, "", "", "", "STK", "", ""): [sold],
                    (0, "", "", "", "", "CBOE", ""): [bought],
                    (0, "", "", "", "", "", "SELL"): [sold],
                    (0, "", "", "", "", "", ""): [bought, sold],
                }
                for number, (filters, expected) in enumerate(wanted.items(), start=1):
                    client.send(7, 3, number, *filters)
                    await client.until("55", number)
                    got = [fields[14] for fields in client.of("11") if fields[1] == str(number)]
                    assert got == expected, filters
                client.send(7, 3, 99, 0, "", "yesterday", "", "", "", "")
                errors = await client.until("4", 4)
                assert errors[-1][2:4] == ("99", "322")

    asyncio.run(run())


def test_executions_survive_reconnect_until_midnight() -> None:
    """The days executions survive a reconnect and end at the logins midnight."""

    async def run() -> None:
        clock = Clock()
        async with make_gateway(clock) as gateway:
            execution = gateway.fill(gateway.order(NVDA, "BUY", 1, limit=2))
            for hours, expected in ((0, [execution.exec_id]), (11, [execution.exec_id]), (2, [])):
                clock.advance(hours=hours)
                async with raw_client(gateway, 3) as client:
                    client.send(7, 3, 1, 0, "", "", "", "", "", "")
                    await client.until("55")
                    assert [fields[14] for fields in client.of("11")] == expected
                await until(lambda: not gateway.clients)

    asyncio.run(run())


def test_manual_order_bound_by_client_0() -> None:
    """A manual order has no number until client 0 binds it."""

    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway, 0) as client:
            order = gateway.order(SPXW, "BUY", 1, limit="3.2", manual=True)
            gateway.fill(order)
            client.send(16, 1)
            await client.until("53")
            assert {fields[1] for fields in client.of("3", "5")} == {"0"}
            assert [fields[2] for fields in client.of("11")] == ["0"]
            assert client.of("11")[0][22] == "0"
            assert order.order_id == 0
            resting = gateway.order(SPXW, "BUY", 1, limit="1", manual=True)
            client.send(15, 1, 1)
            await client.until("100")
            assert client.of("100")[0] == ("100", str(resting.perm_id), "0", "-1")
            assert gateway.order(SPXW, "BUY", 1, limit="1", manual=True).order_id == -2

    asyncio.run(run())


def test_manual_orders_and_unbound_client_0() -> None:
    """Manual orders reach an unbound client 0 only as the master."""

    async def run() -> None:
        async with make_gateway(master_client_id=5) as gateway, raw_client(gateway, 0) as client:
            gateway.order(SPXW, "BUY", 1, limit="3.2", manual=True)
            await client.settle()
            assert client.of("5") == []
            client.send(15, 1, 1)
            await client.settle()
            gateway.order(SPXW, "BUY", 1, limit="3.2", manual=True)
            assert len(await client.until("5")) == 1

    asyncio.run(run())


def test_only_client_0_may_bind() -> None:
    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway, 3) as client:
            client.send(15, 1, 1)
            await client.settle()
            assert client.of("4")[-1][3] == "321"

    asyncio.run(run())


def test_combo_moves_positions_of_legs() -> None:
    """A combo executes its legs and moves only their positions."""

    async def run() -> None:
        high = option("SPX", "20251118", "P", "6500", con_id=700100301, trading_class="SPXW")
        spread = bag("SPX", (SPXW, 1, "BUY"), (high, 1, "SELL"))
        async with make_gateway() as gateway, raw_client(gateway) as client:
            gateway.fill(gateway.order(spread, "BUY", 2, limit="-0.55"), leg_prices=["1.20", "1.75"])
            client.send(61, 1)
            await client.until("62")
            details = client.of("11")
            assert [(f[5], f[18], f[19], f[20]) for f in details] == [
                ("BAG", "BOT", "2", "-0.55"),
                ("OPT", "BOT", "2", "1.20"),
                ("OPT", "SLD", "2", "1.75"),
            ]
            assert [f[14].split(".")[2] for f in details] == ["01", "02", "03"]
            assert [(f[3], f[14]) for f in client.of("61")] == [("700100300", "2"), ("700100301", "-2")]
            assert [f[2] for f in client.of("59")] == [f[14] for f in details[1:]]
            assert client.of("5")[0][79:80] == ("2",)

    asyncio.run(run())


def test_leg_prices_add_up() -> None:
    """Made up leg prices add up to the net price."""

    async def run() -> None:
        high = option("SPX", "20251118", "P", "6500", con_id=700100301, trading_class="SPXW")
        spread = bag("SPX", (SPXW, 1, "BUY"), (high, 2, "SELL"))
        async with make_gateway() as gateway:
            for net in ("-0.55", "0.85", "-7"):
                gateway.fill(gateway.order(spread, "BUY", 1, limit=net))
                legs = list(gateway.book.executions.values())[-2:]
                assert legs[0].price - 2 * legs[1].price == Decimal(net)
                assert all(leg.price > 0 for leg in legs)

    asyncio.run(run())


def test_correction_raises_version() -> None:
    """A correction raises the version and moves the position."""

    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway) as client:
            client.send(61, 1)
            await client.until("62")
            execution = gateway.fill(gateway.order(NVDA, "BUY", 5, limit="2"))
            corrected = gateway.correct(execution, quantity=4, price="2.10")
            await client.settle()
            first, second = client.of("11")
            assert execution.exec_id.endswith(".01.01")
            assert corrected.exec_id == execution.exec_id[:-2] + "02"
            assert [f for i, f in enumerate(zip(first, second, strict=True)) if f[0] != f[1] and i != 14] == [
                ("5", "4"), ("2", "2.10"), ("5", "4"), ("2", "2.10"),
            ]  # fmt: skip
            assert [f[14] for f in client.of("61")] == ["5", "4"]

    asyncio.run(run())


def test_realized_gain_of_closing_fill() -> None:
    """A closing fill reports what it realized and an opening one does not."""

    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway) as client:
            gateway.fill(gateway.order(NVDA, "BUY", 2, limit="2"))
            gateway.fill(gateway.order(NVDA, "SELL", 2, limit="3"), fee=Decimal("1.3"))
            await client.settle()
            assert [f[5] for f in client.of("59")] == ["1.7976931348623157E308", "198.7"]

    asyncio.run(run())


def test_execution_without_order() -> None:
    """An execution can come without any order."""

    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway) as client:
            gateway.execute(NVDA, "SELL", "1.5", "2.5", exec_id="0000e0d5.6596b0d8.01.01")
            await client.settle()
            assert client.of("3", "5") == []
            assert client.of("11")[0][14] == "0000e0d5.6596b0d8.01.01"
            assert client.of("11")[0][19] == "1.5"

    asyncio.run(run())


def test_same_seed_same_story() -> None:
    """Two gateways of one seed tell the same story."""

    async def story(seed: int) -> list[tuple[str, ...]]:
        async with make_gateway(seed=seed) as gateway, raw_client(gateway) as client:
            gateway.fill(gateway.order(NVDA, "BUY", 5, limit="2"), 2)
            await client.settle()
            return client.frames

    first, second, other = (asyncio.run(story(seed)) for seed in (4, 4, 5))
    assert first == second
    assert first != other


def test_received_requests_are_kept() -> None:
    """What clients sent is kept as proof."""

    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway, 3) as client:
            client.send(61, 1)
            await client.until("62")
            assert gateway.received == [(-1, ("71", "2", "3", "")), (3, ("61", "1"))]
            assert gateway.broadcast.received_counts[3, "61"] == 1

    asyncio.run(run())


def test_restart_keeps_port_and_book() -> None:
    """After a restart the port and the book are the same and order ids may begin again."""

    async def run() -> None:
        async with make_gateway() as gateway:
            port = gateway.port
            order = gateway.order(NVDA, "BUY", 5, limit="2", client_id=7)
            await gateway.stop()
            gateway.book.restart_order_ids()
            await gateway.start()
            assert gateway.port == port
            again = gateway.order(NVDA, "BUY", 5, limit="2", client_id=7)
            assert again.order_id == order.order_id
            assert again.perm_id != order.perm_id
            async with raw_client(gateway, 7) as client:
                client.send(5, 1)
                await client.until("53")
                assert len(client.of("5")) == 2

    asyncio.run(run())


def test_requests_around_start_api() -> None:
    """Requests before and after start api are kept apart."""

    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway, None) as client:
            client.send(49, 1)
            client.send(71, 2, 3, "")
            await client.until("9")
            assert client.of("49") == []
            client.send(71, 2, 4, "")
            client.send(8, 1, 1)
            client.send(17, 1)
            await client.until("15", 2)
            assert client.of("9") == [("9", "1", "1"), ("9", "1", "1")]
            assert client.of("4")[-1][3] == "321"
            assert gateway.clients == (3,)

    asyncio.run(run())


def test_position_subscriptions_end_and_are_limited() -> None:
    """Position subscriptions end when they are cancelled and are limited."""

    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway, 3) as client:
            client.send(61, 1)
            for request_id in range(60):
                client.send(74, 1, request_id, ACCOUNT, "")
            await client.until("72", 50)
            await client.settle()
            assert [fields[3] for fields in client.of("4")[3:]] == ["322"] * 10
            client.send(64, 1)
            for request_id in range(60):
                client.send(75, 1, request_id)
            await client.settle()
            gateway.set_position(ACCOUNT, AAPL, 5, "170")
            await client.settle()
            assert client.of("61", "71") == []

    asyncio.run(run())


def test_time_form_function_and_unknown_name() -> None:
    """A time form can be any function and no unknown name."""

    async def run() -> None:
        async with (
            make_gateway(time_form=lambda moment: f"at {moment:%H}") as gateway,
            raw_client(gateway) as client,
        ):
            gateway.fill(gateway.order(NVDA, "BUY", 1, limit=2))
            assert (await client.until("11"))[0][15] == "at 17"

    asyncio.run(run())
    with pytest.raises(ValueError, match="is not one of zone"):
        make_gateway(time_form="nonsense")
