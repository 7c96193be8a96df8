"""Make one short connection to the gateway, to find out before trading what a tracker would find.

Owns the order of the requests (login, time, the day's executions, completed orders) and what is kept of the
answers. It journals nothing, lets no order message out (the connection is the tracker's own, allow-list
included), and judges nothing: `doctor` decides what an answer means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from tracker.core.journal_entries import Fields
from tracker.core.message_fields import FeeAt, Message, field_at
from tracker.core.model import Execution, Frame, Notice, Source
from tracker.gateway.capture import Capture
from tracker.gateway.capture_sink import CaptureSink, Fatal, NullSink
from tracker.gateway.error_codes import Effect, effect_of, unreadable_version, words_for
from tracker.gateway.ib_insync_compat import new_ib
from tracker.gateway.link import LinkOptions
from tracker.gateway.login import log_in
from tracker.gateway.normalise import normalise
from tracker.gateway.preflight_result import ClockReading, PreflightResult, Reach
from tracker.gateway.requests import COMPLETED_ORDERS, Requests

_CLOSE_SECONDS: Final = 1.0
_FEE_SECONDS: Final = 2.0
"""Seconds that a fee may come after the end of the answer that it belongs to."""
_GREETING_LIMIT: Final = 256
"""The longest first message that counts as the gateway's greeting, in bytes."""
_IN_USE: Final = 326


async def run_preflight(options: LinkOptions, *, now: Callable[[], datetime]) -> PreflightResult:
    """Log in, ask, and disconnect; a failure that the gateway causes is part of the result and not raised.

    Each answer is waited for at most `options.request_timeout`.
    """
    return await _Preflight(options, now).run()


