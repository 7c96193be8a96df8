"""What the paper gateway answers about contracts and accounts, and what it never serves."""

from __future__ import annotations

import asyncio

from tests.paper.test_trading import errors, play
from tests.support.paper_clients import AAPL, ACCOUNT, NVDA, RawClient, library, make_gateway
from tracker.paper.server import PaperGateway


def test_contract_details_from_book_or_description() -> None:
    """Contract details know the book and make up complete descriptions."""

    async def run() -> None:
        ib_insync = library()
        async with make_gateway() as gateway:
            gateway.book.learn(NVDA)
            ib = ib_insync.IB()
            await ib.connectAsync("127.0.0.1", gateway.port, clientId=7, timeout=5)
            (known,) = await ib.reqContractDetailsAsync(ib_insync.Contract(secType="OPT", symbol="NVDA"))
            assert (known.contract.conId, known.contract.strike) == (700100200, 122.5)
            (made,) = await ib.reqContractDetailsAsync(ib_insync.Option("TSLA", "20301220", 95, "C", "SMART"))
            assert made.contract.localSymbol == "TSLA  301220C00095000"
            assert await ib.reqContractDetailsAsync(ib_insync.Option("TSLA", "", 95, "C", "SMART")) == [made]
            assert await ib.reqContractDetailsAsync(ib_insync.Option("GE", "", 95, "C", "SMART")) == []
            assert await ib.reqContractDetailsAsync(ib_insync.Contract(secType="BAG", symbol="SPX")) == []
            (stock,) = await ib.qualifyContractsAsync(ib_insync.Stock("AMD", "SMART", "USD"))
            assert stock.conId
            assert [d.contract.symbol for d in await ib.reqMatchingSymbolsAsync("am")] == ["AMD"]
            ib.disconnect()

    asyncio.run(run())


def test_contract_details_have_the_recorded_length() -> None:
    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        client.send(9, 8, 5, AAPL.con_id, "", "", "", "", "", "", "", "", "", "", "", "0", "", "", "")
        client.send(9, 8, 6, 0, "AAPL", "STK", "", "", "", "", "SMART", "", "USD", "", "", "0", "", "", "")
        await client.until("52")
        assert [len(f) for f in client.of("10")] == [40]
        assert await errors(client) == [("5", "200")]

    play(scene)


def test_market_data_is_refused() -> None:
    """Market data is refused so that nobody waits."""

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        client.send(1, 11, 21, *["0"] * 12, 0, "", 0, 0, "")
        client.send(20, 22, *["0"] * 12, 0, "", "1 day", "1 D", 0, "TRADES", 1, 0, "")
        client.send(97, 23, "x")
        client.send(2, 2, 21)
        client.send(65, 1, "x", "1")
        client.send(4711, 1)
        assert await errors(client) == [("21", "354"), ("22", "162"), ("23", "354")]
        assert [f[3] for f in client.of("4") if f[2] == "-1"][3:] == ["322", "320"]

    play(scene)


def test_account_values_follow_the_trades() -> None:
    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        gateway.fill(gateway.order(NVDA, "BUY", 10, limit=2))
        client.send(62, 1, 5, "All", "TotalCashValue,NetLiquidation")
        client.send(6, 2, 1, ACCOUNT)
        client.send(76, 1, 6, ACCOUNT, "", 1)
        client.send(6, 2, 1, "DU9999999")
        client.send(74, 1, 8, ACCOUNT, "")
        await client.until("72")
        assert [f[3:6] for f in client.of("63")] == [
            (ACCOUNT, "NetLiquidation", "999993.50"),
            (ACCOUNT, "TotalCashValue", "997993.50"),
        ]
        assert client.of("64", "54", "74") == [("64", "1", "5"), ("54", "1", ACCOUNT), ("74", "1", "6")]
        assert [(f[13], f[15]) for f in client.of("7")] == [("10", "2000.00")]
        assert [len(f) for f in client.of("71")] == [18]
        assert client.of("4")[-1][3] == "322"
        gateway.fill(gateway.order(NVDA, "SELL", 10, limit=3))
        await client.until("71", 2)
        assert [(f[13], f[18]) for f in client.of("7")][-1] == ("0", "1000.00")

    play(scene)
