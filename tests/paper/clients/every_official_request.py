"""Send every request of the official ibapi; run as `every_official_request.py ibapi PORT CONID`.

Runs in an environment that has only that library; prints one JSON object as `every_request.py` does.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import time
from typing import Any

from official_client import client_class, until  # type: ignore[import-not-found]  # found here when it runs

ANSWER_SECONDS = 5.0
SENDS = re.compile(
    r"(req|cancel|calculate|exercise|replace|query|subscribe|unsubscribe|update|verify|set)[A-Z]"
)
NO_REQUEST = {"setConnState", "setConnectOptions", "setOptionalCapabilities"}
"""Settings of the library itself."""
WITHOUT_ID = {
    "reqAccountUpdates": "accountDownloadEnd",
    "reqAllOpenOrders": "openOrderEnd",
    "reqAutoOpenOrders": "error",
    "reqCompletedOrders": "completedOrdersEnd",
    "reqCurrentTime": "currentTime",
    "reqCurrentTimeInMillis": "error",
    "reqFamilyCodes": "familyCodes",
    "reqIds": "nextValidId",
    "reqManagedAccts": "managedAccounts",
    "reqMarketRule": "marketRule",
    "reqMktDepthExchanges": "mktDepthExchanges",
    "reqNewsProviders": "newsProviders",
    "reqOpenOrders": "openOrderEnd",
    "reqPositions": "positionEnd",
    "reqScannerParameters": "scannerParameters",
    "requestFA": "receiveFA",
    "verifyAndAuthMessage": "error",
    "verifyAndAuthRequest": "error",
    "verifyMessage": "error",
    "verifyRequest": "error",
}
"""Request without an id -> what answers it; the library itself refuses what it needs a newer gateway for."""
UNANSWERED = {
    *("reqGlobalCancel", "reqMarketDataType", "reqNewsBulletins", "setServerLogLevel"),
    *("unsubscribeFromGroupEvents", "updateDisplayGroup"),
}
"""Beside cancellations: what the real Gateway answers nothing to."""


def arguments_of(method: Any, request_id: int, con_id: int, account: str) -> list[Any]:
    """Return something usable for each parameter, by its name or its type."""
    contract = importlib.import_module("ibapi.contract").Contract()
    contract.conId, contract.exchange = con_id, "SMART"
    order = importlib.import_module("ibapi.order").Order()
    order.action, order.totalQuantity, order.orderType = "BUY", 1, "FOO"
    named = {
        "contract": contract,
        "order": order,
        "orderCancel": importlib.import_module("ibapi.order_cancel").OrderCancel(),
        "execFilter": importlib.import_module("ibapi.execution").ExecutionFilter(),
        "subscription": importlib.import_module("ibapi.scanner").ScannerSubscription(),
        "wshEventData": importlib.import_module("ibapi.common").WshEventData(),
        "account": account,
        "acctCode": account,
        "conid": con_id,
        "conId": con_id,
        "groupName": "All",
        "underlyingConId": con_id,
        "underlyingSymbol": "AAPL",
        "underlyingSecType": "STK",
        "pattern": "AA",
        "tags": "NetLiquidation",
        "whatToShow": "TRADES",
        "faData": 1,
        "subscribe": True,
        **dict.fromkeys(("reqId", "orderId", "tickerId"), request_id),
    }
    by_type = {"int": 1, "float": 1.0, "bool": False, "list": [], "str": ""}
    parameters = list(inspect.signature(method).parameters.values())
    return [
        named.get(each.name, by_type.get(getattr(each.annotation, "__name__", each.annotation)))
        for each in parameters
    ]


def heard_class() -> Any:
    """Return the client with every callback of the library noted."""
    kind = client_class()
    wrapper = importlib.import_module("ibapi.wrapper").EWrapper
    for name, method in vars(wrapper).items():
        if inspect.isfunction(method) and not name.startswith("_") and name not in vars(kind):

            def callback(self: Any, *values: Any, name: str = name) -> None:
                self.note(name, *values)

            setattr(kind, name, callback)
    return kind


def main(port: int, con_id: int) -> dict[str, Any]:
    client = heard_class()()
    assert client.enter(port), "client id 7 is taken"
    account = client.of("managedAccounts")[0][0].split(",")[0]
    base: Any = importlib.import_module("ibapi.client").EClient
    names = [each for each in vars(base) if SENDS.match(each) or each in ("placeOrder", "requestFA")]
    names = [each for each in names if not each.endswith("ProtoBuf") and each not in NO_REQUEST]
    took: dict[str, float | None] = {}
    for request_id, name in enumerate(sorted(names), 5001):
        method = getattr(client, name)
        answers = WITHOUT_ID.get(name, "")
        silent = name in UNANSWERED or (name.startswith("cancel") and name != "cancelOrder")
        seen = {each: len(values) for each, values in client.got.items()}
        method(*arguments_of(method, request_id, con_id, account))
        if silent:
            # The next answer shows that the gateway read on after it.
            answers = "currentTime"
            client.reqCurrentTime()

        def answered(name: str = answers, request_id: int = request_id, seen: dict[str, int] = seen) -> bool:
            if name:
                return len(client.of(name)) > seen.get(name, 0)
            new = (each for kind, values in list(client.got.items()) for each in values[seen.get(kind, 0) :])
            return any(request_id in each[:2] for each in new)

        start = time.monotonic()
        try:
            until(answered, ANSWER_SECONDS)
            took[name] = time.monotonic() - start
        except TimeoutError:
            took[name] = None
    alive = client.isConnected()
    client.leave()
    return {"took": took, "missing": [] if alive else ["the connection"]}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[2]), int(sys.argv[3]))))
