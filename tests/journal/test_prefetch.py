"""Row keys are made of messages as the ledger makes them, so that one query answers for a packet."""

from __future__ import annotations

from tests.gateway.test_normalise import EXECUTION, ORDER_HEAD, split
from tracker.core.model import OrderKey
from tracker.core.state import ORDERS, TOTALS, WINDOWS
from tracker.core.state_rows import OrderState
from tracker.journal.journal import Journal
from tracker.journal.prefetch import row_keys

STATUS = split("3|7|Filled|4|6|2.51|188|0|2.51|5||0")
FEE = split("59|1|0000e0d5.6596b0d8.01.01|2.6|USD|1.7976931348623157E308||")


def test_keys_of_a_fill() -> None:
    keys = row_keys([EXECUTION, ORDER_HEAD, STATUS, FEE, split("4|2|-1|2104|text|")])
    assert keys.executions == {"DU1234567 0000e0d5.6596b0d8.01.01"}
    assert keys.roots == {"DU1234567 0000e0d5.6596b0d8.01"}
    assert keys.exec_ids == {"0000e0d5.6596b0d8.01.01"}
    assert keys.filled == {("DU1234567", "700100200", "188")}


def test_short_messages_have_no_keys() -> None:
    assert row_keys([(), ("11",), ("59", "1"), ("3", "7"), ("5",)]) == (set(), set(), set(), set())


def test_packets_orders_are_fetched_once(journal: Journal) -> None:
    """Also: an order that has a row is found."""
    known = OrderState(OrderKey(188, 0, 0), status="Filled")
    with journal.step():
        journal.state.put(ORDERS, known)
    journal.state.forget()
    messages = [
        [*EXECUTION[:14], f"a.{number}.01", *EXECUTION[15:21], str(188 + number), "5"] for number in range(10)
    ]
    journal.prefetch(messages)
    asked: list[str] = []
    journal._db.set_trace_callback(asked.append)
    for number in range(1, 10):
        assert journal.state.get(ORDERS, f"{188 + number}/0/0") is None
        assert journal.state.get(TOTALS, f"DU1234567 700100200 {188 + number}/0/0") is None
        assert journal.state.get(WINDOWS, f"DU1234567 700100200 {188 + number}") is None
    assert asked == []
    assert journal.state.get(ORDERS, "188/0/0") == known
