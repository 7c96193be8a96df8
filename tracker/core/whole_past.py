"""Gather all entries of a contract: opening balance, executions, expirations.

Owns the choice of those entries. It keeps nothing, and puts nothing into the state.
"""

from __future__ import annotations

from collections.abc import Sequence

from tracker.core.certainty import Certainty
from tracker.core.entries import ContractEntries
from tracker.core.lot_changes import Movement
from tracker.core.lots import Folded, at_opening_balance, fold
from tracker.core.model import ZERO
from tracker.core.state import EXECUTIONS, HOLDINGS, SNAPSHOTS, LedgerState
from tracker.core.state_rows import Baseline, BookedExecution, ContractKey, Holding
from tracker.core.sweeps import Sweeps


class WholePast:
    """Read the past of the contracts of one ledger's state."""

    def __init__(
        self, state: LedgerState, entries: ContractEntries, certainty: Certainty, sweeps: Sweeps
    ) -> None:
        self._state = state
        self._entries = entries
        self._certainty = certainty
        self._sweeps = sweeps

    def of(self, key: ContractKey) -> tuple[Holding, list[BookedExecution], list[Movement]]:
        """Return a contract's opening balance, its executions in force, and the expirations after them."""
        everything = self._state.find(EXECUTIONS, "contract", key.text())
        rows = [row for row in everything if row.counted]
        start = self.with_opening_balance(key, everything, self._state.get(HOLDINGS, key.text()))
        last = max((row.moment for row in rows), default=None)
        return at_opening_balance(start), rows, self._entries.expired(key, last)

    def folded(self, key: ContractKey, more: Sequence[Movement] = ()) -> Folded:
        """Fold a contract with all booked executions and `more`, without keeping the result."""
        start, rows, expired = self.of(key)
        movements = [*(self._entries.movement(row) for row in rows), *expired, *more]
        decisions, adjustments = self._entries.decisions(key), self._entries.adjustments(key)
        return fold(start, movements, decisions, self._entries.name_of(start), adjustments)

    def with_opening_balance(
        self, key: ContractKey, rows: Sequence[BookedExecution], holding: Holding | None
    ) -> Holding:
        """Return the contract's holding before its first execution."""
        anew = holding is None or self._sweeps.is_over(key.account)
        if holding is None:
            contract = rows[0].execution.contract
            holding = Holding(key.account, contract, base=ZERO, held=ZERO, baseline=Baseline.UNCONFIRMED)
        else:
            settled = [one for one in self._entries.adjustments(key) if one.settled]
            if settled or not rows:
                # Adjustments hold what the broker listed since; a confirmed opening balance stays as it was,
                # also where everything was moved in from elsewhere, and taken back.
                if holding.baseline is Baseline.SNAPSHOT:
                    return self._certainty.before_changes(rows, holding, settled)
                return self._certainty.behind_adjustments(rows, holding, settled)
        answer = self._state.get(SNAPSHOTS, "last")
        usable = answer is not None and anew and key.text() not in answer.disturbed
        return self._certainty.begin(rows, holding, answer if usable else None)
