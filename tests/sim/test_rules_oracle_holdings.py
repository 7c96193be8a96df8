"""Hand-worked days of rules 3.1 to 4.7: what a fill closes, and what the broker holds.

Written from the rules page before they were run; each names its rule.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.sim.rules_oracle import facts as f
from tests.support.oracle_day import (
    ACC,
    ACC2,
    C95,
    C100,
    OTHER,
    P95,
    STK,
    A,
    B,
    D,
    Day,
    Records,
    alert,
    bought_ten,
    option,
    seen,
    shows,
)

# Rule 3.1: what a fill closes


def two_alerts() -> Records:
    return {"real-day-trading": {"TSLA": alert(C95)}, "robindahood-alerts": {"TSLA": alert(C95)}}


def test_close_without_reference_in_order() -> None:
    """Without a reference owned lots oldest first then unowned then the opening balance."""
    day = Day({"real-day-trading": {"TSLA": alert(C100)}, "robindahood-alerts": {"TSLA": alert(C100)}})
    day.answer({C95: 10, OTHER: 1})
    day.fill(C95, 1, at=-50)
    one, two = day.fill(C95, 2, at=-40), day.fill(C95, 3, at=-30)
    day.decide("assign", one, A)
    day.decide("assign", two, B)
    day.fill(C95, -3)
    shows(day, A, 0)
    shows(day, B, 2)
    assert day.right().unowned((ACC, 95)) == 1
    day.fill(C95, -3)
    right = day.right()
    assert seen(right.alert(B).quantity, right.unowned((ACC, 95)), right.opening_left[ACC, 95]) == (0, 0, 10)
    day.fill(C95, -4)
    assert day.right().opening_left[ACC, 95] == 6


def test_close_with_reference_in_order() -> None:
    """B owns 2 alone and 3 with A; 1 is unowned, the broker held 1, A owns 4 alone. Sold with B's name."""
    day = Day(two_alerts())
    day.answer({C95: 1, OTHER: 1})
    day.fill(C95, 3, at=-50)
    day.fill(C95, 2, ref=B, at=-40)
    day.fill(C95, 4, ref=A, at=-30)
    day.fill(C95, 1, ref="tracker:nobody/TSLA", at=-20)
    shows(day, B, 5)
    shows(day, A, 7)
    day.fill(C95, -2, ref=B)
    assert [day.right().alert(name).quantity for name in (A, B)] == [7, 3]
    day.fill(C95, -3, ref=B)
    assert [day.right().alert(name).quantity for name in (A, B)] == [4, 0]
    day.fill(C95, -2, ref=B)
    right = day.right()
    assert seen(right.unowned((ACC, 95)), right.opening_left[ACC, 95]) == (0, 0)
    assert seen(right.alert(A).quantity, right.took_from_others) == (4, ())
    last = day.fill(C95, -1, ref=B)
    assert day.right().alert(A).quantity == 3
    assert day.right().took_from_others == (last,)


def test_reference_closes_without_record() -> None:
    """Bought 2 with D's name, of whom no record exists, beside A's 3; sold 2 with D's name: A keeps 3."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 3, at=-30)
    day.fill(C95, 2, ref=D, at=-20)
    day.fill(C95, -2, ref=D)
    shows(day, A, 3)
    assert day.right().unowned((ACC, 95)) == 0


def test_old_shares_close_an_alert() -> None:
    """Old shares sold without a reference close the alert."""
    day = Day({"real-day-trading": {"TSLA": alert(None)}})
    day.answer({STK: 100, OTHER: 1})
    day.fill(STK, 10, 100)
    day.fill(STK, -10, 100)
    shows(day, A, 0)
    assert day.right().opening_left[ACC, 7] == 100


# Rule 3.2 and 3.3


def test_explained_sale_opens_no_short() -> None:
    """We know 3, a certain answer says 5; all 5 are sold: closed, and nobody is short."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({OTHER: 1})
    day.fill(C95, 3)
    day.answer({C95: 5, OTHER: 1})
    assert len(day.right().waiting("unexplained")) == 1
    day.fill(C95, -5)
    shows(day, A, 0)


