"""Asking the daemon: the client, the token file and the form of requests and answers."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.status.test_server import serving
from tracker.status.client import NotReachable, ask, connect_to, read_token
from tracker.status.protocol import BadRequest, encode, parse
from tracker.status.server import make_token


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
