"""Write IBKR Flex reports as XML, made up."""

from __future__ import annotations

from collections.abc import Mapping
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


def statement(
    *trades: Mapping[str, str], first: date, last: date, made: date | None = None, account: str = ACCOUNT
) -> str:
    """Return a FlexStatement; it was made the day after its last one unless told otherwise."""
    made = made or last + timedelta(days=1)
    rows = "".join(
        f"<Trade {' '.join(f'{name}={quoteattr(value)}' for name, value in each.items())} />"
        for each in trades
    )
    return (
        f'<FlexStatement accountId="{account}" fromDate="{first:%Y%m%d}" toDate="{last:%Y%m%d}"'
        f' period="" whenGenerated="{made:%Y%m%d};120000"><Trades>{rows}</Trades></FlexStatement>'
    )


def write_report(path: Path, *statements: str) -> Path:
    """Write a report of these statements."""
    path.write_text(
        '<FlexQueryResponse queryName="trades" type="AF"><FlexStatements count="1">'
        f"{''.join(statements)}</FlexStatements></FlexQueryResponse>"
    )
    return path
