"""A person divides a fill: each part goes to one alert, the rest stays with its order.

Expected values are worked out by hand from the rules (MATCHING.md), not from the code.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.support.facts import (
    ACCOUNT,
    ALERT,
    SUCCESSOR,
    Story,
    alert_fields,
    booked,
    exec_id,
    execution,
    held,
    holding,
    matched,
    quantity,
    shown,
    unmatched,
    untouched,
)
from tests.support.ownership import OTHER, DatedStory, assign, rematch, swept
from tracker.core.alert_updates import EventKind
from tracker.core.journal_entries import WHOLE
from tracker.core.model import AlertId, Ambiguous, Execution, Rule, Source
from tracker.core.state import DECISIONS
from tracker.core.state_rows import AlertPosition

THIRD = AlertId("realdaytrading", "NVDA", "2025-11-18T15:42:40", 700100200)


def ambiguous(fill: Execution) -> Ambiguous:
    return Ambiguous(Rule.SYMBOL, (ALERT, OTHER))


def give(story: Story, number: int, alert: AlertId, quantity: int | str, *, whole: bool = False) -> int:
    """Give a part of a fill, or of its whole order; returns the ID."""
    fields = (ACCOUNT, exec_id(number), *alert_fields(alert), str(quantity))
    story.note(Source.PERSON, "assign_part", *fields, *([WHOLE] if whole else []))
    return story.seq


def undo(story: Story, number: int, decision: int) -> None:
    story.note(Source.PERSON, "undo", str(decision), ACCOUNT, exec_id(number))


def owned(story: Story) -> dict[AlertId, Decimal]:
    return {each.alert: each.quantity for each in holding(story).alerts}


def positions(story: Story) -> dict[AlertId, AlertPosition]:
    return {each.alert: each for each in holding(story).alerts}


def waits(story: Story, number: int = 1) -> bool:
    return booked(story, exec_id(number)).wants_person


def test_parts_sum_to_the_fill() -> None:
    """10 bought: 4 for one alert, 6 for the other; it waits for a person until all of it is given."""
    story = Story(ambiguous)
    story.tell(execution(exec_id(1), 10))
    give(story, 1, ALERT, 4)
    assert (quantity(story), untouched(story, OTHER), waits(story)) == (4, True, True)
    give(story, 1, OTHER, 6)
    assert (quantity(story), quantity(story, OTHER), waits(story)) == (4, 6, False)
    assert held(story) == 10
    assert [event.note for event in story.events if event.kind is EventKind.SETTLED] == [
        f"4 assigned to {ALERT.name}",
        f"6 assigned to {OTHER.name}",
    ]
    last = shown(story, OTHER).last_order_update or {}
    assert (last["matched_by"], last["filled_qty"]) == ("person", 10)


def test_no_more_is_given_than_is_left() -> None:
    """Of 10 bought 7 are given and 5 asked for: 3 are left. After that nothing is."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 10))
    give(story, 1, ALERT, 7)
    give(story, 1, OTHER, 5)
    give(story, 1, THIRD, 1)
    assert owned(story) == {ALERT: 7, OTHER: 3}
    assert [part.quantity for part in booked(story, exec_id(1)).parts] == [7, 3]


def test_part_is_taken_from_its_owner() -> None:
    """A rule gave 10 at 2.50 and 2 at 4.00; 4 of the 10 are another's: 6 at 2.50 and 2 at 4.00 are 2.875."""
    story = Story(matched(ALERT))
    story.tell(
        execution(exec_id(1), 10, "2.50", perm_id=1), execution(exec_id(2), 2, "4.00", at=5, perm_id=2)
    )
    give(story, 1, OTHER, 4)
    mine, others = positions(story)[ALERT], positions(story)[OTHER]
    assert (mine.quantity, mine.avg_price) == (Decimal(8), Decimal("2.875"))
    assert (others.quantity, others.avg_price) == (Decimal(4), Decimal("2.50"))


