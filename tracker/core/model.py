"""The facts and decisions of the tracker, as frozen values.

Owns the vocabulary: what the broker said (executions, fees, orders, positions, notices), what the alert
stores hold (alerts) and what the tracker decided (matches, updates). It never reads a clock, a file or a
socket, and knows nothing of ib_insync. Quantities and prices are `Decimal`, times are aware UTC.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from msgspec import Struct

JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None

Value: TypeAlias = bool | int | float | str | list[str] | None
"""What one key of an alert's `last_order_update` or `position` may hold."""

ZERO: Final = Decimal(0)

LIVE: Final = -1
"""reqId of a push that answers no request."""


class ExecutionKey(NamedTuple):
    """Identify an execution: one order may fill in several accounts under one execId."""

    account: str
    exec_id: str


class Moment(NamedTuple):
    """Order the entries of a contract: execution time, then arrival."""

    time: datetime
    seq: int


class OrderKey(NamedTuple):
    """Identify an order: by permId, else by (clientId, orderId); permId 0 is never a key."""

    perm_id: int
    client_id: int
    order_id: int

    @classmethod
    @lru_cache(1024)
    def of(cls, perm_id: int, client_id: int, order_id: int) -> OrderKey | None:
        """Return the durable key of an order; None if the broker gave no number for it.

        orderIds are unique per client only and are used again after a Gateway restart, so they count only
        while there is no permId; manual TWS orders have orderId 0.
        """
        if perm_id > 0:
            return cls(perm_id, 0, 0)
        if order_id > 0:
            return cls(0, client_id, order_id)
        return None


class AlertId(NamedTuple):
    """Identify one record of alerts.json; a replaced record has another created_at or option_conid."""

    alerter: str
    ticker: str
    created_at: str
    option_conid: int | None

    @property
    def name(self) -> str:
        """Return ALERTER/TICKER, the name people use."""
        return f"{self.alerter}/{self.ticker}"


class Source(StrEnum):
    """Name where a journalled frame came from."""

    BROKER = "broker"
    SENT = "sent"
    LINK = "link"
    STORE = "store"
    PERSON = "person"
    FLEX = "flex"


class Frame(Struct, frozen=True):
    """Hold one journalled input, unchanged: the raw fields of a TWS message, or a note of our own.

    For `broker` the fields are the message's, index 0 the message id. For `sent` they are the request
    (`positions`, or `executions`, reqId, account). For the other sources index 0 names the event and the
    rest are its values (see `core.journal_entries`). `connection_no` counts the connections of this journal.
    """

    seq: int
    received_at: datetime
    connection_no: int
    source: Source
    fields: tuple[str, ...]


class Side(StrEnum):
    """Name the direction as orders do; executions say BOT and SLD."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1


class Contract(Struct, frozen=True):
    """Describe an instrument; con_id is its identity, the rest describes it."""

    con_id: int
    symbol: str
    sec_type: str
    expiry: date | None = None
    strike: Decimal | None = None
    right: str = ""
    """C, P or empty."""
    multiplier: str = ""
    currency: str = ""
    local_symbol: str = ""
    trading_class: str = ""

    @property
    def is_option(self) -> bool:
        return self.sec_type in ("OPT", "FOP")

    @property
    def is_combo(self) -> bool:
        """A BAG execution repeats what its legs say, so it is never counted."""
        return self.sec_type == "BAG"


class Execution(Struct, frozen=True):
    """State one fill, as the broker reported it."""

    exec_id: str
    account: str
    contract: Contract
    side: Side
    quantity: Decimal
    """Positive; may be fractional."""
    price: Decimal
    time: datetime
    """Execution time; the receipt where the broker's text could not be read (`time_known` is False)."""
    time_text: str
    time_known: bool
    perm_id: int
    order_id: int
    client_id: int
    cum_qty: Decimal | None
    avg_price: Decimal | None
    order_ref: str
    request_id: int
    """-1 for a live push, else the reqExecutions it answers."""
    cause: str = ""
    """Why it came without an order (`expired`, `exercised`, `assigned`), as a report says."""

    @property
    def key(self) -> ExecutionKey:
        return ExecutionKey(self.account, self.exec_id)

    @property
    def order_key(self) -> OrderKey | None:
        return OrderKey.of(self.perm_id, self.client_id, self.order_id)

    @property
    def signed(self) -> Decimal:
        return self.quantity * self.side.sign


_VERSION: Final = re.compile(r"\d{1,18}", re.ASCII)


