"""Write a random morning, from a seed, in the scenario's own format.

The daemon's own ends are no events of a gateway, so they are comments that `stops_in` reads: the text alone
says all that happens.
"""

from __future__ import annotations

import re
import signal
from random import Random
from typing import Any, Final

from tests.support.scenario_rig import Stop

CONTRACTS: Final[dict[str, dict[str, Any]]] = {
    "call": {
        "kind": "option", "symbol": "NVDA", "expiry": "today+3", "right": "C", "strike": 122.5,
        "con_id": 700100200,
    },
    "put": {
        "kind": "option", "symbol": "SPX", "expiry": "today+3", "right": "P", "strike": 6600,
        "con_id": 700100300, "trading_class": "SPXW",
    },
    "shares": {"kind": "stock", "symbol": "AMD", "con_id": 4391},
}  # fmt: skip
SECONDS: Final = 4.0
"""How long the trading lasts; time in a scenario is real."""
PAUSES: Final = (0.0, 0.0, 0.02, 0.05, 0.1, 0.2)
STOP: Final = re.compile(r"^# the tracker ends at ([\d.]+) by (SIG\w+) for ([\d.]+) seconds$", re.M)


class Morning:
    """Draw events that the paper gateway's book allows."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)
        self._seed = seed
        self._at = 0.0
        self._events: list[tuple[float, str, dict[str, Any]]] = []
        self._orders: dict[str, dict[str, Any]] = {}
        """Name of an order that can still fill -> contract, and what is left."""
        self._executions: dict[str, dict[str, Any]] = {}
        """Name of an execution in force -> its order's name, and its quantity."""
        self._silent: set[str] = set()
        """Executions that are never pushed."""
        self._numbers = iter(range(1, 10_000))

    def text(self) -> str:
        """Return the morning as TOML."""
        while self._at < SECONDS:
            self._at = round(self._at + self._rng.choice(PAUSES), 2)
            acts = (
                self._order,
                self._fill,
                self._fill,
                self._fill,
                self._execute,
                self._correct,
                self._cancel,
            )
            self._rng.choice((*acts, self._repeat, self._trouble))()
        used = {values["contract"] for _, _, values in self._events if "contract" in values}
        traded = [name for name in CONTRACTS if name in used]
        lines = [f'title = "The morning of seed {self._seed}"', *self._stops()]
        for name in traded:
            lines += [f"\n[contracts.{name}]", *_lines(CONTRACTS[name])]
        for at, do, values in sorted(self._events, key=lambda event: event[0]):
            lines += ["\n[[events]]", *_lines({"at": at, "do": do, **values})]
        return "\n".join(lines) + "\n"

    def _stops(self) -> list[str]:
        times = sorted(
            round(self._rng.uniform(0.1, SECONDS), 2) for _ in range(self._rng.choice((0, 1, 1, 2)))
        )
        return [
            f"# the tracker ends at {at} by {self._rng.choice(('SIGKILL', 'SIGKILL', 'SIGTERM'))}"
            f" for {self._rng.choice((0.0, 0.2, 0.5))} seconds"
            for at in times
        ]

    def _add(self, do: str, later: float = 0.0, **values: Any) -> None:
        if not values.get("push", True):
            self._silent.add(values["name"])
        self._events.append((round(self._at + later, 2), do, values))

    def _name(self) -> str:
        return f"n{next(self._numbers)}"

    def _silently(self) -> dict[str, Any]:
        """Return the key of what is never pushed, now and then."""
        return {"push": False} if self._rng.random() < 0.15 else {}

    def _price(self) -> float:
        return round(self._rng.uniform(1, 9), 2)

    def _trade(self) -> dict[str, Any]:
        rng = self._rng
        return {
            "contract": rng.choice(tuple(CONTRACTS)),
            "side": rng.choice(("BUY", "BUY", "SELL")),
            "quantity": rng.randint(1, 9),
        }

    def _order(self) -> None:
        name, trade = self._name(), self._trade()
        whose: dict[str, Any] = {"manual": True} if self._rng.random() < 0.2 else {}
        if not whose:
            whose["client_id"] = self._rng.choice((0, 7, 8))
        if self._rng.random() < 0.15:
            whose["announce"] = False
        # Each order fills at once to begin with, so that every instrument of the morning is traded.
        self._add("order", name=name, limit=self._price(), **trade, **whose)
        self._orders[name] = {"left": trade["quantity"]}
        self._fill_of(name)

    def _fill(self) -> None:
        if self._orders:
            self._fill_of(self._rng.choice(sorted(self._orders)))

    def _fill_of(self, order: str) -> None:
        left = self._orders[order]["left"]
        quantity = left if self._rng.random() < 0.4 else self._rng.randint(1, left)
        name = self._name()
        self._add("fill", order=order, name=name, quantity=quantity, price=self._price(), **self._silently())
        self._executions[name] = {"order": order, "quantity": quantity}
        self._take(order, quantity)

    def _take(self, order: str, quantity: int) -> None:
        self._orders[order]["left"] -= quantity
        if not self._orders[order]["left"]:
            del self._orders[order]

    def _execute(self) -> None:
        name, trade = self._name(), self._trade()
        client = self._rng.choice((0, 7))
        self._add("execute", name=name, price=self._price(), client_id=client, **trade, **self._silently())
        self._executions[name] = {"order": "", "quantity": trade["quantity"]}

    def _correct(self) -> None:
        if not self._executions:
            return
        was = self._rng.choice(sorted(self._executions))
        execution = self._executions.pop(was)
        name, order = self._name(), execution["order"]
        left = self._orders[order]["left"] if order in self._orders else 0
        quantity = self._rng.randint(1, execution["quantity"] + left)
        self._add(
            "correct", execution=was, name=name, quantity=quantity, price=self._price(), **self._silently()
        )
        self._executions[name] = {"order": order, "quantity": quantity}
        if order in self._orders:
            self._take(order, quantity - execution["quantity"])

    def _cancel(self) -> None:
        if self._orders and self._rng.random() < 0.3:
            order = self._rng.choice(sorted(self._orders))
            del self._orders[order]
            self._add("cancel", order=order)

    def _repeat(self) -> None:
        if not self._executions:
            return
        execution = self._rng.choice(sorted(self._executions))
        # Pushed after an answer that contains it, it would count as made after it.
        if execution not in self._silent:
            self._add("repeat", execution=execution, times=2)

    def _trouble(self) -> None:
        """Let something go wrong, and be well again soon."""
        rng = self._rng
        soon = rng.choice((0.1, 0.3, 0.6))
        kind = rng.choice(("fault", "fault", "drop", "restart", "notice"))
        if kind == "fault":
            name, bad, well = rng.choice(
                (
                    ("silent", True, False),
                    ("withhold_exec_end", True, False),
                    ("withhold_position_end", True, False),
                    ("withhold_open_order_end", True, False),
                    ("refuse_client_id", True, False),
                    ("duplicate", 3, 1),
                    ("reorder", True, False),
                    ("late_fee_seconds", 0.4, 0),
                )
            )
            self._add("fault", **{name: bad})
            self._add("fault", soon, **{name: well})
        elif kind == "notice":
            self._add("notice", code=rng.choice((1100, 1100, 2110)))
            self._add("notice", soon, code=rng.choice((1101, 1102)))
        elif kind == "restart":
            down = rng.choice((0.1, 0.3))
            self._add("restart", down_seconds=down, reuse_order_ids=rng.random() < 0.5)
            # Nothing can happen on a gateway that is away.
            self._at = round(self._at + down + 0.1, 2)
        else:
            self._add("drop")


def stops_in(text: str) -> list[Stop]:
    """Return when the daemon ends, as the comments of a morning say."""
    return [Stop(float(at), signal.Signals[name], float(down)) for at, name, down in STOP.findall(text)]


def _lines(values: dict[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in values.items()]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
