"""The tables of scenario files and commands: which keys each has, and what their values may be.

Owns each table as a pydantic model. Names that point to other tables are checked by `scenario`.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    Strict,
    StrictBool,
)  # fmt: skip

MOST_SECONDS: Final = 86_400


# Readers of values. Each raises ValueError with a text that follows the key's name.


def _between(least: int, most: int, unit: str = "") -> AfterValidator:
    def check(value: Any) -> Any:
        if not least <= value <= most:
            raise ValueError(f"must be {least} to {most}{unit}, not {value}")
        return value

    return AfterValidator(check)


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must be a text without NUL")
    return value


def _no_flag(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _small(value: Decimal) -> Decimal:
    # The exponent first: a number of a billion digits is a short text.
    if not value.is_finite() or (value and abs(value.adjusted()) > 8) or value != round(value, 8):
        shown = str(value)[:40]
        raise ValueError(f"must be below 1,000,000,000 with at most 8 digits after the point, not {shown}")
    return value


def _above_zero(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError(f"must be above 0, not {value}")
    return value


def _day(value: str) -> str:
    if re.fullmatch(r"today(\+\d{1,4})?", value):
        return value
    try:
        date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError:
        raise ValueError(f"must be YYYYMMDD, today or today+N (days), not {value!r}") from None
    return value


def _bytes(value: str) -> str:
    try:
        bytes.fromhex(value)
    except ValueError:
        raise ValueError("must be bytes in hexadecimal, such as '00 00 00 05'") from None
    return value


def _name_or_number(value: object) -> str | int:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError("must be a name given earlier, an execId or a permId")


Text: TypeAlias = Annotated[str, Strict(), AfterValidator(_without_nul)]
Whole: TypeAlias = Annotated[int, Strict(), _between(-(2**31) + 1, 2**31 - 1)]
Number: TypeAlias = Annotated[Decimal, BeforeValidator(_no_flag), AfterValidator(_small)]
"""Exact as written; in quotes or not."""
Positive: TypeAlias = Annotated[Number, AfterValidator(_above_zero)]
Seconds: TypeAlias = Annotated[Number, _between(0, MOST_SECONDS, " seconds")]
Times: TypeAlias = Annotated[int, Strict(), _between(0, 1000)]
Side: TypeAlias = Literal["BUY", "SELL", "SSHORT"]
Reference: TypeAlias = Annotated[str | int, PlainValidator(_name_or_number)]
Day: TypeAlias = Annotated[Text, AfterValidator(_day)]
Hexadecimal: TypeAlias = Annotated[Text, AfterValidator(_bytes)]
FieldText: TypeAlias = Annotated[
    Text, BeforeValidator(lambda value: str(value) if type(value) is int else value)
]


class Table(BaseModel):
    """Read one table of a scenario; a key that it does not have is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# Tables. The player receives an event's keys; None stands for a key that was left out.


class _Pushed(Table):
    push: StrictBool = True
    to: tuple[Whole, ...] | None = None


class _Placing(_Pushed):
    name: Text = ""
    contract: Text
    side: Side
    quantity: Positive
    client_id: Whole = 0
    order_id: Whole = 0
    order_ref: Text = ""
    account: Text = ""


class _OrderEvent(_Placing):
    type: Literal["LMT", "MKT", "STP"] = "LMT"
    limit: Number | None = None
    manual: StrictBool = False
    announce: StrictBool = True


class _Filling(_Pushed):
    name: Text = ""
    exec_id: Text = ""
    time_text: Text = ""
    fee: StrictBool = True
    commission: Number | None = None


class _FillEvent(_Filling):
    order: Reference = ""
    quantity: Positive | None = None
    price: Number | None = None
    leg_prices: tuple[Number, ...] | None = None


class _ExecuteEvent(_Placing, _Filling):
    price: Number


class _CorrectEvent(_Pushed):
    execution: Reference
    name: Text = ""
    quantity: Positive | None = None
    price: Number | None = None


class _RepeatEvent(Table):
    execution: Reference
    times: Times = 1
    to: tuple[Whole, ...] | None = None


class _FeeEvent(_Pushed):
    execution: Reference
    commission: Number | None = None
    realized_pnl: Number | None = None


class _ChangeEvent(Table):
    order: Reference
    quantity: Positive | None = None
    limit: Number | None = None


class _CancelEvent(Table):
    order: Reference
    push: StrictBool = True


class PositionEvent(Table):
    """Set what an account holds; also an opening position."""

    contract: Text
    quantity: Number
    cost: Number = Decimal(0)
    account: Text = ""
    push: StrictBool = True


