"""Asking the daemon: the client, the token file and the form of requests and answers."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.status_rig import serving
from tracker.status.client import NotReachable, ask, connect_to
from tracker.status.protocol import BadRequest, encode, parse


@given(st.binary(max_size=200))
def test_any_line_is_parsed(line: bytes) -> None:
    """Any line is a request or a bad one."""
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
def test_answers_are_ascii_lines(value: Any) -> None:
    """Answers are one line of ascii whatever they hold."""
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


def test_answer_comes_in_pieces() -> None:
    """The client takes an answer in pieces of any size."""

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
def test_foreign_server_is_refused(answer: bytes, words: str) -> None:
    """Another server on the port is not taken for the daemon."""

    def reply(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(answer)

    with listener(reply) as port, pytest.raises(NotReachable, match=words):
        ask("127.0.0.1", port, {"command": "status"})


def test_client_waits_within_bound() -> None:
    """A daemon that gives no answer is not waited for longer than asked."""
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


def test_closed_port_and_unknown_host() -> None:
    """A closed port and an unknown host are reported apart."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(
        NotReachable,
        match=r"^the tracker is not running: nothing listens on 127\.0\.0\.1:\d+; start it with `tracker",
    ):
        ask("127.0.0.1", port, {"command": "status"})
    with pytest.raises(NotReachable, match=r"cannot be reached \(.+\); check status\.host"):
        ask("no such host", 1, {"command": "status"})


def test_wildcard_host_is_loopback() -> None:
    """A daemon bound everywhere is asked on loopback."""
    assert [connect_to(host) for host in ("0.0.0.0", "::", "10.0.0.5")] == ["127.0.0.1", "::1", "10.0.0.5"]
