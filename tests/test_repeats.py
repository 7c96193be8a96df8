"""What the journal has already is no news."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from operator import eq

from msgspec.structs import replace

from tracker.core.model import CommissionReport
from tracker.gateway.repeats import Repeats

TOLD = ("59", "1", "a.b.01.01", "0.65", "USD", "1.7976931348623157E308", "", "")


def test_a_fee_that_an_earlier_start_was_told_is_no_news() -> None:
    applied = CommissionReport("a.b.01.01", Decimal("0.65"), "USD", None)
    for known, news in ((applied, False), (replace(applied, realized_pnl=Decimal(1)), True), (None, True)):
        repeats = Repeats(lambda account, exec_id: False, partial(eq, known))
        assert repeats.is_news(TOLD) is news
        assert not repeats.is_news(TOLD)
    # What cannot be read is kept, whatever the journal has.
    assert Repeats(lambda account, exec_id: False, lambda fee: True).is_news(("59", "1", "a.b.01.01", "x"))


def test_a_fee_that_returns_to_what_it_was_is_news() -> None:
    repeats = Repeats(lambda account, exec_id: False)
    other = (*TOLD[:3], "0.70", *TOLD[4:])
    assert [repeats.is_news(report) for report in (TOLD, TOLD, other, TOLD)] == [True, False, True, True]
