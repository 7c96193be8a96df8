"""A run of folded executions is kept as it was, whatever is added to it and taken back."""

from __future__ import annotations

from decimal import Decimal

from tests.support.facts import ACCOUNT, NVDA
from tracker.core.fold_runs import FoldRun
from tracker.core.state_rows import Baseline, Holding

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
