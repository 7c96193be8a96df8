"""Hand-worked days of rules 1.1 to 1.7: facts, places, late matches, the retry window, the inbox.

Written from the rules page before they were run; each names its rule.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.sim.rules_oracle import facts as f
from tests.support.oracle_day import (
    ACC,
    C95,
    C100,
    NOON,
    OTHER,
    STK,
    A,
    B,
    Day,
    alert,
    seen,
    shows,
)

# Rule 1.1: the broker's order, corrections


def test_late_older_execution_folds_in_place() -> None:
    """Buy 3 @ 2, sell 3; a buy of 2 @ 4 from before the sale arrives last: oldest lots were sold."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 3, 2, at=-30)
    day.fill(C95, -3, at=-10)
    day.fill(C95, 2, 4, at=-20)
    shows(day, A, 2)
    # One stretch: 3 @ 2 and 2 @ 4 average to 2.8, and the sale does not change that.
    assert day.right().alert(A).avg_price == Decimal("2.8")


def test_same_second_growth_comes_first() -> None:
    """Flat: the purchase comes before the sale of the same second, whichever arrives first."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, -3, at=0)
    day.fill(C95, 3, at=-1)
    shows(day, A, 0)
    assert day.right().positions[ACC, 95] == 0


def test_same_second_short_grows_by_sales() -> None:
    """Short 2: in one second a sale of 1 and a purchase of 3 end flat, all of it the alert's."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, -2, 5, at=-9)
    day.fill(C95, 3, at=0)
    day.fill(C95, -1, 3, at=-1)
    one = day.right().alert(A)
    assert seen(one.quantity, one.open) == (0, False)
    # (2 x 5 + 1 x 3) / 3
    assert one.avg_price == Decimal(13) / 3


def test_correction_changes_fact_in_place() -> None:
    """Correction changes quantity and price in place."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    exec_id = day.fill(C95, 3, 2)
    day.fill(C95, 1, 6)
    day.correct(exec_id, 2, 3)
    one = day.right().alert(A)
    assert one.quantity == 3
    assert one.avg_price == Decimal(4)  # (2 x 3 + 1 x 6) / 3


def test_correction_that_comes_first_and_repeats() -> None:
    """Version 02 before 01: 02 is in force. A repeat of either changes nothing."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 2, 3, exec_id="0000e0d5.0000aaaa.01.02", perm=9)
    day.fill(C95, 5, 2, exec_id="0000e0d5.0000aaaa.01.01", perm=9)
    day.fill(C95, 2, 3, exec_id="0000e0d5.0000aaaa.01.02", perm=9)
    shows(day, A, 2)


def test_five_segments_are_no_correction() -> None:
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 2, exec_id="0000e0d5.0000aaaa.01.01.01", perm=9)
    day.fill(C95, 3, exec_id="0000e0d5.0000aaaa.01.01.02", perm=9)
    shows(day, A, 5)


# Rule 1.2: places


def test_late_match_stands_behind_booked() -> None:
    """Two unowned buys of 2; 2 sold; then the alert appears: it owns the 2 that are left."""
    day = Day({"real-day-trading": {}})
    day.fill(C95, 2, 1, at=-30, perm=1)
    day.fill(C95, 2, 3, at=-20, perm=2)
    day.fill(C95, -2, at=-10)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(60))}})
    one = day.right().alert(A)
    assert seen(one.quantity, one.avg_price) == (2, 3)


def test_late_execution_folds_before_the_place() -> None:
    """As above, then a sale of 1 of before the place arrives: 1 is left to own there."""
    day = Day({"real-day-trading": {}})
    day.fill(C95, 2, at=-30)
    day.fill(C95, 2, at=-20)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(60))}})
    day.fill(C95, -3, at=-25)
    shows(day, A, 1)


def test_late_sale_closes_told_alert() -> None:
    """A sale with a time behind the place closes the alert, though it happened before the decision."""
    day = Day({"real-day-trading": {}})
    day.fill(C95, 2, at=-30)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(60))}})
    day.fill(C95, -2, at=-10)
    shows(day, A, 0)


def test_known_executions_precede_place_in_second() -> None:
    """The buy at second s is known; an unknown sale of the same second comes behind the place."""
    day = Day({"real-day-trading": {}})
    day.fill(C95, 2, at=-30)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(60))}})
    day.fill(C95, -2, at=-31)
    one = day.right().alert(A)
    assert seen(one.shown, one.quantity, one.open) == (True, 0, False)


# Rule 1.3: matched as it is booked


