"""The rows of state that outlive a day.

Owns what is kept between facts: booked executions, holdings and their lots, orders, alert states, what was
proven and what was missed. Rows are frozen: a change is a new row. Nothing here decides anything; `state`
says how rows are kept and found.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from tracker.core.answer_rows import PositionAnswer
from tracker.core.lot_rows import Lot
from tracker.core.model import (
    ZERO,
    Alert,
    AlertId,
    AlertUpdate,
    Ambiguous,
    Contract,
    Execution,
    ExecutionKey,
    Match,
    Matched,
    Moment,
    OrderKey,
    Position,
    Rule,
    Source,
    Totals,
    correction_parts,
)
from tracker.core.packed_lots import owner_sets
from tracker.core.part_rows import FillPart


class ContractKey(NamedTuple):
    """Name what is held: one contract in one account."""

    account: str
    con_id: int

    def text(self) -> str:
        return f"{self.account} {self.con_id}"


class Attention(StrEnum):
    """Say why a fill needs a person; a fill of no alert needs none."""

    NONE = ""
    AMBIGUOUS = "ambiguous"
    NEAR_MISS = "near_miss"
    REOPENED = "reopened"
    """Its alert had been taken out of the store when a correction opened it again."""


UNREAD: Final = -1
"""In place of a sweep: the execution had come before and could not be read."""


class BookedExecution(Struct, frozen=True):
    """Hold one execution with the tracker's decision about it."""

    execution: Execution
    seq: int
    """The frame that brought it first."""
    received_at: datetime
    connection_no: int = field(name="session")
    match: Match
    place: Moment | None = None
    """Its place among the contract's entries: a correction has the place of the first version."""
    source: Source = Source.BROKER
    superseded_by: str = ""
    """execId of the correction in force instead of this one."""
    folded: bool = False
    """False while it waits for the end of its sweep, or for its contract's opening balance."""
    opening: Decimal = ZERO
    """Signed part that moved the position away from zero."""
    closing: Decimal = ZERO
    """Signed part that moved the position toward zero."""
    owners: tuple[AlertId, ...] = ()
    """The alerts that this execution touched."""
    at_booking: tuple[AlertId, ...] | None = None
    """The alerts that its opening part belongs to from the start; None where an older version booked it, so
    that all of `match` is meant. What was decided later is an `ownership_rows.OwnershipDecision`."""
    foreign: tuple[AlertId, ...] = ()
    """Alerts whose lots it closed although its order's reference names another."""
    of_alerts: Decimal | None = None
    """How much of its closing part, unsigned, alerts owned; None where an older version booked it."""
    attention: Attention = Attention.NONE
    dismissed: bool = False
    parts: tuple[FillPart, ...] = ()
    """The parts of it that a person gave to single alerts; the rest belongs to its order's owners."""
    swept_before: int | None = None
    """The request, by its frame, of the last complete sweep of the account that ended before it came, or a
    correction of it; 0 where there was none, `UNREAD` where it had come unreadable before, None where an
    older version booked it."""
    unread_push: int = 0
    """The frame with which its first version was pushed and could not be read; 0 where none was."""

    @property
    def key(self) -> ExecutionKey:
        return self.execution.key

    @property
    def contract_key(self) -> ContractKey:
        return ContractKey(self.execution.account, self.execution.contract.con_id)

    @property
    def moment(self) -> Moment:
        return self.place or Moment(self.execution.time, self.seq)

    @property
    def dated(self) -> Execution:
        """Return the execution in the place of its first version: a correction's own time moves nothing."""
        return self.execution if self.place is None else replace(self.execution, time=self.place.time)

    @property
    def counted(self) -> bool:
        """Whether it moves quantities: not when a correction replaced it, nor a combo's own line."""
        return not self.superseded_by and not self.execution.contract.is_combo

    def owners_include(self, alerts: Collection[AlertId]) -> bool:
        """Return whether it touched all of these."""
        return set(self.owners).issuperset(alerts)

    @property
    def wants_person(self) -> bool:
        decided = self.superseded_by or self.dismissed or self.divided
        return self.attention is not Attention.NONE and not decided

    @property
    def divided(self) -> bool:
        """Whether all of what it opened was given in parts."""
        return bool(self.parts) and sum(part.quantity for part in self.parts) >= abs(self.opening)

    @property
    def order(self) -> str:
        """Name the order in this account and contract, whose fills are summed."""
        return order_of(self.execution)


