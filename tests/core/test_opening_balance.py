"""Which executions an answer about positions contains."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.support.facts import ACCOUNT, NVDA, START, exec_id, execution
from tracker.core.model import LIVE, Moment, Source, Unmatched
from tracker.core.opening_balance import base_of, bases_between, is_contained
from tracker.core.state_rows import Baseline, BookedExecution, Holding


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


def test_base_is_without_what_came_behind_the_answer() -> None:
    """10 listed, 4 of them bought before it was asked; what was pushed after it takes no part."""
    asked, ended = Moment(START, 5), Moment(START + timedelta(seconds=1), 6)
    zero = Decimal(0)
    holding = Holding(
        ACCOUNT, NVDA, zero, zero, Baseline.SNAPSHOT, listed=Decimal(10), asked=asked, ended=ended
    )

    def row(number: int, seq: int) -> BookedExecution:
        return BookedExecution(execution(exec_id(number), 4, request_id=LIVE), seq, START, 1, Unmatched(""))

    assert bases_between([row(1, 3), row(2, 7)], holding) == (Decimal(6), Decimal(6))


def test_corrected_by_a_report_behind_the_answer() -> None:
    """Nothing was listed; 4 bought just before were pushed just after; next day a report makes them 3.

    The correction changes the fact in its place, so the answer does not contain it either.
    """
    asked, ended = Moment(START, 5), Moment(START + timedelta(seconds=1), 6)
    zero = Decimal(0)
    holding = Holding(ACCOUNT, NVDA, zero, zero, Baseline.SNAPSHOT, listed=zero, asked=asked, ended=ended)
    bought, corrected = execution(exec_id(1), 4, at=-1, request_id=LIVE), execution(exec_id(1, 2), 3, at=-1)
    pushed = BookedExecution(bought, 7, START, 1, Unmatched(""), superseded_by=corrected.exec_id)
    told = BookedExecution(corrected, 90, START, 3, Unmatched(""), source=Source.FLEX)
    assert base_of([pushed, told], holding) == 0
    assert bases_between([pushed, told], holding) == (zero, zero)
    assert base_of([told], holding) == -3, "of a fill that the gateway never reported only its time is known"
