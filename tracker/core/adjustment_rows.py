"""The rows of state about positions that no execution explains.

Owns unexplained differences and position adjustments. Rows are frozen, like those of `state_rows`; they
decide nothing.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from msgspec import Struct

from tracker.core.lot_rows import Lot
from tracker.core.model import ZERO, Moment
from tracker.core.state_rows import AlertPosition

ADJUSTED: Final = "adjusted"
"""The cause of an adjustment whose real cause is unknown."""
SPLIT: Final = "split"
TRANSFERRED: Final = "transferred"


class Adjustment(Struct, frozen=True):
    """Hold what the broker held at a place among the executions, where the executions do not explain it.

    It is a quantity, not a change: the change is what the executions before its place do not explain. Only a
    report names a change, and what was held then need not be known in full.
    """

    account: str
    con_id: int
    seq: int
    """The frame with which it was made, which is also its ID."""
    place: Moment
    """The second that it comes after, and the frame up to which executions of this second are before it, as
    for a decision."""
    cause: str
    held: Decimal | None = None
    """What was held; None if only the ratio is known."""
    ratio: Decimal | None = None
    """New units for one old unit: scales every lot, and its price with it."""
    note: str = ""
    at: datetime | None = None
    """When it was made, by our clock."""
    told: bool = False
    """Whether a person or a report gave its cause; else two answers of the broker agree."""
    undone: bool = False
    amount: Decimal | None = None
    """By how much the broker's answer differed; None where none was compared."""
    replaced_by: str = ""
    """The adjustment that gives the cause, made after this one; empty while there is none."""
    into: str = ""
    """Contract and account, as `ContractKey.text`, into which all of it moves, with its lots and owners."""
    came_from: str = ""
    """Contract and account, in the same form, from which `moved` came; `ratio` is new units for one old."""
    moved: Decimal = ZERO
    """What was held there, in old units, like the lots and the alerts' positions in them."""
    lots: tuple[Lot, ...] = ()
    alerts: tuple[AlertPosition, ...] = ()
    change: Decimal | None = None
    """By how much it changes what was held, as a report says; never to the other side of zero. None if `held`
    or `ratio` says it."""

    @property
    def settled(self) -> bool:
        return self.seq > 0

    @property
    def name(self) -> str:
        return str(self.seq)

    @property
    def as_difference(self) -> Difference:
        """Return the difference that became this adjustment, which two answers agreed on."""
        assert self.held is not None, "an answer said what was held"
        assert self.amount is not None, "an answer was compared"
        here = (self.account, self.con_id)
        return Difference(*here, self.held, self.amount, self.place, self.place, over=True)


class Difference(Struct, frozen=True):
    """Hold a position that a certain answer lists and no execution explains, until a second one agrees."""

    account: str
    con_id: int
    listed: Decimal
    """The broker's quantity."""
    amount: Decimal
    """The broker's quantity less ours, later fills included in both."""
    place: Moment
    seen: Moment
    """The end of the answer, by the broker's clock."""
    vanished: bool = False
    """Whether the whole position is gone."""
    after_gap: bool = False
    """Whether a day is unproven, so that missed fills are the likely cause."""
    over: bool = False
    """Whether it became an adjustment, or a later answer did not show it."""

    @property
    def provisional(self) -> Adjustment:
        """Return the adjustment that it becomes if a second answer agrees; until then see `adjusting`."""
        return Adjustment(self.account, self.con_id, 0, self.place, ADJUSTED, self.listed)
