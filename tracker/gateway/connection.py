"""One connection to the gateway, from the opening of its socket to its end.

Owns the life of one connection: the login, what runs while it is up, the notices that end it, and its close.
`request_schedule.py` decides when to request what, `requests.py` sends it, `probe.py` checks whether the
gateway still responds. It does not connect again (`reconnect.py`) and decodes no fact: a message is in the
journal before it is looked at here.

`IB.connectAsync` is never used: it binds manual orders as client 0 and gives up without execDetailsEnd.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from loguru import logger

from tracker.core.broker_clock import skew_of
from tracker.core.journal_entries import Fields, LinkDown
from tracker.core.message_fields import Message
from tracker.core.model import BrokerTime, Frame, Notice, Source
from tracker.gateway.broker_time import BrokerTimeRequests
from tracker.gateway.capture import Capture
from tracker.gateway.capture_sink import CaptureSink
from tracker.gateway.error_codes import (
    Effect,
    effect_of,
    new_port,
    planned_reset,
    unreadable_version,
    words_for,
)
from tracker.gateway.ib_insync_compat import new_ib
from tracker.gateway.link import LinkOptions, LinkPhase
from tracker.gateway.link_monitor import LinkMonitor, PendingRequests
from tracker.gateway.login import log_in
from tracker.gateway.normalise import normalise
from tracker.gateway.probe import Probe
from tracker.gateway.request_schedule import RequestSchedule
from tracker.gateway.requests import IN_ANSWERS, Requests
from tracker.gateway.upstream import Upstream

_CLOSE_SECONDS: Final = 0.5
"""Seconds that a socket may take to close before it is dropped."""


class BrokerConnection:
    """Make one connection and `serve` it until it ends, then `close` it.

    `refuse_login` receives the managed accounts and returns why they must not be used, None where they may
    be.
    """

    def __init__(
        self,
        options: LinkOptions,
        sink: CaptureSink,
        monitor: LinkMonitor,
        pending: PendingRequests,
        refuse_login: Callable[[tuple[str, ...]], str | None],
    ) -> None:
        self._options = options
        self._sink = sink
        self._monitor = monitor
        self._refuse_login = refuse_login
        self._loop = asyncio.get_running_loop()
        ib = new_ib()
        ib.wrapper.clientId = options.client_id
        self._client: Any = ib.client  # The library's methods have no types.
        self.capture = Capture(ib, sink, self, may_bind=options.bind_manual_orders)
        self._broker_time = BrokerTimeRequests(self._client, sink.now)
        self._requests = Requests(self._client, sink, options, self._broker_time.ask)
        self._upstream = Upstream()
        self._probe = Probe(self._broker_time.probe, options, lambda: self.capture.unfinished_since)
        self._schedule = RequestSchedule(
            options, ib, sink, self.capture, self._requests, self._upstream, monitor, pending
        )
        self._answered = False
        """Whether the gateway sent anything at all."""
        self.logged_in = False
        self.moved_to: int | None = None
        """The new port that notice 1300 named."""

    async def serve(self, host: str, port: int) -> tuple[float, str]:
        """Connect and serve until the link ends; return for how long it was logged in, and why it ended."""
        reason = await log_in(
            self._client, self.capture, self._options, host, port, answered=lambda: self._answered
        )
        if reason:
            return 0.0, reason
        began = self._loop.time()
        await self._run()
        return self._loop.time() - began, self.capture.closed.result()

    async def close(self) -> None:
        """Close the socket within a moment, and journal the end of the link."""
        self.capture.close("the link was given up")
        if self._client.conn.transport is not None:
            await asyncio.wait({self.capture.gone}, timeout=_CLOSE_SECONDS)
            self.capture.abort()
        if self.logged_in and not self._sink.fatal.done():
            self._sink.append_entry(LinkDown(self.capture.closed.result()))

    async def _run(self) -> None:
        """Run the tasks of a live link until it ends; raise what one of them raised."""
        if self._options.bind_manual_orders and self._options.client_id == 0:
            self._client.reqAutoOpenOrders(True)
            self._client.reqOpenOrders()
        jobs = (
            self._schedule.run_sweeps(),
            self._schedule.run_positions(),
            self._schedule.run_completed_orders(),
            self._broker_time.run(),
            self._end_after(self._probe.wait_for_silence()),
            self._end_after(self._probe.wait_for_half_message()),
            self._end_after_upstream(),
        )
        tasks = [self._loop.create_task(self._guarded(job)) for job in jobs]
        try:
            await asyncio.wait({self.capture.closed})
        finally:
            self.capture.close("the link was given up")
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        for further in failures[1:]:
            logger.opt(exception=further).error("the link ends because of this error, too")
        if failures:
            raise failures[0]

    async def _guarded(self, job: Coroutine[Any, Any, None]) -> None:
        try:
            await job
        except ConnectionError:
            # The link ended between two awaits, so ib_insync refused to send; `closed` says why.
            self.capture.close("the link ended")
        except Exception:
            # Raised again by `_run`, which waits for the link to end.
            self.capture.close("the link was given up")
            raise

    async def _end_after(self, silence: Coroutine[Any, Any, str]) -> None:
        """Drop a connection whose gateway no longer reads."""
        self.capture.close(await silence)
        self.capture.abort()

    async def _end_after_upstream(self) -> None:
        limit = self._options.silent_upstream_seconds
        await self._upstream.wait_for_silence(limit)
        self.capture.close(f"no notice about IBKR for {limit:g} s after 2110; connecting again to find out")

    # Listener of the capture

    def on_login(self, accounts: tuple[str, ...], server_version: int) -> str | None:
        """Check the login; called before its first frame is journalled."""
        refusal = unreadable_version(server_version) or self._refuse_login(accounts)
        self._monitor.update(accounts=accounts, server_version=server_version)
        if refusal:
            return refusal
        self.logged_in = True
        self._schedule.begin(accounts)
        if not self._upstream.lost:
            self._monitor.update(
                state=LinkPhase.SYNCING, reason="logged in; fetching positions and the day's executions"
            )
        return None

    def on_packet(self, frames: Sequence[Fields]) -> None:
        """Process the messages of a packet, after they were committed."""
        self._answered = True
        if not frames:
            return
        self._monitor.last_frame_at = self._sink.now()
        self._probe.on_packet(frames)
        self._schedule.on_packet(frames)
        for fields in frames:
            message = fields[0]
            if message == Message.NOTICE:
                self._on_notice(fields)
            elif message == Message.CURRENT_TIME:
                self._on_broker_time(fields)
            elif message in IN_ANSWERS:
                self._requests.on_message(fields)

    def _on_broker_time(self, fields: Fields) -> None:
        now = self._sink.now()
        frame = Frame(0, now, self._sink.connection_no, Source.BROKER, fields)
        if isinstance(told := normalise(frame, self._options.login_zone), BrokerTime):
            self._requests.skew = skew_of(told.at, now)

    def _on_notice(self, fields: Fields) -> None:
        frame = Frame(0, self._sink.now(), self._sink.connection_no, Source.BROKER, fields)
        notice = normalise(frame, self._options.login_zone)
        if not isinstance(notice, Notice):
            return
        effect = effect_of(notice.code)
        if effect is Effect.NONE:
            self._requests.on_error(notice)
            return
        words = words_for(notice.code, notice.text, self._options.client_id)
        if effect is Effect.UPSTREAM_LOST:
            self._lose_upstream(notice.code, words)
        elif effect is Effect.UPSTREAM_BACK:
            self._restore_upstream(words)
        elif effect is Effect.MOVED:
            self.moved_to = new_port(notice.text)
            self.capture.close(words)
        elif effect is Effect.ENDED:
            self.capture.close(words)

    def _lose_upstream(self, code: int, words: str) -> None:
        self._upstream.lose(code)
        planned = planned_reset(self._sink.now())
        self._monitor.update(
            state=LinkPhase.UPSTREAM_DOWN,
            reason=f"{words} (planned: {planned})" if planned else words,
            planned=bool(planned),
            subscribed=False,
        )

    def _restore_upstream(self, words: str) -> None:
        self._upstream.restore()
        if self.logged_in:
            self._monitor.update(state=LinkPhase.SYNCING, reason=words, planned=False)
            self._schedule.restart()
