"""Fold the executions of one contract into what is held and who owns it.

Owns the arithmetic of opening, closing and ownership, as a pure function of a starting quantity and the
entries in the order of their execution times. It never looks anything up.

Rules
- An entry against the sign of what is held closes, as far as there is something to close; the rest opens.
- An opening part belongs, whole, to the alerts that the entry matched, as one group: they mirror one fill.
- A closing part is taken from the group that the order names, else from the oldest group on. What no group
  owns is closed last and touches no alert.
- The groups together never exceed what is held, so a position that reaches zero leaves no owner.
- The average price is that of the openings since the group began; a sale does not change it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from tracker.core.model import ZERO, AlertId, Moment
from tracker.core.state_rows import AlertPosition, Holding, Lot


class Movement(Struct, frozen=True):
    """State one movement of a contract: an execution, or a departure without one."""

    moment: Moment
    exec_id: str
    signed: Decimal
    price: Decimal
    owners: tuple[AlertId, ...] = ()
    """The alerts that an opening part belongs to."""
    named: str = ""
    """ALERTER/TICKER of the order's reference, casefolded: its groups are closed first."""
    departed: str = ""
    """Why the whole position went; `signed` and `price` mean nothing then."""


class Split(Struct, frozen=True):
    """Say how an entry was split, and whom it touched."""

    opening: Decimal
    closing: Decimal
    touched: tuple[AlertId, ...]


def step(holding: Holding, entry: Movement) -> tuple[Holding, Split]:
    """Add one entry that is later than all folded so far."""
    signed = -holding.held if entry.departed else entry.signed
    closing = _toward_zero(holding.held, signed)
    opening = signed - closing
    groups, touched = _close(holding.groups, abs(closing), entry) if closing else (holding.groups, ())
    if opening and entry.owners:
        groups = _open(groups, opening, entry)
        touched = (*touched, *(owner for owner in entry.owners if owner not in touched))
    held = holding.held + signed
    owned = sum((abs(group.quantity) for group in groups), ZERO)
    assert owned <= abs(held), f"more owned ({owned}) than held ({held})"
    stakes = _stakes(holding.stakes, groups, touched, entry)
    after = replace(
        holding,
        held=held,
        groups=groups,
        stakes=stakes,
        last=entry.moment,
        departed=bool(entry.departed),
    )
    return after, Split(opening, closing, touched)


def at_base(holding: Holding) -> Holding:
    """Return what was held before the first entry."""
    return replace(holding, held=holding.base, groups=(), stakes=(), last=None, departed=False)


def fold(holding: Holding, entries: Iterable[Movement]) -> tuple[Holding, list[Split]]:
    """Add entries that are later than all folded so far, and in the order of their moments."""
    parts: list[Split] = []
    for entry in entries:
        assert holding.last is None or holding.last <= entry.moment, "entries out of order"
        holding, split = step(holding, entry)
        parts.append(split)
    return holding, parts


def _toward_zero(held: Decimal, signed: Decimal) -> Decimal:
    if held == 0 or (held > 0) == (signed > 0):
        return ZERO
    return min(abs(held), abs(signed)).copy_sign(signed)


def _close(
    groups: Sequence[Lot], quantity: Decimal, entry: Movement
) -> tuple[tuple[Lot, ...], tuple[AlertId, ...]]:
    """Take `quantity` (positive) from the groups, those that the order names first, then the oldest."""
    left = quantity
    touched: dict[AlertId, None] = {}
    remaining: dict[tuple[AlertId, ...], Lot | None] = {}
    for group in sorted(groups, key=lambda group: (not _names(group, entry.named), group.opened)):
        taken = min(abs(group.quantity), left)
        if not taken:
            continue
        left -= taken
        touched.update(dict.fromkeys(group.owners))
        rest = group.quantity - taken.copy_sign(group.quantity)
        remaining[group.owners] = replace(group, quantity=rest) if rest else None
    kept = (remaining.get(group.owners, group) for group in groups)
    return tuple(group for group in kept if group is not None), tuple(touched)


def _names(group: Lot, named: str) -> bool:
    return bool(named) and any(owner.name.casefold() == named for owner in group.owners)


def _open(groups: tuple[Lot, ...], opening: Decimal, entry: Movement) -> tuple[Lot, ...]:
    for at, group in enumerate(groups):
        if group.owners == entry.owners:
            quantity = group.quantity + opening
            cost = abs(group.quantity) * group.avg_price + abs(opening) * entry.price
            grown = Lot(group.owners, quantity, cost / abs(quantity), group.opened)
            return (*groups[:at], grown, *groups[at + 1 :])
    return (*groups, Lot(entry.owners, opening, entry.price, entry.moment))


def _stakes(
    before: tuple[AlertPosition, ...], groups: Sequence[Lot], touched: Sequence[AlertId], entry: Movement
) -> tuple[AlertPosition, ...]:
    if not touched:
        return before
    stakes = {stake.alert: stake for stake in before}
    for alert in touched:
        mine = [group for group in groups if alert in group.owners]
        quantity = sum((group.quantity for group in mine), ZERO)
        old = stakes.get(alert)
        if mine:
            size = sum((abs(group.quantity) for group in mine), ZERO)
            cost = sum((abs(group.quantity) * group.avg_price for group in mine), ZERO)
            others = {owner.name for group in mine for owner in group.owners if owner != alert}
            opened = min(group.opened.time for group in mine)
            stakes[alert] = AlertPosition(
                alert,
                quantity,
                cost / size,
                opened,
                None,
                None,
                entry.exec_id,
                entry.moment,
                tuple(sorted(others)),
            )
        else:
            assert old is not None, "a closed stake was open before"
            stakes[alert] = replace(
                old,
                quantity=ZERO,
                closed_at=entry.moment.time,
                closed_by=entry.departed or None,
                last_exec_id=entry.exec_id or old.last_exec_id,
                last=entry.moment,
            )
    return tuple(stakes.values())
