"""Sum up the day once a day, and publish that as an event.

Owns when a report is made and what time it covers: each begins where the last one ended, so what happened
while the tracker was down, or after the hour of the report, is in the next one. A day on which nothing
happened is not reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, time, timedelta, tzinfo
from typing import Any, Final

from loguru import logger

from tracker.core.alert_updates import instant
from tracker.core.model import JsonValue
from tracker.queries.report_text import report_line
from tracker.status.protocol import CommandError

_SETTLING: Final = timedelta(minutes=1)
"""How long to wait for the last fills before the hour, and for their fees."""
_LOOK_SECONDS: Final = 10.0


class DailyReport:
    """Publish the reports of one daemon, each day at the time `at` in `zone`.

    `reported` returns the end of the time that the last report covered, None before the first, and `keep`
    stores it for later starts. `sum_up` returns a report from one moment to another and raises CommandError;
    `pass_on` publishes an event.
    """

    def __init__(
        self,
        at: time,
        zone: tzinfo,
        *,
        reported: Callable[[], datetime | None],
        keep: Callable[[datetime], None],
        sum_up: Callable[[datetime, datetime], Awaitable[Mapping[str, Any]]],
        pass_on: Callable[[dict[str, JsonValue]], None],
        now: Callable[[], datetime],
    ) -> None:
        self._at = at
        self._zone = zone
        self._reported = reported
        self._keep = keep
        self._sum_up = sum_up
        self._pass_on = pass_on
        self._now = now
        self._trouble = ""
        """Why the report could not be made, so that it is logged once."""

    async def run(self) -> None:
        """Check again and again whether a report is due; never returns."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Publish the report that is due, if one is."""
        until = self._last_hour(self._now() - _SETTLING)
        since = self._reported()
        if since is None:
            # The first report covers nothing from before the first start.
            self._keep(until)
            return
        if since >= until:
            return
        try:
            answer = await self._sum_up(since, until)
        except CommandError as error:
            if str(error) != self._trouble:
                logger.warning("the day could not be summed up and will be tried again: {}", error)
            self._trouble = str(error)
            return
        self._trouble = ""
        self._keep(until)
        if says := report_line(answer, self._span(since, until)):
            logger.info("report {}", says)
            self._pass_on(
                {
                    "event": "report",
                    "at": instant(self._now()),
                    "since": instant(since),
                    "until": instant(until),
                    "says": says,
                }
            )

    def _last_hour(self, moment: datetime) -> datetime:
        """Return the latest moment at which a report was due."""
        local = moment.astimezone(self._zone)
        day = local.date()
        due = datetime.combine(day, self._at, self._zone)
        if due > local:
            due = datetime.combine(day - timedelta(days=1), self._at, self._zone)
        return due.astimezone(moment.tzinfo)

    def _span(self, since: datetime, until: datetime) -> str:
        """Name the span of time that a report covers; a whole day by its date."""
        first, last = since.astimezone(self._zone), until.astimezone(self._zone)
        midnight = time()
        if (first.time(), last.time()) == (midnight, midnight):
            days = [first.date(), last.date() - timedelta(days=1)]
            return "of " + " to ".join(dict.fromkeys(str(day) for day in days))
        return f"from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}"
