"""Bound how often one place of the program writes to the log.

Owns the count of lines for each place in the code and each minute. It writes nothing: it says which lines are
let through, and how many were not. So a line that repeats for hours leaves a small log in which everything
else can still be found.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

MOST: Final = 30
"""How many lines of one place are written within SECONDS of the first of them."""
SECONDS: Final = 60.0


@dataclass(slots=True)
class _Count:
    since: float
    lines: int = 0


class RepeatedLines:
    """Let through a bounded number of lines of each place in the code; several threads may use it."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._counts: dict[Hashable, _Count] = {}
        self._turn = threading.Lock()

    def admit(self, place: Hashable) -> tuple[bool, str]:
        """Return whether the next line of a place is written, and a line to write before it."""
        with self._turn:
            now = self._monotonic()
            count = self._counts.setdefault(place, _Count(now))
            said = ""
            if now - count.since >= SECONDS:
                if count.lines > MOST:
                    said = f"{count.lines - MOST} lines like the next one were left out"
                count.since, count.lines = now, 0
            count.lines += 1
            if count.lines == MOST + 1:
                said = (
                    f"many lines like the last one: for {SECONDS:g} s further ones are counted and not"
                    " written"
                )
            return count.lines <= MOST, said

    def left_out(self) -> int:
        """Return how many lines were left out and not reported yet."""
        with self._turn:
            return sum(max(count.lines - MOST, 0) for count in self._counts.values())
