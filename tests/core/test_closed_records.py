"""What a record that was closed gets later, and what it is once all that was given away again.

Expected values are worked out by hand from the rules (MATCHING.md), not from the code.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.facts import (
    ACCOUNT,
    ALERT,
    Story,
    exec_id,
    execution,
    held,
    matched,
    quantity,
    shown,
    unmatched,
)
from tests.support.held_stock import Held
from tests.support.ownership import OTHER, assign, rematch, swept
from tracker.core.alert_updates import CLOSED_AS_BEFORE, EventKind
from tracker.core.model import Source


def test_closed_record_gets_newer_lots_only() -> None:
    """A late match opens a closed record with what was opened after its close, and with nothing older."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 2, at=0, perm_id=1))
    story.decide = matched(ALERT)
    story.tell(execution(exec_id(2), 1, at=5, perm_id=2), execution(exec_id(3), -1, at=10, perm_id=3))
    assert (quantity(story), shown(story).open) == (0, False)
    rematch(story, 1)
    assert (quantity(story), shown(story).open) == (0, False)
    story.decide = unmatched
    story.tell(execution(exec_id(4), 4, at=20, perm_id=4))
    story.decide = matched(ALERT)
    rematch(story, 4)
    assert (quantity(story), shown(story).open) == (4, True)


def test_lot_of_the_closing_second_is_behind_the_close() -> None:
    """Long 3; in one second a sale of 3 closes the alert and another order's sale opens 2 short.

    By the order within a second the short was opened after the close; an older lot of nobody was not.
    """
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 1, at=5, perm_id=1))
    story.decide = matched(ALERT)
    story.tell(execution(exec_id(2), 3, at=0, perm_id=2), execution(exec_id(3), -3, at=5, perm_id=3))
    assert (quantity(story), held(story)) == (0, 1)
    rematch(story, 1)
    assert quantity(story) == 0
    story.decide = unmatched
    story.tell(execution(exec_id(4), -3, at=5, perm_id=4))
    story.decide = matched(ALERT)
    rematch(story, 4)
    assert (quantity(story), held(story)) == (-2, -2)


def test_rest_of_the_closing_execution_is_not_behind_the_close() -> None:
    """A sale of 5 closes the 3 of the alert and opens 2 short: a late match leaves the record closed."""
    story = Story(matched(ALERT))
    story.tell(execution(exec_id(1), 3, at=0, perm_id=1))
    story.decide = unmatched
    story.tell(execution(exec_id(2), -5, at=5, perm_id=2))
    story.decide = matched(ALERT)
    rematch(story, 2)
    assert (quantity(story), held(story)) == (0, -2)


def test_person_opens_a_closed_record() -> None:
    """What a rule may not, a person may: older lots go to a closed record."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 2, at=0, perm_id=1))
    story.decide = matched(ALERT)
    story.tell(execution(exec_id(2), 1, at=5, perm_id=2), execution(exec_id(3), -1, at=10, perm_id=3))
    assign(story, 1, ALERT)
    assert (quantity(story), shown(story).open) == (2, True)


@pytest.mark.parametrize(("sold", "left"), [(4, -2), (2, 0)])
def test_late_sale_of_the_closing_second_gives_a_closed_record_nothing(sold: int, left: int) -> None:
    """Short 1, another order sells 1 more, and a purchase of that second closes the record behind that.

    A late match leaves the record closed. Then a sweep brings that it was long by then, and sold in that
    second before the other order did: what was decided stays, and the sale is its own where it is short.
    """
    story = Story(matched(ALERT))
    story.tell(execution(exec_id(2), -1, at=0, perm_id=2))
    story.decide = unmatched
    story.tell(execution(exec_id(4), -1, at=60, perm_id=9), execution(exec_id(5), 1, at=60, perm_id=5))
    story.decide = matched(ALERT)
    rematch(story, 4)
    assert (quantity(story), held(story)) == (0, -1)
    late = execution(exec_id(1), 2, at=40, perm_id=1, request_id=900)
    swept(story, late, execution(exec_id(3), -sold, at=60, perm_id=3, request_id=900))
    assert (quantity(story), held(story)) == (left, 1 - sold)


def test_late_fill_takes_nothing_of_the_closing_second_away() -> None:
    """Long 4, sold; another order sells 3 in that second, which a late match gives to the record.

    A late fill of its own, between that second and the decision, changes nothing of it.
    """
    story = Story(matched(ALERT))
    story.tell(execution(exec_id(1), 4, at=0), execution(exec_id(2), -4, at=60, perm_id=2))
    story.decide = unmatched
    story.tell(execution(exec_id(3), -3, at=60, perm_id=9), execution(exec_id(5), -1, at=80, perm_id=8))
    story.decide = matched(ALERT)
    rematch(story, 3)
    assert (quantity(story), held(story)) == (-3, -4)
    swept(story, execution(exec_id(4), -2, at=70, perm_id=7, request_id=900))
    assert (quantity(story), held(story)) == (-5, -6)


@pytest.mark.parametrize("at", [60, 70])
def test_record_is_closed_as_before_once_what_opened_it_is_given_away(at: int) -> None:
    """Long 4 at 2.50, sold; a late match opens it again with another order's short, which a person moves.

    It shows what it had closed; taken back, it has the short again.
    """
    story = Story(matched(ALERT))
    story.tell(execution(exec_id(1), 4, at=0), execution(exec_id(2), -4, at=60, perm_id=2))
    before = shown(story).position
    story.decide = unmatched
    story.tell(execution(exec_id(3), -3, at=at, perm_id=9, price="9"))
    story.decide = matched(ALERT)
    rematch(story, 3)
    assert quantity(story) == -3
    assign(story, 3, OTHER)
    seq = story.seq
    assert (quantity(story), quantity(story, OTHER)) == (0, -3)
    assert shown(story).position == before
    closed = [event.what for event in story.events if event.kind is EventKind.CLOSED]
    assert [event.get("note") for event in closed] == [None, CLOSED_AS_BEFORE]
    story.note(Source.PERSON, "undo", str(seq), ACCOUNT, exec_id(3))
    assert (quantity(story), quantity(story, OTHER)) == (-3, 0)


def test_record_that_is_closed_as_before_gets_nothing_older() -> None:
    """It had closed 4, and was open again only with what a person moved since."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 1, at=0, perm_id=1))
    story.decide = matched(ALERT)
    story.tell(execution(exec_id(2), 4, at=5, perm_id=2), execution(exec_id(3), -4, at=60, perm_id=3))
    story.tell(execution(exec_id(4), 3, at=70, perm_id=9))
    assert (quantity(story), held(story)) == (3, 4)
    assign(story, 4, OTHER)
    rematch(story, 1)
    assert (quantity(story), shown(story).open) == (0, False)


