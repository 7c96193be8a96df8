"""Whether the alert store can be read and written, and when it changed.

Owns the refresh a few times a second, and since when, and why, the store is away. It takes no decision and
writes nothing: what changed is compared by others.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from loguru import logger

from tracker.core.model import StoreUnavailable
from tracker.core.ports import AlertStore

_WATCH_SECONDS: Final = 0.25


class StoreFull(Exception):
    """The disk of the alert store is full; nothing was half done."""


@dataclass(frozen=True, slots=True)
class StoreOutage:
    """Say since when the store is away, and why."""

    since: datetime
    reason: str


class StoreWatch:
    """Watch one alert store; `worker` runs its I/O, one call at a time."""

    def __init__(self, store: AlertStore, worker: Executor, *, now: Callable[[], datetime]) -> None:
        self._store = store
        self._worker = worker
        self._now = now
        self.away: dict[str, StoreOutage] = {}
        """`read` or `written`, whichever is not possible now -> since when, and why."""

    @property
    def readable(self) -> bool:
        return "read" not in self.away

    async def refresh(self) -> bool:
        """Take in what other programs wrote; True when anything changed. Raises StoreFull."""
        try:
            changed = await asyncio.get_running_loop().run_in_executor(self._worker, self._store.refresh)
        except StoreUnavailable as error:
            self.lost("read", error)
            return False
        self.found("read")
        return changed

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
        if before is None or before.reason != str(error):
            logger.warning("the alert store cannot be {}: {}", verb, error)
        self.away[verb] = StoreOutage(before.since if before is not None else self._now(), str(error))

    def found(self, verb: str) -> None:
        """Note that the store can be `read` or `written`."""
        if self.away.pop(verb, None) is not None:
            logger.info("the alert store can be {} again", verb)
