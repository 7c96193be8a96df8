"""Turn raw TWS fields into the values of `core.model`.

Owns every reading of a broker's field: unset spellings become None, numbers are Decimal from the text, times
aware UTC, and the broker's camelCase ends here. It is a function of the frame and the login's zone, so a
replay gives the same facts; it never raises for what a frame holds and never invents a value.

Fields are read by index, since ib_insync rounds through float, cannot tell an unset fee from zero and drops
a message with one field too many. As recorded at server version 176, the message's number included, there
are 12 in orderStatus (3), 136 in openOrder (5), 31 in execDetails (11), 8 in commissionReport (59), 16 in
position (61) and 101 in completedOrder (101). The tail of openOrder and completedOrder varies with the order
and is walked as its Decoder walks it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Final

from msgspec import Struct

from tracker.core import limits
from tracker.core.message_fields import (
    ExecutionAt,
    ExecutionsEndAt,
    FeeAt,
    Message,
    NoticeAt,
    OpenOrderAt,
    OrderStatusAt,
)
from tracker.core.model import (
    LIVE,
    BrokerFact,
    BrokerTime,
    CommissionReport,
    CompletedOrder,
    Contract,
    End,
    EndOf,
    Execution,
    Frame,
    Notice,
    OpenOrder,
    OrderStatus,
    Position,
    Side,
    Source,
    Undecodable,
    correction_version,
)
from tracker.gateway.times import execution_time

EXECUTION_FIELDS: Final = 31
"""execDetails at server versions 136 to 177; later ones append."""

_UNSET: Final = frozenset(
    {"", "2147483647", "9223372036854775807", "1.7976931348623157e308", "1.7976931348623157e+308"}
)
_UNSET_DOUBLE: Final = 1.7976931348623157e308
_UNSET_INTEGERS: Final = frozenset({2147483647, 9223372036854775807})
_NOTICE_LENGTH: Final = 1_000
"""The longest text of a notice that is kept, in characters."""
_TIME_DIGITS: Final = 10
"""The number of digits of seconds since 1970, until the year 2286."""
_CONTRACTS_KEPT: Final = 256
_NUMBERS_KEPT: Final = 1024
_PENDING_FEE: Final = Decimal(-1)
_SIDES: Final = {"BOT": Side.BUY, "SLD": Side.SELL}
_RIGHTS: Final = {"C": "C", "CALL": "C", "P": "P", "PUT": "P"}


class _Unreadable(Exception):
    """Say which required field has no usable value."""


def normalise(frame: Frame, login_zone: tzinfo) -> BrokerFact | None:
    """Read one journalled broker frame; None where it holds no fact for us.

    `login_zone` is the zone of the TWS login, for execution times that name none. An execution whose time
    cannot be read has its receipt time instead (`time_known` False); any other required field that cannot be
    read makes the whole frame Undecodable, with the execId if that can be read.
    """
    if frame.source is not Source.BROKER or not frame.fields:
        return None
    reader = _READERS.get(frame.fields[0])
    if reader is None:
        return None
    try:
        return reader.read(frame, login_zone)
    except _Unreadable as problem:
        reason = str(problem)
    except IndexError:
        reason = f"it has only {len(frame.fields)} fields"
    except Exception as error:
        # For any other content the frame is counted and shown as Undecodable, and the pump goes on.
        reason = f"{type(error).__name__}: {error}"
    exec_id = frame.fields[reader.exec_id_at] if 0 < reader.exec_id_at < len(frame.fields) else ""
    live = frame.fields[: ExecutionAt.REQUEST + 1] == (Message.EXECUTION, str(LIVE))
    contract = _key_of_position(frame.fields) if reader.kind == "position" else ""
    return Undecodable(reader.kind, reason, limits.clean_text(exec_id), live, contract)


@lru_cache(_NUMBERS_KEPT)
def _integer(text: str, name: str) -> int | None:
    """Read a whole number; None where unset."""
    if text in _UNSET:
        return None
    try:
        value = limits.read_integer(text)
    except limits.OutOfBounds as error:
        raise _Unreadable(f"{name} {error}") from None
    return None if value in _UNSET_INTEGERS else value


@lru_cache(_NUMBERS_KEPT)
def _number(text: str, name: str, decimals: int = limits.DECIMALS) -> Decimal | None:
    """Read a decimal number exactly as written; None where unset."""
    if text in _UNSET or text.lower() in _UNSET:
        return None
    try:
        return limits.read_number(text, decimals)
    except limits.OutOfBounds as error:
        raise _Unreadable(f"{name} {error}") from None


def _needed_number(text: str, name: str, decimals: int = limits.DECIMALS) -> Decimal:
    value = _number(text, name, decimals)
    if value is None:
        raise _Unreadable(f"{name} is not set")
    return value


def _number_if_readable(text: str) -> Decimal | None:
    """Read a number that is only descriptive: an unreadable one counts as unset."""
    try:
        return _number(text, "")
    except _Unreadable:
        return None


def _id(text: str, name: str) -> str:
    try:
        return limits.read_id(text)
    except limits.OutOfBounds as error:
        raise _Unreadable(f"{name} {error}") from None


def _expiry(text: str) -> date | None:
    """Read the date at the start of `YYYYMMDD[ time zone]`; never converted, since that shifts the day."""
    digits = text[:8]
    if len(digits) < 8 or not (digits.isascii() and digits.isdecimal()) or text[8:9].isdecimal():
        return None
    try:
        day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None
    return day if limits.is_plausible(day) else None


def _contract(fields: tuple[str, ...], first: int, after_multiplier: int) -> Contract:
    """Read a contract whose conId is at `first`; `after_multiplier` skips the exchange."""
    return _described(fields[first : first + 7] + fields[after_multiplier : after_multiplier + 3])


@lru_cache(_CONTRACTS_KEPT)
def _described(fields: tuple[str, ...]) -> Contract:
    """Read the ten fields of a contract, which every message about its orders and fills repeats.

    conId is the identity and required; the other fields are descriptive, and stay empty where they cannot be
    read.
    """
    con_id = _integer(fields[0], "conId")
    if con_id is None or con_id <= 0:
        raise _Unreadable(f"conId is not an instrument: {limits.quoted(fields[0])}")
    text = limits.clean_text
    sec_type = text(fields[2])
    strike = _number_if_readable(fields[4])
    if strike is not None and not strike and sec_type not in ("OPT", "FOP"):
        strike = None
    return Contract(
        con_id=con_id,
        symbol=text(fields[1]),
        sec_type=sec_type,
        expiry=_expiry(fields[3]),
        strike=strike,
        right=_RIGHTS.get(fields[5].upper(), ""),
        multiplier=text(fields[6]),
        currency=text(fields[7]),
        local_symbol=text(fields[8]),
        trading_class=text(fields[9]),
    )


def _execution(frame: Frame, login_zone: tzinfo) -> Execution:
    fields = frame.fields
    if len(fields) < EXECUTION_FIELDS:
        raise _Unreadable(f"it has {len(fields)} of {EXECUTION_FIELDS} fields")
    side = _SIDES.get(fields[18])
    if side is None:
        raise _Unreadable(f"side is neither BOT nor SLD: {limits.quoted(fields[18])}")
    exec_id = _id(fields[ExecutionAt.EXEC_ID], "execId")
    quantity = _needed_number(fields[19], "quantity", limits.QUANTITY_DECIMALS)
    # A correction to no quantity voids the execution (a bust); a first version without quantity is not a
    # trade.
    if quantity < 0 or (quantity == 0 and correction_version(exec_id) <= 1):
        raise _Unreadable(f"quantity is not positive: {limits.quoted(fields[19])}")
    request_id = _integer(fields[ExecutionAt.REQUEST], "request id")
    time = execution_time(fields[ExecutionAt.TIME], login_zone, frame.received_at)
    return Execution(
        exec_id=exec_id,
        account=_id(fields[ExecutionAt.ACCOUNT], "account"),
        contract=_contract(fields, 3, 11),
        side=side,
        quantity=quantity,
        price=_needed_number(fields[20], "price"),
        time=frame.received_at if time is None else time,
        time_text=limits.clean_text(fields[ExecutionAt.TIME]),
        time_known=time is not None,
        perm_id=_integer(fields[ExecutionAt.PERM_ID], "permId") or 0,
        order_id=_integer(fields[ExecutionAt.ORDER_ID], "orderId") or 0,
        client_id=_integer(fields[ExecutionAt.CLIENT_ID], "clientId") or 0,
        cum_qty=_number_if_readable(fields[24]),
        avg_price=_number_if_readable(fields[25]),
        order_ref=limits.clean_text(fields[26]),
        request_id=-1 if request_id is None else request_id,
    )


def read_fee(fields: tuple[str, ...]) -> CommissionReport | None:
    """Read a commissionReport's fields; None where they cannot be read."""
    try:
        return _fee(fields)
    except (_Unreadable, IndexError):
        return None


