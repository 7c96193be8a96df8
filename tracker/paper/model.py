"""What the paper broker's book holds: orders, executions, fees and positions.

Owns their fields, and what follows from one of them alone. It never reads a clock and knows no client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from tracker.paper import formats
from tracker.paper.contracts import PaperContract

ZERO: Final = Decimal(0)


class Status(StrEnum):
    """Name the order statuses this broker uses."""

    PRE_SUBMITTED = "PreSubmitted"
    SUBMITTED = "Submitted"
    PENDING_CANCEL = "PendingCancel"
    CANCELLED = "Cancelled"
    FILLED = "Filled"
    INACTIVE = "Inactive"


DONE: Final = frozenset({Status.FILLED, Status.CANCELLED, Status.INACTIVE})
"""Statuses of an order that is over; a real broker may revive an Inactive order, this one does not."""


@dataclass(slots=True, eq=False)
class PaperOrder:
    """Hold one order; the book alone changes it."""

    client_id: int
    account: str
    contract: PaperContract
    action: str
    """BUY, SELL or SSHORT."""
    quantity: Decimal
    order_id: int = 0
    """The owner's number; 0 for a manual order, negative once client 0 has bound it."""
    perm_id: int = 0
    order_type: str = "LMT"
    limit: Decimal | None = None
    aux: Decimal | None = None
    tif: str = "DAY"
    order_ref: str = ""
    manual: bool = False
    announced: bool = True
    """False: no openOrder of it is ever sent."""
    status: str = Status.SUBMITTED
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    """Sum of quantity times price over its executions."""
    last_price: Decimal = ZERO
    commission: Decimal | None = None
    modifications: int = 0
    parent_id: int = 0
    follows_market: bool = False
    """Placed by a client, so that it fills by the policy or at prices; others fill only when told to."""
    held: bool = False
    """Does not work yet: it is not transmitted, or its parent is not filled."""
    parent_of_others: bool = False
    triggered: bool = False
    """Whether the price of a stop or touch was reached."""
    trail_stop: Decimal | None = None
    """The present price of a trailing stop."""
    completed_at: datetime | None = None
    completed_status: str = ""
    terms: Mapping[str, str] = field(default_factory=dict)
    """The other fields that the client set and openOrder echoes, by the names of `encode_orders`."""
    conditions: tuple[tuple[str, ...], ...] = ()

    @property
    def remaining(self) -> Decimal:
        return max(self.quantity - self.filled, ZERO)

    @property
    def average_price(self) -> Decimal:
        return formats.average(self.cost, self.filled, self.last_price)

    @property
    def done(self) -> bool:
        return self.status in DONE

    @property
    def buys(self) -> bool:
        return self.action == "BUY"


@dataclass(frozen=True, slots=True)
class PaperExecution:
    """Hold one execution."""

    exec_id: str
    perm_id: int
    order_id: int
    client_id: int
    account: str
    contract: PaperContract
    side: str
    """BOT or SLD."""
    quantity: Decimal
    price: Decimal
    time: datetime
    exchange: str
    cum_qty: Decimal
    avg_price: Decimal
    order_ref: str = ""
    liquidity: str = "2"
    time_text: str | None = None
    """A text to write instead of the time, for tests of unreadable times."""
    manual: bool = False

    @property
    def signed(self) -> Decimal:
        return self.quantity if self.side == "BOT" else -self.quantity


@dataclass(frozen=True, slots=True)
class Fee:
    """Hold the fee of one execution; `realized_pnl` is None for an opening one."""

    exec_id: str
    commission: Decimal
    currency: str
    realized_pnl: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Hold a change of a position that no execution caused."""

    cause: str
    """split, merged, transferred, exercised, assigned, expired, renumbered or set."""
    account: str
    con_id: int
    before: Decimal
    after: Decimal
    time: datetime
    ratio: Decimal | None = None
    """How many new ones replace one old, in a split or merger."""
    into: int = 0
    """The conId that replaced this one in a merger."""


@dataclass(slots=True, eq=False)
class PaperPosition:
    """Hold what one account has of one contract."""

    account: str
    contract: PaperContract
    quantity: Decimal = ZERO
    average_cost: Decimal = ZERO
    """Per share or contract, with the multiplier in it, as the broker reports it."""
    realized: Decimal = ZERO
    last_price: Decimal = ZERO

    def add(self, signed: Decimal, price: Decimal) -> Decimal | None:
        """Add a fill; return the profit it realized before fees, None where it only opened."""
        cost = price * self.contract.factor
        self.last_price = price
        closing = min(abs(signed), abs(self.quantity)) if signed * self.quantity < 0 else ZERO
        realized = None
        if closing:
            realized = (cost - self.average_cost) * (closing if self.quantity > 0 else -closing)
            self.realized += realized
        opening = abs(signed) - closing
        quantity = self.quantity + signed
        if opening and not closing:
            held = abs(self.quantity)
            self.average_cost = (self.average_cost * held + cost * opening) / (held + opening)
        elif opening:
            self.average_cost = cost
        elif not quantity:
            self.average_cost = ZERO
        self.quantity = quantity
        return realized
