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
    answer_with_fourteen,
    bought_ten,
    seen,
    shows,
)

# Rules 4.1 and 4.2: what an answer contains


def test_missed_fill_may_be_in_the_answer_before() -> None:
    """3 were bought unseen, then the answer says 5, then a sweep brings the 3, with an older time.

    The answer may lag, so nobody knows whether it has them: 2 or 5 were held before, until the next one.
    """
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({C95: 5, OTHER: 1})
    day.fill(C95, 3, at=-30, live=False)
    assert not day.right().openings[ACC, 95].confirmed
    day.answer({C95: 5, OTHER: 1})
    opening = day.right().openings[ACC, 95]
    assert seen(opening.quantity, opening.confirmed) == (2, True)
    shows(day, A, 3)


def test_missed_fill_behind_the_answer() -> None:
    """5 are held; then 3 are bought unseen, which the next sweep brings: 5 were held before."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({C95: 5, OTHER: 1})
    day.wait(60)
    day.fill(C95, 3, at=-30, live=False)
    right = day.right()
    opening = right.openings[ACC, 95]
    assert seen(opening.quantity, opening.confirmed, right.positions[ACC, 95]) == (5, True, 8)


def test_fill_of_the_answer_s_second_is_in_doubt() -> None:
    """3 were bought unseen in the second of the answer: unconfirmed, until the next answer says it."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({C95: 5, OTHER: 1})
    day.fill(C95, 3, live=False)
    assert not day.right().openings[ACC, 95].confirmed
    day.answer({C95: 8, OTHER: 1})
    opening = day.right().openings[ACC, 95]
    assert seen(opening.quantity, opening.confirmed) == (5, True)


def test_later_sweep_without_it_shows_that_it_came_later() -> None:
    """An answer says 5, a sweep behind it lacks the fill that the next one brings, with an older time."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({C95: 5, OTHER: 1})
    day.sweep()
    day.fill(C95, 3, at=-30, live=False)
    opening = day.right().openings[ACC, 95]
    assert seen(opening.quantity, opening.confirmed) == (5, True)


def test_first_answer_of_a_connection_proves_nothing() -> None:
    """A sweep brought 3 and the link dropped: the answer before the new sweep does not agree with it yet."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 3, live=False)
    day.sweep()
    day.connect()
    day.answer({OTHER: 1}, sweep=False)
    day.answer({OTHER: 1})
    assert not day.right().openings[ACC, 95].confirmed
    day.answer({C95: 3, OTHER: 1})
    opening = day.right().openings[ACC, 95]
    assert seen(opening.quantity, opening.confirmed) == (0, True)


def test_disturbed_answer_shows_no_difference() -> None:
    """While positions were told another contract was traded: the answer is not compared."""
    day = bought_ten()
    answer_with_fourteen(day, lambda: day.fill(C95, 1))
    assert not day.right().waiting("unexplained")


def test_correction_disturbs_an_answer() -> None:
    """While positions were told a correction came: whether they contain it nobody knows."""
    day = bought_ten()
    exec_id = day.fill(C95, 2)
    answer_with_fourteen(day, lambda: day.correct(exec_id, 1))
    assert not day.right().waiting("unexplained")


def test_correction_of_the_price_alone_puts_no_opening_in_doubt() -> None:
    """8 were corrected to 1 before an answer says 6, then a sweep corrects the price: 5 were held before."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    exec_id = day.fill(C95, 8)
    second = day.correct(exec_id, 1)
    day.answer({C95: 6, OTHER: 1})
    day.correct(second, 1, 3.99, live=False)
    opening = day.right().openings[ACC, 95]
    assert seen(opening.quantity, opening.confirmed) == (5, True)


def test_lacking_answer_that_lags_tells_nothing() -> None:
    """A sweep brought +3, three answers lack it: what is uncertain and lacks it says nothing of it."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 3, live=False)
    for _ in range(3):
        day.answer({OTHER: 1})
        opening = day.right().openings[ACC, 95]
        assert seen(opening.quantity, opening.confirmed) == (0, False)
    shows(day, A, 3)
    day.answer({C95: 3, OTHER: 1})
    opening = day.right().openings[ACC, 95]
    assert seen(opening.quantity, opening.confirmed) == (0, True)
    shows(day, A, 3)