def _commission(frame: Frame, login_zone: tzinfo) -> CommissionReport:
    return _fee(frame.fields)


def _fee(fields: tuple[str, ...]) -> CommissionReport:
    commission = _number(fields[3], "commission")
    return CommissionReport(
        exec_id=_id(fields[FeeAt.EXEC_ID], "execId"),
        # -1 has been used for "not known yet"; therefore a rebate of exactly 1.00 is not recognised.
        commission=None if commission == _PENDING_FEE else commission,
        currency=limits.clean_text(fields[4]),
        # A profit that cannot be read (NaN has been seen) must not cost the fee.
        realized_pnl=_number_if_readable(fields[5]),
    )


def _order_status(frame: Frame, login_zone: tzinfo) -> OrderStatus:
    fields = frame.fields
    return OrderStatus(
        order_id=_integer(fields[1], "orderId") or 0,
        client_id=_integer(fields[OrderStatusAt.CLIENT_ID], "clientId") or 0,
        perm_id=_integer(fields[OrderStatusAt.PERM_ID], "permId") or 0,
        status=_id(fields[2], "status"),
        filled=_number(fields[3], "filled", limits.QUANTITY_DECIMALS),
        remaining=_number(fields[4], "remaining", limits.QUANTITY_DECIMALS),
    )


