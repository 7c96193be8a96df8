"""Keep what each contract's latest executions were folded onto, so that a late one folds only those again.

Owns for which contracts a run is kept, and which executions are of it. It folds nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from tracker.core.lot_changes import second_of
from tracker.core.state import EXECUTIONS
from tracker.core.state_rows import BookedExecution, ContractKey, Holding

_MOST: Final = 1_000
"""Executions of one contract that are folded again for a late one, at most."""
_KEPT: Final = 32
"""Contracts of which a run is kept while no sweep is due; late is then only what is of the same second."""


class FoldRun(Struct, frozen=True):
    """Hold what a contract's latest executions were folded onto, one upon the other.

    Each step keeps what it may have to take back, so a run never changes: a longer one shares its list.
    """

    before: Holding
    listed: list[str]
    """Their row keys, and behind them those of a longer run."""
    count: int = 0

    @property
    def names(self) -> list[str]:
        """Return the row keys of its executions, each once."""
        return list(dict.fromkeys(self.listed[: self.count]))

    def longer(self, name: str) -> FoldRun:
        """Return the run with one more execution."""
        # What stands behind this run is of one that was taken back.
        del self.listed[self.count :]
        self.listed.append(name)
        return FoldRun(self.before, self.listed, self.count + 1)


class FoldRuns:
    """Keep the runs of one ledger; `due` tells whether a sweep of an account may still bring something."""

    def __init__(self, due: Callable[[str], bool]) -> None:
        self._due = due
        self._runs: dict[ContractKey, FoldRun] = {}

    def get(self, key: ContractKey) -> FoldRun | None:
        return self._runs.get(key)

    def forget(self, key: ContractKey) -> None:
        self._runs.pop(key, None)

    def sweep_over(self) -> None:
        """Keep the runs of the accounts only of which a sweep is still due."""
        self._runs = {key: run for key, run in self._runs.items() if self._due(key.account)}

    def note(self, booked: BookedExecution, key: ContractKey, holding: Holding) -> None:
        """Take in an execution that is folded onto `holding`."""
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
        """Take in a late execution; False where it stands before the contract's run."""
        run = self._runs.get(key)
        if run is None:
            return True
        self._runs[key] = run.longer(EXECUTIONS.key(booked))
        last = run.before.last
        return last is None or second_of(last.time) < second_of(booked.moment.time)
