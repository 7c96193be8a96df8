"""What a corrected or unreadable execution says of an opening balance (rules 4.1 and 4.2)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from tests.core.test_certainty import connected
from tests.support.facts import (
    ACCOUNT,
    START,
    Story,
    base,
    exec_id,
    execution,
    held,
    holding,
    position,
    quantity,
    shown,
)
from tracker.core.model import LIVE, End, EndOf, Notice, Source, Undecodable
from tracker.core.state import ANSWERS, DIFFERENCES, SNAPSHOTS
from tracker.core.state_rows import Baseline


@pytest.mark.parametrize("corrected", [False, True])
def test_no_sweep_lacked_what_could_not_be_read(*, corrected: bool) -> None:
    """It came unreadable before the answer, so a sweep after it lacked nothing: 4 were bought, none held.

    So it is where its correction is pushed meanwhile, which settles what could not be read.
    """
    story = Story()
    story.tell(Undecodable("execution", "no side", exec_id(1)))
    story.snapshot(position(4))
    story.sweep(request=901)
    if corrected:
        story.tell(execution(exec_id(1, 2), 4, at=0))
    story.sweep(execution(exec_id(1), 4, at=0, request_id=902), request=902)
    assert holding(story).baseline is Baseline.UNCONFIRMED
    story.snapshot(position(4))
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 0, 4)


@pytest.mark.parametrize("request_id", [902, LIVE], ids=["swept", "pushed"])
def test_sweep_that_lists_a_correction_does_not_lack_what_it_replaced(request_id: int) -> None:
    """Short 3, and 3 are bought unseen, as the next answer shows. Only the correction of that is told.

    What was corrected comes with a much later sweep; it was executed before the sweep that lacked it.
    """
    story = Story()
    story.sweep()
    story.snapshot(position(-3))
    story.now += timedelta(seconds=60)
    at = int((story.now - START).total_seconds()) - 30
    story.snapshot(position(0))
    story.sweep(execution(exec_id(1, 2), 3, at=at, request_id=request_id), request=902)
    story.sweep(request=903)
    story.snapshot(position(0))
    story.sweep(execution(exec_id(1), 3, at=at, request_id=904), request=904)
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, -3, 0)


@pytest.mark.parametrize("version", [1, 2], ids=["itself", "its correction"])
def test_unreadable_push_is_behind_the_answers_before_it(version: int) -> None:
    """4 are listed, then 4 are bought, pushed unreadable, and read later: the order of arrival tells.

    So it is where only its correction can be read, swept or pushed.
    """
    for request in (901, LIVE):
        story = Story()
        story.snapshot(position(4))
        story.tell(Undecodable("execution", "no side", exec_id(1), live=True))
        story.sweep(execution(exec_id(1, version), 4, at=-5, request_id=request), request=901)
        assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 4, 8)


@pytest.mark.parametrize("others", [False, True], ids=["alone", "before 9 others"])
def test_answer_before_an_unreadable_push_is_kept(others: bool) -> None:
    """2 are listed, 7 bought come unreadable, and 9 are listed; many sweeps and days later the 7 are read.

    Each sweep is complete, and only the answer before the push tells the opening balance.
    """
    story = Story()
    story.snapshot(position(2))
    story.tell(Undecodable("execution", "no side", exec_id(1), live=True))
    for request in range(901, 910):
        story.sweep(request=request)
        story.snapshot(position(9))
        if others:
            story.tell(Undecodable("execution", "no side", exec_id(request), live=True))
    story.reconnect(position(9))
    story.sweep(execution(exec_id(1), 7, at=-5, request_id=910), request=910)
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 2, 9)


def test_lost_link_to_broker_forgets_what_was_kept_for_an_unreadable_push() -> None:
    story = Story()
    story.lose_link()
    story.sweep(request=901)
    story.snapshot(position(2))
    story.tell(Undecodable("execution", "no side", exec_id(1), live=True))
    story.tell(Notice(-1, 1101, "restored"))
    known = story.state.get(ANSWERS, ACCOUNT)
    assert known is not None
    assert known.unread == ()


def test_unreadable_push_of_a_correction_tells_no_order() -> None:
    """What the unreadable correction is of was perhaps missed long before: the 4 may contain it."""
    story = Story()
    story.snapshot(position(4))
    story.tell(Undecodable("execution", "no side", exec_id(1, 2), live=True))
    story.sweep(execution(exec_id(1, 2), 4, at=-5, request_id=901), request=901)
    assert holding(story).baseline is Baseline.UNCONFIRMED


def test_correction_of_what_came_behind_the_answer() -> None:
    """1 was bought after the answer that lists 4, and turned out void: the 4 are certain all the same."""
    story = Story()
    story.snapshot(position(4))
    story.tell(execution(exec_id(1), 1, at=0))
    story.reconnect(position(4))
    void = replace(execution(exec_id(1, 2), 1, at=0, request_id=901), quantity=Decimal(0))
    story.sweep(void, request=901)
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 4, 4)


def test_unreadable_correction_of_what_was_made_behind_the_answer() -> None:
    """4 are listed. 1 that was bought a minute later is swept as corrected; its void comes unreadable first.

    What was made behind the answer is void behind it, too: the 4 stay certain.
    """
    story = Story()
    story.snapshot(position(4))
    story.sweep(execution(exec_id(1, 2), 1, at=60, request_id=901), request=901)
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 4, 5)
    story.tell(Undecodable("execution", "no side", exec_id(1, 3), live=True))
    void = replace(execution(exec_id(1, 3), 1, at=60, request_id=902), quantity=Decimal(0))
    story.sweep(void, request=902)
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 4, 4)


@pytest.mark.parametrize("first_too", [False, True], ids=["never received", "received behind it"])
def test_correction_of_a_fill_not_received(*, first_too: bool) -> None:
    """4 are listed; the fill of 4 that was missed before becomes one of 2: nothing was held at first."""
    story = connected()
    story.sweep()
    story.snapshot(position(4))
    story.tell(execution(exec_id(1, 2), 2, at=-60))
    if first_too:
        story.tell(execution(exec_id(1), 4, at=-60))
    assert holding(story).baseline is Baseline.UNCONFIRMED
    story.snapshot(position(2))
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 0, 2)


def test_first_version_told_behind_its_correction() -> None:
    """4 held; of a sale of 1 the correction is reported first: 3 are held, also after the first version."""
    story = connected()
    story.sweep(execution(exec_id(1, 2), -1, at=0, request_id=900))
    story.snapshot(position(3))
    assert (base(story), held(story)) == (4, 3)
    story.tell(execution(exec_id(1), -1, at=0))
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 4, 3)


def test_answer_counts_again_once_its_doubt_is_over() -> None:
    """4 are listed; a correction to 2 of an unseen fill puts them in doubt until its first version is swept.

    A complete sweep behind the 4 lacked it, so they do not contain it: of the 9 listed 3 are unexplained.
    """
    story = connected()
    story.sweep()
    story.snapshot(position(4))
    story.sweep(request=901)
    story.tell(execution(exec_id(1, 2), 2, at=60))
    assert holding(story).baseline is Baseline.UNCONFIRMED
    story.snapshot(position(9))
    assert (holding(story).baseline, base(story)) == (Baseline.SNAPSHOT, 7)
    story.sweep(execution(exec_id(1), 1, at=60, request_id=902), request=902)
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 4, 6)
    story.snapshot(position(9))
    assert [row.amount for row in story.state.find(DIFFERENCES, "open", "1")] == [3]


def test_first_version_swept_behind_its_correction_leaves_no_doubt() -> None:
    """1 bought, corrected from 8, is listed; that the 8 are told later says nothing of the answer."""
    story = connected()
    corrected = execution(exec_id(1, 2), 1, at=-60, request_id=900)
    story.sweep(corrected)
    story.snapshot(position(1))
    story.reconnect(position(1))
    story.sweep(replace(corrected, exec_id=exec_id(1), quantity=Decimal(8), request_id=901), request=901)
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 0, 1)


def test_correction_of_the_price_alone_leaves_no_doubt() -> None:
    """8 bought turned out as 1 before the answer that lists it; a new price says nothing about that."""
    story = connected()
    bought = execution(exec_id(1), 8, at=-60, request_id=900)
    story.sweep(bought, replace(bought, exec_id=exec_id(1, 2), quantity=Decimal(1)))
    story.snapshot(position(1))
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 0, 1)
    story.reconnect(position(1))
    priced = replace(bought, exec_id=exec_id(1, 3), quantity=Decimal(1), price=Decimal(9), request_id=901)
    story.sweep(priced, request=901)
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 0, 1)


def test_unseen_correction_behind_answer_is_undecided() -> None:
    """5 bought, 4 sold, 1 listed; while the link is down the sale becomes one of 2: 3 are left."""
    story = connected()
    story.sweep(
        execution(exec_id(1), 5, at=-60, request_id=900),
        execution(exec_id(2), -4, at=-50, perm_id=189, request_id=900),
    )
    story.snapshot(position(1))
    assert (holding(story).baseline, base(story), quantity(story)) == (Baseline.SNAPSHOT, 0, 1)
    story.reconnect(position(3))
    story.sweep(execution(exec_id(2, 2), -2, at=-50, perm_id=189, request_id=901), request=901)
    assert holding(story).baseline is Baseline.UNCONFIRMED
    story.snapshot(position(3))
    assert story.ledger.take_position_reasons() == []
    assert (holding(story).baseline, base(story)) == (Baseline.SNAPSHOT, 0)
    assert (held(story), quantity(story), shown(story).open) == (3, 3, True)


def test_round_trip_of_a_correction_does_not_lag() -> None:
    """3 bought, which become 2, and 2 sold by one sweep: an answer that lacks it does not lag."""
    story = connected()
    bought = execution(exec_id(1), 3, at=-60, request_id=900)
    correction = replace(bought, exec_id=exec_id(1, 2), quantity=Decimal(2))
    story.sweep(bought, correction, execution(exec_id(2), -2, at=-50, perm_id=189, request_id=900))
    story.snapshot()
    assert story.ledger.take_position_reasons() == []
    assert (holding(story).baseline, base(story)) == (Baseline.SNAPSHOT, 0)


def test_answer_lags_behind_a_swept_correction() -> None:
    """4 are held and a sweep makes 3 of them; an answer that still lists 4 is asked for again."""
    story = connected()
    story.sweep()
    story.snapshot(position(0))
    story.tell(bought := execution(exec_id(1), 4, at=0))
    correction = replace(bought, exec_id=exec_id(1, 2), quantity=Decimal(3), request_id=901)
    story.sweep(correction, request=901)
    story.snapshot(position(4))
    assert story.ledger.take_position_reasons() == ["the last answer lags behind the executions"]


def test_correction_of_what_was_pushed_behind_an_answer_leaves_its_balance() -> None:
    """18 are listed, then 10 are bought, at an older time; a sweep corrects the price before both are folded.

    The push came behind the answer, so these 10 were made later, and so was what corrects them.
    """
    story = Story()
    story.snapshot(position(18))
    story.lose_link()
    story.tell(execution(exec_id(1), 10, at=-5))
    story.sweep(execution(exec_id(1, 2), 10, "8.59", at=-5, request_id=902), request=902)
    story.note(Source.LINK, "first_sweep")
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 18, 28)


NEWS = {
    "an old version": ((3, execution(exec_id(1), 4)), True),
    "another price": ((3, execution(exec_id(1, 3), 3, "2.60")), True),
    "another quantity": ((2, execution(exec_id(1, 3), 2)), False),
    "a void of what never came": ((3, execution(exec_id(2, 2), 0)), False),
}
"""What is pushed while positions are listed: what they list, the push, and whether the answer is used."""


@pytest.mark.parametrize("name", NEWS)
def test_only_what_may_change_what_is_held_disturbs_an_answer(name: str) -> None:
    """The second version is known by then; which rows contain a push is unknown only if it changes a size."""
    (listed, push), used = NEWS[name]
    story = Story()
    story.tell(execution(exec_id(1, 2), 3))
    before = story.state.get(SNAPSHOTS, "last")
    story.note(Source.SENT, "positions")
    story.tell(position(listed), push, End(EndOf.POSITIONS, -1))
    assert (story.state.get(SNAPSHOTS, "last") != before) is used


@pytest.mark.parametrize("certain", [True, False], ids=["5 were listed", "nothing was certain"])
def test_correction_of_what_was_missed_doubts_a_silent_answer(*, certain: bool) -> None:
    """5 were bought two days ago. An answer lists none, then what was never received is corrected to 1.

    That was bought before the answer or after it, or long before, so only the next certain one tells what was
    held at first: it lists 19.
    """
    story = Story(up=certain)
    if not certain:
        story.note(Source.LINK, "up", ACCOUNT, "176")
    story.tell(execution(exec_id(1), 5))
    if certain:
        story.sweep(request=901)
        story.snapshot(position(5))
    story.lose_link(away=timedelta(days=2))
    story.sweep(request=902)
    story.snapshot()
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 0, 5)
    story.tell(execution(exec_id(2, 2), 1, at=2 * 86400, perm_id=189))
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.UNCONFIRMED, 0, 6)
    story.sweep(request=903)
    story.snapshot(position(19))
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 13, 19)
