"""Which executions an answer about positions contains."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.facts import START, exec_id, execution
from tracker.core.model import LIVE, Moment, Source, Unmatched
from tracker.core.opening_balance import is_contained
from tracker.core.state_rows import BookedExecution


@pytest.mark.parametrize(
    ("source", "request_id"),
    [(Source.FLEX, LIVE), (Source.BROKER, 900)],
    ids=["a report's row", "swept, booked by an older version"],
)
def test_row_of_unknown_arrival_is_contained_by_its_time(source: Source, request_id: int) -> None:
    """What came before the answer is not known of these, so only the broker's times can tell."""
    asked, ended = Moment(START, 5), Moment(START + timedelta(seconds=1), 6)

    def row(at: int) -> BookedExecution:
        fill = execution(exec_id(1), 4, at=at, request_id=request_id)
        return BookedExecution(fill, 9, START, 1, Unmatched(""), source=source)

    assert is_contained(row(-3600), asked, ended) is True
    assert is_contained(row(3600), asked, ended) is not True
