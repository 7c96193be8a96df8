"""Check whether one row of a Flex report has everything that its execution needs.

Owns what makes a row broken, and which of an option's terms must be known from elsewhere. A report with a
broken row is refused, since it could not prove any day. It reads no file and no journal.
"""

from __future__ import annotations

import re
from typing import Final

from tracker.core.limits import quoted
from tracker.core.model import Contract
from tracker.gateway.flex_bookings import transaction_of
from tracker.gateway.flex_columns import Row, is_booked, is_cancel
from tracker.gateway.flex_rows import EXPIRY, OPTIONS, TIME, contract_of, is_number, try_row

_SIDES: Final = {"BUY": 1, "SELL": -1}
_EXEC_ID: Final = re.compile(r"[.+:-]*\w[\w.+:-]*", re.ASCII)
"""It holds a letter or digit: a report that was edited may have `--` where nothing is."""


def broken(row: Row) -> str:
    """Return what is wrong with a dated row, beginning with an attribute; empty where nothing is."""
    if not row[TIME]:
        return f"dateTime is no date and time: {quoted(row.get('dateTime') or row.get('tradeTime', ''))}"
    if row.get("expiry") and not row[EXPIRY]:
        return f"expiry is no date: {quoted(row['expiry'])}"
    if not row.get("assetCategory"):
        return "assetCategory is empty"
    if reason := _nameless(row) or _orderless(row):
        return reason
    read = try_row(row)
    return read if isinstance(read, str) else _sideless(row) or _contractless(row, read.contract)


def left_out(row: Row) -> tuple[str, ...]:
    """Return which terms of an option neither its fields nor its symbol hold; of anything else, a missing
    symbol.
    """
    needed = ("underlyingSymbol", "strike", "expiry", "putCall")
    if row["assetCategory"] in OPTIONS and all(map(row.get, needed)):
        return ()
    contract = contract_of(row)
    if row["assetCategory"] not in OPTIONS:
        return () if contract.symbol else ("symbol",)
    terms = {
        "underlyingSymbol": contract.symbol != contract.local_symbol,
        "strike": contract.strike is not None,
        "expiry": contract.expiry is not None,
        "putCall": bool(contract.right),
    }
    return tuple(name for name, there in terms.items() if not there)


def _nameless(row: Row) -> str:
    if "transactionID" in row and not transaction_of(row):
        text = row["transactionID"]
        return f"transactionID is no number: {quoted(text)}" if text else "transactionID is empty"
    if is_cancel(row):
        named = row.get("origTradeID") or row.get("origTransactionID")
        return "" if named else "origTradeID is empty"
    if row.get("ibExecID"):
        known = _EXEC_ID.fullmatch(row["ibExecID"])
        return "" if known else f"ibExecID is no execution's: {quoted(row['ibExecID'])}"
    if row.get("tradeID") or row.get("transactionID"):
        return ""
    return "tradeID is empty" if is_booked(row) else "ibExecID is empty"


def _sideless(row: Row) -> str:
    if is_cancel(row):
        # Its sign and its side are written in more than one way, and neither is used.
        return ""
    sign = _SIDES.get(row.get("buySell", ""))
    if sign is None:
        return f"buySell is neither BUY nor SELL: {quoted(row.get('buySell', ''))}"
    if row["quantity"].startswith("-") != (sign < 0):
        return f"buySell is {row['buySell']} and the quantity is {quoted(row['quantity'])}"
    return ""


def _contractless(row: Row, contract: Contract) -> str:
    if row.get("multiplier") and not is_number(row["multiplier"]):
        return f"multiplier is no number: {quoted(row['multiplier'])}"
    if contract.right not in ("", "C", "P"):
        return f"putCall is neither C nor P: {quoted(row.get('putCall', ''))}"
    return ""


def _orderless(row: Row) -> str:
    text = row.get("ibOrderID", "")
    return f"ibOrderID is no number: {quoted(text)}" if text.strip("0123456789") else ""
