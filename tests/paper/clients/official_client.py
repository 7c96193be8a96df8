"""Drive the official ibapi through the conformance steps; run as `official_client.py ibapi PORT`.

Runs in an environment that has only that library; prints one JSON object of what it saw.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

STEP_SECONDS = 20.0


def until(condition: Callable[[], Any], seconds: float = STEP_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("a step did not come true")
        # The client's own thread takes the answers; nothing of the library wakes this one.
        time.sleep(0.005)


def client_class() -> Any:
    wrapper: Any = importlib.import_module("ibapi.wrapper")
    client: Any = importlib.import_module("ibapi.client")

    class Client(wrapper.EWrapper, client.EClient):  # type: ignore[misc]  # the library has no types here
        """Gather every callback's values under its name."""

        def __init__(self) -> None:
            client.EClient.__init__(self, self)
            self.got: dict[str, list[Any]] = {}
            self.thread: threading.Thread | None = None

        def note(self, name: str, *values: Any) -> None:
            self.got.setdefault(name, []).append(values)

        def of(self, name: str) -> list[Any]:
            return self.got.get(name, [])

        def enter(self, port: int) -> bool:
            """Connect as client 7; False while an earlier connection still holds that id."""
            self.connect("127.0.0.1", port, 7)
            self.thread = threading.Thread(target=self.run, daemon=True)
            self.thread.start()
            until(lambda: (self.of("nextValidId") and self.of("managedAccounts")) or self.refused())
            return not self.refused()

        def refused(self) -> bool:
            return any(326 in values for values in self.of("error"))

        def leave(self) -> None:
            self.disconnect()
            assert self.thread is not None
            self.thread.join(STEP_SECONDS)

    for name in (
        "error", "nextValidId", "managedAccounts", "openOrder", "openOrderEnd", "orderStatus", "execDetails",
        "execDetailsEnd", "commissionAndFeesReport", "position", "positionEnd", "completedOrder",
        "completedOrdersEnd", "contractDetails", "contractDetailsEnd",
    ):  # fmt: skip

        def callback(self: Any, *values: Any, name: str = name) -> None:
            self.note(name, *values)

        setattr(Client, name, callback)
    return Client


def main(port: int) -> dict[str, Any]:
    executions: Any = importlib.import_module("ibapi.execution")
    kind = client_class()
    client = kind()
    assert client.enter(port), "client id 7 is taken"
    seen: dict[str, Any] = {"version": client.serverVersion()}
    seen["accounts"] = [name for name in client.of("managedAccounts")[0][0].split(",") if name]
    order_id = client.of("nextValidId")[0][0]
    trade(client, order_id, seen)
    perm_id = client.of("orderStatus")[-1][5]
    client.got.pop("execDetails")
    client.reqExecutions(901, executions.ExecutionFilter())
    until(lambda: client.of("execDetailsEnd"))
    found = [values[2] for values in client.of("execDetails")]
    seen["executions"] = [[float(item.shares), item.orderRef, item.time] for item in found]
    client.reqCompletedOrders(False)
    until(lambda: client.of("completedOrdersEnd"))
    done = client.of("completedOrder")
    seen["completed"] = [[state.status, finished.permId == perm_id] for _, finished, state in done]
    client.reqPositions()
    until(lambda: client.of("positionEnd"))
    seen["positions"] = [[values[1].conId, float(values[2])] for values in client.of("position")]
    client.leave()
    again = kind()
    end = time.monotonic() + STEP_SECONDS
    while not again.enter(port):
        # The library's reader holds the old socket for up to a second after disconnect.
        again.leave()
        if time.monotonic() > end:
            raise TimeoutError("the gateway did not let the client in again")
        # Between two attempts, not a wait for something to come true; the loop has the bound.
        time.sleep(0.1)
        again = kind()
    again.reqExecutions(1, executions.ExecutionFilter())
    again.reqOpenOrders()
    again.reqPositions()
    until(lambda: again.of("execDetailsEnd") and again.of("openOrderEnd") and again.of("positionEnd"))
    seen["after reconnect"] = [len(again.of(name)) for name in ("execDetails", "openOrder", "position")]
    seen["next order id grew"] = again.of("nextValidId")[0][0] > order_id
    again.leave()
    return seen


def trade(client: Any, order_id: int, seen: dict[str, Any]) -> None:
    """Place an order, change it, have part of it filled, cancel the rest."""
    contracts: Any = importlib.import_module("ibapi.contract")
    orders: Any = importlib.import_module("ibapi.order")
    cancels: Any = importlib.import_module("ibapi.order_cancel")
    option = contracts.Contract()
    option.symbol, option.secType, option.exchange, option.currency = "NVDA", "OPT", "SMART", "USD"
    option.lastTradeDateOrContractMonth, option.strike, option.right = "20301220", 122.5, "C"
    client.reqContractDetails(900, option)
    until(lambda: client.of("contractDetailsEnd"))
    option = client.of("contractDetails")[0][1].contract
    seen["contract"] = [option.conId, option.localSymbol]
    order = orders.Order()
    order.action, order.orderType, order.totalQuantity, order.lmtPrice = "BUY", "LMT", 10, 2.5
    order.orderRef = "conformance"
    client.placeOrder(order_id, option, order)
    until(lambda: any(values[1] == "Submitted" for values in client.of("orderStatus")))
    seen["placed"] = client.of("orderStatus")[-1][1]
    order.lmtPrice, order.totalQuantity = 2.75, 12
    client.placeOrder(order_id, option, order)
    until(lambda: client.of("commissionAndFeesReport"))
    until(lambda: any(values[2] == 4 for values in client.of("orderStatus")))
    status = client.of("orderStatus")[-1]
    seen["partial"] = [status[1], float(status[2]), float(status[3])]
    execution = client.of("execDetails")[0][2]
    seen["execution"] = [float(execution.shares), execution.price]
    seen["commission"] = client.of("commissionAndFeesReport")[0][0].commissionAndFees
    client.cancelOrder(order_id, cancels.OrderCancel())
    until(lambda: any(202 in values for values in client.of("error")))


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[2]))))
