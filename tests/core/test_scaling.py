"""A ratio without an exact decimal scales exactly: 1:3 of 27 is 9, and three lots of one are one."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from tests.support.facts import ACCOUNT, held, holding, position, quantity, shown
from tests.support.held_stock import KEY, STOCK, Held
from tracker.core.model import Source
from tracker.core.position_history import PositionHistory
from tracker.core.scaling import scaled, unscaled

THIRD = Decimal(1) / Decimal(3)
NEW = replace(STOCK, con_id=701)


@pytest.mark.parametrize("new", [1, 2, 4, 5, 7, 10])
@pytest.mark.parametrize("old", [3, 6, 7, 9, 15, 30, 60])
def test_whole_units_stay_whole(new: int, old: int) -> None:
    """Whatever the ratio, its multiples become whole units, and back."""
    ratio = Decimal(new) / Decimal(old)
    for times in (-1, 1, 2, 9, 33, 1000, 99_999_999):
        assert scaled(Decimal(old * times), ratio) == new * times
        assert unscaled(Decimal(new * times), ratio) == old * times


def test_what_is_exact_is_not_rounded() -> None:
    assert str(scaled(Decimal("0.123456789012"), Decimal(10))) == "1.234567890120"
    assert scaled(Decimal(25), THIRD) == Decimal("8.333333333333")


@pytest.mark.parametrize("lots", [(27,), (1, 1, 1), (20, 5, 2)])
def test_reverse_split_of_one_for_three_is_sold_whole(lots: tuple[int, ...]) -> None:
    """The broker's answer agrees, and selling what it lists closes the alert."""
    story = Held(lots[0])
    for more in lots[1:]:
        story.now += timedelta(seconds=1)
        story.trade(more)
    total = sum(lots) // 3
    story.answer(total)
    story.note(Source.PERSON, "adjust", KEY, "split", str(THIRD), "")
    assert (quantity(story), held(story), story.waiting()) == (total, total, [])
    story.trade(-total)
    assert (quantity(story), held(story), shown(story).open) == (0, 0, False)
    story.answer(0)
    assert story.waiting() == []
    assert holding(story).lots == ()


def test_move_of_one_for_three_is_sold_whole() -> None:
    """Three lots of one that become one unit of another contract close with it."""
    story = Held(1)
    for _ in range(2):
        story.now += timedelta(seconds=1)
        story.trade(1)
    story.answer_with(position(1, contract=NEW))
    story.note(Source.PERSON, "adjust", KEY, "adjusted", str(THIRD), "", f"{ACCOUNT} {NEW.con_id}")
    assert (held(story), held(story, NEW.con_id), story.waiting()) == (0, 1, [])
    (mine,) = holding(story, NEW.con_id).alerts
    assert mine.quantity == 1
    assert [lot.quantity for lot in holding(story, NEW.con_id).lots] == [
        Decimal("0.333333333333"),
        Decimal("0.333333333334"),
        Decimal("0.333333333333"),
    ]


def test_report_of_one_for_three_fits() -> None:
    """A report that takes 18 of 27 away by 1:3 fits what was held, before an answer and behind one."""
    story = Held(27)
    history = PositionHistory(story.state, KEY)
    fit = history.fit(story.now, Decimal(-18), ratio=THIRD)
    assert fit is not None
    assert fit.before == 27
    history.changed(story.now, ratio=THIRD)
    assert history.held_now() == 9
    assert history.base_with(Decimal(1)) == 3
