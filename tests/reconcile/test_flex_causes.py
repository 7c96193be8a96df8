"""Which events of a report explain which position, and what follows for the alert that held it."""

from __future__ import annotations

import dataclasses
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.facts import (
    ACCOUNT,
    BESIDE,
    START,
    Story,
    exec_id,
    execution,
    held,
    position,
    quantity,
    shown,
)
from tests.support.held_stock import KEY, STOCK, Held
from tracker.core.journal_entries import AdjustmentTold, FlexAdjustment, PositionChanged, Undone
from tracker.core.model import Source
from tracker.gateway.flex_dates import hours_of
from tracker.gateway.flex_events import PositionEvent
from tracker.queries.adjustments import Reason, telling
from tracker.reconcile.flex_causes import EventPlan, directed
from tracker.status.protocol import CommandError

NEW = replace(STOCK, con_id=701, symbol="NVDB", local_symbol="NVDB")


def event(cause: str, change: int, **more: Any) -> PositionEvent:
    values: dict[str, Any] = {"day": None, "transaction": "77", "text": "as IBKR says", **more}
    return PositionEvent(ACCOUNT, STOCK, cause, Decimal(change), **values)


def taken_in(story: Held, *events: PositionEvent) -> list[FlexAdjustment | PositionChanged]:
    """Journal what explains a position, as an import does."""
    plan = EventPlan(story.state, events)
    found = list(plan.rest())
    assert [entry for _, entry in plan.taken] == found
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


@pytest.mark.parametrize("together", [True, False], ids=["in one report", "in two"])
def test_merger_into_what_became_another_one(together: bool) -> None:
    """10 became 5 of a contract, and these 5 of a third one, which is all that the broker lists by now."""
    third = replace(NEW, con_id=702, symbol="NVDC", local_symbol="NVDC")
    story = Held(10)
    for _ in range(2):
        story.answer_with(position(5, contract=third), after=400)
    assert quantity(story) == 0
    at = START + timedelta(minutes=2)
    first = event("adjusted", -10, becomes=NEW, ratio=Decimal("0.5"), day=at.date(), at=at)
    later = at + timedelta(minutes=1)
    renamed = dataclasses.replace(
        event("adjusted", -5, becomes=third, ratio=Decimal(1), day=later.date(), at=later), contract=NEW
    )
    if together:
        assert len(taken_in(story, first, renamed)) == 2
    else:
        assert len(taken_in(story, first)) == len(taken_in(story, renamed)) == 1
    assert (held(story), held(story, 701), held(story, 702), quantity(story)) == (0, 0, 5, 5)
    assert taken_in(story, first, renamed) == []


def test_contained_event_of_another_contract_holds_up_none() -> None:
    """What an answer contains is taken from the newest on, but only of the contracts that it is about."""
    third = replace(NEW, con_id=702, symbol="NVDC", local_symbol="NVDC")
    story = Held(10)
    story.answer_with(position(5, contract=third), position(1, contract=BESIDE), after=400)
    at = START + timedelta(minutes=2)
    came = dataclasses.replace(event("transferred", 1, at=START + timedelta(minutes=1)), contract=BESIDE)
    first = event("adjusted", -10, becomes=NEW, ratio=Decimal("0.5"), at=at)
    renamed = event("adjusted", -5, becomes=third, ratio=Decimal(1), at=at + timedelta(minutes=1))
    assert len(taken_in(story, came, first, dataclasses.replace(renamed, contract=NEW))) == 2
    assert (held(story, 702), quantity(story)) == (5, 5)


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


# Changes that no answer showed

LATER = START + timedelta(hours=1)
SPLIT_LATER = {"ratio": Decimal(4), "day": LATER.date(), "at": LATER}
CHANGED = PositionChanged(KEY, "split", LATER.isoformat(), "30", "4", "as IBKR says")


def test_split_while_nobody_looked() -> None:
    """It counts from its place on; the same report twice, or taken back by a person, changes nothing."""
    story = Held(10)
    split = event("split", 30, **SPLIT_LATER)
    assert taken_in(story, split) == [CHANGED]
    assert (quantity(story), held(story)) == (40, 40)
    assert taken_in(story, split) == []
    (row,) = story.adjustments
    story.note(Source.PERSON, *Undone(row.seq).fields)
    assert (quantity(story), taken_in(story, split)) == (10, [])


