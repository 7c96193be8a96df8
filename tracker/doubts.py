"""Have what is in doubt about positions settled by another answer of the broker.

A fill of the last seconds before the first request for positions may or may not be in its answer
(`core.holdings`). Any later complete answer settles that, so one is asked for. Owns when; it decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tracker.core.book import HOLDINGS, Book

FIRST_SECONDS: Final = 3.0
"""Longer than the time around a request in which a fill is in doubt."""
MOST_SECONDS: Final = 300.0


async def settle_doubts(
    book: Book, ask: Callable[[str], None], *, first: float = FIRST_SECONDS, most: float = MOST_SECONDS
) -> None:
    """Ask for the positions while a contract's start is in doubt, ever more rarely where it stays so."""
    pause = first
    while True:
        await asyncio.sleep(pause)
        doubtful = len(list(book.find(HOLDINGS, "doubt", "1")))
        if not doubtful:
            pause = first
            continue
        ask(f"what was held of {doubtful} contracts before their first fill is in doubt")
        pause = min(2 * pause, most)
