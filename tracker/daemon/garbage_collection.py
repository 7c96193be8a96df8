"""Set the collector of cycles up for work that makes many objects and hardly a cycle."""

from __future__ import annotations

import gc
from typing import Final

_COLLECT_AFTER: Final = 20_000


def collect_rarely() -> None:
    """Have the collector skip what is loaded, and run after 20,000 new objects instead of 700.

    Rows are not cyclic: looking for cycles took a tenth of a fill's time, and a seventh of a large report's.
    """
    # Loaded modules stay in memory; the collector would go through them again and again.
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