def test_split_that_a_person_told_already() -> None:
    """Three weeks later, when the tracker ran again: it does not count twice."""
    story = Held(10)
    story.answer(40, after=21 * 86400)
    story.note(Source.PERSON, *AdjustmentTold(KEY, "split", "4").fields)
    assert taken_in(story, event("split", 30, **SPLIT_LATER)) == []
    assert (quantity(story), held(story)) == (40, 40)


def test_sale_behind_a_split_is_in_the_same_report() -> None:
    """10 bought, 4 for 1, 20 sold: the split stands between the two, whatever is journalled so far."""
    story = Held(10)
    plan = EventPlan(story.state, [event("split", 30, **SPLIT_LATER)])
    assert list(plan.until(LATER)) == []
    assert list(plan.until(LATER + timedelta(seconds=1))) == [CHANGED]
    plan.booked(KEY, LATER + timedelta(seconds=1), Decimal(-20))
    assert list(plan.rest()) == []


def test_purchase_of_the_report_makes_an_event_fit() -> None:
    """The journal has 6 of the 10 that were split."""
    story = Held(6)
    split = event("split", 30, **SPLIT_LATER)
    assert taken_in(story, split) == []
    plan = EventPlan(story.state, [split])
    plan.booked(KEY, LATER - timedelta(minutes=1), Decimal(4))
    plan.booked(f"{ACCOUNT} 9", LATER, Decimal(4))
    assert list(plan.rest()) == [CHANGED]


def test_events_stand_behind_one_another() -> None:
    """5 of 10 go, the rest becomes 1 of another contract."""
    story = Held(10)
    gone = event("transferred", -5, day=LATER.date(), at=LATER)
    after = LATER + timedelta(days=1)
    becomes = event("split", -5, ratio=Decimal("0.2"), becomes=NEW, day=after.date(), at=after)
    assert len(taken_in(story, becomes, gone)) == 2
    assert (held(story), held(story, 701), quantity(story)) == (0, 1, 1)
    back = replace_contract(becomes)
    assert taken_in(story, becomes, gone, back) == []


def replace_contract(of: PositionEvent) -> PositionEvent:
    """Return the event the other way round, which would go in a circle."""
    later = None if of.at is None else of.at + timedelta(days=1)
    ratio = Decimal(5)
    return dataclasses.replace(of, contract=NEW, becomes=STOCK, quantity=Decimal(-1), ratio=ratio, at=later)


@pytest.mark.parametrize(
    "changes",
    [{"ratio": None}, {"at": None}, {"ratio": Decimal(3)}, {"cause": "assigned"}],
    ids=["no ratio", "no time", "another ratio", "a cause that trades tell"],
)
def test_event_that_is_not_clear_changes_nothing(changes: dict[str, Any]) -> None:
    story = Held(10)
    split = dataclasses.replace(event("split", 30, **SPLIT_LATER), **changes)
    assert taken_in(story, split) == []
    assert (quantity(story), held(story)) == (10, 10)


def test_event_of_a_contract_never_held() -> None:
    split = dataclasses.replace(event("split", 30, **SPLIT_LATER), contract=NEW)
    assert taken_in(Held(10), split) == []


def test_answer_behind_events_contains_them() -> None:
    """20 are listed now, which were 40 before 20 went, and 10 before a split: the newest is taken first."""
    plan_of = [
        event("split", 30, ratio=Decimal(4), at=START - timedelta(hours=3)),
        event("transferred", -20, at=START - timedelta(hours=1)),
    ]
    fresh = Story()
    fresh.sweep(request=901)
    fresh.snapshot(position(20, contract=STOCK))
    plan = EventPlan(fresh.state, plan_of)
    plan.booked(KEY, START - timedelta(hours=4), Decimal(10))
    assert list(plan.until(START)) == []
    found = list(plan.rest())
    assert [(entry.cause, entry.contract) for entry in found] == [("transferred", KEY), ("split", KEY)]


# Short positions, and quantities that the broker rounded

TURNED = {"becomes": STOCK, "ratio": Decimal(1) / Decimal(3)}
"""3 for 1 of a short of 2: the report takes 6 of the new contract, and adds 2 to the old one."""


def turned(**more: Any) -> PositionEvent:
    return dataclasses.replace(event("split", -6, **TURNED, **more), contract=NEW)