def order_of(execution: Execution) -> str:
    """Return the row key of an order's totals; an execution without any order has totals of its own."""
    account, con_id = execution.account, execution.contract.con_id
    named = _order_named(account, con_id, execution.perm_id, execution.client_id, execution.order_id)
    return named or f"{account} {con_id} {execution.exec_id}"


@lru_cache(4096)
def _order_named(account: str, con_id: int, perm_id: int, client_id: int, order_id: int) -> str:
    key = OrderKey.of(perm_id, client_id, order_id)
    return f"{account} {con_id} {broker_order_text(key)}" if key is not None else ""


class AlertPosition(Struct, frozen=True):
    """Hold what one alert has, or had, of one contract in one account."""

    alert: AlertId
    quantity: Decimal
    avg_price: Decimal
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    last_exec_id: str
    last: Moment
    shared_with: tuple[str, ...] = ()
    """Names that a closed position was shared with, as an older version kept them."""
    sold: bool = False
    """Whether something of it was sold since it opened."""
    sold_with: tuple[AlertId, ...] = ()
    """Of a closed one: the other alerts that the last sale closed with it."""
    last_account: str = ""
    """Where the last execution was booked; empty for the account that holds it."""
    closed_side: int = 0
    """Of one that a sale closed: 1 if it had been long, -1 if short; 0 where an older version closed it."""
    earlier: AlertPosition | None = None
    """Of one that opened again: what was closed before, in force again once all since is given away."""

    @property
    def last_closed(self) -> AlertPosition | None:
        """Return the newest position that was closed, without any before it."""
        if self.quantity:
            return self.earlier
        return replace(self, earlier=None) if self.earlier is not None else self


class Baseline(StrEnum):
    """Name how certain the opening balance of a holding is."""

    SNAPSHOT = "snapshot"
    UNCONFIRMED = "doubt"
    """There was no complete snapshot; the next one sets it."""


class Holding(Struct, frozen=True):
    """Hold one contract in one account: `base` before our first execution, `held` now."""

    account: str
    contract: Contract
    base: Decimal
    held: Decimal
    baseline: Baseline = field(name="seed")
    listed: Decimal | None = None
    """The quantity in the snapshot that `base` is from; None if that did not list the contract."""
    asked: Moment | None = None
    """When that snapshot was requested."""
    ended: Moment | None = None
    """When its answer ended; None in a journal from before this was kept."""
    lots: Sequence[Lot] = field(default=(), name="groups")
    """What is left of the openings, in the order of their entries; the rest of `held` is left of the opening
    balance."""
    alerts: tuple[AlertPosition, ...] = field(default=(), name="stakes")
    last: Moment | None = None
    """The last entry that was folded."""
    expired: bool = field(default=False, name="departed")
    """Whether the last entry was an expiration, which an execution after it disproves."""
    tail: str = ""
    """The last execution's place in its second, see `lots.stands_behind`; empty after a decision."""
    in_lots: Decimal | None = None
    """Absolute sum of the lots, kept so that no fill adds them up; None where an older version folded it."""
    newest: datetime | None = None
    """Second of the last execution that was folded, in the broker's order."""
    pending: Decimal = ZERO
    """The part of `held` that is from an unexplained difference which no second answer confirmed."""
    has_surplus: bool = False
    """Whether a lot may be `Lot.surplus`."""
    by_execution: bool = False
    """Each lot is of one execution; False where an older version kept one for each set of owners."""
    began: PositionAnswer | None = None
    """The first certain answer that `base` was taken from; it is used again once it is certain again."""

    @property
    def key(self) -> ContractKey:
        return ContractKey(self.account, self.contract.con_id)

    def last_execution(self, mine: AlertPosition) -> str:
        """Return the row key of the last execution that touched an alert's position here."""
        return f"{mine.last_account or self.account} {mine.last_exec_id}"

    # Every fill asks these, so they look at the lots, which can be thousands, only where they must.

    @property
    def owners(self) -> frozenset[AlertId]:
        """The alerts that own something of it now."""
        return frozenset([mine.alert for mine in self.alerts if mine.quantity])

    @property
    def has_unowned_lots(self) -> bool:
        owners = self.owners
        if not owners:
            return bool(self.lots)
        if len(owners) == 1 and self.in_lots is not None:
            return self.in_lots > sum((abs(mine.quantity) for mine in self.alerts), ZERO)
        return any(not owners for owners in owner_sets(self.lots))

    def sharing_with(self, alert: AlertId) -> set[AlertId]:
        """Return the other alerts that own lots together with this one."""
        if self.owners <= {alert}:
            return set()
        found = {owners for owners in owner_sets(self.lots) if alert in owners}
        return {owner for owners in found for owner in owners} - {alert}


