"""The rows by which it is known what was missed, and what went without an execution.

Owns what proofs, gaps and departures remember between frames. Rows are frozen, as those of `core.book`; they
decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from msgspec import Struct, field

from tracker.core.model import Moment


class Expiration(Struct, frozen=True):
    """Record that a position went without executions, as two witnesses agreed."""

    account: str
    con_id: int
    moment: Moment
    cause: str
    """expired, or gone."""


class MissingPosition(Struct, frozen=True):
    """Record the first snapshot that lacked a position which the ledger holds."""

    account: str
    con_id: int
    held: Decimal
    ended: Moment


class MissingPositions(Struct, frozen=True):
    """Hold all first witnesses; the link to IBKR has not broken since any of them."""

    rows: tuple[MissingPosition, ...] = ()


class LoginState(Struct, frozen=True):
    """Hold what is known of the connection and of the days behind it."""

    accounts: tuple[str, ...] = ()
    """The accounts that the newest login manages."""
    severed: bool = False
    """The gateway has lost IBKR, and has not said that it is back."""
    judged: date | None = None
    """The last day of which it was decided whether it is a gap."""


class VerifiedUntil(Struct, frozen=True):
    """Hold up to when an account's fills are known to be complete."""

    account: str
    until: Moment | None = None
    """Request of the last sweep that proved it."""
    whole: bool = False
    """Nothing broke since that request."""
    swept: Moment | None = None
    """Request of the last sweep that ended at all, with the link whole."""


class GapEnd(StrEnum):
    """Say what closed a gap."""

    SWEEP = "sweep"
    POSITIONS = "positions"
    FLEX = "flex"
    PERSON = "person"


class Gap(Struct, frozen=True):
    """Hold a day for which it is not proven that no fill was missed."""

    day: date
    opened: Moment
    baseline: Mapping[str, Decimal] = field(default_factory=dict)
    """ContractKey text -> quantity of the last snapshot from before; empty once closed."""
    closed_at: datetime | None = None
    closed_how: str = ""
    """A GapEnd; empty while open."""
