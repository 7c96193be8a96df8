"""A base in doubt, after the connection or its link to IBKR was lost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.facts import (
    ACCOUNT,
    ALERT,
    Story,
    base,
    exec_id,
    execution,
    held,
    holding,
    matched,
    position,
    quantity,
    unmatched,
)
from tracker.core.model import End, EndOf, Notice, Source
from tracker.core.state import SNAPSHOTS
from tracker.core.state_rows import Baseline

POSITIONS_END = End(EndOf.POSITIONS, -1)


def where(story: Story) -> tuple[object, ...]:
    return holding(story).baseline, base(story), held(story), quantity(story)


def asked() -> Story:
    """Return a story that has asked for positions and waits."""
    story = Story(up=False)
    story.note(Source.LINK, "up", ACCOUNT, "176")
    story.note(Source.SENT, "positions")
    return story


@pytest.mark.parametrize("way", ["reconnected", "IBKR was lost"])
def test_a_base_in_doubt_stands_until_the_sweep_after_a_break_is_over(way: str) -> None:
    """What was sold meanwhile is in the positions already, and is told only by the sweep."""
    story = asked()
    story.decide = lambda execution: (unmatched if execution.signed < 0 else matched(ALERT))(execution)
    story.tell(position(4), POSITIONS_END)
    story.sweep(execution(exec_id(1), 4, at=-1, request_id=900))
    assert (holding(story).baseline, quantity(story)) == (Baseline.UNCONFIRMED, 4)
    story.now += timedelta(seconds=60)
    if way == "reconnected":
        story.reconnect(position(-2))
    else:
        story.tell(Notice(-1, 1100, "lost"), Notice(-1, 1102, "restored"))
        story.snapshot(position(-2))
    story.note(Source.STORE, "rematch", ACCOUNT, exec_id(1))
    assert (holding(story).baseline, quantity(story)) == (Baseline.UNCONFIRMED, 4)
    story.note(Source.SENT, "executions", "901", ACCOUNT)
    story.tell(execution(exec_id(2), -6, at=30, request_id=901, perm_id=189))
    assert quantity(story) == 4
    story.tell(End(EndOf.EXECUTIONS, 901))
    assert where(story) == (
        Baseline.UNCONFIRMED,
        0,
        -2,
        0,
    )
    story.snapshot(position(-2))
    assert where(story) == (
        Baseline.SNAPSHOT,
        0,
        -2,
        0,
    )


def test_a_sweep_asked_before_a_break_settles_no_doubt_behind_it() -> None:
    story = asked()
    story.tell(position(4), POSITIONS_END)
    story.sweep(execution(exec_id(1), 4, at=-1, request_id=900))
    story.now += timedelta(seconds=60)
    story.note(Source.SENT, "executions", "901", ACCOUNT)
    story.tell(Notice(-1, 1100, "lost"), Notice(-1, 1102, "restored"))
    story.snapshot(position(-2))
    story.tell(End(EndOf.EXECUTIONS, 901))
    assert (holding(story).baseline, quantity(story)) == (Baseline.UNCONFIRMED, 4)


def test_an_answer_that_a_fill_of_the_contract_disturbed_leaves_its_base_as_it_was() -> None:
    story = asked()
    story.tell(position(10), POSITIONS_END)
    story.sweep(execution(exec_id(1), 4, at=-1, request_id=900))
    story.note(Source.LINK, "down", "lost")
    story.session += 1
    story.now += timedelta(seconds=60)
    story.note(Source.LINK, "up", ACCOUNT, "176")
    story.note(Source.SENT, "positions")
    story.tell(position(10), execution(exec_id(2), 1, at=60), POSITIONS_END)
    story.note(Source.LINK, "first_sweep")
    story.sweep(request=901)
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.UNCONFIRMED, 6, 11)


@pytest.mark.parametrize("listed", [3, 6], ids=["in it", "not"])
def test_a_fill_between_request_and_end_that_only_a_sweep_tells_is_in_doubt(listed: int) -> None:
    """The gateway took 15 seconds, and pushes no fill of another client."""
    story = asked()
    story.now += timedelta(seconds=15)
    story.tell(position(3), POSITIONS_END)
    story.sweep(execution(exec_id(1), 3, at=10, request_id=900))
    assert (holding(story).baseline, held(story)) == (Baseline.UNCONFIRMED, 6)
    story.now += timedelta(seconds=60)
    story.snapshot(position(listed))
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, listed - 3, listed)


def test_correction_behind_a_certain_answer_leaves_it() -> None:
    """The answer contained the first version: 10 less 4."""
    story = asked()
    story.tell(position(10), POSITIONS_END)
    story.sweep(execution(exec_id(1), 4, at=-60, request_id=900))
    story.snapshot(position(10))
    story.tell(execution(exec_id(1, 2), 5, at=-60))
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 6, 11)


@pytest.mark.parametrize("code", [1101, 1102])
def test_positions_told_in_a_loss_of_ibkr_that_nobody_told_of_are_a_guess(code: int) -> None:
    """The gateway had lost IBKR before the connection began: what was sold meanwhile is not in them."""
    story = asked()
    story.tell(position(10), POSITIONS_END)
    story.sweep(execution(exec_id(1), 4, at=-300, request_id=900))
    story.snapshot(position(10))
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 6, 10)
    story.now += timedelta(seconds=60)
    story.tell(Notice(-1, code, "restored"))
    assert holding(story).baseline is Baseline.UNCONFIRMED
    story.sweep(execution(exec_id(2), -6, at=-60, request_id=901), request=901)
    assert holding(story).baseline is Baseline.UNCONFIRMED
    story.snapshot(position(4))
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 6, 4)


def test_an_answer_that_was_under_way_then_is_not_taken() -> None:
    story = asked()
    story.tell(position(10), Notice(-1, 1101, "restored"), POSITIONS_END)
    assert story.state.get(SNAPSHOTS, "last") is None


def test_what_an_earlier_connection_was_told_stays_true_then() -> None:
    story = asked()
    story.tell(position(10), POSITIONS_END)
    story.sweep(execution(exec_id(1), 4, at=-60, request_id=900))
    story.snapshot(position(10))
    story.reconnect(position(10))
    story.tell(Notice(-1, 1102, "restored"))
    assert (holding(story).baseline, base(story)) == (Baseline.SNAPSHOT, 6)