def test_older_swept_execution_gives_rest() -> None:
    """Swept: bought 60 s and sold 40 s before the creation; nothing to own. Then bought again live."""
    day = Day({"real-day-trading": {"TSLA": alert(C95, created=(NOON - timedelta(seconds=20)).isoformat())}})
    day.fill(C95, 3, at=-80, live=False)
    day.fill(C95, -3, at=-61, live=False)
    shows(day, A, None)
    day.fill(C95, 2)
    shows(day, A, 2)


def test_older_alert_owns_swept_execution() -> None:
    """Swept round trip behind the creation: the alert had it and is closed."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, -3, at=-40, live=False)
    day.fill(C95, 3, at=-60, live=False)
    shows(day, A, 0)


def test_closing_execution_is_matched() -> None:
    """A sale taken for a close turns out to open a short when an earlier sale arrives: it is the alert's."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({C95: 2, OTHER: 1})
    day.fill(C95, -2, at=-5)
    shows(day, A, None)
    day.fill(C95, -2, at=-9)
    shows(day, A, -2)


def test_skew_is_taken_off_alert() -> None:
    """The host is 300 s fast. A swept fill 10 s before the alert by the broker's clock is early, not late."""
    day = Day(start=False)
    day.skew = timedelta(seconds=300)
    day.add(f.Started(day.now))
    day.add(f.SkewMeasured(day.now, day.skew))
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}})
    day.fill(C95, 3, at=-10, live=False)
    shows(day, A, 3)


# Rule 1.4: matches found later


def test_closed_record_takes_younger_lots_only() -> None:
    """A bought and sold; an order from before its close is named by A's corrected conid: it stays closed."""
    day = Day({"real-day-trading": {"TSLA": alert(C100)}})
    day.fill(C95, 4, at=-30)
    day.fill(C100, 1, at=-20)
    day.fill(C100, -1, at=-10)
    day.read({"real-day-trading": {"TSLA": {**alert(C100), "option_conids": [95, 100]}}})
    shows(day, A, 0)
    assert day.right().unowned((ACC, 95)) == 4


def test_closed_record_reopens_behind_its_close() -> None:
    """Late match of a closed record with lots behind its close."""
    day = Day({"real-day-trading": {"TSLA": alert(C100)}})
    day.fill(C100, 1, at=-20)
    day.fill(C100, -1, at=-10)
    day.fill(C95, 4, at=-5)
    day.read({"real-day-trading": {"TSLA": {**alert(C100), "option_conids": [95, 100]}}})
    shows(day, A, 4)


def test_person_may_open_closed_record() -> None:
    """A person may always open a closed record."""
    day = Day({"real-day-trading": {"TSLA": alert(C100)}})
    exec_id = day.fill(C95, 4, at=-30)
    day.fill(C100, 1, at=-20)
    day.fill(C100, -1, at=-10)
    day.decide("assign", exec_id, A)
    shows(day, A, 4)


def test_assignment_gives_only_what_is_left() -> None:
    """Bought 3, sold 2, assigned: 1. No sale moves."""
    day = Day({"real-day-trading": {"TSLA": alert(C100)}})
    exec_id = day.fill(C95, 3, at=-30)
    day.fill(C95, -2, at=-20)
    day.decide("assign", exec_id, A)
    shows(day, A, 1)


def test_late_match_opens_with_the_short_of_the_closing_second() -> None:
    """Long 3; in one second 3 are sold for it and 2 more by another order, which find the alert later.

    Its record spoke of another strike meanwhile. Sales of one second stand by execId, the 2 behind the 3.
    """
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 3, at=-5)
    day.read({"real-day-trading": {"TSLA": alert(C100, created=alert(C95)["created_at"])}})
    day.fill(C95, -3, at=0)
    day.fill(C95, -2, at=-1)
    shows(day, A, 0)
    day.read({"real-day-trading": {"TSLA": alert(C95)}})
    shows(day, A, -2)


def test_late_match_is_not_computed_again_where_another_sale_of_that_second_closes() -> None:
    """A's short is bought back in the second in which another order sells 1 first, which finds A later.

    The record had closed behind that sale, so it gets none of it. Then the report tells that A was long by
    then and sold 4 in that second: now that sale is the close, before the other one. What was written down
    stays.
    """
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, -1, at=-60)
    day.read({"real-day-trading": {"TSLA": alert(C100, created=alert(C95)["created_at"])}})
    day.fill(C95, -1, at=0)
    day.fill(C95, 1, at=-1)
    shows(day, A, 0)
    day.read({"real-day-trading": {"TSLA": alert(C95)}})
    shows(day, A, 0)
    day.fill(C95, 2, at=-20, live=False)
    day.fill(C95, -4, at=-3, live=False, exec_id="0000e0d5.00000000.01.01")
    shows(day, A, -2)
    assert day.right().unowned((ACC, 95)) == -1


