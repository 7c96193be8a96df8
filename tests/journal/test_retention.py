"""Raw frames go after their days; nothing that state, dedup or an answer needs goes with them."""

from __future__ import annotations

from datetime import timedelta

from tests.support.facts import START
from tracker.core.model import Source
from tracker.core.state import UNDECODED
from tracker.core.state_rows import UndecodableFrame
from tracker.journal.journal import Journal


def test_only_finished_frames_are_removed(journal: Journal) -> None:
    """Frames 1 to 4 are old; 2 could not be read, 4 was not applied yet."""
    for number in range(1, 5):
        journal.append(7, START + timedelta(seconds=number), [(Source.BROKER, ("3", str(number)))])
    with journal.step() as advance:
        journal.state.put(UNDECODED, UndecodableFrame(2, "execution", "too short", ""))
        advance(3)
    assert journal.drop_frames(START + timedelta(days=1)) == 1
    assert [frame.seq for frame in journal.frames_after(0, 10)] == [2, 3, 4]
    assert journal.cursor == 3


def test_numbers_go_on_after_removal(journal: Journal) -> None:
    """A number is never used twice: state rows point at frames by it."""
    journal.append(7, START, [(Source.BROKER, ("3", "1")), (Source.BROKER, ("3", "2"))])
    with journal.step() as advance:
        advance(2)
    assert journal.drop_frames(START + timedelta(days=1)) == 1
    assert journal.drop_frames(START + timedelta(days=1)) == 0
    assert journal.last_connection_no == 7
    journal.append(8, START, [(Source.BROKER, ("3", "3"))])
    assert [frame.seq for frame in journal.frames_after(journal.cursor, 10)] == [3]


def test_frames_within_the_days_stay(journal: Journal) -> None:
    """Nothing younger than the limit is touched."""
    journal.append(7, START, [(Source.BROKER, ("3", "1"))])
    with journal.step() as advance:
        advance(1)
    assert journal.drop_frames(START) == 0
