"""One client's socket: its handshake, its requests and what is sent to it.

Owns the bytes in both directions and their bounds: a client that reads nothing or sends garbage is cut off,
and holds up nobody else. It knows nothing of orders; the function `answer`, which it is given, answers each
request.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from tracker.paper import framing
from tracker.paper.faults import Faults
from tracker.paper.framing import Fields

MAX_BACKLOG_BYTES: Final = 16 << 20
"""The most bytes that wait for a client that does not read; then it is cut off, as by the real gateway."""
_CHUNK_BYTES: Final = 1 << 15
_READ_BYTES: Final = 1 << 16

_log = logging.getLogger(__name__)

Answer: TypeAlias = "Callable[[Connection, Fields], Iterable[Fields]]"
"""Take a request, act on it, return what to send back; the request may close the connection."""


class Connection:
    """Hold one client's link and what it subscribed to."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        faults: Faults,
        answer: Answer,
        highest_version: int,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._faults = faults
        self._answer = answer
        self._highest = highest_version
        self._gathered: list[bytes] | None = None
        self._closed = False
        self._pads = False
        """Whether this is the official client, the only one that knows later versions."""
        self.version = 0
        """The version agreed on; 0 before the handshake."""
        self.client_id: int | None = None
        """The number this client took; None before startApi."""
        self.wants_positions = False
        self.position_requests: dict[int, str] = {}
        """Request id -> account of reqPositionsMulti; an empty account means all."""
        self.profit_requests: dict[int, tuple[str, int]] = {}
        """Request id of reqPnL -> (account, conId; 0 for all of the account)."""
        self.account_updates = ""
        """The account whose values are pushed; empty for none."""
        self.binds = False
        """Client 0 only: manual orders are given numbers and shown to it."""
        self.hang_up = False
        """Close once the current answer is written."""

    @property
    def ready(self) -> bool:
        """Whether messages may be pushed: startApi came and the link is up."""
        return self.client_id is not None and not self._closed

    @property
    def _name(self) -> str:
        return "a client" if self.client_id is None else f"client {self.client_id}"

    async def run(self, connected_at: str) -> None:
        """Serve the client until either side closes; `connected_at` is the handshake's second field."""
        try:
            rest = await self._shake_hands(connected_at)
            if rest is not None:
                await self._serve(rest)
        except framing.WireError as error:
            _log.warning("paper gateway: %s was cut off: %s", self._name, error)
        except ConnectionError as error:
            _log.info("paper gateway: %s is gone: %s", self._name, error)
        finally:
            self.close()

    async def _shake_hands(self, connected_at: str) -> bytes | None:
        reader = framing.HelloReader()
        while data := await self._reader.read(_READ_BYTES):
            found = reader.feed(data)
            if found is None:
                continue
            hello, rest = found
            version = framing.negotiate(hello, self._highest)
            if version is None:
                raise framing.WireError(framing.no_common_version(hello, self._highest))
            self.version = version
            self._pads = hello.highest > framing.MAX_VERSION
            # Alone in its packet: the official client loses what is glued to it.
            self._write(framing.frame((str(version), connected_at)))
            return rest
        return None

    async def _serve(self, data: bytes) -> None:
        frames = framing.FrameReader()
        while True:
            for fields in frames.feed(data):
                await self._reply(fields)
                if self.hang_up:
                    return
            data = await self._reader.read(_READ_BYTES)
            if not data:
                return

    async def _reply(self, fields: Fields) -> None:
        chunk = bytearray()
        for message in self._answer(self, fields):
            chunk += framing.frame(message)
            if len(chunk) >= _CHUNK_BYTES:
                self._write(bytes(chunk))
                chunk.clear()
                await self._writer.drain()
                # A client that reads fast is never waited for, and others want their turn.
                await asyncio.sleep(0)
        if chunk:
            self._write(bytes(chunk))
        await self._writer.drain()

    def push(self, fields: Fields) -> None:
        """Send a message nobody asked for."""
        self.push_bytes(framing.frame(fields))

    def push_bytes(self, data: bytes) -> None:
        """Send bytes as they are, in one write or with the others of `gather`."""
        if self._gathered is not None:
            self._gathered.append(data)
        else:
            self._write(data)

    def gather(self) -> None:
        """Hold pushes back until `release`."""
        if self._gathered is None:
            self._gathered = []

    def release(self) -> None:
        """Send what was held back in a single write."""
        gathered, self._gathered = self._gathered, None
        if gathered:
            self._write(b"".join(gathered))

    def close(self, *, at_once: bool = False) -> None:
        """Close the link; what is written already still goes out, unless it must be closed at once."""
        self._closed = True
        self._writer.close()
        if at_once and self._writer.transport.get_write_buffer_size():
            self._writer.transport.abort()

    def abort(self) -> None:
        """Cut the client off at once."""
        self._closed = True
        self._writer.transport.abort()

    def reset(self) -> None:
        """End the link by RST, whatever waits in either direction."""
        link: socket.socket = self._writer.get_extra_info("socket")
        # Lingering for no time at all: closing sends RST in place of FIN.
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def _write(self, data: bytes) -> None:
        if self._closed or self._faults.silent:
            return
        if self._pads and len(data) % 4096 == 0:
            # Its reader loses a message that ends with a read of 4096 bytes; an empty frame is ignored.
            data += b"\0\0\0\0"
        self._writer.write(data)
        waiting = self._writer.transport.get_write_buffer_size()
        if waiting > MAX_BACKLOG_BYTES:
            _log.warning(
                "paper gateway: %s was cut off: it reads nothing, and %d bytes wait", self._name, waiting
            )
            self.abort()
