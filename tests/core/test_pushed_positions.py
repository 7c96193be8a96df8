"""Positions that the broker pushes unasked: they only make us request all of them (4.1)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from tests.support.facts import ACCOUNT, START, Story, exec_id, execution, held, position
from tests.support.held_stock import STOCK, Held
from tracker.core.model import End, EndOf, Source


def test_pushed_position_makes_us_ask() -> None:
    """Nobody executed anything for a while, and the broker pushes another quantity."""
    story = Held(10)
    story.now += timedelta(seconds=60)
    story.tell(position(40, contract=STOCK))
    assert story.ledger.take_position_reasons() == ["a position was pushed that no execution explains"]
    assert held(story) == 10
    assert story.waiting() == []


def test_pushed_position_behind_a_fill_is_judged_after_a_sweep() -> None:
    """The position may lack the fill at first; where it still differs later, the broker is asked."""
    story = Held(10)
    story.trade(5)
    story.tell(position(10, contract=STOCK))
    assert story.ledger.take_position_reasons() == []
    story.sweep(request=901)
    assert story.ledger.take_position_reasons() == []
    story.now += timedelta(seconds=6)
    story.sweep(request=902)
    assert story.ledger.take_position_reasons() == ["a position was pushed that no execution explains"]
    story.sweep(request=903)
    assert story.ledger.take_position_reasons() == []


@pytest.mark.parametrize("told", ["pushed again", "answered"])
def test_pushed_position_that_is_right_since_asks_nothing(told: str) -> None:
    story = Held(10)
    story.trade(5)
    story.tell(position(10, contract=STOCK))
    if told == "pushed again":
        story.tell(position(15, contract=STOCK))
    else:
        story.snapshot(position(15, contract=STOCK))
    story.now += timedelta(seconds=6)
    story.sweep(request=901)
    assert story.ledger.take_position_reasons() == []


def test_pushed_position_waits_for_the_fills_of_a_sweep() -> None:
    """A sweep brought a fill of a minute ago and is not over; the position has it, what we hold not yet."""
    story = Held(10)
    story.now += timedelta(seconds=90)
    at = int((story.now - START).total_seconds()) - 60
    story.note(Source.SENT, "executions", "901", ACCOUNT)
    story.tell(execution(exec_id(99), 5, at=at, contract=STOCK, perm_id=99, request_id=901))
    story.tell(position(15, contract=STOCK))
    assert story.ledger.take_position_reasons() == []
    story.tell(End(EndOf.EXECUTIONS, 901))
    assert story.ledger.take_position_reasons() == []
    assert held(story) == 15


@pytest.mark.parametrize(("before", "asked"), [(0, True), (7, False)])
def test_pushed_position_of_a_contract_that_was_never_traded(before: int, asked: bool) -> None:
    """7 were transferred in: the broker is asked, so that no sale of them opens a short.

    A position that the last answer listed is nothing new.
    """
    other = replace(STOCK, con_id=702)
    story = Held(10)
    story.answer_with(position(10, contract=STOCK), *[position(before, contract=other)] * bool(before))
    story.tell(position(7, contract=other))
    story.sweep(request=901)
    assert story.ledger.take_position_reasons() == [], "its first execution may be under way"
    story.now += timedelta(seconds=6)
    story.sweep(request=902)
    why = ["a position was pushed that no execution explains"] * asked
    assert story.ledger.take_position_reasons() == why
    if asked:
        story.answer_with(position(10, contract=STOCK), position(7, contract=other))
    story.tell(execution(exec_id(200), 2, at=300, contract=other, perm_id=200))
    story.tell(execution(exec_id(201), -9, at=301, contract=other, perm_id=201))
    assert held(story, other.con_id) == 0


def test_push_before_any_certain_answer_makes_us_ask() -> None:
    story = Story()
    story.tell(position(7, contract=STOCK))
    story.now += timedelta(seconds=6)
    story.sweep(request=901)
    assert story.ledger.take_position_reasons() == ["a position was pushed that no execution explains"]


def test_push_just_before_its_first_fill_asks_nothing() -> None:
    """The fill explains it."""
    other = replace(STOCK, con_id=702)
    story = Held(10)
    story.tell(position(3, contract=other))
    story.tell(execution(exec_id(200), 3, at=300, contract=other, perm_id=200))
    story.now += timedelta(seconds=300)
    story.sweep(request=901)
    assert story.ledger.take_position_reasons() == []
