"""Wait for a condition in a test that has no event loop."""

from __future__ import annotations

import time
from collections.abc import Callable

_PAUSE_SECONDS = 0.02


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return once the condition holds; fails after so many seconds."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"not within {seconds:g} s"
        time.sleep(_PAUSE_SECONDS)
