"""Frames decided in the commit that journals them: all is kept, or the frames alone, or nothing."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.journal.test_journal import again, executed
from tests.journal.test_journal_file import full
from tests.support.facts import ACCOUNT, START, exec_id, fee
from tracker.core.model import ExecutionKey, Source
from tracker.core.state import FEES
from tracker.journal.journal import Journal, JournalFailed

KEY = ExecutionKey(ACCOUNT, exec_id(1))


def test_frames_and_rows_in_one_commit(journal: Journal) -> None:
    """Frames and what they change are kept in one commit."""
    with journal.append_and_step(1, START, [executed(KEY)]) as (frames, advance):
        assert [frame.seq for frame in frames] == [1]
        journal.state.put(FEES, fee("a", "1"))
        advance(1)
        with closing(again(journal)) as other:
            assert other.frame(1) is None
    assert (journal.cursor, journal.waiting, journal.frames_after(0, 10)) == (1, False, list(frames))
    with closing(again(journal)) as other:
        assert other.state.get(FEES, "a") == fee("a", "1")


def test_failed_decision_keeps_its_frames(journal: Journal) -> None:
    """A decision that fails is taken back, its frames are not."""
    with pytest.raises(ZeroDivisionError):
        _decide_wrongly(journal)
    with closing(again(journal)) as other:
        for seen in (journal, other):
            assert (seen.cursor, seen.waiting) == (0, True)
            assert [frame.fields for frame in seen.frames_after(0, 10)] == [executed(KEY)[1]]
            assert list(seen.state.every(FEES)) == []
    assert journal.contains(KEY)
    journal.append(1, START, [(Source.BROKER, ("next",))])
    assert [frame.seq for frame in journal.frames_after(0, 10)] == [1, 2]


def test_full_disk_takes_back_everything(journal: Journal) -> None:
    """Where the disk is full neither the decision nor its frames are kept."""
    full(journal)
    with pytest.raises(JournalFailed, match="free space on its disk"):
        _decide_too_much(journal)
    assert (journal.cursor, journal.waiting, journal.frames_after(0, 10)) == (0, False, [])
    assert not journal.contains(KEY)


def _decide_wrongly(journal: Journal) -> None:
    with journal.append_and_step(1, START, [executed(KEY)]) as (_, advance):
        journal.state.put(FEES, fee("a", "1"))
        journal.state.flush()
        advance(1)
        raise ZeroDivisionError


def _decide_too_much(journal: Journal) -> None:
    with journal.append_and_step(1, START, [executed(KEY)]) as (_, advance):
        journal.state.put(FEES, fee("x" * 100_000, "1"))
        advance(1)


def test_waiting_frames_come_first(journal: Journal) -> None:
    """Frames are not decided before those that wait."""
    journal.append(1, START, [executed(KEY)])
    with (
        pytest.raises(AssertionError, match="in their order"),
        journal.append_and_step(1, START, [(Source.BROKER, ("next",))]),
    ):
        pytest.fail("the block is never run")
