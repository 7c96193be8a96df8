"""HTTP on the status port: for curl, health checks and Prometheus, and for no web page."""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.status_rig import COMMANDS, QUICK, connected, serving
from tracker.core.model import JsonValue
from tracker.status.prometheus import exposition
from tracker.status.protocol import Answer, CommandError, Request, SocketCommand, with_argument
from tracker.status.server import Limits, StatusServer


async def ready(request: Request) -> Answer:
    return {"ready": True}


async def not_ready(request: Request) -> Answer:
    return {"ready": False, "why": "the first sweep is not answered"}


async def figures(request: Request) -> Answer:
    return {"figures": {"fills_total": 5, "link": {"up": True, "state": "up", "since": None}}}


async def sick(request: Request) -> Answer:
    return {"healthy": False}


async def away(request: Request) -> Answer:
    raise CommandError("store_away", "the store is away")


PAGES = {"ready": SocketCommand(ready, ""), "metrics": SocketCommand(figures, "")}


def get(
    path: str, headers: dict[str, str] | None = None, method: str = "GET", **commands: SocketCommand
) -> tuple[int, dict[str, str], bytes]:
    """Ask with the standard library's own HTTP client; returns status, headers and body."""

    def ask(port: int) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, body

    async def talk() -> tuple[int, dict[str, str], bytes]:
        async with serving(None, **{**PAGES, **commands}) as server:
            return await asyncio.to_thread(ask, server.port)

    return asyncio.run(talk())


def raw(data: bytes, limits: Limits | None = None) -> bytes:
    """Return every byte that the server sends for these, until it closes."""

    async def talk() -> bytes:
        async with serving(limits, **PAGES) as server, connected(server) as client:
            await client.say(data)
            try:
                return await asyncio.wait_for(client.reader.read(), 10)
            except ConnectionError:
                return b""

    return asyncio.run(talk())


def code_of(body: bytes) -> str:
    answer = json.loads(body)
    assert answer["ok"] is False
    assert answer["error"]["message"]
    return str(answer["error"]["code"])


def test_status_is_the_same_over_http() -> None:
    status, headers, body = get("/status")
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert headers["connection"] == "close"
    assert headers["cache-control"] == "no-store"
    assert json.loads(body) == {"ok": True, "schema": 1, "request": {"command": "status"}}


def test_health_has_status_code() -> None:
    """Health and readiness are reported by the status code."""
    assert get("/health")[0] == 200
    assert get("/health", health=SocketCommand(sick, ""))[0] == 503
    assert get("/ready")[0] == 200
    status, _, body = get("/ready", ready=SocketCommand(not_ready, ""))
    assert status == 503
    assert json.loads(body)["why"] == "the first sweep is not answered"


def test_metrics_are_prometheus_text() -> None:
    """Metrics are in the form of prometheus."""
    status, headers, body = get("/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert body.decode().splitlines() == [
        "# TYPE tracker_fills_total counter",
        "tracker_fills_total 5",
        "# TYPE tracker_link_up gauge",
        "tracker_link_up 1",
    ]


async def reconcile(request: Request) -> Answer:
    return {
        "orders_examined": 3,
        "fill_events_processed": 7,
        "timestamp": "2026-11-18T15:00:00+00:00",
        "x": 1,
    }


async def try_fill(request: Request) -> Answer:
    return {"status": "matched", "payload": dict(request), "more": True}


async def running(request: Request) -> Answer:
    stats: dict[str, JsonValue] = {"orders_processed": 1, "alerts_updated": 2, "last_update": None}
    return {"running": True, "subscribed": False, "last_polled_at": None, "stats": stats, "link": {}}


