"""The rows of state about positions that ended without executions.

Owns the first witnesses, and the expirations that two of them agreed on. Rows are frozen, like those of
`state_rows`; they decide nothing.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from tracker.core.model import Moment


class Expiration(Struct, frozen=True):
    """Record that a position ended without executions, as two witnesses agreed."""

    account: str
    con_id: int
    moment: Moment
    cause: str
    """expired, or gone; exercised or assigned once a report says so."""


class MissingPosition(Struct, frozen=True):
    """Record the first snapshot that lacked a position which the ledger holds."""

    account: str
    con_id: int
    held: Decimal
    ended: Moment


class MissingPositions(Struct, frozen=True):
    """Hold all first witnesses; the link to IBKR has not broken since any of them."""

    rows: tuple[MissingPosition, ...] = ()
