"""What the oracle is given: events in the order in which the tracker handled them.

Owns the identity of an execution (corrections included) and of an order. It knows nothing of alerts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

ZERO: Final = Decimal(0)

AccountContract = tuple[str, int]
"""(account, conId)."""
Cause = Literal["expired", "exercised", "assigned", "split", "transferred", "adjusted"]


@dataclass(frozen=True, slots=True)
class Contract:
    """What an execution says about its contract, as on the wire; `expiry` is the last trade date."""

    con_id: int
    symbol: str
    sec_type: str = "STK"
    right: str = ""
    strike: Decimal | None = None
    expiry: str = ""
    local_symbol: str = ""
    trading_class: str = ""
    multiplier: str = ""

    @property
    def is_option(self) -> bool:
        return self.sec_type in ("OPT", "FOP")


# Each event has `at`: the host's clock when the tracker handled it.


@dataclass(frozen=True, slots=True)
class Executed:
    """An execution arrived; `time` is the broker's, to the second, in UTC."""

    at: datetime
    exec_id: str
    account: str
    contract: Contract
    side: Literal["BOT", "SLD"]
    quantity: Decimal
    price: Decimal
    time: datetime
    live: bool = True
    perm_id: int = 0
    client_id: int = 0
    order_id: int = 0
    order_ref: str = ""
    time_known: bool = True
    """Whether its time could be read; else `time` is when it came."""

    @property
    def signed(self) -> Decimal:
        return self.quantity if self.side == "BOT" else -self.quantity


@dataclass(frozen=True, slots=True)
class UndecodableArrived:
    """A frame that nobody can decode arrived; `exec_id` as far as it can be read."""

    at: datetime
    exec_id: str = ""
    live: bool = False
    """Whether it was pushed, not listed by a sweep."""


@dataclass(frozen=True, slots=True)
class StoreRead:
    """The stores were read: `alerts` is alerts.json as parsed, None while it is absent or unreadable.

    `contracts` is alerter_contracts.json; `zone` is the stores' time zone.
    """

    at: datetime
    alerts: Mapping[str, Mapping[str, Any]] | None
    contracts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    zone: str = "UTC"
    looked: bool = True
    """Whether orders are matched again and successors found at once; else `LookedAgain` follows."""


@dataclass(frozen=True, slots=True)
class StoreUnchanged:
    """The store can be read, and says what it said."""

    at: datetime


@dataclass(frozen=True, slots=True)
class LookedAgain:
    """What was read is looked through: who takes over, and which orders are matched again."""

    at: datetime
    rematch: bool = False
    """Whether orders are matched again although nothing new was read."""
    noted: bool = False
    """An earlier process looked, and wrote down who takes over; it is due up to the frame `until`."""
    until: int | None = None
    known: Known | None = None
    """What was known as it looked; None: all that is known now."""
    partly: bool = False
    """Whether another one follows, which decides what else was found."""


class Known(NamedTuple):
    """What a look at the stores finds something for; what is found is decided by what stands there then."""

    orders: tuple[OrderKey, ...]
    """Those of which the match would be another one, the oldest first by what was known."""
    alerts: frozenset[int]
    """Those of which something goes to another one."""


@dataclass(frozen=True, slots=True)
class LookNoted:
    """Who takes over was written down by what was read so far; it is decided with the next `LookedAgain`."""

    at: datetime
    behind: int = 0
    """The last frame before it."""


@dataclass(frozen=True, slots=True)
class PersonDecided:
    """A person assigned an execution's order to an alert (`ALERTER/TICKER`), dismissed it, or undid that."""

    at: datetime
    action: Literal["assign", "dismiss", "undo"]
    exec_id: str
    alert: str = ""
    created_at: str = ""
    """The record that was meant, by its created_at, where several had the name one after the other."""
    number: int = 0
    """Its own; of an undo that of what it takes back, 0 for the last decision about the order."""


@dataclass(frozen=True, slots=True)
class Started:
    at: datetime


@dataclass(frozen=True, slots=True)
class Stopped:
    at: datetime
    killed: bool = False
    """How long it ran since it last kept that, or booked a fill, is lost; so is when it first saw records."""


