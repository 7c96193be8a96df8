"""A person takes an assignment or a dismissal back: what stood before it stands again."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from tests.support.facts import (
    ACCOUNT,
    ALERT,
    NVDA,
    SUCCESSOR,
    Story,
    alert_fields,
    booked,
    exec_id,
    execution,
    matched,
    quantity,
    shown,
    unmatched,
)
from tests.support.held_stock import STOCK, Held
from tests.support.ownership import DatedStory, assign, rematch
from tracker.core.model import Ambiguous, Rule, Source
from tracker.core.state_rows import ContractKey


def test_undone_assignment_goes_back_to_whom_it_was() -> None:
    """From now on: what was sold meanwhile stays sold."""
    story = Held(10)
    fill = exec_id(101)
    story.note(Source.PERSON, "assign", ACCOUNT, fill, *alert_fields(SUCCESSOR))
    seq = story.seq
    story.trade(-4)
    assert (quantity(story), quantity(story, SUCCESSOR)) == (0, 6)
    story.note(Source.PERSON, "undo", str(seq), ACCOUNT, fill)
    assert (quantity(story), quantity(story, SUCCESSOR)) == (6, 0)


def test_undone_assignment_goes_to_another_spelling_that_was_noted_twice() -> None:
    """A process found the record under its other name and ended; the next one found that once more."""
    story = Held(10)
    fill = exec_id(101)
    other = ALERT._replace(alerter="Robindahood Alerts")
    story.note(Source.PERSON, "assign", ACCOUNT, fill, *alert_fields(ALERT))
    seq = story.seq
    for _ in range(2):
        story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(other), "", "whole")
    story.note(Source.PERSON, "undo", str(seq), ACCOUNT, fill)
    assert quantity(story, other) == 10


def test_undone_assignment_goes_to_the_present_name_of_who_had_it() -> None:
    """While a person's assignment stood, who had all of it before was spelled otherwise."""
    story = DatedStory()
    other = ALERT._replace(alerter="Robindahood Alerts")
    story.tell(execution(exec_id(1), 4))
    assign(story, 1, SUCCESSOR)
    seq = story.seq
    story.created[other] = 0
    story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(other), "", "whole")
    story.note(Source.PERSON, "undo", str(seq), ACCOUNT, exec_id(1))
    assert quantity(story, other) == 4


def test_undone_assignment_goes_to_whom_took_that_contract_over() -> None:
    """Given to who had it, and taken over since; the record that is gone still owns another contract."""
    story = Story(matched(ALERT))
    other = replace(NVDA, con_id=NVDA.con_id + 1, strike=Decimal(125))
    story.tell(execution(exec_id(1), 4), execution(exec_id(2), 3, perm_id=189, contract=other))
    assign(story, 1, ALERT)
    seq = story.seq
    taken = ContractKey(ACCOUNT, NVDA.con_id).text()
    story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(SUCCESSOR), taken)
    story.note(Source.PERSON, "undo", str(seq), ACCOUNT, exec_id(1))
    assert (quantity(story), quantity(story, SUCCESSOR)) == (3, 4)


def test_undone_assignment_of_an_order_of_which_nothing_was_taken_over() -> None:
    """All of it was sold when a successor took over 2 at 5. It fills 4 at 2 more: 6 at 3; 3 are sold.

    Who has them is given them, and that is taken back: nothing changes.
    """
    story = DatedStory()
    story.tell(execution(exec_id(1), 4), execution(exec_id(2), -4, at=5, perm_id=189))
    story.tell(execution(exec_id(3), 2, "5", at=6, perm_id=190))
    story.created[SUCCESSOR] = 300
    story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(SUCCESSOR))
    story.tell(execution(exec_id(4), 4, "2", at=9), execution(exec_id(5), -3, at=12, perm_id=191))
    assign(story, 4, SUCCESSOR)
    story.note(Source.PERSON, "undo", str(story.seq), ACCOUNT, exec_id(4))
    position = shown(story, SUCCESSOR).position or {}
    assert (position["quantity"], position["avg_price"]) == (3, 3)


def test_fill_follows_whom_its_order_was_given_back_to() -> None:
    """All of an order was sold when a successor took over 2. It is assigned, and that is taken back.

    The successor stood in for its owner then, and is gone since: the order's next 4 are the successor's.
    """
    story = DatedStory()
    story.tell(execution(exec_id(1), 4), execution(exec_id(2), -4, at=5, perm_id=189))
    story.tell(execution(exec_id(3), 2, at=6, perm_id=190))
    story.created[SUCCESSOR] = 300
    story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(SUCCESSOR))
    assign(story, 1, ALERT._replace(alerter="demslayer"))
    story.note(Source.PERSON, "undo", str(story.seq), ACCOUNT, exec_id(1))
    del story.created[SUCCESSOR]
    story.note(Source.STORE, "gone", *alert_fields(SUCCESSOR))
    story.tell(execution(exec_id(4), 4, at=9))
    assert quantity(story, SUCCESSOR) == 6


def test_undone_assignment_goes_to_who_stood_in_and_is_gone() -> None:
    """All of an order was sold when a successor took over 2. The order's next 4 are the successor's.

    They are given to another alert; the successor is gone, and that is taken back: it has them again.
    """
    other = ALERT._replace(alerter="demslayer")
    story = DatedStory()
    story.tell(execution(exec_id(1), 4), execution(exec_id(2), -4, at=5, perm_id=189))
    story.tell(execution(exec_id(3), 2, at=6, perm_id=190))
    story.created[SUCCESSOR] = 300
    story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(SUCCESSOR))
    story.tell(execution(exec_id(4), 4, at=9))
    assert quantity(story, SUCCESSOR) == 6
    story.created[other] = 0
    assign(story, 4, other)
    seq = story.seq
    assert (quantity(story, SUCCESSOR), quantity(story, other)) == (2, 4)
    del story.created[SUCCESSOR]
    story.note(Source.STORE, "gone", *alert_fields(SUCCESSOR))
    story.note(Source.PERSON, "undo", str(seq), ACCOUNT, exec_id(4))
    assert (quantity(story, SUCCESSOR), quantity(story, other)) == (6, 0)


