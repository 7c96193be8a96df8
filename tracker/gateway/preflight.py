"""One short visit to the gateway, to tell before trading what a tracker would meet there.

Owns the order of the questions (login, time, the day's executions, completed orders) and what was heard of
the answers. It journals nothing, lets no order message out (the connection is the tracker's own, allow-list
included), and judges nothing: what an answer means is for whoever asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from tracker.core.journal_entries import FeeAt, Fields, Message, field_at
from tracker.core.model import Execution, Frame, Notice, Source
from tracker.gateway.capture import Capture
from tracker.gateway.capture_sink import CaptureSink, Fatal, NullSink
from tracker.gateway.error_codes import Effect, effect_of, words_for
from tracker.gateway.ib_insync_compat import new_ib
from tracker.gateway.link import LinkOptions
from tracker.gateway.login import log_in
from tracker.gateway.normalise import normalise
from tracker.gateway.preflight_result import Clocked, PreflightResult, Reach
from tracker.gateway.requests import COMPLETED_ORDERS, Requests

_GOODBYE_SECONDS: Final = 1.0
_FEE_SECONDS: Final = 2.0
"""How long a fee may follow the end of the answer that it belongs to."""
_GREETING_LIMIT: Final = 256
"""Longest first message that is taken for the gateway's greeting, in bytes."""
_IN_USE: Final = 326


async def visit(options: LinkOptions, *, now: Callable[[], datetime]) -> PreflightResult:
    """Log in, ask, and leave; raises nothing that the gateway could cause.

    Each answer is waited for at most `options.request_timeout`.
    """
    return await _Preflight(options, now).made()