@pytest.mark.parametrize("had", [4, -4])
@pytest.mark.parametrize("signed", [3, -3])
def test_lot_of_the_second_of_an_adjustment_is_behind_the_close(had: int, signed: int) -> None:
    """4 vanish and close the record; 3 of that second are told later, and matched later still.

    The broker's word contains nothing of its second that was told since, so they open the record again. A
    late fill of its own, from before the word, changes nothing of what was decided.
    """
    day = Day({"real-day-trading": {"TSLA": alert(None)}})
    day.answer({OTHER: 1})
    day.fill(STK, had, 200)
    day.wait(60)
    day.answer({OTHER: 1})
    asked = day.now
    day.wait(301)
    day.answer({OTHER: 1})
    shows(day, A, 0)
    records = day.records
    day.read({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(STK, signed, 8, at=(asked - day.now).total_seconds(), live=False)
    day.read(records)
    shows(day, A, signed)
    day.fill(STK, 2, 8, at=(asked - day.now).total_seconds() - 20, live=False)
    shows(day, A, signed)


@pytest.mark.parametrize("later", [0, 1])
def test_late_sale_before_the_close_takes_nothing_of_what_was_decided(later: int) -> None:
    """Long 4, sold; in that second, or the next one, 3 are sold by another order, which matches late.

    A late sale of 4 from before closes the record by then, and the sale opened 4 short: 7 are short.
    """
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 4, 6, at=-100)
    day.fill(C95, -4, 7, at=-60)
    day.read({"real-day-trading": {"TSLA": alert(C100, created=alert(C95)["created_at"])}})
    day.fill(C95, -3, 8, at=-61 + later)
    day.read({"real-day-trading": {"TSLA": alert(C95)}})
    shows(day, A, -3)
    day.fill(C95, -4, 8, at=-90, live=False)
    shows(day, A, -7)


# Rule 1.5: shared later, or not at all


def test_second_alert_joins_all_lots() -> None:
    """Second alert is added to all lots of the order."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 2, perm=9)
    day.fill(C95, 3, perm=9)
    day.read({**day.records, "robindahood-alerts": {"TSLA": alert(C95, created=day.ago(5))}})
    shows(day, A, 5)
    shows(day, B, 5)
    assert day.right().alert(A).shared_with == (B,)
    day.fill(C95, -4)
    shows(day, A, 1)
    shows(day, B, 1)


def test_too_young_second_alert_joins_none() -> None:
    """The order's first fill is 200 s older than the second alert, its second fill 10 s: none of it."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 2, perm=9)
    day.wait(190)
    day.fill(C95, 3, perm=9)
    day.wait(9)
    day.read({**day.records, "robindahood-alerts": {"TSLA": alert(C95, created=day.ago(0))}})
    shows(day, A, 5)
    shows(day, B, None)


def test_reference_decided_order_is_not_shared() -> None:
    """Order that a reference decided is not shared later."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 2, ref=A)
    day.read({**day.records, "robindahood-alerts": {"TSLA": alert(C95, created=day.ago(5))}})
    shows(day, A, 2)
    shows(day, B, None)


def test_person_decided_order_is_not_rematched() -> None:
    """Order that a person decided is not matched again."""
    day = Day({"real-day-trading": {"TSLA": alert(C100)}})
    exec_id = day.fill(C95, 2)
    day.decide("assign", exec_id, A)
    day.read({**day.records, "robindahood-alerts": {"TSLA": alert(C95, created=day.ago(5))}})
    shows(day, A, 2)
    shows(day, B, None)


# Rule 1.6: the retry window


def test_alert_inside_and_behind_window() -> None:
    """Alert seen within the window and behind it."""
    for waited, quantity in ((899, 2), (901, None)):
        day = Day({"real-day-trading": {}})
        created = day.ago(5)
        day.fill(C95, 2)
        day.wait(waited - 1)
        day.read({"real-day-trading": {"TSLA": alert(C95, created=created)}})
        shows(day, A, quantity)


def test_absent_store_stops_window() -> None:
    """Time without a store does not count and a full look follows."""
    day = Day({"real-day-trading": {}})
    created = day.ago(5)
    day.fill(C95, 2)
    day.wait(1000)
    day.read(None)
    day.wait(3000)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=created)}})
    shows(day, A, 2)


def test_unchanged_store_ends_what_nobody_knows_of() -> None:
    """It is read 1000 s after the fill as it was, and away just then: all of that was time with a store."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    created, records = day.ago(5), day.records
    day.fill(C95, 2)
    day.wait(1000)
    day.add(f.StoreUnchanged(day.now))
    day.read(None)
    day.read({**records, "robindahood-alerts": {"TSLA": alert(C95, created=created)}})
    shows(day, B, None)


def test_killed_process_loses_what_it_did_not_keep() -> None:
    """It ran 1000 s since the fill and kept 800: the order, which has an owner, is matched for 100 s more."""
    for killed, quantity in ((True, 2), (False, None)):
        day = Day({"real-day-trading": {"TSLA": alert(C95)}})
        created = day.ago(5)
        day.fill(C95, 2)
        day.wait(800)
        day.add(f.RunTimeKept(day.now))
        day.wait(200)
        day.add(f.Stopped(day.now, killed=killed))
        day.add(f.Started(day.now))
        day.read({**day.records, "robindahood-alerts": {"TSLA": alert(C95, created=created)}})
        shows(day, B, quantity)


def test_full_look_refuses_younger_alert() -> None:
    """Full look after a start refuses an alert much younger than the fill."""
    day = Day({"real-day-trading": {}})
    day.fill(C95, 2)
    day.add(f.Stopped(day.now))
    day.now += timedelta(hours=3)
    day.add(f.Started(day.now))
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(3600))}})
    shows(day, A, None)


