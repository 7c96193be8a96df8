"""A gateway that sends what no gateway sends stops no fill behind it."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.daemon_rig import CALL, Rig, record

TIMES = ("--gateway.request_timeout", "1", "--gateway.probe_seconds", "1")


async def _ready(rig: Rig) -> bool:
    return bool((await rig.ask("ready"))["ready"])


def test_swallowed_fill_reaches_its_alert(tmp_path: Path) -> None:
    """A message of 8 MiB is announced and never comes; the fill that vanished in it is fetched again."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start(*TIMES)
        rig.gateway.push_bytes(struct.pack(">I", 8 << 20))
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 3, limit="2"))
        await rig.until(lambda: rig.read().get("position", {}).get("quantity") == 3)
        assert "was not whole after 1 s" in rig.log()

    play(tmp_path, story)


def test_sweeps_without_end_are_not_ready(tmp_path: Path) -> None:
    """Fills that are pushed still count, and `ready` says what is wrong until a sweep ends again."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start(*TIMES)
        await rig.until(lambda: _ready(rig))
        rig.gateway.faults.withhold_exec_end = True

        async def told() -> bool:
            answer = await rig.ask("ready")
            return not answer["ready"] and "was cut short" in answer["reasons"][0]

        await rig.until(told)
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 3, limit="2"))
        await rig.until(lambda: rig.read().get("position", {}).get("quantity") == 3)
        rig.gateway.faults.withhold_exec_end = False
        await rig.until(lambda: _ready(rig))

    play(tmp_path, story)


def test_empty_frames_leave_no_log(tmp_path: Path) -> None:
    """200,000 of them cost neither the fill behind them nor the log."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start(*TIMES)
        before = len(rig.log())
        rig.gateway.push_bytes(bytes(4) * 200_000)
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 3, limit="2"))
        await rig.until(lambda: rig.read().get("position", {}).get("quantity") == 3, seconds=10)
        assert len(rig.log()) - before < 2_000

    play(tmp_path, story)
