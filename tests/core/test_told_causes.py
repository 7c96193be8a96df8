"""Where a cause counts that a person tells, behind an answer that lists nothing of the account (rule 4.6)."""

from __future__ import annotations

from datetime import timedelta

from tests.support.facts import held, quantity, shown
from tests.support.held_stock import KEY, Held
from tracker.core.journal_entries import AdjustmentTold
from tracker.core.model import End, EndOf, Source


def held_ten_and_none_listed() -> Held:
    """Hold 10, all that the account has, of which an answer lists nothing."""
    story = Held(10)
    story.now += timedelta(seconds=90)
    story.note(Source.SENT, "positions")
    story.tell(End(EndOf.POSITIONS, -1))
    return story


def tell(story: Held, told: AdjustmentTold) -> None:
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
