"""What is unconfirmed is settled by another answer for positions, sooner than the next regular one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from tests.support.daemon_rig import CALL, Rig, record
from tests.support.reconcile_rig import ACCOUNT, buy, play
from tracker.clock import now
from tracker.core.model import AlertId, Contract
from tracker.core.state import ALERTS, HOLDINGS, MemoryLedgerState
from tracker.core.state_rows import AlertState, Baseline, Holding
from tracker.daemon.position_recheck import recheck_positions
from tracker.paper.encode_messages import position


def test_early_fills_end_at_broker_holdings(tmp_path: Path) -> None:
    """4 bought long ago and 2 sold just now: the first answer leaves open whether it contains the sale."""

    async def story(rig: Rig) -> None:
        rig.write({"robindahood-alerts": {"NVDA": record()}})
        buy(rig, CALL, 4, ago=10)
        rig.gateway.execute(CALL, "SELL", 2, "3.10")
        await rig.start()
        await rig.until(lambda: rig.read()["open"] and rig.read()["position"]["quantity"] == 2, seconds=20)

    play(tmp_path, story)


def test_later_answer_closes_sold_alert(tmp_path: Path) -> None:
    """The position is reported in the second of the sale, and the sale itself only by the next sweep."""

    async def story(rig: Rig) -> None:
        rig.write({"robindahood-alerts": {"NVDA": record()}})
        await rig.start()
        order = rig.gateway.order(CALL, "BUY", 4, limit="2.5")
        rig.gateway.fill(order)
        await rig.until(lambda: rig.read()["open"])
        held = position(rig.gateway.book.position(ACCOUNT, CALL))
        rig.gateway.execute(CALL, "SELL", 4, "3.10", push=False, time=now() - timedelta(seconds=1))
        rig.gateway.push_raw(*held)
        await rig.until(lambda: rig.read()["position"]["quantity"] == 0)
        await rig.until(lambda: not rig.read()["open"], seconds=20)

    play(tmp_path, story)


def test_uncertain_close_asks_for_positions() -> None:
    """It asks for an alert whose end is unconfirmed."""
    state = MemoryLedgerState()
    alert = AlertId("robindahood-alerts", "NVDA", "2025-11-18T15:42:07", 5)
    state.put(ALERTS, AlertState(alert, unconfirmed=True))

    async def asked() -> str:
        reasons: asyncio.Queue[str] = asyncio.Queue()
        task = asyncio.create_task(recheck_positions(state, reasons.put_nowait, first=0.01))
        async with asyncio.timeout(60):
            reason = await reasons.get()
        task.cancel()
        return reason

    assert "(1 alerts)" in asyncio.run(asked())


def test_old_doubt_delays_no_new_one() -> None:
    """A flat account's answers list nothing, so what was held at first stays unconfirmed; then a sale ends
    an alert, which is asked about as soon as if there were nothing else.
    """
    state = MemoryLedgerState()
    contract = Contract(5, "NVDA", "OPT")
    state.put(HOLDINGS, Holding("DU1", contract, Decimal(0), Decimal(0), Baseline.UNCONFIRMED))

    async def asked() -> str:
        reasons: asyncio.Queue[str] = asyncio.Queue()
        task = asyncio.create_task(recheck_positions(state, reasons.put_nowait, first=0.02, most=86400))
        async with asyncio.timeout(60):
            for _ in range(7):
                assert "(0 alerts)" in await reasons.get()
            # The next time is more than 2 s away.
            alert = AlertId("robindahood-alerts", "NVDA", "2025-11-18T15:42:07", 5)
            began = asyncio.get_running_loop().time()
            state.put(ALERTS, AlertState(alert, unconfirmed=True))
            reason = await reasons.get()
            took = asyncio.get_running_loop().time() - began
        task.cancel()
        assert took < 1
        return reason

    assert "(1 alerts)" in asyncio.run(asked())


def test_asking_slows_while_doubt_lasts() -> None:
    """It asks while something is unconfirmed, and ever more rarely."""
    state = MemoryLedgerState()
    times: list[float] = []

    async def asked(count: int) -> None:
        loop = asyncio.get_running_loop()

        def ask(reason: str) -> None:
            assert "(1 contracts)" in reason
            times.append(loop.time())
            if len(times) == count:
                task.cancel()

        task = asyncio.create_task(recheck_positions(state, ask, first=0.02, most=0.08))
        with suppress(asyncio.CancelledError):
            async with asyncio.timeout(60):
                await task

    contract = Contract(5, "NVDA", "OPT")
    state.put(HOLDINGS, Holding("DU1", contract, Decimal(0), Decimal(2), Baseline.UNCONFIRMED))
    asyncio.run(asked(4))
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[0] >= 0.04
    assert min(pauses[1:]) >= 0.08


def test_certain_state_asks_nothing() -> None:
    """It leaves the broker alone where nothing is unconfirmed."""
    state = MemoryLedgerState()
    contract = Contract(5, "NVDA", "OPT")
    state.put(HOLDINGS, Holding("DU1", contract, Decimal(0), Decimal(2), Baseline.SNAPSHOT))
    asked: list[str] = []

    async def wait() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await recheck_positions(state, asked.append, first=0.01)

    asyncio.run(wait())
    assert asked == []
