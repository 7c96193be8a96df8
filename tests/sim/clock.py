"""The one clock of a simulated life."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

START: Final = datetime(2025, 11, 18, 15, 0, tzinfo=UTC)
NEW_YORK: Final = ZoneInfo("America/New_York")
"""The zone of the TWS login and of the neighbour's created_at."""


class SimClock:
    """Tell the time; only the world moves it."""

    def __init__(self) -> None:
        self._now = START

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass; always to a microsecond of its own."""
        self._now += timedelta(seconds=max(seconds, 0.000_001))
