"""Where a cause or a difference counts among executions and answers (rules 4.4 and 4.6)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from tests.support.facts import (
    BESIDE,
    START,
    Story,
    base,
    exec_id,
    execution,
    held,
    position,
    quantity,
    shown,
)
from tests.support.held_stock import KEY, STOCK, Held
from tracker.core.journal_entries import AdjustmentTold
from tracker.core.model import End, EndOf, Source


def held_ten_and_none_listed() -> Held:
    """Hold 10, all that the account has, of which an answer lists nothing."""
    story = Held(10)
    story.now += timedelta(seconds=90)
    story.note(Source.SENT, "positions")
    story.tell(End(EndOf.POSITIONS, -1))
    return story


def tell(story: Story, told: AdjustmentTold) -> None:
    story.note(Source.PERSON, *told.fields)


def test_split_explains_no_empty_answer() -> None:
    """4 were sold between that answer and the split, and are swept behind it: 6 are split 4:1."""
    story = held_ten_and_none_listed()
    story.now += timedelta(seconds=60)
    tell(story, AdjustmentTold(KEY, "split", "4"))
    assert (quantity(story), held(story)) == (40, 40)
    story.trade(-4, ago=30)
    assert (quantity(story), held(story)) == (24, 24)


def test_word_on_an_empty_answer_counts_behind_another_decision() -> None:
    """No execution came behind the answer, so it can be confirmed, whatever a person entered since."""
    story = held_ten_and_none_listed()
    tell(story, AdjustmentTold(KEY, "split", "4"))
    tell(story, AdjustmentTold(KEY, "adjusted", "", "given away"))
    assert (quantity(story), held(story), shown(story).open) == (0, 0, False)


def test_split_behind_an_answer_of_its_second() -> None:
    """17 were listed, 4 of them bought, and within that second 34. The answer of 17 is before the split."""
    story = Story()
    story.sweep(execution(exec_id(1), 4, at=-5, contract=STOCK, request_id=901), request=901)
    for listed in (17, 34):
        story.sweep(request=902)
        story.snapshot(position(listed, contract=STOCK))
    assert base(story) == 13
    tell(story, AdjustmentTold(KEY, "split", "0.5"))
    assert base(story) == 13


def test_late_fill_changes_no_balance_behind_which_a_split_was_entered() -> None:
    """17 were listed, 4 of them bought, then 34, and a split is entered: 13 were held before, for certain.

    5 more, bought before the answer of 17, are swept only then: what comes behind an adjustment puts no
    balance in doubt.
    """
    story = Story()
    story.sweep(execution(exec_id(1), 4, at=-5, contract=STOCK, request_id=901), request=901)
    story.sweep(request=902)
    for listed in (17, 34):
        story.snapshot(position(listed, contract=STOCK))
    tell(story, AdjustmentTold(KEY, "split", "0.5"))
    story.sweep(execution(exec_id(2), 5, at=-4, contract=STOCK, perm_id=2, request_id=903), request=903)
    assert base(story) == 13


def test_difference_counts_behind_fills_that_came_while_it_was_answered() -> None:
    """3 more are bought and sold again before positions are requested, and swept meanwhile; 8 are listed."""
    story = Held(10)
    story.now += timedelta(seconds=90)
    story.sweep(request=901)
    story.note(Source.SENT, "positions")
    at = int((story.now - START).total_seconds())
    bought, sold = (
        execution(exec_id(number), signed, at=second, contract=STOCK, perm_id=number, request_id=902)
        for number, signed, second in ((10, 3, at - 1), (11, -3, at))
    )
    story.sweep(bought, sold, request=902)
    story.tell(position(1, contract=BESIDE), position(8, contract=STOCK), End(EndOf.POSITIONS, -1))
    assert (held(story), story.waiting()) == (10, [Decimal(-2)])
    story.answer(8)
    assert (held(story), quantity(story), story.waiting()) == (8, 8, [])
