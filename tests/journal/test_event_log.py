"""Events in the journal: kept with the decision, numbered once in all lives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tracker.journal.event_log import EventLog
from tracker.journal.journal import Journal, JournalFailed

AT = datetime(2026, 11, 18, 15, tzinfo=UTC)
LIFE = 1_000_000


def keep(journal: Journal, *names: str, at: datetime = AT) -> None:
    with journal.step():
        journal.events.keep([{"event": name} for name in names], at)


def kept(journal: Journal, after: int = 0, limit: int = 100) -> list[tuple[int, str]]:
    return [(number, event["event"]) for number, event in journal.events.after(after, limit).events]


def test_numbers_follow_one_another(journal: Journal) -> None:
    keep(journal, "a", "b")
    journal.events.skip()
    keep(journal, "c")
    assert kept(journal) == [(1, "a"), (2, "b"), (4, "c")]
    assert kept(journal, after=1) == [(2, "b"), (4, "c")]
    assert kept(journal, after=1, limit=1) == [(2, "b")]
    assert journal.events.last == 4


def test_a_step_that_fails_keeps_no_event(journal: Journal) -> None:
    """Its numbers are given to the next one."""

    def fail() -> None:
        with journal.step():
            journal.events.keep([{"event": "lost"}], AT)
            raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        fail()
    keep(journal, "a")
    assert kept(journal) == [(1, "a")]


def test_no_life_gives_a_number_again(tmp_path: Path) -> None:
    """Also where an earlier one gave numbers to events that it did not keep."""
    for life in range(3):
        journal = Journal(tmp_path / "journal.db")
        journal.events.begin_life(journal.set_meta)
        assert journal.events.last == life * LIFE
        journal.events.skip()
        journal.close()
    journal = Journal(tmp_path / "journal.db")
    keep(journal, "by a command")
    journal.events.begin_life(journal.set_meta)
    keep(journal, "by the daemon")
    assert kept(journal) == [(2 * LIFE + 1, "by a command"), (3 * LIFE + 2, "by the daemon")]
    journal.close()


def test_old_events_are_dropped(journal: Journal) -> None:
    keep(journal, "old", "old too")
    keep(journal, "new", at=AT + timedelta(days=2))
    assert journal.events.after(0, 10).dropped == 0
    journal.drop_events(AT + timedelta(days=1))
    assert kept(journal) == [(3, "new")]
    assert journal.events.after(0, 10).dropped == 2


def test_damaged_events_are_named(journal: Journal) -> None:
    """Who asks learns what cannot be read, as of every other part of the journal."""
    keep(journal, "a")
    journal._db.execute("UPDATE events SET body = '[1]'")
    with pytest.raises(JournalFailed, match=r"is damaged: the events from 1 on cannot be read"):
        kept(journal)


@pytest.mark.parametrize("name", ["events_from", "events_dropped"])
def test_damaged_number_is_named(journal: Journal, name: str) -> None:
    """A number of events that is none ends with a reason, at the start or when it is asked for."""
    keep(journal, "a")
    journal.set_meta(name, "\x1bmany")
    with pytest.raises(JournalFailed, match=f"is damaged: the value '{name}' cannot be read"):
        EventLog(journal._db).after(0, 10)


def test_lost_events_are_a_failure_of_the_journal(journal: Journal) -> None:
    journal._db.execute("DROP TABLE events")
    with pytest.raises(JournalFailed, match="could not be read: no such table"):
        kept(journal)
