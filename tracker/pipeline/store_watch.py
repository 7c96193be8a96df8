"""Watch whether the alert store is there, can be read and written, and has changed.

Owns the refresh a few times a second, and since when and why the store cannot be used. A store that was there
before and is gone now is an outage; one that was never there has no alerts yet. It decides nothing and writes
nothing into the store: `store_changes` compares what changed.
"""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from loguru import logger

from tracker.core.model import StoreUnavailable
from tracker.core.ports import AlertStore
from tracker.core.state import ALERTS
from tracker.journal.journal import Journal

_WATCH_SECONDS: Final = 0.25
_READ_ONCE: Final = "store_read"
"""The journal's note that the store has been read in this or an earlier run."""


class StoreFull(Exception):
    """The disk of the alert store is full; nothing was half done."""


@dataclass(frozen=True, slots=True)
class StoreOutage:
    """Say since when the store cannot be used, and why."""

    since: datetime
    reason: str


OnStore = Callable[[StoreOutage | None], None]


class StoreWatch:
    """Watch one alert store; `worker` runs its I/O, one call at a time.

    `on_outage` receives the reason when the store cannot be read or the reason changes, and None when it can
    be read again; `on_refresh` receives after each refresh whether a store is there and could be read.
    """

    def __init__(
        self,
        journal: Journal,
        store: AlertStore,
        worker: Executor,
        *,
        now: Callable[[], datetime],
        on_outage: OnStore = lambda outage: None,
        on_refresh: Callable[[bool], None] = lambda readable: None,
    ) -> None:
        self._journal = journal
        self._store = store
        self._worker = worker
        self._now = now
        self._on_outage = on_outage
        self._on_refresh = on_refresh
        self.away: dict[str, StoreOutage] = {}
        """`read` or `written` -> since when that is not possible, and why."""
        self.looked = False
        """Whether the store was read once in this run, or is known to have no alerts yet."""
        self._is_read = False
        """Whether the last refresh read a store that is there."""
        if journal.meta(_READ_ONCE) or journal.state.find(ALERTS, "kept", "1"):
            store.expect()

    @property
    def readable(self) -> bool:
        return "read" not in self.away

    async def refresh(self) -> bool:
        """Read what other programs wrote; True when anything changed, or the store is back.

        Raises StoreFull.
        """
        try:
            changed = await asyncio.get_running_loop().run_in_executor(self._worker, self._store.refresh)
        except StoreUnavailable as error:
            self.lost("read", error)
            self._on_refresh(False)
            return False
        self.found("read")
        back = not self._is_read and not self._store.absent
        self._note_read()
        self._on_refresh(not self._store.absent)
        return changed or back

    def _note_read(self) -> None:
        """Note a refresh that succeeded; the first one logs what the store holds."""
        store, absent = self._store, self._store.absent
        if absent and not self.looked:
            logger.warning("{} is not there; until it is, fills open no alert", store.name)
        if not absent and not self._is_read:
            self._is_read = True
            alerts = store.alerts()
            count = f"{len(alerts)} alert{'s' if len(alerts) != 1 else ''}"
            each = Counter(alert.id.alerter for alert in alerts)
            of = ", ".join(f"{alerter} {number}" for alerter, number in sorted(each.items()))
            logger.info("{} read from {}{}", count, store.name, f": {of}" if of else "")
            if not self._journal.meta(_READ_ONCE):
                self._journal.set_meta(_READ_ONCE, "1")
        self.looked = True

    async def run(self, on_change: Callable[[], None]) -> None:
        """Refresh a few times a second: a stat costs microseconds and works on every system. Never
        returns.
        """
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if await self.refresh():
                on_change()

    def lost(self, verb: str, error: StoreUnavailable) -> None:
        """Note that the store cannot be `read` or `written`; raises StoreFull for a full disk, which ends the
        daemon.
        """
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(f"{error}, then start the tracker again") from error
        before, reason = self.away.get(verb), f"{error}; it is tried again"
        changed = before is None or before.reason != reason
        self.away[verb] = StoreOutage(before.since if before is not None else self._now(), reason)
        if changed:
            logger.warning("the alert store cannot be {}: {}", verb, reason)
        if verb == "read":
            self._is_read = False
            if changed:
                self._on_outage(self.away[verb])

    def found(self, verb: str) -> None:
        """Note that the store can be `read` or `written`."""
        if self.away.pop(verb, None) is not None:
            logger.info("the alert store can be {} again", verb)
            if verb == "read":
                self._on_outage(None)
