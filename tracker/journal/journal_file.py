"""The SQLite file itself: open it durably, check that it stays in place, and explain each failure.

Owns the settings of SQLite, the modes of the file, the migration to the newest schema and the wording of
every failure. It knows neither frames nor rows.

| what SQLite reports | next step |
|---|---|
| full | free space on the disk |
| locked | end the other program that holds the lock |
| damaged, no database | restore a copy, or begin with a new journal |
| read-only, not to be opened | give the tracker's user the right to the file and its folder |
| anything else | check the disk |
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from tracker.journal.migrations import MIGRATIONS

_BUSY_MILLISECONDS: Final = 5_000
_PAGE_BYTES: Final = 2_048
"""The size of a new journal's pages. A fill changes some 30, which its commit writes as a whole."""
_WAL_KEPT_BYTES: Final = 16 << 20
"""How much the file `-wal` beside the journal holds before it is moved into the journal, and the size to
which SQLite shortens it when nobody reads it.

A stream of fills changes the same pages again and again: with SQLite's default of 1,000 pages, every few
commits would move them.
"""
_WAL_LARGE_BYTES: Final = 64 << 20
_INDEX: Final = "-shm"
_BESIDE: Final = ("-wal", _INDEX, "-journal")
"""The suffixes of SQLite's own files beside the journal."""
_OWN_FILE_MODE: Final = 0o600
_RESULT: Final = 0xFF
"""The primary result code within SQLite's extended one."""

_RESTORE: Final = "restore it from a copy, or move it away and start the tracker with a new one"
_NEXT_STEPS: Final = {
    sqlite3.SQLITE_FULL: "free space on its disk",
    sqlite3.SQLITE_BUSY: "another program holds a lock on it: end that program",
    sqlite3.SQLITE_LOCKED: "another program holds a lock on it: end that program",
    sqlite3.SQLITE_CORRUPT: _RESTORE,
    sqlite3.SQLITE_NOTADB: _RESTORE,
    sqlite3.SQLITE_ERROR: _RESTORE,
    sqlite3.SQLITE_READONLY: "let the tracker's user write the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "let the tracker's user read and write the file and its folder",
    sqlite3.SQLITE_PERM: "let the tracker's user read and write the file and its folder",
}
_CHECK_DISK: Final = "check its disk: it may be full, or fail"
MIXED: Final = 0x4D495844
"""`application_id` of a file that was overwritten while a tracker had it open."""
MIXED_NEXT_STEP: Final = (
    "what is there now is a mixture of both. Put the right file back from a copy, or move this one away, then"
    " start the tracker again: it asks the gateway for the day's executions"
)
UNREADABLE: Final = (ValueError, TypeError, OverflowError, OSError)
"""The errors that decoding a damaged value raises; a time too far away raises OSError."""


class JournalFailed(Exception):
    """Say that the journal cannot be opened, read or written; the message names the file, the cause and what
    to do.
    """


class Upgrade(NamedTuple):
    """Say that opening a journal changed its form, and where the old file is kept."""

    before: int
    after: int
    copy: Path


class FileIdentity(NamedTuple):
    """Identify a file, since another one may get the same path."""

    device: int
    inode: int


