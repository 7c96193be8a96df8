"""Each order that the broker lists, beside what the journal has of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.support.facts import ACCOUNT, NVDA, START, exec_id, execution
from tracker.core.audit.inputs import BrokerView, ExecutionView, LedgerView
from tracker.core.model import Execution
from tracker.reconcile.text import _trades
from tracker.reconcile.trades import trades

FIRST, SECOND = execution(exec_id(1), 4, price="2.5"), execution(exec_id(2), 6, price="2.6", at=2)


def compared(broker: list[Execution], journal: list[Execution]) -> list[dict[str, Any]]:
    ledger = LedgerView(0, (ACCOUNT,), executions=tuple(ExecutionView(each) for each in journal))
    answered = {ACCOUNT: START - timedelta(hours=10)}
    asked_at = START + timedelta(minutes=1)
    return trades(ledger, BrokerView(asked_at, executions=tuple(broker), answered=answered))


def test_trade_that_agrees() -> None:
    """The fills of one order are one trade; its average price is that of its quantity."""
    (trade,) = compared([FIRST, SECOND], [SECOND, FIRST])
    assert trade["broker"] == trade["journal"] == {"fills": 2, "quantity": 10, "avg_price": 2.56}
    assert (trade["account"], trade["con_id"], trade["perm_id"]) == (ACCOUNT, NVDA.con_id, 188)
    assert (trade["agrees"], trade["differs"]) == (True, [])


@pytest.mark.parametrize(
    ("journal", "differs"),
    [
        ([FIRST], ["fills: broker 2, journal 1", "quantity: broker 10, journal 4"]),
        ([], ["the journal has none of it"]),
        (
            [FIRST, execution(exec_id(3), 6, price="2.6", at=2)],
            [f"other executions: {exec_id(2)}, {exec_id(3)}"],
        ),
    ],
)
def test_trade_that_differs(journal: list[Execution], differs: list[str]) -> None:
    """What differs is named: fills, quantity, price, else which executions."""
    (trade,) = compared([FIRST, SECOND], journal)
    assert trade["agrees"] is False
    assert [each for each in trade["differs"] if not each.startswith("avg_price")] == differs


@pytest.mark.parametrize("at", [-86400, 61], ids=["yesterday", "after the answer"])
def test_fill_outside_the_answer(at: int) -> None:
    """An order is filled over two days, or on while we ask: only what the answer covers is compared."""
    (trade,) = compared([FIRST], [FIRST, execution(exec_id(2), 6, at=at)])
    assert (trade["agrees"], trade["journal"]["quantity"]) == (True, 4)


def test_newest_version_counts() -> None:
    """A correction takes the place of what it corrects, on both sides."""
    (trade,) = compared([FIRST, execution(exec_id(1, 2), 3, price="2.5")], [execution(exec_id(1, 2), 3)])
    assert trade["broker"]["quantity"] == 3
    assert trade["agrees"] is (trade["broker"]["avg_price"] == trade["journal"]["avg_price"])


def test_cancelled_fill_agrees_under_any_version() -> None:
    """The broker cancels by a version of its own, a Flex report by one of ours: neither leaves anything."""
    (trade,) = compared([execution(exec_id(1, 2), 0)], [execution(exec_id(1, 1061009), 0)])
    assert (trade["agrees"], trade["differs"]) == (True, [])
    said = list(_trades({"trades": [trade], "trades_differ": 0, "trades_left_out": 0}))
    assert said[-1] == "  SELL 0 NVDA 2025-11-21 122.5 C in 1 fill, order 188: agrees"


def test_other_accounts_are_left_out() -> None:
    assert compared([execution(exec_id(1), 4, account="DU9000001")], []) == []


def test_differing_trades_are_said_first() -> None:
    """Those that differ are all listed, those that agree up to ten."""
    broker = [execution(exec_id(number), 1, perm_id=number, at=number) for number in range(1, 15)]
    rows = compared(broker, broker[:13])
    answer = {"trades": rows, "trades_differ": 1, "trades_left_out": 0}
    lines = list(_trades(answer))
    assert lines[1] == "Trades: 14, of which 13 agree"
    assert lines[2].endswith("order 14: DIFFERS: the journal")
    assert lines[3] == "    has none of it"
    assert lines[-1] == "  and 3 more that agree; --json lists them"
    assert sum("agrees" in line for line in lines[2:]) == 10
