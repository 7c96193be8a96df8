"""Accept connections one at a time and at a bounded rate.

Owns the listening sockets and the rate. It never learns what a connection is for. Connections beyond the rate
wait in the kernel, where they cost the tracker nothing.

It does not use `asyncio.start_server`, which accepts all waiting connections at once while everything else on
the loop waits.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from loguru import logger

_WAITING: Final = 512
"""How many connections the kernel keeps until they are accepted."""
_PAUSE_SECONDS: Final = 1.0
"""Seconds until accepting is tried again after it failed because file descriptors or memory ran out."""

OnConnection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Pace:
    """Limit a rate: after a quiet time `burst` of them need not wait, then so many a second."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._step = 1 / per_second
        self._burst = burst
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the next turn; always yields to the event loop once, so that other tasks run."""
        now = asyncio.get_running_loop().time()
        self._next = max(self._next, now - self._burst * self._step) + self._step
        await asyncio.sleep(max(0.0, self._next - now))


class Acceptor:
    """Listen at one address, and pass each connection on as a pair of streams."""

    def __init__(self, on_connection: OnConnection, pace: Pace, line_bytes: int) -> None:
        """Take the function to call for each connection, and the longest line that its reader returns."""
        self._on_connection = on_connection
        self._pace = pace
        self._line_bytes = line_bytes
        self._sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []

    @property
    def port(self) -> int | None:
        """The port in use, None while it is closed."""
        return int(self._sockets[0].getsockname()[1]) if self._sockets else None

    async def listen(self, host: str, port: int) -> None:
        """Listen at each address of the host; port 0 takes a free one. Raises OSError."""
        loop = asyncio.get_running_loop()
        # start_server only looks up the host and binds; accepting is done here.
        bound = await loop.create_server(asyncio.Protocol, host, port, start_serving=False)
        self._sockets = [listening.dup() for listening in bound.sockets]
        bound.close()
        try:
            for listening in self._sockets:
                listening.setblocking(False)
                listening.listen(_WAITING)
        except OSError:
            await self.close()
            raise
        self._accepting = [loop.create_task(self._accept(listening)) for listening in self._sockets]

    async def close(self) -> None:
        """Stop listening; accepted connections go on."""
        accepting, self._accepting = self._accepting, []
        for task in accepting:
            task.cancel()
        await asyncio.gather(*accepting, return_exceptions=True)
        sockets, self._sockets = self._sockets, []
        for listening in sockets:
            listening.close()

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                await _readable(listening)
                # Not `loop.sock_accept`: when cancelled it loses a connection that it has just accepted.
                connection, _ = listening.accept()
                connection.setblocking(False)
                await self._hand_on(connection)
            except BlockingIOError:
                pass  # The client has gone again.
            except OSError as error:
                logger.warning(
                    "the status socket cannot accept a connection ({}); it tries again in {:g} s",
                    error.strerror or error,
                    _PAUSE_SECONDS,
                )
                await asyncio.sleep(_PAUSE_SECONDS)
            except Exception:
                # After any error, the connections behind this one must not wait for ever.
                logger.exception("the status socket dropped a connection because of a bug")
            await self._pace.turn()

    async def _hand_on(self, connection: socket.socket) -> None:
        reader = asyncio.StreamReader(limit=self._line_bytes)
        streams = asyncio.StreamReaderProtocol(reader, self._on_connection)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: streams, connection)


async def _readable(listening: socket.socket) -> None:
    """Wait until a client connects."""
    loop = asyncio.get_running_loop()
    come: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not come.done():
            come.set_result(None)

    loop.add_reader(listening, wake)
    try:
        await come
    finally:
        loop.remove_reader(listening)
