"""Write log lines from a thread of its own, so that a stuck reader or a full disk stops nobody else.

Owns the bounded queue before each target. It never blocks the code that logs a line: lines that do not fit
into the queue or cannot be written are dropped and counted, and the log reports that as soon as lines can be
written.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, Protocol

from tracker.clock import now

MOST_LINES: Final = 10_000
"""How many lines may wait for one target; further ones are dropped."""
_MOST_AT_ONCE: Final = 1_000
_GATHER_SECONDS: Final = 0.05
"""Seconds that a line waits for others, since one wake-up and one write for all of them cost least."""
_PAUSE_SECONDS: Final = 1.0
"""Seconds until the next attempt after a failed write; lines wait meanwhile."""


class LogLine:
    """Hold one line until it is written; the writing thread makes its text then.

    `whole` says that the text is written unchanged, without a format.
    """

    __slots__ = ("_text", "_words", "at", "level", "whole")

    def __init__(self, at: datetime, level: str, words: Callable[[], str], *, whole: bool = False) -> None:
        self.at = at
        self.level = level
        self.whole = whole
        self._words = words
        self._text = ""

    def text(self) -> str:
        """Return the text; it is made once, though several targets may ask."""
        if not self._text:
            try:
                self._text = self._words()
            except (
                Exception
            ) as error:  # A line whose text cannot be made must not keep later lines from being written.
                self._text = f"a log line could not be put in words: {error!r}"
        return self._text


class Target(Protocol):
    """Take lines; each method may block, and raise OSError."""

    @property
    def name(self) -> str: ...

    def write(self, lines: Sequence[LogLine]) -> None: ...

    def close(self) -> None: ...


class LogWriter:
    """Write lines to one target, in their order."""

    def __init__(self, target: Target) -> None:
        self.name = target.name
        self.lost = 0
        """Lines that were dropped or could not be written, since the start."""
        self.trouble = ""
        """Why lines are lost; empty while the target takes them."""
        self.others: Sequence[LogWriter] = ()
        """Other writers that report that this target loses lines, since it cannot report that itself."""
        self._target = target
        self._reported = 0
        self._counting = threading.Lock()
        self._waiting: deque[LogLine] = deque()
        self._wanted = threading.Event()
        self._hurry = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"log to {target.name}", daemon=True)
        self._thread.start()

    def put(self, line: LogLine, *, soon: bool = False) -> None:
        """Put a line into the queue, to be written at once if `soon`; never blocks."""
        if len(self._waiting) >= MOST_LINES:
            self._lose(1, f"{self.name} takes no lines, or too few")
            return
        self._waiting.append(line)
        if soon:
            self._hurry.set()
        if not self._wanted.is_set():
            self._wanted.set()

    def close(self, seconds: float) -> None:
        """End when all waiting lines are written, or after so many seconds, without the rest."""
        self._closing = True
        self._hurry.set()
        self._wanted.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while self._waiting or not self._closing:
            self._wanted.wait()
            self._hurry.wait(_GATHER_SECONDS)
            self._hurry.clear()
            self._wanted.clear()
            count = min(len(self._waiting), _MOST_AT_ONCE)
            self._write([self._waiting.popleft() for _ in range(count)])
            if self._waiting or self._closing:
                self._hurry.set()
                self._wanted.set()
        with suppress(OSError):
            self._target.close()

    def _write(self, lines: list[LogLine]) -> None:
        if not lines:
            return
        lost, reports = self.lost, []
        if lost > self._reported:
            report = f"{lost - self._reported} log lines before this one were lost: {self.trouble}"
            reports.append(LogLine(now(), "WARNING", lambda: report))
        try:
            self._target.write([*reports, *lines])
        except (OSError, ValueError) as error:
            # A stream that was closed raises ValueError.
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            self._lose(len(lines), f"{self.name} cannot be written: {reason}")
            if not self._closing:
                self._hurry.wait(_PAUSE_SECONDS)
        else:
            self._reported = lost
            with self._counting:
                if self.lost == lost:
                    self.trouble = ""

    def _lose(self, count: int, trouble: str) -> None:
        with self._counting:
            self.lost += count
            known, self.trouble = self.trouble, trouble
        if not known:
            for writer in self.others:
                writer.put(LogLine(now(), "WARNING", lambda: f"log lines are lost: {trouble}"), soon=True)
