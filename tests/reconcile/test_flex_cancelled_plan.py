"""What a cancellation takes back: an adjustment of any kind, as if it had never been (rule 4.6)."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from tests.support.facts import ACCOUNT, START, held, quantity, shown
from tests.support.held_stock import STOCK, Held
from tracker.core.journal_entries import EventCancelled
from tracker.core.model import Source
from tracker.gateway.flex_events import PositionEvent
from tracker.reconcile.flex_causes import EventPlan
from tracker.reconcile.flex_known_events import Cancellations

NEW = replace(STOCK, con_id=701, symbol="NVDB", local_symbol="NVDB")
AT = START + timedelta(minutes=3)


def event(cause: str, change: str, transaction: int, **more: Any) -> PositionEvent:
    values: dict[str, Any] = {"day": AT.date(), "at": AT, "text": "as IBKR says", **more}
    return PositionEvent(ACCOUNT, STOCK, cause, Decimal(change), transaction=str(transaction), **values)


class Reports:
    """Import events into a story, as reports do."""

    def __init__(self, story: Held) -> None:
        self._story = story
        self._cancelled: list[EventCancelled] = []

    def take_in(self, *events: PositionEvent) -> int:
        """Return how many notes are journalled."""
        found = Cancellations(self._story.state, events, self._cancelled)
        plan = EventPlan(self._story.state, found.left, found)
        entries = [*(entry for _, entry in found.taken), *plan.rest()]
        for entry in entries:
            self._story.note(Source.FLEX, *entry.fields)
        self._cancelled += [entry for entry in entries if isinstance(entry, EventCancelled)]
        return len(entries)


def test_transfer_that_the_broker_showed_and_took_back() -> None:
    """Two answers showed that 10 went, two more that they came back: what is sold then is the alert's."""
    story = Held(10)
    reports = Reports(story)
    gone = event("transferred", "-10", 1)
    for listed in (0, 0):
        story.answer(listed, after=301)
    assert reports.take_in(gone) == 1
    assert ((shown(story).position or {})["closed_by"], quantity(story)) == ("transferred", 0)
    for listed in (10, 10):
        story.answer(listed, after=301)
    assert (held(story), quantity(story)) == (10, 0)
    assert reports.take_in(event("transferred", "10", 2, cancels=True)) == 1
    assert (held(story), quantity(story), shown(story).open, story.waiting()) == (10, 10, True, [])
    assert reports.take_in(gone, event("transferred", "10", 2, cancels=True)) == 0
    story.answer(10)
    assert (held(story), quantity(story), story.waiting()) == (10, 10, [])


def test_split_that_is_cancelled() -> None:
    story = Held(10)
    reports = Reports(story)
    split = event("split", "30", 1, ratio=Decimal(4))
    back = event("split", "-30", 2, ratio=1 / Decimal(4), cancels=True)
    assert reports.take_in(split) == 1
    assert (held(story), quantity(story)) == (40, 40)
    assert reports.take_in(back) == 1
    assert (held(story), quantity(story)) == (10, 10)
    assert reports.take_in(split, back) == 0
    assert (held(story), quantity(story)) == (10, 10)


def test_merger_that_is_cancelled_and_booked_again() -> None:
    """10 became 5 of another one by mistake, 6 in truth."""
    story = Held(10)
    reports = Reports(story)
    merger = event("adjusted", "-10", 1, becomes=NEW, ratio=Decimal("0.5"))
    again = event("adjusted", "-10", 3, becomes=NEW, ratio=Decimal("0.6"))
    back = dataclasses.replace(
        event("adjusted", "-5", 2, becomes=STOCK, ratio=Decimal(2), cancels=True), contract=NEW
    )
    assert reports.take_in(merger) == 1
    assert (held(story), held(story, 701), quantity(story)) == (0, 5, 5)
    assert reports.take_in(back) == 1
    assert (held(story), held(story, 701), quantity(story), shown(story).open) == (10, 0, 10, True)
    assert reports.take_in(again) == 1
    assert (held(story), held(story, 701), quantity(story)) == (0, 6, 6)
    assert reports.take_in(merger, back, again) == 0


def test_cancellation_of_what_nobody_told_is_explained_by_an_answer() -> None:
    """The 10 that were away when the tracker began are listed again."""
    story = Held(10)
    story.answer(20)
    reports = Reports(story)
    back = event("transferred", "10", 2, cancels=True)
    assert reports.take_in(back) == 2
    assert (held(story), quantity(story), story.waiting()) == (20, 10, [])
    assert reports.take_in(back, event("transferred", "-10", 1)) == 0
    assert story.adjustments[-1].cause == "transferred"


def test_cancellation_without_a_time_or_a_clear_forerunner() -> None:
    """One adjustment of that size is the one; of two none is, and nothing changes."""
    story = Held(10)
    reports = Reports(story)
    for number, day in enumerate((0, 1)):
        at = AT + timedelta(days=day)
        assert reports.take_in(event("transferred", "-2", number, at=at, day=at.date())) == 1
    timeless = event("transferred", "2", 9, at=None, day=None, cancels=True)
    assert reports.take_in(timeless) == 0
    later = AT + timedelta(days=1)
    assert reports.take_in(event("transferred", "2", 8, at=later, day=later.date(), cancels=True)) == 1
    assert (held(story), quantity(story)) == (8, 8)
    assert reports.take_in(timeless) == 1
    assert (held(story), quantity(story)) == (10, 10)
    assert reports.take_in(timeless) == 0


def test_cancellation_of_another_size_takes_nothing_back() -> None:
    story = Held(10)
    reports = Reports(story)
    assert reports.take_in(event("transferred", "-2", 1)) == 1
    assert reports.take_in(event("transferred", "3", 2, cancels=True)) == 1
    assert (held(story), quantity(story)) == (8, 8)
