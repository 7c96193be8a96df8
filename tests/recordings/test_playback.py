"""`tracker paper --replay` plays a transcript to the real clients, and to the tracker."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.paper.test_conformance import CLIENTS
from tests.recordings.test_data import DATA, part_of
from tests.recordings.test_replay import tracker
from tests.support.daemon_rig import Rig
from tests.support.environments import python_of
from tests.support.paper_clients import raw_client, until
from tests.support.project import PROJECT
from tracker.clock import now
from tracker.recordings.playback import Playback
from tracker.recordings.transcript import Said, read_transcript

FILLS = DATA / "partial_fills_and_sale.jsonl"
SECONDS = 60.0
CLIENT = """
import asyncio, importlib, json, sys
library = importlib.import_module(sys.argv[1])
async def main():
    ib = library.IB()
    await ib.connectAsync("127.0.0.1", int(sys.argv[2]), clientId=5, timeout=10)
    end = asyncio.get_running_loop().time() + 20
    while sum(f.execution.shares for f in ib.fills()) < 20 and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.02)
    fills = sorted((f.execution.side, f.execution.shares) for f in ib.fills())
    await ib.reqPositionsAsync()
    print(json.dumps([ib.managedAccounts(), fills, [float(p.position) for p in ib.positions()]]))
    ib.disconnect()
asyncio.run(main())
"""
OFFICIAL_CLIENT = """
import json, sys
from official_client import client_class, until
client = client_class()()
client.enter(int(sys.argv[2]))
until(lambda: sum(float(values[2].shares) for values in client.of("execDetails")) >= 20)
fills = sorted((values[2].side, float(values[2].shares)) for values in client.of("execDetails"))
client.reqPositions()
until(lambda: client.of("positionEnd"))
accounts = [name for name in client.of("managedAccounts")[0][0].split(",") if name]
print(json.dumps([accounts, fills, [float(values[2]) for values in client.of("position")]]))
client.leave()
"""


@asynccontextmanager
async def playing(path: Path, speed: float) -> AsyncIterator[int]:
    """Run `tracker paper --replay` on a free port; yields the port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tracker", "paper", "--port", "0"),
        *("--replay", str(path), "--speed", str(speed)),
        cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), SECONDS)).decode()
        found = re.search(r"paper gateway on 127\.0\.0\.1:(\d+), playing", line)
        assert found is not None, line
        yield int(found[1])
        process.terminate()
        assert await asyncio.wait_for(process.wait(), SECONDS) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def played(path: Path, speed: float) -> AsyncIterator[Playback]:
    playback = Playback(read_transcript(path), host="127.0.0.1", port=0, speed=speed, now=now)
    await playback.start()
    try:
        yield playback
    finally:
        await playback.stop()


def test_pushes_come_in_recorded_order() -> None:
    """Executions, statuses and fees as the recorded client had them pushed."""
    recorded = [line.fields for line in read_transcript(FILLS).lines if isinstance(line, Said)]
    pushed = [fields for fields in recorded if fields[0] in ("11", "59")]

    async def story() -> None:
        async with played(FILLS, 50) as playback, raw_client(playback, 3) as client:
            assert client.of("15") == [("15", "1", "DU9000001")]
            await asyncio.wait_for(playback.over.wait(), SECONDS)
            await client.settle()
            assert client.of("11", "59") == pushed
            client.send(7, 3, 77, 0, "", "", "", "", "", "")
            await client.until("55")
            answered = [fields for fields in client.of("11") if fields[1] == "77"]
            assert [fields[2:] for fields in answered] == [
                fields[2:] for fields in pushed if fields[0] == "11"
            ]
            client.send(61, 1)
            await client.until("62")
            client.send(16, 1)
            await client.until("53")
            assert client.of("61") == []

    asyncio.run(story())


def test_answer_waits_for_the_recorded_one() -> None:
    """Else positions that the recorded gateway listed a moment later would be missing."""

    async def story() -> None:
        path = DATA / "correction_and_late_fee.jsonl"
        async with played(path, 50) as playback, raw_client(playback, 3) as client:
            client.send(61, 1)
            client.send(99, 0)
            client.send(7, 3, 5, 0, "", "", "", "", "", "")
            await client.until("55")
            await client.until("62")
            await client.until("102")
            await asyncio.wait_for(playback.over.wait(), SECONDS)
            await client.settle()
            assert client.of("61")[-1][14] == "4"

    asyncio.run(story())


