"""IBKR Flex reports: rows of an XML file into journal frames, and those frames into facts.

Owns which rows of a report count and how they are read. A row is journalled as it came (its attributes as
JSON), so that a later version can read it better. It never asks IBKR for a report and decides nothing.

Rules
- Only rows with level of detail EXECUTION; the other levels repeat them.
- The sign of the quantity is the direction. A cancelled trade (`(Ca.)`) is a row of its own with the opposite
  sign, so it takes back what it cancels; it belongs to no order, whose sums it would swell.
- Expiry, exercise and assignment are BookTrade rows without an execId; they are named by their tradeID.
- Flex writes a cost as a negative commission, the API as a positive one.
- A report covers the days from its first to its last that were over when it was made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import ParseError

from tracker.core.model import (
    BrokerFact,
    CommissionReport,
    Contract,
    Execution,
    Frame,
    Side,
    Source,
    Undecodable,
)
from tracker.gateway.ib_insync_compat import FlexReport
from tracker.gateway.normalise import normalise

TRADE: Final = "trade"
FEE: Final = "trade_fee"
COVERED: Final = "covered"
IMPORTED: Final = 0
"""Request number of an imported execution: neither a live push nor the answer to a sweep."""

_EXECUTION: Final = "EXECUTION"
_DAY: Final = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)")
_CLOCK: Final = re.compile(r"(\d\d):?(\d\d):?(\d\d)")
_CANCELLED: Final = "(Ca.)"

Row = Mapping[str, str]


class FlexUnreadable(Exception):
    """A file is no usable Flex report; the message names it, the cause and what to do."""


class _BadRow(Exception):
    """A row lacks what a fact cannot do without; the text says what."""


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
    first, last = _day(node.attrib.get("fromDate", "")), _day(node.attrib.get("toDate", ""))
    made = _day(node.attrib.get("whenGenerated", ""))
    if first is None or last is None:
        raise FlexUnreadable(f"{path} does not say which days it covers for account {account}")
    if made is not None:
        last = min(last, made - timedelta(days=1))
    days = tuple(first + timedelta(days=number) for number in range((last - first).days + 1))
    return Statement(account, days, ())


def _belongs(row: Row, account: str) -> bool:
    return row.get("accountId") == account and row.get("levelOfDetail") == _EXECUTION


def frames_of(row: Row) -> Iterator[tuple[Source, tuple[str, ...]]]:
    """Yield the frames of one row: the execution, and its fee where the row has one."""
    text = json.dumps(dict(row), sort_keys=True)
    yield Source.FLEX, (TRADE, text)
    if row.get("ibCommission"):
        yield Source.FLEX, (FEE, text)


def covered(day: date) -> tuple[Source, tuple[str, ...]]:
    """Return the note that closes a day's gap."""
    return Source.FLEX, (COVERED, day.isoformat())


def exec_id_of(row: Row) -> str:
    """Return the execId of a row; a booking has none and is named by its tradeID."""
    return row.get("ibExecID") or f"flex-{row.get('tradeID') or row.get('transactionID') or ''}"


def fact_of(frame: Frame, login_zone: tzinfo) -> BrokerFact | None:
    """Read any journalled frame that holds a fact: the broker's, or an imported row."""
    if frame.source is not Source.FLEX:
        return normalise(frame, login_zone)
    if frame.fields[0] not in (TRADE, FEE):
        return None
    row: Row = json.loads(frame.fields[1])
    try:
        return _execution(frame, row, login_zone) if frame.fields[0] == TRADE else _fee(row)
    except _BadRow as problem:
        return Undecodable(f"flex {frame.fields[0]}", str(problem), exec_id_of(row))


def _execution(frame: Frame, row: Row, login_zone: tzinfo) -> Execution:
    quantity = _number(row, "quantity")
    if not quantity:
        raise _BadRow("the quantity is zero")
    cancelled = _CANCELLED in row.get("buySell", "") or "Ca" in row.get("notes", "").split(";")
    moment = _moment(row.get("dateTime", ""), login_zone)
    return Execution(
        exec_id=exec_id_of(row),
        account=_text(row, "accountId"),
        contract=_contract(row),
        side=Side.BUY if quantity > 0 else Side.SELL,
        quantity=abs(quantity),
        price=_number(row, "tradePrice"),
        time=frame.received_at if moment is None else moment,
        time_text=row.get("dateTime", ""),
        time_known=moment is not None,
        perm_id=0 if cancelled else _integer(row.get("ibOrderID", "")),
        order_id=0,
        client_id=0,
        cum_qty=None,
        avg_price=None,
        order_ref=row.get("orderReference", ""),
        request_id=IMPORTED,
    )


def _contract(row: Row) -> Contract:
    con_id = _integer(row.get("conid", ""))
    if con_id <= 0:
        raise _BadRow(f"conid is not an instrument: {row.get('conid', '')[:40]!r}")
    sec_type = row.get("assetCategory", "")
    option = sec_type in ("OPT", "FOP")
    return Contract(
        con_id=con_id,
        symbol=(row.get("underlyingSymbol") if option else "") or row.get("symbol", ""),
        sec_type=sec_type,
        expiry=_day(row.get("expiry", "")),
        strike=_number(row, "strike") if option else None,
        right=row.get("putCall", "")[:1],
        multiplier=row.get("multiplier", ""),
        currency=row.get("currency", ""),
        local_symbol=row.get("symbol", ""),
    )


def _fee(row: Row) -> CommissionReport:
    realized = _number(row, "fifoPnlRealized") if row.get("fifoPnlRealized") else None
    return CommissionReport(
        exec_id_of(row),
        -_number(row, "ibCommission"),
        row.get("ibCommissionCurrency", "") or row.get("currency", ""),
        # Flex writes 0 where an opening trade realizes nothing; the API leaves it unset.
        realized or None,
    )


def _text(row: Row, name: str) -> str:
    value = row.get(name, "")
    if not value:
        raise _BadRow(f"{name} is empty; add it to the query's Trades")
    return value


def _number(row: Row, name: str) -> Decimal:
    text = _text(row, name).replace(",", "")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise _BadRow(f"{name} is not a number: {text[:40]!r}") from None
    if not value.is_finite():
        raise _BadRow(f"{name} is not a number: {text[:40]!r}")
    return value


def _integer(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else 0


def _day(text: str) -> date | None:
    """Read a date as IBKR's query offers it: yyyyMMdd or yyyy-MM-dd."""
    found = _DAY.match(text)
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


def _moment(text: str, login_zone: tzinfo) -> datetime | None:
    """Read a date and time; Flex names no zone and means the account's."""
    day = _day(text)
    clock = _CLOCK.search(text, 8) if day is not None else None
    if day is None or clock is None:
        return None
    try:
        hour, minute, second = map(int, clock.groups())
        local = datetime.combine(day, time(hour, minute, second), login_zone)
    except ValueError:
        return None
    return local.astimezone(UTC)
