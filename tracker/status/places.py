"""Share a bounded number of connections, so that a crowd cannot keep out health checks or clients with the
token.

Owns which connections stay when more clients come than there are places. It never reads a line: the server
says what each connection waits for. When all places are taken, the connection that has waited longest for its
client (to send a line or to read the answer) gives up its place to a newcomer. If none is waiting, a few
reserved places are left, which only a client with the token or one that asks for health may keep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

GRACE_SECONDS: Final = 0.1
"""Seconds that a client may take before another may have its place; most clients send a line at once."""


class ConnectionPlace:
    """Hold one connection's place."""

    def __init__(self, connection: asyncio.Task[None], now: float, *, reserved: bool) -> None:
        self.connection = connection
        self.reserved = reserved
        """Whether it is a reserved place, which must be given back unless its client has the token or asks
        for health.
        """
        self.trusted = False
        """Whether its client has shown the token, so that its place is never taken."""
        self.waits_since: float | None = now
        """Since when the connection waits for its client, in the loop's seconds; None while the server works
        for it.
        """

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Note that the connection waits for its client: to send a line, or to read the answer."""
        self.waits_since = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            self.waits_since = None


class Places:
    """Give places to connections, at most `ordinary` and `reserved` of them."""

    def __init__(self, ordinary: int, reserved: int) -> None:
        self._ordinary = ordinary
        self._reserved = reserved
        self._taken: dict[asyncio.Task[None], ConnectionPlace] = {}
        self.sent_away = 0
        """Connections that had to give up their place, since the start."""

    def __len__(self) -> int:
        return len(self._taken)

    def connections(self) -> tuple[asyncio.Task[None], ...]:
        """Return the connections that have a place."""
        return tuple(self._taken)

    def enter(self, connection: asyncio.Task[None]) -> ConnectionPlace | None:
        """Give a new connection a place; None where every place has a client that is being served."""
        now = asyncio.get_running_loop().time()
        for reserved, most in ((False, self._ordinary), (True, self._reserved)):
            taken = [place for place in self._taken.values() if place.reserved is reserved]
            if len(taken) < most or self._send_one_away(taken, now):
                place = self._taken[connection] = ConnectionPlace(connection, now, reserved=reserved)
                return place
        return None

    def leave(self, connection: asyncio.Task[None]) -> None:
        """Take back a place."""
        self._taken.pop(connection, None)

    def _send_one_away(self, taken: list[ConnectionPlace], now: float) -> bool:
        idle = [
            (place.waits_since, place)
            for place in taken
            if not place.trusted and place.waits_since is not None and now - place.waits_since > GRACE_SECONDS
        ]
        if not idle:
            return False
        _, longest = min(idle, key=lambda each: each[0])
        self.leave(longest.connection)
        longest.connection.cancel()
        self.sent_away += 1
        return True