@dataclass(frozen=True, slots=True)
class FirstSeenKept:
    """When records without created_at were first seen outlasts a crash, as far as they were seen by now."""

    at: datetime


@dataclass(frozen=True, slots=True)
class RunTimeKept:
    """How long it ran until now outlasts a crash."""

    at: datetime


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Nothing happened until now; the retry windows ran on."""

    at: datetime


@dataclass(frozen=True, slots=True)
class ClockJumped:
    """Our clock was set; `at` is the time after it, `by` the part that nobody lived through."""

    at: datetime
    by: timedelta


@dataclass(frozen=True, slots=True)
class SkewMeasured:
    """The broker was asked for its time; `skew` is the host's clock less the broker's."""

    at: datetime
    skew: timedelta


@dataclass(frozen=True, slots=True)
class Connected:
    at: datetime
    connection: int
    accounts: frozenset[str] = frozenset()
    """The accounts that this login manages; empty where nothing was told."""


@dataclass(frozen=True, slots=True)
class SweepAsked:
    at: datetime
    connection: int
    account: str = ""
    """Empty where it asks for all accounts at once."""


@dataclass(frozen=True, slots=True)
class SweepEnded:
    """A sweep was answered in whole on this connection."""

    at: datetime
    connection: int
    account: str = ""


@dataclass(frozen=True, slots=True)
class SweepChecked:
    """A sweep that ended listed all that was known of its day: what it lacked was not made yet."""

    at: datetime
    connection: int
    account: str = ""


@dataclass(frozen=True, slots=True)
class SweepGivenUp:
    """Nothing more is expected of a sweep, whose end did not come."""

    at: datetime
    connection: int
    account: str = ""


@dataclass(frozen=True, slots=True)
class BrokerLost:
    """The gateway lost its link to the broker: no sweep from before counts, nor any until it is back."""

    at: datetime
    connection: int


@dataclass(frozen=True, slots=True)
class BrokerBack:
    """The gateway has its link to the broker again, which it may have lost without a word."""

    at: datetime
    connection: int


@dataclass(frozen=True, slots=True)
class PositionsAsked:
    at: datetime
    connection: int


@dataclass(frozen=True, slots=True)
class PositionsAnswered:
    """The answer to the last `PositionsAsked` of this connection ended.

    `held` has one entry for each row, zero rows included. `broker_time` is the broker's time, asked for just
    before. `undisturbed` is False where the link to the broker was lost in between; executions in between the
    oracle sees by itself.
    """

    at: datetime
    connection: int
    held: Mapping[AccountContract, Decimal]
    complete: bool = True
    broker_time: datetime | None = None
    undisturbed: bool = True


@dataclass(frozen=True, slots=True)
class OpeningTold:
    """What was held before the first execution, told from outside instead of by position answers."""

    at: datetime
    account: str
    con_id: int
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class GapFound:
    """A day passed that was never proven."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GapClosed:
    """Every unproven day so far was proven after all."""

    at: datetime


@dataclass(frozen=True, slots=True)
class DaysUnproven:
    """These days are not proven by anything now, a person's word apart."""

    at: datetime
    days: frozenset[date]


@dataclass(frozen=True, slots=True)
class AdjustmentTold:
    """Flex or a person told why a position changed without executions, at the broker's `time`.

    Without a time it explains the difference that the broker's answers showed, and stands in its place.
    `ratio` is new units for one old unit; `becomes` another conId; `moved_to` another account; `held` what is
    held afterwards, by default what the broker said.
    """

    at: datetime
    account: str
    con_id: int
    cause: Cause
    time: datetime | None
    held: Decimal | None = None
    ratio: Decimal | None = None
    becomes: Contract | None = None
    moved_to: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class AdjustmentUndone:
    """Take back the latest told or inferred adjustment of this account and contract."""

    at: datetime
    account: str
    con_id: int


