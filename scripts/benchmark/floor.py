"""The least that a durable write costs on a disk: one commit, or one commit and one replaced file.

Owns the floors that latencies are compared with: one SQLite commit (WAL, synchronous=FULL) of one frame, then
a file written beside the old one, synced, renamed over it, and its folder synced.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path


class OneCommit:
    """Measure the commit of one frame in one folder."""

    def __init__(self, folder: Path, frame: bytes) -> None:
        self._frame = frame
        self._db = sqlite3.connect(folder / "floor.db", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE frames (seq INTEGER PRIMARY KEY, fields BLOB NOT NULL)")

    def once(self) -> float:
        """Return the seconds of one commit."""
        began = time.perf_counter()
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT INTO frames (fields) VALUES (?)", (self._frame,))
        self._db.execute("COMMIT")
        return time.perf_counter() - began

    def close(self) -> None:
        """Close the database."""
        self._db.close()


class Floor(OneCommit):
    """Measure a commit and the replacement of a file of the given content."""

    def __init__(self, folder: Path, content: bytes, frame: bytes) -> None:
        super().__init__(folder, frame)
        self._folder = folder
        self._content = content
        self._path = folder / "floor.json"

    def once(self) -> float:
        """Return the seconds of one commit and one replacement."""
        committed = super().once()
        began = time.perf_counter()
        temp = self._path.with_suffix(".temp")
        file = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(file, self._content)
        os.fsync(file)
        os.rename(temp, self._path)
        folder = os.open(self._folder, os.O_RDONLY)
        os.fsync(folder)
        took = time.perf_counter() - began
        os.close(folder)
        os.close(file)
        return committed + took