def test_orders_and_unknown_requests_are_refused() -> None:
    async def story() -> None:
        async with played(FILLS, 50) as playback, raw_client(playback, 3) as client:
            client.send(3, 11, 265598)
            client.send(4, 1, 12, "")
            client.send(9, 8, 13, 265598)
            client.send(20, 14)
            client.send(62, 1, 15, "All", "NetLiquidation")
            client.send(6, 2, 1, "")
            await client.until("64")
            await client.until("54")
            found = {fields[2]: fields[3] for fields in client.of("4") if fields[2] != "-1"}
            assert found == {"11": "201", "12": "399", "13": "200", "14": "162"}

    asyncio.run(story())


def test_other_versions_are_cut_off() -> None:
    """The layouts of a recording are those of its version."""

    async def story() -> None:
        async with played(FILLS, 50) as playback, raw_client(playback, None, "v157..165") as client:
            client.send(71, 2, 3, "")
            await until(lambda: client.closed, "the end of the link")

    asyncio.run(story())


def test_lost_link_is_played_too() -> None:
    """What the gateway closed is closed, and the next login sees what came meanwhile."""

    async def story() -> None:
        async with played(DATA / "fill_during_lost_link.jsonl", 20) as playback:
            async with raw_client(playback, 3) as client:
                await until(lambda: client.closed, "the end of the link")
            async with raw_client(playback, 3) as client:
                await asyncio.wait_for(playback.over.wait(), SECONDS)
                client.send(7, 3, 5, 0, "DU9000001", "", "", "", "", "")
                await client.until("55")
                assert [fields[19] for fields in client.of("11")] == ["3"]

    asyncio.run(story())


@pytest.mark.parametrize("library", ["ib_insync", "ib_async", "ibapi"])
def test_client_library_sees_recorded_fills(library: str) -> None:
    async def story() -> Any:
        program = OFFICIAL_CLIENT if library == "ibapi" else CLIENT
        python = await asyncio.to_thread(python_of, library)
        async with playing(FILLS, 2) as port:
            process = await asyncio.create_subprocess_exec(
                str(python), "-c", program, library, str(port), env={"PYTHONPATH": str(CLIENTS)},
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            output, complaints = await asyncio.wait_for(process.communicate(), SECONDS)
            assert process.returncode == 0, complaints.decode()
            return json.loads(output)

    accounts, fills, positions = asyncio.run(story())
    assert accounts == ["DU9000001"]
    assert fills == [["BOT", 4], ["BOT", 6], ["SLD", 10]]
    assert positions == []


def test_tracker_sees_the_recorded_day(tmp_path: Path) -> None:
    """The real daemon beside a playback writes what is expected of the recording."""
    written = json.loads((DATA / "partial_fills_and_sale.json").read_text("utf-8"))

    async def story() -> dict[str, Any]:
        rig = Rig(tmp_path)
        rig.write(written["alerts"])
        async with playing(FILLS, 3) as port, rig:
            rig.options = ["--gateway.port", str(port)]
            await rig.start()
            await rig.until(lambda: (rig.read().get("last_order_update") or {}).get("realized_pnl"))
            assert await rig.stop() == 0
            return rig.read()

    shown = asyncio.run(story())
    expected = written["shows"]["robindahood-alerts/NVDA"]
    assert part_of(shown, expected) == expected


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--replay", str(FILLS), "--rest"), "--rest cannot be used"),
        (("--speed", "2"), "--speed without it cannot be used"),
        (("--replay", str(FILLS), "--speed", "0"), "--speed 0 is not above 0"),
        (("--replay", "absent.jsonl"), "absent.jsonl cannot be read"),
    ],
)
def test_playback_options_are_checked(tmp_path: Path, flags: tuple[str, ...], complaint: str) -> None:
    assert complaint in tracker(tmp_path, "paper", "--port", "0", *flags, code=2)