def test_sale_beyond_held_opens_short() -> None:
    """A sale beyond what is held opens a short."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({OTHER: 1})
    day.fill(C95, 3)
    day.fill(C95, -5)
    shows(day, A, -2)


def test_accounts_and_contracts_are_not_netted() -> None:
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 3)
    day.fill(C95, -3, account=ACC2)
    one = day.right().alert(A)
    assert one.quantities == {(ACC, 95): 3, (ACC2, 95): -3}
    assert one.open


# Rule 4.2: the opening balance


def test_last_answer_before_is_opening() -> None:
    """Last certain answer before the first execution is the opening balance."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({C95: 5, OTHER: 1})
    day.wait(60)
    day.answer({C95: 4, OTHER: 1})
    day.fill(C95, 3)
    right = day.right()
    assert seen(right.openings[ACC, 95].quantity, right.openings[ACC, 95].confirmed) == (4, True)
    shows(day, A, 3)


def test_first_answer_after_is_opening() -> None:
    """Cold start: the sweep brings +3, the answer says 8: 5 were held."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 3, live=False)
    day.answer({C95: 8, OTHER: 1})
    assert day.right().openings[ACC, 95].quantity == 5
    shows(day, A, 3)


@pytest.mark.parametrize(("seconds", "before", "unexplained"), [(-30, 5, 4), (-90, 9, 0)])
def test_change_within_the_first_fill_s_own_sweep(seconds: int, before: int, unexplained: int) -> None:
    """5 are listed; 4 come, and the next sweep brings the first fill, of 3: 12 are listed.

    A fill younger than the 5 leaves them what was held before; else the 12 tell, less the 3.
    """
    day = Day({})
    day.answer({C95: 5, OTHER: 1})
    day.wait(60)
    day.fill(C95, 3, at=seconds, live=False)
    for _ in range(4):
        day.answer({C95: 12, OTHER: 1})
    right = day.right()
    assert right.openings[ACC, 95].quantity == before
    assert right.unexplained.get((ACC, 95), 0) == unexplained


@pytest.mark.parametrize("live", [False, True])
def test_unreadable_push_is_behind_the_answers_before_it(*, live: bool) -> None:
    """Rule 4.1: 4 are listed, 4 more are pushed and cannot be read; they are read later, older by the clock.

    So it is where only their correction can be read.
    """
    for version in ("01", "02"):
        day = Day({})
        day.answer({STK: 4, OTHER: 1})
        day.add(f.UndecodableArrived(day.now, "0000e0d5.00000077.01.01", live=True))
        day.add(f.SweepAsked(day.now, day.connection))
        day.fill(STK, 4, 200, at=-30, live=live, exec_id=f"0000e0d5.00000077.01.{version}")
        day.add(f.SweepEnded(day.now, day.connection))
        opening = day.right().openings[ACC, 7]
        assert seen(opening.quantity, opening.confirmed) == (4, True)


def test_answer_before_sweep_is_unconfirmed() -> None:
    """Answer without a sweep before it is unconfirmed and replaced."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({C95: 5, OTHER: 1}, sweep=False)
    day.fill(C95, 3)
    assert not day.right().openings[ACC, 95].confirmed
    day.answer({C95: 7, OTHER: 1})
    opening = day.right().openings[ACC, 95]
    assert seen(opening.quantity, opening.confirmed) == (4, True)


def test_newest_uncertain_answer_counts() -> None:
    """3 bought; 8 are listed, then 9, before any sweep. After a break 12 wait for a sweep, which is given up.

    No later answer is compared with an uncertain one, so the broker's newest word is the best there is.
    """
    day = Day({})
    day.fill(C95, 3)
    for listed, before in ((8, 5), (9, 6)):
        day.answer({C95: listed, OTHER: 1}, sweep=False)
        assert day.right().openings[ACC, 95].quantity == before
    day.add(f.SweepAsked(day.now, day.connection))
    day.add(f.SweepGivenUp(day.now, day.connection))
    day.connect()
    day.answer({C95: 12, OTHER: 1}, sweep=False)
    assert day.right().openings[ACC, 95].quantity == 6
    day.add(f.SweepAsked(day.now, day.connection))
    day.add(f.SweepGivenUp(day.now, day.connection))
    opening = day.right().openings[ACC, 95]
    assert seen(opening.quantity, opening.confirmed) == (9, False)


