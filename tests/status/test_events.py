"""Following events: in order, from a number on, without ever holding up the one who publishes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.status_rig import Client, code, connected, logged, until
from tracker.core.model import JsonValue
from tracker.status.events import EventFeed, subscription
from tracker.status.protocol import Answer, Request, Stream
from tracker.status.server import Limits, StatusServer


@asynccontextmanager
async def feeding(
    feed: EventFeed, limits: Limits | None = None, host: str = "127.0.0.1", **streams: Stream
) -> AsyncIterator[StatusServer]:
    server = StatusServer(host, 0, {}, "secret", limits, {"subscribe": subscription(feed), **streams})
    await server.start()
    try:
        yield server
    finally:
        await server.close()


async def heard(client: Client, count: int) -> list[Any]:
    return [(await client.hear()).get("seq") for _ in range(count)]


def test_events_are_streamed() -> None:
    """Events are handed on as they come."""

    async def talk() -> None:
        feed = EventFeed()
        feed.publish({"event": "before"})
        async with feeding(feed) as server, connected(server) as client:
            assert await client.asks(b"subscribe\n") == {
                "ok": True,
                "schema": 1,
                "subscribed": True,
                "last": 1,
            }
            feed.publish({"event": "fill", "exec_id": "a"})
            assert await client.hear() == {"ok": True, "schema": 1, "seq": 2, "event": "fill", "exec_id": "a"}
            feed.publish({"event": "fill", "exec_id": "b"})
            assert (await client.hear())["exec_id"] == "b"

    asyncio.run(talk())


def test_client_resumes_after_event() -> None:
    """A client continues after the event it saw last."""

    async def talk() -> None:
        feed = EventFeed()
        for _ in range(5):
            feed.publish({})
        async with feeding(feed) as server, connected(server) as client:
            assert (await client.asks({"command": "subscribe", "after": 2}))["last"] == 5
            assert await heard(client, 3) == [3, 4, 5]

    asyncio.run(talk())


def test_earlier_start_streams_everything() -> None:
    """A number of an earlier start hands on everything."""

    async def talk() -> None:
        feed = EventFeed()
        feed.publish({})
        async with feeding(feed) as server, connected(server) as client:
            await client.asks({"command": "subscribe", "after": 900})
            assert await heard(client, 1) == [1]

    asyncio.run(talk())


def test_what_was_forgotten_is_counted() -> None:
    async def talk() -> None:
        feed = EventFeed(capacity=3)
        for _ in range(10):
            feed.publish({})
        async with feeding(feed) as server, connected(server) as client:
            await client.asks({"command": "subscribe", "after": 2})
            assert (await client.hear())["missed"] == 5
            assert await heard(client, 3) == [8, 9, 10]

    asyncio.run(talk())


@given(
    capacity=st.integers(1, 8),
    steps=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=12),
)
def test_any_reader_sees_all_numbers(capacity: int, steps: list[tuple[int, int]]) -> None:
    """A reader of any pace gets every number or its loss in order."""

    async def talk() -> None:
        feed = EventFeed(capacity)
        reader = feed.follow(0)
        position = 0
        for published, read in steps:
            for _ in range(published):
                feed.publish({})
            for _ in range(read):
                if position == feed.last:
                    break
                answer = await anext(reader)
                missed = answer.get("missed", 0)
                assert isinstance(missed, int)
                assert missed == max(0, feed.last - capacity - position), "no more is lost than must be"
                position += missed or 1
                assert missed or answer["seq"] == position
        await reader.aclose()

    asyncio.run(asyncio.wait_for(talk(), 10))


@pytest.mark.parametrize("after", [-1, "5", True, 1.5, [1]])
def test_bad_number_is_refused(after: JsonValue) -> None:
    """A number that is not one is refused."""

    async def talk() -> dict[str, Any]:
        async with feeding(EventFeed()) as server, connected(server) as client:
            answer = await client.asks({"command": "subscribe", "after": after})
            assert await client.ended()
            return answer

    assert code(asyncio.run(talk())) == "bad_request"


def test_silent_stream_has_heartbeat() -> None:
    """A silent stream shows that it lives."""

    async def talk() -> None:
        async with (
            feeding(EventFeed(), Limits(heartbeat_seconds=0.02)) as server,
            connected(server) as client,
        ):
            await client.asks(b"subscribe\n")
            assert (await client.hear())["heartbeat"] is True
            assert (await client.hear())["heartbeat"] is True

    asyncio.run(talk())


def test_unread_stream_is_dropped() -> None:
    """A reader that reads nothing is dropped and holds nobody up."""

    async def talk() -> None:
        feed = EventFeed()
        limits = Limits(line_seconds=0.2)
        async with feeding(feed, limits) as server, connected(server) as lazy, connected(server) as keen:
            await lazy.asks(b"subscribe\n")
            await keen.asks(b"subscribe\n")
            for number in range(1, 2001):
                feed.publish({"text": "x" * 10_000})
                assert (await keen.hear())["seq"] == number
            await until(lambda: server.figures()["streams"] == 1)

    asyncio.run(talk())


@pytest.mark.parametrize("last_words", [b"status\n", b""])
def test_client_ends_its_stream(last_words: bytes) -> None:
    """A client that says anything more or leaves ends its stream."""

    async def talk() -> None:
        async with feeding(EventFeed()) as server, connected(server) as client:
            await client.asks(b"subscribe\n")
            assert server.figures()["streams"] == 1
            if last_words:
                await client.say(last_words)
            else:
                client.writer.write_eof()
            assert await client.ended()
            await until(lambda: server.figures()["connections"] == 0)
            assert server.figures()["streams"] == 0

    asyncio.run(talk())


def test_streams_leave_room_for_questions() -> None:
    async def talk() -> None:
        async with feeding(EventFeed(), Limits(streams=1)) as server, connected(server) as one:
            assert (await one.asks(b"subscribe\n"))["subscribed"]
            async with connected(server) as two:
                assert code(await two.asks(b"subscribe\n")) == "busy"
                assert await two.ended()
            async with connected(server) as three:
                assert (await three.asks(b"ping\n"))["pong"]

    asyncio.run(talk())


def test_stream_needs_token_beyond_loopback() -> None:
    """A stream needs the token beyond loopback."""

    async def talk() -> None:
        async with feeding(EventFeed(), host="0.0.0.0") as server, connected(server) as client:
            assert code(await client.asks(b"subscribe\n")) == "token_required"
            assert (await client.asks({"command": "subscribe", "token": "secret"}))["subscribed"]

    asyncio.run(talk())


def test_ended_stream_ends_connection() -> None:
    """A stream that ends or fails ends its connection."""

    async def short(request: Request) -> AsyncGenerator[Answer, None]:
        yield {"only": 1}

    async def broken(request: Request) -> AsyncGenerator[Answer, None]:
        yield {"only": 1}
        raise TimeoutError("a bug")

    async def talk() -> None:
        feed = EventFeed()
        async with feeding(feed, short=Stream(short, ""), broken=Stream(broken, "")) as server:
            async with connected(server) as client:
                assert (await client.asks(b"short\n"))["only"] == 1
                assert await client.ended()
            async with connected(server) as client:
                assert (await client.asks(b"broken\n"))["only"] == 1
                assert code(await client.hear()) == "internal"
                assert await client.ended()
            assert server.figures()["internal_errors_total"] == 1

    with logged() as lines:
        asyncio.run(talk())
    assert "the command broken failed" in lines[0]


def test_help_and_suggestions_know_the_streams() -> None:
    async def talk() -> None:
        async with feeding(EventFeed()) as server, connected(server) as client:
            assert "subscribe" in (await client.asks(b"help\n"))["commands"]
            assert "'subscribe'" in (await client.asks(b"subscrib\n"))["error"]["message"]

    asyncio.run(talk())


def test_closing_ends_the_streams() -> None:
    async def talk() -> None:
        async with feeding(EventFeed()) as server, connected(server) as client:
            await client.asks(b"subscribe\n")
            await asyncio.wait_for(server.close(), 10)
            assert await client.ended()
            assert server.figures()["streams"] == 0

    asyncio.run(talk())
