"""What rows of state keep of the parts into which a person divided a fill.

Rows are frozen, as those of `state_rows`; they decide nothing.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from tracker.core.model import AlertId


class FillPart(Struct, frozen=True):
    """Hold a part of a fill that a person gave to one alert."""

    alert: AlertId
    quantity: Decimal
    """Positive."""
    seq: int
    """The frame with which it was given."""


class LotPart(Struct, frozen=True):
    """Say that a lot is a part of its fill, which no later decision about the whole order moves."""

    seq: int
    """The frame with which it was given."""
    cut_from: tuple[AlertId, ...] = ()
    """Who owned what it was cut from, and gets it back."""
