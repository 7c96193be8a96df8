"""Ask everything that ib_insync or ib_async can wait for; run as `every_request.py LIBRARY PORT CONID`.

Runs in an environment that has only that library; prints one JSON object: method -> seconds that it took, and
the methods that wait and are not asked.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

ANSWER_SECONDS = 5.0
ELSEWHERE = {"connect", "whatIfOrder", "timeRange"}
"""Waits that have tests of their own, or ask nothing."""


def requests(library: Any, account: str, con_id: int) -> dict[str, Callable[[Any], Any]]:
    """Return method -> how it is asked; a word after the name tells two of one method apart."""
    contract = library.Stock("AAPL", "SMART", "USD", conId=con_id)
    return {
        "reqCurrentTime": lambda ib: ib.reqCurrentTimeAsync(),
        "reqAccountUpdates": lambda ib: ib.reqAccountUpdatesAsync(account),
        "reqAccountUpdatesMulti": lambda ib: ib.reqAccountUpdatesMultiAsync(account),
        "reqAccountSummary": lambda ib: ib.reqAccountSummaryAsync(),
        "reqOpenOrders": lambda ib: ib.reqOpenOrdersAsync(),
        "reqAllOpenOrders": lambda ib: ib.reqAllOpenOrdersAsync(),
        "reqCompletedOrders": lambda ib: ib.reqCompletedOrdersAsync(False),
        "reqExecutions": lambda ib: ib.reqExecutionsAsync(),
        "reqPositions": lambda ib: ib.reqPositionsAsync(),
        "reqContractDetails": lambda ib: ib.reqContractDetailsAsync(contract),
        "reqContractDetails unknown": lambda ib: ib.reqContractDetailsAsync(library.Contract(conId=77)),
        "reqMatchingSymbols": lambda ib: ib.reqMatchingSymbolsAsync("AA"),
        "reqMarketRule": lambda ib: ib.reqMarketRuleAsync(26),
        "reqHistoricalData": lambda ib: ib.reqHistoricalDataAsync(
            contract, "", "1 D", "1 day", "TRADES", useRTH=True
        ),
        "reqHistoricalTicks": lambda ib: ib.reqHistoricalTicksAsync(
            contract, datetime(2025, 1, 2), "", 10, "TRADES", useRth=True
        ),
        "reqHeadTimeStamp": lambda ib: ib.reqHeadTimeStampAsync(
            contract, "TRADES", useRTH=True, formatDate=1
        ),
        "reqHistogramData": lambda ib: ib.reqHistogramDataAsync(contract, useRTH=True, period="1 day"),
        "reqHistoricalSchedule": lambda ib: ib.reqHistoricalScheduleAsync(contract, 1),
        "accountSummary": lambda ib: ib.accountSummaryAsync(),
        "reqFundamentalData": lambda ib: ib.reqFundamentalDataAsync(contract, "ReportSnapshot"),
        "reqMktDepthExchanges": lambda ib: ib.reqMktDepthExchangesAsync(),
        "reqSmartComponents": lambda ib: ib.reqSmartComponentsAsync("a6"),
        "reqScannerParameters": lambda ib: ib.reqScannerParametersAsync(),
        "reqScannerData": lambda ib: ib.reqScannerDataAsync(library.ScannerSubscription()),
        "calculateImpliedVolatility": lambda ib: ib.calculateImpliedVolatilityAsync(contract, 1.0, 1.0),
        "calculateOptionPrice": lambda ib: ib.calculateOptionPriceAsync(contract, 1.0, 1.0),
        "reqSecDefOptParams": lambda ib: ib.reqSecDefOptParamsAsync("AAPL", "", "STK", con_id),
        "reqNewsProviders": lambda ib: ib.reqNewsProvidersAsync(),
        "reqNewsArticle": lambda ib: ib.reqNewsArticleAsync("BZ", "1"),
        "reqHistoricalNews": lambda ib: ib.reqHistoricalNewsAsync(con_id, "BZ", "", "", 10),
        "requestFA": lambda ib: ib.requestFAAsync(1),
        "getWshMetaData": lambda ib: ib.getWshMetaDataAsync(),
        "getWshEventData": lambda ib: ib.getWshEventDataAsync(library.WshEventData()),
        "reqUserInfo": lambda ib: ib.reqUserInfoAsync(),
        "qualifyContracts": lambda ib: ib.qualifyContractsAsync(library.Contract(conId=con_id)),
        "reqTickers": lambda ib: ib.reqTickersAsync(contract),
    }


async def main(name: str, port: int, con_id: int) -> dict[str, Any]:
    library: Any = importlib.import_module(name)
    ib = library.IB()
    await ib.connectAsync("127.0.0.1", port, clientId=5, timeout=ANSWER_SECONDS)
    loop = asyncio.get_running_loop()
    took: dict[str, float | None] = {}
    asked = requests(library, ib.managedAccounts()[0], con_id)
    for method, ask in asked.items():
        start = loop.time()
        try:
            await asyncio.wait_for(ask(ib), ANSWER_SECONDS)
            took[method] = loop.time() - start
        except TimeoutError:
            took[method] = None
    ib.disconnect()
    waits = {each.removesuffix("Async") for each in dir(library.IB) if each.endswith("Async")}
    missing = waits - {method.split()[0] for method in asked} - ELSEWHERE
    return {"took": took, "missing": sorted(missing)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
