"""Hand-worked days of the rules' oracle: what a person takes back."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.sim.rules_oracle import facts as f
from tests.support.oracle_day import ACC, ACC2, C95, C100, NOON, OTHER, STK, A, B, D, Day, alert, seen, shows


def test_undone_assignment_goes_to_the_successor() -> None:
    """Given to who has it; a re-alert has the 7 by now, sells 3, and the assignment is taken back."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    exec_id = day.fill(C95, 7, 6)
    day.decide("assign", exec_id, A, number=1)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}})
    day.fill(C95, -3)
    day.decide("undo", exec_id, number=1)
    shows(day, A, 4)
    assert day.right().orphans == ()


def test_undone_assignment_goes_to_a_record_that_is_there_again() -> None:
    """A and B own 7; given to B, which went to A and is back. Undone, both own 7 again."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    exec_id = day.fill(C95, 7, 6)
    other = {"Real Day Trading": {"TSLA": alert(C95, created=day.ago(2))}}
    day.read({"real-day-trading": {"TSLA": alert(C95)}, **other})
    shows(day, "Real Day Trading/TSLA", 7)
    day.decide("assign", exec_id, "Real Day Trading/TSLA", number=1)
    day.read({"real-day-trading": {"TSLA": alert(C95)}})
    shows(day, A, 7)
    day.read({"real-day-trading": {"TSLA": alert(C95)}, **other})
    day.decide("undo", exec_id, number=1)
    shows(day, A, 7)
    shows(day, "Real Day Trading/TSLA", 7)


def test_assignment_of_what_is_assigned_already_leaves_nothing_to_undo() -> None:
    """Given to A twice, handed to its re-alert; A is back, of another contract: nothing is taken back."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    exec_id = day.fill(STK, 7, 6)
    day.decide("assign", exec_id, A, number=1)
    day.decide("assign", exec_id, A, number=2)
    day.read({"real-day-trading": {"TSLA": alert(None, created=day.ago(2))}})
    shows(day, A, 7)
    day.read({"real-day-trading": {"TSLA": alert(C95)}})
    day.decide("undo", exec_id, number=2)
    shows(day, A, 0)


def test_dismissed_is_never_matched_again() -> None:
    day = Day({"real-day-trading": {}})
    exec_id = day.fill(C95, 2)
    day.decide("dismiss", exec_id)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(5))}})
    shows(day, A, None)
    day.decide("undo", exec_id)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(5))}})
    shows(day, A, None)


def test_undone_assignment_ends_from_now() -> None:
    """Rule 4.6: of 3 assigned 1 was sold; undone: the alert loses the 2 that are left."""
    day = Day({"real-day-trading": {"TSLA": alert(C100)}})
    exec_id = day.fill(C95, 3)
    day.decide("assign", exec_id, A)
    day.fill(C95, -1)
    day.decide("undo", exec_id)
    shows(day, A, 0)
    assert day.right().unowned((ACC, 95)) == 2


def test_undone_assignment_shows_what_was_closed_before() -> None:
    """A bought and sold 2 at 4; a fill of another contract is assigned and taken back: A shows that trip."""
    day = Day({"real-day-trading": {"TSLA": alert(C100)}})
    day.fill(C100, 2, 4, at=-30)
    day.fill(C100, -2, 5, at=-20)
    exec_id = day.fill(C95, 3, at=-10)
    day.decide("assign", exec_id, A)
    day.decide("undo", exec_id)
    shows(day, A, 0)
    assert day.right().alert(A).avg_price == Decimal(4)


def test_undone_assignment_shows_what_was_closed_meanwhile() -> None:
    """A had 2 at 4, and was given 3 of another contract; the 2 are sold, and the 3 are taken back."""
    day = Day({"real-day-trading": {"TSLA": alert(C100)}})
    day.fill(C100, 2, 4, at=-30)
    exec_id = day.fill(C95, 3, at=-20)
    day.decide("assign", exec_id, A)
    day.fill(C100, -2, 5, at=-10)
    day.decide("undo", exec_id)
    shows(day, A, 0)
    one = day.right().alert(A)
    assert seen(one.avg_price, one.opened_at) == (4, NOON - timedelta(seconds=30))