def _open_order(frame: Frame, login_zone: tzinfo) -> OpenOrder | None:
    fields = frame.fields
    tail = _tail(fields, _OPEN_ORDER)
    if tail.what_if:
        # An answer to a what-if question describes no order.
        return None
    return OpenOrder(
        order_id=_integer(fields[1], "orderId") or 0,
        client_id=_integer(fields[OpenOrderAt.CLIENT_ID], "clientId") or 0,
        perm_id=_integer(fields[OpenOrderAt.PERM_ID], "permId") or 0,
        account=limits.clean_text(fields[20]),
        contract=_contract(fields, 2, 10),
        side=limits.clean_text(fields[13]),
        total=_number(fields[14], "totalQuantity", limits.QUANTITY_DECIMALS),
        order_ref=limits.clean_text(fields[23]),
        status=tail.status,
        legs=tail.legs,
    )


def _completed_order(frame: Frame, login_zone: tzinfo) -> CompletedOrder:
    fields = frame.fields
    perm_id = _integer(fields[23], "permId")
    if not perm_id:
        raise _Unreadable("permId is not set")
    tail = _tail(fields, _COMPLETED_ORDER)
    return CompletedOrder(
        perm_id,
        limits.clean_text(fields[19]),
        tail.status,
        con_id=_integer(fields[1], "conId") or 0,
        total=_number_if_readable(fields[13]) or None,
        filled=tail.filled,
        legs=tail.legs,
    )


