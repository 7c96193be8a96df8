"""Reconnect: keep the one link to the gateway, with exponential backoff between attempts.

Owns the attempts to connect, the backoff between them, the numbers of the connections and the port that is
tried. `connection.py` is one connection. It never stops reconnecting by itself: only `close` and a failure of
capture end it.

| the last connection | when to reconnect |
|---|---|
| lasted `steady_seconds` or longer | at once, and the backoff begins again |
| failed, or was shorter | after the backoff: doubled each time up to `retry_most`, with jitter |
| its login was refused | after `retry_most` |
| named a new port (1300) | at that port; at the configured one again if no login succeeds there |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from loguru import logger
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential, wait_random

from tracker.gateway.broker_snapshot import BrokerSnapshot
from tracker.gateway.capture import Capture
from tracker.gateway.capture_sink import CaptureSink, Fatal, Sink
from tracker.gateway.connection import BrokerConnection
from tracker.gateway.error_codes import planned_reset
from tracker.gateway.link import LinkOptions, LinkPhase, LinkState
from tracker.gateway.link_monitor import LinkMonitor, PendingRequests

_CLOSE_SECONDS: Final = 1.0
"""Seconds that `close` waits for `run` to end."""
_STOPPING: Final = "the tracker is stopping"


class LinkLost(Exception):
    """Say that the link could not be made, or ended too soon; it is retried after the backoff."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.refused = refused


class ReconnectingLink:
    """Keep one link to the gateway; `run` it in a task and `close` it when done."""

    def __init__(
        self,
        options: LinkOptions,
        *,
        sink: Sink,
        now: Callable[[], datetime],
        first_connection_no: int,
        refuse_login: Callable[[tuple[str, ...]], str | None],
        on_commit: Callable[[], None],
        on_state: Callable[[LinkState], None],
    ) -> None:
        """Prepare the link; nothing is sent before `run`.

        `first_connection_no` is one above the journal's last. `refuse_login` gets the managed accounts of a
        login and returns why it must not be used, None where it may. `on_commit` is called after each commit,
        `on_state` at each change of `state` but for the time of the last frame. Callbacks are called on the
        loop's thread, may not block, and an exception of theirs ends capture.
        """
        self._options = options
        self._sink = sink
        self._now = now
        self._next_connection_no = first_connection_no
        self._refuse_login = refuse_login
        self._on_commit = on_commit
        self._monitor = LinkMonitor(now, on_state)
        self._pending = PendingRequests()
        self._port = options.port
        self._closing = asyncio.Event()
        self._finished = asyncio.Event()
        self._running = False
        self._capture: Capture | None = None
        self._last_failure = ""

    @property
    def state(self) -> LinkState:
        """Return the state of the link now."""
        return self._monitor.state

    async def run(self) -> None:
        """Keep the link until `close`; raises CaptureFailed when capture failed for good."""
        self._running = True
        fatal: Fatal = asyncio.get_running_loop().create_future()
        ending = _STOPPING
        try:
            while not self._closing.is_set():
                self._monitor.update(attempts=0)
                # One round ends when a link that lasted is lost; failed attempts are retried inside.
                await AsyncRetrying(
                    retry=retry_if_exception_type(LinkLost),
                    wait=self._backoff,
                    sleep=self._sleep,
                    before_sleep=self._show_backoff,
                )(self._attempt, fatal)
        except Exception as error:
            # Only for the state's reason; the exception itself ends the daemon.
            ending = str(error)
            raise
        finally:
            self._finished.set()
            self._monitor.update(
                state=LinkPhase.STOPPED, reason=ending, subscribed=False, next_attempt_at=None
            )

    async def close(self) -> None:
        """End the link and `run`; returns within a second whatever the gateway does."""
        self._closing.set()
        if self._capture is not None:
            self._capture.close(_STOPPING)
        if self._running:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._finished.wait()

    def request_sweep(self, reason: str) -> None:
        """Ask for the day's executions soon; requests until then count as one."""
        logger.debug("sweep requested: {}", reason)
        self._pending.add_sweep()

    def request_positions(self, reason: str) -> None:
        """Ask for the positions soon; requests until then count as one."""
        logger.debug("positions requested: {}", reason)
        self._pending.add_positions()

    async def broker_snapshot(self, within: float) -> BrokerSnapshot | None:
        """Ask for positions, the day's executions and all orders again, and return the answers.

        Return None after so many seconds: the link is down, or slower than that.
        """
        logger.debug("broker snapshot requested")
        snapshot = self._pending.add_snapshot()
        try:
            async with asyncio.timeout(within):
                return await snapshot
        except TimeoutError:
            return None

    # Attempts

    async def _attempt(self, fatal: Fatal) -> None:
        """Make one link and keep it until it ends; raise LinkLost unless it lasted."""
        if self._closing.is_set():
            return
        number, self._next_connection_no = self._next_connection_no, self._next_connection_no + 1
        options, monitor = self._options, self._monitor
        monitor.update(
            state=LinkPhase.CONNECTING,
            reason=f"connecting to {options.host}:{self._port}{self._last_failure}",
            next_attempt_at=None,
            attempts=monitor.state.attempts + 1,
            connection_no=number,
        )
        sink = CaptureSink(self._sink, number, self._now, self._on_commit, fatal)
        connection = BrokerConnection(options, sink, monitor, self._pending, self._refuse_login)
        self._capture = connection.capture
        try:
            lived, reason = await connection.serve(options.host, self._port)
            monitor.update(subscribed=False)
        finally:
            self._capture = None
            await connection.close()
        if fatal.done():
            raise fatal.result()
        if self._closing.is_set():
            return
        self._last_failure = f", after: {reason}"
        self._choose_port(connection)
        if lived < options.steady_seconds:
            raise LinkLost(reason, refused=bool(connection.capture.refusal))
        logger.log("INFO" if planned_reset(self._now()) else "WARNING", "link lost: {}", reason)

    def _choose_port(self, connection: BrokerConnection) -> None:
        """Choose the port of the next attempt: the one that 1300 named, or the configured one again."""
        if connection.moved_to is not None:
            self._port = connection.moved_to
        elif not connection.logged_in:
            self._port = self._options.port

    def _backoff(self, retry: RetryCallState) -> float:
        """Return the seconds until the next attempt."""
        options = self._options
        error = retry.outcome.exception() if retry.outcome is not None else None
        if isinstance(error, LinkLost) and error.refused:
            return options.retry_most
        first, most = options.retry_first, options.retry_most
        return (wait_exponential(multiplier=first, max=most - first) + wait_random(0, first))(retry)

    def _show_backoff(self, retry: RetryCallState) -> None:
        """Show why the link is down and when the next attempt is made."""
        error = retry.outcome.exception() if retry.outcome is not None else None
        assert isinstance(error, LinkLost), "only LinkLost is retried"
        seconds = retry.next_action.sleep if retry.next_action is not None else 0.0
        now = self._now()
        planned = planned_reset(now)
        why = f"{error.reason} (planned: {planned})" if planned and not error.refused else error.reason
        self._monitor.update(
            state=LinkPhase.REFUSED if error.refused else LinkPhase.WAITING,
            reason=f"{why}; retrying in {max(1, round(seconds))} s",
            planned=bool(planned) and not error.refused,
            next_attempt_at=now + timedelta(seconds=seconds),
        )

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()
