"""The days of a life that ended while nobody watched, told by the clock alone.

Owns that count. In a life a day ends only while the process is away, so each of them is unproven until its
positions show that nothing was missed on it, which is checked against the broker's truth.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from tests.sim.clock import NEW_YORK
from tracker.core.journal_entries import LinkUp, read_entry
from tracker.core.model import Frame


class EndedDays:
    """Count days from the first connection on."""

    def __init__(self) -> None:
        self._first: date | None = None
        self._last: date | None = None

    def take(self, frames: Iterable[Frame]) -> None:
        """Take in frames that were decided."""
        for frame in frames:
            self._last = _day(frame.received_at)
            if self._first is None and isinstance(read_entry(frame), LinkUp):
                self._first = self._last

    @property
    def days(self) -> frozenset[date]:
        """Every day that was over with the last frame."""
        if self._first is None or self._last is None:
            return frozenset()
        count = (self._last - self._first).days
        return frozenset(self._first + timedelta(days=each) for each in range(count))


def _day(moment: datetime) -> date:
    return moment.astimezone(NEW_YORK).date()