def failure(path: str | Path, what: str, error: sqlite3.Error) -> JournalFailed:
    """Return the error for a failure: what failed, why, and what to do."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR)
    step = _NEXT_STEPS.get(code & _RESULT, _CHECK_DISK)
    return JournalFailed(f"the journal {path} could not be {what}: {error}; {step}")


def damaged(path: str | Path, part: str, error: Exception) -> JournalFailed:
    """Return the error that says which part of a journal cannot be understood."""
    return JournalFailed(f"the journal {path} is damaged: {part} cannot be read ({error}); {_RESTORE}")


def whole_number(path: str | Path, part: str, value: Any) -> int:
    """Return a whole number as it is stored; raises JournalFailed with the part where it is none."""
    try:
        return int(value)
    except (ValueError, TypeError) as error:
        raise damaged(path, part, error) from error


def path_of(db: sqlite3.Connection) -> str:
    """Return the path of the file that is open."""
    return str(db.execute("PRAGMA database_list").fetchone()[2])


def select(db: sqlite3.Connection, sql: str, values: Sequence[object] = ()) -> list[Any]:
    """Return the rows of a query; raises JournalFailed."""
    try:
        return db.execute(sql, values).fetchall()
    except sqlite3.Error as error:
        raise failure(path_of(db), "read", error) from error


def select_each(db: sqlite3.Connection, sql: str, values: Sequence[object] = ()) -> Iterator[Any]:
    """Yield the rows of a query that may have very many; raises JournalFailed."""
    try:
        yield from db.execute(sql, values)
    except sqlite3.Error as error:
        raise failure(path_of(db), "read", error) from error


def open_file(path: Path, *, read_only: bool) -> tuple[sqlite3.Connection, Upgrade | None]:
    """Open the file in its newest schema, for writing or for reading alone; raises JournalFailed.

    An older file is copied before its form changes; the answer says so.
    """
    if path.exists() and not path.is_file():
        # For a pipe or a device SQLite would report "disk I/O error".
        raise JournalFailed(
            f"the journal {path} is not a regular file; set stores.journal to the file itself"
        )
    _check_beside(path)
    try:
        if not read_only:
            _create(path)
        where = f"{path.absolute().as_uri()}?mode=ro" if read_only else str(path.absolute())
        db = sqlite3.connect(where, uri=read_only, isolation_level=None)
        upgrade = None
        try:
            _check_whole(db, path)
            _check_own(db, path)
            if not read_only:
                make_durable(db, path)
                upgrade = _migrate(db, path)
            _check_version(db, path)
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as error:
        raise failure(path, "opened", error) from error
    return db, upgrade


def _check_beside(path: Path) -> None:
    """Refuse a link or a special file with the name of one of SQLite's own files: SQLite would write into
    another file.

    Raises JournalFailed.
    """
    for suffix in _BESIDE:
        beside = path.with_name(path.name + suffix)
        with suppress(FileNotFoundError, NotADirectoryError):
            found = beside.lstat()
            # A hard link to `-wal` may be a backup, and no commit in it may be lost.
            linked = suffix == _INDEX and found.st_nlink > 1
            if not stat.S_ISREG(found.st_mode) or linked:
                what = "a hard link" if linked else "not a regular file"
                raise JournalFailed(
                    f"{beside} is {what}; remove it, then start again: the journal makes a new one"
                )


def identity(path: Path) -> FileIdentity | None:
    """Return the identity of the file at a path now, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return FileIdentity(found.st_dev, found.st_ino)


def check_in_place(db: sqlite3.Connection, path: Path, opened: FileIdentity | None) -> None:
    """Raise JournalFailed if the path no longer leads to the open file.

    Nobody would ever read what is written from then on. The present content is copied beside the old path,
    since a deleted file is lost when it is closed.
    """
    if what := _swapped(path, opened):
        raise JournalFailed(
            f"the journal {path} {what} while the tracker runs; {_rescue(db, path)}. Put the right file back,"
            " then start the tracker again: it asks the gateway for the day's executions"
        )


def check_wal_in_place(db: sqlite3.Connection, path: Path, opened: FileIdentity | None) -> None:
    """Raise JournalFailed if the file `-wal`, which holds the newest commits, is no longer the open one.

    No other process sees these commits, and a crash would lose them; closing moves them into the journal.
    """
    what = "" if opened is None else _swapped(wal_of(path), opened)
    if what:
        raise JournalFailed(
            f"{wal_of(path)}, a part of the journal, {what} while the tracker runs; {_rescue(db, path)}, and"
            f" all of it is written into {path} as this run ends. Start the tracker again"
        )


def _swapped(path: Path, opened: FileIdentity | None) -> str:
    """Say what happened to an open file, empty where its path still leads to it."""
    now = identity(path)
    if now == opened:
        return ""
    return "was deleted or moved" if now is None else "was replaced by another file"


def wal_of(path: Path) -> Path:
    """Return the path where SQLite keeps the newest commits of a journal."""
    return path.with_name(f"{path.name}-wal")


