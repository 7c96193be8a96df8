"""Watch files that the tracker has just replaced for a moment longer.

Owns the open files and when each is read again: another program that opened a file before the rename writes
into the replaced one, where nobody else would ever see it. It never writes: it returns what must be merged.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tracker.stores.filesystem import Disk
from tracker.stores.json_document import Document, parse
from tracker.stores.three_way_merge import Merge

KEPT_OPEN: Final = timedelta(seconds=2)
GIVEN_UP: Final = timedelta(seconds=10)
"""Seconds that a write may take once it has begun; one that is not complete by then counts as lost."""
_WATCHED_MAX: Final = 100
"""The most open files; beyond that the older half is read a last time early."""


@dataclass(eq=False)
class _Replaced:
    file: int
    since: datetime
    seen: tuple[int, ...]
    """The stat at which its content was last known."""
    base: Document
    """The content it had then."""
    written: Document


@dataclass(frozen=True, slots=True)
class LateWrite:
    """Hold one write to merge; pass it to `done` afterwards."""

    merge: Merge
    of: _Replaced
    seen: tuple[int, ...]
    over: bool


class LateWrites:
    """Watch replaced files; used under its owner's lock."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._watched: list[_Replaced] = []
        self.merged = 0
        self.lost = 0

    @property
    def crowded(self) -> bool:
        """Return whether so many files are open that `due` should be called before another is watched."""
        return len(self._watched) >= _WATCHED_MAX

    def watch(
        self, file: int, seen: tuple[int, ...], base: Document, written: Document, now: datetime
    ) -> None:
        """Watch an open file that held `base` and was replaced by `written`."""
        self._watched.append(_Replaced(file, now, seen, base, written))

    def due(self, now: datetime, *, last: bool = False) -> list[LateWrite]:
        """Return what was written since then, newest file first, so that of two late writes the later one
        wins.

        Files that were watched long enough are closed; with `last` all are. Raises OSError.
        """
        early = len(self._watched) - _WATCHED_MAX // 2 if self.crowded else 0
        found: list[LateWrite] = []
        for place, replaced in reversed(list(enumerate(self._watched))):
            age = now - replaced.since
            over = last or age >= KEPT_OPEN or place < early
            write = self._read(replaced, over=over, given_up=last or age >= GIVEN_UP)
            if write is not None:
                found.append(write)
        return found

    def _read(self, replaced: _Replaced, *, over: bool, given_up: bool) -> LateWrite | None:
        seen = self._disk.stat_open(replaced.file).same_content
        if seen == replaced.seen and not over:
            return None
        # The last time, compare the content: two writes within one tick of the clock leave the same stat.
        content = self._disk.read(replaced.file)
        if content == replaced.base.text.encode():
            replaced.seen = seen
            if over:
                self._let_go(replaced)
            return None
        try:
            theirs = parse(content.decode("utf-8"), replaced.base)
        except ValueError:
            # Still being written, or never finished.
            if given_up:
                self.lost += 1
                self._let_go(replaced)
            return None
        return LateWrite(Merge(replaced.base, replaced.written, theirs), replaced, seen, over)

    def done(self, write: LateWrite, current: Document) -> None:
        """Note that a write is contained in `current` now."""
        self.merged += 1
        write.of.seen, write.of.base, write.of.written = write.seen, write.merge.theirs, current
        if write.over:
            self._let_go(write.of)

    def _let_go(self, replaced: _Replaced) -> None:
        self._watched.remove(replaced)
        self._disk.close(replaced.file)

    def close(self) -> None:
        """Close the watched files without reading them."""
        while self._watched:
            self._disk.close(self._watched.pop().file)
