"""Keep each contract's holding before its latest executions, so that a late one folds only those again.

Owns for which contracts such a run is kept, and which executions belong to it. It folds nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from tracker.core.lot_changes import second_of
from tracker.core.state import EXECUTIONS
from tracker.core.state_rows import BookedExecution, ContractKey, Holding

_MOST: Final = 1_000
"""The most executions of one contract that are folded again for a late one."""
_KEPT: Final = 32
"""Contracts with a run while no sweep is due; then only an execution of the same second can be late."""


class FoldRun(Struct, frozen=True):
    """Hold a contract's holding before its latest executions, and their row keys.

    A run never changes, since a step that fails goes back to an earlier one; a longer run shares its list.
    """

    before: Holding
    listed: list[str]
    """The row keys of its executions, followed by those of a longer run."""
    count: int = 0

    @property
    def names(self) -> list[str]:
        """Return the row keys of its executions, each once."""
        return list(dict.fromkeys(self.listed[: self.count]))

    def longer(self, name: str) -> FoldRun:
        """Return the run with one more execution."""
        # Keys after this run's own belong to a longer run that was taken back.
        del self.listed[self.count :]
        self.listed.append(name)
        return FoldRun(self.before, self.listed, self.count + 1)


class FoldRuns:
    """Keep the runs of one ledger; `due` returns whether a sweep of an account may still bring executions."""

    def __init__(self, due: Callable[[str], bool]) -> None:
        self._due = due
        self._runs: dict[ContractKey, FoldRun] = {}

    def get(self, key: ContractKey) -> FoldRun | None:
        return self._runs.get(key)

    def forget(self, key: ContractKey) -> None:
        self._runs.pop(key, None)

    def sweep_over(self) -> None:
        """Drop the runs of accounts of which no sweep is due."""
        self._runs = {key: run for key, run in self._runs.items() if self._due(key.account)}

    def note(self, booked: BookedExecution, key: ContractKey, holding: Holding) -> None:
        """Add an execution that is folded onto `holding`."""
        run = self._runs.get(key)
        ended = holding.last is None or second_of(holding.last.time) < second_of(booked.moment.time)
        over = run is not None and (run.count >= _MOST or not self._due(key.account))
        if run is None or (over and ended):
            self._runs.pop(key, None)
            if len(self._runs) >= _KEPT and not self._due(key.account):
                del self._runs[next(iter(self._runs))]
            run = FoldRun(holding, [])
        self._runs[key] = run.longer(EXECUTIONS.key(booked))

    def note_late(self, booked: BookedExecution, key: ContractKey) -> bool:
        """Add a late execution; False if it belongs before the contract's run."""
        run = self._runs.get(key)
        if run is None:
            return True
        self._runs[key] = run.longer(EXECUTIONS.key(booked))
        last = run.before.last
        return last is None or second_of(last.time) < second_of(booked.moment.time)
