"""How far our clock is ahead of the broker's, and what follows for what we do and match."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from tests.support.facts import ACCOUNT, NVDA, START, Story, exec_id, execution, holding, position, quantity
from tracker.core.alert_updates import EventKind
from tracker.core.broker_clock import as_shown_now, skew_of, words_for
from tracker.core.clock_rows import BrokerClock, EarlierSkew
from tracker.core.model import BrokerTime, End, EndOf, Source
from tracker.core.state import CLOCK, EXECUTIONS, GAPS


@pytest.mark.parametrize(
    ("ahead", "skew"), [(0.5, 0.0), (2.4, 0.0), (-1.4, 0.0), (5.5, 5.0), (-4.5, -5.0), (3600.5, 3600.0)]
)
def test_skew_is_what_whole_seconds_can_tell(ahead: float, skew: float) -> None:
    """The broker cuts its time to the second, which is half a second on average."""
    assert skew_of(START, START + timedelta(seconds=ahead)) == timedelta(seconds=skew)


def test_clock_that_is_off_is_told_once() -> None:
    story = Story()
    told = [event for _ in range(3) for event in story.tell(BrokerTime(story.now + timedelta(seconds=30)))]
    assert [event.kind for event in told] == [EventKind.CLOCK]
    assert told[0].what["note"] == "this host's clock is 30 s behind the broker's; set it by a time server"
    clock = story.state.get(CLOCK, "last")
    assert clock is not None
    assert round(clock.skew_seconds) == -30
    right = story.tell(BrokerTime(story.now))
    assert [event.what["note"] for event in right] == [words_for(timedelta(0))]


def test_clock_ahead_is_named() -> None:
    assert "is 60 s ahead of the broker's" in words_for(timedelta(seconds=60))


def test_request_is_dated_by_the_broker() -> None:
    """The host is half a minute slow; the fill of 10 s ago is contained in what is listed."""
    story = Story(up=False)
    story.note(Source.LINK, "up", "DU1234567", "176")
    story.note(Source.SENT, "positions")
    story.tell(BrokerTime(story.now + timedelta(seconds=30)))
    story.tell(position(3), End(EndOf.POSITIONS, -1))
    story.sweep(execution(exec_id(1), 3, at=20, request_id=900))
    assert holding(story, NVDA.con_id).base == 0
    assert quantity(story) == 3


@pytest.mark.parametrize(
    ("at", "told"), [(0, 0), (-890, 0), (-1000, 1), (1000, 1)], ids=["now", "near", "old", "to come"]
)
def test_fill_far_from_its_receipt_is_told(at: float, told: int) -> None:
    """A quarter of an hour apart, one of the two clocks is read in another zone."""
    story = Story()
    events = story.tell(execution(exec_id(1), 4, at=at))
    assert sum(event.kind is EventKind.CLOCK for event in events) == told


def test_fill_without_a_readable_time_has_its_receipt_by_the_broker() -> None:
    """The host is an hour fast, so that its receipt by the host would stand an hour behind the next fill."""
    story = Story()
    story.tell(BrokerTime(story.now - timedelta(hours=1)))
    story.tell(replace(execution(exec_id(1), 4), time=story.now, time_known=False))
    booked = story.state.get(EXECUTIONS, f"{ACCOUNT} {exec_id(1)}")
    assert booked is not None
    assert timedelta(minutes=59) < booked.received_at - booked.execution.time < timedelta(minutes=61)


def test_swept_fill_may_be_old() -> None:
    story = Story()
    story.sweep(execution(exec_id(1), 4, at=-5000, request_id=900))
    assert [event for event in story.events if event.kind is EventKind.CLOCK] == []


@pytest.mark.parametrize("ahead", [3600, -3600])
def test_days_are_judged_by_the_broker(ahead: int) -> None:
    """The host is an hour fast or slow; the day is over, unproven, when it is so at the broker."""
    story = Story(up=False)
    midnight = (START + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    story.now = midnight - timedelta(minutes=180) + timedelta(seconds=ahead)
    story.note(Source.LINK, "up", ACCOUNT, "176")
    story.tell(BrokerTime(midnight - timedelta(minutes=180)))
    story.now += timedelta(minutes=179)
    story.note(Source.SENT, "positions")
    assert list(story.state.every(GAPS)) == []
    story.now += timedelta(minutes=2)
    story.note(Source.SENT, "positions")
    assert [gap.day for gap in story.state.every(GAPS)] == [START.date()]


def test_time_written_before_the_clock_was_set() -> None:
    """Half an hour slow until noon, right since, then an hour fast: each time is told as it is set now."""
    noon = START.replace(hour=12, minute=0, second=0)
    half, hour = timedelta(minutes=30), timedelta(hours=1)
    clock = BrokerClock(
        noon + 2 * hour,
        noon + 3 * hour,
        3600.0,
        (EarlierSkew(-1800.0, noon), EarlierSkew(0.0, noon + hour)),
    )
    now = noon + 3 * hour
    # At 11 it showed 10:30; at 12:30 it showed that; at 13:30 it showed 14:30.
    assert as_shown_now(noon - hour - half, clock, now) == noon
    assert as_shown_now(noon + half, clock, now) == noon + half + hour
    assert as_shown_now(noon + 2 * hour + half, clock, now) == noon + 2 * hour + half
    # What fits nowhere stays as it is.
    assert as_shown_now(noon + 9 * hour, clock, now) == noon + 9 * hour
    assert as_shown_now(noon, None, now) == noon


def test_each_setting_of_the_clock_is_remembered() -> None:
    story = Story()
    for ahead in (0, 0, 1800, 1800, 0):
        story.tell(BrokerTime(story.now - timedelta(seconds=ahead)))
    clock = story.state.get(CLOCK, "last")
    assert clock is not None
    assert [round(each.skew_seconds, -1) for each in clock.earlier] == [0, 1800]