def _position(frame: Frame, login_zone: tzinfo) -> Position:
    fields = frame.fields
    return Position(
        account=_id(fields[2], "account"),
        contract=_contract(fields, 3, 11),
        quantity=_needed_number(fields[14], "position", limits.QUANTITY_DECIMALS),
    )


def _key_of_position(fields: Sequence[str]) -> str:
    """Return account and conid of a position that cannot be read; empty where these cannot either."""
    try:
        con_id = _integer(fields[3], "conid")
        return f"{_id(fields[2], 'account')} {con_id}" if con_id else ""
    except (_Unreadable, IndexError):
        return ""


def _notice(frame: Frame, login_zone: tzinfo) -> Notice:
    fields = frame.fields
    request_id = _integer(fields[NoticeAt.REQUEST], "request id")
    code = _integer(fields[NoticeAt.CODE], "code")
    if code is None:
        raise _Unreadable("code is not set")
    # Old gateways write 2147483647 where there is no request.
    return Notice(
        -1 if request_id is None else request_id, code, limits.clean_text(fields[4], _NOTICE_LENGTH)
    )


def _executions_end(frame: Frame, login_zone: tzinfo) -> End:
    request_id = _integer(frame.fields[ExecutionsEndAt.REQUEST], "request id")
    if request_id is None:
        raise _Unreadable("request id is not set")
    return End(EndOf.EXECUTIONS, request_id)


def _broker_time(frame: Frame, login_zone: tzinfo) -> BrokerTime | None:
    text = frame.fields[2] if len(frame.fields) > 2 else ""
    # An unreadable one says nothing about a fill, so nobody needs to look at it.
    readable = text.isascii() and text.isdigit() and len(text) <= _TIME_DIGITS
    return BrokerTime(datetime.fromtimestamp(int(text), UTC)) if readable else None


def _end(of: EndOf) -> Callable[[Frame, tzinfo], End]:
    return lambda frame, login_zone: End(of, -1)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Read one kind of message."""

    kind: str
    read: Callable[[Frame, tzinfo], BrokerFact | None]
    exec_id_at: int = 0


_READERS: Final[Mapping[str, _Reader]] = {
    Message.ORDER_STATUS: _Reader("order_status", _order_status),
    Message.NOTICE: _Reader("notice", _notice),
    Message.OPEN_ORDER: _Reader("order", _open_order),
    Message.EXECUTION: _Reader("execution", _execution, exec_id_at=ExecutionAt.EXEC_ID),
    Message.CURRENT_TIME: _Reader("current_time", _broker_time),
    Message.OPEN_ORDERS_END: _Reader("open_orders_end", _end(EndOf.OPEN_ORDERS)),
    Message.EXECUTIONS_END: _Reader("executions_end", _executions_end),
    Message.FEE: _Reader("commission", _commission, exec_id_at=FeeAt.EXEC_ID),
    Message.POSITION: _Reader("position", _position),
    Message.POSITIONS_END: _Reader("positions_end", _end(EndOf.POSITIONS)),
    Message.COMPLETED_ORDER: _Reader("completed_order", _completed_order),
    Message.COMPLETED_ORDERS_END: _Reader("completed_orders_end", _end(EndOf.COMPLETED_ORDERS)),
}


@dataclass(frozen=True, slots=True)
class _Layout:
    """Say where the variable part of an order message begins, and how many fields are between its variable
    parts.
    """

    neutral_at: int
    """The index of the delta-neutral order type; if it is set, `neutral_fields` more follow its price."""
    neutral_fields: int
    to_legs: int
    """Fields from after those to the number of legs."""
    to_contract: int
    """Fields from after the hedge to the flag of a delta-neutral contract."""
    to_status: int
    """Fields from after the algorithm to the status."""


_OPEN_ORDER: Final = _Layout(neutral_at=62, neutral_fields=8, to_legs=7, to_contract=4, to_status=2)
_COMPLETED_ORDER: Final = _Layout(neutral_at=53, neutral_fields=4, to_legs=5, to_contract=3, to_status=1)
_LEG_FIELDS: Final = 8
_SCALE_FIELDS: Final = 7
_STATUS_TO_CONDITIONS: Final = 3
"""Fields from a completed order's status to the number of its conditions; two flags are between them."""
_PEG_BENCH_FIELDS: Final = 5
_CONDITION_FIELDS: Final = {"1": 6, "3": 3, "4": 3, "5": 4, "6": 5, "7": 5}
"""Type of a condition (price, time, margin, execution, volume, percent change) -> the number of fields after
it.
"""
_CONDITIONS_TO_FILLED: Final = 6
"""Fields from after the conditions to filledQuantity: two prices, cashQty, two flags and autoCancelDate."""


