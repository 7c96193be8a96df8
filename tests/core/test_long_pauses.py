"""Which days are gaps after a long pause, of an account too, and after a time that cannot be right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.core.test_completeness import MIDNIGHT, NOON, SECOND, TODAY, Watch, gapped
from tests.support.facts import ACCOUNT, Story, position
from tracker.core.model import BrokerTime, Source
from tracker.core.state import GAPS
from tracker.core.state_rows import GapEnd

OTHER = "DU7654321"


def test_broker_time_of_another_age_opens_no_gap() -> None:
    """An answer of the year 2286, while our own clock goes on; the days count again once it is right."""
    story = Watch()
    story.prove(MIDNIGHT - SECOND)
    story.tell(BrokerTime(datetime(2286, 11, 20, tzinfo=UTC)))
    story.tick(NOON + timedelta(days=1))
    assert story.gaps() == {}
    story.now = NOON + timedelta(days=2)
    story.tell(BrokerTime(story.now))
    story.tick(NOON + timedelta(days=2, seconds=1))
    assert list(story.gaps()) == ["2025-11-18", "2025-11-19"]


def test_longest_pause_opens_so_many_gaps() -> None:
    """After thirty years without a frame the latest 400 days are gaps, and no 11,000 hold up a fill."""
    story = Watch()
    story.tick(NOON + timedelta(days=30 * 365))
    days = sorted(story.gaps())
    assert (len(days), days[-1]) == (400, (TODAY + timedelta(days=30 * 365 - 1)).isoformat())


@pytest.mark.parametrize("told_before", [False, True])
def test_clock_ahead_ends_no_day(told_before: bool) -> None:
    """At noon the host's clock is set 14 hours ahead; the day is judged at its own, unwatched, end."""
    story = Watch()
    if told_before:
        story.tell(BrokerTime(story.now))
    story.prove(NOON + SECOND)
    story.tick(NOON + timedelta(hours=14))
    assert list(story.gaps()) == ["2025-11-18"]
    story.tell(BrokerTime(NOON + 2 * SECOND))
    assert story.gaps() == {"2025-11-18": GapEnd.CLOCK}
    story.tick(MIDNIGHT + timedelta(hours=15))
    assert story.gaps() == {"2025-11-18": ""}


def test_clock_ahead_at_the_first_start_skips_no_day() -> None:
    """The day of the first connection counts, although the host's clock showed the next one."""
    story = Watch(at=NOON + timedelta(hours=14))
    story.tell(BrokerTime(NOON))
    story.tick(MIDNIGHT + timedelta(hours=15))
    assert story.gaps() == {"2025-11-18": ""}


def test_day_that_was_proven_too_early_is_judged_again() -> None:
    """The clock is four minutes fast just before midnight; the connection breaks before the day is over."""
    story = Watch()
    story.tell(BrokerTime(story.now))
    story.prove(MIDNIGHT - SECOND)
    story.tick(MIDNIGHT + SECOND)
    story.tell(BrokerTime(MIDNIGHT - timedelta(minutes=4)))
    assert story.gaps() == {}
    story.down(MIDNIGHT + 2 * SECOND)
    story.tick(MIDNIGHT + timedelta(minutes=5))
    assert story.gaps() == {"2025-11-18": ""}


def test_broker_time_before_the_first_connection_judges_nothing() -> None:
    story = Story(up=False)
    story.tell(BrokerTime(story.now))
    story.tell(BrokerTime(story.now + timedelta(days=2)))
    assert list(story.state.every(GAPS)) == []


def test_answer_of_an_older_age_takes_back_nothing() -> None:
    story = Watch()
    story.tell(BrokerTime(story.now))
    story.tick(NOON + timedelta(days=1))
    story.tell(BrokerTime(story.now))
    story.tell(BrokerTime(datetime(1970, 1, 1, tzinfo=UTC)))
    assert story.gaps() == {"2025-11-18": ""}


@pytest.mark.parametrize("listed", [5, 3], ids=["unchanged", "sold meanwhile"])
def test_account_that_comes_back_is_unproven_meanwhile(listed: int) -> None:
    """Its day ended while the login managed another account only, which proves nothing of this one."""
    story = Watch(f"{ACCOUNT},{OTHER}")
    story.prove(NOON + SECOND, ACCOUNT, OTHER)
    story.snapshot(position(5, account=OTHER))
    story.accounts = ACCOUNT
    story.up(NOON + 60 * SECOND)
    story.prove(MIDNIGHT - SECOND)
    story.tick(MIDNIGHT + SECOND)
    story.snapshot()
    assert story.gaps() == {}
    story.accounts = f"{ACCOUNT},{OTHER}"
    story.up(MIDNIGHT + 60 * SECOND)
    assert story.gaps() == {"2025-11-18": ""}
    story.snapshot(position(listed, account=OTHER))
    assert story.gaps() == {"2025-11-18": GapEnd.POSITIONS if listed == 5 else ""}


@pytest.mark.parametrize("gap", [GapEnd.CLOCK, GapEnd.SWEEP])
def test_account_that_comes_back_is_unproven_on_a_day_that_was_a_gap(gap: GapEnd) -> None:
    """The gap was withdrawn, or closed by a sweep of the account that was left."""
    story = Watch(f"{ACCOUNT},{OTHER}")
    story.prove(NOON + SECOND, ACCOUNT, OTHER)
    if gap is GapEnd.CLOCK:
        story.tick(NOON + timedelta(hours=14))
        story.tell(BrokerTime(NOON + 2 * SECOND))
        story.now = NOON + 3 * SECOND
        story.tell(BrokerTime(story.now))
    story.accounts = ACCOUNT
    story.up(MIDNIGHT - 60 * SECOND)
    if gap is GapEnd.CLOCK:
        story.prove(MIDNIGHT - SECOND)
        story.tick(MIDNIGHT + SECOND)
    else:
        asked = story.ask(MIDNIGHT - SECOND)
        story.now = MIDNIGHT + SECOND
        story.end(asked)
    assert story.gaps() == {"2025-11-18": gap}
    story.accounts = f"{ACCOUNT},{OTHER}"
    story.up(MIDNIGHT + 60 * SECOND)
    assert story.gaps() == {"2025-11-18": ""}


def test_account_that_was_never_there_missed_nothing() -> None:
    story = Watch()
    story.prove(MIDNIGHT - SECOND)
    story.tick(MIDNIGHT + SECOND)
    story.accounts = f"{ACCOUNT},{OTHER}"
    story.up(MIDNIGHT + 60 * SECOND)
    assert story.gaps() == {}


def test_report_proves_a_day_that_a_person_accepted() -> None:
    """Taken back later, the acceptance opens no gap; and what a report proved needs no acceptance."""
    story = gapped()
    story.note(Source.PERSON, "gap_accepted", "2025-11-18")
    (accepted,) = story.state.every(GAPS)
    story.note(Source.FLEX, "covered", "2025-11-18")
    assert story.gaps() == {"2025-11-18": GapEnd.FLEX}
    assert story.note(Source.PERSON, "gap_reopened", str(accepted.closed_seq), "2025-11-18") == []
    assert story.note(Source.PERSON, "gap_accepted", "2025-11-18") == []
    assert story.gaps() == {"2025-11-18": GapEnd.FLEX}