class ExecIdParts(Struct, frozen=True):
    """Split an execId into the part that names the execution and its version."""

    root: str
    version: int


@lru_cache(4096)
def correction_parts(exec_id: str) -> ExecIdParts | None:
    """Split a four-segment execId; None for any other form.

    IBKR: a correction differs only in the digits after the last period. Five-segment ids of combo legs
    separate genuine executions, so they are never read as corrections.
    """
    segments = exec_id.split(".")
    if len(segments) != 4 or not _VERSION.fullmatch(segments[3]):
        return None
    return ExecIdParts(".".join(segments[:3]), int(segments[3]))


def correction_version(exec_id: str) -> int:
    """Return the number by which the versions of one execution are ordered; 0 where it can have no other."""
    parts = correction_parts(exec_id)
    return 0 if parts is None else parts.version


class CommissionReport(Struct, frozen=True):
    """State the fee of an execution; None where the broker has not said (pending, unset)."""

    exec_id: str
    commission: Decimal | None
    currency: str
    realized_pnl: Decimal | None


class OrderStatus(Struct, frozen=True):
    """Hold an orderStatus; it may be repeated and is not guaranteed, so it moves no quantity."""

    order_id: int
    client_id: int
    perm_id: int
    status: str
    filled: Decimal | None
    remaining: Decimal | None

    @property
    def order_key(self) -> OrderKey | None:
        return OrderKey.of(self.perm_id, self.client_id, self.order_id)


class OpenOrder(Struct, frozen=True):
    """State an order as openOrder or completedOrder describe it."""

    order_id: int
    client_id: int
    perm_id: int
    account: str
    contract: Contract
    side: str
    total: Decimal | None
    order_ref: str
    status: str
    legs: tuple[tuple[int, int], ...] = ()
    """(con_id, ratio) of a combo's legs."""

    @property
    def order_key(self) -> OrderKey | None:
        return OrderKey.of(self.perm_id, self.client_id, self.order_id)


class CompletedOrder(Struct, frozen=True):
    """State an order that ended today, as completedOrder describes it: neither orderId nor clientId."""

    perm_id: int
    account: str
    status: str
    con_id: int = 0
    total: Decimal | None = None
    """The order's size; None where the broker leaves it out, as it does for a filled order."""
    filled: Decimal | None = None
    legs: tuple[tuple[int, int], ...] = ()
    """(con_id, ratio) of each leg of a combo."""

    @property
    def order_key(self) -> OrderKey | None:
        return OrderKey.of(self.perm_id, 0, 0)


class Position(Struct, frozen=True):
    """Hold the broker's position of one contract in one account; signed."""

    account: str
    contract: Contract
    quantity: Decimal


class EndOf(StrEnum):
    """Name the answer that an End message closes."""

    EXECUTIONS = "executions"
    POSITIONS = "positions"
    OPEN_ORDERS = "open_orders"
    COMPLETED_ORDERS = "completed_orders"


class End(Struct, frozen=True):
    """Close an answer; `request_id` is -1 where the message carries none."""

    of: EndOf
    request_id: int


class BrokerTime(Struct, frozen=True):
    """Hold the broker's time, cut to the second."""

    at: datetime


class Notice(Struct, frozen=True):
    """Carry message 4: an error of a request or an order, or a system notice (request_id -1)."""

    request_id: int
    code: int
    text: str


class Undecodable(Struct, frozen=True):
    """Keep what could not be read, with the reason; the raw frame stays in the journal."""

    kind: str
    """execution, commission, order, position or another message's name."""
    reason: str
    exec_id: str = ""
    """The execId, if it could still be read."""
    live: bool = False
    """Whether it is an execution that was pushed, not listed by a sweep."""
    contract: str = ""
    """Of a position, account and contract, as `ContractKey.text`, if they could still be read."""


OrderFact: TypeAlias = OrderStatus | OpenOrder | CompletedOrder
BrokerFact: TypeAlias = (
    Execution | CommissionReport | OrderFact | Position | End | BrokerTime | Notice | Undecodable
)


class Fill(Struct, frozen=True):
    """Join an execution with its fee, None while that is pending."""

    execution: Execution
    fee: CommissionReport | None


class ExpiryKind(StrEnum):
    """Name what an alert's expiry text was read as."""

    DAY = "day"
    MONTH = "month"
    """`OCT25`: a day of October or the month of October 2025; both readings are kept."""
    NONE = "none"
    UNUSABLE = "unusable"


