"""What alerts own of one contract, for the oracle: lots that were opened together, and each alert's position.

Owns the sums of the expectation. It never looks at the tracker's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from tests.sim.broker import AccountContract
from tracker.core.model import AlertId
from tracker.paper.model import PaperExecution

ZERO: Final = Decimal(0)

Moment = tuple[datetime, int]


@dataclass(frozen=True, slots=True)
class Known:
    """Hold one execution that was taken in."""

    truth: PaperExecution
    seq: int
    received_at: datetime
    time: datetime
    """As the tracker can know it: the receipt, where the text names a zone that nobody knows."""

    @property
    def root(self) -> tuple[str, ...]:
        """Name the execution whatever its version."""
        parts = self.truth.exec_id.split(".")
        return (self.truth.account, *(parts[:3] if len(parts) == 4 else parts))

    @property
    def key(self) -> AccountContract:
        return self.truth.account, self.truth.contract.con_id

    @property
    def order(self) -> tuple[int, ...]:
        truth = self.truth
        return (truth.perm_id,) if truth.perm_id else (truth.client_id, truth.order_id)


@dataclass(slots=True)
class Lot:
    """Hold what the same alerts opened together."""

    owners: tuple[AlertId, ...]
    quantity: Decimal
    cost: Decimal
    """Of the openings, whatever was sold since."""
    opened_quantity: Decimal
    opened: Moment


@dataclass(frozen=True, slots=True)
class OwnedPosition:
    """Hold what one alert has, or had, of one contract."""

    quantity: Decimal
    avg_price: Decimal
    opened_at: datetime
    last: Moment
    by: Known
    """The execution that touched it last."""
    others: frozenset[str]


def close_lots(lots: list[Lot], closing: Decimal, order_ref: str) -> set[AlertId]:
    """Take a closing quantity from the lots: from what the order names first, else from the oldest."""
    touched: set[AlertId] = set()
    named = order_ref.removeprefix("tracker:").lower()
    by_age = sorted(lots, key=lambda lot: lot.opened)
    first = [lot for lot in by_age if any(owner.name.lower() == named for owner in lot.owners)]
    for lot in [*first, *(lot for lot in by_age if lot not in first)]:
        taken = min(closing, abs(lot.quantity))
        if taken:
            closing -= taken
            lot.quantity -= taken.copy_sign(lot.quantity)
            touched |= set(lot.owners)
    return touched


def open_lot(
    lots: list[Lot], owners: tuple[AlertId, ...], signed: Decimal, price: Decimal, moment: Moment
) -> None:
    """Add what was opened to the owners' lot."""
    size = abs(signed)
    for lot in lots:
        if lot.owners == owners:
            # What was sold went at the average, so the average of the rest is unchanged by it.
            lot.cost = lot.cost / lot.opened_quantity * abs(lot.quantity) + size * price
            lot.quantity += signed
            lot.opened_quantity = abs(lot.quantity)
            return
    lots.append(Lot(owners, signed, size * price, size, moment))


def owned_position(
    alert: AlertId, lots: Sequence[Lot], before: OwnedPosition | None, by: Known, moment: Moment
) -> OwnedPosition:
    """Return what an alert has now, or had last."""
    mine = [lot for lot in lots if alert in lot.owners]
    if not mine:
        assert before is not None
        return OwnedPosition(ZERO, before.avg_price, before.opened_at, moment, by, before.others)
    size = sum((abs(lot.quantity) for lot in mine), ZERO)
    cost = sum((lot.cost / lot.opened_quantity * abs(lot.quantity) for lot in mine), ZERO)
    return OwnedPosition(
        sum((lot.quantity for lot in mine), ZERO),
        cost / size,
        min(lot.opened[0] for lot in mine),
        moment,
        by,
        frozenset(owner.name for lot in mine for owner in lot.owners if owner != alert),
    )
