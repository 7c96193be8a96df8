"""The row of one lot: what is left of the opening part of one execution.

Rows are frozen, as those of `state_rows`; they decide nothing.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct, field

from tracker.core.model import AlertId, Moment
from tracker.core.part_rows import LotPart


class Lot(Struct, frozen=True):
    """Hold what is left of the opening part of one execution."""

    owners: tuple[AlertId, ...]
    """None, one or several alerts, which all shrink with it."""
    quantity: Decimal
    """Signed."""
    price: Decimal = field(name="avg_price")
    opened: Moment
    exec_id: str = ""
    """Empty in a lot from before lots were kept by execution, as are the two below."""
    order: str = ""
    """The order's key: its fills are decided together, see `ownership_rows.OrderOwners`."""
    reference: tuple[str, ...] = ()
    """The name keys that its order's reference may mean."""
    surplus: bool = False
    """Whether an adjustment of unknown cause added it: it is sold before owned lots."""
    part: LotPart | None = None
    """Its part of the fill; None where it is all, or the rest, of its fill."""
