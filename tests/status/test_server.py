"""The status socket: what it answers, and what it does not put up with."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from tests.support.status_rig import (
    COMMANDS,
    QUICK,
    TOKEN,
    code,
    connected,
    exchange,
    last_words,
    logged,
    serving,
    until,
)
from tracker.status.protocol import (
    Answer,
    Request,
    SocketCommand,
    is_loopback,
)
from tracker.status.server import CannotListen, Limits, StatusServer


def test_word_and_json_are_alike() -> None:
    """A word and a json object are answered alike."""
    word, json_object = exchange(b"status\n", {"command": "status"})
    assert word == json_object == {"ok": True, "schema": 1, "request": {"command": "status"}}


def test_any_line_end_is_read() -> None:
    """Line ends of other systems and spaces are accepted."""
    (answer,) = exchange(b"  status \r\n")
    assert answer["ok"] is True


def test_request_without_newline() -> None:
    """A request without a newline is answered at the end of the stream."""

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
    assert set(answer["commands"]) == {*COMMANDS, "ping", "help", "health"}


def test_unknown_command_names_nearest() -> None:
    """An unknown command is answered with the nearest and the connection stays."""
    wrong, right = exchange(b"statsu\n", b"ping\n")
    assert code(wrong) == "unknown_command"
    assert "'status'" in wrong["error"]["message"]
    assert right["pong"] is True


def test_command_refuses_in_words() -> None:
    """A command refuses in its own words."""
    (answer,) = exchange(b"refuse\n")
    assert answer["error"] == {
        "code": "no_such_fill",
        "message": "there is no fill 7; `tracker fills` lists them",
    }


@pytest.mark.parametrize("command", ["ping", "help", "health"])
def test_unknown_argument_is_refused(command: str) -> None:
    """A command without arguments does not answer as if one counted."""
    (answer,) = exchange(json.dumps({"command": command, "since": "today"}).encode() + b"\n")
    assert answer["error"]["message"] == f"{command} has no argument 'since'; it has none"


@pytest.mark.parametrize("command", ["fail", "no_json"])
def test_command_bug_is_logged(command: str) -> None:
    """A bug in a command is logged counted and answered."""

    async def talk() -> tuple[dict[str, Any], dict[str, Any], Any]:
        async with serving() as server, connected(server) as client:
            failed = await client.asks({"command": command})
            return failed, await client.asks(b"ping\n"), server.figures()["internal_errors_total"]

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


def test_changing_argument_needs_token() -> None:
    """An argument can make a command one that changes something."""
    dry, applied = exchange({"command": "reconcile", "apply": False}, {"command": "reconcile", "apply": True})
    assert dry["ok"] is True
    assert code(applied) == "token_required"


def test_no_token_no_change() -> None:
    """Without a token nothing can be changed."""

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


def test_token_required_beyond_loopback() -> None:
    """Beyond loopback there must be a token."""
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
        (b"\n", "is not a request"),
        (b"status now\n", "is not a request"),
        (b'["status"]\n', "is not a request"),
        (b"{\n", "cannot be read"),
        (b'{"command": NaN}\n', "NaN is no JSON number"),
        (b'{"n": ' + b"9" * 5000 + b"}\n", "cannot be read"),
        (b"{}\n", "has no command"),
        (b'{"command": ["status"]}\n', "has no command"),
        (b'{"command": "status", "a": ' + b"[" * 15_000 + b"\n", "the JSON "),  # 3.14 can read it
        (b"x" * 60_000 + b"\n", "unknown"),
        (b"\x16\x03\x01 a browser that wants TLS\n", "is not a request"),
    ],
)
def test_bad_request_is_refused(line: bytes, words: str) -> None:
    """What is no request is refused shortly."""
    if words == "unknown":
        (answer,) = exchange(line)
    else:
        answer = last_words(line)
        assert code(answer) == "bad_request"
        assert words in answer["error"]["message"]
    assert len(answer["error"]["message"]) < 200


def test_long_line_ends_connection() -> None:
    """A line that is too long ends the connection."""
    answer = last_words(b'{"command": "' + b"x" * 70_000)
    assert "longer than 16384 bytes" in answer["error"]["message"]


@pytest.mark.parametrize("data", [b"", b"sta"])
def test_endless_line_ends_connection(data: bytes) -> None:
    """A line that never ends ends the connection."""
    answer = last_words(data, QUICK)
    assert "no whole line came within 0.2 s" in answer["error"]["message"]


def test_trickling_line_ends_connection() -> None:
    """A line that trickles in ends the connection."""

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
def test_browser_cannot_smuggle_commands(method: str) -> None:
    """A browser cannot smuggle a command in."""
    ran = []

    async def observe(request: Request) -> Answer:
        ran.append(request)
        return {}

    async def talk() -> None:
        async with serving(status=SocketCommand(observe, "")) as server, connected(server) as client:
            body = b"\r\n\r\nstatus\n" + b'{"command": "status"}\n'
            await client.say(method.encode() + b" / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 30" + body)
            assert await client.ended()

    asyncio.run(talk())
    assert ran == []


def test_busy_server_refuses_and_recovers() -> None:
    """One connection too many is turned away and room is made again."""

    async def talk() -> None:
        async with serving(Limits(connections=2, reserved_connections=0)) as server:
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
            assert server.figures()["refused_connections_total"] == 1

    asyncio.run(talk())


def test_unread_answer_drops_client() -> None:
    """A client that reads nothing is dropped."""

    async def much(request: Request) -> Answer:
        return {"text": "x" * 20_000_000}

    async def talk() -> None:
        async with serving(QUICK, much=SocketCommand(much, "")) as server:
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(b"much\n")
                await until(lambda: server.figures()["requests_total"] == 1)
                await until(lambda: server.figures()["connections"] == 0)

    asyncio.run(talk())


def test_leaving_client_harms_nobody() -> None:
    """A client that leaves while its command runs changes nothing for others."""

    async def talk() -> None:
        entered, go = asyncio.Event(), asyncio.Event()

        async def slow(request: Request) -> Answer:
            entered.set()
            await go.wait()
            return {"text": "x" * 1_000_000}

        async with serving(slow=SocketCommand(slow, "")) as server:
            async with connected(server) as leaving:
                await leaving.say(b"slow\n")
                await entered.wait()
            go.set()
            async with connected(server) as staying:
                assert (await staying.asks(b"ping\n"))["pong"]
            await until(lambda: server.figures()["connections"] == 0)

    asyncio.run(talk())


def test_requests_are_paced() -> None:
    """A crowd of requests keeps to the pace and lets others through."""

    async def talk() -> None:
        limits = Limits(requests_per_second=100, burst=5)
        async with serving(limits) as server, connected(server) as greedy, connected(server) as modest:
            began = asyncio.get_running_loop().time()
            await greedy.say(b"ping\n" * 1000)
            assert (await modest.asks(b"ping\n"))["pong"]
            assert server.figures()["requests_total"] in range(1, 500), "the modest one was not served last"
            for _ in range(25):
                assert (await greedy.hear())["pong"]
            assert asyncio.get_running_loop().time() - began > 0.15, "20 of 25 waited 10 ms each"

    asyncio.run(talk())


def test_slow_command_is_cut_off() -> None:
    """A command that takes too long is cut off."""

    async def hang(request: Request) -> Answer:
        await asyncio.Event().wait()
        return {}

    async def talk() -> list[dict[str, Any]]:
        limits = Limits(answer_seconds=0.05)
        async with serving(limits, hang=SocketCommand(hang, "")) as server, connected(server) as client:
            return [await client.asks(b"hang\n"), await client.asks(b"ping\n")]

    cut, after = asyncio.run(talk())
    assert code(cut) == "timeout"
    assert after["pong"] is True


def test_command_has_a_time_of_its_own() -> None:
    """One that may take longer than others is given that time, and no more."""

    async def work(request: Request) -> Answer:
        await asyncio.sleep(0.2 if request.get("much") is None else 60)
        return {"worked": True}

    async def talk() -> list[dict[str, Any]]:
        limits = Limits(answer_seconds=0.05)
        command = SocketCommand(work, "", seconds=2.0)
        async with serving(limits, work=command) as server, connected(server) as client:
            return [await client.asks(b"work\n"), await client.asks(b'{"command": "work", "much": true}\n')]

    done, cut = asyncio.run(talk())
    assert done["worked"]
    assert code(cut) == "timeout"
    assert "longer than 2 s" in cut["error"]["message"]


def test_inner_timeout_is_a_bug() -> None:
    """A timeout inside a command is not taken for its own."""

    async def late(request: Request) -> Answer:
        raise TimeoutError

    async def talk() -> dict[str, Any]:
        async with serving(late=SocketCommand(late, "")) as server, connected(server) as client:
            return await client.asks(b"late\n")

    with logged() as lines:
        assert code(asyncio.run(talk())) == "internal"
    assert lines


def test_close_lets_command_end() -> None:
    """Closing lets a command under way end and drops the idle."""

    async def talk() -> None:
        entered, go = asyncio.Event(), asyncio.Event()

        async def slow(request: Request) -> Answer:
            entered.set()
            await go.wait()
            return {"done": True}

        server = StatusServer("127.0.0.1", 0, {"slow": SocketCommand(slow, "")}, TOKEN)
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


def test_endless_command_does_not_block_close() -> None:
    """A command that does not end does not hold up closing."""

    async def talk() -> None:
        entered = asyncio.Event()

        async def hang(request: Request) -> Answer:
            entered.set()
            await asyncio.Event().wait()
            return {}

        async with serving(QUICK, hang=SocketCommand(hang, "")) as server, connected(server) as client:
            await client.say(b"hang\n")
            await entered.wait()
            await asyncio.wait_for(server.close(), 10)
            assert await client.ended()

    asyncio.run(talk())


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_foreign_host_names_its_next_step(host: str) -> None:
    """A host that is nobody's, or another machine's: no other port would help."""

    async def talk() -> None:
        server = StatusServer(host, 0, COMMANDS, TOKEN)
        with pytest.raises(
            CannotListen, match=r"; set status\.host to a name or an address of this machine$"
        ):
            await server.start()
        await server.close()

    asyncio.run(talk())


def test_taken_port_names_setting() -> None:
    """A port that is taken is reported with the setting."""

    async def talk() -> None:
        async with serving() as server:
            second = StatusServer("127.0.0.1", server.port, COMMANDS, TOKEN)
            with pytest.raises(
                CannotListen, match=rf"^status\.host 127\.0\.0\.1, status\.port {server.port}: "
            ):
                await second.start()
            await second.close()

    asyncio.run(talk())
