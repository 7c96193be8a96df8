"""The account values that account updates and summaries report.

Owns the tags and how they are computed from cash and positions at their last prices. It changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from tracker.paper.book import Book

ZERO = Decimal(0)


class AccountValue(NamedTuple):
    """Hold one line of an account; the currency is empty where the value is not money."""

    tag: str
    value: str
    currency: str


def net_liquidation(book: Book, account: str) -> Decimal:
    """Return cash and positions at their last prices."""
    held = (position for position in book.positions.values() if position.account == account)
    return book.cash[account] + sum(
        (position.quantity * position.last_price * position.contract.factor for position in held), ZERO
    )


def account_values(book: Book, account: str) -> Iterator[AccountValue]:
    """Return an account's lines; margins are not modelled and are zero, so all cash is buying power."""
    cash = book.cash[account]
    held = [position for position in book.positions.values() if position.account == account]
    worth = {"STK": ZERO, "OPT": ZERO}
    gross = unrealized = realized = ZERO
    for position in held:
        value = position.quantity * position.last_price * position.contract.factor
        kind = position.contract.sec_type
        worth[kind] = worth.get(kind, ZERO) + value
        gross += abs(value)
        unrealized += value - position.quantity * position.average_cost
        realized += position.realized
    net = net_liquidation(book, account)
    yield AccountValue("AccountType", "INDIVIDUAL", "")
    yield AccountValue("Cushion", "1", "")
    yield AccountValue("DayTradesRemaining", "-1", "")
    money = (
        ("AccruedCash", ZERO),
        ("AvailableFunds", cash),
        ("BuyingPower", cash * 4),
        ("CashBalance", cash),
        ("EquityWithLoanValue", net),
        ("ExcessLiquidity", cash),
        ("FullInitMarginReq", ZERO),
        ("FullMaintMarginReq", ZERO),
        ("GrossPositionValue", gross),
        ("InitMarginReq", ZERO),
        ("MaintMarginReq", ZERO),
        ("NetLiquidation", net),
        ("OptionMarketValue", worth["OPT"]),
        ("RealizedPnL", realized),
        ("SettledCash", cash),
        ("StockMarketValue", worth["STK"]),
        ("TotalCashValue", cash),
        ("UnrealizedPnL", unrealized),
    )
    for tag, amount in money:
        yield AccountValue(tag, f"{amount:.2f}", "USD")
