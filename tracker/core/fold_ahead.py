"""Fold waiting executions ahead of time, to find who owns a part of a contract with all that is booked.

Owns the holdings as they would be if the waiting executions were folded now. It keeps nothing in the state.
So an execution that is matched while others wait sees what those have opened and closed.
"""

from __future__ import annotations

from collections.abc import Callable

from tracker.core.entries import ContractEntries
from tracker.core.fold_failure import names_contract
from tracker.core.lots import Folded, stands_behind, step
from tracker.core.state_rows import BookedExecution, ContractKey, Holding


class FoldAhead:
    """Keep the holdings of contracts with unfolded executions; `fold_all` folds a contract from the start."""

    def __init__(self, entries: ContractEntries, fold_all: Callable[[ContractKey], Folded]) -> None:
        self._entries = entries
        self._fold_all = fold_all
        self._known: dict[ContractKey, Folded] = {}

    @names_contract
    def holding(self, key: ContractKey) -> Holding:
        """Return the holding; it is folded once, and then step by step with each later execution."""
        if key not in self._known:
            self._known[key] = self._fold_all(key)
        return self._known[key].holding

    def booked(self, booked: BookedExecution) -> None:
        """Add an execution that was put into the state."""
        key = booked.contract_key
        if key not in self._known:
            return
        folded, movement = self._known[key], self._entries.movement(booked)
        if stands_behind(movement, folded.holding) and not folded.holding.expired:
            step(folded, movement, self._entries.name_of(folded.holding))
        else:
            self.forget(key)

    def forget(self, key: ContractKey) -> None:
        """Fold the contract again when it is asked for next."""
        self._known.pop(key, None)
