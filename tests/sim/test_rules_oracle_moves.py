"""Hand-worked days of the rules' oracle: what goes to another account or contract (rule 4.6)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.sim.rules_oracle import facts as f
from tests.sim.rules_oracle.facts import Contract
from tests.support.oracle_day import ACC, ACC2, C95, OTHER, STK, A, Day, alert, bought_ten, seen


def moved_ten(listed: int) -> Day:
    """Return a day on which 10 move to another account, before an answer that lists so many there."""
    day = bought_ten()
    day.wait(60)
    moved = day.now - timedelta(seconds=30)
    day.answer({(ACC2, STK): listed, OTHER: 1, (ACC, STK): 0})
    day.add(f.AdjustmentTold(day.now, ACC, 7, "transferred", moved, moved_to=ACC2))
    return day


def test_move_is_in_a_later_answer() -> None:
    """10 moved to another account, whose answer has them by then: 10 are held there, not 20."""
    day = moved_ten(listed=10)
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


def test_move_told_behind_its_adjustments() -> None:
    """10 vanished here and came there, which two answers showed: the move explains both, undone neither."""
    day = bought_ten()
    day.fill(STK, 1, 200, account=ACC2)
    day.answer({STK: 10, OTHER: 1, (ACC2, STK): 1})
    for _ in range(2):
        day.wait(301)
        day.answer({STK: 0, OTHER: 1, (ACC2, STK): 11})
    assert len(day.right().adjustments) == 2
    day.add(f.AdjustmentTold(day.now, ACC, 7, "transferred", None, moved_to=ACC2))
    right = day.right()
    assert [one.cause for one in right.adjustments] == ["transferred"]
    assert right.alert(A).quantities == {(ACC2, 7): 11}
    day.add(f.AdjustmentUndone(day.now, ACC, 7))
    assert len(day.right().adjustments) == 2


def test_move_against_what_is_held_leaves_nobody_s() -> None:
    """10 come to a short of 2: that one is closed, and 8 belong to nobody."""
    day = bought_ten()
    day.fill(STK, -2, 200, account=ACC2)
    day.wait(60)
    day.answer({(ACC2, STK): 8, OTHER: 1})
    day.add(f.AdjustmentTold(day.now, ACC, 7, "transferred", None, moved_to=ACC2))
    right = day.right()
    assert seen(right.positions[ACC2, 7], right.unowned((ACC2, 7))) == (8, 8)
    one = right.alert(A)
    assert seen(one.quantity, one.open, one.avg_price, one.closed_by) == (0, False, 200, "transferred")


def test_move_against_what_nobody_owns_keeps_the_rest() -> None:
    """2 of the new contract were sold for no alert, and 5 come: 3 are left, of the alert."""
    new = Contract(8, "TSLB")
    day = bought_ten()
    day.fill(new, -2, 400)
    day.wait(60)
    day.add(f.AdjustmentTold(day.now, ACC, 7, "adjusted", day.now, becomes=new, ratio=Decimal("0.5")))
    right = day.right()
    assert seen(right.positions[ACC, 8], right.unowned((ACC, 8))) == (3, 0)
    one = right.alert(A)
    assert seen(one.quantities, one.avg_price, one.open) == ({(ACC, 8): 3}, 400, True)


def test_move_told_while_an_answer_is_under_way() -> None:
    """Nothing was held in the other account: the answer under way as a move is told has the 10 that came."""
    day = bought_ten()
    day.answer({STK: 10, (ACC2, OTHER): 1})
    day.sweep()
    day.add(f.PositionsAsked(day.now, 1))
    asked = day.now
    day.now += timedelta(seconds=1)
    day.add(f.AdjustmentTold(day.now, ACC, 7, "transferred", None, moved_to=ACC2))
    held = {(ACC, 7): Decimal(0), (ACC2, 7): Decimal(10), (ACC2, 55): Decimal(1)}
    day.add(f.PositionsAnswered(day.now, 1, held, broker_time=asked))
    right = day.right()
    assert seen(right.positions[ACC2, 7], right.openings[ACC2, 7].quantity) == (10, 0)


def test_move_told_in_the_second_of_an_answer() -> None:
    """2 are listed in the other account; a move that no answer shows is told behind that: 10 come to them."""
    day = bought_ten()
    day.answer({STK: 10, (ACC2, STK): 2, OTHER: 1})
    day.now += timedelta(milliseconds=400)
    day.add(f.AdjustmentTold(day.now, ACC, 7, "transferred", None, moved_to=ACC2))
    right = day.right()
    assert seen(right.positions[ACC2, 7], right.openings[ACC2, 7].quantity) == (12, 2)


def test_moved_to_another_account_and_contract() -> None:
    new = Contract(8, "TSLB")
    day = bought_ten()
    day.add(f.AdjustmentTold(day.now, ACC, 7, "transferred", day.now, moved_to=ACC2))
    assert day.right().alert(A).quantities == {(ACC2, 7): 10}
    day.add(f.AdjustmentTold(day.now, ACC2, 7, "adjusted", day.now, becomes=new, ratio=Decimal("0.5")))
    one = day.right().alert(A)
    assert seen(one.quantities, one.avg_price, one.open) == ({(ACC2, 8): 5}, 400, True)


def test_average_goes_along_with_a_move() -> None:
    """4 @ 2 and 4 @ 4 average to 3, also once 4 were sold and the rest goes to another account."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 4, 2)
    day.fill(C95, 4, 4)
    day.fill(C95, -4, 9)
    opened_at = day.right().alert(A).opened_at
    day.add(f.AdjustmentTold(day.now, ACC, 95, "transferred", day.now, moved_to=ACC2))
    one = day.right().alert(A)
    assert one.quantities == {(ACC2, 95): 4}
    assert seen(one.avg_price, one.opened_at) == (3, opened_at)