def test_sold_whole_and_unlisted_was_held_before() -> None:
    """A sweep brought a sale of 8; answers lack the contract, and the fourth is certain: 8 were held."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, -8, live=False)
    for _ in range(4):
        day.answer({OTHER: 1})
    right = day.right()
    opening = right.openings[ACC, 95]
    assert seen(opening.quantity, opening.confirmed, right.positions[ACC, 95]) == (8, True, 0)
    assert not right.alert(A).open


def test_lost_link_leaves_an_answer_uncertain() -> None:
    """The link to the broker was lost since the sweep: what the answer contains nobody can say."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.sweep()
    day.add(f.BrokerLost(day.now, 1))
    day.answer({C95: 5}, sweep=False)
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


def test_what_counts_tells_what_grows_within_a_second() -> None:
    """10 bought and sold, the broker says -6: in one second 1 is sold, which grows that, and 7 are bought."""
    day = bought_ten()
    day.fill(STK, -10, 200)
    day.answer({STK: -6, OTHER: 1})
    day.wait(5)
    day.fill(STK, 7, 210)
    day.fill(STK, -1, 220, at=-1)
    shows(day, A, 0)
    # What the 7 closed was sold at 220; nothing was bought at 210 to be sold again.
    assert day.right().alert(A).avg_price == 220


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


def test_reverse_split_told_late_keeps_what_is_left() -> None:
    """10 became 2 and cash for half a share, twice; told 1:4, then two more answers: 2 are the alert's."""
    day = bought_ten()
    for _ in range(2):
        day.answer({STK: 2, OTHER: 1})
        day.wait(61)
    day.add(f.AdjustmentTold(day.now, ACC, 7, "split", None, ratio=Decimal("0.25")))
    shows(day, A, 2.5)
    for _ in range(2):
        day.answer({STK: 2, OTHER: 1})
        day.wait(61)
    shows(day, A, 2)
    assert day.right().unowned((ACC, 7)) == 0


def test_ratio_without_an_exact_decimal() -> None:
    """Rule 4.5: three purchases of 1 @ 200 became 1 by 1:3, at 600, and the sale of 1 leaves nothing."""
    day = Day({"real-day-trading": {"TSLA": alert(None)}})
    day.answer({OTHER: 1})
    for _ in range(3):
        day.fill(STK, 1, 200)
    for _ in range(2):
        day.wait(61)
        day.answer({STK: 1, OTHER: 1})
    day.add(f.AdjustmentTold(day.now, ACC, 7, "split", None, ratio=Decimal(1) / 3))
    right = day.right()
    assert seen(right.alert(A).quantity, right.positions[ACC, 7], right.unowned((ACC, 7))) == (1, 1, 0)
    assert round(right.alert(A).avg_price or 0, 9) == 600
    day.wait(60)
    day.fill(STK, -1, 610)
    shows(day, A, 0)


def test_split_of_what_another_change_left() -> None:
    """4 of 10 went, twice; then a split of the 6 that are left is told: it explains nothing of that."""
    day = bought_ten()
    for _ in range(2):
        day.answer({STK: 6, OTHER: 1})
        day.wait(61)
    day.add(f.AdjustmentTold(day.now, ACC, 7, "split", None, ratio=Decimal(4)))
    shows(day, A, 24)


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


