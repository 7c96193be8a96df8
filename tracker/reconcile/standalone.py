"""`reconcile` while no tracker runs: take both locks, connect to the gateway, audit, close everything.

Owns that one connection. Without `apply` nothing is written: what the gateway says is not journalled. With
it, everything that the connection brings is journalled and decided as usual.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from tracker import wiring
from tracker.clock import now
from tracker.config.settings import Settings
from tracker.core.model import StoreUnavailable
from tracker.gateway.broker_snapshot import BrokerSnapshot
from tracker.gateway.capture_sink import NullSink, Sink
from tracker.gateway.flex import FlexReport, FlexUnreadable, read_report
from tracker.gateway.link import LinkPhase, LinkState
from tracker.gateway.reconnect import ReconnectingLink
from tracker.logs import log
from tracker.pipeline.pump import Pump
from tracker.progress import Progress
from tracker.queries.as_json import Json
from tracker.queries.socket_commands import missing_journal
from tracker.reconcile.audit import AuditResult, answer, examine
from tracker.reconcile.flex_import import FlexImport, FlexImporter
from tracker.reconcile.repair import repair
from tracker.reconcile.views import Watched
from tracker.status.protocol import CommandError
from tracker.wiring import OpenedFiles

_BY: Final = "itself"
_GIVEN_UP: Final = (LinkPhase.WAITING, LinkPhase.REFUSED, LinkPhase.STOPPED)


def reconcile(
    settings: Settings,
    *,
    apply: bool,
    report: Path | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Json:
    """Audit while no daemon runs; first import a Flex `report`, or with `dry_run` only compare it.

    Raises CommandError for a report that cannot be read, Locked where a daemon runs, JournalFailed,
    StoreRefused and StoreUnavailable for a store that cannot be written, FatalCapture.
    """
    log.configure("ERROR", mask_accounts=settings.log.mask_accounts)
    if not settings.stores.journal.exists():
        raise missing_journal(settings.stores.journal)
    writes = apply or (report is not None and not dry_run)
    holder = f"tracker reconcile, process {os.getpid()}"
    try:
        progress = progress or Progress()
        reading = partial(progress.at, "reading the Flex report", unit="byte")
        flex = None if report is None else read_report(report, reading)
        with wiring.opened(settings, holder, writes=writes) as files:
            run = _StandaloneRun(files, progress, dry_run=dry_run)
            return asyncio.run(run.reconcile(flex, apply=apply))
    except FlexUnreadable as error:
        raise CommandError("bad_request", str(error)) from None


class _StandaloneRun:
    """Hold the parts that one audit works with."""

    def __init__(self, files: OpenedFiles, progress: Progress, *, dry_run: bool) -> None:
        self._files = files
        self._progress = progress
        self._dry_run = dry_run
        self._settings = settings = files.settings
        self._journal = files.journal
        self._store = files.store
        gateway = settings.gateway
        self._watched = Watched(gateway.client_id, tuple(gateway.accounts), settings.login_zone())

    async def reconcile(self, flex: FlexReport | None, *, apply: bool) -> Json:
        imported = None if flex is None else await self._import(flex)
        snapshot, why_not = await self._ask_broker(apply=apply)
        before = after = self._examine(snapshot)
        if apply:
            after = await self._repair(before, snapshot)
        return answer(
            snapshot,
            before,
            after,
            now=now(),
            apply=apply,
            by=_BY,
            why_not=why_not,
            imported=imported,
            dry_run=self._dry_run,
        )

    def _examine(self, snapshot: BrokerSnapshot | None) -> AuditResult:
        trouble = ""
        try:
            self._store.refresh()
        except StoreUnavailable as error:
            trouble = str(error)
        return examine(
            self._journal,
            self._store,
            trouble,
            self._store.name,
            snapshot,
            watched=self._watched,
            now=now(),
        )

    async def _import(self, flex: FlexReport) -> FlexImport:
        if self._dry_run:
            return FlexImporter(self._journal, flex, self._watched.zone).planned()
        # First decide frames that the last tracker left undecided: a row may cancel one of their trades.
        pump = await self._apply_journalled()
        importer = FlexImporter(self._journal, flex, self._watched.zone)
        taken = 0
        for frames in importer.batches():
            if frames:
                self._journal.append(self._journal.last_connection_no, now(), frames)
                # The journal remembers a limited number of lookups, so each batch is decided at once.
                await pump.decide()
            taken += len(frames)
            self._progress.at("taking in the Flex report", min(taken, flex.executions), flex.executions)
        await pump.pump()
        return importer.result

    async def _apply_journalled(self) -> Pump:
        pump = wiring.make_pump(self._files)
        pump.write_again(())
        await pump.pump()
        return pump

    async def _repair(self, before: AuditResult, snapshot: BrokerSnapshot | None) -> AuditResult:
        pump = await self._apply_journalled()
        await repair(self._journal, self._store, pump, before)
        await pump.pump()
        return self._examine(snapshot)

    async def _ask_broker(self, *, apply: bool) -> tuple[BrokerSnapshot | None, str]:
        """Connect, ask once, and disconnect; return the reason where no link can be made."""
        self._progress.at("waiting for the broker's positions, executions and orders", 1, 2, "step")
        trouble: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def on_state(state: LinkState) -> None:
            if state.state in _GIVEN_UP and not trouble.done():
                trouble.set_result(state.reason)

        link = self._make_link(on_state, apply=apply)
        running = asyncio.create_task(link.run(), name="link")
        asking = asyncio.create_task(link.broker_snapshot(self._patience()), name="snapshot")
        try:
            any_of: set[asyncio.Future[Any]] = {running, asking, trouble}
            await asyncio.wait(any_of, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
            if asking.done() and (snapshot := asking.result()) is not None:
                return snapshot, ""
            return None, _first_try(trouble.result()) if trouble.done() else link.state.reason
        finally:
            asking.cancel()
            await link.close()
            await asyncio.gather(running, asking, return_exceptions=True)

    def _make_link(self, on_state: Callable[[LinkState], None], *, apply: bool) -> ReconnectingLink:
        journal = self._journal
        sink: Sink = journal if apply else NullSink()
        # Without `apply` nothing is written, so this login binds the journal to nothing.
        bind = journal.bind_login_kind if apply else lambda kind: None
        return ReconnectingLink(
            wiring.link_options(self._settings),
            sink=sink,
            now=now,
            first_connection_no=journal.last_connection_no + 1,
            refuse_login=wiring.login_check(self._settings, journal, self._store, bind),
            on_commit=lambda: None,
            on_state=on_state,
        )

    def _patience(self) -> float:
        """Return the time limit for everything: a login and the answers, each within its own limit."""
        gateway = self._settings.gateway
        return gateway.connect_timeout + 6 * gateway.request_timeout


def _first_try(reason: str) -> str:
    """Remove from a reason when the link would try again, since this one does not."""
    return reason.rpartition("; retrying in")[0] or reason
