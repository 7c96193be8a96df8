"""The status socket: what it answers, and what it does not put up with."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from tracker.status.client import NotReachable, ask, connect_to, read_token
from tracker.status.protocol import (
    Answer,
    BadRequest,
    Command,
    CommandError,
    Request,
    always,
    encode,
    is_loopback,
    parse,
    with_argument,
)
from tracker.status.server import CannotListen, Limits, StatusServer, make_token
from tracker.status.summary import WIDTH, summarise

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
    "status": Command(echo, "say how the tracker is"),
    "refuse": Command(refuse, "refuse"),
    "fail": Command(fail, "fail"),
    "no_json": Command(no_json, "answer what JSON cannot say"),
    "assign": Command(echo, "assign a fill", always),
    "reconcile": Command(echo, "compare", with_argument("apply")),
}


@asynccontextmanager
async def serving(limits: Limits | None = None, **commands: Command) -> AsyncIterator[StatusServer]:
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
    sink = logger.add(lambda message: lines.append(str(message)), level="ERROR")
    try:
        yield lines
    finally:
        logger.remove(sink)


def test_a_word_and_a_json_object_are_answered_alike() -> None:
    word, json_object = exchange(b"status\n", {"command": "status"})
    assert word == json_object == {"ok": True, "schema": 1, "request": {"command": "status"}}


def test_line_ends_of_other_systems_and_spaces_are_no_matter() -> None:
    (answer,) = exchange(b"  status \r\n")
    assert answer["ok"] is True


def test_a_request_without_a_newline_is_answered_at_the_end_of_the_stream() -> None:
    async def talk() -> dict[str, Any]:
        async with serving() as server, connected(server) as client:
            await client.say(b"ping")
            client.writer.write_eof()
            answer = await client.hear()
            assert await client.ended()
            return answer

    assert asyncio.run(talk()) == {"ok": True, "schema": 1, "pong": True}


def test_help_lists_every_command() -> None:
    (answer,) = exchange(b"help\n")
    assert set(answer["commands"]) == {*COMMANDS, "ping", "help"}


def test_an_unknown_command_is_answered_with_the_nearest_and_the_connection_stays() -> None:
    wrong, right = exchange(b"statsu\n", b"ping\n")
    assert code(wrong) == "unknown_command"
    assert "'status'" in wrong["error"]["message"]
    assert right["pong"] is True


def test_a_command_refuses_in_its_own_words() -> None:
    (answer,) = exchange(b"refuse\n")
    assert answer["error"] == {
        "code": "no_such_fill",
        "message": "there is no fill 7; `tracker fills` lists them",
    }


@pytest.mark.parametrize("command", ["fail", "no_json"])
def test_a_bug_in_a_command_is_logged_counted_and_answered(command: str) -> None:
    async def talk() -> tuple[dict[str, Any], dict[str, Any], Any]:
        async with serving() as server, connected(server) as client:
            failed = await client.asks({"command": command})
            return failed, await client.asks(b"ping\n"), server.figures()["internal_errors"]

    with logged() as lines:
        failed, after, errors = asyncio.run(talk())
    assert code(failed) == "internal"
    assert after["pong"] is True
    assert errors == 1
    assert f"the command {command} failed" in lines[0]


def test_what_changes_something_needs_the_token() -> None:
    bare, wrong, strange, number, right = exchange(
        {"command": "assign"},
        {"command": "assign", "token": "guess"},
        {"command": "assign", "token": "\ud800"},
        {"command": "assign", "token": 5},
        {"command": "assign", "token": TOKEN},
    )
    assert [code(each) for each in (bare, wrong, strange, number)] == [
        "token_required", "token_wrong", "token_wrong", "token_required",
    ]  # fmt: skip
    assert right["ok"] is True


def test_an_argument_can_make_a_command_one_that_changes_something() -> None:
    dry, applied = exchange({"command": "reconcile", "apply": False}, {"command": "reconcile", "apply": True})
    assert dry["ok"] is True
    assert code(applied) == "token_required"


def test_without_a_token_nothing_can_be_changed() -> None:
    async def talk() -> dict[str, Any]:
        server = StatusServer("127.0.0.1", 0, COMMANDS, "")
        await server.start()
        try:
            async with connected(server) as client:
                return await client.asks({"command": "assign", "token": ""})
        finally:
            await server.close()

    assert code(asyncio.run(talk())) == "token_wrong"


def test_beyond_loopback_everything_needs_the_token() -> None:
    async def talk() -> list[dict[str, Any]]:
        server = StatusServer("0.0.0.0", 0, COMMANDS, TOKEN)
        await server.start()
        try:
            async with connected(server) as client:
                return [
                    await client.asks(b"ping\n"),
                    await client.asks(b"nonsense\n"),
                    await client.asks({"command": "ping", "token": TOKEN}),
                ]
        finally:
            await server.close()

    bare, unknown, right = asyncio.run(talk())
    assert code(bare) == code(unknown) == "token_required"
    assert right["pong"] is True


def test_beyond_loopback_there_must_be_a_token() -> None:
    with pytest.raises(ValueError, match="can be reached from elsewhere"):
        StatusServer("0.0.0.0", 0, COMMANDS, "")


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("", False), ("192.168.1.5", False), ("localhost.example", False),
    ],
)  # fmt: skip
def test_loopback_is_told_from_the_rest(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"\xff\xfe status\n", "not UTF-8 (byte 0)"),
        (b"\n", "is no request"),
        (b"status now\n", "is no request"),
        (b'["status"]\n', "is no request"),
        (b"{\n", "cannot be read"),
        (b'{"command": NaN}\n', "NaN is no JSON number"),
        (b'{"n": ' + b"9" * 5000 + b"}\n", "cannot be read"),
        (b"{}\n", "has no command"),
        (b'{"command": ["status"]}\n', "has no command"),
        (b'{"command": "status", "a": ' + b"[" * 60_000 + b"\n", "nested too deeply"),
        (b"x" * 60_000 + b"\n", "unknown"),
        (b"\x16\x03\x01 a browser that wants TLS\n", "is no request"),
    ],
)
def test_what_is_no_request_is_refused_shortly(line: bytes, words: str) -> None:
    if words == "unknown":
        (answer,) = exchange(line)
    else:
        answer = last_words(line)
        assert code(answer) == "bad_request"
        assert words in answer["error"]["message"]
    assert len(answer["error"]["message"]) < 200


def test_a_line_that_is_too_long_ends_the_connection() -> None:
    answer = last_words(b'{"command": "' + b"x" * 70_000)
    assert "longer than 65536 bytes" in answer["error"]["message"]


@pytest.mark.parametrize("data", [b"", b"sta"])
def test_a_line_that_never_ends_ends_the_connection(data: bytes) -> None:
    answer = last_words(data, QUICK)
    assert "no whole line came within 0.2 s" in answer["error"]["message"]


def test_a_line_that_trickles_in_ends_the_connection() -> None:
    async def talk() -> None:
        async with serving(QUICK) as server, connected(server) as client:

            async def trickle() -> None:
                while True:
                    await client.say(b"x")
                    await asyncio.sleep(0.02)

            drip = asyncio.create_task(trickle())
            assert code(await client.hear()) == "bad_request"
            drip.cancel()
            await asyncio.gather(drip, return_exceptions=True)

    asyncio.run(talk())


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "TRACE"])
def test_a_browser_cannot_smuggle_a_command_in(method: str) -> None:
    ran = []

    async def observe(request: Request) -> Answer:
        ran.append(request)
        return {}

    async def talk() -> None:
        async with serving(status=Command(observe, "")) as server, connected(server) as client:
            body = b"\r\n\r\nstatus\n" + b'{"command": "status"}\n'
            await client.say(method.encode() + b" / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 30" + body)
            assert await client.ended()

    asyncio.run(talk())
    assert ran == []


def test_one_connection_too_many_is_turned_away_and_room_is_made_again() -> None:
    async def talk() -> None:
        async with serving(Limits(connections=2)) as server:
            async with connected(server) as one, connected(server) as two:
                assert (await one.asks(b"ping\n"))["pong"]
                assert (await two.asks(b"ping\n"))["pong"]
                async with connected(server) as three:
                    assert code(await three.hear()) == "busy"
                    assert await three.ended()
                assert (await one.asks(b"ping\n"))["pong"], "those inside notice nothing"
            await until(lambda: server.figures()["connections"] == 0)
            async with connected(server) as four:
                assert (await four.asks(b"ping\n"))["pong"]
            assert server.figures()["refused_connections"] == 1

    asyncio.run(talk())


def test_a_client_that_reads_nothing_is_dropped() -> None:
    async def much(request: Request) -> Answer:
        return {"text": "x" * 20_000_000}

    async def talk() -> None:
        async with serving(QUICK, much=Command(much, "")) as server:
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(b"much\n")
                await until(lambda: server.figures()["requests"] == 1)
                await until(lambda: server.figures()["connections"] == 0)

    asyncio.run(talk())


def test_a_client_that_leaves_while_its_command_runs_changes_nothing_for_others() -> None:
    async def talk() -> None:
        entered, go = asyncio.Event(), asyncio.Event()

        async def slow(request: Request) -> Answer:
            entered.set()
            await go.wait()
            return {"text": "x" * 1_000_000}

        async with serving(slow=Command(slow, "")) as server:
            async with connected(server) as leaving:
                await leaving.say(b"slow\n")
                await entered.wait()
            go.set()
            async with connected(server) as staying:
                assert (await staying.asks(b"ping\n"))["pong"]
            await until(lambda: server.figures()["connections"] == 0)

    asyncio.run(talk())


def test_a_thousand_requests_at_once_wait_their_turn() -> None:
    async def talk() -> None:
        async with serving() as server, connected(server) as greedy, connected(server) as modest:
            await greedy.say(b"ping\n" * 1000)
            assert (await modest.asks(b"ping\n"))["pong"]
            served = server.figures()["requests"]
            assert isinstance(served, int)
            assert served < 500, "the modest one was not served last"
            for _ in range(1000):
                assert (await greedy.hear())["pong"]

    asyncio.run(talk())


def test_a_command_that_takes_too_long_is_cut_off() -> None:
    async def hang(request: Request) -> Answer:
        await asyncio.Event().wait()
        return {}

    async def talk() -> list[dict[str, Any]]:
        limits = Limits(answer_seconds=0.05)
        async with serving(limits, hang=Command(hang, "")) as server, connected(server) as client:
            return [await client.asks(b"hang\n"), await client.asks(b"ping\n")]

    cut, after = asyncio.run(talk())
    assert code(cut) == "timeout"
    assert after["pong"] is True


def test_a_timeout_inside_a_command_is_not_taken_for_its_own() -> None:
    async def late(request: Request) -> Answer:
        raise TimeoutError

    async def talk() -> dict[str, Any]:
        async with serving(late=Command(late, "")) as server, connected(server) as client:
            return await client.asks(b"late\n")

    with logged() as lines:
        assert code(asyncio.run(talk())) == "internal"
    assert lines


def test_closing_lets_a_command_under_way_end_and_drops_the_idle() -> None:
    async def talk() -> None:
        entered, go = asyncio.Event(), asyncio.Event()

        async def slow(request: Request) -> Answer:
            entered.set()
            await go.wait()
            return {"done": True}

        server = StatusServer("127.0.0.1", 0, {"slow": Command(slow, "")}, TOKEN)
        await server.start()
        async with connected(server) as idle, connected(server) as busy:
            assert (await idle.asks(b"ping\n"))["pong"]
            await busy.say(b"slow\n")
            await entered.wait()
            closing = asyncio.create_task(server.close())
            await asyncio.sleep(0)
            go.set()
            assert (await busy.hear())["done"] is True
            await asyncio.wait_for(closing, 10)
            assert await idle.ended()
            assert await busy.ended()

    asyncio.run(talk())


def test_a_command_that_does_not_end_does_not_hold_up_closing() -> None:
    async def talk() -> None:
        entered = asyncio.Event()

        async def hang(request: Request) -> Answer:
            entered.set()
            await asyncio.Event().wait()
            return {}

        async with serving(QUICK, hang=Command(hang, "")) as server, connected(server) as client:
            await client.say(b"hang\n")
            await entered.wait()
            await asyncio.wait_for(server.close(), 10)
            assert await client.ended()

    asyncio.run(talk())


def test_a_port_that_is_taken_is_told_with_the_setting() -> None:
    async def talk() -> None:
        async with serving() as server:
            second = StatusServer("127.0.0.1", server.port, COMMANDS, TOKEN)
            with pytest.raises(
                CannotListen, match=rf"^status\.host 127\.0\.0\.1, status\.port {server.port}: "
            ):
                await second.start()
            await second.close()

    asyncio.run(talk())


def test_the_token_file_is_private_and_new_each_time(tmp_path: Path) -> None:
    path = tmp_path / "status.token"
    path.write_text("old")
    path.chmod(0o644)
    token = make_token(path)
    assert read_token(path) == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert make_token(path) != token
    assert [file.name for file in tmp_path.iterdir()] == ["status.token"]


def test_a_token_is_never_written_through_a_planted_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f".token.{os.getpid()}").symlink_to(victim)
    (tmp_path / "token").symlink_to(victim)
    make_token(tmp_path / "token")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "token").is_symlink()


def test_a_token_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert read_token(tmp_path / "gone") is None


@given(st.binary(max_size=200))
def test_any_line_is_a_request_or_a_bad_one(line: bytes) -> None:
    try:
        command = parse(line)["command"]
    except BadRequest as error:
        command = error.message
    assert isinstance(command, str)
    assert "\n" not in command


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_answers_are_one_line_of_ascii_whatever_they_hold(value: Any) -> None:
    line = encode({"value": value})
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert json.loads(line)["value"] == value


@contextmanager
def listener(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Take one connection and do this with it; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield int(server.getsockname()[1])
        thread.join(10)


def test_the_client_asks_the_server() -> None:
    async def talk() -> dict[str, Any]:
        async with serving() as server:
            request = {"command": "status", "more": "ü"}
            return await asyncio.to_thread(ask, "127.0.0.1", server.port, request)

    assert asyncio.run(talk())["request"] == {"command": "status", "more": "ü"}


def test_the_client_takes_an_answer_in_pieces_of_any_size() -> None:
    def trickle(connection: socket.socket) -> None:
        connection.recv(100)
        for byte in b'{"ok": true, "n": 5}\n':
            connection.sendall(bytes([byte]))

    with listener(trickle) as port:
        assert ask("127.0.0.1", port, {"command": "x"}) == {"ok": True, "n": 5}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\n", "is not the tracker"),
        (b"[1]\n", "is not the tracker"),
        (b"{}\n", "is not the tracker"),
        (b"\xff\n", "is not the tracker"),
        (b"", "without an answer"),
    ],
)
def test_another_server_on_the_port_is_not_taken_for_the_daemon(answer: bytes, words: str) -> None:
    def reply(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(answer)

    with listener(reply) as port, pytest.raises(NotReachable, match=words):
        ask("127.0.0.1", port, {"command": "status"})


def test_a_daemon_that_gives_no_answer_is_not_waited_for_longer_than_asked() -> None:
    finished = threading.Event()

    def trickle(connection: socket.socket) -> None:
        while not finished.is_set():
            try:
                connection.sendall(b" ")
            except OSError:
                return
            finished.wait(0.02)

    with listener(trickle) as port:
        try:
            with pytest.raises(NotReachable, match=r"no answer within 0\.1 s"):
                ask("127.0.0.1", port, {"command": "status"}, 0.1)
        finally:
            finished.set()


def test_a_closed_port_and_an_unknown_host_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(
        NotReachable, match=r"^no daemon listens on 127\.0\.0\.1:\d+; start it with `tracker run`"
    ):
        ask("127.0.0.1", port, {"command": "status"})
    with pytest.raises(NotReachable, match=r"cannot be reached \(.+\); check \[status\] host"):
        ask("no such host", 1, {"command": "status"})


def test_a_daemon_bound_everywhere_is_asked_on_loopback() -> None:
    assert [connect_to(host) for host in ("0.0.0.0", "::", "10.0.0.5")] == ["127.0.0.1", "::1", "10.0.0.5"]


STATUS: dict[str, Any] = {
    "ok": True,
    "schema": 1,
    "running": True,
    "subscribed": False,
    "last_polled_at": None,
    "stats": {"orders_processed": 12, "alerts_updated": 7, "last_update": "2025-11-18T15:43:10+00:00"},
    "now": "2025-11-18T15:45:10+00:00",
    "started_at": "2025-11-17T12:00:00+00:00",
    "link": {
        "state": "waiting",
        "since": "2025-11-18T15:44:50+00:00",
        "reason": "client id 0 is in use by another session; end that one, or choose another"
        " gateway.client_id",
        "next_attempt_at": "2025-11-18T15:45:18+00:00",
        "accounts": ["DU1234567"],
        "last_frame_at": None,
    },
    "needs_you": {"ambiguous": 2, "near_miss": 0, "undecodable": 1},
    "store": {"away": {}, "undelivered": 0},
    "fees_pending": 3,
}


def test_the_summary_says_what_matters_first_and_in_words() -> None:
    assert summarise(STATUS).splitlines() == [
        "Running, but NOT receiving fills.",
        "link                waiting since 2025-11-18 15:44:50 UTC (20 s ago)",
        "reason              client id 0 is in use by another session; end that one, or",
        "                    choose another gateway.client_id",
        "next attempt        2025-11-18 15:45:18 UTC (8 s from now)",
        "accounts            DU1234567",
        "needs you           2 ambiguous, 1 undecodable",
        "last sweep          never",
        "fills counted       12",
        "alerts updated      7, last 2025-11-18 15:43:10 UTC (2 min ago)",
        "started             2025-11-17 12:00:00 UTC (1 d ago)",
        "store               away none, undelivered 0",
        "fees pending        3",
    ]


def without(mapping: dict[str, Any], keys: set[str]) -> dict[str, Any]:
    return {
        key: without(value, keys) if isinstance(value, dict) else value
        for key, value in mapping.items()
        if key not in keys
    }


@given(st.sets(st.sampled_from([*STATUS, *STATUS["link"], *STATUS["stats"]])))
def test_the_summary_puts_up_with_any_missing_field(gone: set[str]) -> None:
    lines = summarise(without(STATUS, gone)).splitlines()
    assert lines[0].startswith("Running")
    assert max(map(len, lines)) <= WIDTH


@given(
    st.dictionaries(
        st.sampled_from([*STATUS, "new"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.lists(st.text())
        | st.dictionaries(st.text(), st.integers()),
    )
)
def test_the_summary_puts_up_with_fields_of_another_kind(answer: dict[str, Any]) -> None:
    assert summarise(answer)


def test_the_summary_shows_fields_it_does_not_know_by_their_name() -> None:
    answer = {
        "running": True,
        "subscribed": True,
        "open_gaps": ["2025-11-14"],
        "paused": False,
        "seen_at": STATUS["now"],
    }
    assert summarise(answer).splitlines() == [
        "Running, and receiving fills.",
        "open gaps           2025-11-14",
        "paused              no",
        "seen at             2025-11-18 15:45:10 UTC",
    ]
    assert summarise({"running": False}) == "Not running."