def large_wal(path: Path) -> int:
    """Return the size in bytes of a file `-wal` that has grown far beyond the usual, else 0."""
    with suppress(OSError):
        size = wal_of(path).stat().st_size
        return size if size > _WAL_LARGE_BYTES else 0
    return 0


def size_of(path: Path) -> int:
    """Return the size of a journal in bytes, including what SQLite keeps beside it for a while."""
    return sum(each.stat().st_size for each in (path, wal_of(path)) if each.exists())


def _create(path: Path) -> None:
    """Create a new file that only its owner can read; SQLite gives `-wal` and `-shm` the same mode."""
    # SQLite reports anything else that is wrong with the path.
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, _OWN_FILE_MODE))


def _copy(db: sqlite3.Connection, target: Path) -> None:
    """Copy a journal into a new file that only its owner can read; raises OSError, sqlite3.Error."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, _OWN_FILE_MODE))
    with closing(sqlite3.connect(target)) as copy:
        db.backup(copy)


def _rescue(db: sqlite3.Connection, path: Path) -> str:
    target = path.with_name(f"{path.name}.rescued")
    try:
        _copy(db, target)
    except (OSError, sqlite3.Error) as error:
        return f"a copy of what it held could not be written to {target} ({error})"
    return f"what it held was copied to {target}"


def make_durable(db: sqlite3.Connection, path: Path) -> None:
    """Make every commit survive a power cut; raises JournalFailed where SQLite cannot promise that."""
    db.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    # A file that has content keeps the size of its pages.
    db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
    page_bytes = db.execute("PRAGMA page_size").fetchone()[0]
    db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_KEPT_BYTES // page_bytes}")
    mode = db.execute("PRAGMA journal_mode").fetchone()[0]
    synchronous = db.execute("PRAGMA synchronous").fetchone()[0]
    if (mode, synchronous) != ("wal", 2):
        raise JournalFailed(
            f"the journal {path} cannot be made durable: SQLite answers journal_mode={mode},"
            f" synchronous={synchronous}; put it on a local file system"
        )


def _migrate(db: sqlite3.Connection, path: Path) -> Upgrade | None:
    """Bring the file to the newest form; one of an older form is copied beside it before."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    upgrade = None
    if 0 < version < len(MIGRATIONS):
        upgrade = Upgrade(version, len(MIGRATIONS), _keep_old_form(db, path, version))
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        # One transaction for each migration and its version number: a crash leaves the old version or the
        # new.
        db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
    return upgrade


def _keep_old_form(db: sqlite3.Connection, path: Path, version: int) -> Path:
    """Copy a journal before its form changes; returns the copy's path. Raises JournalFailed."""
    target = path.with_name(f"{path.name}.v{version}")
    number = 1
    while target.exists() or target.is_symlink():
        number += 1
        target = path.with_name(f"{path.name}.v{version}-{number}")
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        _copy(db, unfinished)
        unfinished.rename(target)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise JournalFailed(
            f"the journal {path} has the older form {version}, and could not be copied to {target} before"
            f" the change to form {len(MIGRATIONS)}: {error}; make room there, or let the tracker's user"
            " write in that folder"
        ) from error
    return target


def _check_whole(db: sqlite3.Connection, path: Path) -> None:
    if db.execute("PRAGMA application_id").fetchone()[0] == MIXED:
        raise JournalFailed(f"the journal {path} was overwritten while a tracker ran; {MIXED_NEXT_STEP}")


def _check_own(db: sqlite3.Connection, path: Path) -> None:
    """Refuse another program's database, into which our tables would be written."""
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and not tables & {"frames", "executions"}:
        raise JournalFailed(
            f"{path} is the database of another program, not a journal; set stores.journal to a file of the"
            " tracker's own"
        )


def _check_version(db: sqlite3.Connection, path: Path) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise JournalFailed(
            f"the journal {path} has version {version}, written by a newer tracker (this one reads"
            f" {len(MIGRATIONS)}); use that one"
        )
    if version < len(MIGRATIONS):
        raise JournalFailed(
            f"the journal {path} has version {version}, written by an older tracker or never finished;"
            " start the tracker once to bring it up to date"
        )
