"""One order program, written for each of the three clients, runs to its end on `tracker paper`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.paper.test_conformance import CLIENTS, RUN_SECONDS, tracker_paper
from tests.support.environments import python_of
from tests.support.project import PROJECT

EXPECTED = {
    # The parent rests below the market, its children wait for its fill.
    "bracket waits": ["Submitted", "PreSubmitted", "PreSubmitted"],
    # Each fills at the price that reached it; limit orders in two pieces, as without --partials.
    "bracket": [[["STK", 50.0, 150.0]] * 2, [["STK", 50.0, 155.5]] * 2, []],
    "group": [[], [["STK", 2.0, 152.0], ["STK", 1.0, 152.0]]],
    # Two below the highest price, 156, is 154.
    "trail": ["trigger", [["STK", 3.0, 154.0]]],
    # The combo's own line, the call bought and the put sold.
    "combo": [["BAG", "BOT", 2.0], ["OPT", "BOT", 2.0], ["OPT", "SLD", 2.0]],
    "partial": ["Submitted", 4.0, 6.0],
    "replaced": [[["OPT", 4.0, 2.5]], [["OPT", 3.0, 3.0]] * 2],
    # Half of the value at the last price, 154; a commission of 1.00 up to 200 shares.
    "what if": [1.0, 7700.0],
    # 100 bought and sold, 3 bought and sold; 2 + 4 + 6 calls, 2 puts sold.
    "positions": {"NVDA  301220C00122500": 12.0, "NVDA  301220P00122500": -2.0},
    "open orders": 0,
}


PROGRAMS = pytest.mark.parametrize(
    ("program", "library"),
    [
        ("order_program.py", "ib_insync"),
        ("order_program.py", "ib_async"),
        ("official_order_program.py", "ibapi"),
    ],
    ids=("ib_insync", "ib_async", "ibapi"),
)


async def drive(program: str, library: str, port: int, control_port: int) -> Any:
    """Run the program in the library's environment; returns what it reports."""
    python = await asyncio.to_thread(python_of, library)
    process = await asyncio.create_subprocess_exec(
        str(python), str(CLIENTS / program), library, str(port), str(control_port),
        cwd=PROJECT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, complaints = await asyncio.wait_for(process.communicate(), RUN_SECONDS)
    assert process.returncode == 0, complaints.decode()
    assert b"Error handling fields" not in complaints, complaints.decode()
    return json.loads(output.splitlines()[-1])


async def run(program: str, library: str) -> Any:
    async with tracker_paper() as gateway:
        return await drive(program, library, gateway.port, gateway.control_port)


@PROGRAMS
def test_order_program_runs_to_its_end(program: str, library: str) -> None:
    """Bracket, group, trailing stop, combo by conIds, partial fills, cancel and replace, and whatIf."""
    assert asyncio.run(run(program, library)) == EXPECTED
