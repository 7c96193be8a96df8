"""Move what was journalled through the core into the alert store.

Owns the order of things: frames after the cursor are decided and their state, outbox and cursor committed in
one transaction, that of the frames themselves where they come alone; the outbox is applied to the store;
what came of it is recorded. It also watches the store for what other programs do. It never applies what is
not committed, and never forgets what is.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, NamedTuple, TypeVar

import msgspec
from loguru import logger
from msgspec.structs import replace

from tracker.core.alert_updates import ClosingPolicy, EventKind, TrackerEvent
from tracker.core.ledger import Ledger
from tracker.core.model import (
    AlertId,
    AlertUpdate,
    BrokerFact,
    Execution,
    Frame,
    Match,
    Outcome,
    Source,
    StoreUnavailable,
    Undecodable,
)
from tracker.core.ports import AlertStore
from tracker.core.state import ALERTS, EXECUTIONS, OUTBOX, AlertState, Delivery, alert_text
from tracker.journal.journal import KEPT, REMOVING, Arriving, Journal, JournalFailed
from tracker.pipeline.store_changes import MatchAlerts, StoreChanges

_BATCH: Final = 3000
_FLOOD: Final = 50
"""Frames in one step from which on more are likely to be on their way."""
_GATHER_SECONDS: Final = 0.25
"""How long a flood is decided before the alerts are written; a single fill waits for nothing."""
_WATCH_SECONDS: Final = 0.25
_WRITE_SECONDS: Final = 0.05
"""How long other things wait for a write; a disk may hang."""
_RETRY_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

Answer = TypeVar("Answer")
Normalise = Callable[[Frame], BrokerFact | None]
OnWritten = Callable[[Sequence[AlertUpdate], Sequence[Outcome], datetime], None]


@dataclass(slots=True)
class PumpCounts:
    """Count what was done since the start."""

    fills: int = 0
    alerts_updated: int = 0
    reapplied: int = 0
    last_update: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoreOutage:
    """Say since when the store is away, and why."""

    since: datetime
    reason: str


class _Writing(NamedTuple):
    """Hold what of the outbox is being put in place."""

    rows: list[Delivery]
    under_way: Future[tuple[Sequence[Outcome], datetime]]
    preparing: Future[None] | None
    """What was done ahead of it."""


class StoreFull(Exception):
    """The disk of the alert store is full; nothing was half done."""


class Pump:
    """Drive one journal and one alert store.

    `zone` is the accounts' own, in which days end. `worker` runs the store's I/O, one call at a time.
    `on_event` is told what happened, after it is durable; `on_written` what came of updates, and when the
    file was synced, after the events that led to them; `want_sweep` why the broker should be asked for the
    day's executions.
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
        retry_for: timedelta = timedelta(minutes=15),
        on_event: Callable[[TrackerEvent], None] = lambda event: None,
        on_written: OnWritten = lambda updates, outcomes, at: None,
        want_sweep: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._journal = journal
        self._book = journal.book
        self._store = store
        self._normalise = normalise
        self._match = match_alerts
        self._now = now
        self._worker = worker
        self._on_event = on_event
        self._on_written = on_written
        self._want_sweep = want_sweep
        self._ledger = Ledger(self._book, self._decide, policy=policy, accounts=accounts, zone=zone)
        self._comparison = StoreChanges(
            self._book, store, match_alerts, self._ledger.passes_over, now=now, retry_for=retry_for
        )
        self._kept: set[str] = set()
        """Row keys of the alerts whose text the journal is known to keep."""
        self._deciding = 0
        self._attempts = 0
        self._at_rest = False
        """Whether nothing is under way, and nothing was left to do."""
        self._preparing: Future[None] | None = None
        self._writing: _Writing | None = None
        """What was begun to be put in place when frames were decided as they came."""
        self._untold: list[TrackerEvent] = []
        self._failure: Exception | None = None
        self._wake = asyncio.Event()
        self._look = asyncio.Event()
        self.counts = PumpCounts()
        self.away: dict[str, StoreOutage] = {}
        """Why the store cannot be read, or written, and since when."""

    def take(self, session: int, received_at: datetime, frames: Arriving) -> None:
        """Journal frames that came; while nothing else is under way they are decided in the same commit.

        A fill that comes alone waits for one commit less that way. Durable on return; `wake` has the rest
        done. Raises JournalFailed.
        """
        if len(frames) >= _FLOOD or not self._can_decide_now():
            self._journal.append(session, received_at, frames)
            return
        self._at_rest = False
        try:
            with self._journal.append_and_step(session, received_at, frames) as (arrived, advance):
                events = self._decide_all(arrived, advance)
        except JournalFailed:
            raise
        except Exception as error:
            # The frames are durable. What is wrong with the decision ends the pump, not the capture.
            self._failure = error
            return
        self._untold += events
        if self._preparing is not None:
            # The loop has nothing better to do, and would only hold up the thread that writes.
            wait([self._preparing], _WRITE_SECONDS)
        try:
            self._writing = self._begin_to_write()
        except Exception as error:
            # The frames are durable here, too: the capture has nothing to tell of, the pump ends with it.
            self._failure = error

    def _can_decide_now(self) -> bool:
        """Tell whether what comes now can be decided on what the store was last seen to show."""
        if not self._at_rest or self.away or self._look.is_set() or self._journal.waiting:
            return False
        return self._store.unchanged()

    def wake(self) -> None:
        """Say that the journal has new frames."""
        self._wake.set()

    def write_again(self, alerts: Sequence[AlertId]) -> None:
        """Have these records written as they were decided, and the whole store compared anew."""
        states = [self._book.get(ALERTS, alert_text(alert)) for alert in alerts]
        self._apply_again([state for state in states if state is not None])
        self._look.set()
        self._wake.set()

    async def run(self) -> None:
        """Pump for ever: after each commit, each change of the store, and each wait that is over."""
        watch = asyncio.create_task(self._watch())
        try:
            self._look.set()
            while True:
                await self.pump()
                await self._wait()
        finally:
            watch.cancel()

    async def pump(self) -> None:
        """Do all there is to do now; returns when nothing is left, or the store is away."""
        self._wake.clear()
        self._at_rest = False
        if self._failure is not None:
            raise self._failure
        if self._writing is not None:
            await self._deliver()
        # What was decided as it came counts before the store is compared: a fill may have found no alert.
        self._tell()
        while True:
            changed = await self._refresh()
            # A store that cannot be read is not an empty one.
            if (changed or self._look.is_set()) and "read" not in self.away:
                self._look.clear()
                self._reconsider()
            stepped = await self._catch_up()
            if not await self._deliver() and not stepped:
                self._at_rest = True
                return

    async def _wait(self) -> None:
        timeout = None
        if self._book.find(OUTBOX, "pending", "1"):
            timeout = _RETRY_SECONDS[min(self._attempts, len(_RETRY_SECONDS) - 1)]
            self._attempts += 1
        # Not `wait_for`, which can lose a cancellation in Python 3.11.
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._wake.wait()

    # Deciding

    async def _catch_up(self) -> bool:
        """Decide what is journalled; in a flood what comes meanwhile too, so that one write serves all."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _GATHER_SECONDS
        stepped = frames = self._step()
        while frames >= _FLOOD and loop.time() < end:
            # Let the socket be read.
            await asyncio.sleep(0)
            frames = self._step()
        return bool(stepped)

    def _step(self) -> int:
        """Apply the next frames in one transaction; returns how many."""
        frames = self._journal.frames_after(self._journal.cursor, _BATCH)
        if not frames:
            return 0
        with self._journal.step() as advance:
            events = self._decide_all(frames, advance)
        self._untold += events
        return len(frames)

    def _decide_all(self, frames: Sequence[Frame], advance: Callable[[int], None]) -> list[TrackerEvent]:
        """Apply frames in an open step; returns what is to be told once it is committed."""
        for frame in frames:
            self._deciding = frame.seq
            self._ledger.apply(frame, self._fact(frame))
        events = self._ledger.settle(frames[-1])
        advance(frames[-1].seq)
        if len(frames) < _FLOOD:
            # Behind the rows: the worker would only wait for the interpreter while they are written.
            self._prepare()
        return events

    def _tell(self) -> None:
        """Tell what was decided since, all of it committed."""
        events, self._untold = self._untold, []
        for event in events:
            self._count(event)
            self._on_event(event)
        for reason in self._ledger.take_sweep_reasons():
            self._want_sweep(reason)

    def _fact(self, frame: Frame) -> BrokerFact | None:
        if frame.source not in (Source.BROKER, Source.FLEX):
            return None
        try:
            return self._normalise(frame)
        except Exception as error:
            # A frame that breaks the decoder must not stop those behind it; it stays, counted and shown.
            logger.exception("frame {} could not be decoded", frame.seq)
            return Undecodable("message " + frame.fields[0], f"{type(error).__name__}: {error}")

    def _decide(self, execution: Execution) -> Match:
        candidates = self._store.candidates(execution)
        self._journal.considered(self._deciding, execution.key, candidates)
        return self._match(execution, candidates)

    def _count(self, event: TrackerEvent) -> None:
        if event.kind in (EventKind.FILL, EventKind.CORRECTION):
            self.counts.fills += event.kind is EventKind.FILL
            booked = self._book.get(EXECUTIONS, f"{event.what['account']} {event.what['exec_id']}")
            if booked is not None:
                self._comparison.unanswered(booked)

    # Delivering

    def _pending(self) -> list[Delivery]:
        return sorted(self._book.find(OUTBOX, "pending", "1"), key=lambda row: row.seq)

    def _prepare(self) -> None:
        """Have the store write what it will put in place once the step is committed."""
        updates = [row.update for row in self._pending()]
        if updates:
            self._preparing = self._worker.submit(self._store.prepare, updates)

    def _begin_to_write(self) -> _Writing | None:
        """Have the store put in place what the outbox holds; None if it holds nothing."""
        rows = self._pending()
        if not rows:
            return None
        updates = [row.update for row in rows]
        self._keep_whole([update.alert for update in updates if update.remove])
        preparing, self._preparing = self._preparing, None
        if preparing is None or not preparing.done():
            return _Writing(rows, self._worker.submit(self._put_in_place, updates), preparing)
        # A rename is all that is left to do: less than to wake the worker.
        done: Future[tuple[Sequence[Outcome], datetime]] = Future()
        try:
            done.set_result(self._put_in_place(updates))
        except Exception as error:
            # Handed to whoever awaits it, as by the worker.
            done.set_exception(error)
        return _Writing(rows, done, preparing)

    def _put_in_place(self, updates: Sequence[AlertUpdate]) -> tuple[Sequence[Outcome], datetime]:
        return self._store.apply(updates), self._now()

    async def _deliver(self) -> bool:
        """Apply the outbox; True when something was delivered."""
        writing, self._writing = self._writing or self._begin_to_write(), None
        if writing is None:
            self._tell()
            self._attempts = 0
            return False
        pending, under_way = writing.rows, asyncio.wrap_future(writing.under_way)
        # Telling at once would hold up the thread that writes; a disk that hangs must not hold that up.
        await asyncio.wait([under_way], timeout=_WRITE_SECONDS)
        self._tell()
        try:
            outcomes, now = await under_way
        except StoreUnavailable as error:
            self._lost("written", error)
            # Its traceback leads to this frame. Would that lead back to it, all that was read of the file in
            # vain would stay in memory until the collector comes by: megabytes while a file is away.
            del writing, under_way
            return False
        if writing.preparing is not None:
            # What a preparation meets is told by `apply`; what is raised here is a mistake in it.
            writing.preparing.result()
        self._found("written")
        self._on_written([row.update for row in pending], outcomes, now)
        with self._journal.step():
            for row, outcome in zip(pending, outcomes, strict=True):
                state = "gone" if outcome is Outcome.GONE else "applied"
                self._book.put(OUTBOX, replace(row, state=state, delivered_at=now))
            self._journal.log_store(
                now,
                [
                    (alert_text(row.update.alert), outcome.value, msgspec.json.encode(row.update))
                    for row, outcome in zip(pending, outcomes, strict=True)
                ]
                + self._texts_to_keep(pending, outcomes),
            )
        self.counts.alerts_updated += sum(outcome is Outcome.APPLIED for outcome in outcomes)
        self.counts.last_update = now
        self._attempts = 0
        # A fill that could have belonged to a record that was taken out, too, may be clear now.
        if Outcome.GONE in outcomes or any(row.update.remove for row in pending):
            self._look.set()
        return True

    def _keep_whole(self, alerts: Sequence[AlertId]) -> None:
        """Journal the records that are about to be taken out, before they are."""
        texts = [(alert, self._store.record(alert)) for alert in alerts]
        if texts:
            with self._journal.step():
                entries = [(alert_text(alert), REMOVING, text.encode()) for alert, text in texts if text]
                self._journal.log_store(self._now(), entries)

    def _texts_to_keep(
        self, rows: Sequence[Delivery], outcomes: Sequence[Outcome]
    ) -> list[tuple[str, str, bytes]]:
        """Return each record that was written for the first time, so that an audit can put it back."""
        entries: list[tuple[str, str, bytes]] = []
        for row, outcome in zip(rows, outcomes, strict=True):
            key = alert_text(row.update.alert)
            if outcome is Outcome.GONE or row.update.remove or key in self._kept:
                continue
            self._kept.add(key)
            text = self._store.record(row.update.alert)
            if text is not None and self._journal.kept_record(key) is None:
                entries.append((key, KEPT, text.encode()))
        return entries

    async def _refresh(self) -> bool:
        try:
            changed = await self._in_worker(self._store.refresh)
        except StoreUnavailable as error:
            self._lost("read", error)
            return False
        self._found("read")
        return changed

    def _lost(self, verb: str, error: StoreUnavailable) -> None:
        """Remember that the store is away; a full disk is not waited for."""
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(f"{error}; free space, then start the tracker again") from error
        before = self.away.get(verb)
        if before is None or before.reason != str(error):
            logger.warning("the alert store cannot be {}: {}", verb, error)
        self.away[verb] = StoreOutage(before.since if before is not None else self._now(), str(error))

    def _found(self, verb: str) -> None:
        if self.away.pop(verb, None) is not None:
            logger.info("the alert store can be {} again", verb)

    # What other programs do to the store

    async def _watch(self) -> None:
        """Look at the store a few times a second; a stat costs microseconds and works on every system."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if await self._refresh():
                self._look.set()
                self._wake.set()

    def _reconsider(self) -> None:
        """Compare the store with what it should show, and decide again what found no alert."""
        found = self._comparison.find()
        if found.notes:
            notes = [entry.arriving for entry in found.notes]
            self._journal.append(self._journal.last_session, self._now(), notes)
            # Once they are applied, records that changed hands or came back are compared anew.
            self._look.set()
        self._apply_again(found.undone)

    def _apply_again(self, undone: Sequence[AlertState]) -> None:
        """Put back into the outbox what a stale copy has undone."""
        rows: list[Delivery] = []
        for state in undone:
            row = self._book.get(OUTBOX, alert_text(state.alert))
            if row is not None and row.state != "pending":
                rows.append(replace(row, state="pending", delivered_at=None))
        if not rows:
            return
        with self._journal.step():
            for row in rows:
                self._book.put(OUTBOX, row)
        self.counts.reapplied += len(rows)
        for row in rows:
            logger.info("another program undid {}; applying it again", row.update.alert.name)

    def _in_worker(self, call: Callable[..., Answer], *values: object) -> asyncio.Future[Answer]:
        return asyncio.get_running_loop().run_in_executor(self._worker, call, *values)
