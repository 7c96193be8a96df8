"""Which events of a report explain which position, and what follows for the alert that held it."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from tests.support.facts import ACCOUNT, START, held, position, quantity, shown
from tests.support.held_stock import KEY, STOCK, Held
from tracker.core.journal_entries import FlexAdjustment
from tracker.core.model import Source
from tracker.gateway.flex_events import PositionEvent
from tracker.reconcile.flex_causes import explained

NEW = replace(STOCK, con_id=701, symbol="NVDB", local_symbol="NVDB")


def event(cause: str, change: int, **more: Any) -> PositionEvent:
    values: dict[str, Any] = {"day": None, "transaction": "77", "text": "as IBKR says", **more}
    return PositionEvent(ACCOUNT, STOCK, cause, Decimal(change), **values)


def taken_in(story: Held, *events: PositionEvent) -> list[FlexAdjustment]:
    """Journal what explains a position, as an import does."""
    found = [entry for _, entry in explained(story.state, events)]
    for entry in found:
        story.note(Source.FLEX, *entry.fields)
    return found


def test_split_scales_the_alert() -> None:
    story = Held(10)
    story.answer(40)
    found = taken_in(story, event("split", 30, ratio=Decimal(4)))
    assert found == [FlexAdjustment(KEY, "split", "4", "as IBKR says")]
    assert (quantity(story), held(story), story.waiting()) == (40, 40, [])


def test_merger_goes_on_as_the_new_contract() -> None:
    """10 became 5 of another one, which the broker lists: the alert has these."""
    story = Held(10)
    story.answer_with(position(5, contract=NEW))
    found = taken_in(story, event("adjusted", -10, becomes=NEW, ratio=Decimal("0.5")))
    assert found == [FlexAdjustment(KEY, "adjusted", "0.5", "as IBKR says", f"{ACCOUNT} 701")]
    assert (held(story), held(story, 701), quantity(story), shown(story).open) == (0, 5, 5, True)
    assert taken_in(story, event("adjusted", -10, becomes=NEW, ratio=Decimal("0.5"))) == []


def test_merger_into_what_the_broker_lists_nowhere() -> None:
    """Then all that is known is that the old one went."""
    story = Held(10)
    story.answer(0)
    found = taken_in(story, event("adjusted", -10, becomes=NEW, ratio=Decimal("0.5")))
    assert found == [FlexAdjustment(KEY, "adjusted", "", "as IBKR says")]
    assert (quantity(story), shown(story).open) == (0, False)


def test_part_that_was_transferred() -> None:
    story = Held(10)
    story.answer(6)
    found = taken_in(story, event("transferred", -4, text=""))
    assert found == [FlexAdjustment(KEY, "transferred", "", "Flex transaction 77")]
    assert (quantity(story), story.waiting()) == (6, [])


def test_other_change_than_the_broker_shows() -> None:
    """An older report, or another size, explains nothing."""
    story = Held(10)
    assert taken_in(story, event("transferred", -4)) == []
    story.answer(6)
    assert taken_in(story, event("transferred", -3), event("split", 30, ratio=Decimal(4))) == []
    assert story.waiting() == [-4]


def test_report_of_the_next_morning() -> None:
    """By then two answers have agreed on the change; the report says why, of its own days only."""
    story = Held(10)
    story.answer(40)
    story.answer(40)
    assert (quantity(story), held(story)) == (10, 40)
    split = event("split", 30, ratio=Decimal(4), day=START.date())
    for day in (None, START.date() - timedelta(days=6)):
        assert taken_in(story, replace_day(split, day)) == []
    assert len(taken_in(story, split)) == 1
    assert (quantity(story), held(story)) == (40, 40)
    assert taken_in(story, split) == []


def replace_day(of: PositionEvent, day: date | None) -> PositionEvent:
    return dataclasses.replace(of, day=day)


def test_cause_closes_the_alert_by_its_name() -> None:
    story = Held(-5)
    story.answer(0)
    assert len(taken_in(story, event("assigned", 5))) == 1
    assert (shown(story).position or {})["closed_by"] == "assigned"
