"""Ask for the positions again while something about them is uncertain.

A fill of the last seconds before the first request for positions may or may not be in its answer
(`core.positions`), and an answer from the second of the last sale may or may not contain that sale, so its
alert stays open (`core.alert_updates`). Any later complete answer settles both. Owns when it is asked for; it
decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tracker.core.state import ALERTS, DIFFERENCES, HOLDINGS, LedgerState

FIRST_SECONDS: Final = 3.0
"""Longer than the time around a request in which it is uncertain whether a fill is in the answer."""
MOST_SECONDS: Final = 300.0


async def recheck_positions(
    state: LedgerState,
    ask: Callable[[str], None],
    *,
    first: float = FIRST_SECONDS,
    most: float = MOST_SECONDS,
) -> None:
    """Ask for the positions while something is unconfirmed, ever more rarely where it stays so."""
    pause = first
    while True:
        await asyncio.sleep(pause)
        starts = len(list(state.find(HOLDINGS, "doubt", "1")))
        ends = len(list(state.find(ALERTS, "doubted", "1")))
        differences = len(list(state.find(DIFFERENCES, "open", "1")))
        if not starts and not ends and not differences:
            pause = first
            continue
        ask(
            f"unconfirmed: what was held at first ({starts} contracts), whether it is over ({ends} alerts),"
            f" what no fill explains ({differences} positions)"
        )
        pause = min(2 * pause, most)