@pytest.mark.parametrize("had", [4, -4])
@pytest.mark.parametrize("signed", [3, -3])
@pytest.mark.parametrize("late", [0, 2, -2, -5])
def test_lot_of_the_second_of_an_adjustment_is_behind_the_close(had: int, signed: int, late: int) -> None:
    """4 vanish and close the record; 3 of that second are told later, and matched later still.

    The broker's word contains nothing that was told of its second since, so they open the record on either
    side. What a late fill of its own shrinks or enlarges the adjustment by changes nothing of that.
    """
    verdict = [matched(ALERT)]
    story = Held(had, lambda fill: verdict[-1](fill))
    story.answer(0)
    story.answer(0, after=301)
    (gone,) = story.adjustments
    assert (quantity(story), shown(story).open) == (0, False)
    verdict.append(unmatched)
    story.trade(signed, ago=(story.now - gone.place.time).total_seconds())
    verdict.append(matched(ALERT))
    rematch(story, story.number)
    assert (quantity(story), held(story)) == (signed, signed)
    if late:
        own = late if had > 0 else -late
        story.trade(own, ago=(story.now - gone.place.time).total_seconds() + 20)
        assert (quantity(story), held(story)) == (signed, signed)


def test_lot_that_the_broker_s_word_contains_is_not_behind_the_close() -> None:
    """4 of the record and 3 of another, bought in the second of the answer, of which 3 are left.

    The oldest go first, so the record is closed; the 3, which a late match shares, it does not get.
    """
    verdict = [matched(ALERT)]
    story = Held(4, lambda fill: verdict[-1](fill))
    verdict.append(matched(OTHER))
    story.now = second = (story.now + timedelta(seconds=91)).replace(microsecond=0)
    story.trade(3)
    bought = story.number
    story.answer(3, after=0)
    story.answer(3)
    assert [one.place.time for one in story.adjustments] == [second]
    assert (quantity(story), quantity(story, OTHER)) == (0, 3)
    verdict.append(matched(ALERT, OTHER))
    rematch(story, bought)
    assert (quantity(story), quantity(story, OTHER)) == (0, 3)


@pytest.mark.parametrize("at", [60, 61])
def test_late_sale_before_the_close_takes_nothing_of_what_was_decided(at: int) -> None:
    """Long 4, sold; another order sells 3 in that second, or in the next one, which a late match gives.

    A late sale of 4 from before closes the record by then, and the other sale opened 4 short: 7 are short.
    """
    story = Story(matched(ALERT))
    story.tell(execution(exec_id(1), 4, at=0), execution(exec_id(2), -4, at=60, perm_id=2))
    story.decide = unmatched
    story.tell(execution(exec_id(3), -3, at=at, perm_id=9))
    story.decide = matched(ALERT)
    rematch(story, 3)
    assert (quantity(story), held(story)) == (-3, -3)
    swept(story, execution(exec_id(4), -4, at=40, perm_id=7, request_id=900))
    assert (quantity(story), held(story)) == (-7, -7)
    assign(story, 3, OTHER)
    story.note(Source.PERSON, "undo", str(story.seq), ACCOUNT, exec_id(3))
    assert (quantity(story), held(story)) == (-7, -7)
