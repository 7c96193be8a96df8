"""A merger with a fill that only its own report has: for a long position and a short one.

3 of a contract, and a missed fill before the merger of 3 for 1 at +180 s; some of the new one were traded at
+240 s. The answers of the broker show the outcome, or there was none yet.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.facts import ACCOUNT, START, exec_id, execution, held, position, quantity
from tests.support.held_stock import KEY, STOCK, Held
from tracker.core.model import Source
from tracker.gateway.flex_events import PositionEvent
from tracker.reconcile.flex_causes import EventPlan, directed

NEW = replace(STOCK, con_id=701, symbol="NVDB", local_symbol="NVDB")
AT = START + timedelta(minutes=3)


def merger(signed: int) -> PositionEvent:
    """Return the merger of so many as a report's rows say it: the one that goes has the negative quantity."""
    goes, comes = (STOCK, NEW) if signed > 0 else (NEW, STOCK)
    change = Decimal(-signed if signed > 0 else 3 * signed)
    ratio = Decimal(3) if signed > 0 else Decimal(1) / 3
    about: dict[str, Any] = {
        "day": AT.date(),
        "at": AT,
        "becomes": comes,
        "ratio": ratio,
        "text": "MERGED 3 FOR 1",
    }
    return PositionEvent(ACCOUNT, goes, "adjusted", change, **about)


@pytest.mark.parametrize("answers", [0, 1, 2])
@pytest.mark.parametrize("traded", [0, -1, 1])
@pytest.mark.parametrize("missed", [0, -1, 2])
@pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
def test_merger_counts_at_its_time(side: int, missed: int, traded: int, answers: int) -> None:
    """What is left of all of it is the alert's, and nothing of the old contract is."""
    story = Held(3 * side)
    if traded:
        story.tell(execution(exec_id(8), traded * side, at=240, contract=NEW, perm_id=8))
    merged = 3 + missed
    left = (3 * merged + traded) * side
    for _ in range(answers):
        story.answer_with(position(left, contract=NEW), after=400)
    plan = EventPlan(story.state, [directed(story.state, merger(merged * side))])
    if missed:
        late = execution(exec_id(9), missed * side, at=60, contract=STOCK, perm_id=9)
        assert list(plan.until(late.time)) == []
        plan.booked(KEY, late.time, late.signed)
        story.tell(late, source=Source.FLEX)
    for entry in plan.rest():
        story.note(Source.FLEX, *entry.fields)
    assert (held(story), held(story, 701), quantity(story)) == (0, left, left)