def test_more_came_than_is_held() -> None:
    """10 moved to an account of which the first answer since lists 7: nothing was held there, and 3 went."""
    day = moved_ten(listed=7)
    right = day.right()
    assert seen(right.openings[ACC2, 7].quantity, right.positions[ACC2, 7]) == (0, 10)
    assert right.alert(A).quantities == {(ACC2, 7): 10}


def test_what_nobody_explained_is_sold_first_elsewhere_too() -> None:
    """Rule 3.1: 10 are the alert's, 4 came for no known reason; in the other account those are sold first."""
    day = bought_ten()
    for _ in range(2):
        day.wait(61)
        day.answer({STK: 14, OTHER: 1})
    day.add(f.AdjustmentTold(day.now, ACC, 7, "transferred", day.now, moved_to=ACC2))
    day.wait(1)
    day.fill(STK, -5, 200, account=ACC2)
    assert day.right().alert(A).quantities == {(ACC2, 7): 9}


@pytest.mark.parametrize(("first", "last"), [(ACC, ACC2), (ACC2, ACC)])
def test_two_accounts_vanish_in_one_second(first: str, last: str) -> None:
    """1 @ 2 and 1 @ 4 were bought in two accounts before the alert was there; then the broker has neither.

    Within that second the account whose execution came last was last: its average is what is shown.
    """
    day = Day({})
    day.answer({(ACC, OTHER): 1, (ACC2, OTHER): 1})
    day.fill(C95, 1, 2, account=first)
    day.fill(C95, 1, 4, account=last)
    day.read({"real-day-trading": {"TSLA": alert(C95)}})
    for _ in range(2):
        day.wait(301)
        day.answer({(ACC, OTHER): 1, (ACC2, OTHER): 1})
    one = day.right().alert(A)
    assert seen(one.open, one.closed_by, one.avg_price) == (False, "adjusted", 4)


@pytest.mark.parametrize(("source", "target"), [(ACC, ACC2), (ACC2, ACC)])
def test_what_goes_on_and_vanishes_there_in_one_second(source: str, target: str) -> None:
    """10 @ 2 and 3 @ 1 vanish from two accounts; a person says that the 10 had gone to the other one.

    The broker's word about that account, of the same second, closes them there: that is the last change.
    """
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({(ACC, OTHER): 1, (ACC2, OTHER): 1})
    day.fill(C95, 3, 1, account=target)
    day.fill(C95, 10, 2, account=source)
    for _ in range(2):
        day.wait(301)
        day.answer({(ACC, OTHER): 1, (ACC2, OTHER): 1})
    day.add(f.AdjustmentTold(day.now, source, 95, "transferred", None, moved_to=target))
    one = day.right().alert(A)
    assert seen(one.open, one.closed_by, one.avg_price) == (False, "adjusted", Decimal(23) / 13)


def test_split_told_before_a_merger_of_the_same_second() -> None:
    """2 short are split 2 for 1, and then 10 of another contract become 5 of it: 1 is held, not 6."""
    new = Contract(8, "TSLB")
    day = bought_ten()
    day.fill(new, -2)
    day.add(f.AdjustmentTold(day.now, ACC, 8, "split", None, ratio=Decimal(2)))
    day.add(f.AdjustmentTold(day.now, ACC, 7, "adjusted", None, becomes=new, ratio=Decimal("0.5")))
    assert day.right().positions[ACC, 8] == 1


