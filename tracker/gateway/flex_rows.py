"""Rows of an IBKR Flex report into journal frames, and those frames into facts.

Owns how a row is read. A row is journalled as it came (its attributes as JSON), so that a later version can
read it better. It reads no file; `flex.py` does.

Rules
- The sign of the quantity is the direction.
- A cancelled trade (`(Ca.)`) is a row of its own with the opposite sign, so it takes back what it cancels; it
  belongs to no order, whose sums it would swell.
- Expiry, exercise and assignment are BookTrade rows without an execId; they are named by their tradeID.
- Flex writes a cost as a negative commission, the API as a positive one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal
from typing import Final

from tracker.core import limits
from tracker.core.journal_entries import FlexFee, FlexTrade, read_entry
from tracker.core.model import (
    BrokerFact,
    CommissionReport,
    Contract,
    Execution,
    Frame,
    Side,
    Undecodable,
)

IMPORTED: Final = 0
"""Request number of an imported execution: neither a live push nor the answer to a sweep."""

_DAY: Final = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)", re.ASCII)
_CLOCK: Final = re.compile(r"(\d\d):?(\d\d):?(\d\d)", re.ASCII)
_CANCELLED: Final = "(Ca.)"

Row = Mapping[str, str]
"""The attributes of one row, as text."""


class _BadRow(Exception):
    """A row lacks what a fact cannot do without; the text says what."""


def frames_of(row: Row) -> Iterator[FlexTrade | FlexFee]:
    """Yield the entries of one row: the execution, and its fee where the row has one."""
    text = json.dumps(dict(row), sort_keys=True)
    yield FlexTrade(text)
    if row.get("ibCommission"):
        yield FlexFee(text)


def exec_id_of(row: Row) -> str:
    """Return the execId of a row; a booking has none and is named by its tradeID."""
    return row.get("ibExecID") or f"flex-{row.get('tradeID') or row.get('transactionID') or ''}"


def fact_of_row(frame: Frame, login_zone: tzinfo) -> BrokerFact | None:
    """Read the journalled frame of a row; None where it is a note about days."""
    entry = read_entry(frame)
    if not isinstance(entry, FlexTrade | FlexFee):
        return None
    row: Row = json.loads(entry.row)
    try:
        return _execution(frame, row, login_zone) if isinstance(entry, FlexTrade) else _fee(row)
    except _BadRow as problem:
        return Undecodable(f"flex {entry.NAME}", str(problem), limits.clean_text(exec_id_of(row)))


def _execution(frame: Frame, row: Row, login_zone: tzinfo) -> Execution:
    quantity = _number(row, "quantity", limits.QUANTITY_DECIMALS)
    if not quantity:
        raise _BadRow("the quantity is zero")
    cancelled = _CANCELLED in row.get("buySell", "") or "Ca" in row.get("notes", "").split(";")
    moment = _moment(row.get("dateTime", ""), login_zone)
    return Execution(
        exec_id=_exec_id(row),
        account=_id(row, "accountId"),
        contract=_contract(row),
        side=Side.BUY if quantity > 0 else Side.SELL,
        quantity=abs(quantity),
        price=_number(row, "tradePrice"),
        time=frame.received_at if moment is None else moment,
        time_text=_text(row, "dateTime"),
        time_known=moment is not None,
        perm_id=0 if cancelled else _integer(row.get("ibOrderID", "")),
        order_id=0,
        client_id=0,
        cum_qty=None,
        avg_price=None,
        order_ref=_text(row, "orderReference"),
        request_id=IMPORTED,
    )


def _contract(row: Row) -> Contract:
    con_id = _integer(row.get("conid", ""))
    if con_id <= 0:
        raise _BadRow(f"conid is not an instrument: {row.get('conid', '')[:40]!r}")
    sec_type = _text(row, "assetCategory")
    option = sec_type in ("OPT", "FOP")
    return Contract(
        con_id=con_id,
        symbol=(_text(row, "underlyingSymbol") if option else "") or _text(row, "symbol"),
        sec_type=sec_type,
        expiry=read_day(row.get("expiry", "")),
        strike=_number(row, "strike") if option else None,
        right=row.get("putCall", "")[:1],
        multiplier=_text(row, "multiplier"),
        currency=_text(row, "currency"),
        local_symbol=_text(row, "symbol"),
    )


def _fee(row: Row) -> CommissionReport:
    realized = _number(row, "fifoPnlRealized") if row.get("fifoPnlRealized") else None
    return CommissionReport(
        _exec_id(row),
        -_number(row, "ibCommission"),
        _text(row, "ibCommissionCurrency") or _text(row, "currency"),
        # Flex writes 0 where an opening trade realizes nothing; the API leaves it unset.
        realized or None,
    )


def _exec_id(row: Row) -> str:
    try:
        return limits.read_id(exec_id_of(row))
    except limits.OutOfBounds as error:
        raise _BadRow(f"ibExecID {error}") from None


def _id(row: Row, name: str) -> str:
    try:
        return limits.read_id(row.get(name, ""))
    except limits.OutOfBounds as error:
        raise _BadRow(f"{name} {error}; add it to the query's Trades") from None


def _text(row: Row, name: str) -> str:
    return limits.clean_text(row.get(name, ""))


def _number(row: Row, name: str, decimals: int = limits.DECIMALS) -> Decimal:
    text = row.get(name, "").replace(",", "")
    if not text:
        raise _BadRow(f"{name} is empty; add it to the query's Trades")
    try:
        return limits.read_number(text, decimals)
    except limits.OutOfBounds as error:
        raise _BadRow(f"{name} {error}") from None


def _integer(text: str) -> int:
    """Read a number that only names something; 0 where it cannot be read."""
    try:
        return limits.read_integer(text)
    except limits.OutOfBounds:
        return 0


def read_day(text: str) -> date | None:
    """Read a date as IBKR's query offers it: yyyyMMdd or yyyy-MM-dd."""
    found = _DAY.match(text)
    try:
        day = date(*map(int, found.groups())) if found else None
    except ValueError:
        return None
    return day if day is not None and limits.is_plausible(day) else None


def _moment(text: str, login_zone: tzinfo) -> datetime | None:
    """Read a date and time; Flex names no zone and means the account's."""
    day = read_day(text)
    clock = _CLOCK.search(text, 8) if day is not None else None
    if day is None or clock is None:
        return None
    try:
        hour, minute, second = map(int, clock.groups())
        local = datetime.combine(day, time(hour, minute, second), login_zone)
    except ValueError:
        return None
    return local.astimezone(UTC)