@dataclass(frozen=True, slots=True)
class OrderTold:
    """An openOrder: its total and status; `ratios` has, for a combo, each leg's conId with its ratio."""

    at: datetime
    total: Decimal
    perm_id: int = 0
    client_id: int = 0
    order_id: int = 0
    ratios: Mapping[int, Decimal] = field(default_factory=dict)
    status: str = ""


@dataclass(frozen=True, slots=True)
class StatusTold:
    """An orderStatus."""

    at: datetime
    status: str
    filled: Decimal
    remaining: Decimal
    perm_id: int = 0
    client_id: int = 0
    order_id: int = 0


@dataclass(frozen=True, slots=True)
class OpenOrdersAsked:
    at: datetime


@dataclass(frozen=True, slots=True)
class OpenOrdersAnswered:
    """The answer about all open orders ended; `perm_ids` are the orders that it told."""

    at: datetime
    perm_ids: frozenset[int]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class CompletedOrderTold:
    at: datetime
    perm_id: int
    status: str
    filled: Decimal | None = None
    total: Decimal | None = None
    """Its size, which the broker leaves out where it is filled."""


Event = (
    Executed
    | UndecodableArrived
    | StoreRead
    | StoreUnchanged
    | LookedAgain
    | LookNoted
    | PersonDecided
    | Started
    | Stopped
    | RunTimeKept
    | FirstSeenKept
    | TimePassed
    | ClockJumped
    | SkewMeasured
    | Connected
    | SweepAsked
    | SweepEnded
    | SweepChecked
    | SweepGivenUp
    | BrokerLost
    | BrokerBack
    | PositionsAsked
    | PositionsAnswered
    | OpeningTold
    | GapFound
    | GapClosed
    | DaysUnproven
    | AdjustmentTold
    | AdjustmentUndone
    | OrderTold
    | StatusTold
    | OpenOrdersAsked
    | OpenOrdersAnswered
    | CompletedOrderTold
)


class OrderKey(NamedTuple):
    """Fills of one order stay together; without permId each execution stands alone (rule 2.2)."""

    account: str
    con_id: int
    perm_id: int
    alone: str = ""
    """The execution's root where there is no permId."""

    @property
    def holding(self) -> AccountContract:
        return self.account, self.con_id


def root_and_version(exec_id: str) -> tuple[str, int]:
    """Split a four-segment execId; the fifth segment of a combo's leg is no version."""
    root, _, last = exec_id.rpartition(".")
    if exec_id.count(".") == 3 and last.isdigit():
        return root, int(last)
    return exec_id, 0


@dataclass(slots=True)
class Fact:
    """One execution of the broker in all its versions; a correction changes it in its place (rule 1.1)."""

    key: str
    """What a correction must share: account, root, permId, conId and side."""
    root: str
    order: OrderKey
    booked_no: int
    """Counts the facts by arrival."""
    lived_at: timedelta
    """How long we had run with a readable store when it was booked."""
    versions: dict[int, Executed] = field(default_factory=dict)
    arrived: dict[int, int] = field(default_factory=dict)
    """version -> its number among all that arrived."""

    @property
    def now(self) -> Executed:
        return self.versions[max(self.versions)]

    @property
    def was_in_force(self) -> bool:
        """Return whether it was more than a void when it first came."""
        return bool(next(iter(self.versions.values())).quantity)

    @property
    def told_time(self) -> datetime:
        """Its time for an alert's age; finer than a second where it is that of the receipt.

        A correction is never older than what it corrects, and no receipt older than what it brought; so the
        earliest time that was told is nearest to the broker's.
        """
        return min(version.time for version in self.versions.values())

    @property
    def time(self) -> datetime:
        """Its place: a correction's own time moves nothing."""
        return self.told_time.replace(microsecond=0)


def fact_key(event: Executed) -> str:
    root, _ = root_and_version(event.exec_id)
    return f"{event.account}|{root}|{event.perm_id}|{event.contract.con_id}|{event.side}"


def order_key(event: Executed) -> OrderKey:
    root, _ = root_and_version(event.exec_id)
    alone = "" if event.perm_id else root
    return OrderKey(event.account, event.contract.con_id, event.perm_id, alone)
