"""What the journal has already is no news."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from operator import eq

from msgspec.structs import replace

from tracker.core.model import CommissionReport
from tracker.gateway.dedup import Deduplicator


def test_journalled_fee_is_a_duplicate() -> None:
    """A fee that an earlier start has journalled is a duplicate."""
    told = ("59", "1", "a.b.01.01", "0.65", "USD", "1.7976931348623157E308", "", "")
    applied = CommissionReport("a.b.01.01", Decimal("0.65"), "USD", None)
    for known, news in ((applied, False), (replace(applied, realized_pnl=Decimal(1)), True), (None, True)):
        repeats = Deduplicator(lambda account, exec_id: False, partial(eq, known))
        assert repeats.is_new(told) is news
        assert not repeats.is_new(told)
    # What cannot be read is kept, whatever the journal has.
    assert Deduplicator(lambda account, exec_id: False, lambda fee: True).is_new(
        ("59", "1", "a.b.01.01", "x")
    )
