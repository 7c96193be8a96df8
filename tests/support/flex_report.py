"""Write IBKR Flex reports as XML, made up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from xml.sax.saxutils import quoteattr

ACCOUNT = "DU1234567"


def trade(**changes: str) -> dict[str, str]:
    """Return the attributes of one execution as an Activity Flex Query writes them."""
    return {
        "accountId": ACCOUNT,
        "currency": "USD",
        "assetCategory": "OPT",
        "symbol": "NVDA  251121C00122500",
        "conid": "700100200",
        "underlyingSymbol": "NVDA",
        "multiplier": "100",
        "strike": "122.5",
        "expiry": "20251121",
        "putCall": "C",
        "tradeID": "7001",
        "transactionID": "106001",
        "origTradeID": "",
        "dateTime": "20251118;104310",
        "transactionType": "ExchTrade",
        "quantity": "4",
        "tradePrice": "2.51",
        "ibCommission": "-2.6",
        "ibCommissionCurrency": "USD",
        "fifoPnlRealized": "0",
        "openCloseIndicator": "O",
        "notes": "P",
        "buySell": "BUY",
        "ibOrderID": "188",
        "ibExecID": "0000e0d5.6596b0d8.01.01",
        "orderReference": "",
        "levelOfDetail": "EXECUTION",
    } | changes


def cancel(of: Mapping[str, str], transaction: int, **changes: str) -> dict[str, str]:
    """Return the row that cancels a trade."""
    quantity = of["quantity"]
    return {
        **of,
        "transactionID": str(transaction),
        "tradeID": "",
        "origTradeID": of["tradeID"],
        "transactionType": "TradeCancel",
        "quantity": quantity[1:] if quantity.startswith("-") else f"-{quantity}",
        "ibCommission": "0",
        "notes": "Ca",
        "buySell": f"{of['buySell']} (Ca.)",
        "ibExecID": "",
    } | changes


def confirm(**changes: str) -> dict[str, str]:
    """Return the attributes of one execution as a Trade Confirmation Flex Query writes them."""
    renamed = {
        "ibOrderID": "orderID",
        "ibExecID": "execID",
        "tradePrice": "price",
        "ibCommission": "commission",
        "ibCommissionCurrency": "commissionCurrency",
        "notes": "code",
    }
    left_out = ("transactionID", "fifoPnlRealized", "openCloseIndicator", "levelOfDetail")
    row = {renamed.get(name, name): value for name, value in trade().items() if name not in left_out}
    return row | changes


def elements(name: str, rows: Iterable[Mapping[str, str]]) -> str:
    """Return rows as XML elements."""
    return "".join(
        f"<{name} {' '.join(f'{key}={quoteattr(value)}' for key, value in row.items())} />" for row in rows
    )


def statement(
    *trades: Mapping[str, str],
    first: date,
    last: date,
    made: date | None = None,
    account: str = ACCOUNT,
    others: str = "",
) -> str:
    """Return a FlexStatement with its trades, and `others`, the XML of other sections.

    It was made the day after its last one unless told otherwise.
    """
    made = made or last + timedelta(days=1)
    rows = f"<Trades>{elements('Trade', trades)}</Trades>"
    return bare_statement(
        rows + others, first=first, last=last, made=f"{made:%Y%m%d};120000", account=account
    )


def transfers(rows: Iterable[Mapping[str, str]]) -> str:
    """Return the XML of a statement's other sections, of which only Transfers has rows."""
    return f"<OptionEAE/><CorporateActions/><Transfers>{elements('Transfer', rows)}</Transfers>"


def confirmations(*rows: Mapping[str, str], day: date, made: str, account: str = ACCOUNT) -> str:
    """Return a FlexStatement of a day's trade confirmations, made at `yyyyMMdd;HHmmss` New York."""
    text = f"<TradeConfirms>{elements('TradeConfirm', rows)}</TradeConfirms>"
    return bare_statement(text, first=day, last=day, made=made, account=account)


def bare_statement(text: str, *, first: date, last: date, made: str, account: str = ACCOUNT) -> str:
    """Return a FlexStatement of these sections."""
    return (
        f'<FlexStatement accountId="{account}" fromDate="{first:%Y%m%d}" toDate="{last:%Y%m%d}"'
        f' period="" whenGenerated="{made}">{text}</FlexStatement>'
    )


def write_report(path: Path, *statements: str) -> Path:
    """Write a report of these statements."""
    path.write_text(
        '<FlexQueryResponse queryName="trades" type="AF"><FlexStatements count="1">'
        f"{''.join(statements)}</FlexStatements></FlexQueryResponse>"
    )
    return path
