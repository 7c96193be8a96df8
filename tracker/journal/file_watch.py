"""Notice that another program replaced, removed or wrote the journal's file while it is open.

Owns the identity of the opened file, the number in SQLite's header (`application_id`) by which a run
recognises it, and the mark of a file that is a mixture of two. `cp` over an open file keeps path and inode,
so SQLite continues: its newest pages are in `-wal`, and are written into the other file.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

from tracker.journal.journal_file import (
    MIXED,
    MIXED_NEXT_STEP,
    JournalFailed,
    check_in_place,
    check_wal_in_place,
    failure,
    identity,
    wal_of,
)

_OFFSET: Final = 68
"""The offset of `application_id` in a database's header; see "The Database Header" in SQLite's file
format.
"""
_NO_NUMBER: Final = 0


class FileWatch:
    """Watch the file of one open journal."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        self._file = identity(path)
        self._wal = identity(wal_of(path))
        self._number = _NO_NUMBER
        self._in_file = False
        """Whether the number was found in the file: until a checkpoint it is only in `-wal`."""
        self._overwritten = False
        self._written_at = self._written()

    def stamp(self) -> None:
        """Write a number for this run into the file. Raises JournalFailed."""
        number = secrets.randbelow(MIXED - 1) + 1
        try:
            self._db.execute(f"PRAGMA application_id = {number}")
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as error:
            raise failure(self._path, "written", error) from error
        self._number = number
        self._check_content()

    def check(self) -> None:
        """Raise JournalFailed if the path no longer leads to the file as this run wrote it."""
        check_in_place(self._db, self._path, self._file)
        check_wal_in_place(self._db, self._path, self._wal)
        self._check_content()

    def check_if_written(self) -> None:
        """Check the content where the file was written since the last commit; raises JournalFailed."""
        if self._number and self._written() != self._written_at:
            self._check_content()

    def committed(self) -> None:
        """Note that everything written until now is our own."""
        if self._number:
            self._written_at = self._written()

    def close(self) -> None:
        """Close the journal; mark an overwritten file, so that no later start uses it.

        Raises JournalFailed for such a file, instead of the error that SQLite raised while reading it.
        """
        try:
            self._check_content()
        finally:
            self._number = _NO_NUMBER
            self._db.close()
            if self._overwritten:
                self._mark()

    def _mark(self) -> None:
        with suppress(OSError), self._path.open("r+b") as file:
            file.seek(_OFFSET)
            file.write(MIXED.to_bytes(4, "big"))
            os.fsync(file.fileno())

    def _check_content(self) -> None:
        if not self._number or identity(self._path) != self._file:
            return
        self._written_at = self._written()
        try:
            with self._path.open("rb") as file:
                file.seek(_OFFSET)
                found = int.from_bytes(file.read(4), "big")
        except OSError as error:
            raise JournalFailed(
                f"the journal {self._path} cannot be read: {error}; check its disk"
            ) from error
        if found == self._number:
            self._in_file = True
        elif self._in_file:
            self._overwritten = True
            raise JournalFailed(
                f"the journal {self._path} was overwritten by another program while the tracker runs;"
                f" {MIXED_NEXT_STEP}"
            )

    def _written(self) -> tuple[int, int]:
        """Return the file's size and the time of its last write."""
        try:
            found = os.stat(self._path)
        except OSError:
            return 0, 0
        return found.st_size, found.st_mtime_ns
