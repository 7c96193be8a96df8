"""A consumer of events that continues after the last one it saw, across kills of the daemon."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.daemon_rig import CALL, Rig, record

KILLS = int(os.environ.get("KILLS", "4"))


class Consumer:
    """Follow the daemon as a program does that works off each event, then notes its number."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.after = 0
        self.seen: list[dict[str, Any]] = []
        self.connections = 0

    def fills(self) -> set[str]:
        return {event["exec_id"] for event in self.seen if event.get("event") == "fill"}

    async def run(self) -> None:
        """Follow for ever; the daemon may go at any moment."""
        while True:
            try:
                await self._follow()
            except (ConnectionError, json.JSONDecodeError):
                await asyncio.sleep(0.05)

    async def _follow(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._rig.status_port)
        try:
            writer.write(json.dumps({"command": "subscribe", "after": self.after}).encode() + b"\n")
            self.connections += 1
            while line := await reader.readline():
                event = json.loads(line)
                if "seq" in event:
                    self.seen.append(event)
                    # Of two events only the second one's number is noted, so some come again.
                    if len(self.seen) % 2 == 0:
                        self.after = event["seq"]
        finally:
            writer.close()


def test_consumer_sees_each_event(tmp_path: Path) -> None:
    """Once or twice, never not at all; what comes again has the number it had."""
    executions: list[str] = []

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        consumer = Consumer(rig)
        following = asyncio.create_task(consumer.run())
        await rig.until(lambda: consumer.connections)
        chance = random.Random(11)

        async def trade() -> None:
            for _ in range(10):
                fill = rig.gateway.fill(rig.gateway.order(CALL, "BUY", 1, limit="2"))
                executions.append(fill.exec_id)
                await asyncio.sleep(0.02)

        for _ in range(KILLS):
            trading = asyncio.create_task(trade())
            await asyncio.sleep(chance.uniform(0.01, 0.25))  # At a moment that nobody chose.
            await rig.stop(signal.SIGKILL)
            await trading
            await rig.start()
        await rig.until(lambda: consumer.fills() == set(executions))
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        check(consumer.seen, executions)

    play(tmp_path, story)


def check(seen: list[dict[str, Any]], executions: list[str]) -> None:
    assert len(executions) > KILLS
    by_number: dict[int, dict[str, Any]] = {}
    for event in seen:
        assert by_number.setdefault(event["seq"], event) == event, "a number stands for one event"
    assert max(Counter(event["seq"] for event in seen).values()) <= 2
    fills = Counter(event["exec_id"] for event in by_number.values() if event["event"] == "fill")
    assert fills == Counter(executions), "each fill is one event"
    (opened,) = [event for event in by_number.values() if event["event"] == "opened"]
    assert opened["alert"] == "robindahood-alerts/NVDA"