def test_missing_created_at_counts_first_seen() -> None:
    """Seen 60 s behind the fill it matches, 200 s behind it does not."""
    for waited, quantity in ((60, 2), (200, None)):
        day = Day({"real-day-trading": {}})
        day.fill(C95, 2)
        day.wait(waited)
        day.read({"real-day-trading": {"TSLA": alert(C95, created=None)}})
        shows(day, A, quantity)


def test_crash_loses_when_a_record_was_first_seen() -> None:
    """Seen at noon and, behind a crash, 1000 s later; a fill from in between needs what was written down."""
    for kept, quantity in ((True, 2), (False, None)):
        day = Day({"real-day-trading": {"TSLA": alert(C95, created=None)}})
        if kept:
            day.add(f.FirstSeenKept(day.now))
        day.wait(1000)
        day.add(f.Stopped(day.now, killed=True))
        day.add(f.Started(day.now))
        day.read(day.records)
        day.fill(C95, 2, at=-900, live=False)
        shows(day, A, quantity)


def test_late_sale_computes_no_match_again() -> None:
    """What closed the alert had opened the rest: not its own, also when an older sale turns up (rule 1.2)."""
    there = {"real-day-trading": {"TSLA": alert(C95)}}
    day = Day(there)
    day.fill(C95, 1)
    day.read({})
    day.fill(C95, -6, at=20, perm=9)
    day.read(there)
    shows(day, A, 0)
    day.fill(C95, -4, at=10, perm=9, live=False)
    shows(day, A, 0)


def test_ambiguity_needs_strong_rule() -> None:
    """Two share alerts agree; one goes: still ambiguous. A conid that names it settles it."""
    day = Day({"real-day-trading": {"TSLA": alert(None)}, "robindahood-alerts": {"TSLA": alert(None)}})
    day.fill(STK, 10, 100)
    assert len(day.right().waiting("ambiguous")) == 1
    day.read({"real-day-trading": {"TSLA": alert(None)}})
    shows(day, A, None)
    assert len(day.right().waiting("ambiguous")) == 1


# Rule 1.7: the inbox


def test_late_near_miss_is_told() -> None:
    """Near miss that shows up later is told."""
    day = Day({"real-day-trading": {}})
    day.fill(C95, 2, at=-200)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}})
    shows(day, A, None)
    assert [entry.alerts for entry in day.right().waiting("near miss")] == [(A,)]


def test_undecodable_waits_until_readable() -> None:
    """Undecodable waits until it can be read."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.add(f.UndecodableArrived(day.now, "0000e0d5.00000001.01.01"))
    assert len(day.right().waiting("undecodable")) == 1
    day.fill(C95, 2, exec_id="0000e0d5.00000001.01.01")
    assert not day.right().waiting("undecodable")


def test_removed_alert_reopens_for_person() -> None:
    """Removed alert that opens again needs a person."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}}, policy="remove")
    day.fill(C95, 3)
    sold = day.fill(C95, -3)
    assert day.right().alert(A).removed
    day.read({"real-day-trading": {}})
    day.correct(sold, 0)
    assert [entry.alerts for entry in day.right().waiting("reopened")] == [(A,)]