def test_part_of_own_lot_is_kept_from_later_decisions() -> None:
    """Its owner gets 4 of its 10 as a part: nothing changes, but that the order's next owner has 6."""
    story = Story(matched(ALERT))
    story.tell(execution(exec_id(1), 10))
    give(story, 1, ALERT, 4)
    assert owned(story) == {ALERT: 10}
    assign(story, 1, OTHER)
    assert owned(story) == {ALERT: 4, OTHER: 6}


def test_order_goes_on_without_its_parts() -> None:
    """4 are given; the whole order goes to another alert, which gets the other 6 and what fills later."""
    story = Story(ambiguous)
    story.tell(execution(exec_id(1), 10))
    give(story, 1, ALERT, 4)
    assign(story, 1, OTHER)
    story.tell(execution(exec_id(2), 3, at=5))
    assert owned(story) == {ALERT: 4, OTHER: 9}
    assert not waits(story)


def test_later_fill_of_a_divided_order_waits() -> None:
    """Whose a further fill is nobody said, and no rule decides an order that a person divided."""
    story = Story(ambiguous)
    story.tell(execution(exec_id(1), 10))
    give(story, 1, ALERT, 10)
    story.decide = matched(OTHER)
    rematch(story, 1)
    story.tell(execution(exec_id(2), 3, at=5))
    assert owned(story) == {ALERT: 10}
    assert (waits(story, 1), waits(story, 2)) == (False, True)


def test_part_of_an_order_takes_the_oldest_fills_first() -> None:
    """Fills of 4 and 6: 5 of the order are the first 4 and 1 of the second."""
    story = Story(ambiguous)
    story.tell(execution(exec_id(1), 4, "2.00"), execution(exec_id(2), 6, "3.00", at=5))
    decision = give(story, 2, ALERT, 5, whole=True)
    mine = positions(story)[ALERT]
    assert (mine.quantity, mine.avg_price) == (Decimal(5), Decimal("2.2"))
    assert (waits(story, 1), waits(story, 2)) == (False, True)
    undo(story, 1, decision)
    assert owned(story) == {}
    assert (waits(story, 1), waits(story, 2)) == (True, True)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("rule", ["ambiguous", "matched"])
def test_undone_parts_leave_the_state_as_it_was(rule: str, first: int) -> None:
    """Both parts are taken back, in either order: what is held, and by whom, is as before."""
    story = Story(ambiguous if rule == "ambiguous" else matched(THIRD))
    story.tell(execution(exec_id(1), 10))
    before = holding(story)
    given = [give(story, 1, ALERT, 4), give(story, 1, OTHER, 6)]
    assert {each.alert: each.quantity for each in holding(story).alerts} == {ALERT: 4, OTHER: 6}
    undo(story, 1, given.pop(first))
    undo(story, 1, given.pop())
    after = holding(story)
    assert after.lots == before.lots
    assert owned(story) == {each.alert: each.quantity for each in before.alerts}
    assert booked(story, exec_id(1)).parts == ()
    assert waits(story) is (rule == "ambiguous")


def test_part_of_one_fill_takes_of_no_other() -> None:
    """Fills of 4 and 6 of one order: 6 of the first are its 4."""
    story = Story(ambiguous)
    story.tell(execution(exec_id(1), 4), execution(exec_id(2), 6, at=5))
    give(story, 1, ALERT, 6)
    assert owned(story) == {ALERT: 4}
    assert (waits(story, 1), waits(story, 2)) == (False, True)