def test_what_went_before_is_not_handed_over() -> None:
    """Within one second an answer shows that all 5 went, then the record is replaced, then it is told."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({OTHER: 1})
    day.fill(C95, 5, at=30)
    day.answer({C95: 0, OTHER: 1})
    day.wait(1)
    day.read({"real-day-trading": {"TSLA": {**alert(C95), "created_at": day.ago(0)}}})
    shows(day, A, 5)
    day.add(f.AdjustmentTold(day.now, ACC, 95, "adjusted", None))
    shows(day, A, None)


def test_match_stands_before_an_answer_that_changes_nothing_yet() -> None:
    """Of 2 @ 2 and 5 of nobody 5 are listed; the 2 match meanwhile, and 2 of nobody's go as it is settled."""
    day = Day({})
    day.answer({OTHER: 1})
    created = day.ago(0)
    day.fill(C95, 2, 2)
    day.fill(C95, 5, 3, ref="tracker:demslayer/TSLA")
    day.wait(30)
    day.answer({C95: 5, OTHER: 1})
    day.wait(61)
    day.read({"real-day-trading": {"TSLA": {**alert(C95), "created_at": created}}})
    shows(day, A, 2)
    day.answer({C95: 5, OTHER: 1})
    shows(day, A, 2)


def test_split_told_while_an_answer_is_under_way() -> None:
    """10 are listed of 10 as a person says that they were split: the answers say that they were not."""
    day = bought_ten()
    for number in range(3):
        day.wait(301)
        day.sweep()
        day.add(f.PositionsAsked(day.now, 1))
        day.now += timedelta(seconds=1)
        if not number:
            day.add(f.AdjustmentTold(day.now, ACC, 7, "split", None, ratio=Decimal(2)))
        held = {(ACC, 7): Decimal(10), (ACC, 55): Decimal(1)}
        day.add(f.PositionsAnswered(day.now, 1, held, broker_time=day.now - timedelta(seconds=1)))
    right = day.right()
    assert seen(right.positions[ACC, 7], right.waiting("unexplained")) == (10, [])


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


def test_late_match_is_about_what_an_adjustment_left() -> None:
    """2 @ 8 and 4 @ 7 are nobody's; the broker holds 4; an alert that appears then has the 4 @ 7."""
    day = Day()
    day.answer({OTHER: 1})
    day.fill(STK, 2, 8, perm=600)
    day.fill(STK, 4, 7, perm=600)
    for _ in range(2):
        day.answer({STK: 4, OTHER: 1})
        day.wait(61)
    day.read({"real-day-trading": {"TSLA": alert(None, created=(day.ago(600)))}})
    one = day.right().alert(A)
    assert seen(one.quantity, one.avg_price) == (4, 7)


def test_both_accounts_end_in_one_second() -> None:
    """The broker's word ends what was bought at 100 and, later, at 200: the later one shows."""
    day = Day({"real-day-trading": {"TSLA": alert(None)}})
    day.answer({OTHER: 1, (ACC2, OTHER): 1})
    day.fill(STK, 10, 100, account=ACC2)
    day.fill(STK, 10, 200)
    for _ in range(2):
        day.answer({STK: 0, OTHER: 1, (ACC2, STK): 0, (ACC2, OTHER): 1})
        day.wait(301)
    one = day.right().alert(A)
    assert seen(one.quantity, one.closed_by, one.avg_price) == (0, "adjusted", 200)


def test_average_of_what_was_closed_before_a_split() -> None:
    """10 @ 200 are sold; 100 of nobody become 400: what was closed keeps its 200."""
    day = bought_ten()
    day.fill(STK, -10, 210)
    day.answer({STK: 100, OTHER: 1})
    day.add(f.AdjustmentTold(day.now, ACC, 7, "split", None, ratio=Decimal(4)))
    assert day.right().alert(A).avg_price == 200


def test_silence_behind_an_unproven_day_is_a_difference() -> None:
    """3 were bought on a day that nobody saw whole, and nothing is listed since: the 3 are unexplained."""
    day = Day({"real-day-trading": {"TSLA": alert(None)}})
    day.fill(STK, 3, 200)
    day.add(f.DaysUnproven(day.now, frozenset({day.now.date()})))
    day.wait(86_400)
    day.answer({OTHER: 1})
    right = day.right()
    assert seen(right.openings[ACC, 7].quantity, right.openings[ACC, 7].confirmed) == (0, True)
    assert right.unexplained[ACC, 7] == -3