def test_answer_without_account_is_uncertain() -> None:
    """Answer that lacks every position of an account is never certain."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({})
    day.fill(C95, 3)
    opening = day.right().openings[ACC, 95]
    assert seen(opening.quantity, opening.confirmed) == (0, False)


def test_unproven_day_disqualifies_earlier_answer() -> None:
    """An answer says 5; a day is lost; then 1 is bought, and the answer behind it says 9: 8 were held."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({C95: 5, OTHER: 1})
    day.add(f.GapFound(day.now))
    day.fill(C95, 1)
    day.answer({C95: 9, OTHER: 1})
    assert day.right().openings[ACC, 95].quantity == 8


def test_balance_taken_stands_when_the_day_before_it_is_proven() -> None:
    """Nothing was listed before a day that nobody saw whole, 104 short after it: a report proves it later."""
    day = Day({"real-day-trading": {"TSLA": alert(None)}})
    day.answer({OTHER: 1})
    day.wait(86_400)
    day.add(f.DaysUnproven(day.now, frozenset({(day.now - timedelta(days=1)).date()})))
    day.fill(STK, -4, 200)
    day.answer({STK: -104, OTHER: 1})
    day.add(f.DaysUnproven(day.now, frozenset()))
    right = day.right()
    assert seen(right.openings[ACC, 7].quantity, right.unexplained) == (-100, {})


def test_lagging_answer_is_not_taken() -> None:
    """Rule 4.1: a sweep brought +3, the answer lacks the contract: it lags. The next one says 3."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 3, live=False)
    day.answer({OTHER: 1})
    assert not day.right().openings[ACC, 95].confirmed
    day.answer({C95: 3, OTHER: 1}, sweep=False)
    opening = day.right().openings[ACC, 95]
    assert seen(opening.quantity, opening.confirmed) == (0, True)
    shows(day, A, 3)


def test_round_trip_of_a_correction_does_not_lag() -> None:
    """Rule 4.1: 3 bought, which become 2, and 2 sold by one sweep: their sum is zero."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.correct(day.fill(C95, 3, at=-60, live=False), 2, live=False)
    day.fill(C95, -2, at=-50, live=False)
    day.answer({OTHER: 1})
    opening = day.right().openings[ACC, 95]
    assert seen(opening.quantity, opening.confirmed) == (0, True)


# Rule 4.3 to 4.5: differences and adjustments


def test_difference_waits_for_second_answer() -> None:
    """Difference is unexplained until a second answer a minute on."""
    day = bought_ten()
    day.answer({STK: 7, OTHER: 1})
    assert len(day.right().waiting("unexplained")) == 1
    shows(day, A, 10)
    day.wait(30)
    day.answer({STK: 7, OTHER: 1})
    shows(day, A, 10)
    day.wait(31)
    day.answer({STK: 7, OTHER: 1})
    shows(day, A, 7)
    right = day.right()
    assert not right.waiting("unexplained")
    assert [one.cause for one in right.adjustments] == ["adjusted"]


def test_unconfirmed_difference_goes_away() -> None:
    """Difference goes away when the second answer does not show it."""
    day = bought_ten()
    day.answer({STK: 14, OTHER: 1})
    day.wait(61)
    day.answer({STK: 10, OTHER: 1})
    right = day.right()
    assert not right.waiting("unexplained")
    assert not right.adjustments


