"""Run the tracker: build its parts, wire them, and end them well.

Owns start, signals and exit codes. A fatal failure (a failed append, a failed commit, a full disk, an attempt
to send an order message) ends the process with a reason; every other failure is retried by the part in which
it happened.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, time
from functools import partial
from typing import Any, Final

from loguru import logger

from tracker import wiring
from tracker.clock import now
from tracker.config.settings import Settings, SettingsError
from tracker.core.alert_updates import TrackerEvent, instant
from tracker.core.completeness import REACH
from tracker.core.model import AlertUpdate, JsonValue, Outcome
from tracker.core.ports import StoreRefused
from tracker.core.state import GAPS
from tracker.daemon import status_report
from tracker.daemon.banner import banner, log_banner, login_of
from tracker.daemon.daily_report import DailyReport
from tracker.daemon.event_lines import LOUD, UNBOUNDED, line_of
from tracker.daemon.first_sweep import FirstSweep
from tracker.daemon.flex_fetch import MorningFetch
from tracker.daemon.garbage_collection import collect_rarely
from tracker.daemon.housekeeping import Housekeeping
from tracker.daemon.journal_sink import JournalSink
from tracker.daemon.latency import FrameToFile
from tracker.daemon.metrics import metrics
from tracker.daemon.page_state import PageState
from tracker.daemon.position_recheck import recheck_positions
from tracker.daemon.systemd import Pulse, SystemdNotifier, keep_alive
from tracker.gateway.capture_sink import CaptureFailed
from tracker.gateway.link import LinkPhase, LinkState
from tracker.gateway.reconnect import ReconnectingLink
from tracker.journal.event_log import KeptEvents
from tracker.journal.journal_file import JournalFailed
from tracker.logs import log
from tracker.notify.apprise_services import Service
from tracker.pipeline.store_watch import StoreFull, StoreOutage
from tracker.progress import Progress
from tracker.queries.socket_commands import SocketCommands
from tracker.reconcile.in_daemon import Reconciling
from tracker.reconcile.views import Watched
from tracker.status.arguments import without_arguments
from tracker.status.events import EventFeed, subscription
from tracker.status.protocol import Answer, Request, SocketCommand
from tracker.status.server import CannotListen, StatusServer
from tracker.status.token import TokenFile
from tracker.stores.lock import Locked
from tracker.wiring import OpenedFiles

_FAREWELL_SECONDS: Final = 0.5
"""Seconds for the pump to write what is decided. The link and the socket take at most 1 s before it, messages
to people 1.5 s and the log 0.5 s after it: together 3.5 s of the 5 s in which a stop must end.
"""
_REPORTED: Final = "reported_until"
"""The journal's key for the end of the last daily report."""
_SWITCH_SECONDS: Final = 0.0005
_PRIVATE: Final = 0o077

EXIT_WELL: Final = 0
EXIT_FAILED: Final = 1
EXIT_STORE: Final = 5


_DISK_FAILS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE)


class FileUnwritable(Exception):
    """A file that a setting names cannot be written; the message says which, why and what to do."""

    def __init__(self, settings: Settings, section: str, key: str, error: OSError) -> None:
        self.disk_fails = error.errno in _DISK_FAILS
        """Whether the disk is full or faulty, rather than the path or the rights wrong."""
        path, where = getattr(getattr(settings, section), key), settings.origin(section, key)
        next_step = (
            "free some space or repair that disk, then start again"
            if self.disk_fails
            else "let this user write there, or name another file"
        )
        super().__init__(f"{where}: {path} cannot be written: {error.strerror or error}; {next_step}")


