"""Scale quantities by the ratio of a split or merger.

Owns the rounding, as pure functions: 1:3 has no exact decimal, and yet 27 units become 9 by it, not
8.999999999999999999999999999, and three lots of one unit become one unit together.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal
from typing import Final

from msgspec.structs import replace

from tracker.core.lot_rows import Lot
from tracker.core.model import ZERO, AlertId

_PLACES: Final = Decimal("1e-12")
"""More than the broker's quantities have, and fewer than the digits in which a ratio is exact."""
_ALIKE: Final = Decimal("0.001")
"""By how much, as a part of one, two ratios may differ and be the same."""
_WIDE: Final = Context(prec=60)


def scaled(quantity: Decimal, ratio: Decimal) -> Decimal:
    """Return what a ratio of new units for one old makes of a quantity."""
    return _rounded(quantity * ratio)


def unscaled(quantity: Decimal, ratio: Decimal) -> Decimal:
    """Return what a ratio made a quantity of."""
    return _rounded(quantity / ratio)


def changed(quantity: Decimal, change: Decimal) -> Decimal:
    """Return what a change makes of a quantity, which goes to zero at most."""
    after = quantity + change
    return after if quantity * after >= 0 else ZERO


def is_same_ratio(one: Decimal | None, other: Decimal) -> bool:
    """Return whether two ratios are the same; one may be from quantities that the broker rounded."""
    return one is not None and abs(one / other - 1) < _ALIKE


def scaled_lots(lots: Iterable[Lot], ratio: Decimal) -> tuple[Lot, ...]:
    """Scale lots of one contract, and their prices; together they are what the ratio makes of their sum."""
    found, before, after = [], ZERO, ZERO
    for lot in lots:
        before += lot.quantity
        quantity = scaled(before, ratio) - after
        after += quantity
        found.append(replace(lot, quantity=quantity, price=lot.price / ratio))
    return tuple(found)


def owned_of(lots: Iterable[Lot], alert: AlertId) -> Decimal:
    """Return what an alert owns of these lots."""
    return sum((lot.quantity for lot in lots if alert in lot.owners), ZERO)


def _rounded(quantity: Decimal) -> Decimal:
    rounded = _WIDE.quantize(quantity, _PLACES)
    return quantity if quantity == rounded else rounded.normalize() + ZERO
