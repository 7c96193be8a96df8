"""Measure how long a change of an alert takes from the broker's frame to the file.

Owns since when each change waits, and the counts of how long they took. It writes nothing and decides
nothing. A value that is written again because another program undid it is not a change, so it is not
measured.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any, Final

from tracker.core.alert_updates import EventKind, TrackerEvent, instant
from tracker.core.model import AlertUpdate, JsonValue, Outcome

_NEWS = (EventKind.OPENED, EventKind.CHANGED, EventKind.CLOSED)

_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)
"""Upper bounds of the histogram in seconds: a fill takes some 10 ms, or minutes if it had to wait."""
_LATEST: Final = 500
"""How many changes are kept for a plot of the day; older ones are dropped."""


class FrameToFile:
    """Join what was decided with what was written; the alert store bounds how much can wait."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], datetime] = {}
        """(ALERTER/TICKER, created_at) -> receipt of the oldest frame whose change is not written yet."""
        self._counts = [0] * (len(_BOUNDS) + 1)
        self._sum = 0.0
        self.latest: deque[tuple[datetime, float]] = deque(maxlen=_LATEST)
        """When each of the latest changes was written, and how many seconds it took."""

    def histogram(self) -> dict[str, Any]:
        """Return how many changes took at most each bound in seconds since the start, with their count and
        sum.
        """
        *upto, count = accumulate(self._counts)
        return {
            "buckets": {f"{bound:g}": number for bound, number in zip(_BOUNDS, upto, strict=True)},
            "count": count,
            "sum": round(self._sum, 6),
        }

    def decided(self, event: TrackerEvent) -> None:
        """Process an event; one that changes what an alert shows begins a measurement."""
        if event.kind in _NEWS:
            self._since.setdefault((str(event.what["alert"]), str(event.what["created_at"])), event.at)

    def written(
        self, updates: Sequence[AlertUpdate], outcomes: Sequence[Outcome], at: datetime
    ) -> list[dict[str, JsonValue]]:
        """Return an event for each change that was in the file, synced, at the moment `at`."""
        events: list[dict[str, JsonValue]] = []
        for update, outcome in zip(updates, outcomes, strict=True):
            alert = update.alert
            since = self._since.pop((alert.name, alert.created_at), None)
            if since is not None and outcome is Outcome.APPLIED:
                seconds = max(0.0, round((at - since).total_seconds(), 6))
                self._counts[bisect_left(_BOUNDS, seconds)] += 1
                self._sum += seconds
                self.latest.append((at, seconds))
                events.append(
                    {
                        "event": "written",
                        "at": instant(at),
                        "alert": alert.name,
                        "created_at": alert.created_at,
                        "seconds": seconds,
                    }
                )
        return events
