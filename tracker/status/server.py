"""The status socket: one request per line over TCP, one JSON line back.

Owns the listening, the bounds on strangers (connections, line length, time) and the token. It never knows
what a command does: the daemon gives it the commands. Whatever a client does ends at its own connection.
"""

from __future__ import annotations

import asyncio
import difflib
import hmac
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loguru import logger

from tracker.core.model import JsonValue
from tracker.status.protocol import (
    Answer,
    BadRequest,
    Command,
    CommandError,
    Request,
    encode,
    encode_error,
    is_loopback,
    parse,
    quoted,
)

_HTTP: Final = re.compile(rb"[A-Z]+ \S+ HTTP/")
"""The first line of an HTTP request; no command looks like it."""


class CannotListen(Exception):
    """The socket cannot be opened; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound what a client may take; times in seconds, sizes in bytes."""

    connections: int = 64
    line_bytes: int = 64 * 1024
    line_seconds: float = 10.0
    """To send a whole line, and to take in an answer."""
    answer_seconds: float = 120.0
    """For a command to answer: an audit asks the Gateway several times."""
    closing_seconds: float = 2.0
    """For requests under way when the daemon ends."""


def make_token(path: Path) -> str:
    """Write a new token to this file with mode 0600, in place of any older one, and return it.

    Raises OSError. The file is never there half written or readable by others, not even for a moment.
    """
    token = secrets.token_urlsafe(32)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    # O_EXCL: neither a file nor a link that somebody put there is written through.
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
    beside.replace(path)
    return token


class StatusServer:
    """Answer commands on one port until closed."""

    def __init__(
        self,
        host: str,
        port: int,
        commands: Mapping[str, Command],
        token: str,
        limits: Limits | None = None,
    ) -> None:
        """Take what to answer; port 0 takes a free one.

        Requests that change something need the token, and with a host beyond loopback all do. Raises
        ValueError where such a host comes without a token.
        """
        self._guarded = not is_loopback(host)
        if self._guarded and not token:
            raise ValueError(f"status.host {host} can be reached from elsewhere, so a token is needed")
        self._host = host
        self._port = port
        self._token = token.encode()
        self._limits = limits or Limits()
        self._commands = {
            "ping": Command(_pong, "say that the daemon answers"),
            "help": Command(self._help, "list the commands"),
            **commands,
        }
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self._quiet = asyncio.Event()
        """Set while no request is being answered."""
        self._quiet.set()
        self._closing = False
        self._figures = {"requests": 0, "refused_connections": 0, "refused_requests": 0, "internal_errors": 0}

    @property
    def port(self) -> int:
        """The port in use, once started."""
        if self._server is None or not self._server.sockets:
            return self._port
        return int(self._server.sockets[0].getsockname()[1])

    def figures(self) -> dict[str, JsonValue]:
        """Return counts since the start, and the connections of this moment."""
        return {"connections": len(self._connections), **self._figures}

    async def start(self) -> None:
        """Listen; raises CannotListen."""
        try:
            self._server = await asyncio.start_server(
                self._connected, self._host, self._port, limit=self._limits.line_bytes
            )
        except OSError as error:
            raise CannotListen(
                f"status.host {self._host}, status.port {self._port}: {error.strerror or error};"
                " end what listens there, or choose another port"
            ) from error

    async def close(self) -> None:
        """Stop listening, let requests under way end for a moment, and close all connections."""
        if self._server is not None:
            self._server.close()
        self._closing = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._quiet.wait(), self._limits.closing_seconds)
        left = tuple(self._connections)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= self._limits.connections:
            self._figures["refused_connections"] += 1
            writer.write(encode_error("busy", "too many connections; close one, or try again in a moment"))
            writer.close()
            return
        self._connections.add(task)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, TimeoutError):
            # The peer went away, or takes nothing in; there is nobody to tell.
            writer.transport.abort()
        except asyncio.CancelledError:
            # Only `close` cancels; the task must end as done, or the stream's own callback would report it.
            writer.transport.abort()
        finally:
            self._connections.discard(task)
            await _end(writer, self._limits.closing_seconds)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer line after line, until the peer ends or says something that is no request."""
        while not self._closing:
            try:
                line = await self._read_line(reader)
                if not line:
                    return
                if _HTTP.match(line):
                    # A web page could send commands in the body of a POST: nothing after this line is read.
                    writer.transport.abort()
                    return
                request = parse(line)
            except BadRequest as error:
                self._figures["refused_requests"] += 1
                await self._write(writer, encode_error(error.code, error.message))
                return
            with self._answering():
                await self._write(writer, await self._answer(request))
            # A client that sends a thousand requests at once waits its turn behind everything else.
            await asyncio.sleep(0)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Let `close` know that a request is under way, until its answer is written."""
        self._under_way += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._quiet.set()

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

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        async with asyncio.timeout(self._limits.line_seconds):
            await writer.drain()

    async def _answer(self, request: Request) -> bytes:
        """Return the line that answers a request, whatever becomes of it."""
        self._figures["requests"] += 1
        name = request["command"]
        try:
            return encode(await self._run(str(name), request))
        except CommandError as error:
            self._figures["refused_requests"] += 1
            return encode_error(error.code, error.message)
        except Exception:
            # A bug in one command must not take the socket away from the others; it is counted and shown.
            self._figures["internal_errors"] += 1
            logger.exception("the command {} failed", name)
            return encode_error("internal", "the command failed; the daemon's log says why")

    async def _run(self, name: str, request: Request) -> Answer:
        if self._guarded:
            self._check_token(request)
        command = self._commands.get(name)
        if command is None:
            near = difflib.get_close_matches(name, self._commands, n=1, cutoff=0.0)[0]
            raise CommandError(
                "unknown_command", f"no command {quoted(name)}; the nearest known one is {near!r}"
            )
        if command.changes(request):
            self._check_token(request)
        bound = asyncio.timeout(self._limits.answer_seconds)
        try:
            async with bound:
                return await command.answer(request)
        except TimeoutError:
            if bound.expired():
                raise CommandError(
                    "timeout", f"{name} took longer than {self._limits.answer_seconds:g} s"
                ) from None
            raise

    def _check_token(self, request: Request) -> None:
        given = request.get("token")
        if not isinstance(given, str):
            raise CommandError(
                "token_required", "this needs the token: add the content of status.token_file as token"
            )
        if not self._token or not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self._token):
            raise CommandError(
                "token_wrong", "the token is not this daemon's; it is new at every start: read it again"
            )

    async def _help(self, request: Request) -> Answer:
        return {"commands": {name: command.summary for name, command in sorted(self._commands.items())}}


async def _pong(request: Request) -> Answer:
    return {"pong": True}


async def _end(writer: asyncio.StreamWriter, seconds: float) -> None:
    """Close a connection; what the peer does not take in within this time is dropped."""
    writer.close()
    try:
        async with asyncio.timeout(seconds):
            await writer.wait_closed()
    except (ConnectionError, TimeoutError):
        writer.transport.abort()
