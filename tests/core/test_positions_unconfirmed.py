"""An unconfirmed opening balance, after the connection or its link to IBKR was lost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.facts import (
    ACCOUNT,
    ALERT,
    START,
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
def test_unconfirmed_base_waits_for_the_sweep(way: str) -> None:
    """What was sold meanwhile is in the positions already, and is reported only by the sweep."""
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


def test_earlier_sweep_confirms_nothing() -> None:
    """A sweep asked before a break settles no doubt after it."""
    story = asked()
    story.tell(position(4), POSITIONS_END)
    story.sweep(execution(exec_id(1), 4, at=-1, request_id=900))
    story.now += timedelta(seconds=60)
    story.note(Source.SENT, "executions", "901", ACCOUNT)
    story.tell(Notice(-1, 1100, "lost"), Notice(-1, 1102, "restored"))
    story.snapshot(position(-2))
    story.tell(End(EndOf.EXECUTIONS, 901))
    assert (holding(story).baseline, quantity(story)) == (Baseline.UNCONFIRMED, 4)


def test_disturbed_answer_leaves_the_base() -> None:
    """An answer that a fill of the contract disturbed leaves its base as it was."""
    story = asked()
    story.tell(position(10), POSITIONS_END)
    story.sweep(execution(exec_id(1), 4, at=-1, request_id=900))
    story.lose_link(away=timedelta(seconds=60))
    story.note(Source.SENT, "positions")
    story.tell(position(10), execution(exec_id(2), 1, at=60), POSITIONS_END)
    story.note(Source.LINK, "first_sweep")
    story.sweep(request=901)
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.UNCONFIRMED, 6, 11)


@pytest.mark.parametrize("listed", [3, 6], ids=["in it", "not"])
def test_swept_fill_within_request_is_unconfirmed(listed: int) -> None:
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
def test_positions_in_unnoticed_loss_are_guesses(code: int) -> None:
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


def test_answer_under_way_is_not_used() -> None:
    """An answer that was under way then is not taken."""
    story = asked()
    story.tell(position(10), Notice(-1, 1101, "restored"), POSITIONS_END)
    assert story.state.get(SNAPSHOTS, "last") is None


def test_earlier_connections_answer_stays_true() -> None:
    """What an earlier connection was told stays true then."""
    story = asked()
    story.tell(position(10), POSITIONS_END)
    story.sweep(execution(exec_id(1), 4, at=-60, request_id=900))
    story.snapshot(position(10))
    story.reconnect(position(10))
    story.tell(Notice(-1, 1102, "restored"))
    assert (holding(story).baseline, base(story)) == (Baseline.SNAPSHOT, 6)


def test_answer_before_the_sweep_before_gives_the_balance() -> None:
    """The second answer may contain what the second sweep brings; the first does not: one sweep lacked it.

    The sweep's end and what it proves come in one packet with its execution.
    """
    story = Story()
    story.snapshot(position(4))
    story.sweep(request=901)
    story.snapshot(position(4))
    story.note(Source.LINK, "down", "lost")
    story.note(Source.LINK, "up", ACCOUNT, "176")
    story.note(Source.SENT, "executions", "902", ACCOUNT)
    proof, over = (Source.LINK, ("proof", "902", "complete")), (Source.LINK, ("first_sweep",))
    story.batch(execution(exec_id(1), 4, at=0, request_id=902), End(EndOf.EXECUTIONS, 902), proof, over)
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 4, 8)


def test_newest_uncertain_answer_counts() -> None:
    """3 bought; 8 are listed, then 9, and no sweep ends: the newest word is the best there is."""
    story = asked()
    story.tell(POSITIONS_END)
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.note(Source.LINK, "timeout", EndOf.EXECUTIONS, "900")
    story.tell(execution(exec_id(1), 3, at=0))
    for listed, before in ((8, 5), (9, 6)):
        story.snapshot(position(listed))
        assert (holding(story).baseline, base(story)) == (Baseline.UNCONFIRMED, before)


def test_answer_a_minute_before_a_missed_sale_gives_the_balance() -> None:
    """Short 3, then 2, as two answers list. 3 more are sold in the second one's second, with the link down.

    The last answer may contain the sale; the one a minute before does not.
    """
    story = Story()
    story.sweep()
    story.snapshot(position(-3))
    story.sweep(request=901)
    story.snapshot(position(-2))
    story.now += timedelta(seconds=60)
    story.snapshot(position(-2))
    sold = int((story.now - START).total_seconds())
    story.lose_link()
    story.note(Source.SENT, "executions", "902", ACCOUNT)
    proof, over = (Source.LINK, ("proof", "902", "complete")), (Source.LINK, ("first_sweep",))
    sale = execution(exec_id(1), -3, at=sold, request_id=902)
    story.batch(sale, End(EndOf.EXECUTIONS, 902), proof, over)
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, -2, -5)


def test_balance_that_an_earlier_answer_gave_stays() -> None:
    """Found by seed 5400310832: nothing was held, as an answer before all that is known of the contract says.

    A void came first, which that answer may contain, so the 5 that a later one listed counted. Then a sweep
    brings the sale that was void: it is behind the sweep before it, so the earlier answer tells the balance,
    also once newer ones have taken its place in memory (rule 4.2).
    """
    story = Story()
    story.sweep()
    story.snapshot(position(0))
    story.sweep(request=901)
    story.decide = unmatched
    story.tell(execution(exec_id(1, 2), 0))
    story.snapshot(position(5))
    story.sweep(request=902)
    story.snapshot(position(5))
    assert base(story) == 5
    story.sweep(execution(exec_id(1), -5, request_id=903), request=903)
    assert base(story) == 0
    for request in range(904, 909):
        story.sweep(request=request)
        story.snapshot(position(5))
        assert base(story) == 0
