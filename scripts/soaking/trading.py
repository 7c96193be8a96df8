"""A paper gateway that never stops trading, and what goes wrong with it.

Runs as `python -m soaking.trading RATE ALERTS SEED` with lines of JSON: `earlier` makes fills of the day
before anyone listens, `trade` opens or shuts the market, `fault` begins one, `report` tells the executions
and the faults that are over since the last report. Owns the truth of what was executed and when; it never
looks at what the tracker makes of it.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from benchmark import streams

from tracker.clock import now
from tracker.paper.model import PaperExecution, PaperOrder
from tracker.paper.server import PaperGateway

_REPEATED: Final = 200
_CORRECTED: Final = 20
_MOST: Final = 3
"""How many contracts an order has, each filled alone."""
_LATE: Final = 1.0
"""The most seconds of delayed fills that are made at once; after a longer pause the rest is left out."""


class Trader:
    """Trade each alert's contract in turn; an alert's position is never sold out."""

    def __init__(self, gateway: PaperGateway, alerts: int, chance: random.Random) -> None:
        self._gateway = gateway
        self._alerts = alerts
        self._chance = chance
        self._number = 0
        self._working: dict[int, PaperOrder] = {}
        self._held = [0] * alerts
        self._done: list[PaperExecution] = []
        """Executions of finished orders that may be repeated or corrected."""
        self.told = True
        """Whether executions are pushed to clients."""
        self._news: list[tuple[str, str, int, str]] = []

    def trade(self) -> None:
        """Make the next fill."""
        place = self._number % self._alerts
        self._number += 1
        order = self._working.get(place) or self._order(place)
        at = now()
        price = Decimal("2.40") + Decimal(self._number % 20) / 100
        execution = self._gateway.fill(order, 1, price, push=self.told)
        self._held[place] += 1 if order.buys else -1
        self._note(execution, at)
        if order.done:
            del self._working[place]
            self._done.append(execution)

    def _order(self, place: int) -> PaperOrder:
        spare = self._held[place] - 1
        sells = spare > 1 and self._chance.random() < 1 / 3
        quantity = self._chance.randint(1, min(_MOST, spare) if sells else _MOST)
        side = "SELL" if sells else "BUY"
        order = self._gateway.order(
            streams.contract(place), side, quantity, limit="2.60", client_id=0, push=self.told
        )
        self._working[place] = order
        return order

    def _note(self, execution: PaperExecution, at: datetime) -> None:
        signed = int(execution.quantity) * (1 if execution.side == "BOT" else -1)
        self._news.append((execution.exec_id, execution.contract.symbol, signed, at.isoformat()))

    def news(self) -> list[tuple[str, str, int, str]]:
        """Return (execId, symbol, signed quantity, time) of what was executed since the last call."""
        news, self._news = self._news, []
        return news

    def repeat(self) -> None:
        """Push executions of the past once more."""
        for execution in self._chance.sample(self._done, min(_REPEATED, len(self._done))):
            self._gateway.repeat(execution)

    def correct(self) -> None:
        """Correct some executions to one contract more at a higher price."""
        bought = [execution for execution in self._done if execution.side == "BOT"]
        for execution in self._chance.sample(bought, min(_CORRECTED, len(bought))):
            self._done.remove(execution)
            at = now()
            more = execution.quantity + 1
            corrected = self._gateway.correct(execution, more, execution.price + Decimal("0.01"))
            place = corrected.contract.con_id - streams.contract(0).con_id
            self._held[place] += 1
            self._note(corrected, at)


class Market:
    """Hold the gateway and its trader; trade at a pace, and make faults."""

    def __init__(self, rate: float, alerts: int, seed: int) -> None:
        self._pause = 1 / rate
        self._chance = random.Random(seed)
        self.gateway = PaperGateway(accounts=[streams.ACCOUNT], seed=seed, now=now, zone="UTC")
        self.trader = Trader(self.gateway, alerts, self._chance)
        self.open = asyncio.Event()
        self._latest = 0.0
        self._over: list[str] = []
        self._running: set[asyncio.Task[None]] = set()
        self._faults: dict[str, Callable[[float], Awaitable[None]]] = {
            "cut": self._cut,
            "silent": self._silent,
            "upstream": self._upstream,
            "repeats": self._repeats,
            "corrections": self._corrections,
        }

    async def trade(self) -> None:
        """Make fills while the market is open, at times that synchronise with nothing else."""
        loop = asyncio.get_running_loop()
        turn = loop.time()
        while True:
            if not self.open.is_set():
                await self.open.wait()
                turn = loop.time()
            turn += self._pause * self._chance.uniform(0, 2)
            late = loop.time() - turn
            self._latest = max(self._latest, late)
            turn = max(turn, loop.time() - _LATE)
            await asyncio.sleep(max(-late, 0))
            if self.open.is_set():
                self.trader.trade()

    def trade_before(self, fills: int) -> None:
        """Make so many fills at once, which clients get only by requesting the day's executions."""
        self.trader.told = False
        for _ in range(fills):
            self.trader.trade()
        self.trader.told = True

    def begin(self, name: str, seconds: float) -> None:
        """Make one fault, for so long if it has a length."""

        async def live() -> None:
            await self._faults[name](seconds)
            self._over.append(name)

        self._running.add(asyncio.create_task(live()))

    def report(self) -> dict[str, Any]:
        """Return what was executed, and which faults are over, since the last report.

        Raises what a fault raised. `late` is the most seconds by which a fill was made after its turn.
        """
        for task in [task for task in self._running if task.done()]:
            self._running.discard(task)
            task.result()
        over, self._over = self._over, []
        late, self._latest = self._latest, 0.0
        return {"report": self.trader.news(), "over": over, "late": late}

    async def _cut(self, seconds: float) -> None:
        self.gateway.drop_connections(reset=True)
        await self.gateway.stop()
        await asyncio.sleep(seconds)
        await self.gateway.start()

    async def _silent(self, seconds: float) -> None:
        self.gateway.faults.silent = True
        await asyncio.sleep(seconds)
        self.gateway.faults.silent = False

    async def _upstream(self, seconds: float) -> None:
        self.gateway.notice(1100)
        self.trader.told = False
        await asyncio.sleep(seconds)
        self.trader.told = True
        self.gateway.notice(1102)

    async def _repeats(self, seconds: float) -> None:
        self.trader.repeat()

    async def _corrections(self, seconds: float) -> None:
        self.trader.correct()


def say(**answer: Any) -> None:
    """Print one answer."""
    print(json.dumps(answer), flush=True)


async def main(rate: float, alerts: int, seed: int) -> None:
    """Serve until standard input ends."""
    market = Market(rate, alerts, seed)
    async with market.gateway as gateway:
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        trading = asyncio.create_task(market.trade())
        say(port=gateway.port)
        while line := await lines.readline():
            command = json.loads(line)
            if trading.done():
                trading.result()
            if "fault" in command:
                market.begin(command["fault"], command["seconds"])
            elif "report" in command:
                say(**market.report())
            elif "earlier" in command:
                market.trade_before(command["earlier"])
                say(earlier=True)
            elif command["trade"]:
                market.open.set()
            else:
                market.open.clear()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
