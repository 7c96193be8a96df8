"""Build from settings what the daemon and the commands beside it share.

Owns how settings become log, locks, journal, alert store and pump, and in which order they are opened and
closed. It starts no task, and decides nothing.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from loguru import logger

from tracker.clock import now
from tracker.config.settings import Settings, SettingsError
from tracker.core.alert_updates import ClosingPolicy, TrackerEvent
from tracker.core.alerters import AlerterNames
from tracker.core.login_policy import LoginPolicy
from tracker.core.matching import match_execution
from tracker.core.model import StoreUnavailable
from tracker.core.ports import StoreMisconfigured
from tracker.core.state import LINKS, LedgerState
from tracker.gateway.decode import fact_of
from tracker.gateway.flex_service import FlexService
from tracker.gateway.link import LinkOptions
from tracker.journal.journal import Journal
from tracker.logs import log
from tracker.logs.masking import know_accounts, mask
from tracker.notify.apprise_services import CannotNotify, Service, open_services
from tracker.notify.details import Details
from tracker.notify.messages import NotificationRules
from tracker.pipeline.delivery import OnWritten
from tracker.pipeline.pump import Pump
from tracker.pipeline.store_watch import OnStore
from tracker.queries import gaps
from tracker.queries.dry_run import whole_text
from tracker.queries.socket_commands import QueryContext
from tracker.stores.alert_file import AlertFile
from tracker.stores.alert_stores import AlertStores, StoreHold, StorePort
from tracker.stores.alerter_stores import AlerterStores
from tracker.stores.lock import FileLock

if TYPE_CHECKING:
    from tracker.notify.heartbeat import Heartbeat
    from tracker.notify.sender import Notifier


_JOURNAL_ID: Final = "journal_id"


@dataclass(frozen=True, slots=True)
class OpenedFiles:
    """Hold the files and locks that one process keeps open."""

    settings: Settings
    names: AlerterNames
    store: StorePort
    journal: Journal
    worker: ThreadPoolExecutor
    """One thread, for the store's I/O."""
    locks: Sequence[StoreHold]


@contextmanager
def opened(settings: Settings, holder: str, *, writes: bool = True) -> Iterator[OpenedFiles]:
    """Take both locks and open journal and store; everything is closed in order when the block ends.

    `holder` is what other programs read about who has the locks. Without `writes` the journal is opened for
    reading and the store is not tested. Raises Locked, StoreRefused, JournalFailed, SettingsError.
    """
    names = names_of(settings)
    with _explaining_settings(), ExitStack() as stack:
        locks: list[StoreHold] = [FileLock(settings.stores.journal, holder)]
        stack.enter_context(locks[0])
        journal = Journal(settings.stores.journal, read_only=not writes)
        stack.callback(journal.close)
        if (upgrade := journal.upgrade) is not None:
            logger.warning(
                "the journal {} was changed from form {} to form {}; the old one is kept as {}",
                *(journal.path, upgrade.before, upgrade.after, upgrade.copy),
            )
        link = journal.state.get(LINKS, "last")
        known = link.accounts if link is not None else ()
        know_accounts([*settings.gateway.accounts, *known])
        store = alert_stores(settings, names, lambda: journal_id(journal, make=writes), journal)
        stack.callback(_close, store)
        store.vet(settings.gateway.accounts or known)
        if writes or not settings.shared.url:
            # A process that only reads needs no seat.
            locks.append(store.hold(holder))
            stack.enter_context(locks[-1])
        if writes:
            store.check()
        worker = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="alerts"))
        yield OpenedFiles(settings, names, store, journal, worker, locks)


@contextmanager
def _explaining_settings() -> Iterator[None]:
    """Raise SettingsError where the settings are not those that all users of the store agreed on."""
    try:
        yield
    except StoreMisconfigured as error:
        raise SettingsError([str(error)]) from None