def test_undo_names_the_part_that_it_takes_back() -> None:
    """One of three parts goes back to the rest; a decision that gave no part of the fill changes nothing."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 10), execution(exec_id(2), 1, perm_id=2))
    give(story, 1, ALERT, 2)
    second = give(story, 1, OTHER, 3)
    give(story, 1, THIRD, 4)
    undo(story, 2, second)
    assert owned(story) == {ALERT: 2, OTHER: 3, THIRD: 4}
    undo(story, 1, second)
    assert owned(story) == {ALERT: 2, THIRD: 4}
    assert sorted(lot.quantity for lot in holding(story).lots if not lot.owners) == [1, 4]


def test_dismissed_rest_keeps_its_parts() -> None:
    """4 are given, the rest dismissed; the 4 are taken back: the fill stays dismissed."""
    story = Story(ambiguous)
    story.tell(execution(exec_id(1), 10))
    given = give(story, 1, ALERT, 4)
    story.note(Source.PERSON, "dismiss", ACCOUNT, exec_id(1))
    undo(story, 1, given)
    assert owned(story) == {}
    assert booked(story, exec_id(1)).dismissed
    assert not waits(story)


def test_sale_takes_what_is_owned_first() -> None:
    """4 of 10 are an alert's; 5 are sold without a reference: its 4, and 1 of nobody's."""
    story = Story(ambiguous)
    story.tell(execution(exec_id(1), 10))
    give(story, 1, ALERT, 4)
    story.tell(execution(exec_id(2), -5, at=9, perm_id=2))
    assert (quantity(story), shown(story).open, held(story)) == (0, False, 5)


def test_late_sale_leaves_less_to_give() -> None:
    """8 of 10 were given; a sale of 5 before that, reported later, leaves 5 for them."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 10), execution(exec_id(3), 1, at=20, perm_id=3))
    give(story, 1, ALERT, 8)
    swept(story, execution(exec_id(2), -5, at=10, perm_id=2, request_id=900))
    assert (quantity(story), held(story)) == (5, 6)


def test_what_was_sold_before_is_not_given() -> None:
    """10 bought and sold: nothing is left to give, and nothing is written down."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 10), execution(exec_id(2), -10, at=5, perm_id=2))
    give(story, 1, ALERT, 4)
    assert untouched(story)
    assert list(story.state.every(DECISIONS)) == []


def test_correction_leaves_the_part_and_less_rest() -> None:
    """10 are corrected to 8: 4 are the alert's as before, 4 are left; to 3: the alert has 3."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 10))
    give(story, 1, ALERT, 4)
    story.tell(execution(exec_id(1, 2), 8))
    assert (quantity(story), held(story)) == (4, 8)
    assert [part.quantity for part in booked(story, exec_id(1, 2)).parts] == [4]
    story.tell(execution(exec_id(1, 3), 3))
    assert (quantity(story), held(story)) == (3, 3)


def test_part_follows_the_successor() -> None:
    """The owner's record is replaced; a part cut from its lot goes back to the successor."""
    story = DatedStory(matched(ALERT))
    story.tell(execution(exec_id(1), 10))
    given = give(story, 1, OTHER, 4)
    story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(SUCCESSOR))
    assert owned(story) == {SUCCESSOR: 6, OTHER: 4}
    undo(story, 1, given)
    assert owned(story) == {SUCCESSOR: 10}


def test_fill_without_an_order_is_divided_alone() -> None:
    story = Story(ambiguous)
    story.tell(execution("plain-1", 5, perm_id=0), execution("plain-2", 5, perm_id=0, at=1))
    story.note(Source.PERSON, "assign_part", ACCOUNT, "plain-1", *alert_fields(ALERT), "2")
    assert owned(story) == {ALERT: 2}
    story.note(Source.PERSON, "undo", str(story.seq), ACCOUNT, "plain-1")
    assert owned(story) == {}


def test_unknown_fill_is_not_divided() -> None:
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 10))
    give(story, 9, ALERT, 4)
    undo(story, 9, story.seq)
    assert untouched(story)


def test_divided_day_is_folded_again_alike() -> None:
    """A fill that comes late, older than all, has the day folded anew: the parts are the same."""
    story = Story(ambiguous)
    story.tell(execution(exec_id(2), 10, at=10), execution(exec_id(3), -3, at=30, perm_id=3))
    give(story, 2, ALERT, 4)
    undo(story, 2, give(story, 2, OTHER, 2))
    before = owned(story)
    swept(story, execution(exec_id(1), 1, at=1, perm_id=1, request_id=900))
    assert owned(story) == before == {ALERT: 4}
    assert sum(lot.quantity for lot in holding(story).lots) == 8
