"""The order program for the official ibapi; run as `official_order_program.py ibapi PORT CONTROL_PORT`.

The same steps as `order_program.py`, and the same report of what became of each.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

from gateway_control import Control  # type: ignore[import-not-found]  # found in this folder when it runs
from official_client import client_class, until  # type: ignore[import-not-found]  # as above


class Program:
    """Place orders as client 7 and gather what came of each by its id."""

    def __init__(self, port: int, control: Control) -> None:
        self.control = control
        self.client = client_class()()
        assert self.client.enter(port), "client id 7 is taken"
        self._next = self.client.of("nextValidId")[0][0]
        self._orders: Any = importlib.import_module("ibapi.order")
        self._contracts: Any = importlib.import_module("ibapi.contract")
        self._cancels: Any = importlib.import_module("ibapi.order_cancel")

    def place(self, contract: Any, action: str, quantity: int, kind: str, **terms: Any) -> int:
        order = self._orders.Order()
        order.action, order.totalQuantity, order.orderType = action, quantity, kind
        for name, value in terms.items():
            setattr(order, name, value)
        order_id = self._next
        self._next += 1
        self.client.placeOrder(order_id, contract, order)
        return int(order_id)

    def last(self, order_id: int) -> tuple[Any, ...]:
        """Return the last orderStatus of an order."""
        found = [values for values in self.client.of("orderStatus") if values[0] == order_id]
        return found[-1] if found else (0, "", 0, 0)

    def status(self, order_id: int) -> str:
        return str(self.last(order_id)[1])

    def fills(self, order_id: int) -> list[list[Any]]:
        found = [values for values in self.client.of("execDetails") if values[2].orderId == order_id]
        return [[contract.secType, float(one.shares), one.price] for _, contract, one in found]

    def contract(self, **values: Any) -> Any:
        made = self._contracts.Contract()
        for name, value in {"exchange": "SMART", "currency": "USD", **values}.items():
            setattr(made, name, value)
        return made

    def bracket(self, shares: Any) -> dict[str, Any]:
        parent = self.place(shares, "BUY", 100, "LMT", lmtPrice=150, transmit=False)
        profit = self.place(shares, "SELL", 100, "LMT", lmtPrice=155, parentId=parent, transmit=False)
        loss = self.place(shares, "SELL", 100, "STP", auxPrice=145, parentId=parent)
        until(lambda: self.status(parent) == "Submitted" and self.status(loss) == "PreSubmitted")
        waiting = [self.status(each) for each in (parent, profit, loss)]
        self.control.price("AAPL", 150)
        until(lambda: self.status(parent) == "Filled" and self.status(profit) == "Submitted")
        self.control.price("AAPL", 155.5)
        until(lambda: self.status(profit) == "Filled" and self.status(loss) == "Cancelled")
        return {
            "bracket waits": waiting,
            "bracket": [self.fills(each) for each in (parent, profit, loss)],
        }

    def one_cancels_all(self, shares: Any) -> dict[str, Any]:
        group = {"ocaGroup": "group", "ocaType": 1}
        pair = [self.place(shares, "BUY", 3, "LMT", lmtPrice=price, **group) for price in (151, 152)]
        until(lambda: [self.status(each) for each in pair] == ["Submitted"] * 2)
        self.control.price("AAPL", 152)
        until(lambda: self.status(pair[1]) == "Filled" and self.status(pair[0]) == "Cancelled")
        return {"group": [self.fills(each) for each in pair]}

    def trailing(self, shares: Any) -> dict[str, Any]:
        order = self.place(shares, "SELL", 3, "TRAIL", auxPrice=2)
        until(lambda: self.status(order) == "PreSubmitted")
        held = self.last(order)[9]
        for price in (156, 154.5, 154):
            self.control.price("AAPL", price)
        until(lambda: self.status(order) == "Filled")
        return {"trail": [held, self.fills(order)]}

    def combo(self, con_ids: tuple[int, int]) -> dict[str, Any]:
        legs = []
        for con_id, action in zip(con_ids, ("BUY", "SELL"), strict=True):
            leg = self._contracts.ComboLeg()
            leg.conId, leg.ratio, leg.action, leg.exchange = con_id, 1, action, "SMART"
            legs.append(leg)
        bag = self.contract(symbol="NVDA", secType="BAG", comboLegs=legs)
        order = self.place(bag, "BUY", 2, "LMT", lmtPrice=0.5)

        def mine() -> list[list[Any]]:
            found = [values for values in self.client.of("execDetails") if values[2].orderId == order]
            return sorted([contract.secType, one.side, float(one.shares)] for _, contract, one in found)

        until(lambda: self.status(order) == "Submitted")
        self.control.fill(self.last(order)[5], 2, 0.5)
        until(lambda: self.status(order) == "Filled" and len(mine()) == 3)
        return {"combo": mine()}

    def replace(self, con_id: int) -> dict[str, Any]:
        call = self.contract(conId=con_id)
        self.control.price("call", 3)
        first = self.place(call, "BUY", 10, "LMT", lmtPrice=2.5)
        until(lambda: self.status(first) == "Submitted")
        self.control.fill(self.last(first)[5], 4, 2.5)
        until(lambda: self.last(first)[2] == 4)
        _, status, filled, remaining, *_ = self.last(first)
        self.client.cancelOrder(first, self._cancels.OrderCancel())
        until(lambda: self.status(first) == "Cancelled")
        second = self.place(call, "BUY", 6, "LMT", lmtPrice=3.1)
        until(lambda: self.status(second) == "Filled")
        return {
            "partial": [status, float(filled), float(remaining)],
            "replaced": [self.fills(first), self.fills(second)],
        }

    def what_if(self, shares: Any) -> dict[str, Any]:
        order = self.place(shares, "BUY", 100, "LMT", lmtPrice=150, whatIf=True)

        def states() -> list[Any]:
            return [values[3] for values in self.client.of("openOrder") if values[0] == order]

        until(states)
        state = states()[0]
        return {"what if": [float(state.commissionAndFees), float(state.initMarginChange)]}


def main(port: int, control: Control) -> dict[str, Any]:
    program = Program(port, control)
    con_ids = control.learn()
    shares = program.contract(symbol="AAPL", secType="STK")
    control.price("AAPL", 153)
    seen = program.bracket(shares)
    seen |= program.one_cancels_all(shares)
    seen |= program.trailing(shares)
    seen |= program.combo(con_ids)
    seen |= program.replace(con_ids[0])
    seen |= program.what_if(shares)
    client = program.client
    client.reqPositions()
    until(lambda: client.of("positionEnd"))
    seen["positions"] = {values[1].localSymbol: float(values[2]) for values in client.of("position")}
    ended = len(client.of("openOrderEnd"))
    shown = len(client.of("openOrder"))
    client.reqAllOpenOrders()
    until(lambda: len(client.of("openOrderEnd")) > ended)
    seen["open orders"] = len(client.of("openOrder")) - shown
    client.leave()
    return seen


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[2]), Control(int(sys.argv[3])))))