def test_split_of_a_short_position_that_is_shown() -> None:
    story = Held(-2)
    story.answer_with(position(-6, contract=NEW))
    found = directed(story.state, turned())
    assert (found.contract, found.quantity, found.becomes, found.ratio) == (
        STOCK,
        Decimal(2),
        NEW,
        Decimal(3),
    )
    assert len(taken_in(story, found)) == 1
    assert (held(story), held(story, 701), quantity(story), shown(story).open) == (0, -6, -6, True)
    assert directed(story.state, found) == found


def test_split_of_a_short_position_that_is_not_shown() -> None:
    """Which of the two contracts went is clear once the report's own trades are counted."""
    story = Held(-2)
    split = turned(day=LATER.date(), at=LATER)
    assert directed(Story().state, split) == split
    assert len(taken_in(story, split)) == 1
    assert (held(story), held(story, 701), quantity(story)) == (0, -6, -6)
    assert directed(story.state, split) == split
    assert taken_in(story, split) == []


def test_direction_without_a_time() -> None:
    """It is that of what is held now."""
    assert directed(Held(-2).state, turned()).contract == STOCK
    assert directed(Held(2).state, event("split", -2, becomes=NEW, ratio=Decimal(3))).contract == STOCK


def test_quantity_that_the_broker_rounded() -> None:
    """1 for 15 of 100 leaves 6.6667, and is no other split than one of exactly 1 for 15."""
    story = Held(100)
    split = dataclasses.replace(
        event("split", 0, ratio=Decimal(1) / Decimal(15), day=LATER.date(), at=LATER),
        quantity=Decimal("-93.3333"),
    )
    (change,) = taken_in(story, split)
    assert isinstance(change, PositionChanged)
    assert change.ratio == "0.066667"
    assert (held(story), quantity(story)) == (6.6667, 6.6667)
    assert taken_in(story, split) == []


def test_split_that_a_report_told_behind_two_answers() -> None:
    """3 for 2 of 7 is 10.5, and the broker paid out a half: a person who says it again is refused."""
    story = Held(7)
    for _ in range(2):
        story.answer(10)
    at = START + timedelta(seconds=95)
    split = dataclasses.replace(event("split", 0, ratio=Decimal("1.5"), at=at), quantity=Decimal("3.5"))
    assert len(taken_in(story, split)) == 1
    assert (held(story), quantity(story)) == (10, 10)
    with pytest.raises(CommandError, match="was split 3:2 already"):
        telling(story.state, "NVDA", Reason(split="3:2"))


# Transfers

HOUR = timedelta(hours=1)


def moved(change: int, at: datetime, **more: Any) -> PositionEvent:
    return event("transferred", change, day=at.date(), at=at, **more)


def test_transfers_of_two_days_count_both() -> None:
    """IBKR describes them alike; each is in the report of its day, and both are in that of the week."""
    story = Held(10)
    first, second = moved(-3, LATER), moved(-4, LATER + timedelta(days=2))
    for each, left in ((first, 7), (second, 3)):
        assert len(taken_in(story, each)) == 1
        assert (held(story), quantity(story)) == (left, left)
    assert taken_in(story, first, second) == []


def test_transfer_that_one_report_dates_to_the_day_only() -> None:
    """It is the same one, whichever report is imported first."""
    day = LATER.date()
    dated = event("transferred", -3, day=day, at=hours_of(day, day)[1])
    for told in ((dated, moved(-3, LATER)), (moved(-3, LATER), dated)):
        story = Held(10)
        assert [len(taken_in(story, each)) for each in told] == [1, 0]
        assert held(story) == 7


def test_transfer_behind_one_that_the_broker_showed() -> None:
    story = Held(10)
    story.answer(7)
    shown_one = moved(-3, START + timedelta(minutes=2))
    assert len(taken_in(story, shown_one)) == 1
    assert len(taken_in(story, moved(-4, LATER + timedelta(days=2)), shown_one)) == 1
    assert (held(story), quantity(story)) == (3, 3)


@pytest.mark.parametrize(("before", "left"), [(10, 7), (-10, -7)])
def test_transfer_out_without_a_sign(before: int, left: int) -> None:
    """What goes of a short position adds to it."""
    story = Held(before)
    found = directed(story.state, moved(-3, LATER, unsigned=True))
    assert len(taken_in(story, found)) == 1
    assert (held(story), quantity(story)) == (left, left)
    assert directed(Story().state, moved(-3, LATER, unsigned=True)).quantity == -3