def stop_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that stop a process; `nohup` starts it with SIGHUP ignored, which stays so."""
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return (signal.SIGTERM, signal.SIGINT, *((signal.SIGHUP,) if hangs_up else ()))


def start_log(settings: Settings) -> None:
    """Log as the settings say; raises OSError where the log's file cannot be written."""
    wanted = settings.log
    log.configure(
        wanted.level,
        file=wanted.file,
        as_json=wanted.as_json,
        mask_accounts=wanted.mask_accounts,
        rotation=wanted.rotation,
        retention=wanted.retention,
    )


def journal_id(journal: Journal, *, make: bool) -> str | None:
    """Return the uuid by which a shared store knows a journal; None where it has none and none is made."""
    found = journal.meta(_JOURNAL_ID)
    if found is None and make:
        found = str(uuid4())
        journal.set_meta(_JOURNAL_ID, found)
    return found


def _close(store: StorePort) -> None:
    try:
        store.close()
    except StoreUnavailable as error:
        logger.warning("the alert store could not be closed properly: {}", error)


def names_of(settings: Settings) -> AlerterNames:
    """Return the alerters: the built-in ones and those of the settings."""
    return AlerterNames((one.name, one.title, one.aliases) for one in settings.alerters)


def alert_stores(
    settings: Settings,
    names: AlerterNames,
    journal_id: Callable[[], str | None] = lambda: None,
    journal: Journal | None = None,
) -> StorePort:
    """Return the alert store; nothing is read before its first `refresh`.

    `journal_id` returns the journal's uuid, for a shared store; whoever takes a seat there gives the journal
    too. Raises SettingsError and StoreRefused for settings of a shared store that cannot be used.
    """
    stores, zone = settings.stores, settings.store_zone()
    if settings.shared.url:
        return _shared_alerts(settings, names, journal_id(), journal)
    alerters = AlerterStores(stores.contracts, stores.stocks, zone=zone, names=names, now=now)
    file = AlertFile(stores.alerts, zone=zone, now=now, enrich=alerters.enrich, names=names)
    return AlertStores(file, alerters)


def _shared_alerts(
    settings: Settings, names: AlerterNames, identity: str | None, journal: Journal | None
) -> StorePort:
    try:
        from tracker.stores.shared import SharedAlerts, SharedOptions
    except ImportError as error:
        where = settings.origin("shared", "url")
        raise SettingsError(
            [f"{where}: a shared store needs psycopg ({error}); run `pip install 'order-tracker[shared]'`"]
        ) from None
    zone = settings.stores.timezone
    if not zone:
        raise SettingsError(
            [
                f"{settings.origin('stores', 'timezone')}: a shared store needs the zone in which its alerts"
                " are dated, the same for all trackers; set it, for instance to America/New_York"
            ]
        )
    shared = settings.shared
    options = SharedOptions(shared.url, shared.seat_name, socket.gethostname(), zone, shared.poll_seconds)
    made = partial(SharedAlerts, options, zone=settings.store_zone(), now=now, names=names, journal=identity)
    if journal is None:
        return made()
    kept = f"epoch of seat {shared.seat_name}"
    return made(known_epoch=journal.number(kept), remember=lambda epoch: journal.set_meta(kept, str(epoch)))


def query_context(settings: Settings, store: StorePort, names: AlerterNames) -> QueryContext:
    """Return the context from which questions about fills and alerts are answered."""

    stores, shared = settings.stores, bool(settings.shared.url)

    def trouble() -> str:
        away = store.trouble
        return away[1] if away is not None else ""

    return QueryContext(
        store=store,
        trouble=trouble,
        names=names,
        alerts_path=stores.journal.with_name("alerts.json") if shared else stores.alerts,
        copied_text=partial(whole_text, store) if shared else None,
        all_seats=store.all_seats,
        store_zone=settings.store_zone(),
        login_zone=settings.login_zone(),
        early_fill=timedelta(seconds=settings.matching.early_fill),
        policy=ClosingPolicy(settings.closing.policy),
        now=now,
    )


def login_check(
    settings: Settings, journal: Journal, store: StorePort, bind: Callable[[str], None]
) -> Callable[[Sequence[str]], str | None]:
    """Return a function that says why a login must not be used, or None where it may be used.

    With a shared store, a login is refused if another tracker counts one of its accounts. `bind` receives the
    kind of the first login. The log masks the accounts of a login from then on.
    """
    policy = LoginPolicy(settings.gateway.accounts, journal.login_kind, bind)

    def refuse(accounts: Sequence[str]) -> str | None:
        know_accounts([*accounts, *settings.gateway.accounts])
        return store.vet(settings.gateway.accounts or accounts) or policy.refuse(accounts)

    return refuse


