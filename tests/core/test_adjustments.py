"""Positions that change without an execution: found, counted for, settled by a second answer (4.3 to 4.5)."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from tests.support.facts import (
    ACCOUNT,
    ALERT,
    NVDA,
    SUCCESSOR,
    Story,
    exec_id,
    execution,
    held,
    holding,
    matched,
    position,
    quantity,
    shown,
    unmatched,
)
from tests.support.held_stock import KEY, STOCK, Held
from tracker.core.adjusting import adjust
from tracker.core.adjustment_rows import Adjustment
from tracker.core.alert_updates import EventKind
from tracker.core.journal_entries import AdjustmentTold
from tracker.core.model import End, EndOf, Moment, Source
from tracker.core.state import ADJUSTMENTS, DIFFERENCES


def test_split_then_sold_whole() -> None:
    """10 become 40 and all 40 are sold before a second answer: the alert is closed, no short is opened."""
    story = Held(10)
    story.answer(40)
    assert story.waiting() == [30]
    assert (quantity(story), held(story)) == (10, 40)
    story.trade(-40)
    assert (quantity(story), shown(story).open, held(story)) == (0, False, 0)
    story.answer(0)
    assert story.waiting() == []
    assert [one.held for one in story.adjustments] == [40]
    assert (quantity(story), held(story)) == (0, 0)


def test_split_sold_whole_and_not_listed() -> None:
    """The second answer lists no zeros, as a gateway on the day after: it agrees all the same."""
    story = Held(10)
    story.answer(40)
    story.trade(-40)
    story.now += timedelta(seconds=90)
    story.sweep(request=901)
    story.snapshot()
    assert story.waiting() == []
    assert [one.held for one in story.adjustments] == [40]
    assert (quantity(story), held(story)) == (0, 0)


def test_split_half_sold_before_the_second_answer() -> None:
    """What the split brought is sold before what an alert owns."""
    story = Held(10)
    story.answer(40)
    story.trade(-20)
    assert (quantity(story), held(story)) == (10, 20)
    story.answer(20)
    assert story.waiting() == []
    assert (quantity(story), held(story)) == (10, 20)
    assert len(story.adjustments) == 1
    story.answer(20)
    story.trade(-20)
    assert (quantity(story), shown(story).open) == (0, False)
    assert len(story.adjustments) == 1


def test_second_answer_within_a_minute_settles_nothing() -> None:
    story = Held(10)
    story.answer(40)
    story.answer(40, after=30)
    assert story.adjustments == []
    assert story.waiting() == [30]
    story.answer(40, after=31)
    assert len(story.adjustments) == 1


def test_second_answer_without_a_sweep_settles_nothing() -> None:
    story = Held(10)
    story.answer(40)
    story.now += timedelta(seconds=90)
    story.snapshot(position(40, contract=STOCK))
    assert story.adjustments == []


def test_difference_that_goes_away_is_forgotten() -> None:
    """The gateway reported 40 once: 30 of a sale that opened nothing meanwhile were opened after all."""
    story = Held(10)
    story.answer(40)
    story.trade(-12)
    assert (quantity(story), held(story)) == (10, 28)
    story.answer(-2)
    assert story.waiting() == []
    assert story.adjustments == []
    assert (quantity(story), held(story)) == (-2, -2)


def test_difference_that_a_late_execution_explains_is_forgotten() -> None:
    """4 were bought in the second in which 14 were answered, and are reported by the next sweep only.

    They come after that answer, so that 18 seem to be held; the next one says 14, as the executions do.
    """
    story = Held(10)
    story.answer(14)
    (seen,) = story.state.find(DIFFERENCES, "open", "1")
    story.trade(4, ago=(story.now - seen.place.time).total_seconds())
    assert held(story) == 18
    story.answer(14)
    assert (story.waiting(), held(story), quantity(story)) == ([], 14, 14)


def test_smaller_position_counts_only_once_settled() -> None:
    """4 of 10 went to another broker: nothing changes before a second answer agrees."""
    story = Held(10)
    story.answer(6)
    assert (quantity(story), held(story)) == (10, 10)
    story.answer(6)
    assert (quantity(story), held(story), shown(story).open) == (6, 6, True)


def test_vanished_position_waits_five_minutes() -> None:
    story = Held(10)
    story.answer(0)
    story.answer(0, after=200)
    assert (quantity(story), held(story)) == (10, 10)
    story.answer(0, after=101)
    assert (quantity(story), held(story), shown(story).open) == (0, 0, False)
    assert shown(story).position is not None
    assert (shown(story).position or {})["closed_by"] == "adjusted"


def test_early_assignment_of_two_of_five() -> None:
    """5 puts were sold, 2 are assigned before they expire: the alert shows -3."""
    put = replace(NVDA, right="P", expiry=date(2026, 1, 16))
    story = Story()
    story.tell(execution(exec_id(1), -5, contract=put))
    for number, listed in ((901, -5), (902, -3), (903, -3)):
        story.now += timedelta(seconds=90)
        story.sweep(request=number)
        story.snapshot(position(listed, contract=put))
    assert (quantity(story), held(story), shown(story).open) == (-3, -3, True)


def test_expiring_option_follows_expiry_rule() -> None:
    """It is shown that 2 of 5 are gone; what they were closed by is not known before the day is over."""
    today = replace(NVDA, expiry=date(2025, 11, 18))
    story = Story()
    story.tell(execution(exec_id(1), 5, contract=today))
    for number in range(901, 905):
        story.now += timedelta(seconds=400)
        story.sweep(request=number)
        story.snapshot(position(3, contract=today))
    assert (quantity(story), story.state.find(ADJUSTMENTS, "contract", KEY)) == (5, [])
    assert len(story.state.find(DIFFERENCES, "open", "1")) == 1


def test_two_alerts_share_what_is_assigned() -> None:
    """The lot shrinks for both."""
    story = Held(-5, matched(ALERT, SUCCESSOR))
    story.answer(-3)
    story.answer(-3)
    assert (quantity(story), quantity(story, SUCCESSOR), held(story)) == (-3, -3, -3)


def test_downward_takes_what_no_alert_owns_first() -> None:
    """3 were held before, 10 bought for the alert; 5 go: 3 of the old ones, then 2 of the alert's."""
    story = Story()
    story.snapshot(position(3))
    story.tell(execution(exec_id(1), 10))
    for number in (901, 902):
        story.now += timedelta(seconds=90)
        story.sweep(request=number)
        story.snapshot(position(8))
    assert (quantity(story), held(story)) == (8, 8)


