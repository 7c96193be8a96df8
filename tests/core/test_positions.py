"""When executions are folded, and from which starting quantity."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace
from pytest_mock import MockerFixture

from tests.support.facts import (
    ACCOUNT,
    ALERT,
    NVDA,
    START,
    SUCCESSOR,
    Story,
    alert_fields,
    base,
    booked,
    exec_id,
    execution,
    held,
    holding,
    position,
    quantity,
    shown,
    untouched,
)
from tracker.core import positions
from tracker.core.model import End, EndOf, Notice, Source
from tracker.core.state import HOLDINGS, SNAPSHOTS
from tracker.core.state_rows import Baseline

POSITIONS_END = End(EndOf.POSITIONS, -1)
SWEEP_END = End(EndOf.EXECUTIONS, 900)
SECOND_ACCOUNT = "DU9000001"


def connecting() -> Story:
    """Return a story whose link has just come up; nothing was asked yet."""
    story = Story(up=False)
    story.note(Source.LINK, "up", ACCOUNT, "176")
    return story


def asked() -> Story:
    """Return a story that has asked for positions and waits."""
    story = connecting()
    story.note(Source.SENT, "positions")
    return story


# What was held before


def test_selling_old_holdings_touches_no_alert() -> None:
    story = asked()
    story.tell(position(10), POSITIONS_END)
    story.tell(execution(exec_id(1), -4))
    assert (held(story), untouched(story)) == (6, True)


def test_earlier_executions_are_in_the_snapshot() -> None:
    story = asked()
    story.tell(position(10), POSITIONS_END)
    story.sweep(execution(exec_id(1), 4, at=-60, request_id=900))
    assert (base(story), held(story), quantity(story)) == (6, 10, 4)


def test_executions_after_request_are_not_in_it() -> None:
    story = asked()
    story.tell(position(10), POSITIONS_END)
    story.sweep(execution(exec_id(1), 4, at=60, request_id=900))
    assert (base(story), held(story)) == (10, 14)


def test_a_live_execution_counts_by_its_arrival() -> None:
    story = asked()
    story.tell(position(10), POSITIONS_END)
    story.tell(execution(exec_id(1), 4, at=-1))
    assert (base(story), held(story)) == (10, 14)


def test_earlier_live_execution_is_included() -> None:
    story = connecting()
    story.tell(execution(exec_id(1), 4))
    assert untouched(story)
    story.snapshot(position(10))
    assert (base(story), held(story), quantity(story)) == (6, 10, 4)


def test_position_closed_today_is_listed_as_zero() -> None:
    story = asked()
    story.tell(position(0), POSITIONS_END)
    story.sweep(execution(exec_id(1), -4, at=-60, request_id=900))
    assert (base(story), held(story), untouched(story)) == (4, 0, True)


def test_unnamed_contract_starts_at_zero() -> None:
    story = asked()
    story.tell(POSITIONS_END)
    story.sweep(execution(exec_id(1), -4, at=-60, request_id=900))
    assert (base(story), held(story), quantity(story)) == (0, -4, -4)
    assert holding(story).baseline is Baseline.UNCONFIRMED


def test_untimed_swept_execution_needs_next_snapshot() -> None:
    """A swept execution without a time is settled by the next snapshot."""
    story = asked()
    story.tell(position(10), POSITIONS_END)
    story.sweep(replace(execution(exec_id(1), 4, at=60, request_id=900), time_known=False))
    story.snapshot(position(10))
    assert (base(story), held(story), quantity(story)) == (6, 10, 4)


@pytest.mark.parametrize("at", [-1, 0, 1])
def test_swept_at_the_request_is_unconfirmed(at: int) -> None:
    """A swept execution at the moment of the request leaves it unconfirmed until the next snapshot."""
    story = asked()
    story.tell(position(10), POSITIONS_END)
    story.sweep(execution(exec_id(1), 4, at=at, request_id=900))
    assert (holding(story).baseline, quantity(story)) == (Baseline.UNCONFIRMED, 4)
    story.now += timedelta(seconds=60)
    story.snapshot(position(10))
    assert (holding(story).baseline, base(story), held(story), quantity(story)) == (
        Baseline.SNAPSHOT,
        6,
        10,
        4,
    )


def test_first_trade_starts_from_last_snapshot() -> None:
    """The days between are not proven here, so it is a guess until the next certain answer."""
    story = Story()
    story.snapshot(position(10))
    story.tell(execution(exec_id(1), -4, at=90 * 86400), after=90 * 86400)
    assert (held(story), untouched(story), holding(story).baseline) == (6, True, Baseline.UNCONFIRMED)
    story.snapshot(position(6))
    assert (base(story), holding(story).baseline) == (10, Baseline.SNAPSHOT)


def test_later_snapshots_seed_nothing_anew() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 4))
    story.reconnect(position(9))
    story.tell(execution(exec_id(2), 1, at=60))
    assert (base(story), held(story)) == (0, 5)


def test_a_position_outside_an_answer_seeds_nothing() -> None:
    story = Story()
    story.tell(position(10))
    story.tell(execution(exec_id(1), -4))
    assert held(story) == -4


def test_end_that_nobody_asked_for_ends_nothing() -> None:
    story = connecting()
    story.tell(position(10), POSITIONS_END)
    assert story.state.get(SNAPSHOTS, "last") is None


# A snapshot that executions disturbed


def test_live_execution_during_answer_waits() -> None:
    story = asked()
    story.tell(position(10), execution(exec_id(1), 4), POSITIONS_END)
    assert untouched(story)
    story.snapshot(position(14))
    assert (base(story), held(story), quantity(story)) == (10, 14, 4)


def test_disturbed_snapshot_serves_the_rest() -> None:
    """A disturbed snapshot is taken for the rest when no better one comes."""
    story = asked()
    other = replace(NVDA, con_id=701)
    story.tell(position(10), position(7, contract=other), execution(exec_id(1), 4), POSITIONS_END)
    story.tell(execution(exec_id(2), -7, contract=other, at=60))
    story.note(Source.LINK, "first_sweep")
    assert (holding(story).baseline, held(story), quantity(story)) == (Baseline.UNCONFIRMED, 4, 4)
    assert (holding(story, 701).baseline, held(story, 701)) == (Baseline.UNCONFIRMED, 0)


def test_a_later_snapshot_settles_the_doubt() -> None:
    story = asked()
    story.tell(position(10), execution(exec_id(1), -4), POSITIONS_END)
    story.note(Source.LINK, "first_sweep")
    assert quantity(story) == -4
    story.sweep()
    story.snapshot(position(6))
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 10, 6)
    assert (shown(story).open, quantity(story)) == (False, 0)


def test_needless_disturbed_snapshot_is_dropped() -> None:
    story = Story()
    before = story.state.get(SNAPSHOTS, "last")
    story.note(Source.SENT, "positions")
    story.tell(position(10), execution(exec_id(1), 4), POSITIONS_END)
    assert story.state.get(SNAPSHOTS, "last") == before
    assert quantity(story) == 4


def test_a_live_correction_disturbs_a_snapshot_too() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 4))
    before = story.state.get(SNAPSHOTS, "last")
    story.note(Source.SENT, "positions")
    story.tell(position(4), execution(exec_id(1, 2), 3), POSITIONS_END)
    assert story.state.get(SNAPSHOTS, "last") == before


@pytest.mark.parametrize("code", [1100, 2110])
def test_positions_during_loss_give_no_baseline(code: int) -> None:
    """Positions reported while the gateway had lost IBKR give no baseline."""
    story = asked()
    story.tell(position(10), Notice(-1, code, "lost"), POSITIONS_END)
    story.snapshot(position(10))
    assert story.state.get(SNAPSHOTS, "last") is None
    story.tell(Notice(-1, 1102, "restored"), Notice(-1, 2104, "a data farm"))
    story.snapshot(position(8))
    story.tell(execution(exec_id(1), -4, at=60))
    assert (held(story), untouched(story)) == (4, True)


def test_new_process_remembers_the_loss() -> None:
    """Found by seed 3987: a crash between the notice and the request, and the answer was believed.

    What else was asked on that connection it does not know either.
    """
    story = Story()
    story.tell(Notice(-1, 1100, "Connectivity between IBKR and TWS has been lost."))
    story.restart()
    story.now += timedelta(seconds=60)
    story.snapshot(position(7))
    snapshot = story.state.get(SNAPSHOTS, "last")
    assert snapshot is not None
    assert list(snapshot.rows.values()) == [1]
    story.reconnect(position(7))
    assert story.state.get(SNAPSHOTS, "last") != snapshot


def test_late_end_ends_no_other_answer() -> None:
    story = Story()
    story.note(Source.SENT, "positions")
    story.tell(position(-3))
    story.note(Source.LINK, "timeout", "positions")
    story.note(Source.SENT, "positions")
    story.tell(POSITIONS_END, position(-3), POSITIONS_END)
    story.now += timedelta(seconds=60)
    story.tell(execution(exec_id(1), 4, at=60))
    assert (base(story), held(story)) == (-3, 1)


def test_snapshot_during_sweep_lets_it_continue() -> None:
    story = asked()
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.tell(execution(exec_id(1), 4, at=-60, request_id=900), position(10), POSITIONS_END)
    assert untouched(story)
    story.tell(SWEEP_END)
    assert (base(story), held(story), quantity(story)) == (6, 10, 4)


# No answer


def test_unanswered_base_stays_unconfirmed() -> None:
    """Without any answer it goes on unconfirmed until one comes."""
    story = asked()
    story.tell(execution(exec_id(1), -4))
    assert untouched(story)
    story.note(Source.LINK, "timeout", "positions", "-1")
    assert (holding(story).baseline, quantity(story)) == (Baseline.UNCONFIRMED, -4)
    story.tell(execution(exec_id(2), -1, at=60))
    story.reconnect(position(5))
    story.sweep()
    assert (base(story), held(story), quantity(story), shown(story).open) == (10, 5, 0, False)
    story.snapshot(position(5))
    assert (base(story), held(story), quantity(story), shown(story).open) == (10, 5, 0, False)
    assert story.state.find(HOLDINGS, "doubt", "1") == []


def test_timeout_after_lost_link_changes_nothing() -> None:
    story = asked()
    story.note(Source.LINK, "down", "lost")
    story.note(Source.LINK, "timeout", "positions", "-1")
    assert story.state.get(SNAPSHOTS, "last") is None


def test_answer_after_its_timeout_is_not_taken() -> None:
    story = asked()
    story.note(Source.LINK, "timeout", "positions", "-1")
    story.tell(position(10), POSITIONS_END)
    assert story.state.get(SNAPSHOTS, "last") is None


def test_certain_answer_of_earlier_link_counts() -> None:
    """No answer came on the new link; what the last certain one listed is what the sale closes."""
    story = Story()
    story.snapshot(position(10))
    story.lose_link()
    story.note(Source.SENT, "positions")
    story.note(Source.LINK, "timeout", "positions", "-1")
    story.tell(execution(exec_id(1), -4, at=60))
    assert (holding(story).baseline, held(story), untouched(story)) == (Baseline.SNAPSHOT, 6, True)
    story.sweep()
    story.snapshot(position(8))
    assert (base(story), held(story)) == (10, 6)


@pytest.mark.parametrize("end", [("down", "lost"), ("up", ACCOUNT, "176")])
def test_nothing_waits_longer_than_the_connection(end: tuple[str, ...]) -> None:
    story = asked()
    story.tell(execution(exec_id(1), 4))
    assert untouched(story)
    story.note(Source.LINK, *end)
    assert quantity(story) == 4


# Corrections and the baseline


def test_correction_after_snapshot_is_not_in_it() -> None:
    story = connecting()
    story.tell(execution(exec_id(1), 4))
    story.snapshot(position(4))
    story.tell(execution(exec_id(1, 2), 3))
    assert (base(story), held(story)) == (0, 3)


def test_correction_before_snapshot_is_in_it() -> None:
    story = connecting()
    story.tell(execution(exec_id(1), 4), execution(exec_id(1, 2), 3))
    story.snapshot(position(3))
    assert (base(story), held(story)) == (0, 3)


def test_versions_in_one_answer_precede_it() -> None:
    """Versions in one answer were all made before it."""
    story = asked()
    story.tell(position(3), POSITIONS_END)
    story.sweep(
        execution(exec_id(1, 2), 3, at=-60, request_id=900), execution(exec_id(1), 4, at=-60, request_id=900)
    )
    assert (base(story), held(story)) == (0, 3)


def test_later_swept_correction_follows_snapshot() -> None:
    """A correction that only a later sweep brought was made after the snapshot."""
    story = asked()
    story.tell(position(4), POSITIONS_END)
    story.sweep(execution(exec_id(1), 4, at=-60, request_id=900))
    story.sweep(execution(exec_id(1, 2), 3, at=-60, request_id=901), request=901)
    assert (base(story), held(story)) == (0, 3)


def test_live_correction_counts_by_arrival() -> None:
    """Found by seed 6326: what it corrects was pushed to nobody, so it is after the answer or not at all."""
    story = connecting()
    story.now += timedelta(seconds=60)
    story.snapshot(position(4))
    story.sweep()
    story.tell(replace(execution(exec_id(1, 2), 3), time_known=False))
    assert holding(story).baseline is Baseline.UNCONFIRMED
    story.now += timedelta(seconds=60)
    story.snapshot(position(3))
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 0, 3)


def test_late_executions_are_folded_once(mocker: MockerFixture) -> None:
    """Each alone was folded from the base: minutes for the fills of a busy day after a crash."""
    story = Story()
    story.tell(execution(exec_id(0), 1, at=10_000))
    fold = mocker.spy(positions, "fold")
    story.tell(*(execution(exec_id(number), 1, at=9_000 - number) for number in range(1, 300)))
    assert (held(story), quantity(story), fold.call_count) == (300, 300, 1)


def test_holding_is_current_before_a_note() -> None:
    """In one batch: late fills, then a newer record that takes over what they add up to."""
    story = Story()
    story.tell(execution(exec_id(1), 4, at=60))
    story.batch(
        execution(exec_id(2), 1, at=30, perm_id=189),
        (Source.STORE, ("replaced", *alert_fields(ALERT), *alert_fields(SUCCESSOR))),
    )
    assert (held(story), quantity(story, SUCCESSOR)) == (5, 5)


# Waiting for an answer


@pytest.mark.parametrize(
    "over",
    [None, ("quiet", "900"), ("timeout", "executions", "900"), ("down", "lost")],
    ids=["ended", "quiet", "timed out", "link lost"],
)
def test_swept_execution_waits_for_its_answer(over: tuple[str, ...] | None) -> None:
    story = Story()
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.tell(execution(exec_id(1), 4, at=-60, request_id=900))
    assert untouched(story)
    assert not booked(story, exec_id(1)).folded
    if over is None:
        story.tell(SWEEP_END)
    else:
        story.note(Source.LINK, *over)
    assert (quantity(story), booked(story, exec_id(1)).folded) == (4, True)


def test_it_waits_for_answers_of_all_accounts() -> None:
    story = Story()
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.note(Source.SENT, "executions", "901", SECOND_ACCOUNT)
    story.tell(execution(exec_id(1), 4, request_id=900), SWEEP_END)
    assert untouched(story)
    story.tell(End(EndOf.EXECUTIONS, 901))
    assert quantity(story) == 4


def test_waiting_contract_holds_up_no_other() -> None:
    story, other = Story(), replace(NVDA, con_id=701)
    story.tell(execution(exec_id(1), 4))
    story.lose_link(away=timedelta(seconds=60))
    story.note(Source.SENT, "positions")
    missed = execution(exec_id(2), 2, at=30, request_id=901)
    story.sweep(missed, execution(exec_id(3), 5, at=30, contract=other, request_id=901), request=901)
    assert (held(story), booked(story, exec_id(3)).folded) == (6, False)
    story.tell(POSITIONS_END)
    assert (held(story), held(story, 701)) == (6, 5)


def test_live_fill_waits_behind_swept_one() -> None:
    """A live fill waits behind a swept one of its contract."""
    story = Story()
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.tell(execution(exec_id(1), 4, at=-60, request_id=900), execution(exec_id(2), 6))
    assert untouched(story)
    story.tell(SWEEP_END)
    assert quantity(story) == 10


def test_other_contracts_live_fill_is_free() -> None:
    story = Story()
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.tell(execution(exec_id(2), 6))
    assert quantity(story) == 6


def test_late_sweep_is_folded_at_once() -> None:
    """A late answer to a sweep that timed out is folded at once."""
    story = Story()
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.note(Source.LINK, "timeout", "executions", "900")
    story.tell(execution(exec_id(1), 4, at=-60, request_id=900))
    assert quantity(story) == 4


def test_correction_of_waiting_fill_waits_with_it() -> None:
    story = Story()
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.tell(execution(exec_id(1), 4, request_id=900), execution(exec_id(1, 2), 3, request_id=900))
    assert untouched(story)
    story.tell(SWEEP_END)
    assert quantity(story) == 3


def test_waiting_fills_survive_a_crash() -> None:
    """What waited when the process died is folded by the next one."""
    story = Story()
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.tell(execution(exec_id(1), 4, at=-60, request_id=900))
    story.restart()
    story.session += 1
    assert untouched(story)
    story.note(Source.LINK, "up", ACCOUNT, "176")
    assert quantity(story) == 4


def test_older_swept_fill_keeps_its_place() -> None:
    story = Story()
    story.tell(execution(exec_id(2), -4, at=60, perm_id=189))
    story.sweep(execution(exec_id(1), 4, at=30, request_id=900))
    assert (held(story), shown(story).open, quantity(story)) == (0, False, 0)
    assert shown(story).position is not None
    assert booked(story, exec_id(2)).closing == -4
    assert booked(story, exec_id(1)).moment.time == START + timedelta(seconds=30)
