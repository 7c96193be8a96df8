"""Decide when one connection requests what: the start-up, the sweeps, positions and broker snapshots.

Owns the order and the timing of the requests of one connection; `requests.py` sends them. It decodes no fact:
an answer is in the journal before any other code sees it.

Start-up: positions, then the day's executions of each account, then all open orders, each bounded. A missing
end of an answer delays the start by its timeout and stops nothing.

| request | when |
|---|---|
| positions | first of all; after the first sweep, also the one after 1101 or 1102; every `snapshot_seconds` |
| sweep: executions of the day | after the first positions; every `sweep_seconds`; after 1101 or 1102 |
| open orders | after the first sweep, and after the first one after 1101 or 1102 |
| completed orders | after the first sweep: they say how orders ended while the tracker was not connected |
| all of these | for a broker snapshot, on demand |

Before the first sweep positions are requested again if live executions came in between, so that it is clear
which executions the first snapshot contains. The second request makes that certain: an answer requested after
a sweep contains everything that the sweep listed (`core.certainty`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from tracker.core.journal_entries import Fields, FirstSweepOver
from tracker.gateway.broker_snapshot import SnapshotReader
from tracker.gateway.capture import Capture
from tracker.gateway.capture_sink import CaptureSink
from tracker.gateway.ib_insync_compat import IB
from tracker.gateway.link import LinkOptions, LinkPhase
from tracker.gateway.link_monitor import LinkMonitor, PendingRequests
from tracker.gateway.requests import COMPLETED_ORDERS, OPEN_ORDERS, POSITIONS, Requests
from tracker.gateway.upstream import Upstream

_POSITIONS_AT_START: Final = 4
"""The most position requests before the first sweep, when live executions keep coming in between."""


class RequestSchedule:
    """Ask over one connection, from its login to its end."""

    def __init__(
        self,
        options: LinkOptions,
        ib: IB,
        sink: CaptureSink,
        capture: Capture,
        requests: Requests,
        upstream: Upstream,
        monitor: LinkMonitor,
        pending: PendingRequests,
    ) -> None:
        self._options = options
        self._ib = ib
        self._sink = sink
        self._capture = capture
        self._requests = requests
        self._upstream = upstream
        self._monitor = monitor
        self._pending = pending
        self._loop = asyncio.get_running_loop()
        self._accounts: tuple[str, ...] = ()
        self._listed = 0
        """How many executions the last sweep listed."""
        self._first_sweep_over = asyncio.Event()
        self._orders_due = True
        self._certain_positions_due = True
        """Whether no positions were requested yet after a sweep of this link to IBKR."""
        self._positions_asked_at = 0.0
        self._asking = {kind: asyncio.Lock() for kind in (POSITIONS, OPEN_ORDERS, COMPLETED_ORDERS)}
        """Locks, each held while its kind of answer is outstanding: one request of each kind at a time."""
        self._snapshot: SnapshotReader | None = None

    def begin(self, accounts: tuple[str, ...]) -> None:
        """Learn the accounts of the login."""
        self._accounts = accounts

    def on_packet(self, frames: Sequence[Fields]) -> None:
        """Process the messages of the connection."""
        if self._snapshot is not None:
            for fields in frames:
                self._snapshot.on_message(fields)

    def restart(self) -> None:
        """Request everything again, since the gateway had lost IBKR."""
        self._orders_due = True
        self._certain_positions_due = True
        self._pending.add_sweep()

    async def run_sweeps(self) -> None:
        """Start up, then sweep on the timer and on demand."""
        pending, options = self._pending, self._options
        await self._first_positions()
        while True:
            if any(not waiting.done() for waiting in pending.snapshots):
                await self._take_snapshot()
            else:
                await self._sweep()
            if self._orders_due:
                self._orders_due = False
                self._capture.forget_orders()
                await self._requests.open_orders()
            if self._positions_due():
                self._certain_positions_due = False
                pending.add_positions()
            await asyncio.sleep(options.gap_seconds)
            with suppress(TimeoutError):
                pause = options.sweep_pause(self._listed)
                async with asyncio.timeout(max(0.0, pause - options.gap_seconds)):
                    await pending.sweep.wait()

    async def run_positions(self) -> None:
        """Ask for positions on demand, after the start-up has requested them itself."""
        pending = self._pending
        await self._first_sweep_over.wait()
        while True:
            await pending.positions_added.wait()
            pending.positions_added.clear()
            while pending.positions:
                async with self._asking[POSITIONS]:
                    barred = self._requests.positions_barred
                    if not barred:
                        await self._positions()
                await asyncio.sleep(barred or self._options.gap_seconds)

    async def run_completed_orders(self) -> None:
        """Ask once for the orders that ended today, if the gateway allows it; continue without an answer."""
        await self._first_sweep_over.wait()
        async with self._asking[COMPLETED_ORDERS]:
            await self._requests.completed_orders()

    async def _first_positions(self) -> None:
        """Ask for positions until no live execution came during the answer."""
        for _ in range(_POSITIONS_AT_START):
            before = self._requests.live_executions
            if not await self._positions() or self._requests.live_executions == before:
                return

    def _positions_due(self) -> bool:
        old = self._loop.time() - self._positions_asked_at >= self._options.snapshot_seconds
        return old or (self._certain_positions_due and not self._upstream.lost)

    async def _positions(self, within: float | None = None) -> bool:
        self._pending.positions = False
        self._positions_asked_at = self._loop.time()
        return await self._requests.positions(within)

    async def _sweep(self) -> None:
        """Ask for the whole day of every account, one after the other, and show the result."""
        self._pending.sweep.clear()
        interruptions = self._upstream.interruptions
        answers: list[bool] = []
        listed = 0
        for account in self._accounts:
            since = self._requests.midnight()
            within = None if self._snapshot is None else self._snapshot.patience
            ended = within != 0 and await self._requests.executions(account, within)
            answers.append(ended)
            listed += self._requests.listed
            if self._snapshot is not None:
                self._snapshot.end_sweep(account, since, ended=ended)
        if not self._first_sweep_over.is_set():
            self._first_sweep_over.set()
            self._sink.append_entry(FirstSweepOver())
        self._listed = listed
        self._show_sweep(ended=all(answers), undisturbed=interruptions == self._upstream.interruptions)

    def _show_sweep(self, *, ended: bool, undisturbed: bool) -> None:
        monitor = self._monitor
        monitor.update(last_sweep_timed_out=not ended)
        if ended:
            monitor.update(last_sweep_at=self._sink.now())
        if self._upstream.lost or not undisturbed:
            return
        count = len(self._accounts)
        monitor.update(
            state=LinkPhase.UP,
            subscribed=True,
            reason=f"connected with {count} account{'s' if count != 1 else ''}"
            + ("" if ended else "; the gateway's last answer about the day's executions was cut short"),
        )

    async def _take_snapshot(self) -> None:
        """Request everything once, and pass the answers to all who wait for a broker snapshot."""
        pending, requests = self._pending, self._requests
        waiting, pending.snapshots = pending.snapshots, []
        interruptions = self._upstream.interruptions
        reader = self._snapshot = SnapshotReader(
            self._sink.now(), self._options, silent=self._monitor.state.last_sweep_timed_out
        )
        try:
            await self._ask(reader, POSITIONS, self._positions)
            await self._sweep()
            self._orders_due = False
            self._capture.forget_orders()
            await self._ask(reader, OPEN_ORDERS, requests.open_orders)
            await self._ask(reader, COMPLETED_ORDERS, requests.completed_orders)
            await self._certain_positions(reader.patience)
            severed = self._upstream.lost or interruptions != self._upstream.interruptions
            snapshot = reader.result(self._ib, severed=severed)
        except BaseException:
            # The link ended meanwhile; the next connection asks for them.
            pending.snapshots += [each for each in waiting if not each.done()]
            raise
        finally:
            self._snapshot = None
        for each in waiting:
            if not each.done():
                each.set_result(snapshot)

    async def _certain_positions(self, within: float) -> None:
        """Request the positions that are due after a sweep, before the snapshot is passed on.

        They go to the journal only. The snapshot has the positions from before its sweep, since the sweep
        lists every execution that those contain.
        """
        if not within or not self._positions_due():
            return
        self._certain_positions_due = False
        async with self._asking[POSITIONS]:
            if self._requests.positions_barred:
                self._pending.add_positions()
            else:
                await self._positions(within)

    async def _ask(
        self, reader: SnapshotReader, question: str, ask: Callable[[float], Awaitable[bool]]
    ) -> None:
        async with self._asking[question]:
            if question == POSITIONS and self._requests.positions_barred:
                return
            reader.begin_answer(question)
            ended = reader.patience > 0 and await ask(reader.patience)
            reader.end_answer(ended=ended, refused=not ended and question in self._requests.forbidden)
