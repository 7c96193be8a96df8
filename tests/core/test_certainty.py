"""Which answers about positions are certain, and which opening balance follows (rules 4.1 and 4.2)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from tests.support.facts import (
    ACCOUNT,
    BESIDE,
    NVDA,
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
    untouched,
)
from tracker.core.certainty import KEPT, LAGGING
from tracker.core.model import End, EndOf, Notice, Source
from tracker.core.state import ANSWERS, DIFFERENCES, GAPS, SNAPSHOTS
from tracker.core.state_rows import Baseline

POSITIONS_END = End(EndOf.POSITIONS, -1)
OTHER = replace(NVDA, con_id=701)


def certain(story: Story) -> tuple[str, ...]:
    snapshot = story.state.get(SNAPSHOTS, "last")
    assert snapshot is not None
    return snapshot.certain


def connected() -> Story:
    """Return a story whose link came up and asked for positions first, which listed nothing."""
    story = Story(up=False)
    story.note(Source.LINK, "up", ACCOUNT, "176")
    story.note(Source.SENT, "positions")
    story.tell(POSITIONS_END)
    return story


def test_answer_before_the_first_sweep_is_uncertain() -> None:
    story = Story(up=False)
    story.note(Source.LINK, "up", ACCOUNT, "176")
    story.snapshot(position(4))
    assert certain(story) == ()
    story.sweep()
    story.snapshot(position(4))
    assert certain(story) == (ACCOUNT,)


def test_unended_sweep_makes_nothing_certain() -> None:
    """Sweep that did not end makes nothing certain."""
    story = connected()
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.note(Source.LINK, "quiet", "900")
    story.snapshot(position(4))
    assert certain(story) == ()


def test_quiet_sweep_that_ends_after_all() -> None:
    """Nobody waited for its end any longer; what is asked after it is certain."""
    story = connected()
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.note(Source.LINK, "quiet", "900")
    story.tell(End(EndOf.EXECUTIONS, 900))
    story.snapshot(position(4))
    assert certain(story) == (ACCOUNT,)


def test_older_sweep_that_ends_last_keeps_the_newer_answer() -> None:
    """A sweep of all accounts was asked first and ends last: the newer answer still counts."""
    story = connected()
    story.note(Source.SENT, "executions", "900", "")
    story.sweep(request=901)
    story.snapshot(position(4))
    story.sweep(request=902)
    before = story.state.get(ANSWERS, ACCOUNT)
    assert before is not None
    assert before.swept == before.newest
    story.tell(End(EndOf.EXECUTIONS, 900))
    story.note(Source.LINK, "proof", "900", "complete")
    assert story.state.get(ANSWERS, ACCOUNT) == before


def test_answer_without_any_position_is_uncertain() -> None:
    """A gateway that has just started lists nothing yet."""
    story = connected()
    story.sweep()
    story.note(Source.SENT, "positions")
    story.tell(POSITIONS_END)
    assert certain(story) == ()


def test_short_listed_before_an_empty_answer() -> None:
    """3 short, listed before any sweep, are bought back while the link is down: none is held or listed."""
    story = Story(up=False)
    story.note(Source.LINK, "up", ACCOUNT, "176")
    story.snapshot(position(-3))
    story.lose_link()
    story.note(Source.SENT, "positions")
    story.tell(POSITIONS_END)
    story.sweep(execution(exec_id(1), 3, at=9, request_id=901), request=901)
    assert (base(story), held(story)) == (-3, 0)
    assert holding(story).baseline is Baseline.UNCONFIRMED


def test_after_break_only_new_sweep_makes_certain() -> None:
    story = Story()
    story.tell(Notice(-1, 1100, "lost"), Notice(-1, 1101, "restored"))
    story.snapshot()
    assert certain(story) == ()
    story.sweep()
    story.snapshot()
    assert certain(story) == (ACCOUNT,)


def test_missed_first_fill_then_short() -> None:
    """A flat account: the link was down as 3 were bought, then 3 and 2 more are sold: short by 2."""
    story = connected()
    story.sweep()
    story.lose_link()
    story.note(Source.SENT, "positions")
    story.tell(position(3), POSITIONS_END)
    story.sweep(execution(exec_id(1), 3, at=0, request_id=901), request=901)
    assert (base(story), quantity(story)) == (0, 3)
    story.snapshot(position(3))
    assert holding(story).baseline is Baseline.SNAPSHOT
    story.tell(execution(exec_id(2), -3, at=20, perm_id=189))
    assert (quantity(story), shown(story).open) == (0, False)
    story.tell(execution(exec_id(3), -2, at=30, perm_id=190))
    assert (quantity(story), shown(story).open) == (-2, True)


def test_empty_answer_after_restart_then_sale() -> None:
    """10 were held; the gateway restarts and lists nothing yet; 4 are sold: no short, no alert."""
    story = Story()
    story.snapshot(position(10))
    story.lose_link()
    story.note(Source.SENT, "positions")
    story.tell(POSITIONS_END)
    story.sweep(request=901)
    story.note(Source.SENT, "positions")
    story.tell(POSITIONS_END)
    story.tell(execution(exec_id(1), -4, at=30))
    assert (held(story), untouched(story), holding(story).baseline) == (6, True, Baseline.SNAPSHOT)


def test_unproven_day_between_leaves_the_balance_unconfirmed() -> None:
    """What was held three days ago is a guess by now, and still explains the sale."""
    story = Story()
    story.snapshot(position(10))
    story.lose_link(away=timedelta(days=3))
    story.note(Source.SENT, "positions")
    story.tell(POSITIONS_END)
    later = 3 * 86400
    story.tell(execution(exec_id(1), -4, at=later))
    assert (held(story), untouched(story), holding(story).baseline) == (6, True, Baseline.UNCONFIRMED)
    story.sweep(request=901)
    story.snapshot(position(8))
    assert (base(story), held(story), holding(story).baseline) == (12, 8, Baseline.SNAPSHOT)


def test_balance_taken_stands_when_the_day_before_it_is_proven() -> None:
    """10 were listed before a day that nobody saw whole, 8 after it and 4 sold; it is proven later.

    A fill from before the sale that comes late leaves the opening balance as it is.
    """
    story = Story()
    story.snapshot(position(10))
    story.lose_link(away=timedelta(days=1))
    story.tell(execution(exec_id(1), -4, at=86400))
    story.sweep(request=901)
    story.snapshot(position(8))
    assert (base(story), held(story), holding(story).baseline) == (12, 8, Baseline.SNAPSHOT)
    story.note(Source.FLEX, "covered", "2025-11-18")
    story.tell(execution(exec_id(2), 1, at=86390))
    assert (base(story), held(story), holding(story).baseline) == (12, 9, Baseline.SNAPSHOT)


def lagging() -> Story:
    """Return a day on which 5 were held, and a sweep brought 3 that were bought while the link was down."""
    story = Story()
    story.snapshot(position(5))
    story.now += timedelta(seconds=60)
    story.reconnect(position(5))
    story.sweep(execution(exec_id(1), 3, at=30, request_id=901), request=901)
    return story


def test_lagging_answer_is_asked_again() -> None:
    """The positions are seconds behind what was bought."""
    story = lagging()
    before = story.state.get(SNAPSHOTS, "last")
    story.snapshot(position(5))
    assert story.state.get(SNAPSHOTS, "last") is before
    assert story.ledger.take_position_reasons() == ["the last answer lags behind the executions"]
    story.snapshot(position(8))
    assert certain(story) == (ACCOUNT,)
    assert (base(story), held(story), quantity(story)) == (5, 8, 3)
    story.tell(execution(exec_id(2), -8, at=30, perm_id=189))
    assert (held(story), quantity(story), shown(story).open) == (0, 0, False)


def test_lagging_answer_is_used_as_uncertain() -> None:
    """Answer that keeps lagging is used as uncertain."""
    story = lagging()
    for _ in range(LAGGING - 1):
        story.snapshot(position(5))
        assert story.ledger.take_position_reasons()
    story.snapshot(position(5))
    assert (certain(story), story.ledger.take_position_reasons()) == ((), [])
    assert (base(story), held(story)) == (5, 8)


def test_uncertain_answer_between_lagging_ones_counts_for_nothing() -> None:
    """The first answer of a new connection is asked before its sweep; the next one lags for the last time."""
    story = lagging()
    for _ in range(LAGGING - 1):
        story.snapshot(position(5))
        assert story.ledger.take_position_reasons()
    story.reconnect(position(5))
    story.ledger.take_position_reasons()
    story.sweep(request=902)
    story.snapshot(position(5))
    assert (certain(story), story.ledger.take_position_reasons()) == ((), [])


def test_answer_lacking_swept_execution_lags() -> None:
    """Answer that lacks what the sweep brought lags."""
    story = connected()
    story.sweep(execution(exec_id(1), 3, at=-60, request_id=900))
    story.snapshot()
    assert story.ledger.take_position_reasons()
    assert (holding(story).baseline, held(story)) == (Baseline.UNCONFIRMED, 3)
    story.snapshot(position(3))
    assert (holding(story).baseline, base(story)) == (Baseline.SNAPSHOT, 0)


def test_unlisted_round_trip_does_not_lag() -> None:
    """Round trip that is not listed does not lag."""
    story = connected()
    trip = (
        execution(exec_id(number), signed, at=-60, request_id=900) for number, signed in ((1, 3), (2, -3))
    )
    story.sweep(*trip)
    story.snapshot()
    assert (certain(story), holding(story).baseline, base(story)) == ((ACCOUNT,), Baseline.SNAPSHOT, 0)


def test_disturbed_contract_does_not_lag() -> None:
    """Whether the answer contains the fill that came meanwhile is not known, so it contradicts nothing."""
    story = connected()
    story.sweep(execution(exec_id(1), 3, at=-60, request_id=900))
    story.note(Source.SENT, "positions")
    told = (position(1, contract=BESIDE), execution(exec_id(2), 1, at=5), POSITIONS_END)
    story.tell(*told)
    assert story.ledger.take_position_reasons() == []


def test_fill_between_sweeps_is_undecided() -> None:
    """Nobody reported it; the next certain answer, after the sweep that brought it, settles it."""
    story = Story()
    story.snapshot(position(4))
    story.sweep(execution(exec_id(1), 4, at=0, request_id=901), request=901)
    assert holding(story).baseline is Baseline.UNCONFIRMED
    story.snapshot(position(4))
    assert (holding(story).baseline, base(story), quantity(story)) == (Baseline.SNAPSHOT, 0, 4)


@pytest.mark.parametrize("seconds", [-1, 0])
def test_empty_answer_tells_which_balance_was_meant(seconds: int) -> None:
    """4 bought and listed, a sale of 4 swept that the answer may contain, and nothing listed since: flat."""
    story = connected()
    story.sweep()
    story.tell(execution(exec_id(1), 4, at=0))
    story.now += timedelta(seconds=2)
    story.snapshot(position(4))
    sold = execution(exec_id(2), -4, at=seconds, perm_id=189, request_id=901)
    story.sweep(sold, request=901)
    assert holding(story).baseline is Baseline.UNCONFIRMED
    story.note(Source.SENT, "positions")
    story.tell(POSITIONS_END)
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.UNCONFIRMED, 0, 0)
    assert (quantity(story), shown(story).open) == (0, False)


def test_empty_answer_decides_nothing_else() -> None:
    """10 were held before the sale of 3 that the answer may contain, or 7: neither makes nothing of it."""
    story = connected()
    story.sweep()
    story.snapshot(position(7))
    story.sweep(execution(exec_id(1), -3, at=0, request_id=901), request=901)
    story.note(Source.SENT, "positions")
    story.tell(POSITIONS_END)
    assert (base(story), held(story), holding(story).baseline) == (10, 7, Baseline.UNCONFIRMED)


def test_fill_behind_complete_sweep_is_behind_answer() -> None:
    """The sweep after the answer lacked it, so it came later."""
    story = Story()
    story.snapshot(position(4))
    story.sweep(request=901)
    story.sweep(execution(exec_id(1), 4, at=0, request_id=902), request=902)
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 4, 8)


def test_older_fill_behind_an_answer_without_its_contract() -> None:
    """None is listed, 2 are bought; 4 bought before are reported late and 2 listed: 4 were short at first."""
    story = Story()
    story.tell(execution(exec_id(1), 2, at=60))
    assert (holding(story).baseline, base(story)) == (Baseline.SNAPSHOT, 0)
    story.sweep(execution(exec_id(2), 4, at=-60, perm_id=189, request_id=901), request=901)
    assert holding(story).baseline is Baseline.UNCONFIRMED
    story.snapshot(position(2))
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, -4, 2)


def test_answer_told_before_unnoticed_loss_is_forgotten() -> None:
    story = Story()
    story.snapshot(position(4), position(7, contract=OTHER))
    story.tell(Notice(-1, 1102, "restored"))
    story.tell(execution(exec_id(1), -4, at=60))
    assert holding(story).baseline is Baseline.UNCONFIRMED


def test_answer_of_earlier_link_outlives_unnoticed_loss() -> None:
    story = Story()
    story.snapshot(position(4))
    story.sweep(request=901)
    story.reconnect(position(4))
    story.tell(Notice(-1, 1102, "restored"))
    story.tell(execution(exec_id(1), -4, at=60))
    assert (holding(story).baseline, base(story)) == (Baseline.SNAPSHOT, 4)


def test_unlisted_and_sold_was_held_before() -> None:
    """A cold start: 8 were sold today, and the certain answer lists none: 8 were held, nobody is short.

    Three answers pass for lagging behind the sale.
    """
    story = connected()
    story.sweep(execution(exec_id(1), -8, at=-60, request_id=900))
    for _ in range(LAGGING + 1):
        story.snapshot()
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 8, 0)
    assert (quantity(story), shown(story).open) == (0, False)


@pytest.mark.parametrize("restarts", [False, True])
def test_answer_lags_also_behind_an_earlier_connection(*, restarts: bool) -> None:
    """3 bought, swept; the link drops before the positions were asked again; those lag on the next one."""
    story = connected()
    story.sweep(execution(exec_id(1), 3, at=-60, request_id=900))
    if restarts:
        story.restart()
    story.reconnect()
    story.sweep(request=901)
    story.snapshot()
    assert story.ledger.take_position_reasons() == ["the last answer lags behind the executions"]
    story.snapshot(position(3))
    assert (holding(story).baseline, base(story), quantity(story)) == (Baseline.SNAPSHOT, 0, 3)


def test_same_difference_again_does_not_lag() -> None:
    """6 held, 2 listed; a sweep brings a sale of 1, and 1 is listed: 4 less than explained, as before."""
    story = Story()
    story.snapshot(position(5))
    story.tell(execution(exec_id(1), 1, at=30))
    story.sweep(request=901)
    story.snapshot(position(2))
    story.sweep(execution(exec_id(2), -1, at=40, perm_id=189, request_id=902), request=902)
    story.now += timedelta(seconds=61)
    story.snapshot(position(1))
    assert story.ledger.take_position_reasons() == []
    assert held(story) == 1


def test_balance_is_of_the_last_answer_before_a_fill() -> None:
    """4, then 9 by a transfer; a sweep times out, and the next answer holds 3 that it would have brought."""
    story = Story()
    story.snapshot(position(4))
    story.sweep()
    story.snapshot(position(9))
    story.now += timedelta(minutes=1)
    story.note(Source.SENT, "executions", "901", ACCOUNT)
    story.note(Source.LINK, "timeout", "executions", "901")
    story.snapshot(position(12))
    late = int((story.now - START).total_seconds()) - 10
    story.sweep(execution(exec_id(1), 3, at=late, request_id=902), request=902)
    assert (base(story), held(story)) == (9, 12)


def test_older_answer_that_is_kept_replaces_no_balance() -> None:
    """4 are listed, then 9 by a transfer, and 1 is bought: 9 were held before, whatever answers are kept."""
    story = Story()
    story.snapshot(position(4))
    story.sweep()
    story.snapshot(position(9))
    story.tell(execution(exec_id(1), 1, at=5))
    story.snapshot(position(10))
    story.sweep()
    story.snapshot(position(0))
    assert (base(story), held(story)) == (9, 10)


@pytest.mark.parametrize(
    ("seconds", "before", "unexplained"), [(30, 5, [4]), (-30, 9, [])], ids=["younger fill", "older fill"]
)
def test_change_within_the_first_fill_s_own_sweep(seconds: int, before: int, unexplained: list[int]) -> None:
    """5 are listed; 4 come by transfer, and the next sweep brings the first fill, 3 bought: 12 are listed.

    A fill younger than the 5 leaves them what was held before. Of an older one it is not known whether they
    contain it, so the 12 tell: 9 were held before, the 4 among them.
    """
    story = Story()
    story.snapshot(position(5))
    asked = int((story.now - START).total_seconds())
    story.now += timedelta(minutes=1)
    story.sweep(execution(exec_id(1), 3, at=asked + seconds, request_id=901), request=901)
    for _ in range(LAGGING + 1):
        # It contradicts what the sweep brought, so it is asked for again.
        story.snapshot(position(12))
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, before, 12)
    assert [row.amount for row in story.state.find(DIFFERENCES, "open", "1")] == unexplained


def test_answers_kept_are_few() -> None:
    """Where no sweep is complete, the last that differ are kept, whatever the number of answers."""
    story = Story()
    for more in range(4, 4 + 3 * KEPT):
        story.snapshot(position(more))
        story.snapshot(position(more))
    known = story.state.get(ANSWERS, ACCOUNT)
    assert known is not None
    listed = [one.rows[f"{ACCOUNT} {NVDA.con_id}"] for one in known.all]
    assert len(known.between) == KEPT
    assert listed[0] == 3 + 3 * KEPT


def test_lost_link_to_broker_forgets_the_answers_since() -> None:
    """What was answered after a loss that nobody named is forgotten, what came before it is kept."""
    story = Story()
    story.snapshot(position(4))
    story.snapshot(position(5))
    story.lose_link()
    story.note(Source.SENT, "executions", "903", ACCOUNT)
    story.tell(End(EndOf.EXECUTIONS, 903))
    story.snapshot(position(7))
    story.snapshot(position(8))
    story.tell(Notice(-1, 1101, "restored"))
    known = story.state.get(ANSWERS, ACCOUNT)
    assert known is not None
    assert [one.rows.get(f"{ACCOUNT} {NVDA.con_id}") for one in known.all] == [5, 4, None]


@pytest.mark.parametrize("killed", [False, True])
def test_day_that_ends_while_a_fill_waits_for_its_sweep(*, killed: bool) -> None:
    """5 were listed, then a sweep that did not end brought a sale of 9. The day ended after both."""
    story = Story()
    story.snapshot(position(5))
    story.now += timedelta(seconds=30)
    story.note(Source.SENT, "executions", "901", ACCOUNT)
    story.tell(execution(exec_id(1), -9, at=20, request_id=901))
    if not killed:
        story.note(Source.LINK, "timeout", "executions", "901")
        story.note(Source.LINK, "down", "lost")
    story.restart()
    story.session += 1
    story.now += timedelta(days=1)
    story.note(Source.LINK, "up", ACCOUNT, "176")
    story.note(Source.SENT, "positions")
    story.tell(position(-9), POSITIONS_END)
    assert (holding(story).baseline, base(story), held(story)) == (Baseline.SNAPSHOT, 5, -4)


def test_balance_stays_that_of_the_answer_that_proved_the_day_before() -> None:
    """300 are listed, uncertain, and a day later 297 with 3 sold, which proves the day; then 594."""
    story = Story()
    story.reconnect(position(300))
    story.lose_link(away=timedelta(days=1))
    story.tell(execution(exec_id(1), -3, at=86400))
    story.sweep(request=901)
    story.snapshot(position(297))
    assert (base(story), held(story), story.state.find(GAPS, "open", "1")) == (300, 297, [])
    story.now += timedelta(seconds=90)
    story.sweep(request=902)
    story.snapshot(position(594))
    (difference,) = story.state.find(DIFFERENCES, "open", "1")
    assert (base(story), float(difference.amount)) == (300, 297)