def test_dismissal_takes_nothing_from_an_alert() -> None:
    """Nothing of it needed a person."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.decide("dismiss", day.fill(C95, 3))
    shows(day, A, 3)


def test_undone_assignment_gives_back_to_rule() -> None:
    """A had 3 by its conid, B was given them and sold 1; undone: A has the 2 that are left, B is closed."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}, "robindahood-alerts": {"TSLA": alert(C100)}})
    exec_id = day.fill(C95, 3)
    day.decide("assign", exec_id, B)
    shows(day, A, 0)
    shows(day, B, 3)
    day.fill(C95, -1)
    day.decide("undo", exec_id)
    shows(day, A, 2)
    shows(day, B, 0)


def test_undone_assignment_opens_no_closed_record() -> None:
    """Rule 1.4: A closed behind the first 3 of an order, so a late match gave it only the 2 behind its close.

    Given to B, then to A itself; each taken back, A has what the match gave it.
    """
    day = Day(
        {"real-day-trading": {"TSLA": alert(C100)}, "robindahood-alerts": {"TSLA": alert(C100, strike="9")}}
    )
    exec_id = day.fill(C95, 3, perm=9, at=-60)
    day.fill(C100, 1, at=-50)
    day.fill(C100, -1, at=-40)
    day.fill(C95, 2, perm=9, at=-30)
    day.read({**day.records, "real-day-trading": {"TSLA": alert(C95)}})
    shows(day, A, 2)
    day.decide("assign", exec_id, B, number=1)
    shows(day, A, 0)
    shows(day, B, 5)
    day.decide("assign", exec_id, A, number=2)
    shows(day, A, 5)
    day.decide("undo", exec_id, number=2)
    shows(day, A, 0)
    shows(day, B, 5)
    day.decide("undo", exec_id, number=1)
    shows(day, A, 2)
    shows(day, B, 0)


def test_undone_order_is_never_matched_again() -> None:
    """Rule 1.6: neither its lots, behind a restart, nor what it fills later."""
    day = Day({"real-day-trading": {"TSLA": alert(C100)}})
    exec_id = day.fill(C95, 3, perm=9)
    day.decide("assign", exec_id, A)
    day.decide("undo", exec_id)
    day.add(f.Stopped(day.now, killed=True))
    day.add(f.Started(day.now))
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(5))}})
    day.fill(C95, 2, perm=9)
    shows(day, A, None)
    assert day.right().unowned((ACC, 95)) == 5


def test_undone_dismissal_waits_again() -> None:
    """Two share alerts agree. Dismissed it waits for nobody; undone it waits, also once a rival goes."""
    day = Day({"real-day-trading": {"TSLA": alert(None)}, "robindahood-alerts": {"TSLA": alert(None)}})
    exec_id = day.fill(STK, 10, 100)
    day.decide("dismiss", exec_id)
    assert not day.right().waiting("ambiguous")
    day.decide("undo", exec_id)
    assert len(day.right().waiting("ambiguous")) == 1
    day.read({"real-day-trading": {"TSLA": alert(None)}})
    shows(day, A, None)
    assert len(day.right().waiting("ambiguous")) == 1


def test_earlier_decision_undone_leaves_later_one() -> None:
    """Dismissed, then assigned; the dismissal taken back: A keeps it. The assignment too: it waits again."""
    day = Day({"real-day-trading": {"TSLA": alert(None)}, "robindahood-alerts": {"TSLA": alert(None)}})
    exec_id = day.fill(STK, 10, 100)
    day.decide("dismiss", exec_id, number=1)
    day.decide("assign", exec_id, A, number=2)
    day.decide("undo", exec_id, number=1)
    shows(day, A, 10)
    day.decide("undo", exec_id, number=2)
    shows(day, A, 0)
    assert day.right().unowned((ACC, STK.con_id)) == 10
    assert len(day.right().waiting("ambiguous")) == 1


