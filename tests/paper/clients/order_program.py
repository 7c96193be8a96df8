"""An order program for ib_insync or ib_async; run as `order_program.py LIBRARY PORT CONTROL_PORT`.

Trades a bracket, a group of which one cancels the others, a trailing stop, a combo by conIds, partial fills,
cancel and replace, and asks what an order would cost. Prints one JSON object of what became of each.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

from gateway_control import Control  # type: ignore[import-not-found]  # found in this folder when it runs

STEP_SECONDS = 20.0


async def until(condition: Callable[[], Any]) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + STEP_SECONDS
    while not condition():
        if loop.time() > end:
            raise TimeoutError("a step did not come true")
        await asyncio.sleep(0.005)


def status(trade: Any) -> str:
    return str(trade.orderStatus.status)


def fills(trade: Any) -> list[list[Any]]:
    return [[fill.contract.secType, fill.execution.shares, fill.execution.price] for fill in trade.fills]


async def bracket(ib: Any, library: Any, shares: Any, control: Control) -> dict[str, Any]:
    """Buy at 150; of take-profit and stop-loss the one that is reached cancels the other."""
    orders = ib.bracketOrder("BUY", 100, 150, 155, 145)
    parent, profit, loss = [ib.placeOrder(shares, order) for order in orders]
    await until(lambda: status(parent) == "Submitted" and status(loss) == "PreSubmitted")
    waiting = [status(parent), status(profit), status(loss)]
    control.price("AAPL", 150)
    await until(lambda: status(parent) == "Filled" and status(profit) == "Submitted")
    control.price("AAPL", 155.5)
    await until(lambda: status(profit) == "Filled" and status(loss) == "Cancelled")
    return {"bracket waits": waiting, "bracket": [fills(parent), fills(profit), fills(loss)]}


async def one_cancels_all(ib: Any, library: Any, shares: Any, control: Control) -> dict[str, Any]:
    """Two buys in a group; the higher one is reached first."""
    pair = [library.LimitOrder("BUY", 3, price) for price in (151, 152)]
    trades = [ib.placeOrder(shares, order) for order in ib.oneCancelsAll(pair, "group", 1)]
    await until(lambda: [status(trade) for trade in trades] == ["Submitted"] * 2)
    control.price("AAPL", 152)
    await until(lambda: status(trades[1]) == "Filled" and status(trades[0]) == "Cancelled")
    return {"group": [fills(trade) for trade in trades]}


async def trailing(ib: Any, library: Any, shares: Any, control: Control) -> dict[str, Any]:
    """A stop two below the highest price."""
    order = library.Order(action="SELL", totalQuantity=3, orderType="TRAIL", auxPrice=2)
    trade = ib.placeOrder(shares, order)
    await until(lambda: status(trade) == "PreSubmitted")
    held = trade.orderStatus.whyHeld
    for price in (156, 154.5, 154):
        control.price("AAPL", price)
    await until(lambda: status(trade) == "Filled")
    return {"trail": [held, fills(trade)]}


async def combo(ib: Any, library: Any, con_ids: tuple[int, int], control: Control) -> dict[str, Any]:
    """Buy the call and sell the put as one, named by their conIds alone."""
    legs = [
        library.ComboLeg(conId=con_id, ratio=1, action=action, exchange="SMART")
        for con_id, action in zip(con_ids, ("BUY", "SELL"), strict=True)
    ]
    bag = library.Contract(secType="BAG", symbol="NVDA", exchange="SMART", currency="USD", comboLegs=legs)
    trade = ib.placeOrder(bag, library.LimitOrder("BUY", 2, 0.5))
    await until(lambda: status(trade) == "Submitted")
    control.fill(trade.order.permId, 2, 0.5)
    await until(lambda: status(trade) == "Filled" and len(trade.fills) == 3)
    legs_first = sorted(
        (fill.contract.secType, fill.execution.side, fill.execution.shares) for fill in trade.fills
    )
    return {"combo": [list(each) for each in legs_first]}


async def replace(ib: Any, library: Any, con_id: int, control: Control) -> dict[str, Any]:
    """Take part of a fill, cancel the rest, and have it filled at another price."""
    call = library.Contract(conId=con_id, exchange="SMART")
    await ib.qualifyContractsAsync(call)
    control.price("call", 3)
    first = ib.placeOrder(call, library.LimitOrder("BUY", 10, 2.5))
    await until(lambda: status(first) == "Submitted")
    control.fill(first.order.permId, 4, 2.5)
    await until(lambda: first.orderStatus.filled == 4)
    partial = [status(first), first.orderStatus.filled, first.orderStatus.remaining]
    ib.cancelOrder(first.order)
    await until(lambda: status(first) == "Cancelled")
    second = ib.placeOrder(call, library.LimitOrder("BUY", 6, 3.1))
    await until(lambda: status(second) == "Filled")
    return {"partial": partial, "replaced": [fills(first), fills(second)]}


async def main(name: str, port: int, control: Control) -> dict[str, Any]:
    library: Any = importlib.import_module(name)
    ib = library.IB()
    await ib.connectAsync("127.0.0.1", port, clientId=7, timeout=STEP_SECONDS)
    con_ids = control.learn()
    shares = library.Stock("AAPL", "SMART", "USD")
    await ib.qualifyContractsAsync(shares)
    control.price("AAPL", 153)
    seen = await bracket(ib, library, shares, control)
    seen |= await one_cancels_all(ib, library, shares, control)
    seen |= await trailing(ib, library, shares, control)
    seen |= await combo(ib, library, con_ids, control)
    seen |= await replace(ib, library, con_ids[0], control)
    asked = await ib.whatIfOrderAsync(shares, library.LimitOrder("BUY", 100, 150))
    seen["what if"] = [float(asked.commission), float(asked.initMarginChange)]
    held = {each.contract.localSymbol: float(each.position) for each in await ib.reqPositionsAsync()}
    seen["positions"] = held
    seen["open orders"] = len(await ib.reqAllOpenOrdersAsync())
    ib.disconnect()
    return seen


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2]), Control(int(sys.argv[3]))))))