def test_undone_assignment_of_what_was_nobodys() -> None:
    story = Held(10, unmatched)
    fill = exec_id(101)
    story.note(Source.PERSON, "assign", ACCOUNT, fill, *alert_fields(ALERT))
    seq = story.seq
    assert quantity(story) == 10
    story.note(Source.PERSON, "undo", str(seq), ACCOUNT, fill)
    assert quantity(story) == 0
    story.note(Source.STORE, "rematch", ACCOUNT, fill)
    assert quantity(story) == 0


def test_undone_assignment_opens_no_closed_record() -> None:
    """A match found late gave a closed record what was opened behind its close, and nothing older.

    Its order is given to another alert, then to the record itself: taken back, it has that again.
    """
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 3, at=0, perm_id=1))
    story.decide = matched(ALERT)
    story.tell(execution(exec_id(2), 1, at=5, perm_id=2), execution(exec_id(3), -1, at=10, perm_id=3))
    story.decide = unmatched
    story.tell(execution(exec_id(4), 2, at=20, perm_id=1))
    story.decide = matched(ALERT)
    rematch(story, 1)
    assert quantity(story) == 2
    assign(story, 1, SUCCESSOR)
    to_other = story.seq
    assert (quantity(story), quantity(story, SUCCESSOR)) == (0, 5)
    assign(story, 1, ALERT)
    assert quantity(story) == 5
    story.note(Source.PERSON, "undo", str(story.seq), ACCOUNT, exec_id(1))
    assert (quantity(story), quantity(story, SUCCESSOR)) == (0, 5)
    story.note(Source.PERSON, "undo", str(to_other), ACCOUNT, exec_id(1))
    assert (quantity(story), quantity(story, SUCCESSOR)) == (2, 0)


def test_undone_assignment_to_a_closed_record_closes_it_again() -> None:
    """It was closed before the alert was there, and a person gives it to the alert all the same."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 3, at=0, perm_id=1))
    story.decide = matched(ALERT)
    story.tell(execution(exec_id(2), 1, at=5, perm_id=2), execution(exec_id(3), -1, at=10, perm_id=3))
    rematch(story, 1)
    assign(story, 1, ALERT)
    assert (quantity(story), shown(story).open) == (3, True)
    story.note(Source.PERSON, "undo", str(story.seq), ACCOUNT, exec_id(1))
    assert (quantity(story), shown(story).open) == (0, False)


def test_undone_dismissal_is_in_the_inbox_again() -> None:
    story = Held(10, unmatched)
    fill = exec_id(101)
    story.note(Source.PERSON, "dismiss", ACCOUNT, fill)
    seq = story.seq
    assert booked(story, fill).dismissed
    story.note(Source.PERSON, "undo", str(seq), ACCOUNT, fill)
    assert not booked(story, fill).dismissed


def test_undone_assignment_of_ambiguous_fill() -> None:
    """It is as ambiguous as it was, and needs a person again."""
    verdict = Ambiguous(Rule.STRIKE, (ALERT, SUCCESSOR))
    story = Held(10, lambda execution: verdict)
    fill = exec_id(101)
    story.note(Source.PERSON, "assign", ACCOUNT, fill, *alert_fields(ALERT))
    assert not booked(story, fill).wants_person
    story.note(Source.PERSON, "undo", str(story.seq), ACCOUNT, fill)
    assert booked(story, fill).match == verdict
    assert booked(story, fill).wants_person
    assert quantity(story) == 0


def test_fill_behind_undone_dismissal_needs_person() -> None:
    """A later fill of the order is no more dismissed than the first one."""
    verdict = Ambiguous(Rule.STRIKE, (ALERT, SUCCESSOR))
    story = Held(10, lambda execution: verdict)
    fill = exec_id(101)
    story.note(Source.PERSON, "dismiss", ACCOUNT, fill)
    story.note(Source.PERSON, "undo", str(story.seq), ACCOUNT, fill)
    story.tell(execution(exec_id(102), 5, at=1000, contract=STOCK, perm_id=101))
    assert booked(story, fill).wants_person
    assert booked(story, exec_id(102)).wants_person


def test_fill_that_was_dismissed_with_its_order_needs_person_again() -> None:
    """It came while the order was dismissed, and that is taken back."""
    verdict = Ambiguous(Rule.STRIKE, (ALERT, SUCCESSOR))
    story = Held(10, lambda execution: verdict)
    fill = exec_id(101)
    story.note(Source.PERSON, "dismiss", ACCOUNT, fill)
    seq = story.seq
    story.tell(execution(exec_id(102), 5, at=1000, contract=STOCK, perm_id=101))
    assert not booked(story, exec_id(102)).wants_person
    story.note(Source.PERSON, "undo", str(seq), ACCOUNT, fill)
    assert booked(story, fill).wants_person
    assert booked(story, exec_id(102)).wants_person


@pytest.mark.parametrize("fill", [exec_id(101), exec_id(7)])
def test_undo_of_nothing_changes_nothing(fill: str) -> None:
    story = Held(10)
    story.note(Source.PERSON, "undo", "3", ACCOUNT, fill)
    assert quantity(story) == 10
