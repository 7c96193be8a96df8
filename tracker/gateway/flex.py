"""IBKR Flex reports: an XML file into its statements, hours and rows.

Owns which rows of a report count and which hours it covers, and the refusal of a report that lacks something:
nothing of such a file is taken in. Its dates are read in `flex_dates.py`, its bookings in `flex_bookings.py`,
its rows in `flex_rows.py`. It never asks IBKR for a report and decides nothing.

Rules
- Only rows with level of detail EXECUTION count; the other levels repeat them.
- A report covers its trade dates that were over when it was made; each ends at 20:20 New York.
- A row without an account is one of its statement's account.
- A needed column that no row has, and a value that cannot be read, refuse the file by the query's own label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, ParseError, parse

from tracker.core.limits import quoted
from tracker.core.model import Frame, Undecodable
from tracker.gateway.flex_bookings import in_force
from tracker.gateway.flex_dates import FORMATS, DateFormat, evening_of, formats_of, hours_of, read_time
from tracker.gateway.flex_rows import EXPIRY, TIME, Row, fact_of_row, frames_of

LABELS: Final = {
    "assetCategory": "Asset Class",
    "conid": "Conid",
    "quantity": "Quantity",
    "tradePrice": "Trade Price",
    "buySell": "Buy/Sell",
    "ibExecID": "IB Execution ID",
    "transactionID": "Transaction ID",
    "dateTime": "Date/Time",
    "levelOfDetail": "Level of Detail",
}
"""Attribute -> the label of its box in the query's section Trades."""

_EXECUTION: Final = "EXECUTION"
_EXCHANGE_TRADE: Final = "ExchTrade"
_BOOKED: Final = "BookTrade"
_THEN: Final = "in the query's section Trades (option Executions), run it again and import the new file"
_NOWHERE: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands for the receipt of a row that is only tried."""


class FlexUnreadable(Exception):
    """A file is no usable Flex report; the message names it, the cause and what to do."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Hold one account's part of a report."""

    account: str
    begins: datetime
    ends: datetime
    """The hours whose executions it holds, in aware UTC; none where both are equal."""
    rows: tuple[Row, ...]
    """Its executions that are in force, attributes as text."""


def read_report(path: Path) -> list[Statement]:
    """Read a Flex report; raises FlexUnreadable."""
    try:
        root = parse(path).getroot()
    except OSError as error:
        raise FlexUnreadable(f"{path} cannot be read: {error.strerror or error}") from None
    except ParseError as error:
        raise FlexUnreadable(f"{path} is no Flex report: {error}; download it as XML") from None
    nodes = list(root.iter("FlexStatement"))
    if not nodes:
        raise FlexUnreadable(f"{path} holds no FlexStatement; download an Activity Flex Query as XML")
    trades = [_trades(path, node) for node in nodes]
    form = _form(path, nodes, [row for rows in trades for row in rows])
    statements = [
        Statement(
            node.attrib.get("accountId", ""),
            *_hours(node, form),
            tuple(_dated(path, row, form) for row in rows),
        )
        for node, rows in zip(nodes, trades, strict=True)
    ]
    return _settled(statements)


def _trades(path: Path, node: Element) -> list[Row]:
    """Return the executions of a statement; raises FlexUnreadable where something of them is missing."""
    account = node.attrib.get("accountId", "")
    if node.find("Trades") is None:
        raise FlexUnreadable(f"{path} has no Trades for account {account}: tick the fields {_THEN}")
    found = [trade.attrib for trade in node.iter("Trade")]
    levels = {row.get("levelOfDetail", "") for row in found}
    if levels and _EXECUTION not in levels:
        raise FlexUnreadable(
            f"{path} lists trades of {account} by {', '.join(sorted(levels)).lower() or 'no level'} only:"
            f" tick {LABELS['levelOfDetail']} and the option Executions {_THEN}"
        )
    rows: list[Row] = []
    for row in found:
        if row.get("levelOfDetail") == _EXECUTION:
            of = row.get("accountId") or account
            if of != account:
                raise FlexUnreadable(
                    f"{path} holds a trade of {of} in the statement of {account}: do not consolidate accounts"
                    " in the query, run it again and import the new file"
                )
            rows.append({**row, "accountId": of})
    if missing := list(_missing(rows)):
        raise FlexUnreadable(f"{path} lacks {', '.join(missing)} for account {account}: tick them {_THEN}")
    return rows


