"""Which days are proven, which are gaps, and what closes a gap."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from tests.support.facts import ACCOUNT, NVDA, Story, exec_id, execution, position
from tracker.core.alert_updates import EventKind
from tracker.core.completeness import REACH, proven_until
from tracker.core.ledger import Ledger
from tracker.core.model import End, EndOf, Notice, Source
from tracker.core.state import GAPS, LINKS, PROOFS, MemoryLedgerState
from tracker.core.state_rows import Gap, GapEnd

EASTERN = ZoneInfo("US/Eastern")
TODAY = date(2025, 11, 18)
NOON = datetime(2025, 11, 18, 17, 0, tzinfo=UTC)
MIDNIGHT = datetime(2025, 11, 19, 5, 0, tzinfo=UTC)
"""The end of TODAY in New York."""
SECOND_ACCOUNT = "DU9000001"
SECOND = timedelta(seconds=1)
OTHER = replace(NVDA, con_id=701)


class Watch(Story):
    """A story whose accounts have their midnight in New York; its link came up at noon."""

    def __init__(self, accounts: str = ACCOUNT, *, at: datetime = NOON) -> None:
        super().__init__(up=False)
        self.accounts = accounts
        self.request = 900
        self.up(at)

    def restart(self) -> None:
        self.ledger = Ledger(self.state, lambda fill, now: self.decide(fill), zone=EASTERN)

    def up(self, at: datetime) -> None:
        self.now = at
        self.session += 1
        self.note(Source.LINK, "up", self.accounts, "176")

    def down(self, at: datetime) -> None:
        self.now = at
        self.note(Source.LINK, "down", "lost")

    def ask(self, at: datetime, account: str = ACCOUNT) -> int:
        """Ask for an account's executions; return the request."""
        self.now = at
        self.request += 1
        self.note(Source.SENT, "executions", str(self.request), account, after=0)
        return self.request

    def end(self, request: int, content: str = "complete") -> None:
        """End an answer that contained all we know."""
        if content:
            self.note(Source.LINK, "proof", str(request), content)
        self.tell(End(EndOf.EXECUTIONS, request))

    def prove(self, at: datetime, *accounts: str) -> None:
        """Sweep each account to a good end."""
        for account in accounts or (ACCOUNT,):
            self.end(self.ask(at, account))

    def tick(self, at: datetime) -> None:
        """Let the first frame after a moment come."""
        self.now = at
        self.note(Source.LINK, "tick", after=0)

    def gaps(self) -> dict[str, str]:
        """Return each gap's day and what closed it."""
        return {gap.day.isoformat(): gap.closed_how for gap in self.state.every(GAPS)}


# What is proof


def test_sweep_proves_up_to_its_request() -> None:
    """A sweep that ended proves up to its request."""
    story = Watch()
    assert proven_until(story.state) is None
    story.prove(NOON + 5 * SECOND)
    assert proven_until(story.state) == NOON + 5 * SECOND


def test_content_may_precede_or_follow_end() -> None:
    """The content may be reported before or after the end."""
    story = Watch()
    request = story.ask(NOON + SECOND)
    story.tell(End(EndOf.EXECUTIONS, request))
    assert proven_until(story.state) is None
    story.note(Source.LINK, "proof", str(request), "complete")
    assert proven_until(story.state) == NOON + SECOND


def _incomplete(story: Watch) -> None:
    story.end(story.ask(NOON + 60 * SECOND), "missing 2")


def _untold(story: Watch) -> None:
    story.end(story.ask(NOON + 60 * SECOND), "")


def _endless(story: Watch) -> None:
    request = story.ask(NOON + 60 * SECOND)
    story.note(Source.LINK, "proof", str(request), "complete")


def _timed_out(story: Watch) -> None:
    request = story.ask(NOON + 60 * SECOND)
    story.note(Source.LINK, "timeout", "executions", str(request))
    story.end(request)
    story.note(Source.LINK, "timeout", "executions", str(request))


def _broke(story: Watch) -> None:
    request = story.ask(NOON + 60 * SECOND)
    story.tell(Notice(-1, 1100, "lost"), Notice(-1, 1102, "restored"))
    story.end(request)


def _while_broken(story: Watch) -> None:
    story.tell(Notice(-1, 2110, "lost"))
    story.end(story.ask(NOON + 60 * SECOND))


def _reconnected(story: Watch) -> None:
    request = story.ask(NOON + 60 * SECOND)
    story.down(NOON + 61 * SECOND)
    story.up(NOON + 62 * SECOND)
    story.end(request)


def _nobody_asked(story: Watch) -> None:
    story.end(77)


