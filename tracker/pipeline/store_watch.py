"""Whether the alert store is there and can be read and written, and when it changed.

Owns the refresh a few times a second, and since when, and why, the store is away. A store that has been there
and is gone is away; one that was never there has no alerts yet. It takes no decision and writes nothing into
the store: what changed is compared by others.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from loguru import logger

from tracker.core.model import StoreUnavailable
from tracker.core.ports import AlertStore
from tracker.core.state import ALERTS
from tracker.journal.journal import Journal

_WATCH_SECONDS: Final = 0.25
_SPANS_KEPT: Final = 100
_READ_ONCE: Final = "store_read"
"""The journal's note that the store has been read in this or an earlier run."""


class StoreFull(Exception):
    """The disk of the alert store is full; nothing was half done."""


@dataclass(frozen=True, slots=True)
class StoreOutage:
    """Say since when the store is away, and why."""

    since: datetime
    reason: str


OnStore = Callable[[StoreOutage | None], None]


class StoreWatch:
    """Watch one alert store; `worker` runs its I/O, one call at a time.

    `on_outage` receives why the store cannot be read, when that begins or changes, and None when it can
    again.
    """

    def __init__(
        self,
        journal: Journal,
        store: AlertStore,
        worker: Executor,
        *,
        now: Callable[[], datetime],
        on_outage: OnStore = lambda outage: None,
    ) -> None:
        self._journal = journal
        self._store = store
        self._worker = worker
        self._now = now
        self._on_outage = on_outage
        self.away: dict[str, StoreOutage] = {}
        """`read` or `written`, whichever is not possible now -> since when, and why."""
        self.looked = False
        """Whether the store was read once in this run, or is known to have no alerts yet."""
        self._readable_since: datetime | None = None
        self._spans: list[tuple[datetime, datetime]] = []
        """When the store could be read, in this run, but for the span that lasts."""
        if journal.meta(_READ_ONCE) or journal.book.find(ALERTS, "kept", "1"):
            store.expect()

    @property
    def readable(self) -> bool:
        return "read" not in self.away

    def readable_time(self, since: datetime) -> timedelta:
        """Return for how long of the time since then we ran and the store was there and could be read."""
        spans = list(self._spans)
        if self._readable_since is not None:
            spans.append((self._readable_since, self._now()))
        return sum((end - max(start, since) for start, end in spans if end > since), timedelta())

    async def refresh(self) -> bool:
        """Take in what other programs wrote; True when anything changed, or the store is back.

        Raises StoreFull.
        """
        try:
            changed = await asyncio.get_running_loop().run_in_executor(self._worker, self._store.refresh)
        except StoreUnavailable as error:
            self.lost("read", error)
            return False
        self.found("read")
        back = self._readable_since is None and not self._store.absent
        self._note_read()
        return changed or back

    def _note_read(self) -> None:
        """Take note of a refresh that succeeded; the first one says what there is."""
        store, absent = self._store, self._store.absent
        if absent and not self.looked:
            logger.warning("{} is not there; until it is, fills are decided without alerts", store.name)
        if not absent and self._readable_since is None:
            self._readable_since = self._now()
            alerts = store.alerts()
            alerters = len({alert.id.alerter for alert in alerts})
            logger.info("{} alerts of {} alerters read from {}", len(alerts), alerters, store.name)
            if not self._journal.meta(_READ_ONCE):
                self._journal.set_meta(_READ_ONCE, "1")
        self.looked = True

    async def run(self, on_change: Callable[[], None]) -> None:
        """Refresh for ever, a few times a second: a stat costs microseconds and works on every system."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if await self.refresh():
                on_change()

    def lost(self, verb: str, error: StoreUnavailable) -> None:
        """Note that the store cannot be `read` or `written`; raises StoreFull, which is not waited for."""
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(f"{error}; free space, then start the tracker again") from error
        before = self.away.get(verb)
        changed = before is None or before.reason != str(error)
        self.away[verb] = StoreOutage(before.since if before is not None else self._now(), str(error))
        if changed:
            logger.warning("the alert store cannot be {}: {}", verb, error)
        if verb == "read":
            self._stop_reading()
            if changed:
                self._on_outage(self.away[verb])

    def _stop_reading(self) -> None:
        if self._readable_since is not None:
            self._spans = [*self._spans, (self._readable_since, self._now())][-_SPANS_KEPT:]
            self._readable_since = None

    def found(self, verb: str) -> None:
        """Note that the store can be `read` or `written`."""
        if self.away.pop(verb, None) is not None:
            logger.info("the alert store can be {} again", verb)
            if verb == "read":
                self._on_outage(None)
