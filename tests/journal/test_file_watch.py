"""A journal whose file is written by another program while it is open, its path and inode as before."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.journal.test_journal import KEY, executed
from tests.support.facts import START
from tracker.journal.journal import Journal, JournalFailed


def other_content(folder: Path, how: str) -> bytes:
    """Return what another program writes over a journal."""
    if how == "emptied":
        return b""
    other = folder / "other.db"
    with closing(Journal(other)) as made:
        made.append(1, START, [executed(KEY)])
    return other.read_bytes()


def overwrite(path: Path, content: bytes) -> None:
    """Write as `cp` does: the file keeps its inode."""
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(content)


@pytest.mark.parametrize("how", ["emptied", "another journal"])
def test_overwritten_file_is_refused(journal: Journal, tmp_path: Path, how: str) -> None:
    """Path and inode stay, and SQLite notices nothing; no later start takes the mixture for a journal."""
    journal.stamp_file()
    journal.append(1, START, [executed(KEY)])
    journal.check_file()
    overwrite(journal.path, other_content(tmp_path, how))
    with pytest.raises(JournalFailed, match="was overwritten by another program while the tracker runs"):
        journal.check_file()
    with pytest.raises(JournalFailed, match="was overwritten"):
        journal.close()
    with pytest.raises(JournalFailed):
        Journal(journal.path)


def test_overwritten_file_takes_no_frame(journal: Journal, tmp_path: Path) -> None:
    """Noticed before the next packet is said to be durable; the next start and readers say so too."""
    journal.stamp_file()
    journal.append(1, START, [executed(KEY)])
    journal.check_file()
    overwrite(journal.path, other_content(tmp_path, "another journal"))
    with pytest.raises(JournalFailed, match="was overwritten"):
        journal.append(1, START, [executed(KEY)])
    with pytest.raises(JournalFailed, match="was overwritten"):
        journal.close()
    for read_only in (False, True):
        with pytest.raises(
            JournalFailed, match=r"was overwritten while a tracker ran; .* Put the right file"
        ):
            Journal(journal.path, read_only=read_only)


def test_earlier_copy_of_the_journal_is_noticed(tmp_path: Path) -> None:
    """A copy that was made in an earlier run differs by that run's number."""
    path = tmp_path / "journal.db"
    with closing(Journal(path)) as earlier:
        earlier.stamp_file()
        earlier.append(1, START, [executed(KEY)])
    copy = path.read_bytes()
    journal = Journal(path)
    journal.stamp_file()
    journal.check_file()
    overwrite(path, copy)
    for notices in (journal.check_file, journal.close):
        with pytest.raises(JournalFailed, match="was overwritten"):
            notices()


def test_overwriting_is_the_reason_also_behind_sqlite(tmp_path: Path) -> None:
    """SQLite calls the file damaged before its content was checked; the end of the run says what it is."""
    path = tmp_path / "journal.db"
    journal = Journal(path)
    journal.stamp_file()
    journal.append(1, START, [executed(KEY)])
    with closing(sqlite3.connect(path)) as backup:
        backup.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    overwrite(path, b"")
    with pytest.raises(JournalFailed, match="restore it from a copy"):
        journal.frame(1)
    with pytest.raises(JournalFailed, match="was overwritten by another program while the tracker runs"):
        journal.close()


def test_another_checkpoint_is_no_overwriting(journal: Journal) -> None:
    """A program that backs up, and moves SQLite's own pages into the file, changes nothing of it."""
    journal.stamp_file()
    journal.append(1, START, [executed(KEY)])
    with closing(sqlite3.connect(journal.path)) as backup:
        backup.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    journal.check_file()
    journal.append(1, START, [executed(KEY)])
    assert len(journal.frames_after(0, 10)) == 2