def test_late_missed_sale_shrinks_the_adjustment() -> None:
    """10 were held and 4 seemed to go; a sale of 3 of them is reported later: only 1 went without."""
    story = Held(10)
    story.answer(6)
    story.answer(6)
    assert quantity(story) == 6
    story.trade(-3, ago=300)
    assert (quantity(story), held(story)) == (6, 6)
    assert holding(story).alerts[0].sold
    story.answer(6)
    assert story.waiting() == []
    assert len(story.adjustments) == 1


def test_late_sale_of_report_shrinks_it_too() -> None:
    story = Held(10)
    story.answer(0)
    story.answer(0, after=301)
    assert not shown(story).open
    sold = execution(exec_id(7), -10, at=60, contract=STOCK, perm_id=7, request_id=0)
    story.tell(sold, source=Source.FLEX)
    assert (quantity(story), held(story), shown(story).open) == (0, 0, False)
    assert (shown(story).position or {})["closed_by"] is None


def test_transferred_in_after_round_trip_then_sold() -> None:
    """From nothing: 100 come in and are sold; no alert is opened short."""
    story = Held(10)
    story.trade(-10)
    story.answer(0)
    story.answer(100)
    story.trade(-100)
    assert (quantity(story), held(story), shown(story).open) == (0, 0, False)


def test_opposite_side_waits_until_settled() -> None:
    """Opposite side changes nothing before it is settled."""
    story = Held(10)
    story.answer(-5)
    assert (quantity(story), held(story)) == (10, 10)
    story.answer(-5)
    assert (quantity(story), held(story), shown(story).open) == (0, -5, False)


def test_uncertain_answer_tells_no_difference() -> None:
    """A gateway that has just started lists nothing yet."""
    story = Held(10)
    story.note(Source.SENT, "positions")
    story.tell(End(EndOf.POSITIONS, -1))
    assert story.waiting() == []


def test_person_tells_what_an_empty_answer_lacks() -> None:
    """The only position was given away: an answer without any is no proof, a person's word is."""
    story = Held(10)
    told = AdjustmentTold(KEY, "adjusted", "", "given away")
    story.note(Source.PERSON, *told.fields)
    assert (quantity(story), held(story)) == (10, 10), "the broker lists it"
    empty_answer(story)
    story.trade(1)
    story.note(Source.PERSON, *told.fields)
    assert (quantity(story), held(story)) == (11, 11), "bought behind that answer"
    empty_answer(story)
    assert (quantity(story), held(story)) == (11, 11)
    story.note(Source.PERSON, *told.fields)
    assert (quantity(story), held(story), shown(story).open) == (0, 0, False)
    story.note(Source.PERSON, *told.fields)
    assert held(story) == 0


