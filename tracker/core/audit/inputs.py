"""The three views that an audit compares: the ledger, the alert store and the broker, each frozen.

Owns the shapes only; `reconcile.views` fills them from the state, the store and a snapshot. A part that could
not be read is None, never empty: a failed answer is not an empty one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

from msgspec import Struct

from tracker.core.model import (
    ZERO,
    Alert,
    AlertId,
    AlertUpdate,
    CompletedOrder,
    Contract,
    Execution,
    OpenOrder,
    Position,
)
from tracker.core.ports import Shown


class OwnedView(Struct, frozen=True):
    """Hold the part of a position that the same alerts own together; it counts once for all of them."""

    owners: tuple[AlertId, ...]
    quantity: Decimal
    """Signed."""


class HeldView(Struct, frozen=True):
    """Hold what the ledger has of one contract in one account."""

    account: str
    contract: Contract
    quantity: Decimal
    """Held now, signed."""
    base: Decimal = ZERO
    """Held before the first execution that the ledger knows, signed."""
    executed: Decimal | None = None
    """Signed sum of all executions folded since; None if something else moved the position too."""
    owned: tuple[OwnedView, ...] = ()
    certain: bool = True
    """False while no complete snapshot confirmed it."""
    pending: Decimal = ZERO
    """The part of `quantity` that comes from an unexplained difference."""
    departed: bool = False
    """Whether two witnesses agree that the position ended without executions."""
    noticed: bool = True
    """Whether an answer that the tracker itself received shows the difference: only then can a person
    confirm it."""
    managed: bool = True
    """Whether the newest login manages the account; the broker answers nothing about other accounts."""
    expiring: bool = False
    """Whether its expiry day has come: then a difference is settled by its end or a named cause only."""

    @property
    def key(self) -> tuple[str, int]:
        return self.account, self.contract.con_id


class ExecutionView(Struct, frozen=True):
    """Hold one journalled execution and what the tracker did with it."""

    execution: Execution
    superseded: bool = False
    """Whether a correction is in force instead."""
    folded: bool = True
    """False while it waits to move quantities."""
    fee_known: bool = True
    imported: bool = False
    """Whether it is from a Flex report, which also has expiries, assignments and cancels, unlike the API."""
    attention: str = ""
    """Why it waits for a person; empty where it does not, or where it was dismissed."""


class DecidedView(Struct, frozen=True):
    """Hold the last decision about one record: what the store must show."""

    update: AlertUpdate
    pending: bool = False
    """Whether the outbox still holds it."""
    text_kept: bool = False
    """Whether the journal keeps the record's whole text, so that it can be put back."""


class OrderView(Struct, frozen=True):
    """Hold the broker's filled quantity of one order, and the sum of the ledger's fills.

    Over all accounts; for a combo in units of the combo.
    """

    perm_id: int
    name: str
    broker_filled: Decimal
    filled: Decimal


class GapView(Struct, frozen=True):
    """Hold a day of an account that no sweep proved complete."""

    account: str
    day: date
    reason: str


class UndecodableView(Struct, frozen=True):
    """Hold a frame that could not be read."""

    seq: int
    kind: str
    reason: str


class LedgerView(Struct, frozen=True):
    """Hold what the tracker knows."""

    client_id: int
    accounts: Collection[str] = ()
    """The watched accounts; empty means all."""
    held: Sequence[HeldView] = ()
    executions: Sequence[ExecutionView] = ()
    """All versions of the executions, at least of the time that the broker's answer covers."""
    decided: Sequence[DecidedView] = ()
    """Of records without a successor."""
    orders: Sequence[OrderView] = ()
    gaps: Sequence[GapView] = ()
    undecoded: Sequence[UndecodableView] = ()

    def watches(self, account: str) -> bool:
        return not self.accounts or account in self.accounts


class RecordView(Struct, frozen=True):
    """Hold one record of the alert store and what it shows."""

    alert: Alert
    shown: Shown


class StoreView(Struct, frozen=True):
    """Hold the alert store as it is now."""

    name: str
    """The path, for messages."""
    records: Sequence[RecordView] | None
    """None where the store could not be read."""
    trouble: str = ""


class BrokerView(Struct, frozen=True):
    """Hold one snapshot of the broker; None for what was not requested or not answered."""

    asked_at: datetime
    """When the first of its requests was sent."""
    positions: Sequence[Position] | None = None
    """A complete answer: a contract that it does not name is not held."""
    disturbed: Collection[tuple[str, int]] = ()
    """(account, con_id) with an execution while positions were requested; they are not compared."""
    executions: Sequence[Execution] = ()
    answered: Mapping[str, datetime] | None = None
    """Account -> since when its executions are listed in full; an account that gave no answer is missing."""
    open_orders: Sequence[OpenOrder] | None = None
    completed_orders: Sequence[CompletedOrder] | None = None
    unanswered: Sequence[str] = ()
    """Names of the requests that were sent and not answered."""

    def covers(self, execution: Execution) -> bool:
        """Return whether the executions listed reach from before this one to after it."""
        since = (self.answered or {}).get(execution.account)
        return since is not None and since <= execution.time < self.asked_at and execution.time_known