class Daemon:
    """Hold the running parts of one tracker; `settings` were checked."""

    def __init__(self, files: OpenedFiles, services: Sequence[Service] = ()) -> None:
        self._files = files
        self._settings = settings = files.settings
        self._journal = journal = files.journal
        self._store = files.store
        self._started_at = now()
        self._token = TokenFile(settings.status.token_file)
        journal.events.begin_life(journal.set_meta)
        self._feed = EventFeed(first=journal.events.last + 1, stored=self._stored_events)
        self._systemd = SystemdNotifier(os.environ, os.getpid())
        self._frame_to_file = FrameToFile()
        self._progress = Progress(lambda stage: logger.info("{}", stage.in_words()))
        self._first_sweep = FirstSweep(self._progress, lambda line: log.later("INFO", lambda: line))
        self._pump = wiring.make_pump(
            files,
            on_committed=self._publish,
            on_event=self._happened,
            on_written=self._written,
            on_outage=self._store_changed,
            want_sweep=self._want_sweep,
            want_positions=self._want_positions,
        )
        self._questions = SocketCommands(
            journal,
            wiring.query_context(settings, files.store, files.names),
            accounts=settings.gateway.accounts,
            wake=self._pump.wake,
        )
        self._link = ReconnectingLink(
            wiring.link_options(settings),
            sink=JournalSink(journal, self._pump),
            now=now,
            first_connection_no=journal.last_connection_no + 1,
            refuse_login=wiring.login_check(settings, journal, files.store, journal.bind_login_kind),
            on_commit=self._pump.wake,
            on_state=self._link_changed,
        )
        self._notifier = wiring.make_notifier(settings, services, journal.state)
        self._heartbeat = wiring.make_heartbeat(settings, self._withheld(self._pulse()))
        gateway = settings.gateway
        self._reconciling = Reconciling(
            journal,
            files.store,
            self._pump,
            self._link,
            watched=Watched(gateway.client_id, tuple(gateway.accounts), settings.login_zone()),
            now=now,
            progress=self._progress,
        )

    async def run(self) -> int:
        """Run until a signal or a fatal failure; returns the exit code."""
        log_banner(self._settings, self._store.name)
        if not self._journal.cursor:
            logger.info("first start: today's earlier fills are applied too, as far as the broker lists them")
        pause = self._settings.gateway.sweep_seconds
        if pause >= REACH.total_seconds():
            logger.warning(
                "gateway.sweep_seconds is {:g}, but a day counts as complete only if a sweep falls into its"
                " last {:g} minutes; set it lower, or `tracker gaps` may list days",
                *(pause, REACH.total_seconds() / 60),
            )
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in wiring.stop_signals():
            loop.add_signal_handler(number, self._signalled, stop, number)
        server = await self._listen()
        self._notifier.start(self._feed.follow(0), self._feed.last)
        pump = asyncio.create_task(self._pump.run(), name="pump")
        housekeeping = Housekeeping(self._files, self._token, self._pass_on, now)
        tasks = [
            pump,
            asyncio.create_task(self._link.run(), name="link"),
            asyncio.create_task(self._questions.failure(), name="questions"),
            asyncio.create_task(self._first_sweep.run(self._is_caught_up, self._login), name="first sweep"),
            asyncio.create_task(housekeeping.keep_house(), name="housekeeping"),
            asyncio.create_task(housekeeping.watch_files(), name="watch over the files"),
            asyncio.create_task(housekeeping.keep_token(), name="watch over the token"),
            asyncio.create_task(
                recheck_positions(self._journal.state, self._link.request_positions),
                name="position recheck",
            ),
        ]
        if (service := wiring.flex_service(self._settings)) is not None:
            fetching = MorningFetch(
                service,
                wiring.fetched_report(self._settings),
                open_gaps=lambda: [gap.day for gap in self._journal.state.find(GAPS, "open", "1")],
                take_in=self._reconciling.import_report,
                now=now,
            )
            tasks.append(asyncio.create_task(fetching.run(), name="fetch of Flex reports"))
        if (at := self._settings.notify.report_time) is not None:
            tasks.append(asyncio.create_task(self._daily_report(at).run(), name="daily report"))
        if self._heartbeat is not None:
            tasks.append(asyncio.create_task(self._heartbeat.run(), name="heartbeat"))
        if self._systemd.watchdog_seconds is not None:
            tasks.append(asyncio.create_task(keep_alive(self._systemd, self._pulse()), name="watchdog"))
        self._systemd.ready()
        stopped = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
                    raise RuntimeError(f"the {task.get_name()} ended by itself")
            logger.info("stopping, as requested")
            return EXIT_WELL
        finally:
            await self._end(server, pump, [*tasks, stopped])

    def _daily_report(self, at: time) -> DailyReport:
        def reported() -> datetime | None:
            text = self._journal.meta(_REPORTED)
            return None if text is None else datetime.fromisoformat(text)

        return DailyReport(
            at,
            self._settings.login_zone(),
            reported=reported,
            keep=lambda until: self._journal.set_meta(_REPORTED, until.isoformat()),
            sum_up=self._questions.report,
            pass_on=self._pass_on,
            now=now,
        )

    async def _listen(self) -> StatusServer:
        """Open the status socket, then write the token; raises CannotListen, FileUnwritable."""
        where = self._settings.status
        streams = {"subscribe": subscription(self._feed)}
        server = StatusServer(where.host, where.port, self._commands(), self._token.token, streams=streams)
        await server.start()
        try:
            # Only after listening: a second tracker that finds the port taken must not replace the first
            # one's token.
            self._token.write()
        except OSError as error:
            await server.close()
            raise FileUnwritable(self._settings, "status", "token_file", error) from error
        logger.info("status socket on {}:{}", where.host, server.port)
        return server

    async def _end(
        self, server: StatusServer, pump: asyncio.Task[None], tasks: Sequence[asyncio.Task[Any]]
    ) -> None:
        self._systemd.stopping()
        self._first_sweep.close()
        # In a flood each step of the pump would delay the end of everything else.
        pump.cancel()
        self._questions.close()
        await asyncio.gather(self._link.close(), server.close())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if not any(task.done() and not task.cancelled() and task.exception() for task in tasks):
            with suppress(TimeoutError):
                async with asyncio.timeout(_FAREWELL_SECONDS):
                    await self._pump.pump()
        await self._notifier.close(self._feed.last)

    def _is_caught_up(self) -> bool:
        """Return whether the first sweep was answered and all its fills decided."""
        journal = self._journal
        return self._link.state.subscribed and not journal.frames_after(journal.cursor, 1)

    def _login(self) -> str:
        state = self._link.state
        unsure = ", not answered in full yet" if state.last_sweep_timed_out else ""
        return f"{login_of(state.accounts, self._journal.login_kind())}{unsure}"

    def _pulse(self) -> Pulse:
        journal = self._journal
        return Pulse(
            looks=lambda: self._store.looks,
            cursor=lambda: journal.cursor,
            behind=lambda: bool(journal.frames_after(journal.cursor, 1)),
        )

    def _withheld(self, pulse: Pulse) -> Callable[[datetime], str]:
        """Return a function that says why capture is not proven, empty where it is."""

        def reason(moment: datetime) -> str:
            beats = pulse.beats()
            why = status_report.unproven_capture(self._pump, self._link.state, moment)
            return why or ("" if beats else "the pump makes no progress")

        return reason

    def _signalled(self, stop: asyncio.Event, number: signal.Signals) -> None:
        if stop.is_set():
            # A second signal: everything that matters is committed, so there is nothing to wait for.
            log.close()
            os._exit(128 + number)
        stop.set()

    def _want_sweep(self, reason: str) -> None:
        logger.info("asking for the day's executions: {}", reason)
        self._link.request_sweep(reason)

    def _want_positions(self, reason: str) -> None:
        logger.info("asking for the positions: {}", reason)
        self._link.request_positions(reason)

    def _link_changed(self, link: LinkState) -> None:
        if link.state is LinkPhase.CONNECTING:
            # The objects that the last connection kept of the day refer to each other in cycles, so only the
            # collector frees them. No fill is received now that would have to wait for it.
            gc.collect()
        self._systemd.status(f"link {link.state.value}: {link.reason}")
        self._pass_on(
            {
                "event": "link",
                "at": instant(link.since),
                "state": link.state.value,
                "reason": link.reason,
                "subscribed": link.subscribed,
            }
        )

    def _publish(self, events: Sequence[TrackerEvent]) -> None:
        """Publish the events of a decision; the journal has them and their numbers."""
        for event in events:
            self._feed.publish(event.as_json)
        assert self._feed.last == self._journal.events.last, "followers get the numbers that are kept"

    def _pass_on(self, event: dict[str, JsonValue]) -> None:
        """Publish an event that is about this run only; it is not stored."""
        self._journal.events.skip()
        self._feed.publish(event)

    async def _stored_events(self, after: int, limit: int) -> KeptEvents:
        return await self._questions.events(after, limit)

    def _happened(self, event: TrackerEvent) -> None:
        self._frame_to_file.decided(event)
        if self._first_sweep.gathers(event):
            return
        level = "WARNING" if event.kind in LOUD else "INFO"
        repeats = event.kind.value if event.kind in UNBOUNDED else ""
        log.later(level, partial(line_of, event), repeats)

    def _store_changed(self, outage: StoreOutage | None) -> None:
        """Publish that the alert store cannot be read, or can again."""
        at, reason = (outage.since, outage.reason) if outage is not None else (now(), "")
        self._pass_on({"event": "store", "at": instant(at), "readable": outage is None, "reason": reason})

    def _written(self, updates: Sequence[AlertUpdate], outcomes: Sequence[Outcome], at: datetime) -> None:
        for event in self._frame_to_file.written(updates, outcomes, at):
            self._pass_on(event)

    def _commands(self) -> dict[str, SocketCommand]:
        questions = self._questions.commands()
        page = PageState(
            {
                "status": self._status,
                **{name: questions[name].answer for name in ("alerts", "inbox", "fills")},
            },
            last=lambda: self._feed.last,
            latencies=lambda: list(self._frame_to_file.latest),
        )
        return {
            "page": SocketCommand(
                without_arguments(page.answer), "give everything that the page in a browser shows"
            ),
            "status": SocketCommand(without_arguments(self._status), "show the state of the tracker"),
            "health": SocketCommand(
                without_arguments(self._health), "show whether the alert stores can be read and written"
            ),
            "ready": SocketCommand(
                without_arguments(self._ready), "show whether a fill would reach its alert now"
            ),
            "metrics": SocketCommand(without_arguments(self._metrics), "give the numbers of `status`"),
            **questions,
            **self._reconciling.commands(),
        }

    async def _health(self, request: Request) -> Answer:
        return status_report.health(self._pump)

    async def _ready(self, request: Request) -> Answer:
        return status_report.ready(self._pump, self._link.state)

    async def _metrics(self, request: Request) -> Answer:
        open_alerts = sum(alert.open for alert in self._store.alerts())
        return metrics(await self._status(request), self._frame_to_file, open_alerts)

    async def _status(self, request: Request) -> Answer:
        fills = await self._questions.fills_today()
        return {
            **status_report.status(
                self._journal,
                self._pump,
                self._store,
                self._link.state,
                fills=fills,
                started_at=self._started_at,
                now=now(),
            ),
            "setup": banner(
                self._settings,
                self._store,
                self._link.state,
                self._journal.login_kind(),
                self._progress.stage,
            ),
            "notify": self._notifier.figures(),
            "heartbeat": {} if self._heartbeat is None else self._heartbeat.figures(),
            "log": log.figures(),
        }