class Expiry(Struct, frozen=True):
    """Hold an alert's expiry as read relative to its creation."""

    kind: ExpiryKind
    day: date | None = None
    """The day meant; under MONTH the reading as a day, None where that day does not exist."""
    month: tuple[int, int] | None = None
    """(year, month) under MONTH."""
    text: str = ""

    @property
    def usable(self) -> bool:
        return self.kind in (ExpiryKind.DAY, ExpiryKind.MONTH)


NO_EXPIRY: Final = Expiry(ExpiryKind.NONE)


class StoredContract(Struct, frozen=True):
    """Hold an alerter's last contract from its read-only store; fills in what an alert lacks."""

    alerter: str
    """The key as that store spells it; compare by `core.alerters.AlerterNames.key`."""
    symbol: str
    right: str
    strike: Decimal | None
    expiry: Expiry
    con_id: int | None = None


class Unfilled(Struct, frozen=True):
    """Hold what a record said before stored contracts filled it in, until it is known when it was written."""

    expiry: Expiry
    con_ids: frozenset[int]
    stored: tuple[StoredContract, ...]


class Alert(Struct, frozen=True):
    """Hold what matching needs of one record of alerts.json."""

    id: AlertId
    open: bool
    created_at: datetime | None
    """Aware UTC; None where the record's text could not be read."""
    con_ids: frozenset[int]
    """option_conid and option_conids; never the underlying's conid."""
    symbol: str
    is_option: bool
    """Whether the record is about an option: any of strike, side or expiry, or an option conid."""
    strike: Decimal | None = None
    right: str = ""
    expiry: Expiry = NO_EXPIRY
    problems: tuple[str, ...] = ()
    """What could not be read, as text for people."""
    written_on: date | None = None
    """The writer's date at that time: in the zone that the record names, else in that of the stores."""
    first_seen: datetime | None = None
    """When we first saw a record without a time of creation; it counts as created then."""
    unfilled: Unfilled | None = None
    """What stored contracts filled in although they may have expired when it was written."""

    @property
    def began_at(self) -> datetime | None:
        """When it counts as created."""
        return self.created_at or self.first_seen


class Rule(StrEnum):
    """Name the reason for which a fill belongs to an alert, strongest first."""

    ORDER_REF = "order_ref"
    CON_ID = "con_id"
    CONTRACT = "contract"
    STRIKE = "strike"
    SYMBOL = "symbol"
    PERSON = "person"
    """A person assigned the fill."""


class Rejection(Struct, frozen=True):
    """Hold why a candidate is not the alert of a fill."""

    alert: AlertId
    reason: str
    near: bool = False
    """A near miss, which needs a person: only one detail differs."""


class Matched(Struct, frozen=True, tag="matched"):
    """Name the alerts a fill belongs to, each with its rule."""

    alerts: tuple[tuple[AlertId, Rule], ...]
    rejected: tuple[Rejection, ...] = ()


class Unmatched(Struct, frozen=True, tag="unmatched"):
    """Hold that no alert matches, and why."""

    reason: str
    rejected: tuple[Rejection, ...] = ()


class Ambiguous(Struct, frozen=True, tag="ambiguous"):
    """Hold several alerts of which a person must choose one."""

    rule: Rule
    alerts: tuple[AlertId, ...]
    rejected: tuple[Rejection, ...] = ()


Match: TypeAlias = Matched | Unmatched | Ambiguous


class AlertUpdate(Struct, frozen=True):
    """State the absolute values that one record must show; the outbox's row.

    `last_order_update` and `position` are JSON-ready, their keys in the order of `core.alert_updates`;
    None leaves what the record has. `remove` takes the record out instead (closing.policy = remove).
    """

    alert: AlertId
    open: bool
    last_order_update: Mapping[str, Value] | None
    position: Mapping[str, Value] | None
    remove: bool = False


class Outcome(StrEnum):
    """Name what the store did with an AlertUpdate."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    """The record already shows exactly these values; nothing was written for it."""
    GONE = "gone"
    """No record of this identity is there (deleted or replaced); nothing was written for it."""


class StoreUnavailable(Exception):
    """The alert store cannot be read or written right now; nothing was changed, try again later."""


class Totals(Struct, frozen=True):
    """Sum what is known of the fills of one order in one account and contract."""

    filled: Decimal = ZERO
    cost: Decimal = ZERO
    """Sum of quantity times price."""
    last_price: Decimal | None = None
    commission: Decimal | None = None
    realized_pnl: Decimal | None = None
    fees_pending: int = 0
    most: Decimal = ZERO
    """The sum before a correction lowered it."""
