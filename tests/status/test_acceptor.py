"""Connections are taken in at a pace, and again after the system had no room for them."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from pytest_mock import MockerFixture

from tests.support.status_rig import logged, until
from tracker.status.acceptor import Acceptor, Pace

CROWD = 30


class Taken:
    """Count connections, and let them wait."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        try:
            await reader.read()
        finally:
            writer.transport.abort()


@asynccontextmanager
async def accepting(taken: Taken, pace: Pace) -> AsyncIterator[Acceptor]:
    acceptor = Acceptor(taken, pace, 1000)
    await acceptor.listen("127.0.0.1", 0)
    try:
        yield acceptor
    finally:
        await acceptor.close()


@contextmanager
def clients(acceptor: Acceptor, count: int) -> Iterator[list[socket.socket]]:
    assert acceptor.port is not None
    made = [socket.create_connection(("127.0.0.1", acceptor.port)) for _ in range(count)]
    try:
        yield made
    finally:
        for client in made:
            client.close()


def test_crowd_is_paced() -> None:
    """A crowd comes in at the pace once the burst is over."""

    async def run() -> float:
        taken, loop = Taken(), asyncio.get_running_loop()
        async with accepting(taken, Pace(100, burst=10)) as acceptor:
            with clients(acceptor, CROWD):
                began = loop.time()
                await until(lambda: taken.count == CROWD)
                ended = loop.time()
            return ended - began

    assert asyncio.run(run()) > 0.15, "20 of 30 wait 10 ms each"


def test_full_descriptors_delay_connections() -> None:
    """What comes while file descriptors have run out is taken in later."""

    async def run() -> list[str]:
        taken = Taken()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        async with accepting(taken, Pace(1000, burst=1000)) as acceptor:
            with logged() as lines, clients(acceptor, 1):
                # Nothing was awaited: the kernel still has the connection. The lowest free number bounds it.
                free = os.open(os.devnull, os.O_RDONLY)
                os.close(free)
                resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
                try:
                    await until(lambda: bool(lines))
                    assert taken.count == 0
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
                await until(lambda: taken.count == 1)
        return lines

    (line,) = asyncio.run(run())
    assert "cannot accept a connection (Too many open files)" in line


def test_bug_ends_one_connection(mocker: MockerFixture) -> None:
    """A mistake with one connection does not end the accepting."""

    async def run() -> list[str]:
        taken = Taken()
        hand_on = Acceptor._hand_on
        mistakes = [TypeError("a mistake")]

        async def mistaken_once(self: Acceptor, connection: socket.socket) -> None:
            if mistakes:
                connection.close()
                raise mistakes.pop()
            await hand_on(self, connection)

        mocker.patch.object(Acceptor, "_hand_on", mistaken_once)
        async with accepting(taken, Pace(1000, burst=1000)) as acceptor:
            with logged() as lines, clients(acceptor, 2):
                await until(lambda: taken.count == 1)
        return lines

    (line,) = asyncio.run(run())
    assert "because of a bug" in line


@pytest.mark.parametrize("rounds", range(6))
def test_close_leaves_no_connection(rounds: int) -> None:
    """A connection that comes as it closes is not left open."""

    async def run() -> None:
        acceptor = Acceptor(Taken(), Pace(100, burst=10), 1000)
        await acceptor.listen("127.0.0.1", 0)
        # It waits for somebody.
        await asyncio.sleep(0)
        with clients(acceptor, 1):
            for _ in range(rounds):
                await asyncio.sleep(0)
            await acceptor.close()

    asyncio.run(run())
    # A socket that nobody owns is reported here, which fails the test.
    gc.collect()


def test_failed_listen_closes_all() -> None:
    """What cannot be listened at leaves nothing open."""

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            acceptor = Acceptor(Taken(), Pace(100, burst=1), 1000)
            with pytest.raises(OSError, match="in use"):
                await acceptor.listen("127.0.0.1", other.getsockname()[1])
            assert acceptor.port is None

    asyncio.run(run())
