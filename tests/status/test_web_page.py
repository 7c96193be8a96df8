"""The page for a browser: what it is served with, who may open it, and the events that it follows."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.status_rig import TOKEN, connected, until
from tracker.status.events import EventFeed, subscription
from tracker.status.protocol import Answer, Request, SocketCommand
from tracker.status.server import Limits, StatusServer
from tracker.status.web_page import page

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"


async def state(request: Request) -> Answer:
    return {"shown": True}


@asynccontextmanager
async def serving(
    feed: EventFeed | None = None, host: str = LOOPBACK, limits: Limits | None = None
) -> AsyncIterator[StatusServer]:
    commands = {"page": SocketCommand(state, "")}
    streams = {"subscribe": subscription(feed or EventFeed())}
    server = StatusServer(host, 0, commands, TOKEN, limits, streams)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


def head_and_body(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}, body


async def get(
    server: StatusServer, path: str, headers: str = "", host: str = "127.0.0.1:8765"
) -> tuple[int, dict[str, str], bytes]:
    async with connected(server) as client:
        await client.say(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n".encode())
        return head_and_body(await asyncio.wait_for(client.reader.read(), 10))


def got(path: str, headers: str = "", host: str = LOOPBACK) -> tuple[int, dict[str, str], bytes]:
    async def talk() -> tuple[int, dict[str, str], bytes]:
        async with serving(host=host) as server:
            return await get(server, path, headers)

    return asyncio.run(talk())


def test_page_may_only_run_its_own_script() -> None:
    """The policy names script and style by hash; nothing else is allowed, nor a frame around it."""
    status, headers, body = got("/", "Sec-Fetch-Site: none\r\n")
    assert (status, body) == (200, page())
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["x-frame-options"] == "DENY"
    policy = dict(part.partition(" ")[::2] for part in headers["content-security-policy"].split("; "))
    for kind in ("script", "style"):
        (content,) = re.findall(f"<{kind}>(.*?)</{kind}>".encode(), body, re.S)
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        assert policy[f"{kind}-src"] == f"'sha256-{digest}'"
    assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]


def test_page_fetches_nothing_from_elsewhere() -> None:
    """No address of another host, no markup made of texts, no handler or style in an attribute."""
    text = page().decode()
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text) == []
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", text) == []
    assert re.findall(r"<\w[^>]*\s(on\w+|style)=", text) == []


@pytest.mark.parametrize(
    "headers",
    ["Origin: https://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n", "Host: evil.example\r\n"],
)
@pytest.mark.parametrize("path", ["/", "/page.json", "/events"])
def test_other_origins_are_refused(path: str, headers: str) -> None:
    status, _, body = got(path, headers)
    assert status == (400 if headers.startswith("Host") else 403)
    assert b"<html" not in body


def test_token_is_shown_once() -> None:
    """Beyond loopback the token in the address becomes a cookie; the page and its questions need it."""

    async def talk() -> None:
        async with serving(host=EVERYWHERE) as server:
            status, headers, body = await get(server, "/")
            assert status == 401
            assert b"/?token=TOKEN" in body
            assert (await get(server, "/?token=guess"))[0] == 401
            status, headers, body = await get(server, f"/?token={TOKEN}")
            assert (status, headers["location"], body) == (303, "/", b"")
            cookie, *rest = headers["set-cookie"].split("; ")
            assert rest == ["Path=/", "HttpOnly", "SameSite=Strict"]
            assert cookie.startswith("tracker_page_8765=")
            assert TOKEN not in cookie
            for path in ("/", "/page.json", "/status"):
                assert (await get(server, path))[0] == 401
                assert (await get(server, path, f"Cookie: other=1; {cookie}\r\n"))[0] in (200, 404)
            assert (await get(server, "/events"))[0] == 401
            wrong = cookie[:-1] + ("0" if cookie[-1] != "0" else "1")
            assert (await get(server, "/", f"Cookie: {wrong}\r\n"))[0] == 401
            assert (await get(server, "/", f"Cookie: {cookie}\r\n", host="127.0.0.1:9999"))[0] == 401

    asyncio.run(talk())


def test_cookie_is_no_token() -> None:
    """It reads over HTTP and nothing else: a browser sends it to other programs of the host, too."""

    async def talk() -> None:
        async with serving(host=EVERYWHERE) as server, connected(server) as client:
            _, headers, _ = await get(server, f"/?token={TOKEN}")
            secret = headers["set-cookie"].partition("=")[2].partition(";")[0]
            answer = await client.asks({"command": "page", "token": secret})
            assert answer["error"]["code"] == "token_wrong"
            assert (await get(server, "/page.json", f"Authorization: Bearer {secret}\r\n"))[0] == 401

    asyncio.run(talk())


async def said(reader: asyncio.StreamReader) -> dict[str, object]:
    """Return the next event of a stream; chunks are put on lines of their own."""
    while True:
        line = await asyncio.wait_for(reader.readline(), 10)
        assert line, "the stream ended"
        if line.startswith(b"data: "):
            found: dict[str, object] = json.loads(line.removeprefix(b"data: "))
            return found


def test_events_come_as_they_happen() -> None:
    """After the number that the page names, and with a sign of life while nothing happens."""

    async def talk() -> None:
        feed = EventFeed()
        feed.publish({"event": "old"})
        feed.publish({"event": "new"})
        async with serving(feed, limits=Limits(heartbeat_seconds=0.05)) as server:
            async with connected(server) as client:
                await client.say(b"GET /events?after=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 10)
                assert b"text/event-stream" in head
                assert (await said(client.reader))["last"] == 2
                assert (await said(client.reader))["event"] == "new"
                assert (await said(client.reader))["heartbeat"] is True
                feed.publish({"event": "fill"})
                while (event := await said(client.reader)).get("heartbeat"):
                    pass
                assert (event["event"], event["seq"]) == ("fill", 3)
            await until(lambda: server.figures()["streams"] == 0)

    asyncio.run(talk())


def test_too_many_pages_are_refused() -> None:
    """They count as streams: the one too many is told so, and the others go on."""

    async def talk() -> None:
        async with serving(limits=Limits(streams=1)) as server, connected(server) as one:
            await one.say(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await until(lambda: server.figures()["streams"] == 1)
            status, _, body = await get(server, "/events")
            assert status == 503
            assert json.loads(body)["error"]["code"] == "busy"
            assert server.figures()["streams"] == 1

    asyncio.run(talk())


@pytest.mark.parametrize("after", ["x", "-1", "9" * 5000])
def test_odd_place_in_the_stream(after: str) -> None:
    """What is no number is refused by name, and so are more digits than Python reads as a number."""
    status, _, body = got(f"/events?after={after}")
    assert status == 200
    assert b'"code": "bad_request"' in body
