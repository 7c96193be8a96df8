"""Ask the daemon one question, or follow its events, without blocking the screen.

Owns the asyncio side of the status socket's client. It never retries, and reads of an answer only whether it
is a refusal.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tracker.status.client import LONGEST_ANSWER, NotReachable, connect_to, understood, unreachable
from tracker.status.protocol import CommandError
from tracker.status.token import read_token

Answer = dict[str, Any]

ANSWER_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 40.0
"""Seconds of silence after which a stream counts as ended: its heartbeat comes every 15 s."""


class DaemonConnection:
    """Reach one daemon; every question has a connection of its own."""

    def __init__(self, host: str, port: int, token_file: Path) -> None:
        self.place = f"{host}:{port}"
        self._host = host
        self._port = port
        self._token_file = token_file

    async def ask(self, request: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> Answer:
        """Return the answer to a request; raises NotReachable, and CommandError for a refusal.

        `seconds` bounds the whole exchange.
        """
        async with self._connected(seconds) as (reader, writer):
            return await self._exchange(reader, writer, request, seconds)

    async def change(self, request: Mapping[str, Any]) -> Answer:
        """Ask for something that needs the token; raises as `ask` does.

        The token is read each time, since every start of the daemon writes a new one.
        """
        token = read_token(self._token_file)
        if token is None:
            raise CommandError(
                "token_required",
                f"the token in {self._token_file} cannot be read; run `tracker watch` as the tracker's user",
            )
        return await self.ask({**request, "token": token})

    @asynccontextmanager
    async def follow(self, after: int) -> AsyncIterator[AsyncGenerator[Answer, None]]:
        """Yield the events after number `after` as they come; raises as `ask` does, also while they come."""
        request = {"command": "subscribe", "after": after}
        async with self._connected(ANSWER_SECONDS) as (reader, writer):
            await self._exchange(reader, writer, request, ANSWER_SECONDS)
            events = self._events(reader)
            try:
                yield events
            finally:
                await events.aclose()

    async def _events(self, reader: asyncio.StreamReader) -> AsyncGenerator[Answer, None]:
        while True:
            yield await self._answer(reader, SILENCE_SECONDS)

    @asynccontextmanager
    async def _connected(
        self, seconds: float
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_connection(
                    connect_to(self._host), self._port, limit=LONGEST_ANSWER
                )
        except OSError as error:
            raise unreachable(error, self.place, seconds) from None
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        request: Mapping[str, Any],
        seconds: float,
    ) -> Answer:
        """Send one line and return the answer to it; the daemon answers clients with the token first."""
        if "token" not in request and (token := read_token(self._token_file)) is not None:
            request = {**request, "token": token}
        writer.write(json.dumps(request).encode() + b"\n")
        return await self._answer(reader, seconds)

    async def _answer(self, reader: asyncio.StreamReader, seconds: float) -> Answer:
        try:
            async with asyncio.timeout(seconds):
                line = await reader.readline()
        except ValueError:
            raise NotReachable(f"{self.place} sent a line longer than {LONGEST_ANSWER} bytes") from None
        except OSError as error:
            raise unreachable(error, self.place, seconds) from None
        answer = understood(line, self.place)
        if answer["ok"]:
            return answer
        refusal = answer.get("error")
        if not isinstance(refusal, dict):
            raise CommandError("unknown", str(refusal))
        raise CommandError(str(refusal.get("code")), str(refusal.get("message")))
