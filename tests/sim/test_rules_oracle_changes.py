"""Hand-worked days of rules 4.1 to 4.6: what answers contain, and causes that are told late.

Written from the rules page before they were run; each names its rule.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from tests.sim.rules_oracle import facts as f
from tests.support.oracle_day import (
    ACC,
    ACC2,
    C95,
    OTHER,
    P95,
    STK,
    A,
    Day,
    alert,
    bought_ten,
    seen,
    shows,
)

# Rules 4.1 and 4.2: what an answer contains


def test_missed_fill_counts_by_arrival() -> None:
    """3 were bought unseen, the answer says 5, then a sweep brings the 3: the answer came before them.

    So 8 are held by our count. Three answers pass for lagging; two more say 5, and the opening balance goes
    down, not the alert.
    """
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({C95: 5, OTHER: 1})
    day.wait(30)
    day.fill(C95, 3, at=-60, live=False)
    right = day.right()
    assert seen(right.openings[ACC, 95].quantity, right.positions[ACC, 95]) == (5, 8)
    for _ in range(5):
        day.answer({C95: 5, OTHER: 1})
        day.wait(61)
    right = day.right()
    assert seen(right.positions[ACC, 95], right.opening_left[ACC, 95]) == (5, 2)
    shows(day, A, 3)


def test_answer_that_lags_thrice_is_used() -> None:
    """A sweep brought +3, three answers lack it: the third counts, unconfirmed, until one agrees."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 3, live=False)
    for _ in range(2):
        day.answer({OTHER: 1})
        assert seen(day.right().openings[ACC, 95].quantity) == (0,)
    day.answer({OTHER: 1})
    opening = day.right().openings[ACC, 95]
    assert seen(opening.quantity, opening.confirmed) == (-3, False)
    day.answer({C95: 3, OTHER: 1})
    opening = day.right().openings[ACC, 95]
    assert seen(opening.quantity, opening.confirmed) == (0, True)
    shows(day, A, 3)


def test_lost_link_leaves_an_answer_uncertain() -> None:
    """The link to the broker was lost since the sweep: what the answer contains nobody can say."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.sweep()
    day.add(f.PositionsAsked(day.now, 1))
    held = {(ACC, 95): Decimal(5)}
    day.add(f.PositionsAnswered(day.now, 1, held, broker_time=day.now, undisturbed=False))
    day.fill(C95, 3)
    opening = day.right().openings[ACC, 95]
    assert seen(opening.quantity, opening.confirmed) == (5, False)


# Rule 4.3: what goes away without a second answer


def test_missed_fill_explains_a_difference() -> None:
    """10 bought, the broker says 14; the sweep brings the 4 of before: nothing is unexplained any more."""
    day = bought_ten()
    day.answer({STK: 14, OTHER: 1})
    assert len(day.right().waiting("unexplained")) == 1
    day.fill(STK, 4, 200, at=-30, live=False)
    right = day.right()
    assert not right.waiting("unexplained")
    assert right.positions[ACC, 7] == 14
    shows(day, A, 14)


def test_smaller_or_opposite_changes_nothing() -> None:
    """10 bought, the broker says 4, then -2: until it is settled 10 can be sold, and then one is short."""
    day = bought_ten()
    day.answer({STK: 4, OTHER: 1})
    day.wait(10)
    day.answer({STK: -2, OTHER: 1})
    shows(day, A, 10)
    day.fill(STK, -11, 200)
    shows(day, A, -1)


def test_another_difference_waits_anew() -> None:
    """10, then 14, then 16: the second difference is another one; a third answer settles 16."""
    day = bought_ten()
    day.answer({STK: 14, OTHER: 1})
    day.wait(61)
    day.answer({STK: 16, OTHER: 1})
    assert seen(day.right().positions[ACC, 7], len(day.right().adjustments)) == (10, 0)
    day.wait(61)
    day.answer({STK: 16, OTHER: 1})
    assert seen(day.right().positions[ACC, 7], len(day.right().adjustments)) == (16, 1)


def test_transferred_in_after_a_round_trip() -> None:
    """10 bought and sold, 100 transferred in and sold: nobody is short."""
    day = bought_ten()
    day.fill(STK, -10, 210)
    day.answer({STK: 100, OTHER: 1})
    day.fill(STK, -100, 210)
    one = day.right().alert(A)
    assert seen(one.quantity, one.open) == (0, False)


# Rules 4.4 to 4.6: causes that are told


def test_told_split_explains_what_was_adjusted() -> None:
    """10 @ 200 became 40, twice: 30 of nobody. Then a person says 4:1: all 40 are the alert's, at 50."""
    day = bought_ten()
    for _ in range(2):
        day.answer({STK: 40, OTHER: 1})
        day.wait(61)
    assert seen(day.right().alert(A).quantity, day.right().unowned((ACC, 7))) == (10, 30)
    day.add(f.AdjustmentTold(day.now, ACC, 7, "split", None, ratio=Decimal(4)))
    right = day.right()
    assert seen(right.alert(A).quantity, right.alert(A).avg_price) == (40, 50)
    assert seen(right.unowned((ACC, 7)), right.positions[ACC, 7]) == (0, 40)


