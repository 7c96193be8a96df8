"""Every column of the sections about positions that change without a trade, and of a row of them.

The tables are written from rule 6.2 and from IBKR's reporting reference. What is missing or broken proves no
day; the trades of the report are taken in all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from tests.support.flex_report import ACCOUNT, elements, statement, write_report
from tracker.gateway.flex import read_report
from tracker.gateway.flex_events import PositionEvents, read_events
from tracker.reconcile.flex_query import check, in_words

DAY = date(2025, 11, 18)
COMMON = {
    "accountId": ACCOUNT,
    "currency": "USD",
    "assetCategory": "STK",
    "symbol": "NVDA",
    "description": "NVIDIA CORP",
    "conid": "4815747",
    "multiplier": "1",
    "transactionID": "106001",
}
OPTION = COMMON | {
    "assetCategory": "OPT",
    "symbol": "NVDA  251121C00122500",
    "conid": "700100200",
    "underlyingSymbol": "NVDA",
    "multiplier": "100",
    "strike": "122.5",
    "expiry": "20251121",
    "putCall": "C",
}
ROWS = {
    "OptionEAE": OPTION
    | {"date": "20251118", "transactionType": "Exercise", "quantity": "-4", "tradeID": "1"},
    "CorporateActions": COMMON
    | {
        "reportDate": "20251118",
        "type": "FS",
        "actionDescription": "NVDA(US67066G1040) SPLIT 4 FOR 1",
        "actionID": "77",
        "quantity": "30",
    },
    "Transfers": COMMON
    | {"date": "20251118", "type": "ACATS", "direction": "IN", "account": "12345678", "quantity": "100"},
}
TAGS = {"OptionEAE": "OptionEAE", "CorporateActions": "CorporateAction", "Transfers": "Transfer"}
LABELS = {
    "OptionEAE": "Option Exercises, Assignments and Expirations",
    "CorporateActions": "Corporate Actions",
    "Transfers": "Transfers",
}
NEEDED = {
    "OptionEAE": {
        "assetCategory": "Asset Class",
        "conid": "Conid",
        "quantity": "Quantity",
        "transactionType": "Transaction Type",
        "date": "Date",
    },
    "CorporateActions": {
        "assetCategory": "Asset Class",
        "conid": "Conid",
        "quantity": "Quantity",
        "type": "Type",
        "actionDescription": "Action Description",
        "actionID": "Action ID",
        "reportDate": "Report Date",
    },
    "Transfers": {
        "assetCategory": "Asset Class",
        "conid": "Conid",
        "quantity": "Quantity",
        "direction": "Direction",
        "date": "Date",
    },
}
BROKEN = {
    "conid": "Conid is not an instrument: '?'",
    "quantity": "Quantity is not a number: '?'",
    "multiplier": "Multiplier is no number: '?'",
    "strike": "Strike is not a number: '?'",
    "expiry": "Expiry is no date: '?'",
    "putCall": "Put/Call is neither C nor P: '?'",
    "date": "Date is no date: '?'",
    "reportDate": "Report Date is no date: '?'",
    "transactionType": "Transaction Type is none of Exercise, Assignment, Expiration, Buy, Sell: '?'",
    "direction": "Direction is neither IN nor OUT: '?'",
}
EMPTY = {
    "assetCategory": "Asset Class is empty",
    "conid": "Conid is not an instrument: ''",
    "quantity": "Quantity is empty",
    "date": "Date is no date: ''",
    "reportDate": "Report Date is no date: ''",
    "transactionType": "Transaction Type is empty",
    "type": "Type is empty",
    "direction": "Direction is neither IN nor OUT: ''",
}
EVERY = [(section, column) for section, row in ROWS.items() for column in row]
"""Each column of each section."""


def write(folder: Path, section: str, *rows: Mapping[str, str]) -> Path:
    text = f"<{section}>{elements(TAGS[section], rows)}</{section}>"
    return write_report(folder / "flex.xml", statement(first=DAY, last=DAY, others=text))


def read(folder: Path, section: str, *rows: Mapping[str, str]) -> PositionEvents:
    return read_events(read_report(write(folder, section, *rows)).others)


def without(row: Mapping[str, str], column: str) -> dict[str, str]:
    return {name: value for name, value in row.items() if name != column}


@pytest.mark.parametrize(("section", "column"), EVERY)
def test_missing_column(tmp_path: Path, section: str, column: str) -> None:
    """A needed one is named by the query's label, and nothing of the sections counts; others may miss."""
    found = read(tmp_path, section, without(ROWS[section], column))
    if column in NEEDED[section]:
        label = NEEDED[section][column]
        wanted = f"{LABELS[section]} lacks {label}: tick it in the query's section, run it again"
        assert (found.problems, found.events) == ((wanted,), ())
    else:
        assert (len(found.events), found.problems) == (1, ())


@pytest.mark.parametrize(("section", "column"), EVERY)
def test_broken_value(tmp_path: Path, section: str, column: str) -> None:
    """The row is named with what cannot be read of it; what only describes may say anything."""
    found = read(tmp_path, section, ROWS[section], ROWS[section] | {column: "?"})
    if column not in BROKEN:
        assert found.problems == ()
        return
    which = "?" if column == "transactionID" else "106001"
    assert found.problems == (f"{LABELS[section]}, row '{which}': {BROKEN[column]}",)
    assert len(found.events) == 1


@pytest.mark.parametrize(("section", "column"), EVERY)
def test_empty_value(tmp_path: Path, section: str, column: str) -> None:
    found = read(tmp_path, section, ROWS[section], ROWS[section] | {column: ""})
    if column in EMPTY and (section, column) != ("Transfers", "type"):
        assert len(found.problems) == 1
        assert found.problems[0].endswith(EMPTY[column])
    else:
        assert found.problems == ()


def test_tables_name_every_needed_column() -> None:
    for section, needed in NEEDED.items():
        assert set(needed) <= set(ROWS[section])
    assert {*BROKEN, *EMPTY} <= {column for _, column in EVERY}


def test_missing_columns_are_named_at_once(tmp_path: Path) -> None:
    """A time replaces a date, so neither is asked for where the other is there."""
    row = {"accountId": ACCOUNT, "conid": "4815747", "quantity": "30", "dateTime": "20251117;202500"}
    (problem,) = read(tmp_path, "CorporateActions", row).problems
    assert problem == (
        "Corporate Actions lacks Asset Class, Type, Action Description, Action ID: tick them in the query's"
        " section, run it again"
    )


def test_check_says_that_no_day_is_proven(tmp_path: Path) -> None:
    answer = check(write(tmp_path, "Transfers", without(ROWS["Transfers"], "conid")))
    assert answer["unread_events"] == [
        "Transfers lacks Conid: tick it in the query's section, run it again",
    ]
    words = " ".join(in_words(answer).split())
    assert "It proves no day, since rows of the other sections cannot be read: Transfers lacks" in words
