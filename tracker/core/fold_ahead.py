"""Fold waiting executions ahead of time, to find who owns a part of a contract with all that is booked.

Owns the holdings as they would be if the waiting executions were folded now, and which alerts could own a
part of them. It keeps nothing in the state. So an execution that is matched while others wait sees what those
have opened and closed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tracker.core.entries import ContractEntries
from tracker.core.fold_failure import names_contract
from tracker.core.lot_changes import Movement
from tracker.core.lots import Folded, stands_behind, step
from tracker.core.model import AlertId
from tracker.core.state_rows import BookedExecution, ContractKey, Holding


class FoldAhead:
    """Keep the holdings of contracts with unfolded executions; `fold_all` folds a contract from the start,
    with movements that are not booked yet.
    """

    def __init__(
        self, entries: ContractEntries, fold_all: Callable[[ContractKey, Sequence[Movement]], Folded]
    ) -> None:
        self._entries = entries
        self._fold_all = fold_all
        self._known: dict[ContractKey, Folded] = {}
        self._named: dict[ContractKey, set[AlertId]] = {}

    @names_contract
    def holding(self, key: ContractKey) -> Holding:
        """Return the holding; it is folded once, and then step by step with each later execution."""
        if key not in self._known:
            self._known[key] = self._fold_all(key, ())
        return self._known[key].holding

    def may_own(self, key: ContractKey, alert: AlertId) -> bool:
        """Return whether an entry of a contract names an alert; no other alert owns a part of it.

        A report brings thousands of executions before the newest, and each would have the past folded.
        """
        if key not in self._named:
            self._named[key] = self._entries.alerts_named(key)
        return alert in self._named[key]

    def owns_after(self, movement: Movement, key: ContractKey, alert: AlertId, holding: Holding) -> bool:
        """Return whether an alert owns a part of a contract after a movement that is not booked yet."""
        if stands_behind(movement, holding) and not holding.expired:
            folded = Folded(holding)
            step(folded, movement, self._entries.name_of(holding))
        elif self.may_own(key, alert):
            folded = self._fold_all(key, [movement])
        else:
            return False
        return alert in folded.holding.owners

    def booked(self, booked: BookedExecution) -> None:
        """Add an execution that was put into the state."""
        key = booked.contract_key
        if key in self._named:
            self._named[key].update(self._entries.movement(booked).owners)
        if key not in self._known:
            return
        folded, movement = self._known[key], self._entries.movement(booked)
        if stands_behind(movement, folded.holding) and not folded.holding.expired:
            step(folded, movement, self._entries.name_of(folded.holding))
        else:
            self.drop(key)

    def drop(self, key: ContractKey) -> None:
        """Fold the contract again when it is asked for next, since an execution was booked."""
        self._known.pop(key, None)

    def forget(self, key: ContractKey) -> None:
        """Fold the contract again when it is asked for next, whatever has changed."""
        self.drop(key)
        self._named.pop(key, None)
