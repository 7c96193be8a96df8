"""Drive ib_insync or ib_async through the conformance steps; run as `asyncio_client.py LIBRARY PORT`.

Runs in an environment that has only that library; prints one JSON object of what it saw.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

STEP_SECONDS = 20.0


async def until(condition: Callable[[], Any]) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + STEP_SECONDS
    while not condition():
        if loop.time() > end:
            raise TimeoutError("a step did not come true")
        await asyncio.sleep(0.005)


async def main(name: str, port: int) -> dict[str, Any]:
    library: Any = importlib.import_module(name)
    ib = library.IB()
    errors: list[int] = []
    ib.errorEvent += lambda request_id, code, text, contract: errors.append(code)
    await ib.connectAsync("127.0.0.1", port, clientId=7, timeout=STEP_SECONDS)
    seen: dict[str, Any] = {"version": ib.client.serverVersion(), "accounts": ib.managedAccounts()}
    option = library.Option("NVDA", "20301220", 122.5, "C", "SMART", currency="USD")
    await ib.qualifyContractsAsync(option)
    seen["contract"] = [option.conId, option.localSymbol]
    order = library.LimitOrder("BUY", 10, 2.5, orderRef="conformance")
    trade = ib.placeOrder(option, order)
    await until(lambda: trade.orderStatus.status == "Submitted")
    seen["placed"] = trade.orderStatus.status
    order.lmtPrice, order.totalQuantity = 2.75, 12
    ib.placeOrder(option, order)
    await until(lambda: trade.fills and trade.fills[0].commissionReport.execId)
    await until(lambda: trade.orderStatus.filled == 4)
    seen["partial"] = [trade.orderStatus.status, trade.filled(), trade.remaining()]
    seen["execution"] = [trade.fills[0].execution.shares, trade.fills[0].execution.price]
    seen["commission"] = trade.fills[0].commissionReport.commission
    ib.cancelOrder(order)
    await until(lambda: trade.orderStatus.status == "Cancelled")
    await until(lambda: 202 in errors)
    fills = await ib.reqExecutionsAsync()
    seen["executions"] = [[f.execution.shares, f.execution.orderRef, str(f.execution.time)] for f in fills]
    done = await ib.reqCompletedOrdersAsync(False)
    seen["completed"] = [[t.orderStatus.status, t.order.permId == order.permId] for t in done]
    positions = await ib.reqPositionsAsync()
    seen["positions"] = [[p.contract.conId, float(p.position)] for p in positions]
    ib.disconnect()
    again = library.IB()
    await again.connectAsync("127.0.0.1", port, clientId=7, timeout=STEP_SECONDS)
    seen["after reconnect"] = [len(again.fills()), len(again.openTrades()), len(again.positions())]
    seen["next order id grew"] = again.client.getReqId() > order.orderId
    again.disconnect()
    return seen


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2])))))
