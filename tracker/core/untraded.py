"""Find what was held of a contract that was never traded, before a move brought lots into it.

Owns what certain answers listed of such contracts one after the other. A merger or a new account number
brings lots into a contract without any execution; it stands among the answers, and what was held before it is
what the last answer before it listed.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from tracker.core.answer_rows import CertainAnswers, ListedChange, PositionAnswer
from tracker.core.model import ZERO, Moment
from tracker.core.state import HOLDINGS, LedgerState

KEPT: Final = 64
"""Changes that are kept of an account, at most."""


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
    """Return what the last certain answer listed that does not contain something; None where all do.

    `contains` tells it of an answer by when that was asked for; `listed` is what the last answer before the
    first execution listed, where there is one.
    """
    if row is None or row.newest is None or contains(row.began or row.newest.asked):
        return None
    changes = (one for one in row.changes if one.contract == contract and contains(one.asked))
    first = next(changes, None)
    if first is not None:
        return first.before
    return row.newest.rows.get(contract, ZERO) if listed is None else listed