@pytest.mark.parametrize("sold", [False, True])
def test_opening_balance_is_one_where_it_goes_on(*, sold: bool) -> None:
    """5 held before all go on beside 10 of the alert, in an account where an order of nobody bought 3.

    Rule 3.1: a sale takes the lots first, all 13, and the balance last. Rule 4.5: a word takes the oldest of
    nobody first.
    """
    day = Day({"real-day-trading": {"TSLA": alert(None)}})
    day.answer({STK: 5, OTHER: 1, (ACC2, OTHER): 1})
    day.fill(STK, 10, 200)
    day.read({"real-day-trading": {"TSLA": alert(C95)}})
    bought = day.fill(STK, 3, 200, account=ACC2)
    day.answer({STK: 15, OTHER: 1, (ACC2, STK): 3})
    day.wait(60)
    day.answer({OTHER: 1, (ACC2, STK): 18})
    day.add(f.AdjustmentTold(day.now, ACC, 7, "transferred", None, moved_to=ACC2))
    assert seen(day.right().positions[ACC2, 7], day.right().opening_left[ACC2, 7]) == (18, 5)
    if sold:
        day.fill(STK, -14, 210, account=ACC2)
    for _ in range(0 if sold else 2):
        day.wait(61)
        day.answer({OTHER: 1, (ACC2, STK): 14})
    right = day.right()
    assert seen(right.positions[ACC2, 7], right.opening_left[ACC2, 7]) == ((4, 4) if sold else (14, 1))
    day.decide("assign", bought, A)
    left = day.right().alert(A).quantities
    assert left == ({} if sold else {(ACC2, 7): 13})


def test_lots_of_one_second_are_in_order_of_exec_id_where_they_meet() -> None:
    """5 of a stock, then 5 of another one with a lower execId are told; merged, and 4 of the 10 vanish."""
    new = Contract(8, "NVDA", local_symbol="NVDA", trading_class="NMS")
    day = Day({"real-day-trading": {"TSLA": alert(None), "NVDA": alert(None)}})
    day.fill(STK, 5, 200, exec_id="0000e0d5.00000009.01.01")
    day.fill(new, 5, 100, at=-1, exec_id="0000e0d5.00000008.01.01")
    day.answer({STK: 5, new: 5, OTHER: 1})
    day.wait(60)
    day.add(f.AdjustmentTold(day.now, ACC, 7, "adjusted", None, becomes=new))
    for _ in range(2):
        day.wait(61)
        day.answer({new: 6, OTHER: 1})
    right = day.right()
    assert seen(right.alert(A).quantity, right.alert("real-day-trading/NVDA").quantity) == (5, 1)


def test_successor_of_the_instant_of_a_move() -> None:
    """10 move to another account, and a new record takes over, at one instant: it has the 10."""
    day = bought_ten()
    day.add(f.AdjustmentTold(day.now, ACC, 7, "transferred", None, moved_to=ACC2))
    day.read({"real-day-trading": {"TSLA": alert(None, created=day.ago(0))}})
    day.add(f.LookedAgain(day.now))
    assert day.right().alert(A).quantities == {(ACC2, 7): 10}


@pytest.mark.parametrize(("listed", "left"), [(1000, 10), (30, 0)])
def test_merger_of_the_other_side_takes_what_is_unsettled_before_what_is_owned(
    listed: int, left: int
) -> None:
    """10 are owned, and more listed, which nothing explains. 100 short of another share become 50 short."""
    day = bought_ten()
    day.fill(OTHER, -101)
    day.answer({STK: listed, OTHER: -100})
    day.wait(60)
    day.add(f.AdjustmentTold(day.now, ACC, 55, "adjusted", None, ratio=Decimal("0.5"), becomes=STK))
    right = day.right()
    assert seen(right.alert(A).quantity, right.positions[ACC, 7]) == (left, -40)


def test_move_back_to_where_it_came_from_changes_nothing() -> None:
    """10 become 15 of another share, and a second word would have those become 10 again."""
    day = bought_ten()
    for con_id, into, ratio in ((7, OTHER, Decimal("1.5")), (55, STK, Decimal(2) / 3)):
        day.add(f.AdjustmentTold(day.now, ACC, con_id, "adjusted", None, ratio=ratio, becomes=into))
        assert day.right().alert(A).quantities == {(ACC, 55): 15}
