"""IBKR Flex reports: an XML file into its statements, days and rows.

Owns which rows of a report count and which days it covers. What a row says is read in `flex_rows.py`. It
never asks IBKR for a report and decides nothing.

Rules
- Only rows with level of detail EXECUTION count; the other levels repeat them.
- A report covers the days from its first to its last that were over when it was made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import ParseError

from tracker.gateway.flex_rows import Row, read_day
from tracker.gateway.ib_insync_compat import FlexReport

_EXECUTION: Final = "EXECUTION"


class FlexUnreadable(Exception):
    """A file is no usable Flex report; the message names it, the cause and what to do."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Hold one account's part of a report."""

    account: str
    days: tuple[date, ...]
    """The days that it covers, whole."""
    rows: tuple[Row, ...]
    """Its executions, attributes as text."""


def read_report(path: Path) -> list[Statement]:
    """Read a Flex report; raises FlexUnreadable."""
    opened: Any = FlexReport  # It carries no types.
    try:
        report = opened(path=str(path))
    except OSError as error:
        raise FlexUnreadable(f"{path} cannot be read: {error.strerror or error}") from None
    except ParseError as error:
        raise FlexUnreadable(f"{path} is no Flex report: {error}; download it as XML") from None
    statements = [_statement(path, node) for node in report.root.iter("FlexStatement")]
    if not statements:
        raise FlexUnreadable(f"{path} holds no FlexStatement; download an Activity Flex Query as XML")
    # FlexReport's own reading of the rows, with the numbers kept as text.
    rows = [vars(trade) for trade in report.extract("Trade", parseNumbers=False)]
    return [
        replace(each, rows=tuple(row for row in rows if _belongs(row, each.account))) for each in statements
    ]


def _statement(path: Path, node: Any) -> Statement:
    account = node.attrib.get("accountId", "")
    if node.find("Trades") is None:
        raise FlexUnreadable(
            f"{path} has no Trades for account {account}; add Trades with the option Executions to the query"
        )
    levels = {trade.attrib.get("levelOfDetail", "") for trade in node.iter("Trade")}
    if levels and _EXECUTION not in levels:
        raise FlexUnreadable(
            f"{path} lists trades of {account} by {', '.join(sorted(levels)).lower() or 'no level'} only;"
            " choose the option Executions in the query's Trades"
        )
    first, last = read_day(node.attrib.get("fromDate", "")), read_day(node.attrib.get("toDate", ""))
    made = read_day(node.attrib.get("whenGenerated", ""))
    if first is None or last is None:
        raise FlexUnreadable(f"{path} does not say which days it covers for account {account}")
    if made is not None:
        last = min(last, made - timedelta(days=1))
    days = tuple(first + timedelta(days=number) for number in range((last - first).days + 1))
    return Statement(account, days, ())


def _belongs(row: Row, account: str) -> bool:
    return row.get("accountId") == account and row.get("levelOfDetail") == _EXECUTION
