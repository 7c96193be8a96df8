"""Find what was held of a contract that was never traded, before a move brought lots into it.

Owns the quantities that successive certain answers listed for such contracts. A merger or a new account
number moves lots into a contract without any execution. What was held before that is what the last answer
before it listed.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from tracker.core.answer_rows import CertainAnswers, ListedChange, PositionAnswer
from tracker.core.model import ZERO, Moment
from tracker.core.state import HOLDINGS, LedgerState

KEPT: Final = 64
"""The most changes that are kept of an account."""


def changes_with(state: LedgerState, row: CertainAnswers, answer: PositionAnswer) -> tuple[ListedChange, ...]:
    """Return the changes of an account with those that its next certain answer shows."""
    if row.newest is None or row.newest.rows == answer.rows:
        return row.changes
    before, now = row.newest.rows, answer.rows
    found = [
        ListedChange(key, before.get(key, ZERO), answer.asked)
        for key in sorted({*before, *now})
        if before.get(key, ZERO) != now.get(key, ZERO) and state.get(HOLDINGS, key) is None
    ]
    return (*row.changes, *found)[-KEPT:]


def held_before(
    row: CertainAnswers | None,
    contract: str,
    contains: Callable[[Moment], bool],
    listed: Decimal | None = None,
) -> Decimal | None:
    """Return the quantity of the last certain answer that does not contain a move; None if all contain it.

    `contains` decides that by when an answer was requested; `listed` is the quantity of the last answer
    before the first execution, if there is one.
    """
    if row is None or row.newest is None or contains(row.began or row.newest.asked):
        return None
    changes = (one for one in row.changes if one.contract == contract and contains(one.asked))
    first = next(changes, None)
    if first is not None:
        return first.before
    return row.newest.rows.get(contract, ZERO) if listed is None else listed


def listed_first(row: CertainAnswers | None, contract: str) -> Decimal:
    """Return the quantity of the first certain answer; zero where there is none."""
    if row is None or row.newest is None:
        return ZERO
    changes = (one.before for one in row.changes if one.contract == contract)
    return next(changes, row.newest.rows.get(contract, ZERO))


def on_side_of(balance: Decimal, listed: Decimal) -> Decimal:
    """Return a balance before a move, zero if it has another side than what was listed with the move.

    Where more came than was listed, some of it went again: that makes no position of the other side.
    """
    return balance if balance * listed > 0 else ZERO