def empty_answer(story: Held) -> None:
    story.now += timedelta(seconds=90)
    story.note(Source.SENT, "positions")
    story.tell(End(EndOf.POSITIONS, -1))


def test_difference_is_reported_with_its_cause() -> None:
    """Difference is reported once with its likely cause."""
    story = Held(10)
    story.answer(40)
    story.answer(40, after=20)
    story.answer(40)
    told = [event.what["state"] for event in story.events if event.kind is EventKind.UNEXPLAINED]
    assert told == ["open", "adjusted"]


def test_external_position_is_adjusted_too() -> None:
    story = Held(10, unmatched)
    story.answer(4)
    story.answer(4)
    assert held(story) == 4


@pytest.mark.parametrize("restart", [False, True])
def test_restart_keeps_what_waits(restart: bool) -> None:
    story = Held(10)
    story.answer(40)
    if restart:
        story.restart()
        story.reconnect(position(40, contract=STOCK))
    story.answer(40)
    assert (len(story.adjustments), held(story), quantity(story)) == (1, 40, 10)


# What a person tells, and takes back


def tell_split(story: Held, ratio: str = "4") -> int:
    story.note(Source.PERSON, "adjust", KEY, "split", ratio, "")
    return story.seq


def test_told_split_scales_lots_and_prices() -> None:
    """10 at 2.50 become 40 at 0.625, and the difference that was shown is settled by it."""
    story = Held(10)
    story.answer(40)
    tell_split(story)
    mine = holding(story).alerts[0]
    assert (quantity(story), held(story), mine.avg_price) == (40, 40, Decimal("0.625"))
    assert story.waiting() == []
    story.trade(-40)
    assert (quantity(story), shown(story).open) == (0, False)
    story.answer(0)
    assert len(story.adjustments) == 1


def test_told_split_and_its_undo_make_us_ask() -> None:
    """What the person says is compared with the broker's word at once, not at the next answer."""
    story = Held(10)
    story.answer(40)
    seq = tell_split(story)
    assert story.ledger.take_position_reasons() == ["a person entered why a position changed"]
    story.answer(40)
    story.note(Source.PERSON, "undo", str(seq), "", "")
    assert story.ledger.take_position_reasons() == ["a person took an adjustment back"]
    story.answer(40, after=1)
    assert story.waiting() == [30]


def test_told_split_without_an_answer_yet() -> None:
    story = Held(10)
    tell_split(story)
    assert (quantity(story), held(story)) == (40, 40)
    story.answer(40)
    assert story.waiting() == []


def test_split_told_after_it_was_settled() -> None:
    """30 came without owner, 20 were sold of them; by the split all 40 are the alert's, so 20 are left."""
    story = Held(10)
    story.answer(40)
    story.answer(40)
    story.trade(-20)
    story.answer(20)
    assert (quantity(story), held(story)) == (10, 20)
    seq = tell_split(story)
    assert (quantity(story), held(story), story.waiting()) == (20, 20, [])
    made, told = sorted(story.adjustments, key=lambda one: one.seq)
    assert (made.replaced_by, told.undone) == (str(seq), False)
    story.note(Source.PERSON, "undo", str(seq), "", "")
    assert (quantity(story), held(story)) == (10, 20)
    made, told = sorted(story.adjustments, key=lambda one: one.seq)
    assert (made.undone, told.undone) == (False, True)


def test_reverse_split_told_after_it_was_settled() -> None:
    """10 became 2 and cash for half a share; by the 1:4 all 10 became 2.5, of which 2 stay the alert's."""
    story = Held(10)
    story.answer(2)
    story.answer(2)
    assert (quantity(story), held(story)) == (2, 2)
    tell_split(story, "0.25")
    assert (quantity(story), held(story)) == (2.5, 2.5)
    story.answer(2)
    story.answer(2)
    assert (quantity(story), held(story), story.waiting()) == (2, 2, [])


def test_split_behind_another_settled_change() -> None:
    """4 of 10 went unexplained; a split of the 6 that are left is one of its own."""
    story = Held(10)
    story.answer(6)
    story.answer(6)
    tell_split(story)
    assert (quantity(story), held(story)) == (24, 24)


def test_note_names_a_settled_change() -> None:
    """The same quantities, with a reason and another cause."""
    story = Held(-5)
    story.answer(0)
    story.answer(0, after=301)
    story.note(Source.PERSON, "adjust", KEY, "assigned", "", "on the 18th")
    assert (quantity(story), held(story)) == (0, 0)
    assert (shown(story).position or {})["closed_by"] == "assigned"