class _Preflight:
    """Hold one visit; fulfils `capture.Listener`."""

    def __init__(self, options: LinkOptions, now: Callable[[], datetime]) -> None:
        loop = asyncio.get_running_loop()
        self._options = options
        self._now = now
        self._fatal: Fatal = loop.create_future()
        recorder = CaptureSink(NullSink(), 0, now, lambda: None, self._fatal)
        ib = new_ib()
        ib.wrapper.clientId = options.client_id
        self._client: Any = ib.client  # Its methods carry no types.
        self._capture = Capture(ib, recorder, self)
        self._inquiries = Requests(self._client, recorder, options)
        # ib_insync drops the text of the greeting; keep_ref, since eventkit holds a bound method only weakly.
        self._client.conn.hasData.connect(self._take_greeting, keep_ref=True)
        self._first = b""
        self._answered = False
        self._taken = False
        self._accounts: tuple[str, ...] = ()
        self._version = 0
        self._asked_at = now()
        self._time: asyncio.Future[Clocked] = loop.create_future()
        self._others: set[str] = set()
        self._paid: set[str] = set()
        self._fee_came = asyncio.Event()
        self._upstream = ""

    async def made(self) -> PreflightResult:
        options = self._options
        try:
            reason = await log_in(
                self._client,
                self._capture,
                options,
                options.host,
                options.port,
                answered=lambda: self._answered,
            )
            if not reason:
                return await self._ask()
            return PreflightResult(self._reach(), reason, greeting=self._greeting())
        finally:
            await self._leave()

    def _reach(self) -> Reach:
        if self._taken:
            return Reach.ID_TAKEN
        if not self._first:
            return Reach.SILENCE if self._client.conn.numBytesSent else Reach.NOWHERE
        return Reach.HALFWAY if self._greeting() else Reach.STRANGER

    async def _leave(self) -> None:
        self._capture.close("the visit is over")
        if self._client.conn.transport is not None:
            await asyncio.wait({self._capture.gone}, timeout=_GOODBYE_SECONDS)
            self._capture.abort()

    # Asking

    async def _ask(self) -> PreflightResult:
        """Ask everything; a link that ends in between leaves the rest unanswered."""
        clocked: Clocked | None = None
        listed = False
        read_only: bool | None = None
        with suppress(ConnectionError):
            clocked = await self._ask_time()
            listed = all([await self._inquiries.executions(account) for account in self._accounts])
            ended = await self._inquiries.completed_orders()
            if ended or COMPLETED_ORDERS in self._inquiries.forbidden:
                read_only = not ended
            if self._others and not self._others & self._paid:
                await self._fee_of_another()
        return PreflightResult(
            Reach.IN,
            self._ending(),
            accounts=self._accounts,
            server_version=self._version,
            greeting=self._greeting(),
            clocked=clocked,
            executions_listed=listed,
            of_others=len(self._others),
            of_others_with_fee=len(self._others & self._paid),
            read_only=read_only,
            upstream=self._upstream,
        )

    def _ending(self) -> str:
        """Say why the link ended ahead of us, empty where it did not."""
        if self._fatal.done():
            return str(self._fatal.result())
        return self._capture.closed.result() if self._capture.closed.done() else ""

    async def _ask_time(self) -> Clocked | None:
        self._asked_at = self._now()
        self._client.reqCurrentTime()
        # The link's end is waited for too, since nothing fails this request then.
        ends: set[asyncio.Future[Any]] = {self._time, self._capture.closed}
        limit = self._options.request_timeout
        await asyncio.wait(ends, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        return self._time.result() if self._time.done() else None

    async def _fee_of_another(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(min(_FEE_SECONDS, self._options.request_timeout)):
                while not self._others & self._paid:
                    self._fee_came.clear()
                    await self._fee_came.wait()

    # Hearing (Listener)

    def on_ready(self, accounts: tuple[str, ...], server_version: int) -> str | None:
        """Take any login: whether it is the one that was meant is for whoever asked."""
        self._accounts = accounts
        self._version = server_version
        return None

    def on_packet(self, frames: Sequence[Fields]) -> None:
        """Learn what a packet brought."""
        self._answered = True
        for fields in frames:
            match fields[:1]:
                case (Message.NOTICE,):
                    self._hear_notice(fields)
                case (Message.CURRENT_TIME,):
                    self._hear_time(fields)
                case (Message.FEE,):
                    if (exec_id := field_at(fields, FeeAt.EXEC_ID)) is not None:
                        self._paid.add(exec_id)
                    self._fee_came.set()
                case (Message.EXECUTION,):
                    self._hear_execution(fields)
            if fields[:1] != (Message.NOTICE,):
                self._inquiries.saw(fields)

    def _hear_execution(self, fields: Fields) -> None:
        fact = normalise(self._frame(fields), self._options.login_zone)
        # Client 0 are orders by hand, which client id 0 may be told of whoever the master is.
        if isinstance(fact, Execution) and fact.client_id not in (0, self._options.client_id):
            self._others.add(fact.exec_id)

    def _hear_time(self, fields: Fields) -> None:
        seconds = fields[2] if len(fields) > 2 else ""
        if seconds.isascii() and seconds.isdecimal() and len(seconds) < 12 and not self._time.done():
            told = datetime.fromtimestamp(int(seconds), UTC)
            self._time.set_result(Clocked(self._asked_at, told, self._now()))

    def _hear_notice(self, fields: Fields) -> None:
        notice = normalise(self._frame(fields), self._options.login_zone)
        if not isinstance(notice, Notice):
            return
        effect = effect_of(notice.code)
        words = words_for(notice.code, notice.text, self._options.client_id)
        self._taken = self._taken or notice.code == _IN_USE
        match effect:
            case Effect.NONE:
                self._inquiries.refused(notice)
            case Effect.UPSTREAM_LOST:
                self._upstream = words
            case Effect.UPSTREAM_BACK:
                self._upstream = ""
            case Effect.MOVED | Effect.ENDED:
                self._capture.close(words)

    def _frame(self, fields: Fields) -> Frame:
        return Frame(0, self._now(), 0, Source.BROKER, fields)

    def _take_greeting(self, data: bytes) -> None:
        if len(self._first) < _GREETING_LIMIT:
            self._first += data[:_GREETING_LIMIT]

    def _greeting(self) -> str:
        """Return the second field of the first message, empty where that is no greeting."""
        size = int.from_bytes(self._first[:4], "big")
        version, _, rest = self._first[4 : 4 + size].partition(b"\0")
        if size > _GREETING_LIMIT or not version.isdigit():
            return ""
        return rest.partition(b"\0")[0].decode("ascii", "replace") or "no time"
