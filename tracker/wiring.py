"""Build from settings the parts that the daemon and the commands beside it share.

Owns how settings become an alert store and a pump. It starts nothing, opens no journal and reads no file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from tracker.clock import now
from tracker.config.settings import Settings, SettingsError
from tracker.core.alert_updates import ClosingPolicy, TrackerEvent
from tracker.core.alerters import AlerterNames
from tracker.core.matching import match_execution
from tracker.core.model import Alert, AlertId, AlertUpdate, Execution, Outcome
from tracker.core.ports import Shown
from tracker.core.state import LedgerState
from tracker.gateway.decode import fact_of
from tracker.gateway.link import LinkOptions
from tracker.journal.journal import Journal
from tracker.logs import mask
from tracker.notify.apprise_services import CannotNotify, Service, open_services
from tracker.notify.details import Details
from tracker.notify.messages import Choice
from tracker.pipeline.pump import OnWritten, Pump
from tracker.queries import gaps
from tracker.queries.socket_commands import QueryContext
from tracker.stores.alert_file import AlertFile
from tracker.stores.alerter_stores import AlerterStores

if TYPE_CHECKING:
    from tracker.notify.sender import Notifier


class AlertStores:
    """Serve alerts.json with what the two read-only alerter stores add to it."""

    def __init__(
        self,
        alerts: AlertFile,
        alerters: AlerterStores,
    ) -> None:
        self.alerts_file = alerts
        self._alerters = alerters
        self.looks = 0
        """How often `refresh` came to an end, well or not; a thread that hangs in the disk lets it stand."""
        self._looking = False

    def refresh(self) -> bool:
        self._looking = True
        try:
            return self._refresh()
        finally:
            self._looking = False
            self.looks += 1

    def unchanged(self) -> bool:
        # A look that does not end tells of a disk that hangs, and this one would hang with it.
        return not self._looking and self._alerters.unchanged() and self.alerts_file.unchanged()

    def _refresh(self) -> bool:
        added = self._alerters.refresh()
        if added:
            self.alerts_file.enrich_again()
        merged = self.alerts_file.settle()
        return self.alerts_file.refresh() or merged or added

    def alerts(self) -> Sequence[Alert]:
        return self.alerts_file.alerts()

    def candidates(self, execution: Execution) -> Sequence[Alert]:
        return self.alerts_file.candidates(execution)

    def apply(self, updates: Sequence[AlertUpdate]) -> Sequence[Outcome]:
        return self.alerts_file.apply(updates)

    def prepare(self, updates: Sequence[AlertUpdate]) -> None:
        self.alerts_file.prepare(updates)

    def shown(self, alert: AlertId) -> Shown | None:
        return self.alerts_file.shown(alert)

    def record(self, alert: AlertId) -> str | None:
        return self.alerts_file.record(alert)

    def restore(self, alert: AlertId, text: str) -> bool:
        return self.alerts_file.restore(alert, text)


def names_of(settings: Settings) -> AlerterNames:
    """Return the alerters: the built-in ones and those of the settings."""
    return AlerterNames((one.name, one.title, one.aliases) for one in settings.alerters)


def alert_stores(
    settings: Settings,
    names: AlerterNames,
) -> AlertStores:
    """Return the alert store; nothing is read before its first `refresh`."""
    stores, zone = settings.stores, settings.store_zone()
    alerters = AlerterStores(stores.contracts, stores.stocks, zone=zone, names=names, now=now)
    file = AlertFile(stores.alerts, zone=zone, now=now, enrich=alerters.enrich, names=names)
    return AlertStores(file, alerters)


def ground(settings: Settings, store: AlertStores, names: AlerterNames) -> QueryContext:
    """Return what questions about fills and alerts are answered from."""

    def trouble() -> str:
        away = store.alerts_file.trouble
        return away[1] if away is not None else ""

    return QueryContext(
        store=store,
        trouble=trouble,
        names=names,
        alerts_path=settings.stores.alerts,
        store_zone=settings.store_zone(),
        login_zone=settings.login_zone(),
        early_fill=timedelta(seconds=settings.matching.early_fill),
        policy=ClosingPolicy(settings.closing.policy),
        now=now,
    )


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
    settings: Settings,
    journal: Journal,
    store: AlertStores,
    names: AlerterNames,
    worker: Executor,
    *,
    on_event: Callable[[TrackerEvent], None] = lambda event: None,
    on_written: OnWritten = lambda updates, outcomes, at: None,
    want_sweep: Callable[[str], None] = lambda reason: None,
) -> Pump:
    """Return the pump between a journal and an alert store."""
    early = timedelta(seconds=settings.matching.early_fill)
    return Pump(
        journal,
        store,
        partial(fact_of, login_zone=settings.login_zone()),
        partial(match_execution, early_fill=early, names=names),
        now=now,
        worker=worker,
        policy=ClosingPolicy(settings.closing.policy),
        accounts=settings.gateway.accounts,
        zone=settings.login_zone(),
        retry_for=timedelta(seconds=settings.matching.retry_for),
        on_event=on_event,
        on_written=on_written,
        want_sweep=want_sweep,
    )


def open_urls(settings: Settings) -> list[Service]:
    """Open whom to tell; raises SettingsError, which never repeats a url."""
    try:
        return open_services(settings.notify.urls)
    except CannotNotify as error:
        raise SettingsError([f"{settings.origin('notify', 'urls')}: {error}"]) from None


def make_courier(settings: Settings, services: Sequence[Service], book: LedgerState) -> Notifier:
    """Return what tells people of the events; it does nothing before its `start`."""
    from tracker.gateway.error_codes import planned_reset
    from tracker.notify.sender import Notifier

    choice = Choice(
        Details(book),
        started_at=now(),
        link_down=timedelta(minutes=settings.notify.link_down_minutes),
        unproven=lambda moment: gaps.warning(book, moment, settings.login_zone()),
        planned=planned_reset,
        mask=mask if settings.log.mask_accounts else str,
    )
    return Notifier(services, choice, now=now)