def test_earlier_paths_answer() -> None:
    """With the earlier fields and nothing else; what a made-up fill is comes in the address."""
    commands = {
        "status": SocketCommand(running, ""),
        "reconcile": SocketCommand(reconcile, "", COMMANDS["reconcile"].changes),
        "test": SocketCommand(try_fill, "", with_argument("commit")),
    }
    former = "/internal/order-tracking"
    for path in (former, f"{former}/"):
        status, _, body = get(path, None, "GET", **commands)
        assert status == 200
        assert json.loads(body) == {
            "running": True,
            "subscribed": False,
            "last_polled_at": None,
            "stats": {"orders_processed": 1, "alerts_updated": 2, "last_update": None},
        }
    _, _, body = get(f"{former}/reconcile?apply=1", None, "GET", **commands)
    assert json.loads(body) == {
        "orders_examined": 3,
        "fill_events_processed": 7,
        "timestamp": "2026-11-18T15:00:00+00:00",
    }
    _, _, body = get(f"{former}/test?symbol=TSLA&strike=95&commit=1&command=assign", None, "GET", **commands)
    assert json.loads(body) == {
        "status": "matched",
        "payload": {"command": "test", "symbol": "TSLA", "strike": "95"},
    }


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "`tracker status`"),
        ("/reconcile", "`tracker reconcile --apply`"),
        ("/test", "`tracker test --symbol SYMBOL`"),
        ("/else", "COMING_FROM.md"),
    ],
)
def test_earlier_post_names_the_command(path: str, words: str) -> None:
    """The body is not read: the answer comes without it."""
    head = f"POST /internal/order-tracking{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n"
    answer = raw(head.encode())
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"Allow: GET, HEAD\r\n" in answer
    assert words in answer.decode()


def test_earlier_post_of_a_web_page_is_refused() -> None:
    head = b"POST /internal/order-tracking/test HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil\r\n\r\n"
    assert raw(head).startswith(b"HTTP/1.1 403 ")


def test_labels_help_and_histogram() -> None:
    """Values of a label are quoted, a text is on one line, and the buckets end with all."""
    answer: dict[str, Any] = {
        "figures": {"needs": {"near": 2, 'a "\\\n': True}},
        "labels": {"needs": "reason"},
        "help": {"needs": "Back \\ and\nline.", "took_seconds": "Time."},
        "histograms": {"took_seconds": {"buckets": {"0.5": 3}, "count": 4, "sum": 2.5}},
    }
    assert exposition(answer).splitlines() == [
        "# HELP tracker_needs Back \\\\ and\\nline.",
        "# TYPE tracker_needs gauge",
        'tracker_needs{reason="near"} 2',
        'tracker_needs{reason="a \\"\\\\\\n"} 1',
        "# HELP tracker_took_seconds Time.",
        "# TYPE tracker_took_seconds histogram",
        'tracker_took_seconds_bucket{le="0.5"} 3',
        'tracker_took_seconds_bucket{le="+Inf"} 4',
        "tracker_took_seconds_sum 2.5",
        "tracker_took_seconds_count 4",
    ]


def test_any_figure_name_is_valid() -> None:
    """Figures of any name make lines that can be read."""
    assert (
        exposition({"figures": {"a-b": {"c d": 1.5}}})
        == "# TYPE tracker_a_b_c_d gauge\ntracker_a_b_c_d 1.5\n"
    )
    assert exposition({}) == ""


def test_head_has_no_body() -> None:
    """Head has the same head and no body."""
    status, headers, body = get("/health", method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0


def test_query_is_ignored() -> None:
    """A query is no part of the page."""
    assert get("/health?x=1")[0] == 200


@pytest.mark.parametrize("path", ["/assign", "/reconcile?apply=1", "/status/", "//status", "/../status"])
def test_there_are_no_other_pages(path: str) -> None:
    status, _, body = get(path)
    assert status == 404
    assert code_of(body) == "unknown_page"


def test_unknown_page_is_not_found() -> None:
    """A page whose command is not there is not found."""

    async def talk() -> bytes:
        async with serving() as server, connected(server) as client:
            await client.say(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return await asyncio.wait_for(client.reader.read(), 10)

    assert asyncio.run(talk()).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8765", "localhost:8765", "LOCALHOST", "[::1]:8765", "127.9.9.9"]
)
def test_every_loopback_name_is_served(host: str) -> None:
    assert get("/health", {"Host": host})[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "localhost.evil.example",
        "192.168.1.5",
        "0.0.0.0",
        "",
        "[::1",
        "[evil]",
        "a@b:c@127.0.0.1x",
        "evil.example@127.0.0.1",
        "evil.example\\@127.0.0.1",
        "127.0.0.1/evil.example",
        "localhost#evil.example",
    ],
)
def test_foreign_host_name_is_refused(host: str) -> None:
    """A name that somebody points at this machine is refused."""
    status, _, body = get("/status", {"Host": host})
    assert status == 403
    assert code_of(body) == "forbidden"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_web_page_is_refused(headers: dict[str, str]) -> None:
    status, _, body = get("/status", headers)
    assert status == 403
    assert code_of(body) == "forbidden"


