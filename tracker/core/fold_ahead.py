"""Fold a contract ahead of its time, to tell who owns a part of it with all that is booked.

Owns what would be held if what waits were folded now. It keeps nothing in the state. An execution that is
matched while others wait is judged by what they have opened and closed already.
"""

from __future__ import annotations

from collections.abc import Callable

from tracker.core.entries import ContractEntries
from tracker.core.fold_failure import names_contract
from tracker.core.lots import Folded, stands_behind, step
from tracker.core.state_rows import BookedExecution, ContractKey, Holding


class FoldAhead:
    """Keep what the contracts with something unfolded would hold; `fold_all` folds one whole."""

    def __init__(self, entries: ContractEntries, fold_all: Callable[[ContractKey], Folded]) -> None:
        self._entries = entries
        self._fold_all = fold_all
        self._known: dict[ContractKey, Folded] = {}

    @names_contract
    def holding(self, key: ContractKey) -> Holding:
        """Return what would be held; folded once, and then with each execution that comes last."""
        if key not in self._known:
            self._known[key] = self._fold_all(key)
        return self._known[key].holding

    def booked(self, booked: BookedExecution) -> None:
        """Take in an execution that was put into the state."""
        key = booked.contract_key
        if key not in self._known:
            return
        folded, movement = self._known[key], self._entries.movement(booked)
        if stands_behind(movement, folded.holding) and not folded.holding.expired:
            step(folded, movement, self._entries.name_of(folded.holding))
        else:
            self.forget(key)

    def forget(self, key: ContractKey) -> None:
        """Fold it again when it is asked for next."""
        self._known.pop(key, None)