def link_options(settings: Settings) -> LinkOptions:
    """Return how to connect to the gateway."""
    gateway = settings.gateway
    return LinkOptions(
        host=gateway.host,
        port=gateway.port,
        client_id=gateway.client_id,
        login_zone=settings.login_zone(),
        bind_manual_orders=gateway.bind_manual_orders,
        connect_timeout=gateway.connect_timeout,
        request_timeout=gateway.request_timeout,
        probe_seconds=gateway.probe_seconds,
        sweep_seconds=gateway.sweep_seconds,
    )


def make_pump(
    files: OpenedFiles,
    *,
    on_committed: Callable[[Sequence[TrackerEvent]], None] = lambda events: None,
    on_event: Callable[[TrackerEvent], None] = lambda event: None,
    on_written: OnWritten = lambda updates, outcomes, at: None,
    on_outage: OnStore = lambda outage: None,
    want_sweep: Callable[[str], None] = lambda reason: None,
    want_positions: Callable[[str], None] = lambda reason: None,
) -> Pump:
    """Return the pump between the journal and the alert store."""
    settings = files.settings
    early = timedelta(seconds=settings.matching.early_fill)
    return Pump(
        files.journal,
        files.store,
        partial(fact_of, login_zone=settings.login_zone()),
        partial(match_execution, early_fill=early, names=files.names),
        names=files.names,
        monotonic=time.monotonic,
        now=now,
        worker=files.worker,
        policy=ClosingPolicy(settings.closing.policy),
        accounts=settings.gateway.accounts,
        zone=settings.login_zone(),
        store_zone=settings.store_zone(),
        retry_for=timedelta(seconds=settings.matching.retry_for),
        on_committed=on_committed,
        on_event=on_event,
        on_written=on_written,
        on_outage=on_outage,
        want_sweep=want_sweep,
        want_positions=want_positions,
    )


def flex_service(settings: Settings) -> FlexService | None:
    """Return the service that fetches Flex reports; None where the settings name no token or no query."""
    flex = settings.flex
    return FlexService(flex.base_url, flex.query_id, flex.token) if flex.token and flex.query_id else None


def fetched_report(settings: Settings) -> Path:
    """Return the path of the fetched Flex report: beside the journal, replacing the one before."""
    return settings.stores.journal.with_name("flex-report.xml")


def open_urls(settings: Settings) -> list[Service]:
    """Open the services that are notified; raises SettingsError, which never repeats a url."""
    try:
        return open_services(settings.notify.urls)
    except CannotNotify as error:
        raise SettingsError([f"{settings.origin('notify', 'urls')}: {error}"]) from None


def make_notifier(settings: Settings, services: Sequence[Service], state: LedgerState) -> Notifier:
    """Return the notifier, which does nothing before its `start`."""
    from tracker.gateway.error_codes import planned_reset
    from tracker.notify.sender import Notifier

    rules = NotificationRules(
        Details(state, names_of(settings)),
        started_at=now(),
        link_down=timedelta(minutes=settings.notify.link_down_minutes),
        unproven=lambda moment: gaps.warning(state, moment, settings.login_zone()),
        planned=planned_reset,
        mask=mask if settings.log.mask_accounts else str,
    )
    return Notifier(services, rules, now=now)


def make_heartbeat(settings: Settings, withheld: Callable[[datetime], str]) -> Heartbeat | None:
    """Return the heartbeat, which calls `notify.heartbeat_url`; None where that is empty."""
    from tracker.notify.heartbeat import Heartbeat

    if not settings.notify.heartbeat_url:
        return None
    stores = settings.stores
    files = [stores.journal] if settings.shared.url else [stores.journal, stores.alerts]
    folders = [path.parent for path in files]
    return Heartbeat(settings.notify.heartbeat_url, folders, withheld, now=now)
