"""What one round of requests collects for an audit."""

from __future__ import annotations

from datetime import UTC

from tests.support.facts import START
from tracker.gateway.broker_snapshot import SnapshotReader
from tracker.gateway.ib_insync_compat import IB
from tracker.gateway.link import LinkOptions
from tracker.gateway.requests import POSITIONS

CONTRACT = ("700100200", "NVDA", "OPT", "20251121", "122.5", "C", "100", "", "USD", "NVDA", "NVDA")


def test_position_that_cannot_be_read_is_not_compared() -> None:
    reader = SnapshotReader(START, LinkOptions("127.0.0.1", 1, 0, login_zone=UTC))
    reader.begin_answer(POSITIONS)
    for quantity in ("-10", "0.6666666666666"):
        reader.on_message(("61", "3", "DU1234567", *CONTRACT, quantity, "251.03"))
    reader.on_message(("61", "3"))
    reader.end_answer(ended=True)
    ib = IB()  # type: ignore[no-untyped-call]  # its library has no types
    view = reader.result(ib, severed=False).view
    assert view.disturbed == {("DU1234567", 700100200)}
