"""What the gateway's tests share: a journal in memory, and one tapped connection to the paper gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.paper_clients import BOUND_SECONDS, until
from tracker.core.model import Source
from tracker.gateway.capture import Capture
from tracker.gateway.library import new_ib
from tracker.gateway.recording import Fatal, Recorder
from tracker.gateway.repeats import Fields
from tracker.paper.server import PaperGateway

NEW_YORK = ZoneInfo("America/New_York")


def real_now() -> datetime:
    return datetime.now(UTC)


class MemorySink:
    """Keep what was committed, one entry per commit."""

    def __init__(self) -> None:
        self.commits: list[tuple[int, datetime, tuple[tuple[Source, Fields], ...]]] = []
        self.broken = ""
        """A text makes every further append fail with it."""
        self.known: set[tuple[str, str]] = set()

    def append(self, session: int, received_at: datetime, frames: Sequence[tuple[Source, Fields]]) -> None:
        if self.broken:
            raise OSError(self.broken)
        self.commits.append((session, received_at, tuple(frames)))
        self.known |= {
            (fields[16], fields[14]) for _, fields in frames if fields[:1] == ("11",) and len(fields) > 30
        }

    def knows(self, account: str, exec_id: str) -> bool:
        return (account, exec_id) in self.known

    def fields(self, source: Source = Source.BROKER) -> list[Fields]:
        return [fields for _, _, frames in self.commits for origin, fields in frames if origin is source]

    def of(self, message: str, source: Source = Source.BROKER) -> list[Fields]:
        return [fields for fields in self.fields(source) if fields[:1] == (message,)]

    def executions(self) -> list[str]:
        return [fields[14] for fields in self.of("11")]


class Ear:
    """Hear what a capture tells, and refuse the login if told to."""

    def __init__(self, refusal: str | None = None) -> None:
        self.refusal = refusal
        self.accounts: tuple[str, ...] = ()
        self.frames: list[Fields] = []

    def on_ready(self, accounts: tuple[str, ...], server_version: int) -> str | None:
        self.accounts = accounts
        return self.refusal

    def on_packet(self, frames: Sequence[Fields]) -> None:
        self.frames += frames


class Tapped:
    """Hold one real ib_insync connection to a gateway with its capture."""

    def __init__(self, sink: MemorySink, ear: Ear, *, may_bind: bool = False) -> None:
        self.ib: Any = new_ib()  # Most of its methods carry no types.
        self.sink = sink
        self.ear = ear
        self.fatal: Fatal = asyncio.get_running_loop().create_future()
        self.wakes = 0
        recorder = Recorder(sink, 1, real_now, self._wake, self.fatal)
        self.capture = Capture(self.ib, recorder, ear, NEW_YORK, may_bind=may_bind)

    def _wake(self) -> None:
        self.wakes += 1

    async def connect(self, port: int, client_id: int = 0) -> None:
        self.ib.wrapper.clientId = client_id
        await self.ib.client.connectAsync("127.0.0.1", port, client_id, BOUND_SECONDS)

    async def heard(self, message: str, count: int = 1) -> None:
        """Wait until so many messages of a kind were told."""
        await until(
            lambda: sum(f[:1] == (message,) for f in self.ear.frames) >= count, f"{message} x {count}"
        )

    async def settle(self) -> None:
        """Wait until everything that the gateway sent before now was taken."""
        had = sum(f[:1] == ("49",) for f in self.ear.frames)
        self.ib.client.reqCurrentTime()
        await self.heard("49", had + 1)


@asynccontextmanager
async def tapped(
    gateway: PaperGateway, sink: MemorySink | None = None, ear: Ear | None = None, *, client_id: int = 0
) -> AsyncIterator[Tapped]:
    """Connect to a started gateway with a capture in place."""
    link = Tapped(sink or MemorySink(), ear or Ear())
    try:
        await link.connect(gateway.port, client_id)
        await link.heard("9")
        yield link
    finally:
        link.capture.close("the test is over")
        link.capture.abort()
        await until(link.capture.gone.done, "the socket's end")
