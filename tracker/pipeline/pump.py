"""Read what was journalled, have the core decide it, and commit both together.

Owns the order of steps: frames after the cursor are decided, and their state, outbox and cursor committed in
one transaction, which also appends the frames themselves if no others wait. `delivery` writes the result;
`store_changes` finds what other programs do to the store. It never skips a frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from random import random
from typing import Final

from tracker.core.alert_updates import ClosingPolicy, EventKind, TrackerEvent
from tracker.core.alerters import AlerterNames
from tracker.core.model import Alert, AlertId, Execution
from tracker.core.ownership_rows import FirstSeen, RetryWindow, RunTime
from tracker.core.ports import AlertStore
from tracker.core.state import ALERTS, FIRST_SEEN, RUN_TIME, WINDOWS
from tracker.core.state_rows import alert_text
from tracker.journal.journal import Arriving, Journal
from tracker.pipeline.careful_match import CarefulMatch, MatchAlerts
from tracker.pipeline.decide import FrameDecider, LedgerRules, Normalise
from tracker.pipeline.delivery import OnWritten, OutboxDelivery
from tracker.pipeline.retry_clock import RetryClock, SeenRecords
from tracker.pipeline.store_changes import StoreChanges
from tracker.pipeline.store_watch import OnStore, StoreOutage, StoreWatch

_BATCH: Final = 3000
"""Most frames of one step."""
_AT_ONCE: Final = 6000
"""Most frames of one step where no socket and no link wait: fewer steps write a row less often."""
_FIRST_BATCH: Final = 200
"""Frames of the first step, and the fewest of any later one."""
_STEP_SECONDS: Final = 0.2
"""Seconds that one step may delay a stop, the socket and the link: on a busy machine it takes fewer
frames.
"""
_FLOOD: Final = 50
"""A step of so many frames means that more are likely to follow."""
_GATHER_SECONDS: Final = 0.25
"""Seconds for which a flood is decided before the alerts are written; a single fill is written at once."""
_BUILT_IN_NAMES: Final = AlerterNames()
_RETRY_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class PumpCounts:
    """Say what was done since the start."""

    fills: int
    alerts_updated: int
    reapplied: int
    last_update: datetime | None


class Pump:
    """Drive one journal and one alert store.

    `zone` is the accounts' zone, in which days end; `store_zone` is the zone in which records are dated.
    `worker` runs the store's I/O, one call at a time. `on_committed` receives the events of a decision right
    after its commit, in the order of their numbers; `on_event` each of them a little later, while the store
    is written; `on_written` the outcomes of updates and when the file was synced, after the events that led
    to them; `on_outage` why the store cannot be read, or None when it can again; `want_sweep` why the broker
    should be asked for the day's executions, `want_positions` why for the positions.
    """

    def __init__(
        self,
        journal: Journal,
        store: AlertStore,
        normalise: Normalise,
        match_alerts: MatchAlerts,
        *,
        now: Callable[[], datetime],
        worker: Executor,
        policy: ClosingPolicy,
        accounts: Sequence[str] = (),
        zone: tzinfo = UTC,
        store_zone: tzinfo = UTC,
        retry_for: timedelta = timedelta(minutes=15),
        names: AlerterNames = _BUILT_IN_NAMES,
        monotonic: Callable[[], float] | None = None,
        on_committed: Callable[[Sequence[TrackerEvent]], None] = lambda events: None,
        on_event: Callable[[TrackerEvent], None] = lambda event: None,
        on_written: OnWritten = lambda updates, outcomes, at: None,
        on_outage: OnStore = lambda outage: None,
        want_sweep: Callable[[str], None] = lambda reason: None,
        want_positions: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._journal, self._state = journal, journal.state
        self._store, self._now = store, now
        self._on_committed = on_committed
        self._on_event, self._want_sweep, self._want_positions = on_event, want_sweep, want_positions
        match, seconds = CarefulMatch(match_alerts), monotonic or (lambda: now().timestamp())
        self._clock = RetryClock(self._state, monotonic=seconds, retry_for=retry_for, skew=self._skew)
        self._seen = SeenRecords(self._state, store, now, store_zone, names)
        self._decider = FrameDecider(
            journal,
            self._candidates,
            normalise,
            match,
            LedgerRules(policy, accounts, zone),
            before_commit=self._decided,
            names=names,
            ran=self._clock.ran,
        )
        self._ledger = self._decider.ledger
        self._comparison = StoreChanges(
            self._state, store, self._candidates, match, self._ledger, names=names, clock=self._clock
        )
        self._watch = StoreWatch(
            journal, store, worker, now=now, on_outage=on_outage, on_refresh=self._refreshed
        )
        self._compare, self._wake = asyncio.Event(), asyncio.Event()
        """Set while the store must be compared with what it should show."""
        again = self._compare.set
        self._delivery = OutboxDelivery(
            journal, store, self._watch, worker, now=now, on_written=on_written, compare_again=again
        )
        self._attempts = self._fills = 0
        self._batch = _FIRST_BATCH
        self._at_rest = self._compared_early = False
        """Whether nothing is left to do; whether frames waited while the store was compared."""
        self._unpublished: list[TrackerEvent] = []
        self._failure: Exception | None = None

    @property
    def away(self) -> dict[str, StoreOutage]:
        """Why the store cannot be `read`, or `written`, and since when."""
        return self._watch.away

    @property
    def counts(self) -> PumpCounts:
        done = self._delivery.counts
        return PumpCounts(self._fills, done.alerts_updated, done.reapplied, done.last_update)

    def append(self, connection_no: int, received_at: datetime, frames: Arriving) -> None:
        """Journal new frames; while nothing else is in progress they are decided in the same commit.

        That saves a single fill one commit. The frames are durable on return; `wake` starts the rest. Raises
        JournalFailed.
        """
        if len(frames) >= _FLOOD or not self._can_decide_now():
            self._journal.append(connection_no, received_at, frames)
            return
        self._at_rest = False
        events = self._decider.append(connection_no, received_at, frames)
        if events is None:
            self._delivery.forget_prepared()
            return
        self._committed(events)
        try:
            self._delivery.begin()
        except Exception as error:
            # The frames are durable, so the caller must not see a failed append; the pump raises this error
            # instead.
            self._failure = error

    def _can_decide_now(self) -> bool:
        """Return whether new frames can be decided on the last known state of the store."""
        if not self._at_rest or self.away or self._compare.is_set() or self._journal.waiting:
            return False
        return self._store.unchanged()

    def wake(self) -> None:
        """Say that the journal has new frames."""
        self._wake.set()

    def write_again(self, alerts: Sequence[AlertId]) -> None:
        """Write these records again as decided, and compare the whole store again."""
        states = [self._state.get(ALERTS, alert_text(alert)) for alert in alerts]
        self._delivery.apply_again([state for state in states if state is not None])
        self._compare_soon()

    async def run(self) -> None:
        """Pump after each commit, each change of the store, and each wait that has ended; never returns."""
        watch = asyncio.create_task(self._watch.run(self._compare_soon))
        try:
            self._decider.decide_again(self._now())
            self._compare.set()
            while True:
                await self.pump()
                await self._wait()
        finally:
            watch.cancel()

    async def pump(self) -> None:
        """Do everything that can be done now; returns when nothing is left, or the store cannot be used."""
        self._wake.clear()
        self._at_rest = False
        if self._failure is not None:
            raise self._failure
        if self._delivery.under_way:
            await self._deliver()
        # First deliver what `append` decided, then compare: a fill may have found no alert.
        self._publish()
        while True:
            changed = await self._watch.refresh()
            # A store that cannot be read is not an empty one.
            due = changed or self._compare.is_set() or self._clock.full_look_due
            if due and self._watch.readable:
                self._compare.clear()
                self._compared_early = self._compared_early or self._journal.waiting
                self._reconsider()
            elif self._clock.keep_due:
                self._keep(self._clock.to_keep())
            # Frames wait until the alerts were read once: before that, every fill would belong to no alert.
            stepped = self._watch.looked and await self._catch_up()
            if await self._deliver() or stepped:
                continue
            if not self._compared_early:
                self._at_rest = True
                return
            # Frames that waited while the store was compared may have found their alert there.
            self._compared_early = False
            self._compare.set()

    async def decide(self) -> None:
        """Decide all journalled frames in large steps; the alerts are written by the next `pump`.

        The rows of a large report change the same alerts over and over, so writing them once is enough. The
        store was read by an earlier `pump`.
        """
        while self._step(_AT_ONCE):
            self._publish()
            await asyncio.sleep(0)

    async def _wait(self) -> None:
        timeout = None
        if self._delivery.pending:
            timeout = retry_pause(self._attempts, random())
            self._attempts += 1
        # Not `wait_for`, which can lose a cancellation in Python 3.11.
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._wake.wait()

    # Deciding

    async def _catch_up(self) -> bool:
        """Decide all journalled frames; in a flood also those that come meanwhile, so that one write serves
        all.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + _GATHER_SECONDS
        stepped = frames = self._step(self._batch)
        while frames >= _FLOOD and loop.time() < end:
            # Let the event loop read the socket.
            await asyncio.sleep(0)
            frames = self._step(self._batch)
        return bool(stepped)

    def _step(self, most: int) -> int:
        """Apply the next frames in one transaction; returns how many."""
        frames = self._journal.frames_after(self._journal.cursor, most)
        if not frames:
            return 0
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self._committed(self._decider.step(frames))
        self._batch = fitting_batch(len(frames), loop.time() - begun)
        return len(frames)

    def _committed(self, events: list[TrackerEvent]) -> None:
        self._on_committed(events)
        self._unpublished += events

    def _decided(self, frames: int) -> None:
        """Have the store prepare the changes of a decision, once its rows are written."""
        if frames < _FLOOD:
            # Only after the rows are written: before that the worker would just wait for the interpreter.
            self._delivery.prepare()

    def _publish(self) -> None:
        """Publish the events since the last call; all of them are committed."""
        events, self._unpublished = self._unpublished, []
        for event in events:
            self._fills += event.kind is EventKind.FILL
            self._on_event(event)
        for reason in self._ledger.take_sweep_reasons():
            self._want_sweep(reason)
        for reason in self._ledger.take_position_reasons():
            self._want_positions(reason)

    # Delivering and comparing

    async def _deliver(self) -> bool:
        """Apply the outbox; True when something was delivered."""
        delivered = await self._delivery.deliver(self._publish)
        if delivered or not self._delivery.pending:
            self._attempts = 0
        return delivered

    def _skew(self) -> timedelta:
        return self._ledger.skew

    def _candidates(self, execution: Execution) -> list[Alert]:
        """Return the records that an execution may belong to; one without a time has that at which we first
        saw it.
        """
        return [self._seen.dated(alert) for alert in self._store.candidates(execution)]

    def _refreshed(self, readable: bool) -> None:
        """Count our running time, and store it now and then while the store does not change."""
        self._clock.tick(readable)
        if self._clock.keep_due:
            self._wake.set()

    def _keep(self, rows: Sequence[RetryWindow | RunTime | FirstSeen]) -> None:
        """Journal which retry windows have ended, how long we ran, and which records were seen for the first
        time.
        """
        if not rows:
            return
        with self._journal.step():
            for row in rows:
                if isinstance(row, RunTime):
                    self._state.put(RUN_TIME, row)
                elif isinstance(row, RetryWindow):
                    self._state.put(WINDOWS, row)
                else:
                    self._state.put(FIRST_SEEN, row)

    def _compare_soon(self) -> None:
        self._compare.set()
        self._wake.set()

    def _reconsider(self) -> None:
        """Compare the store with what it should show, and match again the fills that found no alert."""
        self._keep([*self._clock.to_keep(), *self._seen.unseen()])
        found = self._comparison.find(early=bool(self._journal.waiting))
        if found.notes:
            notes = [entry.arriving for entry in found.notes]
            self._journal.append(self._journal.last_connection_no, self._now(), notes)
            # Once they are applied, records that changed hands or came back are compared again.
            self._compare.set()
        self._delivery.apply_again(found.undone)


def fitting_batch(frames: int, seconds: float) -> int:
    """Return how many frames the next step takes, given the time and the frames of the last one."""
    fitting = int(frames * _STEP_SECONDS / seconds) if seconds > 0 else _BATCH
    return min(_BATCH, max(_FIRST_BATCH, fitting))


def retry_pause(attempts: int, draw: float) -> float:
    """Return how many seconds to wait for a store that cannot be used, after so many failed attempts.

    `draw`, from 0 to 1, varies the result from three quarters to five quarters, so that trackers that lost
    the same store do not all retry at the same moment.
    """
    return _RETRY_SECONDS[min(attempts, len(_RETRY_SECONDS) - 1)] * (0.75 + 0.5 * draw)
