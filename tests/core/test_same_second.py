"""The broker's order of executions: by second, then what grows the position, then execId."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.support.facts import (
    ACCOUNT,
    START,
    SUCCESSOR,
    Story,
    booked,
    exec_id,
    execution,
    held,
    holding,
    matched,
    news,
    position,
    quantity,
    shown,
)
from tests.support.held_stock import KEY, STOCK, Held
from tracker.core.model import Source


def test_purchases_of_a_flat_second_come_first() -> None:
    """Sold 2 and bought 2 in one second while flat: bought first, so nothing is short in between."""
    story = Story()
    story.tell(execution(exec_id(2), -2, at=5, perm_id=2), execution(exec_id(1), 2, at=5, perm_id=1))
    assert (held(story), quantity(story), shown(story).open) == (0, 0, False)
    row = booked(story, exec_id(2))
    assert (float(row.opening), float(row.closing)) == (0, -2)


def test_short_grows_first_within_a_second() -> None:
    """With 3 short, a sale of one second comes before its purchase: 3 + 2 - 4 leaves 1 short."""
    story = Story()
    story.tell(execution(exec_id(1), -3, at=1, perm_id=1))
    story.tell(execution(exec_id(2), 4, at=5, perm_id=2))
    story.tell(execution(exec_id(3), -2, at=5, perm_id=3))
    assert (held(story), quantity(story)) == (-1, -1)
    assert booked(story, exec_id(3)).opening == -2


@pytest.mark.parametrize("restarts", [False, True])
def test_exec_ids_order_rest_of_second(restarts: bool) -> None:
    """Three purchases at 1, 2 and 3 of one second, reported backwards: a sale of one takes the first."""
    story = Story()
    for number in (3, 2, 1):
        story.tell(execution(exec_id(number), 1, str(number), at=5, perm_id=number))
        if restarts:
            story.restart()
    story.tell(execution(exec_id(9), -1, at=6, perm_id=9))
    assert [lot.exec_id for lot in holding(story).lots] == [exec_id(2), exec_id(3)]


def test_fraction_of_a_second_does_not_order() -> None:
    """A sale half a second before a purchase of the same second closes what that opens."""
    story = Story()
    story.tell(execution(exec_id(1), -1, at=5.1, perm_id=1), execution(exec_id(2), 1, at=5.9, perm_id=2))
    assert (held(story), float(booked(story, exec_id(1)).closing)) == (0, -1)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_record_shows_last_of_second(order: tuple[int, int]) -> None:
    """Two purchases of one second: the record shows the second by execId, whichever came first."""
    story = Story()
    for number in order:
        story.tell(execution(exec_id(number), 1, at=5, perm_id=number))
    assert news(story)["exec_id"] == exec_id(2)


def test_late_purchase_stands_before_an_adjustment_of_its_second() -> None:
    """15 were known and the broker held 12; 4 more of that second, first by execId, were in the 12."""
    story = Held(10)
    at = int((story.now - START).total_seconds())
    story.trade(5)
    story.answer(12, after=0)
    story.note(Source.PERSON, "adjust", KEY, "adjusted", "", "as the broker says")
    late = execution(exec_id(1), 4, at=at, contract=STOCK, perm_id=1, request_id=950)
    story.sweep(late, request=950)
    assert held(story) == 12


def test_lots_of_one_second_that_are_merged_are_in_order_of_exec_id() -> None:
    """5 of a stock, then 5 of another one with a lower execId are told; merged, and 4 of the 10 vanish."""
    other = replace(STOCK, con_id=701, symbol="NVDB", local_symbol="NVDB")
    story = Held(5)
    story.decide = matched(SUCCESSOR)
    story.tell(execution(exec_id(50), 5, at=0, contract=other, perm_id=50))
    story.answer_with(position(5, contract=STOCK), position(5, contract=other))
    story.note(Source.PERSON, "adjust", KEY, "adjusted", "", "", f"{ACCOUNT} {other.con_id}")
    for _ in range(2):
        story.answer_with(position(6, contract=other))
    assert (quantity(story), quantity(story, SUCCESSOR)) == (5, 1)