def test_transfer_counts_before_what_was_sold_behind_it() -> None:
    """4 came while nobody looked, then 2 were sold of these and the alert's 1, which was no short: 5 bought
    later are all its own.
    """
    story = Held(1)
    story.now += 2 * HOUR
    story.trade(-2)
    story.now += timedelta(minutes=1)
    story.trade(5)
    assert (held(story), quantity(story)) == (4, 4)
    for _ in range(2):
        story.answer(8)
    came = moved(4, START + HOUR)
    assert len(taken_in(story, came)) == 1
    assert (held(story), quantity(story)) == (8, 5)
    assert taken_in(story, came) == []


def test_transfer_of_a_day_is_the_cause_of_what_the_broker_showed() -> None:
    """Without a time it is not known what was sold behind it."""
    story = Held(10)
    story.now += 2 * HOUR
    story.trade(-2)
    story.answer(5)
    day = START.date()
    assert len(taken_in(story, event("transferred", -3, day=day, at=hours_of(day, day)[1]))) == 1
    assert story.adjustments[-1].held == 5


def test_split_of_which_a_purchase_fits_the_ratio_by_chance() -> None:
    """2 became 4, 3 were bought and 3 came: 10 are 2 for 1 of 5, which were never held before a split."""
    story = Held(2)
    story.now += 2 * HOUR
    story.trade(3)
    story.answer(10)
    (change,) = taken_in(story, event("split", 2, ratio=Decimal(2), day=START.date(), at=START + HOUR))
    assert isinstance(change, PositionChanged)
    assert (held(story), quantity(story)) == (10, 7)


def test_change_that_a_split_explains_by_now_is_explained_once() -> None:
    """The split counts at its time, since a later change was settled too; imported again it is known."""
    story = Held(2)
    for listed in (6, 6, 7, 7):
        story.answer(listed)
    split = event("split", 4, ratio=Decimal(3), day=START.date(), at=START + timedelta(seconds=92))
    assert len(taken_in(story, split)) == 1
    assert len(taken_in(story, moved(1, story.now))) == 1
    assert taken_in(story, split) == []
    assert (held(story), quantity(story)) == (7, 6)


def test_merger_behind_a_missed_fill_that_an_older_report_told() -> None:
    """2 and 2 more, which the journal knew only later, became 12 of another contract, of which 1 was sold."""
    story = Held(2)
    story.tell(execution(exec_id(8), -1, at=240, contract=NEW, perm_id=8))
    for _ in range(2):
        story.answer_with(position(11, contract=NEW), after=400)
    assert (held(story, 701), quantity(story)) == (11, 0)
    story.tell(execution(exec_id(9), 2, at=60, contract=STOCK, perm_id=9), source=Source.FLEX)
    at = START + timedelta(minutes=3)
    merger = event("adjusted", -4, becomes=NEW, ratio=Decimal(3), day=at.date(), at=at)
    assert [entry.NAME for entry in taken_in(story, merger)] == [PositionChanged.NAME]
    assert (held(story), held(story, 701), quantity(story), shown(story).open) == (0, 11, 11, True)


def test_merger_behind_a_missed_fill_of_its_own_report() -> None:
    """3 less 1 sold unheard became 6 of another contract; without that sale only its cause is known."""
    for told in (True, False):
        story = Held(3)
        story.tell(execution(exec_id(8), -1, at=240, contract=NEW, perm_id=8))
        for _ in range(2):
            story.answer_with(position(5, contract=NEW), after=400)
        at = START + timedelta(minutes=3)
        merger = event("adjusted", -2, becomes=NEW, ratio=Decimal(3), day=at.date(), at=at)
        plan = EventPlan(story.state, [merger])
        if told:
            sold = execution(exec_id(9), -1, at=60, contract=STOCK, perm_id=9)
            plan.booked(KEY, sold.time, Decimal(-1))
            story.tell(sold, source=Source.FLEX)
        for entry in plan.rest():
            story.note(Source.FLEX, *entry.fields)
        assert (held(story), held(story, 701)) == (0, 5)
        assert (quantity(story), shown(story).open) == ((5, True) if told else (0, False))