@lru_cache(4096)
def broker_order_text(order: OrderKey) -> str:
    """Return the row key of an order as the broker knows it, over all accounts and legs."""
    return f"{order.perm_id}/{order.client_id}/{order.order_id}"


class OrderState(Struct, frozen=True):
    """Hold what the broker reports of an order."""

    key: OrderKey
    account: str = ""
    con_id: int = 0
    total: Decimal | None = None
    status: str = ""
    broker_filled: Decimal | None = None
    legs: tuple[tuple[int, int], ...] = ()
    ended: bool = False
    """Whether a complete answer about all open orders lacked it, and nothing newer came of it."""
    completed: bool = False
    """Whether the broker lists it as completed; such an order never works again, whatever comes late."""
    listed: Decimal | None = None
    """What it filled by the list of completed orders, if that says that it is filled; see `order_sizes`."""

    @property
    def over(self) -> bool:
        """Whether nothing of it works any more; a correction may still lower what it filled."""
        return self.ended or self.completed or self.status in ("Cancelled", "ApiCancelled", "Filled")


class OrderTotals(Struct, frozen=True):
    """Hold the sums over one order, account and contract; corrections replace."""

    order: str
    totals: Totals


class AlertState(Struct, frozen=True):
    """Hold what the tracker knows of one record, and the values it last decided to show."""

    alert: AlertId
    contracts: tuple[ContractKey, ...] = ()
    shown: AlertUpdate | None = None
    order: str = ""
    """The order that `shown` is about, as `broker_order_text`; empty where it has no key."""
    closed: bool = field(default=False, name="shut")
    removed: bool = False
    successor: AlertId | None = None
    """The newer record of the same contract that took over."""
    gone: bool = False
    """Whether the store no longer has the record."""
    record: Alert | None = None
    """The record as it was when it was last matched, to find its successor by."""
    unconfirmed: bool = field(default=False, name="doubted")
    """Whether all it owned is closed, but a newer position of the broker contradicts that: it stays open."""


class BrokerPosition(Struct, frozen=True):
    """Hold the newest position of the broker; `snapshot` numbers the complete answer that listed it."""

    position: Position
    seq: int
    received_at: datetime


class Snapshot(Struct, frozen=True):
    """Hold the last complete answer to a request for positions."""

    asked: Moment
    ended: Moment
    rows: Mapping[str, Decimal] = field(default_factory=dict)
    """ContractKey text -> quantity; the zeros that the broker listed are in it."""
    disturbed: tuple[str, ...] = ()
    """ContractKey texts with a live execution between request and end."""
    connection_no: int = field(name="session", default=0)
    certain: tuple[str, ...] = ()
    """The accounts for which it is certain: requested after a sweep that ended, not lagging, not empty."""


def name_text(alert: AlertId) -> str:
    """Return the text of a record's alerter and ticker; unambiguous, as `alert_text`."""
    return f"{alert.alerter}\x1f{alert.ticker}"


