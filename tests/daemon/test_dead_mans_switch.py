"""The real daemon calls `notify.heartbeat_url` while capture is proven, and at no other time."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.daemon_rig import Rig, record
from tests.support.quick_heartbeat import Monitor
from tracker.daemon.status_report import unproven_capture
from tracker.gateway.link import LinkPhase, LinkState
from tracker.pipeline.pump import Pump

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
SILENCE = 0.6
"""Seconds in which six calls would have come."""


async def start(rig: Rig, monitor: Monitor, **environment: str) -> None:
    rig.write({ROBIN: {"NVDA": record()}})
    await rig.start(
        *("--notify.heartbeat_url", monitor.url, "--gateway.probe_seconds", "0.5"),
        *("--gateway.request_timeout", "1"),
        module="tests.support.quick_heartbeat",
        env=environment,
    )


async def silent(monitor: Monitor) -> bool:
    """Return whether no call comes any more; one that was under way may."""
    await asyncio.sleep(0.2)
    before = len(monitor.calls)
    await asyncio.sleep(SILENCE)  # To see that nothing comes, there is no condition to wait for.
    return len(monitor.calls) == before


async def withheld(rig: Rig, words: str) -> bool:
    return words in (await rig.status_of("heartbeat", "withheld") or "")


def test_calls_end_with_each_fault(tmp_path: Path) -> None:
    """An unreadable store, a sweep cut short, a half-open link."""

    async def breaks(rig: Rig, reason: str) -> None:
        await rig.until(lambda: withheld(rig, reason))
        assert await silent(monitor)

    async def heals(rig: Rig) -> None:
        before = len(monitor.calls)
        await rig.until(lambda: len(monitor.calls) > before)

    async def story(rig: Rig) -> None:
        await start(rig, monitor)
        await heals(rig)
        whole = rig.alerts_path.read_text()
        rig.alerts_path.write_text("{")
        await breaks(rig, "read")
        rig.alerts_path.write_text(whole)
        await heals(rig)
        rig.gateway.faults.withhold_exec_end = True
        await breaks(rig, "cut short")
        rig.gateway.faults.withhold_exec_end = False
        await heals(rig)
        rig.gateway.faults.silent = True
        await breaks(rig, "link")

    with Monitor() as monitor:
        play(tmp_path, story)


def test_kill_ends_the_calls(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await start(rig, monitor)
        await rig.until(lambda: len(monitor.calls) >= 3)
        await rig.stop(signal.SIGKILL)
        assert await silent(monitor)

    with Monitor() as monitor:
        play(tmp_path, story)


def test_full_disk_withholds_the_calls(tmp_path: Path) -> None:
    """No room for a fill: not called, said in status and log; the secret is in neither."""

    async def story(rig: Rig) -> None:
        await start(rig, monitor, LEAST_ROOM=str(1 << 62))
        await rig.until(lambda: withheld(rig, f"the disk of {tmp_path} is full"))
        await rig.logged("notify.heartbeat_url is not called: the disk of")
        assert "sesame" not in rig.log()
        assert monitor.calls == []

    with Monitor() as monitor:
        play(tmp_path, story)


class QuietPump:
    """Stand for a pump without trouble."""

    away: dict[str, Any] = {}  # noqa: RUF012 (nothing is ever put into it)


def test_proof_ends_in_time() -> None:
    """Two minutes after the last message at most, which leaves a minute for the call before."""
    link = LinkState(LinkPhase.UP, NOON, "connected", subscribed=True, last_frame_at=NOON, last_sweep_at=NOON)

    def reason(link: LinkState, **later: float) -> str:
        return unproven_capture(cast(Pump, QuietPump()), link, NOON + timedelta(**later))

    assert reason(link, seconds=119) == ""
    assert reason(link, seconds=121) == "the gateway has sent nothing for some minutes"
    assert reason(replace(link, last_sweep_at=None)) == "the day's executions are not fetched yet"
    assert "link waiting: gone" in reason(
        replace(link, state=LinkPhase.WAITING, reason="gone", subscribed=False)
    )
