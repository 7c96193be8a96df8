"""Move the journal's file away under the tracker in some lives, as a careless backup script does.

Owns when that happens, and that it is noticed at the next look: the process ends, somebody puts the file back
and the tracker starts again. Until then commits go into a file that has no name or another one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

from tests.sim.checks import Broken
from tracker.journal.journal import Journal, JournalFailed

_LOOK_EACH: Final = timedelta(minutes=1)
"""As the daemon does."""
_CHANCE: Final = 0.04
_BESIDE: Final = ("", "-wal", "-shm")


class SwappedJournal:
    """Swap the journal of one life; its draws are its own, so that they change nothing else of the life."""

    def __init__(self, seed: int, path: Path, tell: Callable[[str], None]) -> None:
        self._rng = Random(f"swapped journal of {seed}")
        self._path = path
        self._tell = tell
        self._aside: list[tuple[Path, Path]] = []
        self._looked_at: datetime | None = None
        self.lived = self._rng.random() < 0.2

    def step(self, journal: Journal, now: datetime) -> str:
        """Look each minute, and swap by chance; return why the tracker ends, or nothing."""
        if not self.lived:
            return ""
        if self._looked_at is None or now - self._looked_at >= _LOOK_EACH:
            self._looked_at = now
            try:
                journal.check_file()
            except JournalFailed as error:
                if not self._aside:
                    raise
                return str(error)
            if self._aside:
                raise Broken("the journal's file was swapped, and the tracker does not notice")
        if not self._aside and self._rng.random() < _CHANCE:
            self._swap()
        return ""

    def put_back(self) -> None:
        """Put the file back where it was, as who reads the log does."""
        for there, was in self._aside:
            was.unlink(missing_ok=True)
            there.rename(was)
        self._aside = []

    def _swap(self) -> None:
        how = self._rng.choice(("moved", "moved with what is beside it", "replaced by a copy"))
        self._tell(f"the journal's file is {how}")
        for beside in _BESIDE if how == "moved with what is beside it" else _BESIDE[:1]:
            was = self._path.with_name(self._path.name + beside)
            there = was.with_name(f"aside-{was.name}")
            was.rename(there)
            self._aside.append((there, was))
            if how == "replaced by a copy":
                shutil.copy(there, was)
