"""Measure how long a change of an alert takes from the broker's frame to the file.

Owns which change waits since when. It writes nothing and decides nothing. What is written again because
another program undid it is no change, so it is not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tracker.core.alert_updates import EventKind, TrackerEvent, instant
from tracker.core.model import AlertUpdate, JsonValue, Outcome

_NEWS = (EventKind.OPENED, EventKind.CHANGED, EventKind.CLOSED)


class FrameToFile:
    """Join what was decided with what was written; the alert store bounds how much can wait."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], datetime] = {}
        """(ALERTER/TICKER, created_at) -> receipt of the oldest frame whose news is not written yet."""

    def decided(self, event: TrackerEvent) -> None:
        """Take an event; those that change what an alert shows begin a measurement."""
        if event.kind in _NEWS:
            self._since.setdefault((str(event.what["alert"]), str(event.what["created_at"])), event.at)

    def written(
        self, updates: Sequence[AlertUpdate], outcomes: Sequence[Outcome], at: datetime
    ) -> list[dict[str, JsonValue]]:
        """Return an event for each change that is in the file since `at`; the store has synced it by then."""
        events: list[dict[str, JsonValue]] = []
        for update, outcome in zip(updates, outcomes, strict=True):
            alert = update.alert
            since = self._since.pop((alert.name, alert.created_at), None)
            if since is not None and outcome is Outcome.APPLIED:
                events.append(
                    {
                        "event": "written",
                        "at": instant(at),
                        "alert": alert.name,
                        "created_at": alert.created_at,
                        "seconds": max(0.0, round((at - since).total_seconds(), 6)),
                    }
                )
        return events
