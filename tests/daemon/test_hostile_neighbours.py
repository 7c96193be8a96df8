"""Other users of the machine abuse the real daemon's socket; fills, the token's holder and a stop go on."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.abusive_clients import KINDS
from tests.support.cpu_waits import CpuWaits
from tests.support.daemon_rig import STOP_SECONDS, Rig, records_of
from tests.support.project import PROJECT
from tracker.paper.contracts import option
from tracker.status.client import ask as ask_socket

FILLS = 200
ALL_FILLS = 500
"""Beside all kinds at once."""
ALERTS = 10
ANSWER_SECONDS = 1.0


def token_of(rig: Rig) -> str:
    return (rig.folder / "status.token").read_text().strip()


async def status_of_holder(rig: Rig) -> float:
    """Ask for status with the token; returns the seconds that it took.

    Those in which the daemon, or who asks, only waited for a processor are left out: other tests may run.
    """
    loop = asyncio.get_running_loop()
    assert rig.process is not None
    waits = [CpuWaits(pid) for pid in (rig.process.pid, os.getpid())]
    begun = loop.time()
    request = {"command": "status", "token": token_of(rig)}
    answer = await asyncio.to_thread(ask_socket, "127.0.0.1", rig.status_port, request, 30.0)
    assert answer["ok"], answer
    return loop.time() - begun - sum(each.seconds() for each in waits)


@asynccontextmanager
async def under_abuse(rig: Rig, *kinds: str) -> AsyncIterator[None]:
    """Keep 50 abusive clients of each kind at the socket, in a process of their own."""
    command = ("-m", "tests.support.abusive_clients", str(rig.status_port), *kinds)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=PROJECT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b'{"begun": true}\n'
        yield
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("kind", [*KINDS, "all"])
def test_fills_and_status_pass_abusive_clients(tmp_path: Path, kind: str) -> None:
    """Fills beside 50 clients of each kind: all are applied, and status answers within 1 s throughout."""
    contracts = [option(f"SYM{n}", "20301220", "C", "100", con_id=700200000 + n) for n in range(ALERTS)]
    kinds, fills = (list(KINDS), ALL_FILLS) if kind == "all" else ([kind], FILLS)

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: records_of(contracts)})
        await rig.start()
        took: list[float] = []
        async with under_abuse(rig, *kinds):
            for number in range(fills):
                rig.gateway.fill(rig.gateway.order(contracts[number % ALERTS], "BUY", 1, limit="2"))
                await asyncio.sleep(0.005)
                if number % 20 == 19:
                    took.append(await status_of_holder(rig))

            def applied() -> bool:
                shown = [rig.read(ticker=contract.symbol).get("position") for contract in contracts]
                return all(position and position["quantity"] == fills // ALERTS for position in shown)

            await rig.until(applied)
            took.append(await status_of_holder(rig))
        assert max(took) < ANSWER_SECONDS, took

    play(tmp_path, story)


def test_stop_is_quick_under_abuse(tmp_path: Path) -> None:
    """A stop ends within 5 s whatever questions are under way."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {}})
        await rig.start()
        async with under_abuse(rig, *KINDS):
            await asyncio.sleep(1)
            assert await rig.seconds_to_stop() < STOP_SECONDS

    play(tmp_path, story)