def test_sweep_lies_between_two_answers() -> None:
    """A sweep must lie between the two answers."""
    day = bought_ten()
    day.answer({STK: 7, OTHER: 1})
    day.wait(61)
    day.answer({STK: 7, OTHER: 1}, sweep=False)
    shows(day, A, 10)


def test_vanished_whole_takes_five_minutes() -> None:
    day = bought_ten()
    day.answer({OTHER: 1})
    day.wait(61)
    day.answer({OTHER: 1})
    shows(day, A, 10)
    day.wait(240)
    day.answer({OTHER: 1})
    one = day.right().alert(A)
    assert seen(one.quantity, one.open, one.closed_by) == (0, False, "adjusted")


def test_same_difference_with_fills_since() -> None:
    """10 became 14 (+4); 3 are sold; the second answer says 11: the same difference."""
    day = bought_ten()
    day.answer({STK: 14, OTHER: 1})
    day.wait(61)
    day.fill(STK, -3, 200)
    day.answer({STK: 11, OTHER: 1})
    right = day.right()
    assert len(right.adjustments) == 1
    # Rule 3.1: what came up by an unknown cause is sold before owned lots.
    assert seen(right.alert(A).quantity, right.unowned((ACC, 7))) == (10, 1)


def test_late_execution_shrinks_an_adjustment() -> None:
    """Rule 4.4: the broker held 14 then; a late purchase of 3 from before leaves +1."""
    day = bought_ten()
    day.answer({STK: 14, OTHER: 1})
    day.wait(61)
    day.answer({STK: 14, OTHER: 1})
    day.fill(STK, 3, 200, at=-3600, live=False, ref="tracker:nobody/TSLA")
    right = day.right()
    assert right.positions[ACC, 7] == 14
    assert seen(right.alert(A).quantity, right.unowned((ACC, 7))) == (10, 4)


def test_downward_takes_opening_balance_first() -> None:
    """Rule 4.5: 5 held before, 10 bought; the broker says 8: the 5 go first, then 2 of the alert's."""
    day = Day({"real-day-trading": {"TSLA": alert(None)}})
    day.answer({STK: 5, OTHER: 1})
    day.fill(STK, 10, 200)
    for _ in range(2):
        day.answer({STK: 8, OTHER: 1})
        day.wait(61)
    shows(day, A, 8)
    assert day.right().opening_left[ACC, 7] == 0


def test_partial_assignment_of_a_short() -> None:
    """2 of 5 short puts are assigned: the alert shows -3."""
    day = Day({"real-day-trading": {"TSLA": alert(P95)}})
    day.answer({OTHER: 1})
    day.fill(P95, -5)
    for _ in range(2):
        day.answer({P95: -3, OTHER: 1})
        day.wait(61)
    shows(day, A, -3)


def test_known_split_scales_lots_and_price() -> None:
    """10 @ 200 split 4 for 1: 40 @ 50; the difference that was waiting is explained; all 40 are sold."""
    day = bought_ten()
    day.wait(60)
    day.answer({STK: 40, OTHER: 1})
    day.add(f.AdjustmentTold(day.now, ACC, 7, "split", day.now - timedelta(seconds=30), ratio=Decimal(4)))
    one = day.right().alert(A)
    assert seen(one.quantity, one.avg_price) == (40, 50)
    assert not day.right().waiting("unexplained")
    day.fill(STK, -40, 51)
    shows(day, A, 0)
    day.add(f.AdjustmentUndone(day.now, ACC, 7))
    assert not day.right().adjustments


def test_gap_is_likely_cause() -> None:
    """What a gap lets suspect is said."""
    day = bought_ten()
    day.add(f.GapFound(day.now))
    day.answer({STK: 14, OTHER: 1})
    assert "missed fills" in day.right().waiting("unexplained")[0].reason


# Rule 4.6: causes


