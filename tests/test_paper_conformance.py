"""Three independent clients trade on the paper gateway, each in an environment of its own."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.paper.environments import PROJECT, python_of
from tests.paper_clients import NVDA, make_gateway, until
from tracker.paper.desk import FillPolicy
from tracker.paper.server import PaperGateway

CLIENTS = Path(__file__).parent / "paper" / "clients"
RUN_SECONDS = 120


async def referee(gateway: PaperGateway) -> None:
    """Fill four contracts once the order was changed to 12 at 2.75."""

    def changed() -> bool:
        return any(order.limit == Decimal("2.75") for order in gateway.book.open_orders())

    loop = asyncio.get_running_loop()
    end = loop.time() + RUN_SECONDS
    while not changed():
        assert loop.time() < end, "the client never changed its order"
        await asyncio.sleep(0.005)
    (order,) = gateway.book.open_orders()
    assert order.quantity == 12
    gateway.fill(order, 4)


async def drive(program: str, library: str) -> dict[str, Any]:
    python = await asyncio.to_thread(python_of, library)
    async with make_gateway(fills=FillPolicy(rest=True)) as gateway:
        gateway.book.learn(NVDA)
        filling = asyncio.create_task(referee(gateway))
        process = await asyncio.create_subprocess_exec(
            str(python), str(CLIENTS / program), library, str(gateway.port),
            cwd=PROJECT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            output, complaints = await asyncio.wait_for(process.communicate(), RUN_SECONDS)
        finally:
            filling.cancel()
        assert process.returncode == 0, complaints.decode()
        assert b"Error handling fields" not in complaints, complaints.decode()
        await until(lambda: not gateway.clients)
        assert set(gateway.floor.refused) <= {"71"}, "only a reconnect that came too early may be refused"
        seen: dict[str, Any] = json.loads(output.splitlines()[-1])
        return seen


@pytest.mark.parametrize(
    ("program", "library", "version", "time"),
    [
        ("asyncio_client.py", "ib_insync", 176, "2025-11-18 17:00:00+00:00"),
        ("asyncio_client.py", "ib_async", 178, "2025-11-18 17:00:00+00:00"),
        ("official_client.py", "ibapi", 178, "20251118 12:00:00 US/Eastern"),
    ],
)
def test_a_client_places_changes_fills_cancels_asks_and_reconnects(
    program: str, library: str, version: int, time: str
) -> None:
    seen = asyncio.run(drive(program, library))
    assert seen == {
        "version": version,
        "accounts": ["DU1234567"],
        "contract": [700100200, "NVDA  251121C00122500"],
        "placed": "Submitted",
        "partial": ["Submitted", 4.0, 8.0],
        "execution": [4.0, 2.75],
        "commission": 2.6,
        "executions": [[4.0, "conformance", time]],
        "completed": [["Cancelled", True]],
        "positions": [[700100200, 4.0]],
        "after reconnect": [1, 0, 1],
        "next order id grew": True,
    }
