"""The sections and fields of a Flex query: which the tracker reads, and which it requires.

Owns the names that the query's page shows, so that the user of a query knows which box to tick. The XML
spells them differently, and a Trade Confirmation query differently from an Activity query: rows of both are
read under the names of the latter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import msgspec

Row = Mapping[str, str]
"""The attributes of one row, as text."""

TRADES: Final = "Trades"
CONFIRMS: Final = "TradeConfirms"
EXERCISES: Final = "OptionEAE"
ACTIONS: Final = "CorporateActions"
TRANSFERS: Final = "Transfers"

EXECUTION: Final = "EXECUTION"
"""The level of detail of the rows that count; the other levels repeat them."""
_ROW: Final = msgspec.json.Decoder(dict[str, str])
_LEVELS: Final = ("ORDER", "SYMBOL_SUMMARY", "ASSET_SUMMARY", "CLOSED_LOT", "WASH_SALE", "SUMMARY", "DETAIL")
_EXCHANGE_TRADE: Final = "ExchTrade"
_CANCEL: Final = "TradeCancel"
_WORDS: Final = (
    *("levelOfDetail", "assetCategory", "putCall", "buySell", "direction"),
    *("transactionType", "type", "notes", "code"),
)
"""The columns whose values are IBKR's own words, which count in any case."""
_BOOKED_CODES: Final = {"A": "assigned", "Ex": "exercised", "Ep": "expired"}
_CODES: Final = {code.casefold(): code for code in ("Ca", *_BOOKED_CODES)}
_KINDS: Final = {
    kind.casefold(): kind
    for kind in (
        *(_EXCHANGE_TRADE, _CANCEL, "BookTrade"),
        *("Exercise", "Assignment", "Expiration", "Buy", "Sell"),
    )
}


@dataclass(frozen=True, slots=True)
class FlexSection:
    """Describe one section of a query."""

    name: str
    """The section's name in the XML."""
    label: str
    """The section's name on the query's page."""
    row: str
    """The name of its rows in the XML."""
    tells: str
    """What only this section tells, as words that follow `which`."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Field, under its name in Trades -> its label in this section."""
    spelled: Mapping[str, str] = field(default_factory=dict)
    """Field of this section -> its name in Trades."""

    def label_of(self, name: str) -> str:
        """Return how the query's page calls a field."""
        return self.labels.get(name, name)

    def renamed(self, row: Row) -> Row:
        """Return a row under the names of Trades, its words spelled as IBKR spells them."""
        if self.spelled:
            row = {self.spelled.get(name, name): value for name, value in row.items()}
        other = _other_spelling(tuple(map(row.get, _WORDS)))
        return {**row, **other} if other else row


@lru_cache(4096)
def _other_spelling(values: tuple[str | None, ...]) -> Row:
    """Return those of a row's words that a program wrote in other case, as IBKR writes them; cached, since a
    report has few.
    """
    read = {name: _word(name, value) for name, value in zip(_WORDS, values, strict=True) if value}
    return {name: word for name, word in read.items() if word != values[_WORDS.index(name)]}


def _word(name: str, value: str) -> str:
    if name in ("notes", "code"):
        return ";".join(_CODES.get(code.casefold(), code) for code in value.split(";"))
    if name == "transactionType":
        return _KINDS.get(value.casefold(), value)
    return value.upper().replace("(CA.)", "(Ca.)")


_TRADE_LABELS: Final = {
    "accountId": "Account ID",
    "currency": "Currency",
    "assetCategory": "Asset Class",
    "symbol": "Symbol",
    "conid": "Conid",
    "underlyingSymbol": "Underlying Symbol",
    "multiplier": "Multiplier",
    "strike": "Strike",
    "expiry": "Expiry",
    "putCall": "Put/Call",
    "tradeID": "Trade ID",
    "transactionID": "Transaction ID",
    "origTradeID": "Orig Trade ID",
    "origTransactionID": "Orig Transaction ID",
    "dateTime": "Date/Time",
    "tradeDate": "Trade Date",
    "tradeTime": "Trade Time",
    "transactionType": "Transaction Type",
    "quantity": "Quantity",
    "tradePrice": "Trade Price",
    "ibCommission": "IB Commission",
    "ibCommissionCurrency": "IB Commission Currency",
    "fifoPnlRealized": "Realized P/L",
    "notes": "Notes/Codes",
    "buySell": "Buy/Sell",
    "ibOrderID": "IB Order ID",
    "ibExecID": "IB Execution ID",
    "orderReference": "Order Reference",
    "levelOfDetail": "Level of Detail",
}
_CONFIRM_LABELS: Final = {
    **_TRADE_LABELS,
    "accountId": "ClientAccountID",
    "currency": "CurrencyPrimary",
    "assetCategory": "AssetClass",
    "underlyingSymbol": "UnderlyingSymbol",
    "tradeID": "TradeID",
    "origTradeID": "OriginalTradeID",
    "tradePrice": "Price",
    "ibCommission": "Commission",
    "ibCommissionCurrency": "CommissionCurrency",
    "notes": "Code",
    "ibOrderID": "OrderID",
    "ibExecID": "ExecID",
    "orderReference": "OrderReference",
    "levelOfDetail": "LevelOfDetail",
}

