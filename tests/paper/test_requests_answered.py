"""Nothing hangs: every request of the client library is answered, by data, an end or an error that counts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.paper_clients import AAPL, ACCOUNT, Clock, RawClient, library, make_gateway, raw_client
from tracker.paper import responses, unsupported
from tracker.paper.server import PaperGateway

ANSWER_SECONDS = 5.0
CONTRACT = library().Stock("AAPL", "SMART", "USD", conId=AAPL.con_id)
REQUESTS: dict[str, Callable[[Any], Any]] = {
    "reqCurrentTime": lambda ib: ib.reqCurrentTimeAsync(),
    "reqAccountUpdates": lambda ib: ib.reqAccountUpdatesAsync(ACCOUNT),
    "reqAccountUpdatesMulti": lambda ib: ib.reqAccountUpdatesMultiAsync(ACCOUNT),
    "reqAccountSummary": lambda ib: ib.reqAccountSummaryAsync(),
    "reqOpenOrders": lambda ib: ib.reqOpenOrdersAsync(),
    "reqAllOpenOrders": lambda ib: ib.reqAllOpenOrdersAsync(),
    "reqCompletedOrders": lambda ib: ib.reqCompletedOrdersAsync(False),
    "reqExecutions": lambda ib: ib.reqExecutionsAsync(),
    "reqPositions": lambda ib: ib.reqPositionsAsync(),
    "reqContractDetails": lambda ib: ib.reqContractDetailsAsync(CONTRACT),
    "reqContractDetails unknown": lambda ib: ib.reqContractDetailsAsync(library().Contract(conId=77)),
    "reqMatchingSymbols": lambda ib: ib.reqMatchingSymbolsAsync("AA"),
    "reqMarketRule": lambda ib: ib.reqMarketRuleAsync(26),
    "reqHistoricalData": lambda ib: ib.reqHistoricalDataAsync(
        CONTRACT, "", "1 D", "1 day", "TRADES", useRTH=True
    ),
    "reqHistoricalTicks": lambda ib: ib.reqHistoricalTicksAsync(
        CONTRACT, datetime(2025, 1, 2), "", 10, "TRADES", useRth=True
    ),
    "reqHeadTimeStamp": lambda ib: ib.reqHeadTimeStampAsync(CONTRACT, "TRADES", useRTH=True, formatDate=1),
    "reqHistogramData": lambda ib: ib.reqHistogramDataAsync(CONTRACT, useRTH=True, period="1 day"),
    "reqHistoricalSchedule": lambda ib: ib.reqHistoricalScheduleAsync(CONTRACT, 1),
    "accountSummary": lambda ib: ib.accountSummaryAsync(),
    "reqFundamentalData": lambda ib: ib.reqFundamentalDataAsync(CONTRACT, "ReportSnapshot"),
    "reqMktDepthExchanges": lambda ib: ib.reqMktDepthExchangesAsync(),
    "reqSmartComponents": lambda ib: ib.reqSmartComponentsAsync("a6"),
    "reqScannerParameters": lambda ib: ib.reqScannerParametersAsync(),
    "reqScannerData": lambda ib: ib.reqScannerDataAsync(library().ScannerSubscription()),
    "calculateImpliedVolatility": lambda ib: ib.calculateImpliedVolatilityAsync(CONTRACT, 1.0, 1.0),
    "calculateOptionPrice": lambda ib: ib.calculateOptionPriceAsync(CONTRACT, 1.0, 1.0),
    "reqSecDefOptParams": lambda ib: ib.reqSecDefOptParamsAsync("AAPL", "", "STK", AAPL.con_id),
    "reqNewsProviders": lambda ib: ib.reqNewsProvidersAsync(),
    "reqNewsArticle": lambda ib: ib.reqNewsArticleAsync("BZ", "1"),
    "reqHistoricalNews": lambda ib: ib.reqHistoricalNewsAsync(AAPL.con_id, "BZ", "", "", 10),
    "requestFA": lambda ib: ib.requestFAAsync(1),
    "getWshMetaData": lambda ib: ib.getWshMetaDataAsync(),
    "getWshEventData": lambda ib: ib.getWshEventDataAsync(library().WshEventData()),
    "reqUserInfo": lambda ib: ib.reqUserInfoAsync(),
    "qualifyContracts": lambda ib: ib.qualifyContractsAsync(library().Contract(conId=AAPL.con_id)),
    "reqTickers": lambda ib: ib.reqTickersAsync(CONTRACT),
}
"""What the library waits for, by the name of its method."""


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_request_of_ib_insync_is_answered(name: str) -> None:
    """No wait of the library lasts longer than five seconds, whatever it asks for."""

    async def run() -> None:
        async with make_gateway() as gateway:
            gateway.book.learn(AAPL)
            ib = library().IB()
            await ib.connectAsync("127.0.0.1", gateway.port, clientId=5, timeout=5)
            try:
                await asyncio.wait_for(REQUESTS[name](ib), ANSWER_SECONDS)
            finally:
                ib.disconnect()

    asyncio.run(run())


def test_every_wait_of_ib_insync_is_walked() -> None:
    """The walk leaves out no method that waits, but login and whatIf, which have tests of their own."""
    waits = {name.removesuffix("Async") for name in dir(library().IB) if name.endswith("Async")}
    others = {"connect", "whatIfOrder", "timeRange"}
    assert waits - {name.split()[0] for name in REQUESTS} - others == set()


def test_answers_are_documented() -> None:
    """The page has a row for each request that is answered, refused or taken in silence."""
    page = (Path(responses.__file__).parent / "GATEWAY.md").read_text()
    documented = {
        number for row in re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE) for number in row.split(", ")
    }
    served = {*responses._TABLE, *responses._TRADING, *unsupported.REFUSED, *unsupported.EMPTY}
    assert documented == served | set(unsupported.QUIET)


def test_refusals_are_errors_to_both_libraries() -> None:
    """No refused request is answered with a code that a library takes for a warning."""
    # From the sources of ib_insync 0.9.86 and ib_async 2.1.0.
    warnings = {105, 110, 165, 202, 321, 329, 399, 404, 434, 492, 10167}
    assert not {code for _, code, _ in unsupported.REFUSED.values()} & warnings


def test_profits_come_every_second() -> None:
    """What an account and a position earned is told until it is cancelled."""

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        gateway.fill(gateway.order(AAPL, "BUY", 10, limit=200))
        gateway.execute(AAPL, "SELL", 4, 210)
        client.send(92, 11, ACCOUNT, "")
        client.send(94, 12, ACCOUNT, "", AAPL.con_id)
        await client.until("94", 2)
        await client.until("95", 2)
        # 6 are left, bought at 200 and last seen at 210; 4 were sold 10 above their price.
        assert client.of("94")[0] == ("94", "11", "100.00", "60.00", "40.00")
        assert client.of("95")[0] == ("95", "12", "6", "100.00", "60.00", "40.00", "1260.00")
        client.send(93, 11)
        client.send(95, 12)
        client.send(92, 13, "DU9999999", "")
        await client.settle()
        assert [f[3] for f in client.of("4") if f[2] == "13"] == ["322"]

    async def run() -> None:
        async with make_gateway(Clock()) as gateway, raw_client(gateway) as client:
            await scene(gateway, client)

    asyncio.run(run())
