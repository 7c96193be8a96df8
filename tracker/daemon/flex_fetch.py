"""Fetch a Flex report once a morning while a day is not proven complete, and have it imported.

Owns when a report is fetched. IBKR completes the statements of a day during the night, and asks not to be
polled: so one report a day, after seven in New York. The result is logged; a failure is logged with its next
step and tried again the next morning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Final

from loguru import logger

from tracker.gateway.flex_dates import NEW_YORK
from tracker.gateway.flex_service import FetchFailed, FlexService
from tracker.reconcile.flex_import import FlexImport
from tracker.status.protocol import CommandError

_MORNING: Final = time(7)
_LOOK_SECONDS: Final = 60.0


class MorningFetch:
    """Fetch for one daemon.

    `open_gaps` returns the days that are not proven complete, `take_in` imports a report and raises
    CommandError.
    """

    def __init__(
        self,
        service: FlexService,
        into: Path,
        *,
        open_gaps: Callable[[], Sequence[date]],
        take_in: Callable[[Path], Awaitable[FlexImport]],
        now: Callable[[], datetime],
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self._service = service
        self._into = into
        self._open_gaps = open_gaps
        self._take_in = take_in
        self._now = now
        self._look_seconds = look_seconds
        self._tried: date | None = None

    async def run(self) -> None:
        """Look for a gap every minute; never returns."""
        while True:
            await self.look()
            await asyncio.sleep(self._look_seconds)

    async def look(self) -> None:
        """Fetch, if it is time and there is a gap."""
        local = self._now().astimezone(NEW_YORK)
        gaps = self._open_gaps()
        if not gaps or local.time() < _MORNING or local.date() == self._tried:
            return
        self._tried = local.date()
        days = ", ".join(sorted(day.isoformat() for day in gaps))
        logger.info("fetching a Flex report, since fills may be missing on {}", days)
        try:
            await self._service.fetch(self._into)
            found = await self._take_in(self._into)
        except (FetchFailed, CommandError) as error:
            logger.warning("no Flex report was imported: {}", error)
            return
        closed = ", ".join(day.isoformat() for day in found.closes) or "no day"
        logger.info(
            "imported a Flex report: {} new of {} executions, {} voided; proven by it: {}",
            *(found.new, found.executions, found.voided, closed),
        )
        if found.waiting:
            logger.info(
                "not proven yet: {}; a report ends at 20:20 New York, the next one is fetched tomorrow",
                ", ".join(day.isoformat() for day in found.waiting),
            )
