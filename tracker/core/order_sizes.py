"""Say how much an order asks for, how much of that is filled over its accounts, and how much still works.

Owns what makes an order filled. Each account's and contract's part of an order is summed by `orders`.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from tracker.core.model import ZERO, Totals
from tracker.core.state import LINKS, PROOFS, TOTALS, LedgerState
from tracker.core.state_rows import BookedExecution, OrderState


def order_total(order: OrderState | None, booked: BookedExecution, totals: Totals) -> Decimal | None:
    """Return the quantity that the order asks for in this contract; None if that is unknown.

    `totals` are those of all its accounts, see `over_accounts`. An order for several accounts names none of
    them, and its size spans all.
    """
    execution = booked.execution
    if order is None or (order.account and order.account != execution.account):
        return None
    size = _size(order, max(totals.most, totals.filled))
    if size is None or not order.legs:
        return size
    ratios = [ratio for con_id, ratio in order.legs if con_id == execution.contract.con_id]
    # The ratio of a leg that is sold is negative.
    return size * abs(ratios[0]) if ratios else None


def _size(order: OrderState, most: Decimal) -> Decimal | None:
    """Return an order's own size, else what it filled as a completed order.

    The broker leaves out the size of an order that it lists as filled. One that filled more than its own
    size, or less and never all of it, was changed while nobody heard it; one that once filled all of it lost
    something by a correction. `most` is what it ever filled by the fills known now: some come after the list.
    """
    own, listed = order.total, order.listed
    if own is None:
        if listed is None and order.status == "Filled" and not order.legs:
            return most
        return listed
    if listed is not None and (listed > own or (most < own and order.account and not order.legs)):
        return listed
    return own


def over_accounts(
    state: LedgerState, order: OrderState | None, booked: BookedExecution, totals: Totals
) -> Totals:
    """Return what an order filled in this contract; one that names no account may fill in several, also in
    those that the login does not manage any longer.
    """
    login = state.get(LINKS, "last")
    if order is None or order.account or login is None:
        return totals
    account, _, rest = booked.order.partition(" ")
    filled, most = totals.filled, max(totals.most, totals.filled)
    for other in dict.fromkeys((*login.accounts, *(proof.account for proof in state.every(PROOFS)))):
        row = state.get(TOTALS, f"{other} {rest}") if other != account else None
        if row is not None:
            filled += row.totals.filled
            most += max(row.totals.most, row.totals.filled)
    return replace(totals, filled=filled, most=most)


def remaining(order: OrderState | None, total: Decimal | None, totals: Totals) -> Decimal | None:
    """Return how much of an order still works; None if that is unknown."""
    if order is not None and order.over:
        return ZERO
    if order is None or total is None:
        return None
    if totals.most == total and order.broker_filled is None:
        # It is filled, though no status said so; only a later status could say that it works again. One with
        # more than its size had a fill of which the cancellation was not known yet.
        return ZERO
    filled = totals.filled
    if order.total and order.broker_filled is not None:
        # The broker's count includes what was filled before the first day that we know.
        filled = max(filled, order.broker_filled * total / order.total)
    return max(total - filled, ZERO)
