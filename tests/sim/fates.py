"""Where a life may end, and where the neighbour may come in between.

Owns the drawing of crashes and of meddling at named points. The production code knows nothing of it: journal,
store and disk are wrapped, and each calls `point` where a process could be killed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from random import Random

from tracker.core.model import Frame
from tracker.journal.journal import Arriving, Journal


class SimCrash(BaseException):
    """The process was killed here; nothing of it may run on, so nothing but the world catches it."""


class Fates:
    """Decide at each point whether the process is killed there."""

    def __init__(self, rng: Random, crashes: float, meddling: float) -> None:
        self._rng = rng
        self._crashes = crashes
        self._meddling = meddling
        self.meddle: Callable[[], None] = lambda: None
        """Lets the neighbour do something now."""
        self.on = True
        self.crashed: Counter[str] = Counter()

    def point(self, name: str) -> None:
        """Mark an instant at which the process may be killed."""
        if self.on and self._crashes and self._rng.random() < self._crashes:
            self.crashed[name] += 1
            raise SimCrash(name)

    def between(self) -> None:
        """Mark an instant at which another program may write."""
        if self.on and self._meddling and self._rng.random() < self._meddling:
            self.meddle()


class SimJournal(Journal):
    """The real journal with points around each commit; `on_commit` learns each new cursor once durable."""

    def __init__(self, path: Path, fates: Fates, on_commit: Callable[[], None]) -> None:
        self._fates = fates
        self._on_commit = on_commit
        super().__init__(path)

    def append(self, session: int, received_at: datetime, frames: Arriving) -> int:
        self._fates.point("append.before")
        last = super().append(session, received_at, frames)
        self._fates.point("append.after")
        return last

    @contextmanager
    def append_and_step(
        self, session: int, received_at: datetime, frames: Arriving
    ) -> Iterator[tuple[Sequence[Frame], Callable[[int], None]]]:
        self._fates.point("append_and_step.before")
        with super().append_and_step(session, received_at, frames) as opened:
            yield opened
            self._fates.point("append_and_step.inside")
        self._on_commit()
        self._fates.point("append_and_step.after")

    @contextmanager
    def step(self) -> Iterator[Callable[[int], None]]:
        self._fates.point("step.before")
        with super().step() as advance:
            yield advance
            self._fates.point("step.inside")
        self._on_commit()
        self._fates.point("step.after")
