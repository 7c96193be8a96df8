"""A relay between clients and a gateway that records the messages of both.

Owns the sockets: it listens on the loopback only, passes messages on unchanged, and passes each to `record`.
A request that is not permitted is answered here. The layouts of newer protocol versions are not known, so
that names in them could not be found; therefore client and gateway agree on a known version.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from itertools import count
from typing import Final

from loguru import logger

from tracker.core.journal_entries import Fields
from tracker.gateway.framing import announced, objection
from tracker.paper.encode_messages import error as error_message
from tracker.paper.framing import Hello, HelloReader, WireError, frame
from tracker.recordings.message_layouts import NEWEST_VERSION
from tracker.recordings.permitted_requests import why_blocked
from tracker.recordings.transcript import CLIENT, GATEWAY, HANDSHAKE, Line, LinkClosed, Said, Side

LOOPBACK: Final = "127.0.0.1"

_READ_BYTES: Final = 1 << 16
_HELLO_SECONDS: Final = 30.0
_START_API: Final = "71"
_REJECTED: Final = {"3": (1, 201), "4": (2, 399), "21": (2, 321)}
"""Request -> the place of its id, and an error code that clients understand; 399 leaves an order as it is."""


class RecordingProxy:
    """Relay each client that connects to `port` (0: a free one) to a gateway; `record` gets every message."""

    def __init__(
        self,
        gateway: tuple[str, int],
        port: int,
        *,
        allow_orders: bool,
        elapsed: Callable[[], float],
        record: Callable[[Line], None],
    ) -> None:
        self.port = port
        self.links = 0
        """How many clients have been relayed."""
        self._gateway = gateway
        self._allow_orders = allow_orders
        self._elapsed = elapsed
        self._record = record
        self._numbers = count(1)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; raises OSError where the port is taken."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a stream server runs its callback in a task"
        self._tasks.add(task)
        try:
            await self._relay(reader, writer)
        except asyncio.CancelledError:
            # The recording ends; a stream server would log a cancelled task as an error.
            logger.debug("a link was closed with the recording")
        except WireError as error:
            logger.warning("a client was cut off: {}", error)
        except OSError as error:
            logger.warning("a link ended: {}", error.strerror or error)
        except TimeoutError:
            logger.warning("a client was cut off: it did not begin as a client of the TWS API within 30 s")
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HELLO_SECONDS):
            hello, rest = await _hello(reader)
        if hello.lowest > NEWEST_VERSION:
            raise WireError(
                f"it speaks version {hello.lowest} or later, the recorder {NEWEST_VERSION}: use an older one"
            )
        host, port = self._gateway
        try:
            from_gateway, to_gateway = await asyncio.open_connection(host, port)
        except OSError as error:
            raise WireError(
                f"no gateway at {host} port {port} ({error.strerror or error}); start it"
            ) from None
        link = _Link(next(self._numbers), writer, to_gateway, self)
        self.links += 1
        try:
            link.greet(hello)
            await link.run(reader, rest, from_gateway)
        finally:
            to_gateway.close()

    def note(self, line: Line) -> None:
        """Record one line."""
        self._record(line)

    @property
    def now(self) -> float:
        """Seconds since the recording began."""
        return self._elapsed()

    @property
    def allows_orders(self) -> bool:
        return self._allow_orders


class _Link:
    """Relay one client."""

    def __init__(
        self,
        number: int,
        to_client: asyncio.StreamWriter,
        to_gateway: asyncio.StreamWriter,
        proxy: RecordingProxy,
    ) -> None:
        self._number = number
        self._to_client = to_client
        self._to_gateway = to_gateway
        self._proxy = proxy
        self._client_id = ""
        self._version = 0

    def greet(self, hello: Hello) -> None:
        """Send the gateway the versions that both the client and the recorder know."""
        text = f"v{hello.lowest}..{min(hello.highest, NEWEST_VERSION)}"
        text += f" {hello.options}" if hello.options else ""
        self._note(CLIENT, (HANDSHAKE, text))
        self._to_gateway.write(b"API\0" + struct.pack(">I", len(text)) + text.encode())

    async def run(
        self, from_client: asyncio.StreamReader, rest: bytes, from_gateway: asyncio.StreamReader
    ) -> None:
        """Relay until either side closes."""
        sides: dict[asyncio.Task[None], Side] = {
            asyncio.create_task(self._requests(from_client, rest)): CLIENT,
            asyncio.create_task(self._messages(from_gateway)): GATEWAY,
        }
        by: Side = CLIENT
        try:
            done, _ = await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
            by = sides[next(iter(done))]
        finally:
            self._proxy.note(LinkClosed(self._proxy.now, self._number, by))
            for task in sides:
                task.cancel()
            outcomes = await asyncio.gather(*sides, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _requests(self, reader: asyncio.StreamReader, data: bytes) -> None:
        buffer = bytearray()
        while True:
            buffer += data
            at = self._proxy.now
            for body in _cut(buffer):
                self._on_request(_fields(body), body, at)
            await self._to_gateway.drain()
            await self._to_client.drain()
            data = await reader.read(_READ_BYTES)
            if not data:
                return

    def _on_request(self, fields: Fields, body: bytes, at: float) -> None:
        reason = (
            why_blocked(fields, self._client_id, allow_orders=self._proxy.allows_orders) if fields else ""
        )
        # A gateway ignores all logins but the first.
        if fields[:1] == (_START_API,) and len(fields) > 2 and not self._client_id:
            self._client_id = fields[2]
        if fields:
            self._note(CLIENT, fields, at, blocked=bool(reason))
        if not reason:
            self._to_gateway.write(struct.pack(">I", len(body)) + body)
            return
        logger.warning("client {}: request {} was not passed on: {}", self._client_id, fields[0][:12], reason)
        place, code = _REJECTED.get(fields[0], (0, 321))
        named = fields[place] if place < len(fields) and fields[place].isdecimal() and place else "-1"
        answer = error_message(int(named), code, f"Request not passed on: {reason}", self._version)
        self._note(GATEWAY, answer, at, blocked=True)
        self._to_client.write(frame(answer))

    async def _messages(self, reader: asyncio.StreamReader) -> None:
        buffer = bytearray()
        while data := await reader.read(_READ_BYTES):
            # Sent alone, as it came: the official client needs the handshake reply in a packet of its own.
            self._to_client.write(data)
            buffer += data
            at = self._proxy.now
            for body in _cut(buffer):
                fields = _fields(body)
                if not self._version:
                    self._version = _agreed(fields)
                    fields = (HANDSHAKE, *fields)
                if fields:
                    self._note(GATEWAY, fields, at)
            await self._to_client.drain()

    def _note(self, by: Side, fields: Fields, at: float | None = None, *, blocked: bool = False) -> None:
        self._proxy.note(Said(self._proxy.now if at is None else at, self._number, by, fields, blocked))


async def _hello(reader: asyncio.StreamReader) -> tuple[Hello, bytes]:
    hello = HelloReader()
    while data := await reader.read(_READ_BYTES):
        found = hello.feed(data)
        if found is not None:
            return found
    raise WireError("it closed before it said which versions it speaks")


def _agreed(reply: Fields) -> int:
    """Return the version of a handshake reply; WireError where its layouts are not known."""
    if not reply or not reply[0].isdecimal():
        raise WireError("what listens there is no gateway: its first message names no version")
    version = int(reply[0])
    if not 0 < version <= NEWEST_VERSION:
        raise WireError(
            f"the gateway answers with version {version}, the recorder knows {NEWEST_VERSION} at most"
        )
    return version


def _cut(buffer: bytearray) -> list[bytes]:
    """Remove whole messages from the buffer and return them; WireError where the bytes are none."""
    bodies: list[bytes] = []
    start = 0
    while (length := announced(bytes(buffer[start : start + 4]))) is not None:
        if wrong := objection(length):
            raise WireError(wrong)
        if len(buffer) < start + 4 + length:
            break
        bodies.append(bytes(buffer[start + 4 : start + 4 + length]))
        start += 4 + length
    del buffer[:start]
    return bodies


def _fields(body: bytes) -> Fields:
    """Split a message; a last field without its NUL is kept."""
    texts = body.decode(errors="backslashreplace").split("\0")
    return tuple(texts if texts[-1] else texts[:-1])
