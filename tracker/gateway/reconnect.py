"""The one link to the gateway, made again for ever.

Owns the attempts, the delay between them, the numbers of the connections and the state that says how the link
stands. What one connection does is in `connection.py`. It never gives up by itself: only `close` and a
failure of capture end it.
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

_CLOSE_SECONDS: Final = 3.0
"""How long `close` waits for `run` to end."""
_STOPPING: Final = "the tracker is stopping"


class LinkLost(Exception):
    """The link could not be made, or ended too soon; says why, and the session tries again."""

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
        next_session: int,
        vet: Callable[[tuple[str, ...]], str | None],
        on_commit: Callable[[], None],
        on_state: Callable[[LinkState], None],
    ) -> None:
        """Prepare a session; nothing is sent before `run`.

        `next_session` numbers the first connection, one above the journal's last. `vet` gets the managed
        accounts of a login and returns a text to refuse it. `on_commit` is called after each commit,
        `on_state` at each change of `state` that a person would care for (not at each frame). Callbacks are
        called on the loop's thread, may not block, and an exception of theirs ends capture.
        """
        self._options = options
        self._sink = sink
        self._now = now
        self._next_session = next_session
        self._vet = vet
        self._on_commit = on_commit
        self._board = LinkMonitor(now, on_state)
        self._wishes = PendingRequests()
        self._port = options.port
        self._closing = asyncio.Event()
        self._finished = asyncio.Event()
        self._running = False
        self._capture: Capture | None = None
        self._last_trouble = ""

    @property
    def state(self) -> LinkState:
        """Return how the link stands now."""
        return self._board.state

    async def run(self) -> None:
        """Keep the link for ever; return after `close`, raise FatalCapture when capture failed for good."""
        self._running = True
        fatal: Fatal = asyncio.get_running_loop().create_future()
        ending = _STOPPING
        try:
            while not self._closing.is_set():
                self._board.change(attempts=0)
                # One round ends when a link that lasted is lost; failures in between are retried inside.
                await AsyncRetrying(
                    retry=retry_if_exception_type(LinkLost),
                    wait=self._delay,
                    sleep=self._sleep,
                    before_sleep=self._tell_delay,
                )(self._attempt, fatal)
        except Exception as error:
            # Only for the state's reason; the daemon is told by the exception itself.
            ending = str(error)
            raise
        finally:
            self._finished.set()
            self._board.change(state=LinkPhase.STOPPED, reason=ending, subscribed=False, next_attempt_at=None)

    async def close(self) -> None:
        """End the link and `run`; returns within a few seconds whatever the gateway does."""
        self._closing.set()
        if self._capture is not None:
            self._capture.close(_STOPPING)
        if self._running:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._finished.wait()

    def request_sweep(self, reason: str) -> None:
        """Ask for the day's executions soon; requests that come meanwhile are one."""
        logger.debug("sweep requested: {}", reason)
        self._wishes.want_sweep()

    def request_snapshot(self, reason: str) -> None:
        """Ask for the positions soon; requests that come meanwhile are one."""
        logger.debug("position snapshot requested: {}", reason)
        self._wishes.want_positions()

    async def look(self, within: float) -> BrokerSnapshot | None:
        """Ask for positions, the day's executions and all orders anew, and return what was answered.

        None where that did not happen within so many seconds: the link is down, or slower than that.
        """
        logger.debug("look requested")
        look = self._wishes.want_look()
        try:
            async with asyncio.timeout(within):
                return await look
        except TimeoutError:
            return None

    # Attempts

    async def _attempt(self, fatal: Fatal) -> None:
        """Make one link and keep it until it ends; raise LinkLost unless it lasted."""
        if self._closing.is_set():
            return
        number, self._next_session = self._next_session, self._next_session + 1
        options, board = self._options, self._board
        board.change(
            state=LinkPhase.CONNECTING,
            reason=f"connecting to {options.host}:{self._port}{self._last_trouble}",
            next_attempt_at=None,
            attempts=board.state.attempts + 1,
            session=number,
        )
        recorder = CaptureSink(self._sink, number, self._now, self._on_commit, fatal)
        link = BrokerConnection(options, recorder, board, self._wishes, self._vet)
        self._capture = link.capture
        try:
            lived, reason = await link.live(options.host, self._port)
            board.change(subscribed=False)
        finally:
            self._capture = None
            await link.leave()
        if fatal.done():
            raise fatal.result()
        if self._closing.is_set():
            return
        self._last_trouble = f", after: {reason}"
        self._choose_port(link)
        if lived < options.steady_seconds:
            raise LinkLost(reason, refused=bool(link.capture.refusal))
        logger.log("INFO" if planned_reset(self._now()) else "WARNING", "link lost: {}", reason)

    def _choose_port(self, link: BrokerConnection) -> None:
        """Choose the port of the next attempt: where 1300 pointed, or back where the settings say."""
        if link.moved_to is not None:
            self._port = link.moved_to
        elif not link.logged_in:
            self._port = self._options.port

    def _delay(self, retry: RetryCallState) -> float:
        options = self._options
        error = retry.outcome.exception() if retry.outcome is not None else None
        if isinstance(error, LinkLost) and error.refused:
            return options.retry_most
        first, most = options.retry_first, options.retry_most
        return (wait_exponential(multiplier=first, max=most - first) + wait_random(0, first))(retry)

    def _tell_delay(self, retry: RetryCallState) -> None:
        """Show why the link is down and when the next attempt is made."""
        error = retry.outcome.exception() if retry.outcome is not None else None
        assert isinstance(error, LinkLost), "only LinkLost is retried"
        seconds = retry.next_action.sleep if retry.next_action is not None else 0.0
        now = self._now()
        planned = planned_reset(now)
        why = f"{error.reason} (planned: {planned})" if planned and not error.refused else error.reason
        self._board.change(
            state=LinkPhase.REFUSED if error.refused else LinkPhase.WAITING,
            reason=f"{why}; retrying in {max(1, round(seconds))} s",
            planned=bool(planned) and not error.refused,
            next_attempt_at=now + timedelta(seconds=seconds),
        )

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()