def test_option_goes_by_expiry_rule() -> None:
    """Option goes by the expiry rule only once the day is over."""
    today = option(300, expiry="20261118")
    day = Day({"real-day-trading": {"TSLA": alert(today)}})
    day.answer({OTHER: 1})
    day.fill(today, 2)
    for _ in range(3):
        day.answer({OTHER: 1})
        day.wait(600)
    shows(day, A, 2)
    assert day.right().waiting("unexplained")
    day.wait(12 * 3600)
    day.answer({OTHER: 1})
    one = day.right().alert(A)
    assert seen(one.quantity, one.closed_by) == (0, "expired")


def test_told_assignment_names_its_cause() -> None:
    day = Day({"real-day-trading": {"TSLA": alert(P95)}})
    day.fill(P95, -5)
    day.add(f.AdjustmentTold(day.now, ACC, 96, "assigned", day.now, held=Decimal(0)))
    one = day.right().alert(A)
    assert seen(one.quantity, one.closed_by, one.open) == (0, "assigned", False)


# Rule 4.7


def test_unmanaged_account_closes_nothing() -> None:
    """Account that is no longer managed closes nothing."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 2)
    day.connect(frozenset({ACC2}))
    for _ in range(3):
        day.answer({(ACC2, OTHER): 1})
        day.wait(600)
    shows(day, A, 2)
    assert day.right().alert(A).unmanaged == (ACC,)


def test_sale_by_name_takes_lots_without_owner_oldest_first() -> None:
    """Of 4 that wait for settlement and 3 bought behind them, 4 are sold by the name of a record that is not.

    The next 3 sold without a name are an alert's then.
    """
    day = bought_ten()
    day.answer({STK: 14, OTHER: 1})
    day.fill(STK, 3, 200, ref="tracker:nobody/TSLA")
    day.fill(STK, -4, 200, ref="tracker:somebody/TSLA")
    day.fill(STK, -3, 200)
    shows(day, A, 7)


def test_opening_is_in_the_units_of_before_a_split() -> None:
    """10 were bought, each became 4, and 48 are listed then: 2 were held before."""
    day = Day({"real-day-trading": {"TSLA": alert(None)}})
    day.fill(STK, 10, 200)
    day.add(f.AdjustmentTold(day.now, ACC, 7, "split", None, ratio=Decimal(4)))
    day.answer({STK: 48, OTHER: 1})
    right = day.right()
    assert seen(right.openings[ACC, 7].quantity, right.positions[ACC, 7], right.unexplained) == (2, 48, {})


def test_cause_told_of_what_was_settled_puts_no_opening_in_doubt() -> None:
    """4 bought came unreadable and were settled, then came readable; that a person explains it is no news."""
    day = bought_ten()
    exec_id = "0000e0d5.00000099.01.01"
    day.add(f.UndecodableArrived(day.now, exec_id))
    day.answer({STK: 14, OTHER: 1})
    day.wait(61)
    day.answer({STK: 14, OTHER: 1})
    day.fill(STK, 4, 200, live=False, exec_id=exec_id)
    day.add(f.AdjustmentTold(day.now, ACC, 7, "adjusted", None))
    opening = day.right().openings[ACC, 7]
    assert seen(opening.quantity, opening.confirmed) == (0, True)


def test_person_confirms_that_an_account_is_flat() -> None:
    """An answer that lists nothing of an account is never certain; a person who knows says so."""
    day = bought_ten()
    day.answer({})
    shows(day, A, 10)
    day.add(f.AdjustmentTold(day.now, ACC, 7, "adjusted", None))
    shows(day, A, 0)


def test_answer_of_the_same_second_is_not_behind_a_split() -> None:
    """12 were listed, 2 of them held before; within that second 48 are, and a person names a split."""
    day = Day({"real-day-trading": {"TSLA": alert(None)}})
    day.fill(STK, 10, 200)
    day.answer({STK: 12, OTHER: 1})
    day.now += timedelta(microseconds=1)
    day.answer({STK: 48, OTHER: 1})
    day.add(f.AdjustmentTold(day.now, ACC, 7, "split", None, ratio=Decimal(4)))
    right = day.right()
    assert seen(right.openings[ACC, 7].quantity, right.positions[ACC, 7], right.unexplained) == (2, 48, {})
