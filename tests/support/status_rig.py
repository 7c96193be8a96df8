"""A status server with commands of the tests' own, and a client that speaks its lines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from loguru import logger

from tracker.status.protocol import (
    Answer,
    CommandError,
    Request,
    SocketCommand,
    always,
    with_argument,
)
from tracker.status.server import Limits, StatusServer

TOKEN = "the-token"
QUICK = Limits(line_seconds=0.2, closing_seconds=0.2)


async def echo(request: Request) -> Answer:
    return {"request": dict(request)}


async def refuse(request: Request) -> Answer:
    raise CommandError("no_such_fill", "there is no fill 7; `tracker fills` lists them")


async def fail(request: Request) -> Answer:
    raise RuntimeError("a bug")


async def no_json(request: Request) -> Answer:
    return {"price": float("nan")}


COMMANDS = {
    "status": SocketCommand(echo, "show the state of the tracker"),
    "refuse": SocketCommand(refuse, "refuse"),
    "fail": SocketCommand(fail, "fail"),
    "no_json": SocketCommand(no_json, "answer what JSON cannot say"),
    "assign": SocketCommand(echo, "assign a fill", always),
    "reconcile": SocketCommand(echo, "compare", with_argument("apply")),
}


@asynccontextmanager
async def serving(limits: Limits | None = None, **commands: SocketCommand) -> AsyncIterator[StatusServer]:
    server = StatusServer("127.0.0.1", 0, {**COMMANDS, **commands}, TOKEN, limits)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


class Client:
    """Hold one connection to a server of this test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hear(self) -> dict[str, Any]:
        """Return the next answer."""
        line = await asyncio.wait_for(self.reader.readline(), 10)
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    async def asks(self, request: bytes | dict[str, Any]) -> dict[str, Any]:
        await self.say(request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n")
        return await self.hear()

    async def ended(self) -> bool:
        """Wait until the server closed the connection, whether in peace or not; nothing more may be said."""
        try:
            return await asyncio.wait_for(self.reader.read(), 10) == b""
        except ConnectionError:
            return True


@asynccontextmanager
async def connected(server: StatusServer) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, ten seconds at most."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (the condition is the server's own state, which sets no event)
            await asyncio.sleep(0.001)


def exchange(*requests: bytes | dict[str, Any], limits: Limits | None = None) -> list[dict[str, Any]]:
    """Return the answers to these requests, sent one after another on one connection."""

    async def talk() -> list[dict[str, Any]]:
        async with serving(limits) as server, connected(server) as client:
            return [await client.asks(request) for request in requests]

    return asyncio.run(talk())


def last_words(data: bytes, limits: Limits | None = None) -> dict[str, Any]:
    """Return what the server answers to these bytes before it closes the connection."""

    async def talk() -> dict[str, Any]:
        async with serving(limits) as server, connected(server) as client:
            await client.say(data)
            answer = await client.hear()
            assert await client.ended()
            await until(lambda: server.figures()["connections"] == 0)
            return answer

    return asyncio.run(talk())


def code(answer: dict[str, Any]) -> str:
    assert answer["ok"] is False
    assert answer["error"]["message"]
    return str(answer["error"]["code"])


@contextmanager
def logged() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="WARNING")
    try:
        yield lines
    finally:
        logger.remove(sink)
