"""Ask the control socket of a paper gateway, from a client's own environment."""

from __future__ import annotations

import json
import socket
from typing import Any

CALL = {"do": "contract", "name": "call", "kind": "option", "symbol": "NVDA", "expiry": "20301220",
        "right": "C", "strike": 122.5}  # fmt: skip
PUT = {**CALL, "name": "put", "right": "P"}
SHARES = {"do": "contract", "name": "AAPL", "kind": "stock", "symbol": "AAPL"}


class Control:
    """Hold one connection to the control socket."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._lines = self._socket.makefile("rb")

    def ask(self, **command: Any) -> dict[str, Any]:
        """Perform a command; AssertionError where the gateway refuses it."""
        self._socket.sendall(json.dumps(command).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._lines.readline())
        assert answer["ok"], answer
        return answer

    def price(self, contract: str, price: float) -> None:
        """Set the price of a contract."""
        self.ask(do="price", contract=contract, price=price)

    def learn(self) -> tuple[int, int]:
        """Make the contracts of the program known; returns the conIds of call and put."""
        self.ask(**SHARES)
        return self.ask(**CALL)["con_id"], self.ask(**PUT)["con_id"]

    def fill(self, perm_id: int, quantity: int, price: float) -> None:
        """Fill part of an order."""
        self.ask(do="fill", order=perm_id, quantity=quantity, price=price)
