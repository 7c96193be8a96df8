"""How far a long piece of work is: reported every few seconds, and kept for anyone who asks.

Owns the interval and the words. It does no work and knows no log and no terminal.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tracker.terminal import counted

PAUSE_SECONDS: Final = 3.0
_MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Stage:
    """Hold how far one piece of work is; `total` is None where it is unknown."""

    what: str
    done: int
    total: int | None
    unit: str
    """The noun of what is counted, in the singular; `byte` for a file."""

    @property
    def part(self) -> float | None:
        """Return the fraction that is done, 0 to 1; None where the total is unknown."""
        if self.total is None:
            return None
        return min(self.done / self.total, 1.0) if self.total else 1.0

    def in_words(self) -> str:
        """Say it in a few words."""
        if self.unit == "byte":
            done, total = (f"{(count or 0) / _MEGABYTE:.1f}" for count in (self.done, self.total))
            return f"{self.what}: {done} of {total} MB"
        if self.total is None:
            return f"{self.what}: {counted(self.done, self.unit)} so far"
        return f"{self.what}: {self.done} of {counted(self.total, self.unit)}"


class Progress:
    """Report through `say` how far work is: first after a few seconds, then at most every few seconds."""

    def __init__(
        self,
        say: Callable[[Stage], None] = lambda stage: None,
        *,
        pause_seconds: float = PAUSE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._pause = pause_seconds
        self._monotonic = monotonic
        self._said_at: float | None = None
        self.stage: Stage | None = None
        """The work in progress, None where there is none."""

    def at(self, what: str, done: int, total: int | None = None, unit: str = "execution") -> None:
        """Note how far it is."""
        now = self._monotonic()
        if self.stage is None or self._said_at is None:
            self._said_at = now
        self.stage = Stage(what, done, total, unit)
        if now - self._said_at >= self._pause:
            self._said_at = now
            self._say(self.stage)

    def over(self) -> None:
        """Note that the work has ended."""
        self.stage = None
