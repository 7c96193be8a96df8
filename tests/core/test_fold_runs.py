"""A run of folded executions is kept as it was, whatever is added to it and taken back."""

from __future__ import annotations

from decimal import Decimal

from tests.support.facts import ACCOUNT, NVDA, START, exec_id, execution
from tracker.core.fold_runs import FoldRun, FoldRuns
from tracker.core.model import Unmatched
from tracker.core.state_rows import Baseline, BookedExecution, ContractKey, Holding

BEFORE = Holding(ACCOUNT, NVDA, Decimal(0), Decimal(0), Baseline.SNAPSHOT)


def test_run_taken_back_holds_what_it_held() -> None:
    """A step adds c and d and fails; the next one adds e to what was there before."""
    kept = FoldRun(BEFORE, []).longer("a").longer("b")
    failed = kept.longer("c").longer("d")
    assert failed.names == ["a", "b", "c", "d"]
    assert kept.names == ["a", "b"]
    assert kept.longer("e").names == ["a", "b", "e"]
    assert kept.longer("f").names == ["a", "b", "f"]


def test_execution_is_of_a_run_once() -> None:
    """What waits may be noted again once it is folded; it would be counted twice."""
    assert FoldRun(BEFORE, []).longer("a").longer("b").longer("a").names == ["a", "b"]


def test_runs_of_32_contracts_are_kept() -> None:
    """While no sweep is due the oldest goes for the thirty-third."""
    runs = FoldRuns(lambda account: False)
    keys = [ContractKey(ACCOUNT, con_id) for con_id in range(1, 34)]
    for number, key in enumerate(keys):
        booked = BookedExecution(execution(exec_id(number), 1), number, START, 1, Unmatched(""))
        runs.note(booked, key, BEFORE)
    assert [key for key in keys if runs.get(key) is None] == keys[:1]
