"""The socket's `reconcile`: audit beside the running pump, with the daemon's own link.

Owns the order of the steps and their time limits. The audit itself runs in a thread of its own, on the
committed journal, so that it never delays a fill.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from tracker.core.journal_entries import Arriving
from tracker.core.model import StoreUnavailable
from tracker.core.state import OUTBOX
from tracker.gateway.broker_snapshot import BrokerSnapshot
from tracker.gateway.flex import FlexReport, FlexUnreadable, read_report
from tracker.gateway.reconnect import ReconnectingLink
from tracker.journal.journal import Journal, JournalFailed
from tracker.pipeline.pump import Pump
from tracker.progress import Progress
from tracker.queries.question_thread import QuestionThread
from tracker.queries.socket_commands import ask_for_client
from tracker.reconcile.audit import AuditResult, answer, examine
from tracker.reconcile.flex_import import FlexImport, FlexImporter
from tracker.reconcile.repair import repair, repaired
from tracker.reconcile.views import Watched
from tracker.status.arguments import CommandArguments, FilePath, Flag, read_arguments
from tracker.status.protocol import Answer, CommandError, Request, SocketCommand
from tracker.stores.alert_stores import StorePort

SNAPSHOT_SECONDS: Final = 60.0
"""The longest time in seconds to wait for the broker's answers; the audit names what is missing then."""
IMPORT_SECONDS: Final = 900.0
"""The longest time in seconds for an import: a year of a busy account, while fills go first."""
_ROWS: Final = 400
"""Rows of a report that are journalled in one commit."""
_SETTLE_SECONDS: Final = 5.0
_TICK: Final = 0.02


class ReconcileArguments(CommandArguments, frozen=True):
    """Hold whether to repair, and which Flex report to import first, or only to compare."""

    apply: Flag = False
    flex: FilePath = ""
    dry_run: Flag = False