def test_wrong_ratio_leaves_the_rest_unexplained() -> None:
    """The broker holds 40; a person entered 3 for 1, which makes 30."""
    story = Held(10)
    story.answer(40)
    tell_split(story, "3")
    assert (quantity(story), held(story)) == (30, 40)
    assert story.waiting() == [10]


def test_cause_behind_a_late_sale_is_measured_anew() -> None:
    """A sale told late explains the 8; a split told of it by mistake leaves the broker's 8 of our 16."""
    story = Held(10)
    story.answer(8)
    assert story.waiting() == [-2]
    story.trade(-2, ago=60)
    story.note(Source.PERSON, "adjust", KEY, "split", "2", "")
    assert held(story) == 16
    assert story.waiting() == [-8]


def test_difference_counts_by_what_is_known_now() -> None:
    """The broker's -2 is nothing against our 10; a sale of them reported late leaves it more than nothing."""
    story = Held(10)
    story.answer(-2)
    assert quantity(story) == 10
    story.trade(-10, ago=60)
    assert quantity(story) == 0
    story.trade(5)
    assert (quantity(story), held(story)) == (3, 3)


@pytest.mark.parametrize(("ratio", "listed", "real"), [(Decimal(2), None, 20), (None, Decimal(19), 19)])
def test_settled_change_behind_what_is_unexplained(
    ratio: Decimal | None, listed: Decimal | None, real: int
) -> None:
    """14 of 10 are listed, and count; a split after that makes 20 of the 10, a newer word is as it says."""
    story = Held(10)
    story.answer(14)
    before = holding(story)
    assert before.pending == 4
    change = Adjustment(*before.key, 99, Moment(story.now, 99), "split", held=listed, ratio=ratio)
    after, _ = adjust(before, change)
    assert after.held - after.pending == real


def test_split_told_while_an_answer_is_under_way() -> None:
    """10 are listed of 10 as a person says that they were split: the answers say that they were not."""
    story = Held(10)
    story.now += timedelta(seconds=90)
    story.sweep(request=900)
    story.note(Source.SENT, "positions")
    story.note(Source.PERSON, "adjust", KEY, "split", "2", "")
    story.tell(position(10, contract=STOCK), End(EndOf.POSITIONS, -1))
    assert story.waiting() == [-10]
    story.answer(10, after=301)
    assert (held(story), story.waiting()) == (10, [])


def test_undone_adjustment_is_undone_in_its_place() -> None:
    story = Held(10)
    story.answer(40)
    seq = tell_split(story)
    story.trade(-20)
    assert quantity(story) == 20
    story.note(Source.PERSON, "undo", str(seq), "", "")
    assert (quantity(story), held(story)) == (-10, -10)


def test_undone_inferred_adjustment_is_found_again() -> None:
    story = Held(10)
    story.answer(6)
    story.answer(6)
    assert quantity(story) == 6
    story.note(Source.PERSON, "undo", story.adjustments[0].name, "", "")
    assert quantity(story) == 10
    story.answer(6)
    assert story.waiting() == [-4]


def test_note_takes_over_what_the_broker_holds_at_once() -> None:
    story = Held(10)
    story.answer(6)
    story.note(Source.PERSON, "adjust", KEY, "adjusted", "", "moved to another broker")
    assert (quantity(story), held(story)) == (6, 6)
    assert story.adjustments[0].note == "moved to another broker"


@pytest.mark.parametrize("contract", [KEY, f"{ACCOUNT} 999"])
def test_note_about_nothing_changes_nothing(contract: str) -> None:
    story = Held(10)
    story.note(Source.PERSON, "adjust", contract, "adjusted", "", "nothing")
    assert (quantity(story), story.adjustments) == (10, [])


def test_late_match_opens_what_was_sold_in_the_second_of_an_adjustment() -> None:
    """4 vanish and close the alert; 4 sold in that very second are told later, and a match later still.

    What opens the other side comes behind what closed the first, so the alert is short 4.
    """
    verdict = [matched(ALERT)]
    story = Held(4, lambda fill: verdict[-1](fill))
    story.answer(0)
    story.answer(0, after=301)
    assert (quantity(story), shown(story).open) == (0, False)
    verdict.append(unmatched)
    (gone,) = story.adjustments
    story.trade(-4, ago=(story.now - gone.place.time).total_seconds())
    verdict.append(matched(ALERT))
    story.note(Source.STORE, "rematch", ACCOUNT, exec_id(story.number))
    assert (quantity(story), held(story)) == (-4, -4)
