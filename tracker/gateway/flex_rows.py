"""Turn rows of an IBKR Flex report into journal frames, and those frames into facts.

Owns how a row is read. A row is journalled unchanged (its attributes as JSON), so that a later version can
read it better. What only the whole file shows is added under our own names: its time and expiry, since a
file's date form is known from all of its dates (`flex_dates.py`), and how its booking was changed
(`flex_bookings.py`). It reads no file; `flex.py` does.

Rules
- The sign of the quantity is the direction.
- A cancel row never comes here: the trade that it cancels is voided (`flex_bookings.py`). Only a journal of
  an older version holds one, as an execution with the opposite sign that belongs to no order.
- Expiry, exercise and assignment are BookTrade rows without an execId; they are named by their tradeID.
- A trade without an execId is named by its values, so that it is recognised under another name.
- Flex writes a cost as a negative commission, the API as a positive one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

from tracker.core import limits
from tracker.core.corrections import without_exec_id
from tracker.core.journal_entries import FlexFee, FlexTrade, read_entry
from tracker.core.model import (
    ZERO,
    BrokerFact,
    CommissionReport,
    Contract,
    Execution,
    Frame,
    Side,
    Undecodable,
)
from tracker.gateway.flex_columns import Row, booked_as, is_cancel, read_row, row_text
from tracker.gateway.flex_dates import FORMATS

IMPORTED: Final = 0
"""The request number of an imported execution, which is neither a live push nor the answer to a sweep."""

TIME: Final = "tracker:time"
DAY: Final = "tracker:day"
EXPIRY: Final = "tracker:expiry"
VOID: Final = "tracker:void"
REBOOKED: Final = "tracker:rebooked"
LATE: Final = "tracker:late"
NUMBER: Final = "tracker:number"
"""Names of what is added to a row; IBKR's attributes hold no colon. Times are ISO 8601 in UTC. A late row is
of before the trade dates of its report, in which it was booked. The number tells apart the trades without
execId that say the same."""

_OPTION: Final = re.compile(r"(\S{1,6})\s*(\d\d)(\d\d)(\d\d)([CP])(\d{8})", re.ASCII)
"""An option's symbol in the form of the OCC: root, expiry, right, strike in thousandths."""
OPTIONS: Final = ("OPT", "FOP")
_CONTRACT: Final = (
    *("conid", "assetCategory", "symbol", "underlyingSymbol", "strike", EXPIRY, "expiry", "putCall"),
    *("multiplier", "currency"),
)
"""The columns that describe a contract."""
_THOUSANDTHS: Final = Decimal(1000)
_PLAIN: Final = FORMATS[:2]
"""The date forms that cannot be confused with one another."""

