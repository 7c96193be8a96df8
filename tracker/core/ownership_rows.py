"""The rows of state about who owns an order's lots, and until when an order is matched again.

Owns decisions with their places, the owners of orders, and the counters of retry windows. Rows are frozen,
like those of `state_rows`; they decide nothing.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from msgspec import Struct

from tracker.core.model import ZERO, Alert, AlertId, ExecutionKey, Match, Moment, Rule
from tracker.core.state_rows import ContractKey


class OwnershipKind(StrEnum):
    """Name what a decision does with lots."""

    MATCHED = "matched"
    """A rule adds alerts to the owners of what is left of an order's lots."""
    YOUNGER = "younger"
    """An alert found for an execution that is older than the alert owns what is left at its creation."""
    ASSIGNED = "assigned"
    """A person gives what is left of an order's lots to one alert, and to no other."""
    SUCCEEDED = "succeeded"
    """What is left of an alert's lots goes to its successor."""
    PART = "part"
    """A person gives a part of what is left of one fill to one alert."""
    REJOINED = "rejoined"
    """A person takes parts back: they go to the owners of the lots they were cut from."""


class Decided(Struct, frozen=True):
    """Hold an alert that a decision gives lots to, and what was known of it then."""

    alert: AlertId
    rule: Rule | None = None
    open_elsewhere: bool = False
    closed_elsewhere: datetime | None = None
    """Kept by an older version: whether it had a position elsewhere, and when the last one was closed."""
    closed: datetime | None = None
    """Of a late match, and of one that is in force again: when its last position had been closed; None if one
    was open, or it never had any."""
    closed_known: bool = False
    """Whether `closed` is set; an older version computed it at each fold."""
    closing: str | None = None
    """The execId, without its version, that last closed it in the decision's contract, empty where an
    adjustment did; None where nothing did, or an older version made the decision."""
    behind: tuple[str, ...] = ()
    """Of the order's executions of that second, named as in `closing`, those with lots behind the close; they
    stay so where something else closes it by now."""


class OwnershipDecision(Struct, frozen=True):
    """Hold one decision about the lots of one contract, with its place among the executions.

    The place is written down when the decision is made, and never computed again.
    """

    account: str
    con_id: int
    seq: int
    """The frame with which it was made."""
    number: int
    """Its number among the decisions made with this frame."""
    place: Moment
    """The second of the last execution before it, and the frame up to which executions of this second are
    before it."""
    kind: OwnershipKind
    alerts: tuple[Decided, ...]
    order: str = ""
    """The order that it is about, see `OrderOwners`; empty where it is about the lots of `taken_from`."""
    taken_from: AlertId | None = None
    whole: bool = False
    """Whether the successor is the same alert, which keeps all it had, even if that is closed."""
    at: datetime | None = None
    """When it was made, by our clock."""
    skew_seconds: float = 0.0
    """How far our clock was ahead of the broker's, as last measured."""
    in_vain: bool = False
    """Whether nothing was left when it was made, so that it never changes anything."""
    before: tuple[tuple[AlertId, Rule], ...] = ()
    """Of an assignment: who owned the order before, for `tracker undo`."""
    was: Match | None = None
    """Of an assignment: the verdict about the order before; None where an older version made it."""
    fill: str = ""
    """Of a part: the execId of its fill, without its version."""
    quantity: Decimal = ZERO
    """Of a part: its quantity, positive."""
    undone: int = 0
    """Of parts that rejoin: the frame with which they were given."""


class Claim(Struct, frozen=True):
    """Hold the second from which an alert owns an order: executions from then on are its own when booked."""

    alert: AlertId
    since: datetime
    decided: bool
    """Whether a decision there gives it what is left of older fills; else it was matched as booked."""


class OrderOwners(Struct, frozen=True):
    """Hold who owns the lots of one order: its fills in one account and contract stay together."""

    order: str
    """Row key: account, conId and permId; an execution without a permId is an order of its own."""
    contract: ContractKey
    first: ExecutionKey
    """The execution by which it is matched."""
    match: Match
    """The newest verdict about it."""
    settled: str = ""
    """`reference`, `person` or `dismissed` where it is never matched again."""
    claims: tuple[Claim, ...] = ()
    """The time from which each owner owns it."""


_SPAN_SECONDS: Final = 10


def span_text(seconds: float) -> str:
    """Return the span of our running time that contains a moment of it; texts sort as the moments do."""
    return f"{int(seconds // _SPAN_SECONDS):010d}"


class RetryWindow(Struct, frozen=True):
    """Hold until when an order is matched again."""

    order: str
    began: float
    """Seconds for which we had run with a readable store when the window began."""
    over: bool = False


class RunTime(Struct, frozen=True):
    """Hold for how many seconds we ran with a readable store, over all starts."""

    seconds: float


class FirstSeen(Struct, frozen=True):
    """Hold when we first saw a record without a time of creation, and the record as it was then.

    Its contract is a part of its identity: with another contract it is another record.
    """

    alert: AlertId
    at: datetime
    record: Alert | None = None
    earlier: tuple[FirstSeen, ...] = ()
    """Earlier records of the name, each of another contract, the newest first; one may come back."""
    respelled: bool = False
    """Whether the record was written in another spelling since: one that has this name again is another."""
