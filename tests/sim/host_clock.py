"""The clock of the tracker's machine, which is set now and then in some lives.

Owns when it is set and by how much. The alert writer shares it. A clock is set only while the tracker is
connected and has nothing left to do, and never such that a time which was written before can be one that was
written after: no tracker could say which of the two a record means.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Final

from tests.sim.clock import SimClock
from tests.sim.options import Options

SEEDS: Final = range(3_000_000_000, 4_000_000_000)
"""The seeds of the lives in which the clock is set."""
_CHANCE: Final = 0.05
_STEPS: Final = (7, 40, 300, 1800, 3600)
"""Seconds by which it is set, forward or back."""
_MOST: Final = 3600
"""Seconds by which it is off at most."""
_UNSURE: Final = timedelta(seconds=13)
"""How long before the setting a time must have been written at least: ten seconds until the tracker notices,
and what the broker's whole seconds leave open."""


def of(seed: int, clock: SimClock) -> HostClock | None:
    """Return what sets the clock in the life of a seed; None where nobody does."""
    return HostClock(seed, clock) if seed in SEEDS else None


def fit(seed: int, options: Options) -> Options:
    """Return the options with which the life of a seed is lived.

    Where the clock is set, its writers date every record with the time of now: one that is dated back cannot
    be told from one that was written before the setting.
    """
    return replace(options, odd_creations=0.0) if seed in SEEDS else options


class HostClock:
    """Set the clock of one life."""

    def __init__(self, seed: int, clock: SimClock) -> None:
        self._rng = Random(f"host clock of {seed}")
        self._clock = clock
        self._read_at = clock.now()

    def record_read(self) -> None:
        """Take in that the tracker reads something new in the store."""
        self._read_at = self._clock.now()

    @property
    def due(self) -> bool:
        """Return whether it is set now, by chance."""
        return self._rng.random() < _CHANCE

    def set(self, written_at: datetime) -> timedelta:
        """Set it, after a quiet time where a time was written lately; return by how much.

        `written_at` is when a record was last dated.
        """
        ahead = self._clock.ahead.total_seconds()
        by = float(self._rng.choice((-1, 1)) * self._rng.choice(_STEPS))
        if abs(ahead + by) > _MOST or (ahead and self._rng.random() < 0.3):
            by = -ahead
        quiet = max(written_at, self._read_at) + _UNSURE + timedelta(seconds=max(-by, 0)) - self._clock.now()
        if quiet > timedelta(0):
            self._clock.advance(quiet.total_seconds())
        self._clock.set(timedelta(seconds=by))
        return timedelta(seconds=by)
