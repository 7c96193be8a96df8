"""The one clock of a simulated life."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

START: Final = datetime(2025, 11, 18, 15, 0, tzinfo=UTC)
NEW_YORK: Final = ZoneInfo("America/New_York")
"""The zone of the TWS login and of the neighbour's created_at."""


class SimClock:
    """Tell the time, the broker's and that of the tracker's machine; only the world moves it."""

    def __init__(self) -> None:
        self._now = START
        self.ahead = timedelta(0)
        """How far the machine's clock is ahead of the right time."""
        self.set_at = START - timedelta(days=1)
        """When it was set last, by the right time."""

    def now(self) -> datetime:
        """Return the right time, aware, in UTC."""
        return self._now

    def host(self) -> datetime:
        """Return what the clock of the tracker's machine shows, aware, in UTC."""
        return self._now + self.ahead

    def set(self, by: timedelta) -> None:
        """Set the clock of the tracker's machine, forward or back."""
        self.ahead += by
        self.set_at = self._now

    def advance(self, seconds: float) -> None:
        """Let time pass; always to a microsecond of its own."""
        self._now += timedelta(seconds=max(seconds, 0.000_001))
