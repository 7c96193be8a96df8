"""What is moved into a contract before any certain answer told what was held of it there (rules 4.2, 4.6)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.core.test_certainty import connected
from tests.core.test_moves import MOVED, NEW, OTHER_ACCOUNT, Moving, moved_into_doubt, there
from tests.support.facts import (
    ACCOUNT,
    START,
    Story,
    base,
    exec_id,
    execution,
    held,
    holding,
    position,
    quantity,
)
from tests.support.held_stock import KEY, STOCK
from tracker.core.journal_entries import PositionChanged
from tracker.core.model import Notice, Source
from tracker.core.position_history import PositionHistory
from tracker.core.state import DIFFERENCES
from tracker.core.state_rows import Baseline


def answered(story: Moving, listed: int, *, swept: bool) -> None:
    """Have an answer list so many in the other account; without a sweep there it is uncertain."""
    if swept:
        story.sweep(request=story.number + 500, account=OTHER_ACCOUNT)
    story.answer_with(position(listed, contract=STOCK, account=OTHER_ACCOUNT))


def found(story: Moving) -> tuple[Baseline, float, float]:
    return there(story).baseline, float(there(story).base), float(there(story).held)


@pytest.mark.parametrize(
    ("listed", "before", "difference", "kept"),
    [(13, 3, 0, 10), (10, 0, 0, 10), (7, 0, -3, 10), (0, 0, -10, 10), (-2, -12, 0, 0)],
)
def test_first_certain_answer_tells_what_was_there(
    listed: int, before: int, difference: int, kept: int
) -> None:
    """10 come. Where less is listed some of it is gone: only a short that is listed was there before."""
    story = Moving(10)
    story.say(MOVED)
    assert found(story) == (Baseline.UNCONFIRMED, 0, 10)
    answered(story, listed, swept=True)
    assert found(story) == (Baseline.SNAPSHOT, before, before + 10)
    assert sum(row.amount for row in story.state.find(DIFFERENCES, "open", "1")) == difference
    assert quantity(story) == kept


def test_uncertain_answers_are_used_until_a_certain_one() -> None:
    """3 are listed before 10 come, then 14 with these, 12 by the certain answer: 3, 4 and 2 were there."""
    story = Moving(10)
    story.answer_with(position(10, contract=STOCK), position(3, contract=STOCK, account=OTHER_ACCOUNT))
    story.say(MOVED)
    assert found(story) == (Baseline.UNCONFIRMED, 3, 13)
    answered(story, 14, swept=False)
    assert found(story) == (Baseline.UNCONFIRMED, 4, 14)
    answered(story, 12, swept=True)
    assert found(story) == (Baseline.SNAPSHOT, 2, 12)
    assert quantity(story) == 10


def test_more_came_than_is_listed() -> None:
    """2 were bought, 10 came and 11 are listed: one of these went, and none was sold short before."""
    story = moved_into_doubt()
    answered(story, 11, swept=True)
    assert found(story) == (Baseline.SNAPSHOT, 0, 12)
    assert [row.amount for row in story.state.find(DIFFERENCES, "open", "1")] == [-1]


def merged_in_report(story: Story) -> None:
    """Have reports tell that 10 were bought, and became 5 of the new contract an hour later."""
    bought = execution(exec_id(1), 10, at=-7200, contract=STOCK)
    story.tell(bought, source=Source.FLEX)
    at = (START - timedelta(hours=1)).isoformat()
    story.note(Source.FLEX, *PositionChanged(KEY, "adjusted", at, "-10", "0.5", "", NEW).fields)


def test_reported_merger_before_all_answers() -> None:
    """The first certain answer lists 8 of the new contract: 3 were there before the 5 came."""
    story = Story(up=False)
    merged_in_report(story)
    assert holding(story, NEW.con_id).baseline is Baseline.UNCONFIRMED
    story.note(Source.LINK, "up", ACCOUNT, "176")
    story.sweep(request=899)
    story.snapshot(position(8, contract=NEW))
    new = holding(story, NEW.con_id)
    assert (new.baseline, float(new.base), float(new.held)) == (Baseline.SNAPSHOT, 3, 8)
    assert quantity(story) == 5


@pytest.mark.parametrize(("listed", "before"), [(8, 3), (5, 0), (4, 0)])
def test_reported_merger_that_all_answers_contain(listed: int, before: int) -> None:
    """The first of them tells, however much the next one lists."""
    story = Story(up=False)
    story.note(Source.LINK, "up", ACCOUNT, "176")
    story.sweep(request=899)
    story.snapshot(position(listed, contract=NEW))
    story.snapshot(position(20, contract=NEW))
    merged_in_report(story)
    new = holding(story, NEW.con_id)
    assert (new.baseline, float(new.base), float(new.held)) == (Baseline.SNAPSHOT, before, before + 5)
    assert quantity(story) == 5


def test_move_that_is_taken_back_leaves_what_was_there() -> None:
    story = Moving(10)
    seq = story.say(MOVED)
    story.note(Source.PERSON, "undo", str(seq), "", "")
    answered(story, 3, swept=True)
    assert found(story) == (Baseline.SNAPSHOT, 3, 3)
    assert quantity(story) == 10


def test_doubted_balance_behind_a_move_is_confirmed_again() -> None:
    """IBKR is back, though its loss was never told: no answer of this connection counts any more."""
    story = Moving(10)
    answered(story, 3, swept=True)
    story.say(MOVED)
    story.tell(Notice(-1, 1102, "restored"))
    assert there(story).baseline is Baseline.UNCONFIRMED
    story.now += timedelta(seconds=60)
    answered(story, 14, swept=True)
    assert found(story) == (Baseline.SNAPSHOT, 4, 14)


def test_what_comes_where_nothing_is_known_yet() -> None:
    """No answer came: nothing was there, as far as is known."""
    there = PositionHistory(Story(up=False).state, MOVED)
    there.came(START, Decimal(10))
    assert there.held_now() == 10


def test_answer_behind_an_adjustment_tells_the_balance_without_it_too() -> None:
    """4 are bought in doubt, and a split is told: 10 listed are 1 before, and 6 once it is undone."""
    story = connected()
    story.tell(execution(exec_id(1), 4, contract=STOCK))
    story.note(Source.PERSON, "adjust", KEY, "split", "2", "")
    seq = story.seq
    story.sweep(request=899)
    story.snapshot(position(10, contract=STOCK))
    assert (base(story), held(story)) == (1, 10)
    story.note(Source.PERSON, "undo", str(seq), "", "")
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 6, 10)


def test_answer_between_two_moves_tells_nothing_new() -> None:
    """10 come, 13 are listed by an uncertain answer, 5 more come from a merger: 3 were there, or 2 of 17."""
    story = Moving(10)
    story.say(MOVED)
    answered(story, 13, swept=False)
    story.sell(-5, account=OTHER_ACCOUNT)
    story.say(MOVED, contract=f"{OTHER_ACCOUNT} {NEW.con_id}")
    assert found(story) == (Baseline.UNCONFIRMED, 3, 18)
    answered(story, 17, swept=True)
    assert found(story) == (Baseline.SNAPSHOT, 2, 17)
