"""Many clients at once, some of them hostile: the others notice nothing, and memory stays bounded."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import sys
from contextlib import AsyncExitStack

import pytest

from tests.support.paper_clients import (
    NVDA,
    RawClient,
    fields_of_order,
    hello,
    make_gateway,
    raw_client,
    until,
)
from tests.support.project import PROJECT
from tracker.paper import connection as connections
from tracker.paper.framing import frame
from tracker.paper.order_engine import FillPolicy
from tracker.paper.server import MAX_CONNECTIONS, PaperGateway

MOST_BYTES_PER_ORDER = 4096


async def silent_reader(gateway: PaperGateway) -> asyncio.StreamWriter:
    """Connect as the master and never read again."""
    _, writer = await asyncio.open_connection(gateway.host, gateway.port)
    writer.write(hello() + frame(["71", "2", "0", ""]))
    await until(lambda: 0 in gateway.clients)
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport can read and write
    return writer


def test_twenty_clients_among_hostile_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twenty clients trade while one sends garbage one reads nothing and one closes mid message."""
    # Smaller than in earnest, so that the slow client meets its bound within a test.
    monkeypatch.setattr(connections, "MAX_BACKLOG_BYTES", 1 << 19)

    async def run() -> None:
        policy = FillPolicy(latency_seconds=0.002, partials=2)
        async with make_gateway(fills=policy) as gateway, AsyncExitStack() as stack:
            gateway.book.learn(NVDA)
            good: list[RawClient] = [
                await stack.enter_async_context(raw_client(gateway, client_id)) for client_id in range(1, 18)
            ]
            slow = await silent_reader(gateway)
            garbage = await stack.enter_async_context(raw_client(gateway, 18))
            closing = await stack.enter_async_context(raw_client(gateway, 19))
            assert len(gateway.clients) == 20

            for round_number in range(1, 4):
                for client in good:
                    fields = fields_of_order(
                        round_number, NVDA, action="BUY", totalQuantity=4, orderType="LMT", lmtPrice=2.5
                    )
                    client.send(*fields)
                garbage.send("7", "x" * 1000, "\ufffd", *["y"] * 50)
                garbage.writer.write(frame(["3"]) + frame([""]) + b"\0\0\0\0")
            closing.writer.write(struct.pack(">I", 500) + b"3\0half of a mess")
            closing.writer.transport.abort()
            for client in good:
                await client.until("59", 6)
            garbage.writer.write(struct.pack(">I", 1 << 31))
            await until(lambda: garbage.closed)

            number = 0
            while 0 in gateway.clients:
                number += 1
                assert number < 200_000, "the client that reads nothing was never cut off"
                gateway.fill(gateway.order(NVDA, "BUY", 1, limit=2, client_id=99))
                if number % 100 == 0:
                    await asyncio.sleep(0)
            slow.transport.abort()

            for client in good:
                await client.settle()
                assert [sum(int(f[19]) for f in client.of("11"))] == [12]
                assert len(client.of("59")) == 6
                assert not client.closed
                assert [f for f in client.of("4") if f[2] != "-1"] == []
            await until(lambda: len(gateway.clients) == 17)

    asyncio.run(run())


def test_used_client_id_is_refused() -> None:
    """An id in use is refused and its holder stays."""

    async def run() -> None:
        async with (
            make_gateway() as gateway,
            raw_client(gateway, 5) as holder,
            raw_client(gateway, None) as second,
        ):
            second.send(71, 2, 5, "")
            await until(lambda: second.closed)
            assert [f[3] for f in second.of("4")] == ["326"]
            await holder.settle()
            gateway.drop_connections(to=[5])
            await until(lambda: holder.closed)
            async with raw_client(gateway, 5) as third:
                await third.settle()

    asyncio.run(run())


def test_too_many_clients_are_refused() -> None:
    """More clients than there is room for are turned away."""

    async def run() -> None:
        async with make_gateway() as gateway, AsyncExitStack() as stack:
            for client_id in range(MAX_CONNECTIONS):
                await stack.enter_async_context(raw_client(gateway, client_id))
            reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
            assert await reader.read() == b""
            writer.transport.abort()
            assert len(gateway.clients) == MAX_CONNECTIONS

    asyncio.run(run())


@pytest.mark.parametrize("versions", ["v100..156", "v179..226"])
def test_client_without_common_version(versions: str) -> None:
    """A client without a common version is cut off."""

    async def run() -> None:
        async with make_gateway() as gateway:
            reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
            writer.write(hello(versions))
            assert await reader.read() == b""
            writer.transport.abort()

    asyncio.run(run())


@pytest.mark.parametrize(("versions", "received"), [("v157..176", 4096), ("v100..226", 4100)])
def test_padding_for_the_official_client(versions: str, received: int) -> None:
    """A write of exactly 4096 bytes is padded for the official client."""

    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway, 1, versions) as client:
            await client.settle()
            data = frame(["77", "x" * (4096 - 4 - 4)])
            assert len(data) == 4096
            before = client.bytes_read
            gateway.push_bytes(data)
            await until(lambda: client.bytes_read - before >= received)
            assert client.bytes_read - before == received

    asyncio.run(run())


def test_large_answer_blocks_nobody() -> None:
    """A large answer reaches a reader whole and others are served meanwhile."""

    async def run() -> None:
        async with (
            make_gateway() as gateway,
            raw_client(gateway, 3) as asking,
            raw_client(gateway, 4) as other,
        ):
            for _ in range(5000):
                gateway.fill(gateway.order(NVDA, "BUY", 1, limit=2), push=False)
            asking.send(7, 3, 1, 0, "", "", "", "", "", "")
            await other.settle()
            await asking.until("55")
            assert len(asking.of("11")) == 5000

    asyncio.run(run())


def test_memory_per_order_is_bounded() -> None:
    """Memory per order is bounded over a hundred thousand orders."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.paper_memory", "100000"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["first_half"] < MOST_BYTES_PER_ORDER
    assert measured["second_half"] < MOST_BYTES_PER_ORDER
    assert measured["left_after_midnight"] == 0


def test_remembered_requests_are_bounded() -> None:
    """What is remembered of requests is bounded."""

    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway, 3) as client:
            for number in range(25_000):
                client.send(f"1{number}", "x")
            await client.settle()
            assert len(gateway.received) == 20_000
            assert gateway.broadcast.received_counts[3, "?"] > 20_000
            assert len(gateway.broadcast.received_counts) < 1000

    asyncio.run(run())


def test_a_long_answer_holds_up_nobody() -> None:
    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway) as client:
            for _ in range(2_000):
                gateway.fill(gateway.order(NVDA, "BUY", 1, limit=2, push=False), push=False)

            async def notices() -> None:
                while True:
                    gateway.notice(2103)
                    await asyncio.sleep(0)

            told = asyncio.create_task(notices())
            client.send(7, 3, 1, 0, "", "", "", "", "", "")
            await client.until("55")
            told.cancel()
            kinds = [fields[0] for fields in client.frames]
            assert "4" in kinds[kinds.index("11") : kinds.index("55")]

    asyncio.run(run())