class _SplitEvent(Table):
    contract: Text
    new: Positive
    old: Positive = Decimal(1)
    push: StrictBool = True


class _MergeEvent(_SplitEvent):
    into: Text


class _TransferEvent(Table):
    contract: Text
    quantity: Positive
    from_account: Text = ""
    to_account: Text = ""
    push: StrictBool = True


class _AssignEvent(Table):
    contract: Text
    stock: Text
    quantity: Positive
    account: Text = ""
    push: StrictBool = True


class _ExpireEvent(Table):
    contract: Text
    push: StrictBool = True


class _RenumberEvent(Table):
    account: Text
    into: Text
    push: StrictBool = True


class _PriceEvent(Table):
    contract: Text
    price: Positive


class _NoticeEvent(Table):
    code: Whole
    text: Text = ""
    to: tuple[Whole, ...] | None = None


class _DropEvent(Table):
    to: tuple[Whole, ...] | None = None


class _RestartEvent(Table):
    down_seconds: Seconds = Decimal(0)
    reuse_order_ids: StrictBool = False


class _FaultEvent(Table):
    withhold_exec_end: StrictBool = False
    withhold_open_order_end: StrictBool = False
    withhold_position_end: StrictBool = False
    withhold_completed_end: StrictBool = False
    silent: StrictBool = False
    ignored_requests: tuple[Whole, ...] = ()
    refuse_client_id: StrictBool = False
    drop_on_connect: StrictBool = False
    duplicate: Times = 1
    reorder: StrictBool = False
    late_fee_seconds: Seconds = Decimal(0)
    bad_zone: Text = ""
    no_perm_ids: StrictBool = False
    late_positions: StrictBool = False
    missing_positions: tuple[Text, ...] = ()


class _RawEvent(Table):
    fields_: tuple[FieldText, ...] = Field(alias="fields")
    to: tuple[Whole, ...] | None = None


class _GarbageEvent(Table):
    hex: Hexadecimal
    to: tuple[Whole, ...] | None = None


EVENTS: Final[dict[str, type[Table]]] = {
    "order": _OrderEvent,
    "fill": _FillEvent,
    "execute": _ExecuteEvent,
    "correct": _CorrectEvent,
    "repeat": _RepeatEvent,
    "fee": _FeeEvent,
    "change": _ChangeEvent,
    "cancel": _CancelEvent,
    "position": PositionEvent,
    "split": _SplitEvent,
    "merge": _MergeEvent,
    "transfer": _TransferEvent,
    "assign": _AssignEvent,
    "expire": _ExpireEvent,
    "renumber": _RenumberEvent,
    "price": _PriceEvent,
    "notice": _NoticeEvent,
    "drop": _DropEvent,
    "restart": _RestartEvent,
    "fault": _FaultEvent,
    "raw": _RawEvent,
    "garbage": _GarbageEvent,
}
"""The event's `do` -> the table of its keys."""


class _Stock(Table):
    symbol: Text
    con_id: Whole | None = None
    exchange: Text = ""
    currency: Text = ""


class _Option(Table):
    symbol: Text
    expiry: Day
    right: Literal["C", "P"]
    strike: Positive
    con_id: Whole | None = None
    trading_class: Text = ""
    multiplier: Text = ""


class _Future(Table):
    symbol: Text
    expiry: Day
    multiplier: Text
    local_symbol: Text
    exchange: Text = ""
    con_id: Whole | None = None


class _Bag(Table):
    symbol: Text


CONTRACTS: Final[dict[str, type[Table]]] = {
    "stock": _Stock,
    "option": _Option,
    "future": _Future,
    "bag": _Bag,
}


class Leg(Table):
    """Hold one leg of a combo."""

    contract: Text
    ratio: Whole = 1
    action: Literal["BUY", "SELL"]


class Timing(Table):
    """Hold when an event happens; commands have none."""

    at: Seconds
    packet: StrictBool = False


class GatewaySettings(Table):
    """Hold a scenario's settings of the gateway; None leaves one to the command line or the default."""

    accounts: tuple[Text, ...] | None = Field(default=None, min_length=1)
    master_client_id: Whole | None = None
    read_only: StrictBool | None = None
    time_form: Literal["zone", "utc_dash", "naive"] | None = None
    zone: Text | None = None
    latency: Seconds | None = None
    partials: Whole | None = None
    rest: StrictBool | None = None


class ScenarioFile(Table):
    """Hold the top of a scenario file; its parts are read one by one."""

    title: Text = ""
    begins: Literal["client", "start"] = "client"
    gateway: dict[str, Any] = {}
    contracts: dict[str, Any] = {}
    positions: list[Any] = []
    events: list[Any] = []
