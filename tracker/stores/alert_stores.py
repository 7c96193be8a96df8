"""The alert store as one object: alerts.json, with what the two alerter stores add to its records.

Owns what a process needs of its alert store besides reading and writing alerts: the lock, the test at the
start, its name, failures and figures, and closing it. It never decides what is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from tracker.core.model import Alert, AlertId, AlertUpdate, Execution, JsonValue, Outcome
from tracker.core.ports import AlertStore, Shown
from tracker.stores.alert_file import AlertFile
from tracker.stores.alerter_stores import AlerterStores
from tracker.stores.lock import FileLock


class StoreHold(AbstractContextManager[object], Protocol):
    """Hold the lock of a store for one process, until the block ends."""

    def keep(self) -> None:
        """Make sure that nobody else can take the store; raises Locked where another process has taken it."""
        ...


class StorePort(AlertStore, Protocol):
    """Serve the records of an alert store, in a file or on a server.

    `refresh`, `apply`, `restore` and `close` do I/O and belong in a worker thread while others wait.
    """

    @property
    def trouble(self) -> tuple[datetime, str] | None:
        """Return since when the store cannot be read or written, and why; None while all is well."""
        ...

    @property
    def figures(self) -> Mapping[str, int | str | None]:
        """Return the store's counts for `status`, by field name."""
        ...

    @property
    def looks(self) -> int:
        """Return how often `refresh` has ended, with or without success; it stops growing while a disk
        hangs.
        """
        ...

    def hold(self, holder: str) -> StoreHold:
        """Keep other trackers off the store; raises Locked at once when another process holds it."""
        ...

    def vet(self, accounts: Sequence[str]) -> str | None:
        """Return why a login with these accounts must not be used, None where it may be used; never waits."""
        ...

    def check(self) -> None:
        """Check at the start that the store can be used; raises StoreRefused, which says what to do."""
        ...

    def restore(self, alert: AlertId, text: str) -> bool:
        """Put a deleted record back with its kept text; False where another record has its place.

        Raises StoreUnavailable.
        """
        ...

    def all_seats(self) -> Mapping[AlertId, dict[str, JsonValue]] | None:
        """Return what the trackers of this store show together, by record; None where there is only one.

        It asks a server; while that cannot be reached, the result has no records.
        """
        ...

    def close(self) -> None:
        """Merge late writes of other programs, and close everything. Raises StoreUnavailable."""
        ...


class AlertStores:
    """Serve alerts.json with what the two read-only alerter stores add to it; implements `StorePort`."""

    def __init__(self, alerts: AlertFile, alerters: AlerterStores) -> None:
        self._alerts = alerts
        self._alerters = alerters
        self.looks = 0
        self._looking = False

    @property
    def name(self) -> str:
        return self._alerts.name

    @property
    def trouble(self) -> tuple[datetime, str] | None:
        return self._alerts.trouble

    @property
    def figures(self) -> Mapping[str, int | str | None]:
        return {
            "kind": "file",
            "late_writes_merged": self._alerts.late_writes_merged,
            "late_writes_lost": self._alerts.late_writes_lost,
        }

    @property
    def absent(self) -> bool:
        return self._alerts.absent

    def expect(self) -> None:
        self._alerts.expect()

    def hold(self, holder: str) -> FileLock:
        return FileLock(self._alerts.path, holder)

    def vet(self, accounts: Sequence[str]) -> str | None:
        """Return None: a file has only one tracker, which may use any account."""
        return None

    def check(self) -> None:
        self._alerts.check()

    def refresh(self) -> bool:
        self._looking = True
        try:
            return self._refresh()
        finally:
            self._looking = False
            self.looks += 1

    def _refresh(self) -> bool:
        added = self._alerters.refresh()
        if added:
            self._alerts.enrich_again()
        merged = self._alerts.settle()
        return self._alerts.refresh() or merged or added

    def unchanged(self) -> bool:
        # A refresh that does not end means that the disk hangs, and then this call would hang too.
        return not self._looking and self._alerters.unchanged() and self._alerts.unchanged()

    def alerts(self) -> Sequence[Alert]:
        return self._alerts.alerts()

    def candidates(self, execution: Execution) -> Sequence[Alert]:
        return self._alerts.candidates(execution)

    def apply(self, updates: Sequence[AlertUpdate]) -> Sequence[Outcome]:
        return self._alerts.apply(updates)

    @property
    def prepares(self) -> bool:
        return self._alerts.prepares

    def prepare(self, updates: Sequence[AlertUpdate]) -> bool:
        return self._alerts.prepare(updates)

    def shown(self, alert: AlertId) -> Shown | None:
        return self._alerts.shown(alert)

    def record(self, alert: AlertId) -> str | None:
        return self._alerts.record(alert)

    def all_seats(self) -> None:
        """Return None: a file has only one tracker."""

    def restore(self, alert: AlertId, text: str) -> bool:
        return self._alerts.restore(alert, text)

    def close(self) -> None:
        self._alerts.close()
