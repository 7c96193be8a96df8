"""The status socket: one request per line over TCP, one JSON line back.

Owns the listening and the limits for clients (connections, line length, time, rate). It never knows what a
command does: the daemon gives it the commands. Whatever a client does affects only its own connection.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from tracker.core.model import JsonValue
from tracker.status import http_api
from tracker.status.acceptor import Acceptor, Pace
from tracker.status.dispatcher import Answered, Dispatcher
from tracker.status.http_api import HttpRequest
from tracker.status.page_access import PageAccess
from tracker.status.places import ConnectionPlace, Places
from tracker.status.protocol import (
    Answer,
    BadRequest,
    CommandError,
    Request,
    SocketCommand,
    Stream,
    encode,
    encode_error,
    is_loopback,
    parse,
    with_token,
)

_HTTP: Final = re.compile(rb"[A-Z]+ \S+ HTTP/")
"""The first line of an HTTP request; no command looks like it."""


_HEALTH: Final = ("health", "ping")
"""Commands of which a connection in a reserved place may ask one without the token."""
_BUSY: Final = "too many connections; close one, send the token, or try again in a moment"


class _Busy(CommandError):
    """Refuse a request that is not allowed in a reserved place; its connection ends."""

    def __init__(self) -> None:
        super().__init__("busy", _BUSY)


class CannotListen(Exception):
    """The socket cannot be opened; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound what a client may take; times in seconds, sizes in bytes."""

    connections: int = 64
    reserved_connections: int = 100
    """Further places, only for clients with the token or asking for health."""
    line_bytes: int = 16 * 1024
    line_seconds: float = 10.0
    """Time for a client to send a whole line, and to read an answer."""
    answer_seconds: float = 120.0
    """Time for a command to answer: an audit asks the Gateway several times."""
    closing_seconds: float = 1.0
    """Time for requests in progress when the daemon ends, and for a client to read the end of an answer."""
    connections_per_second: float = 500.0
    requests_per_second: float = 100.0
    """Both limits are for all clients together, so that a crowd cannot delay a fill. A client with the token
    need not wait, and requests for health have a limit of their own of the same size.
    """
    burst: int = 50
    """How many connections, and requests, need not wait for their turn after a quiet time."""
    streams: int = 24
    """Followers of events: `subscribe`, and pages in browsers."""
    reserved_streams: int = 8
    """Further streams, only for clients with the token."""
    heartbeat_seconds: float = 15.0
    """The longest silence of a stream; by a longer one each side notices that the other is gone."""


class StatusServer:
    """Answer commands on one port until closed."""

    def __init__(
        self,
        host: str,
        port: int,
        commands: Mapping[str, SocketCommand],
        token: str,
        limits: Limits | None = None,
        streams: Mapping[str, Stream] | None = None,
    ) -> None:
        """Take the commands to answer; port 0 takes a free port.

        Requests that change something need the token, and with a host beyond loopback all do. Raises
        ValueError where such a host comes without a token.
        """
        guarded = not is_loopback(host)
        if guarded and not token:
            raise ValueError(f"status.host {host} can be reached from elsewhere, so a token is needed")
        self._host = host
        self._port = port
        self._limits = limits or Limits()
        self._dispatcher = Dispatcher(
            commands, streams or {}, token, guarded=guarded, answer_seconds=self._limits.answer_seconds
        )
        self._access = PageAccess(token)
        self._pace = Pace(self._limits.requests_per_second, self._limits.burst)
        self._health_pace = Pace(self._limits.requests_per_second, self._limits.burst)
        self._acceptor = Acceptor(
            self._connected,
            Pace(self._limits.connections_per_second, self._limits.burst),
            self._limits.line_bytes,
        )
        self._places = Places(self._limits.connections, self._limits.reserved_connections)
        self._streams = 0
        self._refused = 0
        self._under_way = 0
        self._quiet = asyncio.Event()
        """Set while no request is being answered."""
        self._quiet.set()
        self._closing = False

    @property
    def port(self) -> int:
        """The port in use, once started."""
        return self._acceptor.port or self._port

    def figures(self) -> dict[str, JsonValue]:
        """Return counts since the start (`_total`), and the connections and streams of this moment."""
        return {
            "connections": len(self._places),
            "streams": self._streams,
            "refused_connections_total": self._refused + self._places.sent_away,
            **self._dispatcher.figures(),
        }

    async def start(self) -> None:
        """Listen; raises CannotListen."""
        try:
            await self._acceptor.listen(self._host, self._port)
        except OSError as error:
            raise CannotListen(
                f"status.host {self._host}, status.port {self._port}: {_reason(error)}; {_next_step(error)}"
            ) from error

    async def close(self) -> None:
        """Stop listening, give requests in progress a moment to end, and close all connections."""
        self._closing = True
        await self._acceptor.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._quiet.wait(), self._limits.closing_seconds)
        left = self._places.connections()
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        place = self._places.enter(task)
        if place is None:
            self._refused += 1
            writer.write(encode_error("busy", _BUSY))
            writer.close()
            return
        try:
            await self._converse(place, reader, writer)
            with place.waiting():
                await self._end(writer)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            # The peer went away or takes nothing in, or `close` ends everything; there is nobody to tell. The
            # task must end as done even when cancelled, or the stream's own callback would report it.
            pass
        finally:
            writer.transport.abort()
            self._places.leave(task)

    async def _converse(
        self, place: ConnectionPlace, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer line after line, until the client ends or sends something that is not a request."""
        while not self._closing:
            stream = None
            try:
                with place.waiting():
                    line = await self._read_line(reader)
                if not line:
                    return
                if _HTTP.match(line):
                    await self._serve_web(place, line, reader, writer)
                    return
                request = parse(line)
                await self._admit(place, request)
                stream = self._dispatcher.stream(request)
                if stream is not None:
                    self._check_streams(place)
            except CommandError as error:
                await self._refuse(place, writer, error)
                if isinstance(error, BadRequest | _Busy) or stream is not None:
                    return
                continue
            if stream is not None:
                await self._serve_stream(stream, request, place, reader, writer)
                return
            with self._answering():
                await self._write(place, writer, await self._dispatcher.answer(request))
            if place.reserved and not place.trusted:
                return

    async def _admit(self, place: ConnectionPlace, request: Request) -> None:
        """Wait for this request's turn; raises _Busy where its client may not use its reserved place.

        In a reserved place a question for health need not wait for a turn: it is the only one of its
        connection, and connections are accepted at a bounded rate.
        """
        if self._dispatcher.has_token(request):
            place.trusted = True
        with_token.set(place.trusted)
        if place.trusted:
            return
        is_health = request["command"] in _HEALTH
        if not place.reserved:
            await (self._health_pace if is_health else self._pace).turn()
        elif not is_health:
            self._refused += 1
            raise _Busy

    async def _read_line(self, reader: asyncio.StreamReader) -> bytes:
        """Return the next line, empty at the end; raises BadRequest for one too long or too slow."""
        try:
            async with asyncio.timeout(self._limits.line_seconds):
                return await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            # `printf status | nc` ends without a newline.
            return error.partial if error.partial.strip() else b""
        except asyncio.LimitOverrunError:
            raise BadRequest(f"the line is longer than {self._limits.line_bytes} bytes") from None
        except TimeoutError:
            raise BadRequest(f"no whole line came within {self._limits.line_seconds:g} s") from None

    async def _serve_web(
        self, place: ConnectionPlace, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if not http_api.is_read(line):
            # A web page could send commands in the body of a POST: nothing after this line is read.
            self._dispatcher.refused()
            return

        async def run(request: Request) -> Answered:
            await self._admit(place, request)
            return await self._dispatcher.run(request)

        with self._answering():
            with place.waiting():
                async with asyncio.timeout(self._limits.line_seconds):
                    request = await http_api.read(line, reader)
            following = http_api.followed(request, self._access)
            if following is None:
                await self._write(place, writer, await http_api.respond(request, run, self._access))
        if following is not None:
            await self._serve_events(place, request, following, reader, writer)

    async def _serve_events(
        self,
        place: ConnectionPlace,
        asked: HttpRequest,
        request: Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Serve a stream over HTTP, or say why not."""
        try:
            await self._admit(place, request)
            stream = self._dispatcher.stream(request)
            if stream is None:
                raise CommandError("unknown_command", "there is no stream of events")
            self._check_streams(place)
        except CommandError as error:
            self._dispatcher.refused()
            await self._write(place, writer, http_api.refusal(asked, error))
            return
        await self._write(place, writer, http_api.stream_head(asked))
        await self._serve_stream(stream, request, place, reader, writer, partial(http_api.event, asked))

    def _check_streams(self, place: ConnectionPlace) -> None:
        """Raise CommandError where no further stream has a place."""
        most = self._limits.streams + (self._limits.reserved_streams if place.trusted else 0)
        if self._streams >= most:
            raise CommandError("busy", "too many streams; close one, or send the token")

    async def _serve_stream(
        self,
        stream: Stream,
        request: Request,
        place: ConnectionPlace,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        form: Callable[[bytes], bytes] = bytes,
    ) -> None:
        """Write events as they come; anything that the client sends meanwhile ends the stream, its
        disconnection too.
        """
        self._streams += 1
        events = stream.events(request)
        coming: asyncio.Task[Answer] = asyncio.ensure_future(anext(events))
        ended = asyncio.ensure_future(reader.read(1))
        try:
            while not ended.done():
                await asyncio.wait(
                    {coming, ended},
                    timeout=self._limits.heartbeat_seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not coming.done():
                    line = encode({"heartbeat": True})
                else:
                    try:
                        line = encode(coming.result())
                    except StopAsyncIteration:
                        return
                    except Exception as error:
                        name = str(request["command"])
                        line = _refusal(self._dispatcher.refusal(name, error))
                        await self._write(place, writer, form(line))
                        return
                    coming = asyncio.ensure_future(anext(events))
                if not ended.done():
                    await self._write(place, writer, form(line))
        finally:
            self._streams -= 1
            coming.cancel()
            ended.cancel()
            await asyncio.gather(coming, ended, return_exceptions=True)
            await events.aclose()

    async def _refuse(
        self, place: ConnectionPlace, writer: asyncio.StreamWriter, error: CommandError
    ) -> None:
        self._dispatcher.refused()
        await self._write(place, writer, _refusal(error))

    async def _write(self, place: ConnectionPlace, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        with place.waiting():
            async with asyncio.timeout(self._limits.line_seconds):
                await writer.drain()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Let `close` know that a request is in progress, until its answer is written."""
        self._under_way += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._quiet.set()

    async def _end(self, writer: asyncio.StreamWriter) -> None:
        """Close a connection; what the peer does not read within a moment is dropped."""
        writer.close()
        async with asyncio.timeout(self._limits.closing_seconds):
            await writer.wait_closed()


def _reason(error: OSError) -> str:
    """Return the system's own words, without the sentence that asyncio adds for programmers."""
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(_error_number(error))


def _error_number(error: OSError) -> int:
    """Return the system's number; asyncio of Python 3.13 drops it where no address is this machine's."""
    return errno.EADDRNOTAVAIL if error.errno is None else error.errno


def _next_step(error: OSError) -> str:
    if isinstance(error, socket.gaierror) or _error_number(error) == errno.EADDRNOTAVAIL:
        return "set status.host to a name or an address of this machine"
    if error.errno == errno.EACCES:
        return "choose a port above 1023"
    if error.errno == errno.EMFILE:
        return "let the tracker open more files (ulimit -n)"
    return "end what listens there, or choose another port"


def _refusal(error: CommandError) -> bytes:
    return encode_error(error.code, error.message)