@pytest.mark.parametrize(
    "sweep",
    [_incomplete, _untold, _endless, _timed_out, _broke, _while_broken, _reconnected, _nobody_asked],
)
def test_what_is_no_proof(sweep: Callable[[Watch], None]) -> None:
    story = Watch()
    story.prove(NOON + SECOND)
    sweep(story)
    assert proven_until(story.state) == NOON + SECOND


@pytest.mark.parametrize("code", [1101, 1102])
def test_sweep_after_link_is_back_proves_again(code: int) -> None:
    story = Watch()
    story.tell(Notice(-1, 1100, "lost"), Notice(-1, code, "restored"), Notice(-1, 2104, "a data farm"))
    story.prove(NOON + 60 * SECOND)
    assert proven_until(story.state) == NOON + 60 * SECOND


@pytest.mark.parametrize("code", [1101, 1102])
def test_answers_in_unnoticed_loss_prove_nothing(code: int) -> None:
    """Answers in a loss without a notice prove nothing more."""
    story = Watch()
    story.prove(NOON + SECOND)
    request = story.ask(NOON + 60 * SECOND)
    story.tell(Notice(-1, code, "restored"))
    story.end(request)
    proof = story.state.get(PROOFS, ACCOUNT)
    assert proof is not None
    assert not proof.whole
    story.prove(NOON + 90 * SECOND)
    assert proven_until(story.state) == NOON + 90 * SECOND


def test_new_connection_ends_an_open_loss() -> None:
    """A new connection heals a loss that no notice took back."""
    story = Watch()
    story.tell(Notice(-1, 2110, "lost"))
    story.down(NOON + 60 * SECOND)
    story.up(NOON + 90 * SECOND)
    story.prove(NOON + 95 * SECOND)
    assert proven_until(story.state) == NOON + 95 * SECOND


def test_every_managed_account_must_be_swept() -> None:
    story = Watch(f"{ACCOUNT},{SECOND_ACCOUNT}")
    story.prove(NOON + SECOND)
    assert proven_until(story.state) is None
    assert proven_until(story.state, [ACCOUNT]) == NOON + SECOND
    story.prove(NOON + 5 * SECOND, SECOND_ACCOUNT)
    assert proven_until(story.state) == NOON + SECOND


def test_sweep_of_all_accounts_proves_each() -> None:
    """A sweep of all accounts at once proves each."""
    story = Watch(f"{ACCOUNT},{SECOND_ACCOUNT}")
    story.prove(NOON + SECOND, "")
    story.end(story.ask(NOON + SECOND, ""))
    assert proven_until(story.state) == NOON + SECOND


def test_nothing_is_proven_before_the_first_connection() -> None:
    assert proven_until(MemoryLedgerState()) is None


# Days and gaps


def test_day_swept_to_its_end_is_complete() -> None:
    """A day that was swept until its end is no gap."""
    story = Watch()
    story.prove(MIDNIGHT - 10 * SECOND)
    story.tick(MIDNIGHT + 5 * SECOND)
    assert story.gaps() == {}


def _never_swept(story: Watch) -> None:
    story.tick(MIDNIGHT + 5 * SECOND)


def _swept_long_before(story: Watch) -> None:
    story.prove(MIDNIGHT - REACH - SECOND)
    story.tick(MIDNIGHT + 5 * SECOND)


def _lost_before_the_end(story: Watch) -> None:
    story.prove(MIDNIGHT - 30 * SECOND)
    story.down(MIDNIGHT - 20 * SECOND)
    story.tick(MIDNIGHT + 5 * SECOND)


def _ibkr_lost_before_the_end(story: Watch) -> None:
    story.prove(MIDNIGHT - 30 * SECOND)
    story.tell(Notice(-1, 1100, "lost"), Notice(-1, 1102, "restored"))
    story.tick(MIDNIGHT + 5 * SECOND)


def _killed_before_the_end(story: Watch) -> None:
    story.prove(MIDNIGHT - 30 * SECOND)
    story.restart()
    story.up(MIDNIGHT + 60 * SECOND)


def _lost_unnoticed(story: Watch) -> None:
    story.prove(MIDNIGHT - 30 * SECOND)
    story.down(MIDNIGHT + 60 * SECOND)


def _asleep(story: Watch) -> None:
    story.prove(MIDNIGHT - 30 * SECOND)
    story.tick(MIDNIGHT + timedelta(hours=8))


