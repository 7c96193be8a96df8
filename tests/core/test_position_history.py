"""What a report's change is compared with, and what comes of one that fits."""

from __future__ import annotations

from datetime import datetime, timedelta
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
from tracker.core.expiration_rows import Expiration
from tracker.core.journal_entries import AdjustmentTold, PositionChanged, Undone
from tracker.core.model import Moment, Source
from tracker.core.position_history import Fit, PositionHistory
from tracker.core.state import ADJUSTMENTS, DEPARTURES, GAPS, HOLDINGS
from tracker.queries.adjustments import adjustment_json

NEW = replace(STOCK, con_id=701, symbol="NVDB", local_symbol="NVDB")
INTO = f"{ACCOUNT} 701"
LATER = START + timedelta(hours=1)


def past(story: Story, key: str = KEY) -> PositionHistory:
    return PositionHistory(story.state, key)


def reported(story: Story, amount: int, at: datetime = LATER, **more: Any) -> None:
    """Have a report name a change in its place."""
    cause = more.pop("cause", "split" if "ratio" in more else "transferred")
    entry = PositionChanged(KEY, cause, at.isoformat(), str(amount), text="as IBKR says", **more)
    story.note(Source.FLEX, *entry.fields)


def traded_in_report(story: Story, number: int, signed: int, at: int) -> None:
    fill = execution(exec_id(number), signed, at=at, contract=STOCK, perm_id=number)
    story.tell(fill, source=Source.FLEX)


def test_split_scales_what_was_held_then() -> None:
    """10 at 2.50 become 40; 20 of them are sold later and were reported before the split was: 20 are left."""
    story = Held(10)
    traded_in_report(story, 7, -20, 7200)
    assert held(story) == -10
    reported(story, 30, ratio="4")
    assert (held(story), quantity(story)) == (20, 20)
    assert (shown(story).position or {})["avg_price"] == 0.625
    (row,) = story.state.find(ADJUSTMENTS, "contract", KEY)
    assert (row.told, row.ratio, row.place.time, row.note) == (True, Decimal(4), LATER, "as IBKR says")


@pytest.mark.parametrize(("amount", "ratio"), [(29, "4"), (30, "3"), (-11, "")])
def test_change_that_does_not_fit(amount: int, ratio: str) -> None:
    """The report speaks of another quantity than ours, or takes more than there was: nothing changes."""
    story = Held(10)
    reported(story, amount, ratio=ratio, cause="split" if ratio else "transferred")
    assert (held(story), quantity(story)) == (10, 10)
    assert list(story.state.every(ADJUSTMENTS)) == []


def test_change_of_what_was_never_traded() -> None:
    story = Story()
    reported(story, 30, ratio="4")
    assert list(story.state.every(ADJUSTMENTS)) == []


@pytest.mark.parametrize(("late", "left"), [(-3, 3), (2, 8), (-8, 0)])
def test_part_goes_and_a_late_fill_is_counted_before_it(late: int, left: int) -> None:
    """The report says how much went, not what was left; it brings nothing to the other side of zero."""
    story = Held(10)
    reported(story, -4)
    assert (held(story), quantity(story)) == (6, 6)
    traded_in_report(story, 7, late, 60)
    assert (held(story), quantity(story)) == (left, left)
    (row,) = story.state.find(ADJUSTMENTS, "contract", KEY)
    what = f"4 went (transferred); as IBKR says; `tracker undo {row.name}` takes it back"
    assert adjustment_json(row)["what"] == what


@pytest.mark.parametrize(
    ("listed", "amount", "ratio", "late", "base"), [(19, 4, "", -1, 10), (30, 15, "2", 1, 8)]
)
def test_late_fill_that_the_first_answer_contains(
    listed: int, amount: int, ratio: str, late: int, base: int
) -> None:
    """The answer contains 6 bought, a change and what is told last: all of it is taken off the beginning."""
    story = Story()
    story.sweep(request=901)
    story.snapshot(position(listed, contract=STOCK), position(1, contract=BESIDE))
    traded_in_report(story, 7, 6, -7200)
    reported(story, amount, at=START - timedelta(hours=1), ratio=ratio)
    traded_in_report(story, 8, late, -7100)
    holding = story.state.get(HOLDINGS, KEY)
    assert holding is not None
    assert (held(story), int(holding.base)) == (listed, base)


