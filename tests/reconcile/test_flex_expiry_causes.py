"""Why an option ended that the broker listed no more: the cause that only a report tells (rule 4.6)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from tests.support.facts import (
    ACCOUNT,
    NVDA,
    START,
    Story,
    exec_id,
    execution,
    held,
    position,
    quantity,
    shown,
)
from tracker.core.journal_entries import PositionChanged
from tracker.core.ledger import Ledger
from tracker.core.model import Source
from tracker.gateway.flex_events import PositionEvent
from tracker.reconcile.flex_causes import EventPlan

FRIDAY = date(2025, 11, 21)
SATURDAY = datetime(2025, 11, 22, 6, 0, tzinfo=UTC)
KEY = f"{ACCOUNT} {NVDA.con_id}"


class Expired(Story):
    """An alert's options of Friday that two answers lack: on Saturday it is closed as expired."""

    def __init__(self, signed: int) -> None:
        super().__init__()
        self.tell(execution(exec_id(1), signed))
        self.tell(position(signed))
        self.now = SATURDAY
        self.snapshot()
        self.sweep()
        self.now += timedelta(minutes=6)
        self.snapshot()
        assert self.closed_by() == "expired"

    def restart(self) -> None:
        zone = ZoneInfo("US/Eastern")
        self.ledger = Ledger(self.state, lambda fill, now: self.decide(fill), policy=self.policy, zone=zone)

    def closed_by(self) -> object:
        assert not shown(self).open
        return (shown(self).position or {})["closed_by"]

    def take_in(self, *events: PositionEvent, missed: int = 0) -> list[PositionEvent]:
        """Import events, behind a missed fill of their report; return which of them say something new."""
        plan = EventPlan(self.state, events)
        if missed:
            plan.booked(KEY, START + timedelta(minutes=1), Decimal(missed))
            late = execution(exec_id(7), missed, at=60, perm_id=7)
            self.tell(late, source=Source.FLEX)
        for entry in plan.rest():
            self.note(Source.FLEX, *entry.fields)
        return [event for event, _ in plan.taken]


def ended(cause: str, change: int, day: date | None = FRIDAY) -> PositionEvent:
    return PositionEvent(ACCOUNT, NVDA, cause, Decimal(change), day=day, transaction="9")


@pytest.mark.parametrize(("signed", "cause"), [(4, "exercised"), (-4, "assigned")])
def test_told_cause_replaces_expired(signed: int, cause: str) -> None:
    """It is told once; the alert is closed as before, with what was held."""
    story = Expired(signed)
    before = dict(shown(story).position or {})
    one = ended(cause, -signed)
    assert story.take_in(one) == [one]
    assert (story.closed_by(), held(story), quantity(story)) == (cause, 0, 0)
    assert shown(story).position == before | {"closed_by": cause}
    assert story.take_in(one) == []


def test_rows_of_one_contract_are_added_up() -> None:
    """3 and 1 of 4 were assigned, in two rows."""
    story = Expired(-4)
    rows = [ended("assigned", 3), ended("assigned", 1)]
    assert story.take_in(*rows) == rows
    assert story.closed_by() == "assigned"


@pytest.mark.parametrize(
    "row",
    [
        ended("assigned", 3),
        ended("expired", 4),
        ended("assigned", 4, None),
        ended("assigned", 4, date(2025, 11, 25)),
    ],
    ids=["a part", "expired", "without a day", "another day"],
)
def test_expiry_that_is_not_explained(row: PositionEvent) -> None:
    """A part of it says nothing of the rest; what happens on a later day is no cause."""
    story = Expired(-4)
    assert story.take_in(row) == []
    assert story.closed_by() == "expired"


def test_missed_fill_of_the_same_report_counts() -> None:
    """2 were bought back unheard, and 2 assigned; 4 assigned would be more than there was."""
    for change, told in ((2, 1), (4, 0)):
        story = Expired(-4)
        assert len(story.take_in(ended("assigned", change), missed=2)) == told
        assert story.closed_by() == ("assigned" if told else "expired")


def test_note_that_fits_no_expiry_changes_nothing() -> None:
    """As a journal may hold one whose expiry turned out to be none."""
    story = Expired(-4)
    story.note(Source.FLEX, *PositionChanged(KEY, "assigned", START.isoformat(), "3").fields)
    assert story.closed_by() == "expired"