def test_undone_assignment_knows_who_owned_before_it() -> None:
    """Of an order's two sales of a second the first is booked last, as A owns it: undone, A has none."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    second = day.fill(STK, -1, 5, perm=1, exec_id="0000e0d5.00000002.01.01")
    day.decide("assign", second, A, number=1)
    shows(day, A, -1)
    day.fill(STK, -8, 7, perm=1, at=-1, exec_id="0000e0d5.00000001.01.01")
    shows(day, A, -9)
    day.decide("undo", second, number=1)
    shows(day, A, 0)


def test_undone_assignment_leaves_what_the_alert_had_already() -> None:
    """A stands in for a re-alert that is gone. What its order fills is given to A and taken back: A keeps it.

    Before that fill, at 10, A had 1 at 2 and 1 at 6 and sold one: it shows 4 on average.
    """
    first = alert(C95)
    day = Day({"real-day-trading": {"TSLA": first}})
    exec_id = day.fill(C95, 1, 5, perm=1)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}})
    day.fill(C95, -1, 5)
    day.fill(C95, 1, 2)
    day.read({"real-day-trading": {"TSLA": first}})
    day.fill(C95, 1, 6)
    day.fill(C95, -1, 6)
    day.fill(C95, 1, 10, perm=1)
    assert seen(day.right().alert(A).quantity, day.right().alert(A).avg_price) == (2, 7)
    day.decide("assign", exec_id, A, number=1)
    day.decide("undo", exec_id, number=1)
    assert seen(day.right().alert(A).quantity, day.right().alert(A).avg_price) == (2, 7)
    assert day.right().orphans == ()


def test_record_is_closed_as_before_once_what_opened_it_is_given_away() -> None:
    """Rule 1.4: what was closed stays so. 4 bought at 6 and sold; a late match, a short of 3, is moved."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 4, 6, at=-100)
    day.fill(C95, -4, 7, at=-60)
    closed_at = day.right().alert(A).closed_at
    day.read({"real-day-trading": {"TSLA": alert(C100, created=alert(C95)["created_at"])}})
    short = day.fill(C95, -3, 8, at=-50)
    day.read({"real-day-trading": {"TSLA": alert(C95)}, "demslayer": {"TSLA": alert(C100)}})
    shows(day, A, -3)
    day.decide("assign", short, D, number=1)
    shows(day, A, 0)
    shown = day.right().alert(A)
    assert (shown.avg_price, shown.closed_at) == (Decimal(6), closed_at)
    day.decide("undo", short, number=1)
    shows(day, A, -3)


@pytest.mark.parametrize("at", [-40, -62], ids=["later", "in the same second"])
def test_last_close_of_several_is_shown_once_the_rest_is_given_away(at: int) -> None:
    """What was closed in the other account is the newer close, though what was given away is newer here."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}, "demslayer": {"TSLA": alert(C100)}})
    day.fill(C95, 4, 6, at=-100)
    day.fill(C95, 1, 5, at=-90, account=ACC2)
    day.fill(C95, -4, 7, at=-60)
    short = day.fill(C95, -3, 8, at=-50)
    day.fill(C95, -1, 9, at=at, account=ACC2)
    there = day.events[-1]
    day.decide("assign", short, D, number=1)
    shows(day, A, 0)
    shown = day.right().alert(A)
    assert isinstance(there, f.Executed)
    assert (shown.avg_price, shown.closed_at) == (Decimal(5), there.time)


@pytest.mark.parametrize("undone", [False, True])
def test_late_fill_doubts_no_opening_that_a_word_came_after(*, undone: bool) -> None:
    """13 are listed with 6 that were bought, so 7 were held; then 14, and a person takes that for right.

    A sweep brings 1 that was bought by then: it explains the 14, and whether it is in the 13 as well tells
    nothing. That matters only once the word is taken back.
    """
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(STK, 6)
    day.answer({STK: 13, OTHER: 1})
    day.wait(60)
    day.answer({STK: 14, OTHER: 1}, sweep=False)
    day.add(f.AdjustmentTold(day.now, ACC, 7, "adjusted", None))
    day.fill(STK, 1, at=-65, live=False)
    if undone:
        day.add(f.AdjustmentUndone(day.now, ACC, 7))
    right = day.right()
    assert seen(right.openings[ACC, 7].quantity, right.openings[ACC, 7].confirmed) == (7, not undone)
    assert right.positions[ACC, 7] == 14