def test_all_goes_on_as_a_contract_never_seen() -> None:
    """10 become 5 of another one with their owner; it is undone in its place."""
    story = Held(10)
    reported(story, -10, ratio="0.5", cause="adjusted", into=NEW)
    assert (held(story), held(story, 701), quantity(story)) == (0, 5, 5)
    holding = story.state.get(HOLDINGS, INTO)
    assert holding is not None
    assert holding.contract == NEW
    (row,) = story.state.find(ADJUSTMENTS, "contract", KEY)
    story.note(Source.PERSON, *Undone(row.seq).fields)
    assert (held(story), held(story, 701), quantity(story)) == (10, 0, 10)
    assert past(story).held_at(LATER) == 10


def test_new_contract_was_listed_before_it_came() -> None:
    """3 of the new contract were listed before the report's day: 8 are held of it."""
    story = Held(10)
    story.answer_with(position(10, contract=STOCK), position(3, contract=NEW))
    one = past(story, INTO)
    one.came(LATER, Decimal(5))
    assert one.held_at(LATER) == 8
    reported(story, -10, ratio="0.5", cause="adjusted", into=NEW)
    assert (held(story, 701), quantity(story)) == (8, 5)


@pytest.mark.parametrize(("came", "before"), [(2, 1), (4, 0)])
def test_what_came_before_all_answers_is_in_them(came: int, before: int) -> None:
    """3 of the new contract were listed, then 5 came; what came long before them makes no short of it."""
    story = Held(10)
    story.answer_with(position(10, contract=STOCK), position(3, contract=NEW))
    reported(story, -10, ratio="0.5", cause="adjusted", into=NEW)
    assert past(story, INTO).base_without(START - timedelta(days=1), Decimal(came)) == before


def test_new_contract_was_in_an_answer_already() -> None:
    """The broker listed the 5, of which 2 were sold, before the report came: they are not held twice."""
    story = Held(10)
    story.answer_with(position(5, contract=NEW))
    story.now += timedelta(seconds=90)
    story.tell(execution(exec_id(8), -2, at=200, contract=NEW, perm_id=8))
    assert held(story, 701) == 3
    reported(story, -10, START + timedelta(seconds=30), ratio="0.5", cause="adjusted", into=NEW)
    assert (held(story), held(story, 701), quantity(story)) == (0, 3, 3)


def test_open_difference_is_over_once_it_is_told() -> None:
    """The answer showed 40 and then 20 of a sale that only the report lists."""
    story = Held(10)
    story.answer(20)
    assert story.waiting() == [10]
    traded_in_report(story, 7, -20, 60)
    reported(story, 30, START + timedelta(seconds=30), ratio="4")
    assert (held(story), quantity(story), story.waiting()) == (20, 20, [])


def test_open_difference_of_what_it_becomes() -> None:
    """The new contract's 5 were sold and 5 were left out of what was listed: nothing else is unexplained."""
    story = Held(10)
    story.tell(execution(exec_id(8), 1, at=5, contract=NEW, perm_id=8))
    story.answer_with(position(6, contract=NEW))
    waiting = story.waiting()
    assert sorted(waiting) == [-10, 5]
    reported(story, -10, START + timedelta(seconds=30), ratio="0.5", cause="adjusted", into=NEW)
    assert (held(story), held(story, 701), story.waiting()) == (0, 6, [])


def test_missed_day_behind_a_merger_is_proven_by_positions() -> None:
    """10 became 5 of another contract, which the broker lists before and after the day that nobody saw."""
    story = Held(10)
    story.answer_with(position(5, contract=NEW))
    story.note(Source.PERSON, *AdjustmentTold(KEY, "adjusted", "0.5", "", INTO).fields)
    story.note(Source.LINK, "down", "lost")
    story.now += timedelta(days=2)
    story.note(Source.LINK, "up", ACCOUNT, "176")
    days = [gap.day for gap in story.state.find(GAPS, "open", "1")]
    assert days == [START.date(), START.date() + timedelta(days=1)]
    story.answer_with(position(5, contract=NEW))
    assert story.state.find(GAPS, "open", "1") == []


def begun_with(listed: int) -> Story:
    """Begin with a certain answer that lists so many."""
    story = Story()
    story.sweep(request=901)
    story.snapshot(position(listed, contract=STOCK))
    return story


