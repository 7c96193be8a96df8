"""A journal of an older form is brought to today's, with a copy of it kept beside."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from tests.support.facts import ALERT, START, exec_id, execution
from tracker.core.model import (
    AlertId,
    AlertUpdate,
    Ambiguous,
    Match,
    Matched,
    Rejection,
    Rule,
    Unmatched,
)
from tracker.core.ownership_rows import RetryWindow
from tracker.core.state import ALERTS, EXECUTIONS, WINDOWS
from tracker.core.state_rows import AlertState, BookedExecution
from tracker.journal.journal import Journal, JournalFailed
from tracker.journal.migrations import MIGRATIONS

DECISIONS: tuple[Match, ...] = (
    Matched(((ALERT, Rule.CON_ID),)),
    Unmatched("no alert is about this contract", (Rejection(ALERT, "another strike"),)),
    Ambiguous(Rule.STRIKE, (ALERT, ALERT._replace(ticker="AMD"))),
)


def test_first_version_is_migrated(tmp_path: Path) -> None:
    """Decisions of the first version are read."""
    rows = [
        BookedExecution(execution(exec_id(number), 1), number, START, 1, decision)
        for number, decision in enumerate(DECISIONS, 1)
    ]
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        db.executescript(f"{MIGRATIONS[0]} PRAGMA user_version = 1;")
        for row in rows:
            # They did not name their kind.
            body = msgspec.to_builtins(row)
            del body["match"]["type"]
            columns: dict[str, object] = {"key": EXECUTIONS.key(row)}
            columns["body"] = json.dumps(body, default=str).encode()
            columns |= {name: of(row) for name, of in EXECUTIONS.indexes.items()}
            marks = ", ".join("?" * len(columns))
            insert = f"INSERT INTO executions ({', '.join(columns)}) VALUES ({marks})"
            db.execute(insert, tuple(columns.values()))
        db.commit()
    with closing(Journal(tmp_path / "journal.db")) as journal:
        assert list(journal.state.every(EXECUTIONS)) == rows


def test_open_windows_are_migrated(tmp_path: Path) -> None:
    """Version 9 kept all open windows under one value; they are found by the 10 seconds they began in."""
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        for script in MIGRATIONS[:9]:
            db.executescript(script)
        db.execute("PRAGMA user_version = 9")
        for window, is_open in ((RetryWindow("a", 123.4), "1"), (RetryWindow("b", 9.0, over=True), None)):
            row = (window.order, is_open, msgspec.json.encode(window))
            db.execute("INSERT INTO windows VALUES (?, ?, ?)", row)
        db.commit()
    with closing(Journal(tmp_path / "journal.db")) as journal:
        assert journal.state.values(WINDOWS, "open") == ["0000000012"]
        assert journal.state.find(WINDOWS, "open", "0000000012") == [RetryWindow("a", 123.4)]


def test_orphaned_records_of_version_10_are_found(tmp_path: Path) -> None:
    """Those that are gone while what they show is open, and that have no successor."""
    shown = AlertUpdate(AlertId("a", "X", "2025-11-18", 1), True, {}, None)
    gone = AlertState(shown.alert, shown=shown, gone=True)
    others = (
        replace(gone, gone=False),
        replace(gone, closed=True),
        replace(gone, unconfirmed=True),
        replace(gone, successor=shown.alert),
        replace(gone, shown=None),
    )
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        for script in MIGRATIONS[:10]:
            db.executescript(script)
        db.execute("PRAGMA user_version = 10")
        for number, row in enumerate((gone, *others)):
            columns = (number, *(ALERTS.indexes[name](row) for name in ("gone", "doubted")))
            insert = "INSERT INTO alerts (key, gone, doubted, body) VALUES (?, ?, ?, ?)"
            db.execute(insert, (*columns, msgspec.json.encode(row)))
        db.commit()
    with closing(Journal(tmp_path / "journal.db")) as journal:
        assert journal.state.find(ALERTS, "orphaned", "1") == [gone]


def old_journal(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(f"{MIGRATIONS[0]} PRAGMA user_version = 1;")
        db.execute("INSERT INTO meta VALUES ('kept', 'yes')")
        db.commit()


def test_old_form_is_kept_beside(tmp_path: Path) -> None:
    """Before its form changes a journal is copied, under a name that says which form it has."""
    path = tmp_path / "journal.db"
    old_journal(path)
    with closing(Journal(path)) as journal:
        assert journal.upgrade == (1, len(MIGRATIONS), tmp_path / "journal.db.v1")
    assert (tmp_path / "journal.db.v1").stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(tmp_path / "journal.db.v1")) as copy:
        assert copy.execute("PRAGMA user_version").fetchone()[0] == 1
        assert copy.execute("SELECT value FROM meta WHERE name = 'kept'").fetchone()[0] == "yes"
    with closing(Journal(path)) as journal:
        assert journal.upgrade is None
    assert sorted(each.name for each in tmp_path.iterdir()) == ["journal.db", "journal.db.v1"]


def test_earlier_copy_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "journal.db.v1").write_text("somebody's")
    old_journal(tmp_path / "journal.db")
    with closing(Journal(tmp_path / "journal.db")) as journal:
        assert journal.upgrade is not None
        assert journal.upgrade.copy == tmp_path / "journal.db.v1-2"
    assert (tmp_path / "journal.db.v1").read_text() == "somebody's"


def test_form_stays_without_copy(tmp_path: Path) -> None:
    """Where the old form cannot be kept nothing changes, and the refusal says why."""
    old_journal(tmp_path / "journal.db")
    (tmp_path / ".journal.db.v1.unfinished").mkdir()
    with pytest.raises(JournalFailed, match=r"could not be copied to .*journal\.db\.v1 before"):
        Journal(tmp_path / "journal.db")
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == 1


# Modes
