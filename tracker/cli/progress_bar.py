"""Show on a terminal how far a long command is. Without a terminal show nothing, since programs read the
output.

Owns one line of standard error, which is cleared at the end.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Final

from tracker.progress import Stage
from tracker.terminal import printable

_WIDTH: Final = 20
_LINE: Final = 79
_CLEAR: Final = "\r\x1b[K"


class ProgressBar:
    """Draw on standard error, if that is a terminal."""

    def __init__(self) -> None:
        self._drawn = False

    def show(self, stage: Stage) -> None:
        """Draw how far a piece of work is."""
        part = stage.part
        bar = "" if part is None else f"[{'#' * int(part * _WIDTH):<{_WIDTH}}] "
        self.say(bar + stage.in_words())

    def say(self, text: str) -> None:
        """Draw a line in place of the one before."""
        if sys.stderr.isatty():
            sys.stderr.write(f"{_CLEAR}{printable(text)[:_LINE]}")
            sys.stderr.flush()
            self._drawn = True

    def end(self) -> None:
        """Clear the line."""
        if self._drawn:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
            self._drawn = False


class Watching:
    """Ask the daemon regularly how far its work is, and draw that until it is done."""

    def __init__(self, ask: Callable[[], str], bar: ProgressBar, every_seconds: float = 1.0) -> None:
        self._ask = ask
        self._bar = bar
        self._every = every_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Watching:
        if sys.stderr.isatty():
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(self._every)
        self._bar.end()

    def _run(self) -> None:
        while not self._over.wait(self._every):
            text = self._ask()
            if text and not self._over.is_set():
                self._bar.say(text)