def run(settings: Settings) -> int:
    """Run the tracker in this process until a signal ends it; returns the exit code.

    Raises SettingsError for a folder that does not exist, a file that this user may not write, and for urls
    by which no message can be sent.
    """
    # The journal, the log and others hold accounts and fills; the alert file keeps its own mode.
    os.umask(_PRIVATE)
    made = settings.require_folders()
    holder = f"tracker run, process {os.getpid()}"
    try:
        _start_log(settings)
        for folder in made:
            logger.info("made the folder {}, which no setting names", folder)
        services = wiring.open_urls(settings)
        with wiring.opened(settings, holder) as files:
            _tune()
            return asyncio.run(_main(files, services))
    except FileUnwritable as error:
        if not error.disk_fails:
            raise SettingsError([str(error)]) from None
        logger.error("{}", error)
        return EXIT_STORE
    except CannotListen as error:
        logger.error("{}", error)
        return EXIT_FAILED
    except (Locked, JournalFailed, StoreRefused, StoreFull, CaptureFailed) as error:
        log_failure(error)
        return EXIT_STORE


def log_failure(error: Exception) -> None:
    """Log why the daemon ends; if a bug of ours made the capture fail, also the traceback."""
    cause = error.__cause__ if isinstance(error, CaptureFailed) else None
    mistake = None if isinstance(cause, JournalFailed) else cause
    logger.opt(exception=mistake).error("{}", error)


def _start_log(settings: Settings) -> None:
    try:
        wiring.start_log(settings)
    except OSError as error:
        raise FileUnwritable(settings, "log", "file", error) from error


def _tune() -> None:
    """Set the interpreter up for fast fills; each setting was measured with the benchmark."""
    collect_rarely()
    # After each call to the disk the thread that writes the alerts waits for the interpreter: by default 5 ms
    # each time while many clients ask, and a fill needs a dozen such calls.
    sys.setswitchinterval(_SWITCH_SECONDS)


async def _main(files: OpenedFiles, services: Sequence[Service]) -> int:
    return await Daemon(files, services).run()