@pytest.mark.parametrize(
    "end",
    [
        _never_swept,
        _swept_long_before,
        _lost_before_the_end,
        _ibkr_lost_before_the_end,
        _killed_before_the_end,
        _lost_unnoticed,
        _asleep,
    ],
)
def test_day_that_ended_unproven_is_gap(end: Callable[[Watch], None]) -> None:
    story = Watch()
    end(story)
    assert story.gaps() == {"2025-11-18": ""}
    (event,) = [event for event in story.events if event.kind is EventKind.GAP]
    assert event.what == {"day": "2025-11-18", "state": "open"}


def test_one_account_left_out_makes_a_gap() -> None:
    story = Watch(f"{ACCOUNT},{SECOND_ACCOUNT}")
    story.prove(MIDNIGHT - 10 * SECOND)
    story.tick(MIDNIGHT + 5 * SECOND)
    assert story.gaps() == {"2025-11-18": ""}


def test_a_day_is_judged_once() -> None:
    story = Watch()
    story.tick(MIDNIGHT + 5 * SECOND)
    story.restart()
    story.tick(MIDNIGHT + 6 * SECOND)
    assert len([event for event in story.events if event.kind is EventKind.GAP]) == 1


def test_every_day_away_is_a_gap() -> None:
    """Every day away is a gap and the day of return is not judged yet."""
    story = Watch()
    story.prove(MIDNIGHT - 10 * SECOND)
    story.tick(MIDNIGHT + 5 * SECOND)
    story.up(MIDNIGHT + timedelta(days=2, hours=9))
    assert story.gaps() == {"2025-11-19": "", "2025-11-20": ""}


def test_days_before_first_connection_do_not_count() -> None:
    story = Watch(at=NOON)
    link = story.state.get(LINKS, "last")
    assert link is not None
    assert link.judged == TODAY - timedelta(days=1)
    assert story.gaps() == {}


def test_frames_before_the_first_connection_judge_nothing() -> None:
    story = Story(up=False)
    story.note(Source.STORE, "gone", "a", "b", "c", "")
    story.now += timedelta(days=2)
    story.note(Source.STORE, "gone", "a", "b", "c", "")
    assert list(story.state.every(GAPS)) == []


@pytest.mark.parametrize(
    ("day", "end"),
    [
        (date(2025, 11, 1), datetime(2025, 11, 2, 4, tzinfo=UTC)),
        (date(2025, 11, 2), datetime(2025, 11, 3, 5, tzinfo=UTC)),
    ],
    ids=["summer time", "the day of 25 hours"],
)
def test_midnight_is_the_accounts_own(day: date, end: datetime) -> None:
    story = Watch(at=end - timedelta(hours=6))
    story.tick(end - SECOND)
    assert story.gaps() == {}
    story.tick(end)
    assert story.gaps() == {day.isoformat(): ""}


# What closes a gap


def gapped() -> Watch:
    """Return a story that was away at the end of its day, and is back."""
    story = Watch()
    story.snapshot(position(3, contract=OTHER))
    story.tell(execution(exec_id(1), 4, at=4700))
    story.down(MIDNIGHT - timedelta(hours=1))
    story.up(MIDNIGHT + timedelta(hours=9))
    assert story.gaps() == {"2025-11-18": ""}
    return story


def test_answer_across_midnight_closes_the_gap() -> None:
    """An answer asked before midnight closes it when it ends after."""
    story = Watch()
    request = story.ask(MIDNIGHT - 2 * SECOND)
    story.tick(MIDNIGHT + SECOND)
    assert story.gaps() == {"2025-11-18": ""}
    story.end(request)
    assert story.gaps() == {"2025-11-18": GapEnd.SWEEP}
    assert story.events[-1].what == {"day": "2025-11-18", "state": "closed", "how": "sweep"}


def test_sweep_of_next_day_closes_nothing() -> None:
    story = gapped()
    story.prove(MIDNIGHT + timedelta(hours=9, minutes=1))
    assert story.gaps() == {"2025-11-18": ""}


def test_positions_that_equal_ledger_everywhere_close_it() -> None:
    story = gapped()
    story.snapshot(position(4), position(3, contract=OTHER))
    assert story.gaps() == {"2025-11-18": GapEnd.POSITIONS}
    gap = story.state.get(GAPS, "2025-11-18")
    assert gap is not None
    assert gap.closed_at == story.now
    assert gap.baseline == {}


@pytest.mark.parametrize(
    "listed",
    [
        (position(5), position(3, contract=OTHER)),
        (position(3, contract=OTHER),),
        (position(4), position(2, contract=OTHER)),
        (position(4),),
        (position(4), position(3, contract=OTHER), position(1, contract=replace(NVDA, con_id=702))),
    ],
    ids=["more", "gone", "another of ours untraded", "one of ours untraded gone", "one never seen"],
)
def test_positions_that_differ_anywhere_close_nothing(listed: tuple[object, ...]) -> None:
    story = gapped()
    for _ in range(2):
        story.snapshot(*listed)  # type: ignore[arg-type]  # a table of positions
    assert story.gaps() == {"2025-11-18": ""}


