"""Ask for the positions again while something about them is uncertain.

A fill of the last seconds before the first request for positions may or may not be in its answer
(`core.positions`), and an answer from the second of the last sale may or may not contain that sale, so its
alert stays open (`core.alert_updates`). Any later complete answer settles both. Owns when the positions are
requested; it decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tracker.core.state import ALERTS, DIFFERENCES, HOLDINGS, LedgerState
from tracker.core.state_rows import alert_text

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
    """Ask for the positions while something is unconfirmed, less and less often while nothing new is
    unconfirmed.

    An item that stays unconfirmed, such as the opening balance of an account whose answers list nothing, does
    not delay a new one.
    """
    loop = asyncio.get_running_loop()
    known: frozenset[str] = frozenset()
    pause, due = first, 0.0
    while True:
        await asyncio.sleep(first)
        starts = [holding.key.text() for holding in state.find(HOLDINGS, "doubt", "1")]
        ends = [alert_text(row.alert) for row in state.find(ALERTS, "doubted", "1")]
        differences = [f"{row.account} {row.con_id}" for row in state.find(DIFFERENCES, "open", "1")]
        unconfirmed = frozenset((*starts, *ends, *differences))
        before, known = known, unconfirmed
        new = not unconfirmed <= before
        if not unconfirmed or (not new and loop.time() < due):
            continue
        ask(
            f"unconfirmed: what was held at first ({len(starts)} contracts), whether it is over"
            f" ({len(ends)} alerts), what no fill explains ({len(differences)} positions)"
        )
        pause = min(2 * (first if new else pause), most)
        due = loop.time() + pause
