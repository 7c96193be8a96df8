"""A thousand unfriendly connections at once, and the daemon's own work goes on beside them."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.support.status_rig import COMMANDS, TOKEN, connected, until
from tracker.status.events import EventFeed, subscription
from tracker.status.protocol import Answer, Request, SocketCommand
from tracker.status.server import Limits, StatusServer

ATTEMPTS = 1000
AT_ONCE = 100
FILLS = 500


async def big(request: Request) -> Answer:
    return {"text": "x" * 300_000}


UNKIND = (
    b"",
    b'{"command": ',
    b'{"command": ' + b"[" * 15_000 + b"\n",
    b"\xff\xfe\x00\n",
    b"x" * 200_000,
    b"status\n" * 50,
    b"big\n" * 50,
    b"subscribe\n",
    b'{"command": "assign", "token": "guess"}\n',
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nassign\n",
    b"GET /status HTTP/1.1\r\nHost: evil.example\r\nOrigin: https://evil.example\r\n\r\n",
)
"""Nothing, half a line, depth, no text, no end, crowds, followers, a guess, and what a web page can send."""


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(os.listdir(folder)) if folder.exists() else 0


async def misbehave(port: int, chance: random.Random, turns: asyncio.Semaphore) -> None:
    """Connect, say something of one kind, read little or nothing, and leave with or without a farewell."""
    async with turns:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return
        try:
            writer.write(chance.choice(UNKIND))
            async with asyncio.timeout(0.1):
                await reader.read(100)
        except (OSError, TimeoutError):
            pass
        finally:
            if chance.random() < 0.5:
                writer.close()
            else:
                writer.transport.abort()


async def fills(port: int, feed: EventFeed) -> None:
    """Stand in for the fill path: one round trip on another socket of the same loop for each."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in range(FILLS):
        writer.write(b"%d\n" % number)
        assert await asyncio.wait_for(reader.readline(), 10) == b"%d\n" % number
        feed.publish({"fill": number})
    writer.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


@pytest.mark.parametrize("seed", [1])
def test_thousand_bad_connections(seed: int) -> None:
    """The work goes on through a thousand bad connections."""
    changed: list[Request] = []

    async def change(request: Request) -> Answer:
        changed.append(request)
        return {}

    async def run() -> None:
        chance = random.Random(seed)
        feed = EventFeed()
        commands = {
            **COMMANDS,
            "big": SocketCommand(big, ""),
            "assign": SocketCommand(change, "", COMMANDS["assign"].changes),
        }
        limits = Limits(
            line_seconds=0.3, closing_seconds=0.3, connections_per_second=1000, requests_per_second=1000
        )
        server = StatusServer("127.0.0.1", 0, commands, TOKEN, limits, {"subscribe": subscription(feed)})
        await server.start()
        work = await asyncio.start_server(echo, "127.0.0.1", 0)
        before = open_files()
        turns = asyncio.Semaphore(AT_ONCE)
        attempts = [misbehave(server.port, chance, turns) for _ in range(ATTEMPTS)]
        await asyncio.gather(fills(work.sockets[0].getsockname()[1], feed), *attempts)
        assert feed.last == FILLS
        await until(lambda: server.figures()["connections"] == 0)
        await until(lambda: open_files() <= before)
        async with connected(server) as client:
            assert (await client.asks(b"ping\n"))["pong"]
        figures = server.figures()
        assert figures["internal_errors_total"] == 0
        assert figures["streams"] == 0
        assert int(str(figures["refused_requests_total"])) > 100
        await server.close()
        work.close()

    asyncio.run(run())
    assert changed == []
