"""One connection to the gateway, from the opening of its socket to its end.

Owns the start-up, the sweeps, the snapshots and the probe of one connection. It never reads a
fact: what arrives is in the journal before anybody learns of it, and this module only asks for more. It does
not connect again; the session does.

Rules
- Own start-up: positions, then the day's executions per account, then all open orders, each bounded. A
  missing End delays the start by its timeout and stops nothing.
- Positions are asked before the first sweep, and again while live executions come in between, so that the
  first snapshot has a clean cut.
- What is sent is journalled before it leaves; what was not answered is journalled as a timeout.
- After 1101 and 1102 the day is fetched again; a sweep that began before them proves nothing about it.
- `IB.connectAsync` is never used: it binds manual orders as client 0 and gives up without execDetailsEnd.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

from tracker.core.journal_entries import Fields, FirstSweepOver, LinkDown, Message
from tracker.core.model import Frame, Notice, Source
from tracker.gateway.broker_snapshot import SnapshotReader
from tracker.gateway.capture import Capture
from tracker.gateway.capture_sink import CaptureSink
from tracker.gateway.error_codes import Effect, effect_of, new_port, planned_reset, words_for
from tracker.gateway.ib_insync_compat import new_ib
from tracker.gateway.link import LinkOptions, LinkPhase
from tracker.gateway.link_monitor import LinkMonitor, PendingRequests
from tracker.gateway.login import log_in
from tracker.gateway.normalise import normalise
from tracker.gateway.requests import COMPLETED_ORDERS, OPEN_ORDERS, POSITIONS, Requests

_SNAPSHOTS_AT_START: Final = 4
"""Most positions requests before the first sweep, when live executions keep coming in between."""
_GOODBYE_SECONDS: Final = 1.0
"""How long a closing socket may take to close before it is dropped."""
_PROBE_GAP_SECONDS: Final = 1.0


class BrokerConnection:
    """Make one connection and serve it; `live` until it ends, then `leave`."""

    def __init__(
        self,
        options: LinkOptions,
        recorder: CaptureSink,
        board: LinkMonitor,
        wishes: PendingRequests,
        vet: Callable[[tuple[str, ...]], str | None],
    ) -> None:
        self._options = options
        self._recorder = recorder
        self._board = board
        self._wishes = wishes
        self._vet = vet
        self._loop = asyncio.get_running_loop()
        self._ib = new_ib()
        self._ib.wrapper.clientId = options.client_id
        self._client: Any = self._ib.client  # Its methods carry no types.
        self._inquiries = Requests(self._client, recorder, options)
        self._accounts: tuple[str, ...] = ()
        self._packet = asyncio.Event()
        self._packet_time = self._loop.time()
        self._answered = False
        self._upstream_lost_at: float | None = None
        self._upstream_silent = False
        """2110 came, which no notice takes back."""
        self._upheavals = 0
        """Counts 1100, 1101, 1102 and 2110, so that a sweep can tell that one came in between."""
        self._listed = 0
        """How many executions the last sweep listed."""
        self._started = asyncio.Event()
        """Set once the first sweep ended or timed out."""
        self._orders_wanted = True
        self._positions_asked_at = 0.0
        self._errand = asyncio.Lock()
        """Held while positions or completed orders are asked: one outstanding request per kind."""
        self._look: SnapshotReader | None = None
        self.logged_in = False
        self.moved_to: int | None = None
        self.capture = Capture(
            self._ib,
            recorder,
            self,
            may_bind=options.bind_manual_orders,
        )

    # Life

    async def live(self, host: str, port: int) -> tuple[float, str]:
        """Connect and serve until the link ends; return how long it was logged in, and why it ended."""
        reason = await log_in(
            self._client, self.capture, self._options, host, port, answered=lambda: self._answered
        )
        if reason:
            return 0.0, reason
        began = self._loop.time()
        await self._serve()
        return self._loop.time() - began, self.capture.closed.result()

    async def leave(self) -> None:
        """Close the socket, at most a moment after it was asked to, and journal the end of the link."""
        self.capture.close("the link was given up")
        if self._client.conn.transport is not None:
            await asyncio.wait({self.capture.gone}, timeout=_GOODBYE_SECONDS)
            self.capture.abort()
        if self.logged_in and not self._recorder.fatal.done():
            self._recorder.note(LinkDown(self.capture.closed.result()))

    async def _serve(self) -> None:
        """Run what a live link needs until it ends; raise what a part of it raised."""
        if self._options.bind_manual_orders and self._options.client_id == 0:
            self._client.reqAutoOpenOrders(True)
            self._client.reqOpenOrders()
        parts = [self._sweeps(), self._errands(), self._probes(), self._watch_upstream()]
        tasks = [self._loop.create_task(self._part(part)) for part in parts]
        try:
            ends: set[asyncio.Future[Any]] = {self.capture.closed, *tasks}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.capture.close("the link was given up")
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _part(self, part: Coroutine[Any, Any, None]) -> None:
        try:
            await part
        except ConnectionError:
            # The link ended between two awaits and ib_insync refused to send; `closed` says why.
            self.capture.close("the link ended")

    # Hearing (Listener)

    def on_ready(self, accounts: tuple[str, ...], server_version: int) -> str | None:
        """Vet the login; called before its first frame is journalled."""
        refusal = self._vet(accounts)
        self._board.change(accounts=accounts, server_version=server_version)
        if refusal:
            return refusal
        self.logged_in = True
        self._accounts = accounts
        if self._upstream_lost_at is None:
            self._board.change(state=LinkPhase.SYNCING, reason="logged in; fetching positions and the day")
        return None

    def on_packet(self, frames: Sequence[Fields]) -> None:
        """Learn what a packet brought, after it was committed."""
        self._answered = True
        self._packet_time = self._loop.time()
        self._board.last_frame_at = self._recorder.now()
        self._packet.set()
        for fields in frames:
            if self._look is not None:
                self._look.saw(fields)
            if fields[:1] == (Message.NOTICE,):
                self._hear_notice(fields)
            else:
                self._inquiries.saw(fields)

    def _hear_notice(self, fields: Fields) -> None:
        frame = Frame(0, self._recorder.now(), self._recorder.session, Source.BROKER, fields)
        notice = normalise(frame, self._options.login_zone)
        if not isinstance(notice, Notice):
            return
        effect = effect_of(notice.code)
        if effect is Effect.NONE:
            self._inquiries.refused(notice)
            return
        words = words_for(notice.code, notice.text, self._options.client_id)
        if effect is Effect.UPSTREAM_LOST:
            self._lose_upstream(notice.code, words)
        elif effect is Effect.UPSTREAM_BACK:
            self._regain_upstream(words)
        elif effect is Effect.MOVED:
            self.moved_to = new_port(notice.text)
            self.capture.close(words)
        elif effect is Effect.ENDED:
            self.capture.close(words)

    def _lose_upstream(self, code: int, words: str) -> None:
        self._upheavals += 1
        if self._upstream_lost_at is None:
            self._upstream_lost_at = self._loop.time()
        self._upstream_silent = code == 2110
        planned = planned_reset(self._recorder.now())
        self._board.change(
            state=LinkPhase.UPSTREAM_DOWN,
            reason=f"{words} (planned: {planned})" if planned else words,
            planned=bool(planned),
            subscribed=False,
        )

    def _regain_upstream(self, words: str) -> None:
        self._upheavals += 1
        self._upstream_lost_at = None
        self._upstream_silent = False
        self._orders_wanted = True
        if self.logged_in:
            self._board.change(state=LinkPhase.SYNCING, reason=words, planned=False)
            self._wishes.want_sweep()
            self._wishes.want_positions()

    # Asking

    async def _sweeps(self) -> None:
        """Start up, then ask for the day's executions on the timer and on demand."""
        wishes, options = self._wishes, self._options
        await self._first_positions()
        while True:
            if any(not look.done() for look in wishes.looks):
                await self._look_around()
            else:
                await self._sweep()
            if self._orders_wanted:
                self._orders_wanted = False
                self.capture.forget_orders()
                await self._inquiries.open_orders()
            if self._loop.time() - self._positions_asked_at >= options.snapshot_seconds:
                wishes.want_positions()
            await asyncio.sleep(options.gap_seconds)
            with suppress(TimeoutError):
                pause = options.sweep_pause(self._listed)
                async with asyncio.timeout(max(0.0, pause - options.gap_seconds)):
                    await wishes.sweep.wait()

    async def _first_positions(self) -> None:
        """Ask positions until no live execution came while they were answered."""
        for _ in range(_SNAPSHOTS_AT_START):
            before = self._inquiries.live_executions
            if not await self._positions() or self._inquiries.live_executions == before:
                return

    async def _positions(self) -> bool:
        self._wishes.positions = False
        self._positions_asked_at = self._loop.time()
        return await self._inquiries.positions()

    async def _sweep(self) -> None:
        """Ask for the whole day of every account, one after the other, and show how that went."""
        board = self._board
        self._wishes.sweep.clear()
        upheavals = self._upheavals
        answers: list[bool] = []
        listed = 0
        for account in self._accounts:
            since = self._inquiries.midnight()
            answers.append(await self._inquiries.executions(account))
            listed += self._inquiries.listed
            if self._look is not None:
                self._look.swept(account, since, ended=answers[-1])
        if not self._started.is_set():
            self._started.set()
            self._recorder.note(FirstSweepOver())
        self._listed = listed
        ended = all(answers)
        board.change(last_sweep_timed_out=not ended)
        if ended:
            board.change(last_sweep_at=self._recorder.now())
        if self._upstream_lost_at is None and upheavals == self._upheavals:
            count = len(self._accounts)
            board.change(
                state=LinkPhase.UP,
                subscribed=True,
                reason=f"connected with {count} account{'s' if count != 1 else ''}"
                + ("" if ended else "; the gateway did not end its last answer about the day's executions"),
            )

    async def _look_around(self) -> None:
        """Ask everything once, with a look that hears all of it, and hand that to whoever waits for it."""
        wishes, inquiries = self._wishes, self._inquiries
        waiting, wishes.looks = wishes.looks, []
        upheavals = self._upheavals
        look = self._look = SnapshotReader(self._recorder.now(), self._options.login_zone)
        try:
            await self._asked(look, POSITIONS, self._positions)
            await self._sweep()
            self._orders_wanted = False
            self.capture.forget_orders()
            await self._asked(look, OPEN_ORDERS, inquiries.open_orders)
            await self._asked(look, COMPLETED_ORDERS, inquiries.completed_orders)
            severed = self._upstream_lost_at is not None or upheavals != self._upheavals
            seen = look.result(self._ib, severed=severed)
        except BaseException:
            # The link ended meanwhile; the next one looks for them.
            wishes.looks += [each for each in waiting if not each.done()]
            raise
        finally:
            self._look = None
        for each in waiting:
            if not each.done():
                each.set_result(seen)

    async def _asked(self, look: SnapshotReader, question: str, ask: Callable[[], Awaitable[bool]]) -> None:
        async with self._errand:
            if question == POSITIONS and self._inquiries.positions_barred:
                return
            look.asking(question)
            ended = await ask()
            look.answered(ended=ended, refused=not ended and question in self._inquiries.forbidden)

    async def _errands(self) -> None:
        """Ask for positions when somebody wants them."""
        wishes = self._wishes
        # The start-up asks for positions itself.
        await self._started.wait()
        while True:
            await wishes.errand.wait()
            wishes.errand.clear()
            while wishes.positions:
                async with self._errand:
                    barred = self._inquiries.positions_barred
                    if not barred:
                        await self._positions()
                await asyncio.sleep(barred or self._options.gap_seconds)

    async def _probes(self) -> None:
        """Ask the time of a link that went quiet, and end it when nothing at all comes back.

        A silent peer stays connected for ib_insync. Any packet is an answer.
        """
        options = self._options
        patience = min(options.request_timeout, options.probe_timeout)
        while True:
            idle = self._loop.time() - self._packet_time
            if idle < options.probe_seconds:
                await asyncio.sleep(options.probe_seconds - idle)
                continue
            self._packet.clear()
            self._client.reqCurrentTime()
            if not await self._packet_or(patience):
                self.capture.close(f"the gateway is silent: no answer to a probe within {patience:g} s")
                self.capture.abort()
                return
            await asyncio.sleep(_PROBE_GAP_SECONDS)

    async def _packet_or(self, seconds: float) -> bool:
        """Wait for a packet, no longer than some seconds; True if one came."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._packet.wait()
        return False

    async def _watch_upstream(self) -> None:
        """Make the link anew when 2110 was not followed by 1101 or 1102 for long."""
        limit = self._options.silent_upstream_seconds
        while True:
            since = self._upstream_lost_at
            if since is None or not self._upstream_silent:
                await asyncio.sleep(limit / 10)
            elif self._loop.time() - since < limit:
                await asyncio.sleep(limit - (self._loop.time() - since))
            else:
                self.capture.close(f"no word of IBKR for {limit:g} s after 2110; connecting anew to learn")
                return
