"""What the gateway's tests share: a journal in memory, a captured connection, and a running link."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.paper_clients import BOUND_SECONDS, make_gateway, until
from tracker.core.journal_entries import Fields
from tracker.core.model import CommissionReport, ExecutionKey, Source
from tracker.gateway.capture import Capture
from tracker.gateway.capture_sink import CaptureSink, Fatal
from tracker.gateway.ib_insync_compat import new_ib
from tracker.gateway.link import LinkOptions, LinkPhase, LinkState
from tracker.gateway.reconnect import ReconnectingLink
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

    def append(
        self, connection_no: int, received_at: datetime, frames: Sequence[tuple[Source, Fields]]
    ) -> None:
        if self.broken:
            raise OSError(self.broken)
        self.commits.append((connection_no, received_at, tuple(frames)))
        self.known |= {
            (fields[16], fields[14]) for _, fields in frames if fields[:1] == ("11",) and len(fields) > 30
        }

    def prefetch(self, messages: Sequence[Fields]) -> None:
        pass  # Nothing is looked up here.

    def contains(self, key: ExecutionKey) -> bool:
        return key in self.known

    def newest_fee(self, exec_id: str) -> CommissionReport | None:
        return None

    def count_missing(self, account: str, listed: Collection[str], since: datetime, asked: datetime) -> int:
        return len({exec_id for of, exec_id in self.known if of == account} - set(listed))

    def fields(self, source: Source = Source.BROKER) -> list[Fields]:
        return [fields for _, _, frames in self.commits for origin, fields in frames if origin is source]

    def of(self, message: str, source: Source = Source.BROKER) -> list[Fields]:
        return [fields for fields in self.fields(source) if fields[:1] == (message,)]

    def executions(self) -> list[str]:
        return [fields[14] for fields in self.of("11")]


class FakeListener:
    """Keep what a capture passes on, and refuse the login if told to."""

    def __init__(self, refusal: str | None = None) -> None:
        self.refusal = refusal
        self.accounts: tuple[str, ...] = ()
        self.frames: list[Fields] = []

    def on_login(self, accounts: tuple[str, ...], server_version: int) -> str | None:
        self.accounts = accounts
        return self.refusal

    def on_packet(self, frames: Sequence[Fields]) -> None:
        self.frames += frames


class CapturedConnection:
    """Hold one real ib_insync connection to a gateway with its capture."""

    def __init__(self, sink: MemorySink, listener: FakeListener, *, may_bind: bool = False) -> None:
        self.ib: Any = new_ib()  # Most of its methods carry no types.
        self.sink = sink
        self.listener = listener
        self.fatal: Fatal = asyncio.get_running_loop().create_future()
        self.wakes = 0
        capture_sink = CaptureSink(sink, 1, real_now, self._wake, self.fatal)
        self.capture = Capture(self.ib, capture_sink, listener, may_bind=may_bind)

    def _wake(self) -> None:
        self.wakes += 1

    async def connect(self, port: int, client_id: int = 0) -> None:
        self.ib.wrapper.clientId = client_id
        await self.ib.client.connectAsync("127.0.0.1", port, client_id, BOUND_SECONDS)

    async def received(self, message: str, count: int = 1) -> None:
        """Wait until so many messages of a kind were passed on."""
        await until(
            lambda: sum(f[:1] == (message,) for f in self.listener.frames) >= count, f"{message} x {count}"
        )

    async def settle(self) -> None:
        """Wait until everything that the gateway sent before now was captured."""
        had = sum(f[:1] == ("49",) for f in self.listener.frames)
        self.ib.client.reqCurrentTime()
        await self.received("49", had + 1)


@asynccontextmanager
async def captured(
    gateway: PaperGateway,
    sink: MemorySink | None = None,
    listener: FakeListener | None = None,
    *,
    client_id: int = 0,
) -> AsyncIterator[CapturedConnection]:
    """Connect to a started gateway with a capture in place."""
    link = CapturedConnection(sink or MemorySink(), listener or FakeListener())
    try:
        await link.connect(gateway.port, client_id)
        await link.received("9")
        yield link
    finally:
        link.capture.close("the test is over")
        link.capture.abort()
        await until(link.capture.gone.done, "the socket's end")


SLOW_LINK = LinkOptions(
    "127.0.0.1",
    0,
    0,
    NEW_YORK,
    connect_timeout=BOUND_SECONDS,
    request_timeout=BOUND_SECONDS,
    sweep_seconds=60,
    gap_seconds=0.01,
    retry_first=0.02,
    retry_most=0.1,
)
"""Quick to try again, and otherwise slower than any test."""


class RunningLink:
    """Hold a running link and everything that it emitted."""

    def __init__(self, options: LinkOptions, *, now: Callable[[], datetime] = real_now) -> None:
        self.sink = MemorySink()
        self.states: list[LinkState] = []
        self.refusal: str | None = None
        self.link = ReconnectingLink(
            options,
            sink=self.sink,
            now=now,
            first_connection_no=5,
            refuse_login=lambda accounts: self.refusal,
            on_commit=lambda: None,
            on_state=self.states.append,
        )
        self.task = asyncio.create_task(self.link.run())

    def links(self, event: str) -> list[tuple[str, ...]]:
        return self.sink.of(event, Source.LINK)

    def sent(self) -> list[str]:
        return [fields[0] for fields in self.sink.fields(Source.SENT)]

    async def reaches(self, phase: LinkPhase, words: str = "") -> LinkState:
        """Wait until the link is in a phase for a reason that holds these words."""

        def emitted() -> LinkState | None:
            return next((s for s in self.states if s.state is phase and words in s.reason), None)

        await until(lambda: emitted() or self.task.done(), f"{phase}: {words}")
        found = emitted()
        assert found is not None, (
            f"{phase} {words!r} is not among {[(s.state, s.reason) for s in self.states]}"
        )
        return found

    async def subscribed(self) -> None:
        await until(lambda: self.link.state.subscribed or self.task.done(), "subscribed")
        assert self.link.state.subscribed


@asynccontextmanager
async def running_link(gateway: PaperGateway | int, **options: Any) -> AsyncIterator[RunningLink]:
    """Run a link towards a gateway, or a port, and close it in the end."""
    now = options.pop("now", real_now)
    port = gateway if isinstance(gateway, int) else gateway.port
    link = RunningLink(replace(SLOW_LINK, port=port, **options), now=now)
    try:
        yield link
    finally:
        await link.link.close()
        assert link.task.done(), "the link outlived its close"


def with_gateway(scenario: Callable[[PaperGateway], Awaitable[None]], **gateway: Any) -> None:
    async def play() -> None:
        async with make_gateway(**gateway) as paper:
            await scenario(paper)

    asyncio.run(asyncio.wait_for(play(), 3 * BOUND_SECONDS))


def requests(gateway: PaperGateway) -> list[str]:
    return [fields[0] for _, fields in gateway.received]
