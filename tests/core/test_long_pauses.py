"""Which days are gaps after years without a frame, and after a broker time that cannot be right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.core.test_completeness import MIDNIGHT, NOON, SECOND, TODAY, Watch
from tracker.core.model import BrokerTime


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
