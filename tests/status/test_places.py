"""More clients than places: who waits gives way, and health checks and token holders always get in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest

from tests.support.status_rig import TOKEN, Client, code, connected, serving, until
from tracker.status.events import EventFeed, subscription
from tracker.status.protocol import Answer, Request, SocketCommand
from tracker.status.server import Limits, StatusServer

SMALL = Limits(connections=2, reserved_connections=1, streams=1, reserved_streams=1)


def with_token(command: str) -> bytes:
    return json.dumps({"command": command, "token": TOKEN}).encode() + b"\n"


def has_requests(server: StatusServer, number: int) -> bool:
    return server.figures()["requests_total"] == number


@asynccontextmanager
async def crowded(released: asyncio.Event) -> AsyncIterator[StatusServer]:
    """Serve with both ordinary places taken by clients whose commands last until `released`."""

    async def last(request: Request) -> Answer:
        await released.wait()
        return {}

    async with serving(SMALL, last=SocketCommand(last, "")) as server, AsyncExitStack() as stack:
        for number in (1, 2):
            client = await stack.enter_async_context(connected(server))
            await client.say(b"last\n")
            await until(partial(has_requests, server, number))
        yield server
        released.set()


def test_longest_waiting_client_gives_way() -> None:
    """Idle connections are no way to keep others out; the youngest of them stays."""

    async def talk() -> None:
        async with (
            serving(Limits(connections=2, reserved_connections=0)) as server,
            AsyncExitStack() as stack,
        ):
            first = await stack.enter_async_context(connected(server))
            await until(lambda: server.figures()["connections"] == 1)
            second = await stack.enter_async_context(connected(server))
            assert (await second.asks(b"ping\n"))["pong"]
            await asyncio.sleep(0.15)  # The time that every client has for its line.
            third = await stack.enter_async_context(connected(server))
            assert (await third.asks(b"ping\n"))["pong"]
            assert await first.ended()
            assert (await second.asks(b"ping\n"))["pong"]
            assert server.figures()["refused_connections_total"] == 1

    asyncio.run(talk())


def test_token_holder_never_gives_way() -> None:
    async def talk() -> None:
        async with (
            serving(Limits(connections=1, reserved_connections=0)) as server,
            AsyncExitStack() as stack,
        ):
            holder = await stack.enter_async_context(connected(server))
            assert (await holder.asks(with_token("status")))["ok"]
            await asyncio.sleep(0.15)  # Longer than others may wait.
            other = await stack.enter_async_context(connected(server))
            assert code(await other.hear()) == "busy"
            assert (await holder.asks(b"ping\n"))["pong"]

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("line", "served"),
    [
        (b"status\n", False),
        (b'{"command": "status", "token": "guess"}\n', False),
        (with_token("status"), True),
        (b"health\n", True),
        (b"ping\n", True),
    ],
)
def test_reserved_place_serves_health_and_token(line: bytes, served: bool) -> None:
    async def talk() -> None:
        async with crowded(asyncio.Event()) as server, connected(server) as client:
            answer = await client.asks(line)
            assert answer["ok"] is served
            if not served:
                assert code(answer) == "busy"
            if b"the-token" in line:
                assert (await client.asks(b"status\n"))["ok"]
            else:
                assert await client.ended()

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", b"200"),
        (b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n", b"503"),
        (b"GET /status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer the-token\r\n\r\n", b"200"),
    ],
)
def test_reserved_place_serves_http_likewise(head: bytes, status: bytes) -> None:
    async def talk() -> None:
        async with crowded(asyncio.Event()) as server, connected(server) as client:
            await client.say(head)
            assert (await asyncio.wait_for(client.reader.readline(), 10)).split()[1] == status

    asyncio.run(talk())


def test_unread_streams_leave_one_for_token() -> None:
    """Followers who never read hold every ordinary stream; a screen with the token still follows."""

    async def talk() -> None:
        server = StatusServer("127.0.0.1", 0, {}, TOKEN, SMALL, {"subscribe": subscription(EventFeed())})
        await server.start()
        async with AsyncExitStack() as stack:

            async def another() -> Client:
                return await stack.enter_async_context(connected(server))

            await (await another()).say(b"subscribe\n")
            await until(lambda: server.figures()["streams"] == 1)
            assert code(await (await another()).asks(b"subscribe\n")) == "busy"
            assert (await (await another()).asks(with_token("subscribe")))["subscribed"]
        await server.close()

    asyncio.run(talk())
