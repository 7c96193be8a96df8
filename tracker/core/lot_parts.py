"""Divide the lots of a fill into parts, and join parts to the rest again.

Owns the lots that result, as pure functions; `lot_changes` changes what alerts own.

- A part is cut from what is left of its fill and in no part yet; if too little is left, it is what is left.
- A part that rejoins goes to the owners of the lot it was cut from; if these are the same, they become one.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from msgspec.structs import replace

from tracker.core.lot_rows import Lot
from tracker.core.model import AlertId, correction_parts
from tracker.core.ownership_rows import OwnershipDecision
from tracker.core.part_rows import LotPart


class Moved(NamedTuple):
    """Hold what changed owners: as a lot of the old owners, and as a lot of the new ones."""

    before: Lot
    after: Lot


def fill_name(exec_id: str) -> str:
    """Return the part of the execId that all versions of an execution share."""
    parts = correction_parts(exec_id)
    return exec_id if parts is None else parts.root


def cut(lots: Sequence[Lot], decision: OwnershipDecision) -> tuple[list[Lot], list[Moved]]:
    """Cut a part off what is left of a fill; returns the lots, and what changed owners."""
    left = decision.quantity
    owners = tuple(one.alert for one in decision.alerts)
    after: list[Lot] = []
    moved: list[Moved] = []
    for lot in lots:
        if not left or lot.part is not None or not _is_of(lot, decision.order, decision.fill):
            after.append(lot)
            continue
        quantity = min(left, abs(lot.quantity)).copy_sign(lot.quantity)
        left -= abs(quantity)
        part = replace(lot, owners=owners, quantity=quantity, part=LotPart(decision.seq, lot.owners))
        moved.append(Moved(replace(lot, quantity=quantity), part))
        rest = replace(lot, quantity=lot.quantity - quantity)
        after += [rest, part] if rest.quantity else [part]
    return after, moved


def rejoin(lots: Sequence[Lot], decision: OwnershipDecision) -> tuple[list[Lot], list[Moved]]:
    """Join the parts of an order that were given with one frame to their rests; returns as `cut` does."""
    after: list[Lot] = []
    moved: list[Moved] = []
    for lot in lots:
        part = lot.part
        if part is None or part.seq != decision.undone or lot.order != decision.order:
            after.append(lot)
            continue
        back = replace(lot, owners=part.cut_from, part=None)
        moved.append(Moved(lot, back))
        after.append(back)
    for _, back in moved:
        after = _joined(after, back)
    return after, moved


def handed_on(lot: Lot, old: AlertId, new: AlertId) -> Lot:
    """Return a lot with one alert in the place of another, also as whose it was before a part was cut."""
    part = lot.part
    if part is not None:
        part = replace(part, cut_from=_renamed(part.cut_from, old, new))
    return replace(lot, owners=_renamed(lot.owners, old, new), part=part)


def _renamed(owners: Sequence[AlertId], old: AlertId, new: AlertId) -> tuple[AlertId, ...]:
    return tuple(dict.fromkeys(new if owner == old else owner for owner in owners))


def _joined(lots: Sequence[Lot], back: Lot) -> list[Lot]:
    """Make one lot of all that is no part of the fill and has the same owners."""
    same = [lot for lot in lots if replace(lot, quantity=back.quantity) == back]
    whole = replace(back, quantity=sum((lot.quantity for lot in same), Decimal(0)))
    first = next(at for at, lot in enumerate(lots) if lot in same)
    return [*lots[:first], whole, *(lot for lot in lots[first:] if lot not in same)]


def _is_of(lot: Lot, order: str, fill: str) -> bool:
    return lot.order == order and fill_name(lot.exec_id) == fill