class _Tail(Struct, frozen=True):
    """Hold the values after the fixed part of openOrder and completedOrder."""

    status: str = ""
    legs: tuple[tuple[int, int], ...] = ()
    what_if: bool = False
    filled: Decimal | None = None
    """The filled quantity of a completed order; None for an open one, and where it cannot be read."""


def _tail(fields: tuple[str, ...], layout: _Layout) -> _Tail:
    """Read the part of variable length; empty where that fails, since the fixed part is useful without it.

    Later versions append fields after everything read here, so a longer frame is fine.
    """
    try:
        at = layout.neutral_at + 2 + (layout.neutral_fields if fields[layout.neutral_at] else 0)
        at += layout.to_legs
        first = at + 1
        at = first + _LEG_FIELDS * _count(fields[at])
        legs = tuple(_leg(fields, leg) for leg in range(first, at, _LEG_FIELDS))
        # Prices of the legs, then pairs of routing parameters.
        at += 1 + _count(fields[at])
        at += 1 + 2 * _count(fields[at])
        scaled = 0 < float(fields[at + 2] or 0) < _UNSET_DOUBLE
        at += 3 + (_SCALE_FIELDS if scaled else 0)
        at += 2 if fields[at] else 1
        at += layout.to_contract
        at += 4 if int(fields[at]) else 1
        at += 2 + 2 * _count(fields[at + 1]) if fields[at] else 1
        status = limits.clean_text(fields[at + layout.to_status])
        if layout is _OPEN_ORDER:
            return _Tail(status, legs, what_if=fields[at + layout.to_status - 1] == "1")
        return _Tail(status, legs, filled=_filled(fields, at + layout.to_status))
    except (ValueError, IndexError):
        return _Tail()


def _filled(fields: tuple[str, ...], status_at: int) -> Decimal | None:
    """Read filledQuantity of a completed order; None where the part before it cannot be read."""
    try:
        at = status_at + _STATUS_TO_CONDITIONS + (_PEG_BENCH_FIELDS if fields[14] == "PEG BENCH" else 0)
        conditions = _count(fields[at])
        at += 1
        for _ in range(conditions):
            at += 1 + _CONDITION_FIELDS[fields[at]]
        at += 2 if conditions else 0
        return _number_if_readable(fields[at + _CONDITIONS_TO_FILLED])
    except (ValueError, KeyError, IndexError):
        return None


def _count(text: str) -> int:
    """Read how many parts follow."""
    count = limits.read_integer(text)
    if count < 0:
        raise ValueError(text)
    return count


def _leg(fields: tuple[str, ...], at: int) -> tuple[int, int]:
    """Return (con_id, ratio); the ratio of a sold leg is negative, as in comboLegsDescrip."""
    con_id, ratio = limits.read_integer(fields[at]), limits.read_integer(fields[at + 1])
    return con_id, -ratio if fields[at + 2] == "SELL" else ratio