def _missing(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the labels of the needed columns that no row has."""
    if not rows:
        return
    there = {name for row in rows for name in row}
    for name in ("assetCategory", "conid", "quantity", "tradePrice", "buySell", "transactionID"):
        if name not in there:
            yield LABELS[name]
    if "ibExecID" not in there and any(row.get("transactionType") != _BOOKED for row in rows):
        yield LABELS["ibExecID"]
    if "dateTime" not in there and not {"tradeDate", "tradeTime"} <= there:
        yield LABELS["dateTime"]


def _form(path: Path, nodes: Sequence[Element], rows: Sequence[Row]) -> DateFormat:
    """Return the form of the report's dates: of those that read each statement's days, what reads most."""
    spans = [[node.attrib.get(name, "") for name in ("fromDate", "toDate")] for node in nodes]
    if not all(text for span in spans for text in span):
        raise FlexUnreadable(
            f"{path} does not say which days it covers; download an Activity Flex Query as XML"
        )
    heads = {text for span in spans for text in span}
    heads |= {text for node in nodes if (text := node.attrib.get("whenGenerated"))}
    dates = {row.get(name, "") for row in rows for name in ("dateTime", "tradeDate", "expiry")} - {""}
    candidates = [form for form in formats_of(heads) if all(_in_order(node, form) for node in nodes)]
    reads = [sum(form.read_day(text) is not None for text in dates) for form in candidates]
    best = [form for form, count in zip(candidates, reads, strict=True) if count == max(reads)]
    example = min(heads, key=len)[:20]
    if not best:
        raise FlexUnreadable(
            f"{path} has dates like {example}, in none of the forms that are read"
            f" ({', '.join(form.name for form in FORMATS)}): choose one of them as the query's Date Format,"
            " run it again and import the new file"
        )
    if len({tuple(form.read_day(text) for text in sorted(heads | dates)) for form in best}) > 1:
        raise FlexUnreadable(
            f"{path} has dates like {example}, which may be {' or '.join(form.name for form in best)}: choose"
            " yyyyMMdd as the query's Date Format, run it again and import the new file"
        )
    return best[0]


def _in_order(node: Element, form: DateFormat) -> bool:
    days = [form.read_day(node.attrib.get(name, "")) for name in ("fromDate", "toDate", "whenGenerated")]
    known = [day for day in days if day is not None]
    return known == sorted(known)


def _hours(node: Element, form: DateFormat) -> tuple[datetime, datetime]:
    first, last = form.read_day(node.attrib["fromDate"]), form.read_day(node.attrib["toDate"])
    made = form.read_day(node.attrib.get("whenGenerated", ""))
    assert first is not None, "the form was chosen to read it"
    assert last is not None, "the form was chosen to read it"
    return hours_of(first, last if made is None else min(last, made - timedelta(days=1)))


def _dated(path: Path, row: Row, form: DateFormat) -> Row:
    """Return a row with its time and expiry; raises FlexUnreadable where it cannot be read."""
    moment = _moment(row, form)
    expiry = form.read_day(row.get("expiry", ""))
    dated = {
        **row,
        TIME: "" if moment is None else moment.isoformat(),
        EXPIRY: "" if expiry is None else expiry.isoformat(),
    }
    reason = "dateTime cannot be read" if moment is None else _problem(dated)
    if reason:
        name, _, rest = reason.partition(" ")
        which = row.get("transactionID", "")
        raise FlexUnreadable(
            f"{path} holds a trade of {row['accountId']} that cannot be read, {LABELS['transactionID']}"
            f" {quoted(which)}: {LABELS.get(name, name)} {rest}. Download the report again, or close its days"
            " by hand with `tracker gaps accept`; nothing of it was taken in"
        )
    return dated


def _moment(row: Row, form: DateFormat) -> datetime | None:
    if row.get("dateTime"):
        return form.read_moment(row["dateTime"])
    day = form.read_day(row.get("tradeDate", ""))
    moment = None if day is None else read_time(day, row.get("tradeTime", ""))
    if day is None or moment is None:
        return None
    # A trade date begins on the evening before.
    return moment if moment < evening_of(day) else read_time(day - timedelta(days=1), row["tradeTime"])


def _problem(row: Row) -> str:
    """Return why a row is no execution, or holds no fee, beginning with an attribute; empty where it is."""
    if not row.get("transactionID"):
        return "transactionID is empty"
    if not row.get("ibExecID") and row.get("transactionType") == _EXCHANGE_TRADE:
        return "ibExecID is empty"
    for entry in frames_of(row):
        fact = fact_of_row(Frame(0, _NOWHERE, 0, *entry.arriving))
        if isinstance(fact, Undecodable):
            return fact.reason
    return ""


def _settled(statements: Sequence[Statement]) -> list[Statement]:
    """Return the statements with the rows that are in force, all of an account's in its first one."""
    rows: dict[str, list[Row]] = {}
    for statement in statements:
        rows.setdefault(statement.account, []).extend(statement.rows)
    settled = {account: tuple(in_force(of)) for account, of in rows.items()}
    return [replace(statement, rows=settled.pop(statement.account, ())) for statement in statements]