def test_difference_is_measured_anew_behind_a_late_sale() -> None:
    """8 were listed of 10, a sale of 2 told late explains it; a split told of it leaves 8 of 16."""
    day = bought_ten()
    day.answer({STK: 8, OTHER: 1})
    day.fill(STK, -2, 200, at=-30, live=False)
    day.add(f.AdjustmentTold(day.now, ACC, 7, "split", None, ratio=Decimal(2)))
    right = day.right()
    assert seen(right.positions[ACC, 7], right.unexplained[ACC, 7]) == (16, -8)


def test_day_that_ends_unproven_later_leaves_the_opening() -> None:
    """5 are listed, 2 more are bought a minute later: that the evening was missed changes neither."""
    day = Day({"real-day-trading": {"TSLA": alert(None)}})
    day.answer({STK: 5, OTHER: 1})
    day.wait(60)
    day.fill(STK, 2, 200)
    day.wait(86_400)
    day.add(f.DaysUnproven(day.now, frozenset({(day.now - timedelta(days=1)).date()})))
    day.answer({STK: 9, OTHER: 1})
    right = day.right()
    assert seen(right.openings[ACC, 7].quantity, right.unexplained[ACC, 7]) == (5, 2)


def test_no_sweep_lacks_what_could_not_be_read() -> None:
    """It came unreadable before the answer, and readable behind a sweep: whether the 4 contain it is open."""
    day = Day({"real-day-trading": {"TSLA": alert(None)}})
    day.add(f.UndecodableArrived(day.now, "0000e0d5.00000001.01.01"))
    day.answer({STK: 4, OTHER: 1})
    day.sweep()
    day.fill(STK, 4, 200, at=-30, live=False)
    assert not day.right().openings[ACC, 7].confirmed


def test_correction_of_what_never_came_leaves_what_was_before_an_adjustment() -> None:
    """8 were held, 1 is bought, 3 more come, as two answers agree; then a missed fill is corrected to 2."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({STK: 8, OTHER: 1})
    day.fill(STK, 1)
    for _ in range(2):
        day.wait(61)
        day.answer({STK: 12, OTHER: 1})
    day.fill(STK, 2, exec_id="0000e0d5.00000077.01.02")
    day.answer({STK: 14, OTHER: 1})
    right = day.right()
    assert seen(right.openings[ACC, 7].quantity, right.positions[ACC, 7]) == (8, 14)


def test_what_a_sweep_under_way_reads_leaves_what_was_before_a_word() -> None:
    """8 were held, 1 is bought, a purchase of 2 comes unreadable, and the broker lists 11.

    A sweep brings the 2, and before its end a person takes the broker's word: that is no doubt about the 8.
    """
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({STK: 8, OTHER: 1})
    day.fill(STK, 1)
    unread = "0000e0d5.00000077.01.01"
    day.add(f.UndecodableArrived(day.now, unread))
    day.answer({STK: 11, OTHER: 1})
    day.add(f.SweepAsked(day.now, day.connection))
    day.fill(STK, 2, at=-1, live=False, exec_id=unread)
    day.add(f.AdjustmentTold(day.now, ACC, 7, "adjusted", None))
    day.add(f.SweepEnded(day.now, day.connection))
    right = day.right()
    assert seen(right.openings[ACC, 7].confirmed, right.openings[ACC, 7].quantity) == (True, 8)
    assert right.positions[ACC, 7] == 11


def test_split_explains_no_empty_answer() -> None:
    """4 were sold between an answer that lists nothing and the split, and are told late: 6 are split 4:1."""
    day = bought_ten()
    day.answer({})
    day.add(f.AdjustmentTold(day.now + timedelta(seconds=60), ACC, 7, "split", None, ratio=Decimal(4)))
    day.fill(STK, -4, at=30, live=False)
    shows(day, A, 24)
