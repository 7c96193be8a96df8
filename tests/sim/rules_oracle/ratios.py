"""Multiply quantities by the ratio of a split or merger (rule 4.5), which may have no exact decimal.

By 1:3 27 units become 9, and three lots of one unit become one unit in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import accumulate, pairwise
from typing import Final

from tests.sim.rules_oracle.facts import ZERO
from tests.sim.rules_oracle.folded import Lot

_DECIMALS: Final = 12
"""More than the broker's quantities have, and fewer than those of a ratio."""


def in_units(quantity: Decimal) -> Decimal:
    """Return a quantity without what an inexact ratio adds to it."""
    return round(quantity, _DECIMALS)


def quantities(lots: Sequence[Lot], ratio: Decimal) -> list[Decimal]:
    """Return what a ratio makes of the quantity of each lot; together that is what it makes of their sum."""
    ends = accumulate((lot.quantity for lot in lots), initial=ZERO)
    return [in_units(end * ratio) - in_units(start * ratio) for start, end in pairwise(ends)]
