"""Other users of the machine abuse the real daemon's socket; fills, the token's holder and a stop go on."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.daemon_rig import Rig, records_of
from tracker.paper.contracts import option
from tracker.status.client import ask as ask_socket

CLIENTS = 50
FILLS = 200
ALERTS = 10
ANSWER_SECONDS = 1.0
STOP_SECONDS = 5.0

KINDS = {
    "idle": b"",
    "unread followers": b"subscribe\n",
    "slow readers": b"fills\n" * 2000,
    "slashes": json.dumps({"command": "why", "of": "a/" * 7000}).encode() + b"\n",
    "floods": b"ping\n" * 5000,
}
"""What each kind of abusive client sends; none of them ever reads."""


def abusive(port: int, said: bytes) -> socket.socket:
    """Connect, send what fits, and read nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    with suppress(BlockingIOError):
        client.connect(("127.0.0.1", port))
    with suppress(OSError):
        client.send(said)
    return client


async def abuse(port: int, said: bytes) -> None:
    """Be one abusive client, and come back whenever the daemon has ended the connection."""
    loop = asyncio.get_running_loop()
    while True:
        with closing(abusive(port, b"")) as client, suppress(OSError):
            async with asyncio.timeout(5):
                await loop.sock_connect(client, ("127.0.0.1", port))
            # Until the daemon closes: what it answers stays unread, so only a reset ends this.
            sending = said or b" "
            while True:
                await loop.sock_sendall(client, sending)
                await asyncio.sleep(0.5)
        await asyncio.sleep(0.05)


def token_of(rig: Rig) -> str:
    return (rig.folder / "status.token").read_text().strip()


async def status_of_holder(rig: Rig) -> float:
    """Ask for status with the token; returns the seconds that it took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    request = {"command": "status", "token": token_of(rig)}
    answer = await asyncio.to_thread(ask_socket, "127.0.0.1", rig.status_port, request, 10.0)
    assert answer["ok"], answer
    return loop.time() - begun


@asynccontextmanager
async def under_abuse(rig: Rig, kinds: Iterator[bytes]) -> AsyncIterator[None]:
    """Keep CLIENTS abusive clients of each kind at the socket."""
    tasks = [asyncio.create_task(abuse(rig.status_port, said)) for said in kinds for _ in range(CLIENTS)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("kind", [*KINDS, "all"])
def test_fills_and_status_pass_abusive_clients(tmp_path: Path, kind: str) -> None:
    """200 fills beside 50 clients of each kind: all are applied, and status answers within 1 s."""
    contracts = [option(f"SYM{n}", "20301220", "C", "100", con_id=700200000 + n) for n in range(ALERTS)]
    said = list(KINDS.values()) if kind == "all" else [KINDS[kind]]

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: records_of(contracts)})
        await rig.start()
        took: list[float] = []
        async with under_abuse(rig, iter(said)):
            for number in range(FILLS):
                rig.gateway.fill(rig.gateway.order(contracts[number % ALERTS], "BUY", 1, limit="2"))
                await asyncio.sleep(0.005)
                if number % 20 == 19:
                    took.append(await status_of_holder(rig))

            def applied() -> bool:
                shown = [rig.read(ticker=contract.symbol).get("position") for contract in contracts]
                return all(position and position["quantity"] == FILLS // ALERTS for position in shown)

            await rig.until(applied)
            took.append(await status_of_holder(rig))
        assert max(took) < ANSWER_SECONDS, took

    play(tmp_path, story)


def test_stop_is_quick_under_abuse(tmp_path: Path) -> None:
    """A stop ends within 5 s whatever questions are under way."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {}})
        await rig.start()
        loop = asyncio.get_running_loop()
        async with under_abuse(rig, iter(KINDS.values())):
            await asyncio.sleep(1)
            begun = loop.time()
            assert await rig.stop(signal.SIGTERM) == 0
            assert loop.time() - begun < STOP_SECONDS

    play(tmp_path, story)