class _Preflight:
    """Make one connection and keep the answers; implements `capture.Listener`."""

    def __init__(self, options: LinkOptions, now: Callable[[], datetime]) -> None:
        loop = asyncio.get_running_loop()
        self._options = options
        self._now = now
        self._fatal: Fatal = loop.create_future()
        sink = CaptureSink(NullSink(), 0, now, lambda: None, self._fatal)
        ib = new_ib()
        ib.wrapper.clientId = options.client_id
        self._client: Any = ib.client  # Its methods carry no types.
        self._capture = Capture(ib, sink, self)
        self._requests = Requests(self._client, sink, options)
        # ib_insync drops the text of the greeting; keep_ref, since eventkit holds a bound method only weakly.
        self._client.conn.hasData.connect(self._keep_greeting, keep_ref=True)
        self._first = b""
        self._answered = False
        self._id_taken = False
        self._accounts: tuple[str, ...] = ()
        self._version = 0
        self._asked_at = now()
        self._time: asyncio.Future[ClockReading] = loop.create_future()
        self._of_others: set[str] = set()
        self._with_fee: set[str] = set()
        self._fee_arrived = asyncio.Event()
        self._upstream = ""

    async def run(self) -> PreflightResult:
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
            await self._disconnect()

    def _reach(self) -> Reach:
        if self._id_taken:
            return Reach.ID_TAKEN
        if not self._first:
            return Reach.SILENCE if self._client.conn.numBytesSent else Reach.NOWHERE
        return Reach.HALFWAY if self._greeting() else Reach.STRANGER

    async def _disconnect(self) -> None:
        self._capture.close("the preflight is over")
        if self._client.conn.transport is not None:
            await asyncio.wait({self._capture.gone}, timeout=_CLOSE_SECONDS)
            self._capture.abort()

    # Requests

    async def _ask(self) -> PreflightResult:
        """Send all requests; if the link ends in between, the rest stays unanswered."""
        clocked: ClockReading | None = None
        listed = False
        read_only: bool | None = None
        with suppress(ConnectionError):
            clocked = await self._ask_time()
            listed = all([await self._requests.executions(account) for account in self._accounts])
            ended = await self._requests.completed_orders()
            if ended or COMPLETED_ORDERS in self._requests.forbidden:
                read_only = not ended
            if self._of_others and not self._of_others & self._with_fee:
                await self._fee_of_another()
        return PreflightResult(
            Reach.IN,
            self._why_ended(),
            accounts=self._accounts,
            server_version=self._version,
            greeting=self._greeting(),
            clocked=clocked,
            executions_listed=listed,
            of_others=len(self._of_others),
            of_others_with_fee=len(self._of_others & self._with_fee),
            read_only=read_only,
            upstream=self._upstream,
        )

    def _why_ended(self) -> str:
        """Return why the connection ended before we closed it, empty where it did not."""
        if self._fatal.done():
            return str(self._fatal.result())
        return self._capture.closed.result() if self._capture.closed.done() else ""

    async def _ask_time(self) -> ClockReading | None:
        self._asked_at = self._now()
        self._client.reqCurrentTime()
        # Also wait for the end of the connection, since nothing else ends this request then.
        ends: set[asyncio.Future[Any]] = {self._time, self._capture.closed}
        limit = self._options.request_timeout
        await asyncio.wait(ends, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        return self._time.result() if self._time.done() else None

    async def _fee_of_another(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(min(_FEE_SECONDS, self._options.request_timeout)):
                while not self._of_others & self._with_fee:
                    self._fee_arrived.clear()
                    await self._fee_arrived.wait()

    # Listener of the capture

    def on_login(self, accounts: tuple[str, ...], server_version: int) -> str | None:
        """Accept any readable login; `doctor` judges whether it is the right one."""
        self._accounts = accounts
        self._version = server_version
        return unreadable_version(server_version) or None

    def on_packet(self, frames: Sequence[Fields]) -> None:
        """Process the messages of a packet."""
        self._answered = True
        for fields in frames:
            match fields[:1]:
                case (Message.NOTICE,):
                    self._on_notice(fields)
                case (Message.CURRENT_TIME,):
                    self._on_time(fields)
                case (Message.FEE,):
                    if (exec_id := field_at(fields, FeeAt.EXEC_ID)) is not None:
                        self._with_fee.add(exec_id)
                    self._fee_arrived.set()
                case (Message.EXECUTION,):
                    self._on_execution(fields)
            if fields[:1] != (Message.NOTICE,):
                self._requests.on_message(fields)

    def _on_execution(self, fields: Fields) -> None:
        fact = normalise(self._frame(fields), self._options.login_zone)
        # Client 0 means orders by hand, whose fees client id 0 may receive without being the master.
        if isinstance(fact, Execution) and fact.client_id not in (0, self._options.client_id):
            self._of_others.add(fact.exec_id)

    def _on_time(self, fields: Fields) -> None:
        seconds = fields[2] if len(fields) > 2 else ""
        if seconds.isascii() and seconds.isdecimal() and len(seconds) < 12 and not self._time.done():
            server_time = datetime.fromtimestamp(int(seconds), UTC)
            self._time.set_result(ClockReading(self._asked_at, server_time, self._now()))

    def _on_notice(self, fields: Fields) -> None:
        notice = normalise(self._frame(fields), self._options.login_zone)
        if not isinstance(notice, Notice):
            return
        effect = effect_of(notice.code)
        words = words_for(notice.code, notice.text, self._options.client_id)
        self._id_taken = self._id_taken or notice.code == _IN_USE
        match effect:
            case Effect.NONE:
                self._requests.on_error(notice)
            case Effect.UPSTREAM_LOST:
                self._upstream = words
            case Effect.UPSTREAM_BACK:
                self._upstream = ""
            case Effect.MOVED | Effect.ENDED:
                self._capture.close(words)

    def _frame(self, fields: Fields) -> Frame:
        return Frame(0, self._now(), 0, Source.BROKER, fields)

    def _keep_greeting(self, data: bytes) -> None:
        if len(self._first) < _GREETING_LIMIT:
            self._first += data[:_GREETING_LIMIT]

    def _greeting(self) -> str:
        """Return the second field of the first message, empty where it is not a greeting."""
        size = int.from_bytes(self._first[:4], "big")
        version, _, rest = self._first[4 : 4 + size].partition(b"\0")
        if size > _GREETING_LIMIT or not version.isdigit():
            return ""
        return rest.partition(b"\0")[0].decode("ascii", "replace") or "no time"