def test_own_browser_is_served() -> None:
    """A person  own browser is served."""
    assert get("/status", {"Sec-Fetch-Site": "none"})[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT"])
def test_any_other_method_is_closed_unread(method: str) -> None:
    request = f"{method} /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\nstatus\n"
    assert raw(request.encode()) == b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /status HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http://[::1/status HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"GET //[x/status HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"GET /status HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", b"400"),
        (b"GET /status HTTP/1.1\r\nHost: localhost\r\nOrigin: a\r\nOrigin: b\r\n\r\n", b"400"),
        (b"GET /status HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"GET /status HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", b"431"),
        (b"GET /status HTTP/1.0\r\n\r\n", b"403"),
        (b"GET /status HTTP/1.0\r\nHost: localhost\r\n\r\n", b"200"),
        (b"GET /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\nstatus\n", b"200"),
    ],
)
def test_odd_http_is_answered(data: bytes, status: bytes) -> None:
    """What is hardly http has a clear answer."""
    answer = raw(data)
    assert answer.startswith(b"HTTP/1.1 " + status + b" ")
    assert answer.count(b"HTTP/1.1 ") == 1, "one request per connection, whatever follows it"


def test_unfinished_request_is_closed() -> None:
    """A request that is never finished is closed."""
    assert raw(b"GET /status HTTP/1.1\r\nHost: localhost\r\n", QUICK) == b""


def test_refusal_and_bug_have_status() -> None:
    """A command's refusal and a bug have their status."""

    async def fail(request: Request) -> Answer:
        raise RuntimeError("a bug")

    assert get("/status", status=SocketCommand(away, ""))[0] == 503
    assert get("/status", status=SocketCommand(fail, ""))[0] == 500


def test_http_needs_token_beyond_loopback() -> None:
    """Beyond loopback http needs the token too."""

    def ask(port: int, headers: dict[str, str]) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/health", headers=headers)
        return connection.getresponse().status

    async def talk() -> list[int]:
        server = StatusServer("0.0.0.0", 0, PAGES, "secret")
        await server.start()
        try:
            return [
                await asyncio.to_thread(ask, server.port, headers)
                for headers in (
                    {},
                    {"Authorization": "Basic secret"},
                    {"Authorization": "Bearer guess"},
                    {"Authorization": "bearer secret"},
                )
            ]
        finally:
            await server.close()

    assert asyncio.run(talk()) == [401, 401, 401, 200]


@given(st.lists(st.binary(max_size=60), max_size=4), st.sampled_from([b"\r\n", b"\n"]))
def test_any_header_bytes_are_answered(lines: list[bytes], end: bytes) -> None:
    # Long enough that a loaded machine reads the whole line in it, short enough for a body that never comes.
    """Any header bytes end in an answer or a close."""
    patient = Limits(line_seconds=5.0)
    answer = raw(b"GET /status HTTP/1.1" + end + end.join(lines) + end + end, patient)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")


def test_any_json_makes_figures() -> None:
    """Any json is a figure or no figure."""
    strange: dict[str, Any] = {"list": [1], "text": "x", "none": None, "deep": {"er": {"est": 7}}}
    assert exposition({"figures": strange}) == "# TYPE tracker_deep_er_est gauge\ntracker_deep_er_est 7\n"
