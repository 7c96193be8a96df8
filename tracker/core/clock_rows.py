"""The rows of state about the broker's clock and ours.

Rows are frozen, as those of `state_rows`; they decide nothing.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class EarlierSkew(Struct, frozen=True):
    """Hold how far our clock was ahead until it was set."""

    skew_seconds: float
    until: datetime
    """By the broker's clock."""


class BrokerClock(Struct, frozen=True):
    """Hold the broker's time as of our last request."""

    told: datetime
    """Cut to the second by the broker."""
    received_at: datetime
    """By our clock."""
    skew_seconds: float = 0.0
    """How far our clock is ahead of the broker's; 0 where they agree as far as whole seconds show."""
    earlier: tuple[EarlierSkew, ...] = ()
    """The same before each time that it was set, oldest first."""