_NOWHERE: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Used as the receipt time of a row that is only checked."""


class UnreadableRow(Exception):
    """Say which required value a row lacks."""


def frames_of(row: Row) -> Iterator[FlexTrade | FlexFee]:
    """Yield the entries of one row: the execution, and its fee where the row has one."""
    text = row_text(row).decode()
    yield FlexTrade(text)
    if row.get("ibCommission"):
        yield FlexFee(text)


def exec_id_of(row: Row) -> str:
    """Return the execId of a row; without one a booking is named by its tradeID, a trade by its values."""
    if named := row.get("ibExecID"):
        return named
    if NUMBER not in row:
        return own_id_of(row)
    return without_exec_id(_named(_NOWHERE, row, ""), int(row[NUMBER]))


def own_id_of(row: Row) -> str:
    """Return an id that distinguishes a row without execId from the others of its report."""
    return f"flex-{row.get('tradeID') or row.get('transactionID') or ''}"


def fact_of_row(frame: Frame) -> BrokerFact | None:
    """Read the journalled frame of a row; None where it is a note about days."""
    entry = read_entry(frame)
    if not isinstance(entry, FlexTrade | FlexFee):
        return None
    row = _read_row(entry.row)
    try:
        return _execution(frame.received_at, row) if isinstance(entry, FlexTrade) else _fee(row)
    except UnreadableRow as problem:
        return Undecodable(f"flex {entry.NAME}", str(problem), limits.clean_text(exec_id_of(row)))


@lru_cache(1)
def _read_row(text: str) -> Row:
    """Read a stored row; cached, since a fee comes right behind its trade, with the same row."""
    return read_row(text)


def try_row(row: Row) -> Execution | str:
    """Return the execution of a row, or why it or its fee cannot be read; the reason begins with an
    attribute.
    """
    try:
        execution = _execution(_NOWHERE, row)
        if row.get("ibCommission"):
            _fee(row)
    except UnreadableRow as problem:
        return str(problem)
    return execution


def execution_of(row: Row) -> Execution:
    """Return the execution of a row that can be read."""
    return _execution(_NOWHERE, row)


def contract_of(row: Row) -> Contract:
    """Return the contract of a row that can be read."""
    return _contract(row)


def _execution(received_at: datetime, row: Row) -> Execution:
    return _named(received_at, row, _exec_id(row))


def _named(received_at: datetime, row: Row, exec_id: str) -> Execution:
    quantity = _number(row, "quantity", limits.QUANTITY_DECIMALS)
    if not quantity:
        raise UnreadableRow("quantity is zero")
    moment = _moment(row)
    return Execution(
        exec_id=exec_id,
        account=_id(row, "accountId"),
        contract=_contract(row),
        side=Side.BUY if quantity > 0 else Side.SELL,
        quantity=ZERO if VOID in row else abs(quantity),
        price=_number(row, "tradePrice"),
        time=received_at if moment is None else moment,
        time_text=_text(row, "dateTime"),
        time_known=moment is not None,
        perm_id=0 if is_cancel(row) and VOID not in row else _integer(row.get("ibOrderID", "")),
        order_id=0,
        client_id=0,
        cum_qty=None,
        avg_price=None,
        order_ref=_text(row, "orderReference"),
        request_id=IMPORTED,
        cause=booked_as(row),
    )


def _contract(row: Row) -> Contract:
    return _contract_of(tuple(map(row.get, _CONTRACT)))


@lru_cache(4096)
def _contract_of(values: tuple[str | None, ...]) -> Contract:
    """Return the contract that these columns describe; cached, since a report has few contracts."""
    row = {name: value for name, value in zip(_CONTRACT, values, strict=True) if value}
    con_id = _integer(row.get("conid", ""))
    if con_id <= 0:
        raise UnreadableRow(f"conid is not an instrument: {limits.quoted(row.get('conid', ''))}")
    sec_type = _text(row, "assetCategory")
    symbol = _text(row, "symbol")
    # An option's symbol holds the terms that the query leaves out; the conid is the identity in any case.
    option = sec_type in OPTIONS
    named = _OPTION.fullmatch(symbol) if option else None
    root, expiry, right, strike = ("", None, "", None) if named is None else _read_option(named)
    if option and row.get("strike"):
        strike = _number(row, "strike")
    return Contract(
        con_id=con_id,
        symbol=(_text(row, "underlyingSymbol") if option else "") or root or symbol,
        sec_type=sec_type,
        expiry=_day(row.get(EXPIRY) or row.get("expiry", "")) or expiry,
        strike=strike,
        right=row.get("putCall", "")[:1] or right,
        multiplier=_text(row, "multiplier"),
        currency=_text(row, "currency"),
        local_symbol=symbol,
    )


def _read_option(named: re.Match[str]) -> tuple[str, date | None, str, Decimal | None]:
    root, year, month, day, right, strike = named.groups()
    return root, _day(f"20{year}{month}{day}"), right, Decimal(strike) / _THOUSANDTHS


def _fee(row: Row) -> CommissionReport:
    realized = _number(row, "fifoPnlRealized") if row.get("fifoPnlRealized") else None
    return CommissionReport(
        _exec_id(row),
        -_number(row, "ibCommission"),
        _text(row, "ibCommissionCurrency") or _text(row, "currency"),
        # For an opening trade, which realizes nothing, Flex writes 0 and the API leaves the value unset.
        realized or None,
    )


def _exec_id(row: Row) -> str:
    try:
        return limits.read_id(exec_id_of(row))
    except limits.OutOfBounds as error:
        raise UnreadableRow(f"ibExecID {error}") from None


def _id(row: Row, name: str) -> str:
    try:
        return limits.read_id(row.get(name, ""))
    except limits.OutOfBounds as error:
        raise UnreadableRow(f"{name} {error}") from None


def _text(row: Row, name: str) -> str:
    return limits.clean_text(row.get(name, ""))


def _number(row: Row, name: str, decimals: int = limits.DECIMALS) -> Decimal:
    text = row.get(name, "").replace(",", "")
    if not text:
        raise UnreadableRow(f"{name} is empty")
    try:
        return limits.read_number(text, decimals)
    except limits.OutOfBounds as error:
        raise UnreadableRow(f"{name} {error}") from None


def contract_in(row: Row) -> Contract:
    """Return the contract that a row of any section names; raises UnreadableRow."""
    return _contract(row)


def number_in(row: Row, name: str) -> Decimal:
    """Return a number of a row of any section; raises UnreadableRow."""
    return _number(row, name, limits.QUANTITY_DECIMALS)


def is_number(text: str) -> bool:
    """Return whether a text is a number as Flex writes it."""
    try:
        limits.read_number(text.replace(",", ""))
    except limits.OutOfBounds:
        return False
    return True


def _integer(text: str) -> int:
    """Read a number that is only an id; 0 where it cannot be read."""
    try:
        return limits.read_integer(text)
    except limits.OutOfBounds:
        return 0


def _day(text: str) -> date | None:
    return next((day for form in _PLAIN if (day := form.read_day(text)) is not None), None)


def _moment(row: Row) -> datetime | None:
    """Return the execution time of a row in aware UTC; None where it has none."""
    if row.get(TIME):
        return datetime.fromisoformat(row[TIME])
    # An older version journalled rows without looking at the date form of the whole file.
    text = row.get("dateTime", "")
    return next((moment for form in _PLAIN if (moment := form.read_moment(text)) is not None), None)
