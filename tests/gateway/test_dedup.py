"""What the journal has already is no news."""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from tracker.core.model import CommissionReport
from tracker.gateway.dedup import Deduplicator


def test_journalled_fee_is_a_duplicate() -> None:
    """A fee that an earlier start has journalled is a duplicate."""
    told = ("59", "1", "a.b.01.01", "0.65", "USD", "1.7976931348623157E308", "", "")
    applied = CommissionReport("a.b.01.01", Decimal("0.65"), "USD", None)
    for known, news in ((applied, False), (replace(applied, realized_pnl=Decimal(1)), True), (None, True)):
        repeats = Deduplicator(lambda key: False, {"a.b.01.01": known}.get)
        assert repeats.is_new(told) is news
        assert not repeats.is_new(told)
    # What cannot be read is kept, whatever the journal has.
    assert Deduplicator(lambda key: False, {"a.b.01.01": applied}.get).is_new(("59", "1", "a.b.01.01", "x"))


def test_state_that_comes_back_is_new() -> None:
    """Of one order only its last state counts, be it one object with an earlier one or not."""
    begun, filled, other = (
        ("3", order, status, "0", "1", "0", perm_id, "0", "0", "5", "", "0")
        for order, status, perm_id in (("7", "Submitted", "1"), ("7", "Filled", "1"), ("8", "Submitted", "2"))
    )
    repeats = Deduplicator(lambda key: False)
    told = (begun, begun, other, begun, filled, begun, (*begun,))
    assert [repeats.is_new(each) for each in told] == [True, False, True, False, True, True, False]
    repeats.forget_orders()
    assert repeats.is_new(begun)
