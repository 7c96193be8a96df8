"""The rows of state about whose an order's lots are, and until when an order is matched again.

Owns decisions with their places, the owners of orders, and what retry windows are counted by. Rows are
frozen, as those of `state_rows`; they decide nothing.
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
    """Say what a decision does with lots."""

    MATCHED = "matched"
    """A rule gives alerts to what is left of an order's lots, beside those that have them."""
    YOUNGER = "younger"
    """An alert, found as an execution older than it was booked, owns what is left at its creation."""
    ASSIGNED = "assigned"
    """A person gives what is left of an order's lots to one alert, and to no other."""
    SUCCEEDED = "succeeded"
    """What is left of an alert's lots goes to its successor."""
    PART = "part"
    """A person gives a part of what is left of one fill to one alert."""
    REJOINED = "rejoined"
    """A person takes parts back: they go to those who owned what they were cut from."""


class Decided(Struct, frozen=True):
    """Name an alert that a decision gives lots to, and what was known of it then."""

    alert: AlertId
    rule: Rule | None = None
    open_elsewhere: bool = False
    closed_elsewhere: datetime | None = None
    """What an older version kept: whether it had a position elsewhere, and when the last was over."""
    closed: datetime | None = None
    """Of a late match: when its last position was over; None where one was open, or it never had any."""
    closed_known: bool = False
    """Whether `closed` says it: an older version computed it at each fold."""


class OwnershipDecision(Struct, frozen=True):
    """Hold one decision about the lots of one contract, with its place among the executions.

    The place is written down when the decision is made, and never computed again.
    """

    account: str
    con_id: int
    seq: int
    """The frame with which it was made."""
    number: int
    """Among those that were made with this frame."""
    place: Moment
    """Second of the last execution behind which it stands, and the frame up to which those of this very
    second stand before it."""
    kind: OwnershipKind
    alerts: tuple[Decided, ...]
    order: str = ""
    """What it decides, see `OrderOwners`; empty where it is about the lots of `taken_from`."""
    taken_from: AlertId | None = None
    whole: bool = False
    """The successor is the same alert, so that it keeps what it had, also where that is closed."""
    at: datetime | None = None
    """When it was made, by our clock."""
    skew_seconds: float = 0.0
    """How far our clock was taken to be ahead of the broker's."""
    in_vain: bool = False
    """Nothing was left when it was made, so it changes nothing, whatever becomes known later."""
    before: tuple[tuple[AlertId, Rule], ...] = ()
    """Of an assignment: whose the order was before, for `tracker undo`."""
    was: Match | None = None
    """Of an assignment: the verdict about the order before; None where an older version made it."""
    fill: str = ""
    """Of a part: the execId of its fill, without its version."""
    quantity: Decimal = ZERO
    """Of a part: how much it is, positive."""
    undone: int = 0
    """Of parts that rejoin: the frame with which they were given."""


class Claim(Struct, frozen=True):
    """Say from which second on an alert owns an order: what is executed from then on is its own as booked."""

    alert: AlertId
    since: datetime
    decided: bool
    """A decision stands there, which gives it what is left of older fills; else it was matched as booked."""


class OrderOwners(Struct, frozen=True):
    """Hold to whom the lots of one order belong: its fills in one account and contract stay together."""

    order: str
    """Row key: account, conId and permId; an execution without a permId stands for itself."""
    contract: ContractKey
    first: ExecutionKey
    """The execution by which it is judged."""
    match: Match
    """The newest verdict about it."""
    settled: str = ""
    """`reference`, `person` or `dismissed` where it is never matched again."""
    claims: tuple[Claim, ...] = ()
    """From when on its owners own it."""


_SPAN_SECONDS: Final = 10


def span_text(seconds: float) -> str:
    """Return the span of the time that we ran in which a moment of it lies; texts sort as the moments do."""
    return f"{int(seconds // _SPAN_SECONDS):010d}"


class RetryWindow(Struct, frozen=True):
    """Hold until when an order is matched again."""

    order: str
    began: float
    """Seconds that we had run with a readable store when it began."""
    over: bool = False


class RunTime(Struct, frozen=True):
    """Hold for how many seconds we ran with a readable store, over all starts."""

    seconds: float


class FirstSeen(Struct, frozen=True):
    """Hold when we first saw a record that names no time of its creation, and what it said then.

    Its contract is a part of its identity: of another one it is another record.
    """

    alert: AlertId
    at: datetime
    record: Alert | None = None
