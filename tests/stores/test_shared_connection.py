"""Calls to the shared store end in time, whatever other calls are under way; no server is needed for that."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tracker.stores.shared_connection import Deadlines


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    with ExitStack() as stack:
        made = [socket.socketpair() for _ in range(2)]
        for one in (end for pair in made for end in pair):
            stack.enter_context(one)
        yield made


@pytest.fixture
def deadlines() -> Iterator[Deadlines]:
    made = Deadlines()
    yield made
    made.close()


def waits(deadlines: Deadlines, seconds: float, silent: socket.socket) -> float:
    """Wait for a peer that says nothing; returns how long that took."""
    begun = time.monotonic()
    with deadlines.within(seconds, silent) as overdue:
        assert silent.recv(1) == b""
    assert overdue.is_set()
    return time.monotonic() - begun


def test_shorter_call_beside_a_longer_one(
    deadlines: Deadlines, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    """The thread that waits for the longer one's end looks for the shorter one's as well."""
    (longer, _), (shorter, _) = pairs
    with deadlines.within(60, longer) as overdue:
        assert 0.1 <= waits(deadlines, 0.1, shorter) < 5
        assert not overdue.is_set()


def test_calls_one_after_another(
    deadlines: Deadlines, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    """A call that ended in time leaves no deadline behind, and the next one has its own."""
    (first, _), (second, _) = pairs
    with deadlines.within(0.1, first):
        pass
    assert 0.3 <= waits(deadlines, 0.3, second) < 5
    with deadlines.within(60, first) as overdue:
        assert not overdue.is_set()
    first.send(b"still open")