class Reconciling:
    """Answer `reconcile`, one at a time."""

    def __init__(
        self,
        journal: Journal,
        store: StorePort,
        pump: Pump,
        link: ReconnectingLink,
        *,
        watched: Watched,
        now: Callable[[], datetime],
        progress: Progress | None = None,
        snapshot_seconds: float = SNAPSHOT_SECONDS,
    ) -> None:
        self._journal = journal
        self._store = store
        self._pump = pump
        self._link = link
        self._watched = watched
        self._now = now
        self._progress = progress or Progress()
        self._snapshot_seconds = snapshot_seconds
        self._turn = asyncio.Lock()
        self._thread = QuestionThread("reconcile")

    def commands(self) -> dict[str, SocketCommand]:
        """Return the command by name."""
        return {
            "reconcile": SocketCommand(
                self._reconcile,
                "compare journal, alert store and broker: apply, flex, dry_run",
                lambda request: bool(request.get("apply") or request.get("flex")),
                IMPORT_SECONDS,
            )
        }

    async def _reconcile(self, request: Request) -> Answer:
        asked = read_arguments(ReconcileArguments, request)
        if asked.dry_run and (asked.apply or not asked.flex):
            raise CommandError("bad_request", "dry_run shows what a report would bring: it needs flex alone")
        async with self._turn:
            imported = await self._import(Path(asked.flex), dry_run=asked.dry_run) if asked.flex else None
            snapshot, why_not = await self._ask_broker()
            await self._until(self._settled)
            before = after = await self._examine(snapshot)
            if asked.apply:
                after = await self._repair(before, snapshot)
        return answer(
            snapshot,
            before,
            after,
            now=self._now(),
            apply=asked.apply,
            by="the running tracker",
            dry_run=asked.dry_run,
            why_not=why_not,
            imported=imported,
        )

    async def import_report(self, path: Path) -> FlexImport:
        """Import a Flex report while the daemon works; raises CommandError."""
        async with self._turn:
            return await self._import(path, dry_run=False)

    async def _import(self, path: Path, *, dry_run: bool) -> FlexImport:
        try:
            reading = partial(self._progress.at, "reading the Flex report", unit="byte")
            report = await self._thread.run(lambda: read_report(path, reading), urgent=True)
            if dry_run:
                return await self._plan(report)
            importer = FlexImporter(self._journal, report, self._watched.zone)
            self._append(importer.begin())
            rows = report.rows()
            taken = 0
            # Few rows at a time, so that no fill waits for them.
            while batch := await self._thread.run(lambda: list(islice(rows, _ROWS)), urgent=True):
                self._append(importer.take(batch))
                taken += len(batch)
                self._progress.at("taking in the Flex report", taken, report.executions)
            self._append(importer.finish())
        except FlexUnreadable as error:
            raise CommandError("bad_request", str(error)) from None
        finally:
            self._progress.over()
        return importer.result

    async def _plan(self, report: FlexReport) -> FlexImport:
        """Return the result that an import would have; compares in a thread of its own, with the committed
        journal.
        """

        def question(journal: Journal) -> FlexImport:
            return FlexImporter(journal, report, self._watched.zone).planned()

        await self._until(self._settled)
        return await self._thread.run(lambda: ask_for_client(self._journal.path, question), urgent=True)

    def _append(self, frames: Sequence[Arriving]) -> None:
        if not frames:
            return
        try:
            self._journal.append(self._journal.last_connection_no, self._now(), frames)
        except JournalFailed as error:
            # The gateway's next message cannot be journalled either, and that ends the daemon.
            raise CommandError("journal_failed", str(error)) from None
        self._pump.wake()

    async def _ask_broker(self) -> tuple[BrokerSnapshot | None, str]:
        """Ask the broker; return the reason where that fails.

        A link that is down, or goes down meanwhile, is not waited for: the reason is returned at once.
        """
        if self._link_is_down():
            return None, self._link_in_words()
        asking = asyncio.create_task(self._link.broker_snapshot(self._snapshot_seconds))
        try:
            while not asking.done():
                await asyncio.wait({asking}, timeout=_TICK)
                self._progress.at("waiting for the broker's positions, executions and orders", 1, 2, "step")
                if self._link_is_down() and not asking.done():
                    return None, self._link_in_words()
            if (snapshot := asking.result()) is not None:
                return snapshot, ""
            return None, f"the gateway did not answer within {self._snapshot_seconds:g} s"
        finally:
            asking.cancel()
            self._progress.over()

    def _link_is_down(self) -> bool:
        return not self._link.state.subscribed

    def _link_in_words(self) -> str:
        state = self._link.state
        return f"link {state.state.value}: {state.reason}"

    async def _repair(self, before: AuditResult, snapshot: BrokerSnapshot | None) -> AuditResult:
        try:
            alerts = await repair(self._journal, self._store, self._pump, before)
        except StoreUnavailable as error:
            raise CommandError("store_away", str(error)) from None
        await self._until(lambda: self._settled() and repaired(self._journal, self._store, alerts))
        return await self._examine(snapshot)

    async def _examine(self, snapshot: BrokerSnapshot | None) -> AuditResult:
        trouble = self._pump.away.get("read")

        def question(journal: Journal) -> AuditResult:
            return examine(
                journal,
                self._store,
                trouble.reason if trouble is not None else "",
                self._store.name,
                snapshot,
                watched=self._watched,
                now=self._now(),
            )

        return await self._thread.run(lambda: ask_for_client(self._journal.path, question), urgent=True)

    def _settled(self) -> bool:
        """Return whether everything journalled is decided, and everything decided is written."""
        behind = self._journal.frames_after(self._journal.cursor, 1)
        return not behind and not self._journal.state.find(OUTBOX, "pending", "1")

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition as long as the pump gets on, and a short time more; if it does not hold by
        then, the audit shows the difference.
        """
        await until_or_stuck(condition, lambda: self._journal.cursor, _SETTLE_SECONDS)


async def until_or_stuck(condition: Callable[[], bool], mark: Callable[[], object], seconds: float) -> None:
    """Wait until a condition holds, or a mark stayed the same for so many seconds."""
    loop = asyncio.get_running_loop()
    before, deadline = mark(), loop.time() + seconds
    while not condition() and loop.time() <= deadline:
        await asyncio.sleep(_TICK)
        if (found := mark()) != before:
            before, deadline = found, loop.time() + seconds