_EVENT_LABELS: Final = {
    **_TRADE_LABELS,
    "date": "Date",
    "reportDate": "Report Date",
    "type": "Type",
    "actionDescription": "Action Description",
    "actionID": "Action ID",
    "direction": "Direction",
}

SECTIONS: Final = {
    section.name: section
    for section in (
        FlexSection(TRADES, "Trades", "Trade", "trades there were", _TRADE_LABELS),
        FlexSection(
            CONFIRMS,
            "Trade Confirmations",
            "TradeConfirm",
            "trades of today there were",
            _CONFIRM_LABELS,
            {
                "orderID": "ibOrderID",
                "execID": "ibExecID",
                "price": "tradePrice",
                "commission": "ibCommission",
                "commissionCurrency": "ibCommissionCurrency",
                "code": "notes",
            },
        ),
        FlexSection(
            EXERCISES,
            "Option Exercises, Assignments and Expirations",
            "OptionEAE",
            "options were exercised, assigned or expired",
            _EVENT_LABELS,
        ),
        FlexSection(
            ACTIONS,
            "Corporate Actions",
            "CorporateAction",
            "positions were split, merged or renamed",
            _EVENT_LABELS,
        ),
        FlexSection(
            TRANSFERS, "Transfers", "Transfer", "positions came or went without a trade", _EVENT_LABELS
        ),
    )
}
ADVISABLE: Final = (
    *("ibCommission", "ibCommissionCurrency", "fifoPnlRealized", "ibOrderID", "orderReference", "notes"),
    *("transactionID", "tradeID", "origTradeID", "transactionType", "symbol", "underlyingSymbol", "ibExecID"),
)
"""Fields that executions can do without, but that are useful."""
WITH_EXECUTIONS: Final = (TRADES, CONFIRMS)
OTHERS: Final = (EXERCISES, ACTIONS, TRANSFERS)


def row_text(row: Row) -> bytes:
    """Return a row as it is stored, without its empty values."""
    return msgspec.json.encode({name: value for name, value in row.items() if value})


def read_row(text: str | bytes) -> Row:
    """Read a stored row."""
    return _ROW.decode(text)


def is_cancel(row: Row) -> bool:
    """Return whether a row cancels another one."""
    return (
        row.get("transactionType") == _CANCEL
        or "(Ca.)" in row.get("buySell", "")
        or ("Ca" in (notes := row.get("notes", "")) and "Ca" in notes.split(";"))
    )


def is_booked(row: Row) -> bool:
    """Return whether a row without an execId is an expiry, exercise or assignment, or another booking."""
    kind = row.get("transactionType", "")
    return kind not in ("", _EXCHANGE_TRADE) or (not kind and bool(_codes_of(row)))


def booked_as(row: Row) -> str:
    """Return why a row without an order was booked, empty where it is a trade or another booking."""
    if row.get("ibExecID") or not is_booked(row):
        return ""
    return next((_BOOKED_CODES[code] for code in _codes_of(row)), "")


def _codes_of(row: Row) -> list[str]:
    return [code for code in row.get("notes", "").split(";") if code in _BOOKED_CODES]


def level_of(section: FlexSection, row: Row) -> str:
    """Return the level of detail of a row; empty where it has no known one."""
    # A Trade Confirmation query need not write it; its orders are elements of another name.
    level = row.get("levelOfDetail", EXECUTION if section.name == CONFIRMS else "")
    return level if level == EXECUTION or level in _LEVELS or not row.get("ibExecID") else ""


@dataclass(slots=True)
class Columns:
    """Gather which fields the executions of one section have, to find those that they lack."""

    there: set[str] = field(default_factory=set)
    unnamed: bool = False
    """Whether one of them that cancels nothing has no execId."""
    unsaid: bool = False
    """Whether one of them has no execId, and neither a type nor codes that would say why."""
    cancels: bool = False

    def add(self, row: Row) -> None:
        self.there.update(row)
        if is_cancel(row):
            self.cancels = True
        elif not row.get("ibExecID"):
            self.unnamed = self.unnamed or not is_booked(row)
            self.unsaid = self.unsaid or not row.get("transactionType")

    def missing(self) -> Iterator[str]:
        """Yield the required fields that no row has."""
        there = self.there
        if not there:
            return
        for name in ("assetCategory", "conid", "quantity", "tradePrice", "buySell"):
            if name not in there:
                yield name
        if self.unnamed and there.isdisjoint(("ibExecID", "tradeID", "transactionID")):
            yield "ibExecID"
        elif self.unsaid and there.isdisjoint(("transactionType", "notes")):
            yield "transactionType"
        if "dateTime" not in there and not {"tradeDate", "tradeTime"} <= there:
            yield "dateTime"
        if self.cancels:
            yield from _missing_of_cancels(there)


def _missing_of_cancels(there: Set[str]) -> Iterator[str]:
    """Yield the missing fields that say which trade a row cancels, and whether it was booked again
    afterwards.
    """
    if "transactionID" not in there:
        yield "transactionID"
    if not ({"origTradeID", "tradeID"} <= there or {"origTransactionID", "transactionID"} <= there):
        yield "origTradeID" if "tradeID" in there else "tradeID"
