"""Three independent clients trade on `tracker paper`, each in an environment of its own."""

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

from tests.support.environments import python_of
from tests.support.paper_clients import hello
from tests.support.project import PROJECT
from tracker.paper.contracts import option

CLIENTS = PROJECT / "tests" / "paper" / "clients"
RUN_SECONDS = 120
CONTRACT = option("NVDA", "20301220", "C", "122.5")
UTC_TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00"
LOGIN_TIME = r"\d{8} \d\d:\d\d:\d\d US/Eastern"


class Served:
    """Hold the ports of a paper gateway that runs as a process of its own."""

    def __init__(self, port: int, control_port: int) -> None:
        self.port = port
        self.control_port = control_port

    async def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Ask the control socket."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.control_port)
        try:
            writer.write(json.dumps(command).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await reader.readline())
            return answer
        finally:
            writer.close()


@asynccontextmanager
async def tracker_paper(stderr: int | None = None) -> AsyncIterator[Served]:
    """Run `tracker paper` on free ports, with limit orders resting; `stderr` is where its log goes."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tracker", "paper", "--port", "0", "--control-port", "0", "--rest"),
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
    )
    assert process.stdout is not None
    try:
        ports = []
        for start in ("paper gateway on", "control socket on"):
            line = (await asyncio.wait_for(process.stdout.readline(), RUN_SECONDS)).decode()
            found = re.search(rf"{start} 127\.0\.0\.1:(\d+)", line)
            assert found is not None, line
            ports.append(int(found[1]))
        yield Served(*ports)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), RUN_SECONDS) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def referee(gateway: Served) -> None:
    """Fill four contracts once the order was changed to 12 at 2.75."""
    loop = asyncio.get_running_loop()
    end = loop.time() + RUN_SECONDS
    while loop.time() < end:
        orders = (await gateway.ask({"do": "orders"}))["orders"]
        changed = [order for order in orders if (order["limit"], order["quantity"]) == ("2.75", "12")]
        if changed:
            assert (await gateway.ask({"do": "fill", "order": changed[0]["perm_id"], "quantity": 4}))["ok"]
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the client never changed its order")


async def drive(program: str, library: str) -> dict[str, Any]:
    python = await asyncio.to_thread(python_of, library)
    async with tracker_paper() as gateway:
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
        seen: dict[str, Any] = json.loads(output.splitlines()[-1])
        return seen


@pytest.mark.parametrize(
    ("program", "library", "version", "time"),
    [
        ("asyncio_client.py", "ib_insync", 176, UTC_TIME),
        ("asyncio_client.py", "ib_async", 178, UTC_TIME),
        ("official_client.py", "ibapi", 178, LOGIN_TIME),
    ],
    ids=("ib_insync", "ib_async", "ibapi"),
)
def test_conformance_of_each_client(program: str, library: str, version: int, time: str) -> None:
    """A client places changes fills cancels asks and reconnects."""
    seen = asyncio.run(drive(program, library))
    assert re.fullmatch(time, seen["executions"][0].pop())
    assert seen == {
        "version": version,
        "accounts": ["DU1234567"],
        "contract": [CONTRACT.con_id, "NVDA  301220C00122500"],
        "placed": "Submitted",
        "partial": ["Submitted", 4.0, 8.0],
        "execution": [4.0, 2.75],
        "commission": 2.6,
        "executions": [[4.0, "conformance"]],
        "completed": [["Cancelled", True]],
        "positions": [[CONTRACT.con_id, 4.0]],
        "after reconnect": [1, 0, 1],
        "next order id grew": True,
    }


def test_newer_client_is_told_why(tmp_path: Path) -> None:
    """One that speaks protobuf only is cut off, and the log says so."""
    log = tmp_path / "log"

    async def run() -> None:
        with log.open("wb") as file:
            async with tracker_paper(file.fileno()) as gateway:
                reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
                writer.write(hello("v201..226"))
                assert await asyncio.wait_for(reader.read(), RUN_SECONDS) == b""
                writer.close()

    asyncio.run(run())
    assert log.read_text("utf-8") == (
        "paper gateway: a client was cut off: the client speaks server versions 201 to 226,"
        " this gateway 157 to 178: use an older version of the client library"
        " (from 201 on the protocol is another one, protobuf)\n"
    )