def alert_text(alert: AlertId) -> str:
    """Return the row key of an alert; unambiguous, since the parts of a JSON key may hold any character."""
    parts = (
        alert.alerter,
        alert.ticker,
        alert.created_at,
        "" if alert.option_conid is None else str(alert.option_conid),
    )
    return "\x1f".join(parts)


class Delivery(Struct, frozen=True):
    """Hold one row of the outbox: the newest values for a record and whether the store has them."""

    update: AlertUpdate
    seq: int
    """The frame that made it."""
    received_at: datetime
    state: str = "pending"
    """pending, applied or gone."""
    delivered_at: datetime | None = None


class UndecodableFrame(Struct, frozen=True):
    """Hold a frame that could not be read, until a later version or a sweep heals it."""

    seq: int
    kind: str
    reason: str
    exec_id: str
    healed: bool = False
    live: bool = False
    """Whether it is an execution that was pushed; False in a row of an older version too."""


def owners_key(execution: Execution) -> str:
    """Return the key of what is decided together: the order in this contract, else all its versions."""
    contract = f"{execution.account} {execution.contract.con_id}"
    if execution.perm_id > 0:
        return f"{contract} {execution.perm_id}"
    parts = correction_parts(execution.exec_id)
    return f"{contract} {execution.exec_id if parts is None else parts.root}"


@lru_cache(4096)
def root_text(account: str, exec_id: str) -> str | None:
    """Return the key that all versions of an execution share; None if it can have no other version."""
    parts = correction_parts(exec_id)
    return None if parts is None else f"{account} {parts.root}"


def owners_of(match: Match) -> tuple[AlertId, ...]:
    """Return the alerts that an opening fill belongs to."""
    return tuple([alert for alert, _ in match.alerts]) if isinstance(match, Matched) else ()


def rules_of(match: Match) -> tuple[Rule, ...]:
    """Return the rules by which a match names alerts."""
    return tuple([rule for _, rule in match.alerts]) if isinstance(match, Matched) else ()


def attention_of(match: Match) -> Attention:
    """Return why a match needs a person: several alerts agree, or one misses by a single detail."""
    if isinstance(match, Ambiguous):
        return Attention.AMBIGUOUS
    if not isinstance(match, Matched) and any(rejection.near for rejection in match.rejected):
        return Attention.NEAR_MISS
    return Attention.NONE


class LoginState(Struct, frozen=True):
    """Hold what is known of the connection and of the days judged so far."""

    accounts: tuple[str, ...] = ()
    """The accounts that the newest login manages."""
    severed: bool = False
    """Whether the gateway lost its link to IBKR, and has not reported it back."""
    judged: date | None = None
    """The last day that was judged to be a gap or not."""
    ended: date | None = None
    """The last day of `judged` that had ended by the broker's own word."""

    def manages(self, account: str) -> bool:
        """Return whether the newest login manages an account; before the first login every account counts."""
        return not self.accounts or account in self.accounts


class VerifiedUntil(Struct, frozen=True):
    """Hold up to when an account's fills are known to be complete."""

    account: str
    until: Moment | None = None
    """Request of the last sweep that proved it."""
    whole: bool = False
    """Whether nothing broke since that request."""
    swept: Moment | None = None
    """Request of the last sweep that ended at all, with the link whole."""


class GapEnd(StrEnum):
    """Name what closed a gap."""

    SWEEP = "sweep"
    POSITIONS = "positions"
    FLEX = "flex"
    PERSON = "person"
    CLOCK = "clock"
    """The day had not ended: our clock had run ahead."""


class Gap(Struct, frozen=True):
    """Hold a day for which it is not proven that no fill was missed."""

    day: date
    opened: Moment
    baseline: Mapping[str, Decimal] = field(default_factory=dict)
    """ContractKey text -> quantity of the last snapshot from before; empty once closed, but by a person."""
    closed_at: datetime | None = None
    closed_how: str = ""
    """A GapEnd; empty while open."""
    closed_seq: int = 0
    """The frame that closed it; 0 while open, and where an older version closed it."""
