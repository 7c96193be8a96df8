"""Fold a contract again from its opening balance, to find what each decision changed.

It stores nothing; only `why` uses the result.
"""

from __future__ import annotations

from tracker.core.alerters import AlerterNames
from tracker.core.entries import ContractEntries
from tracker.core.lots import Folded, at_opening_balance, fold
from tracker.core.ownership_rows import OwnershipDecision
from tracker.core.state import EXECUTIONS, HOLDINGS, LedgerState
from tracker.core.state_rows import ContractKey


def past_of(
    state: LedgerState, key: ContractKey, names: AlerterNames
) -> tuple[Folded, list[OwnershipDecision]]:
    """Return the result of folding a contract's entries, and the decisions among them."""
    holding = state.get(HOLDINGS, key.text())
    assert holding is not None, "only what was folded has a past"
    entries = ContractEntries(state, names)
    rows = [row for row in state.find(EXECUTIONS, "contract", key.text()) if row.counted]
    decisions = entries.decisions(key)
    movements = [entries.movement(row) for row in rows if row.folded]
    name_of, adjustments = entries.name_of(holding), entries.adjustments(key)
    return fold(at_opening_balance(holding), movements, decisions, name_of, adjustments), decisions
