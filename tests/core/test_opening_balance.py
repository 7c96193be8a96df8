"""Which executions an answer about positions contains."""

from __future__ import annotations

from datetime import timedelta

from tests.support.facts import START, exec_id, execution
from tracker.core.model import Moment, Source, Unmatched
from tracker.core.opening_balance import is_contained
from tracker.core.state_rows import BookedExecution


def test_flex_row_is_contained_by_its_time() -> None:
    """A report's rows arrive long after the answer, so only the broker's times can tell."""
    asked, ended = Moment(START, 5), Moment(START + timedelta(seconds=1), 6)

    def row(at: int) -> BookedExecution:
        fill = execution(exec_id(1), 4, at=at)
        return BookedExecution(fill, 9, START, 1, Unmatched(""), source=Source.FLEX)

    assert is_contained(row(-3600), asked, ended) is True
    assert is_contained(row(3600), asked, ended) is not True