def test_told_split_stands_before_later_sales() -> None:
    """10 became 40; 5 are sold out of the difference; then 4:1 is told: 40 less 5 are the alert's."""
    day = bought_ten()
    day.wait(60)
    day.answer({STK: 40, OTHER: 1})
    day.wait(10)
    day.fill(STK, -5, 52)
    shows(day, A, 10)
    day.add(f.AdjustmentTold(day.now, ACC, 7, "split", None, ratio=Decimal(4)))
    right = day.right()
    assert not right.waiting("unexplained")
    assert right.positions[ACC, 7] == 35
    shows(day, A, 35)


def test_cash_for_a_fraction_is_a_difference() -> None:
    """5 split 3:2, and half a share was paid out: 7.5 by the ratio, 7 by the second answer."""
    day = Day({"real-day-trading": {"TSLA": alert(None)}})
    day.answer({OTHER: 1})
    day.fill(STK, 5, 300)
    day.wait(60)
    day.answer({STK: 7, OTHER: 1})
    day.add(f.AdjustmentTold(day.now, ACC, 7, "split", None, ratio=Decimal("1.5")))
    shows(day, A, 7.5)
    assert day.right().alert(A).avg_price == 200
    assert len(day.right().waiting("unexplained")) == 1
    day.wait(61)
    day.answer({STK: 7, OTHER: 1})
    shows(day, A, 7)
    assert not day.right().waiting("unexplained")


def test_told_cause_names_a_difference() -> None:
    """2 of 5 short puts were assigned: told without a quantity, the broker's word says how many."""
    day = Day({"real-day-trading": {"TSLA": alert(P95)}})
    day.answer({OTHER: 1})
    day.fill(P95, -5)
    day.answer({P95: -3, OTHER: 1})
    day.add(f.AdjustmentTold(day.now, ACC, 96, "assigned", None))
    right = day.right()
    assert not right.waiting("unexplained")
    assert seen(right.alert(A).quantity, [one.cause for one in right.adjustments]) == (-3, ["assigned"])


def test_told_cause_names_an_adjustment() -> None:
    """All 5 short puts vanished, and went after 5 minutes; told later that they were assigned."""
    day = Day({"real-day-trading": {"TSLA": alert(P95)}})
    day.answer({OTHER: 1})
    day.fill(P95, -5)
    for _ in range(2):
        day.answer({OTHER: 1})
        day.wait(301)
    assert day.right().alert(A).closed_by == "adjusted"
    day.add(f.AdjustmentTold(day.now, ACC, 96, "assigned", None))
    right = day.right()
    assert seen(right.alert(A).closed_by, len(right.adjustments)) == ("assigned", 1)


def test_move_is_in_a_later_answer() -> None:
    """10 moved to another account, whose answer has them by then: 10 are held there, not 20."""
    day = bought_ten()
    day.wait(60)
    moved = day.now - timedelta(seconds=30)
    day.answer({(ACC2, STK): 10, OTHER: 1, (ACC, STK): 0})
    day.add(f.AdjustmentTold(day.now, ACC, 7, "transferred", moved, moved_to=ACC2))
    right = day.right()
    assert seen(right.positions[ACC2, 7], right.openings[ACC2, 7].quantity) == (10, 0)
    assert right.alert(A).quantities == {(ACC2, 7): 10}
    day.wait(61)
    day.answer({(ACC2, STK): 10, OTHER: 1, (ACC, STK): 0})
    assert not day.right().waiting("unexplained")


def test_move_meets_what_was_held_there() -> None:
    """5 were held in the other account; 10 come: 15, of which the alert has 10."""
    day = Day({"real-day-trading": {"TSLA": alert(None)}})
    day.answer({(ACC2, STK): 5, OTHER: 1})
    day.fill(STK, 10, 200)
    day.wait(60)
    day.answer({(ACC2, STK): 15, OTHER: 1})
    day.add(f.AdjustmentTold(day.now, ACC, 7, "transferred", None, moved_to=ACC2))
    right = day.right()
    assert seen(right.positions[ACC2, 7], right.openings[ACC2, 7].quantity) == (15, 5)
    assert right.alert(A).quantities == {(ACC2, 7): 10}
    assert not right.waiting("unexplained")
    day.fill(STK, -15, 200, account=ACC2)
    one = day.right().alert(A)
    assert seen(one.quantity, one.open) == (0, False)