def test_answer_behind_a_split_contains_it() -> None:
    """20 are listed now; a report lists 10 bought, a split by 4, and 20 sold: nothing was held before."""
    story = begun_with(20)
    traded_in_report(story, 1, 10, -7200)
    traded_in_report(story, 2, -20, -60)
    assert past(story).held_at(START - timedelta(hours=1)) == 40
    at = START - timedelta(hours=1)
    assert past(story).fit(at, Decimal(30), ratio=Decimal(4)) == Fit(Decimal(10), Decimal(0))
    reported(story, 30, at, ratio="4")
    assert (held(story), quantity(story)) == (20, 20)


def test_answer_behind_changes_contains_all() -> None:
    """They are taken back the newest first: 40 were 10 once, of which nothing was held before."""
    story = begun_with(0)
    for seconds, number, signed in ((-9000, 1, 10), (-60, 2, -20)):
        traded_in_report(story, number, signed, seconds)
    one = past(story)
    gone, split = START - timedelta(hours=1), START - timedelta(hours=2)
    assert one.is_answered_behind(gone)
    fit = one.fit(gone, Decimal(-20))
    assert fit == Fit(Decimal(40), Decimal(30))
    one.begins_with(fit.base)
    one.changed(gone, held=Decimal(20))
    assert one.fit(split, Decimal(30), ratio=Decimal(4)) == Fit(Decimal(10), Decimal(0))


def test_opening_balance_is_in_old_units() -> None:
    """After a split 20 more were held, which were 5 more before it."""
    story = begun_with(20)
    traded_in_report(story, 1, 10, -9000)
    one = past(story)
    one.changed(START - timedelta(hours=2), ratio=Decimal(4))
    assert one.fit(START - timedelta(hours=1), Decimal(-20)) == Fit(Decimal(100), Decimal(15))


def test_opening_balance_stays_behind_a_word() -> None:
    """What a report said was left holds for what came after it, whatever was held at first."""
    story = begun_with(20)
    traded_in_report(story, 1, 10, -7200)
    one = past(story)
    one.changed(START - timedelta(hours=1), held=Decimal(5))
    assert one.fit(START - timedelta(minutes=30), Decimal(3)) == Fit(Decimal(2), Decimal(10))


def test_report_that_goes_in_a_circle() -> None:
    """What came from a contract cannot go back into it."""
    story = Held(10)
    reported(story, -10, ratio="0.5", cause="adjusted", into=NEW)
    back = PositionChanged(INTO, "adjusted", (LATER + timedelta(hours=1)).isoformat(), "-5", "2", "", STOCK)
    story.note(Source.FLEX, *back.fields)
    assert (held(story), held(story, 701)) == (0, 5)


def test_contract_of_an_answer_alone() -> None:
    """Never traded, but listed: its executions are reported before they are journalled."""
    story = begun_with(20)
    one = past(story)
    at = START - timedelta(hours=1)
    one.traded(at - timedelta(hours=1), Decimal(10))
    one.traded(at + timedelta(minutes=50), Decimal(-20))
    assert (past(story).is_known, one.is_known) == (False, True)
    assert one.fit(at, Decimal(30), ratio=Decimal(4)) == Fit(Decimal(10), Decimal(0))


def test_change_behind_what_is_settled() -> None:
    """What an adjustment before it says was held holds, whatever the opening balance."""
    story = Held(10)
    reported(story, -4)
    one = past(story)
    assert one.held_at(LATER + timedelta(days=1)) == 6
    one.changed(LATER + timedelta(days=2), ratio=Decimal(2))
    one.came(LATER + timedelta(days=3), Decimal(1))
    assert one.held_at(LATER + timedelta(days=4)) == 13


def test_expired_contract_holds_nothing() -> None:
    story = Held(10)
    gone = Moment(START + timedelta(hours=2), 99)
    story.state.put(DEPARTURES, Expiration(ACCOUNT, STOCK.con_id, gone, "expired"))
    assert past(story).held_at(LATER) == 10
    assert past(story).held_at(LATER + timedelta(hours=2)) == 0
    traded_in_report(story, 7, 1, 9000)
    assert past(story).held_at(LATER + timedelta(hours=2)) == 11
