"""Say how much an order asks for, how much of that is filled over its accounts, and how much still works.

Owns what makes an order filled. Each account's and contract's part of an order is summed by `orders`.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from tracker.core.model import ZERO, Totals
from tracker.core.state import LINKS, PROOFS, TOTALS, LedgerState
from tracker.core.state_rows import BookedExecution, OrderState


def order_total(order: OrderState | None, booked: BookedExecution) -> Decimal | None:
    """Return the quantity that the order asks for in this contract; None if that is unknown.

    An order for several accounts names none of them, and its total spans all.
    """
    if order is None or order.total is None:
        return None
    execution = booked.execution
    if order.account and order.account != execution.account:
        return None
    if not order.legs:
        return order.total
    ratios = [ratio for con_id, ratio in order.legs if con_id == execution.contract.con_id]
    # The ratio of a leg that is sold is negative.
    return order.total * abs(ratios[0]) if ratios else None


def unsaid_size(order: OrderState | None, totals: Totals) -> Decimal | None:
    """Return what a filled order filled, which is its size where no message gives one; None for any other."""
    if order is None or order.status != "Filled" or order.total is not None or order.legs:
        return None
    return max(totals.most, totals.filled)


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
    if totals.most >= total and order.broker_filled is None:
        # It is filled, though no status said so; only a later status could say that it works again.
        return ZERO
    filled = totals.filled
    if order.total and order.broker_filled is not None:
        # The broker's count includes what was filled before the first day that we know.
        filled = max(filled, order.broker_filled * total / order.total)
    return max(total - filled, ZERO)
