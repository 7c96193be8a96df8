"""Crash safety of the real daemon: killed at every commit point, at random instants, and with full disks."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.daemon_rig import CALL, Rig, record, records_of
from tests.support.doomed import DEATHS
from tests.support.seeds import fresh_seed
from tracker.paper.contracts import option


@pytest.mark.parametrize("fate", DEATHS)
def test_kill_at_commit_point_opens_once(tmp_path: Path, fate: str) -> None:
    """The daemon dies there while the fill passes; the next start makes it whole."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start(module="tests.support.doomed", env={"DOOM": fate})
        order = rig.gateway.order(CALL, "BUY", 10, limit="2.51")
        rig.gateway.fill(order, 4)
        assert await rig.ended() == -signal.SIGKILL
        json.loads(rig.alerts_path.read_text())
        await rig.start()
        await rig.until(lambda: rig.read()["open"])
        await rig.idle()
        assert rig.read()["last_order_update"]["filled_qty"] == 4
        assert rig.read()["position"]["quantity"] == 4
        rig.gateway.fill(order, 6)
        await rig.until(lambda: rig.read()["position"]["quantity"] == 10)
        # Ended well, or the rig would kill it while it writes the fee, which leaves a file behind.
        assert await rig.stop() == 0

    play(tmp_path, story)
    beside = [path.name for path in tmp_path.glob("*alerts.json*")]
    assert sorted(beside) == ["alerts.json", "alerts.json.lock", "alerts.json.tracker-backup"]


@pytest.mark.parametrize("fate", ["journal_full", "commit_fails", "alerts_full"])
def test_full_disk_leaves_nothing_half_done(tmp_path: Path, fate: str) -> None:
    """Exit code 5 and a reason; the file is as it was; with room again the next start makes it whole."""

    async def story(rig: Rig) -> None:
        text = rig.write({ROBIN: {"NVDA": record()}})
        await rig.start(module="tests.support.doomed", env={"DOOM": fate})
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 4, limit="2.51"))
        assert await rig.ended() == 5
        assert "start the tracker again" in rig.log()
        assert rig.alerts_path.read_text() == text
        await rig.start()
        await rig.until(lambda: rig.read()["open"])
        await rig.idle()
        assert rig.read()["last_order_update"]["filled_qty"] == 4

    play(tmp_path, story)


KILLS = 50
ALERTS = 8
FAST = 0.02
"""The longest pause between two orders, in seconds, while a life may end at any moment."""
SLOW = 0.3
"""The same while the next life begins: however slow the machine, the day stays of a size."""


@pytest.mark.usefixtures("unmeasured")
def test_fifty_random_kills_under_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fills come all the time, in partials, with corrections; nothing is lost and nothing doubled."""
    chance = random.Random(fresh_seed("crash", "CRASH_SEED", capsys))
    contracts = [option(f"SYM{n}", "20301220", "C", "100", con_id=700200000 + n) for n in range(ALERTS)]
    truth = [Decimal(0)] * ALERTS
    pace = SLOW

    async def trade(rig: Rig, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await asyncio.sleep(chance.uniform(0, pace))
            which = chance.randrange(ALERTS)
            quantity = chance.randint(1, 9)
            order = rig.gateway.order(contracts[which], "BUY", quantity, limit="2")
            execution = rig.gateway.fill(order, push=chance.random() < 0.8)
            truth[which] += quantity
            if chance.random() < 0.1:
                corrected = chance.randint(1, 9)
                rig.gateway.correct(execution, quantity=corrected)
                truth[which] += corrected - quantity
            if chance.random() < 0.2:
                rig.gateway.repeat(execution)

    async def story(rig: Rig) -> None:
        alerts: dict[str, Any] = records_of(contracts)
        rig.write({ROBIN: alerts})
        stop = asyncio.Event()
        trading = asyncio.create_task(trade(rig, stop))
        nonlocal pace
        for _ in range(KILLS):
            await rig.start(ready=chance.random() < 0.7)
            pace = FAST
            await asyncio.sleep(chance.uniform(0, 0.3))
            await rig.stop(signal.SIGKILL)
            pace = SLOW
            json.loads(rig.alerts_path.read_text())
        stop.set()
        await trading
        await rig.start()
        await rig.idle()

        def shown(which: int) -> object:
            return rig.read(ticker=contracts[which].symbol)["position"]["quantity"]

        assert [shown(which) for which in range(ALERTS)] == [int(quantity) for quantity in truth]

    play(tmp_path, story)
