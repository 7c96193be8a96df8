"""Write what was decided into the alert store: prepare, put in place after the commit, confirm.

Owns the outbox: which of its rows are pending, when they are written, and how the outcome is journalled. It
never applies a row that is not committed, and never forgets one that is. It decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
from loguru import logger
from msgspec.structs import replace

from tracker.core.model import AlertId, AlertUpdate, Outcome, StoreUnavailable
from tracker.core.ports import AlertStore
from tracker.core.state import OUTBOX
from tracker.core.state_rows import AlertState, Delivery, alert_text
from tracker.journal.journal import KEPT, REMOVING, Journal
from tracker.pipeline.store_watch import StoreWatch

_WRITE_SECONDS: Final = 0.05
"""Seconds that other work waits for a write; a disk may hang."""
_GIVE_WAY_SECONDS: Final = 0.003
"""Seconds that the loop leaves the interpreter to a write that has just begun; a server may be far away."""

OnWritten = Callable[[Sequence[AlertUpdate], Sequence[Outcome], datetime], None]


@dataclass(slots=True)
class DeliveryCounts:
    """Count what was delivered since the start."""

    alerts_updated: int = 0
    reapplied: int = 0
    last_update: datetime | None = None


class _Writing(NamedTuple):
    """Hold the rows of the outbox that are being put in place."""

    rows: list[Delivery]
    under_way: Future[tuple[Sequence[Outcome], datetime]]
    preparing: Future[bool] | None
    """The updates that were prepared before."""


class OutboxDelivery:
    """Deliver the outbox of one journal to one store.

    `worker` runs the store's I/O. `on_written` receives the outcomes and when the file was synced;
    `compare_again` is called when a record was removed, since other fills may be unambiguous then.
    """

    def __init__(
        self,
        journal: Journal,
        store: AlertStore,
        watch: StoreWatch,
        worker: Executor,
        *,
        now: Callable[[], datetime],
        on_written: OnWritten,
        compare_again: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._state = journal.state
        self._store = store
        self._watch = watch
        self._worker = worker
        self._now = now
        self._on_written = on_written
        self._compare_again = compare_again
        self._kept: set[str] = set()
        """Row keys of the alerts whose text the journal is known to keep."""
        self._preparing: Future[bool] | None = None
        self._writing: _Writing | None = None
        self.counts = DeliveryCounts()

    @property
    def pending(self) -> list[Delivery]:
        """Return the rows that are not delivered yet, in the order of the decisions."""
        return sorted(self._state.find(OUTBOX, "pending", "1"), key=lambda row: row.seq)

    @property
    def under_way(self) -> bool:
        """Whether `begin` was called and `deliver` was not."""
        return self._writing is not None

    def prepare(self) -> None:
        """Have the store write beside its file what it will put in place after the commit."""
        if not self._store.prepares:
            return
        updates = [row.update for row in self.pending]
        if updates:
            self._preparing = self._worker.submit(self._store.prepare, updates)

    def forget_prepared(self) -> None:
        """Discard what a step prepared that was rolled back."""
        self._preparing = None

    def begin(self) -> None:
        """Begin to put the outbox in place, right after its commit."""
        if self._preparing is not None:
            # The loop has nothing else to do, and would only slow the writing thread down.
            wait([self._preparing], _WRITE_SECONDS)
        self._writing = self._begun()
        if self._writing is not None and not self._writing.under_way.done():
            wait([self._writing.under_way], _GIVE_WAY_SECONDS)

    def _begun(self) -> _Writing | None:
        rows = self.pending
        if not rows:
            return None
        updates = [row.update for row in rows]
        self._keep_whole([update.alert for update in updates if update.remove])
        preparing, self._preparing = self._preparing, None
        if preparing is None or not _is_prepared(preparing):
            return _Writing(rows, self._worker.submit(self._put_in_place, updates), preparing)
        # Only a rename is left to do, which takes less time than waking the worker.
        done: Future[tuple[Sequence[Outcome], datetime]] = Future()
        try:
            done.set_result(self._put_in_place(updates))
        except Exception as error:
            # Passed to the awaiting code, as the worker would.
            done.set_exception(error)
        return _Writing(rows, done, preparing)

    def _put_in_place(self, updates: Sequence[AlertUpdate]) -> tuple[Sequence[Outcome], datetime]:
        return self._store.apply(updates), self._now()

    async def deliver(self, meanwhile: Callable[[], None]) -> bool:
        """Apply the outbox; True when something was delivered, False when it is empty or the store cannot be
        written.

        `meanwhile` is called once, as soon as it does not slow the writing thread down.
        """
        writing, self._writing = self._writing or self._begun(), None
        if writing is None:
            meanwhile()
            return False
        rows, under_way = writing.rows, asyncio.wrap_future(writing.under_way)
        # Where a stop cancels this, nobody needs the result of the write any more.
        under_way.add_done_callback(lambda done: done.cancelled() or done.exception())
        # A disk that hangs must not delay other work for long.
        await asyncio.wait([under_way], timeout=_WRITE_SECONDS)
        meanwhile()
        try:
            outcomes, now = await under_way
        except StoreUnavailable as error:
            self._watch.lost("written", error)
            # The error's traceback refers to this stack frame. If the frame also referred to the error, the
            # file's content would stay in memory until the next garbage collection: megabytes while a file
            # cannot be used.
            del writing, under_way
            return False
        if writing.preparing is not None:
            # An error of the store is raised again by `apply`; any other error here is a bug in the
            # preparation.
            writing.preparing.result()
        self._watch.found("written")
        self._confirm(rows, outcomes, now)
        return True

    def _confirm(self, rows: Sequence[Delivery], outcomes: Sequence[Outcome], now: datetime) -> None:
        """Journal the outcome of a write."""
        self._on_written([row.update for row in rows], outcomes, now)
        with self._journal.step():
            for row, outcome in zip(rows, outcomes, strict=True):
                state = "gone" if outcome is Outcome.GONE else "applied"
                self._state.put(OUTBOX, replace(row, state=state, delivered_at=now))
            entries = [
                (alert_text(row.update.alert), outcome.value, msgspec.json.encode(row.update))
                for row, outcome in zip(rows, outcomes, strict=True)
            ]
            self._journal.log_store(now, entries + self._texts_to_keep(rows, outcomes))
        self.counts.alerts_updated += sum(outcome is Outcome.APPLIED for outcome in outcomes)
        self.counts.last_update = now
        # A fill that could have belonged to a removed record may be unambiguous now.
        if Outcome.GONE in outcomes or any(row.update.remove for row in rows):
            self._compare_again()

    def apply_again(self, undone: Sequence[AlertState]) -> None:
        """Put back into the outbox what another program's stale copy has undone."""
        rows: list[Delivery] = []
        for state in undone:
            row = self._state.get(OUTBOX, alert_text(state.alert))
            if row is not None and row.state != "pending":
                rows.append(replace(row, state="pending", delivered_at=None))
        if not rows:
            return
        with self._journal.step():
            for row in rows:
                self._state.put(OUTBOX, row)
        self.counts.reapplied += len(rows)
        for row in rows:
            logger.info("another program undid {}; applying it again", row.update.alert.name)

    def _keep_whole(self, alerts: Sequence[AlertId]) -> None:
        """Journal the whole text of records before they are removed."""
        texts = [(alert, self._store.record(alert)) for alert in alerts]
        if texts:
            with self._journal.step():
                entries = [(alert_text(alert), REMOVING, text.encode()) for alert, text in texts if text]
                self._journal.log_store(self._now(), entries)

    def _texts_to_keep(
        self, rows: Sequence[Delivery], outcomes: Sequence[Outcome]
    ) -> list[tuple[str, str, bytes]]:
        """Return the text of each record that was written for the first time, so that an audit can put it
        back.
        """
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


def _is_prepared(preparing: Future[bool]) -> bool:
    """Return whether a store has prepared everything but a step as cheap as a rename."""
    return preparing.done() and preparing.exception() is None and preparing.result()