def test_positions_during_loss_close_nothing() -> None:
    """Positions reported while IBKR is lost close nothing."""
    story = gapped()
    story.tell(Notice(-1, 1100, "lost"))
    story.snapshot(position(4), position(3, contract=OTHER))
    assert story.gaps() == {"2025-11-18": ""}


def test_contract_first_traded_after_the_gap() -> None:
    """A contract first traded after the gap is measured by what was before."""
    story = gapped()
    story.snapshot(position(4), position(5, contract=OTHER))
    story.tell(execution(exec_id(2), -1, contract=OTHER, perm_id=190, at=80000))
    story.snapshot(position(4), position(4, contract=OTHER))
    assert story.gaps() == {"2025-11-18": ""}


def test_trade_after_the_gap_keeps_nothing_open() -> None:
    """An honest trade after the gap does not keep it open."""
    story = gapped()
    story.note(Source.SENT, "positions")
    story.tell(position(4), execution(exec_id(2), -1, contract=OTHER, perm_id=190, at=80000))
    story.tell(End(EndOf.POSITIONS, -1))
    assert story.gaps() == {"2025-11-18": ""}
    story.snapshot(position(4), position(2, contract=OTHER))
    assert story.gaps() == {"2025-11-18": GapEnd.POSITIONS}


def test_what_expired_in_between_tells_nothing() -> None:
    story = gapped()
    story.now = datetime(2025, 11, 24, 15, tzinfo=UTC)
    story.tell(position(3, contract=OTHER))
    story.snapshot()
    assert story.gaps()["2025-11-18"] == GapEnd.POSITIONS


def test_expired_position_that_is_still_listed_differs() -> None:
    story = gapped()
    story.now = datetime(2025, 11, 24, 15, tzinfo=UTC)
    story.snapshot(position(1))
    assert story.gaps()["2025-11-18"] == ""


def test_a_stock_does_not_expire() -> None:
    story = Watch()
    stock = replace(NVDA, con_id=4815747, sec_type="STK", expiry=None)
    story.tell(execution(exec_id(1), 4, contract=stock), position(4, contract=stock))
    story.up(MIDNIGHT + timedelta(hours=9))
    story.snapshot()
    assert story.gaps() == {"2025-11-18": ""}


@pytest.mark.parametrize(
    ("source", "name", "how"), [(Source.PERSON, "gap_accepted", "person"), (Source.FLEX, "covered", "flex")]
)
def test_person_or_flex_report_closes_it(source: Source, name: str, how: str) -> None:
    story = gapped()
    (event,) = story.note(source, name, "2025-11-18")
    assert event.what["how"] == how
    assert story.gaps() == {"2025-11-18": how}
    assert story.note(source, name, "2025-11-18") == []
    assert story.note(source, name, "2025-11-17") == []


def test_proofs_last_over_a_restart() -> None:
    story = Watch()
    story.prove(MIDNIGHT - 10 * SECOND)
    story.restart()
    story.tick(MIDNIGHT + 5 * SECOND)
    assert story.gaps() == {}
    proof = story.state.get(PROOFS, ACCOUNT)
    assert proof is not None
    assert proof.whole


def test_acceptance_is_taken_back() -> None:
    """The gap is as it was, baseline included; another frame's acceptance is not meant."""
    story = gapped()
    (before,) = story.state.every(GAPS)
    story.note(Source.PERSON, "gap_accepted", "2025-11-18")
    (closed,) = story.state.every(GAPS)
    assert story.note(Source.PERSON, "gap_reopened", str(closed.closed_seq - 1), "2025-11-18") == []
    assert story.note(Source.PERSON, "gap_reopened", str(closed.closed_seq), "2025-11-17") == []
    (event,) = story.note(Source.PERSON, "gap_reopened", str(closed.closed_seq), "2025-11-18")
    assert event.what == {"day": "2025-11-18", "state": "open"}
    assert list(story.state.every(GAPS)) == [before]


def test_gaps_are_found_while_they_are_open() -> None:
    story = gapped()
    gaps: list[Gap] = story.state.find(GAPS, "open", "1")
    assert [gap.day for gap in gaps] == [TODAY]
    story.note(Source.PERSON, "gap_accepted", "2025-11-18")
    assert story.state.find(GAPS, "open", "1") == []
