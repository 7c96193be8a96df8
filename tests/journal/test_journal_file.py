"""The file is opened durably and for its owner alone, and every failure names cause and next step."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.journal.test_journal import KEY, again, executed
from tests.support.facts import START, fee
from tracker.core.model import (
    Source,
)
from tracker.core.state import (
    FEES,
    TABLES,
)
from tracker.journal.journal import REMOVING, Journal, JournalFailed
from tracker.journal.journal_file import large_wal, make_durable
from tracker.journal.migrations import MIGRATIONS


def test_columns_are_the_declared_indexes(journal: Journal) -> None:
    """The columns of the file are the indexes that the tables declare."""
    db = sqlite3.connect(journal.path)
    for table in TABLES:
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table.name})")]
        assert columns == ["key", *table.indexes, "body"]
        indexed = {row[1] for row in db.execute(f"PRAGMA index_list({table.name})")}
        assert {f"{table.name}_{name}" for name in table.indexes} <= indexed
    assert db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    db.close()


def test_file_is_durable(journal: Journal) -> None:
    """The file is written ahead and synchronously."""
    other = sqlite3.connect(journal.path)
    assert other.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    other.close()
    assert journal._db.execute("PRAGMA synchronous").fetchone()[0] == 2


@pytest.mark.parametrize(("existing", "pages"), [(None, 2_048), (4_096, 4_096)])
def test_existing_file_keeps_its_pages(tmp_path: Path, existing: int | None, pages: int) -> None:
    """Only a new journal has small pages; `-wal` holds the same before it is moved into either."""
    path = tmp_path / "journal.db"
    if existing is not None:
        with closing(sqlite3.connect(path)) as db:
            db.execute(f"PRAGMA page_size = {existing}")
            db.execute("CREATE TABLE frames (seq INTEGER PRIMARY KEY)")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        make_durable(db, path)
        assert db.execute("PRAGMA page_size").fetchone()[0] == pages
        assert db.execute("PRAGMA wal_autocheckpoint").fetchone()[0] == (16 << 20) // pages


def test_undurable_file_is_refused() -> None:
    """A file that cannot be made durable is refused."""
    with (
        closing(sqlite3.connect(":memory:")) as db,
        pytest.raises(JournalFailed, match=r"journal_mode=memory.*local file system"),
    ):
        make_durable(db, Path("journal.db"))


def full(journal: Journal) -> None:
    """Let the file grow no further, as on a full disk."""
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages}")


BIG = ("x" * 100_000,)


def test_append_to_full_disk(journal: Journal) -> None:
    """An append to a full disk says so, and leaves nothing."""
    full(journal)
    with pytest.raises(
        JournalFailed, match=r"journal\.db could not be written.*full.*no change is half done"
    ):
        journal.append(1, START, [executed(KEY), (Source.BROKER, BIG)])
    assert journal.frames_after(0, 10) == []
    assert not journal.contains(KEY)


def test_step_on_full_disk(journal: Journal) -> None:
    """A step on a full disk leaves nothing."""
    full(journal)
    with pytest.raises(JournalFailed, match="free space on its disk, then start the tracker again"):
        _put_too_much(journal)
    assert journal.cursor == 0
    assert list(journal.state.every(FEES)) == []


def _put_too_much(journal: Journal) -> None:
    with journal.step() as advance:
        journal.state.put(FEES, fee("x" * 100_000, "1"))
        advance(5)


def test_failed_commit_keeps_nothing(journal: Journal) -> None:
    other = sqlite3.connect(journal.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    journal._db.execute("PRAGMA busy_timeout = 1")
    with pytest.raises(
        JournalFailed, match=r"locked; another program holds a lock on it: end that program, then"
    ):
        journal.append(1, START, [executed(KEY)])
    other.execute("ROLLBACK")
    other.close()
    assert not journal.contains(KEY)
    journal.append(1, START, [executed(KEY)])
    assert journal.contains(KEY)


def test_other_file_is_refused(tmp_path: Path) -> None:
    """A file that is no journal is refused."""
    path = tmp_path / "journal.db"
    path.write_text("not a database, but long enough to be read as one" * 50)
    with pytest.raises(
        JournalFailed, match=r"journal\.db could not be opened: file is not a database; restore it"
    ):
        Journal(path)


@pytest.mark.parametrize("read_only", [False, True])
def test_database_of_another_program_is_refused(tmp_path: Path, read_only: bool) -> None:
    """It is neither read as a journal nor given tables."""
    path = tmp_path / "cookies.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE cookies (name TEXT)")
        db.execute("PRAGMA user_version = 3")
    before = path.read_bytes()
    with pytest.raises(JournalFailed, match=r"is the database of another program, .*; set stores\.journal"):
        Journal(path, read_only=read_only)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["cookies.sqlite"]


def test_missing_folder_is_named(tmp_path: Path) -> None:
    """A folder that does not exist is named."""
    with pytest.raises(
        JournalFailed,
        match=r"could not be opened.*let the tracker's user read and write the file and its folder",
    ):
        Journal(tmp_path / "nowhere" / "journal.db")


def test_damaged_journal_is_refused(journal: Journal) -> None:
    """A damaged journal is refused when it is read."""
    journal.append(1, START, [(Source.BROKER, ("11",))])
    journal._db.execute("DROP TABLE frames")
    journal._db.execute("DROP TABLE fees")
    with pytest.raises(JournalFailed, match=r"journal\.db could not be read.*frames"):
        journal.frame(1)
    with pytest.raises(JournalFailed, match="move it away"):
        journal.state.get(FEES, "a")


def test_newer_journal_is_refused(journal: Journal) -> None:
    """A journal of a newer tracker is refused."""
    journal._db.execute("PRAGMA user_version = 99")
    for read_only in (False, True):
        with pytest.raises(JournalFailed, match="version 99, written by a newer tracker"):
            Journal(journal.path, read_only=read_only)


def test_unreadable_journal_is_closed_again(tmp_path: Path) -> None:
    """Also while somebody holds the error, and with it whatever its traceback leads to."""
    path = tmp_path / "journal.db"
    with closing(Journal(path)) as journal:
        journal._db.execute("DROP TABLE frames")
    for read_only in (False, True):
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(JournalFailed, match="no such table") as error:
            Journal(path, read_only=read_only)
        assert len(os.listdir("/proc/self/fd")) == before, error


def test_reading_changes_nothing(journal: Journal) -> None:
    with journal.step() as advance:
        journal.state.put(FEES, fee("a", "1"))
        advance(4)
    looking = Journal(journal.path, read_only=True)
    assert looking.cursor == 4
    assert looking.state.get(FEES, "a") == fee("a", "1")
    with pytest.raises(JournalFailed, match="readonly"):
        looking.set_meta("mode", "paper")
    looking.close()


def test_reading_never_creates_or_upgrades(tmp_path: Path) -> None:
    """Opening to read neither creates nor upgrades a journal."""
    path = tmp_path / "journal.db"
    with pytest.raises(JournalFailed, match="could not be opened"):
        Journal(path, read_only=True)
    assert not path.exists()
    path.touch()
    with pytest.raises(JournalFailed, match="start the tracker once"):
        Journal(path, read_only=True)
    assert path.stat().st_size == 0


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_new_journal_is_private(tmp_path: Path, umask: int) -> None:
    """The file and those that SQLite puts beside it can be read by their owner alone, whatever the umask."""
    before = os.umask(umask)
    try:
        with closing(Journal(tmp_path / "journal.db")) as journal:
            journal.append(1, START, [executed(KEY)])
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"journal.db": 0o600, "journal.db-wal": 0o600, "journal.db-shm": 0o600}


def test_existing_journal_keeps_its_mode(tmp_path: Path) -> None:
    """Who made a journal readable for a group meant it."""
    path = tmp_path / "journal.db"
    Journal(path).close()
    path.chmod(0o640)
    with closing(Journal(path)):
        assert path.stat().st_mode & 0o777 == 0o640


# In place


def test_file_in_place_is_accepted(journal: Journal) -> None:
    journal.append(1, START, [executed(KEY)])
    journal.check_file()
    assert not journal.path.with_name("journal.db.rescued").exists()


@pytest.mark.parametrize("swap", ["deleted", "replaced"])
def test_swapped_file_is_refused(journal: Journal, swap: str) -> None:
    """What the path leads to is compared with the file that is open; what that holds is copied beside it."""
    journal.append(1, START, [executed(KEY)])
    journal.path.unlink()
    if swap == "replaced":
        journal.path.write_bytes(b"")
    word = "was deleted or moved" if swap == "deleted" else "was replaced by another file"
    with pytest.raises(
        JournalFailed, match=rf"journal\.db {word} while the tracker runs; what it held was copied"
    ):
        journal.check_file()
    rescued = journal.path.with_name("journal.db.rescued")
    assert rescued.stat().st_mode & 0o777 == 0o600
    with closing(Journal(rescued)) as copy:
        assert copy.contains(KEY) or copy.frames_after(0, 1)[0].fields == executed(KEY)[1]


@pytest.mark.parametrize("swap", ["deleted", "replaced"])
def test_swapped_wal_is_refused(journal: Journal, swap: str) -> None:
    """A cleaned-up `-wal` would hide the newest commits from everybody; closing saves them."""
    journal.append(1, START, [executed(KEY)])
    journal.check_file()
    wal = journal.path.with_name("journal.db-wal")
    wal.unlink()
    if swap == "replaced":
        wal.write_bytes(b"")
    with pytest.raises(
        JournalFailed, match=r"journal\.db-wal, a part of the journal, was .* Start the tracker"
    ):
        journal.check_file()
    journal.close()
    with closing(Journal(journal.path)) as later:
        assert later.frames_after(0, 1)[0].fields == executed(KEY)[1]


def test_rescue_overwrites_nothing(journal: Journal) -> None:
    """An earlier copy stays, and the message says that there is none of this journal."""
    rescued = journal.path.with_name("journal.db.rescued")
    rescued.write_text("an earlier one")
    journal.path.unlink()
    with pytest.raises(JournalFailed, match=r"could not be written to .*rescued"):
        journal.check_file()
    assert rescued.read_text() == "an earlier one"


def test_large_wal_is_reported(tmp_path: Path) -> None:
    """Another program that holds a read transaction keeps SQLite from emptying it."""
    path = tmp_path / "journal.db"
    assert large_wal(path) == 0
    with (tmp_path / "journal.db-wal").open("wb") as wal:
        wal.truncate(63 << 20)
        assert large_wal(path) == 0
        wal.truncate(65 << 20)
    assert large_wal(path) == 65 << 20


def test_wal_shrinks_after_a_reader(journal: Journal) -> None:
    """Once a reader is gone that kept it growing, SQLite cuts the file to its bound."""
    wal = journal.path.with_name("journal.db-wal")
    with closing(sqlite3.connect(journal.path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM frames").fetchone()
        for number in range(24):
            journal.append(1, START, [(Source.BROKER, ("4", str(number), "x" * (1 << 20)))])
        assert wal.stat().st_size > 24 << 20
    for number in range(3):
        journal.append(1, START, [(Source.BROKER, ("4", str(number), "x" * (5 << 20)))])
    assert wal.stat().st_size <= 17 << 20


# Damage


def damage(journal: Journal, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(journal.path)) as other:
        other.execute(sql, values)
        other.commit()


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"exec_id": 1}', None, 7, "{}"])
def test_damaged_row_is_named(journal: Journal, body: object) -> None:
    """A row that cannot be decoded is named with its table, not shown as a traceback."""
    damage(journal, "INSERT INTO fees (key, body) VALUES ('e.1', ifnull(?, ''))", body)
    with pytest.raises(JournalFailed, match=r"journal\.db is damaged: the row 'e\.1' of fees.*restore it"):
        journal.state.get(FEES, "e.1")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("fields", b"\xff"),
        ("fields", 7),
        ("source", "nobody"),
        ("received_at", "soon"),
        ("received_at", 1e300),
        ("received_at", 2**62),
    ],
)
def test_damaged_frame_is_named(journal: Journal, column: str, value: object) -> None:
    """A frame that cannot be read is named by its number."""
    journal.append(1, START, [executed(KEY)])
    damage(journal, f"UPDATE frames SET {column} = ?", value)
    with closing(again(journal)) as other, pytest.raises(JournalFailed, match="damaged: frame 1 cannot be"):
        other.frames_after(0, 10)


def test_damaged_value_is_named(journal: Journal) -> None:
    """A cursor that is no number is named."""
    journal.set_meta("cursor", "many")
    with pytest.raises(JournalFailed, match="damaged: the value 'cursor'"):
        assert journal.cursor


@pytest.mark.parametrize("session", ["many", b"\xff"])
def test_damaged_connection_is_named(journal: Journal, session: object) -> None:
    """A start refuses a newest frame whose connection is no number, with a reason."""
    damage(journal, "INSERT INTO frames VALUES (1, 0, ?, 'live', x'')", session)
    with pytest.raises(JournalFailed, match="damaged: the connection of the newest frame"):
        assert journal.last_connection_no


def test_damaged_alerts_are_named(journal: Journal) -> None:
    """What a decision looked at is named by its execution."""
    damage(journal, "INSERT INTO considered VALUES (7, ?, ?)", f"{KEY.account} {KEY.exec_id}", b"[")
    with pytest.raises(JournalFailed, match=f"what was considered for {KEY.exec_id}"):
        journal.was_considered(7, KEY)


@pytest.mark.parametrize(
    ("column", "value"),
    [("at", b"\xff"), ("at", 2**62), ("at", 1e300), ("body", b"{"), ("body", -1), ("body", b"[" * 100_000)],
)
def test_damaged_store_log_is_named(journal: Journal, column: str, value: object) -> None:
    """What was written to an alert is refused by name where a disk has damaged it."""
    with journal.step():
        journal.log_store(START, [("r", "applied", b"{}")])
    damage(journal, f"UPDATE store_log SET {column} = ?", value)
    with pytest.raises(JournalFailed, match="damaged: what was written to an alert cannot be read"):
        journal.store_log("r")


def test_removed_text_is_not_read_as_json(journal: Journal) -> None:
    """A record that was taken out may hold what Python reads only partly: a number of 5,000 digits."""
    with journal.step():
        journal.log_store(START, [("r", REMOVING, b'{"a": ' + b"9" * 5000 + b"}")])
    assert journal.store_log("r") == [(START, REMOVING, None)]


@pytest.mark.parametrize("value", [b"\xff", "text", -1, 2**62])
def test_damaged_record_text_is_named(journal: Journal, value: object) -> None:
    with journal.step():
        journal.log_store(START, [("r", REMOVING, b"{}")])
    damage(journal, "UPDATE store_log SET body = ?", value)
    with pytest.raises(JournalFailed, match="damaged: the text of an alert cannot be read"):
        journal.kept_record("r")


def test_pipe_as_journal_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "journal.db")
    with pytest.raises(JournalFailed, match=r"is not a regular file; set stores\.journal to the file itself"):
        Journal(tmp_path / "journal.db")


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_link_beside_journal_is_refused(tmp_path: Path, suffix: str) -> None:
    """SQLite would write its own file through it."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    beside = tmp_path / f"journal.db{suffix}"
    beside.symlink_to(victim)
    with pytest.raises(JournalFailed, match=f"{beside} is not a regular file; remove it"):
        Journal(tmp_path / "journal.db")
    assert victim.read_text() == "precious"


def test_second_name_of_index_is_refused(tmp_path: Path) -> None:
    """What is written to it would stand in the other file too; a second name of the `-wal` does no harm."""
    for suffix in ("-shm", "-wal"):
        (tmp_path / f"victim{suffix}").touch()
        os.link(tmp_path / f"victim{suffix}", tmp_path / f"journal.db{suffix}")
    with pytest.raises(JournalFailed, match=r"journal\.db-shm is a hard link; remove it"):
        Journal(tmp_path / "journal.db")
    (tmp_path / "journal.db-shm").unlink()
    Journal(tmp_path / "journal.db").close()
