"""The rows of state that outlive a day, and the one way to reach them.

Owns what is kept between facts: booked executions, holdings, orders, alert states. A `LedgerState` keeps the
rows: the journal's writes them in the pump's transaction, `MemoryLedgerState` keeps them in memory for tests
and dry runs. Rows are frozen: a change is a `put` of a new row. Nothing here decides anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from tracker.core.model import (
    ZERO,
    AlertId,
    AlertUpdate,
    Ambiguous,
    CommissionReport,
    Contract,
    Execution,
    ExecutionKey,
    Match,
    Matched,
    Moment,
    OrderKey,
    Position,
    Source,
    Totals,
    correction_parts,
)
from tracker.core.state_rows import Expiration, Gap, LoginState, MissingPositions, VerifiedUntil

Row = TypeVar("Row")


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


class BookedExecution(Struct, frozen=True):
    """Hold one execution with the tracker's decision about it."""

    execution: Execution
    seq: int
    """The frame that brought it first."""
    received_at: datetime
    session: int
    match: Match
    place: Moment | None = None
    """Where it stands among the contract's entries: a correction stands where the first version stood."""
    source: Source = Source.BROKER
    superseded_by: str = ""
    """execId of the correction in force instead of this one."""
    folded: bool = False
    """False while it waits for the answer it came in, or for the snapshot that seeds its contract."""
    opening: Decimal = ZERO
    """Signed part that moved the position away from zero."""
    closing: Decimal = ZERO
    """Signed part that moved the position toward zero."""
    owners: tuple[AlertId, ...] = ()
    """The alerts that this execution touched."""
    attention: Attention = Attention.NONE
    dismissed: bool = False

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
        """Return the execution, with the time of its first version where its own cannot be read."""
        if self.execution.time_known or self.place is None:
            return self.execution
        return replace(self.execution, time=self.place.time)

    @property
    def counted(self) -> bool:
        """Whether it moves quantities: not when a correction replaced it, nor a combo's own line."""
        return not self.superseded_by and not self.execution.contract.is_combo

    @property
    def wants_person(self) -> bool:
        return self.attention is not Attention.NONE and not self.superseded_by and not self.dismissed

    @property
    def order(self) -> str:
        """Name the order in this account and contract, whose fills are summed."""
        return order_text(self.execution.order_key, self.key, self.execution.contract.con_id)


def order_text(order: OrderKey | None, key: ExecutionKey, con_id: int) -> str:
    """Return the row key of an order's totals; an execution without any order stands for itself."""
    if order is None:
        return f"{key.account} {con_id} {key.exec_id}"
    return f"{key.account} {con_id} {broker_order_text(order)}"


class Lot(Struct, frozen=True):
    """Hold the part of a position that the same alerts opened together."""

    owners: tuple[AlertId, ...]
    quantity: Decimal
    avg_price: Decimal
    opened: Moment


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
    shared_with: tuple[str, ...]


class Baseline(StrEnum):
    """Say how much the starting quantity of a holding is worth."""

    SNAPSHOT = "snapshot"
    DOUBT = "doubt"
    """No complete snapshot was to be had; the next one seeds it."""


class Holding(Struct, frozen=True):
    """Hold one contract in one account: `base` before our first execution, `held` now."""

    account: str
    contract: Contract
    base: Decimal
    held: Decimal
    seed: Baseline
    listed: Decimal | None = None
    """What the seeding snapshot listed, None where it did not name the contract."""
    asked: Moment | None = None
    """When that snapshot was asked for."""
    ended: Moment | None = None
    """When its answer ended; None in a journal from before this was kept."""
    groups: tuple[Lot, ...] = ()
    stakes: tuple[AlertPosition, ...] = ()
    last: Moment | None = None
    departed: bool = False
    """The last entry was a departure, which an execution after it disproves."""

    @property
    def key(self) -> ContractKey:
        return ContractKey(self.account, self.contract.con_id)


@lru_cache(1024)
def broker_order_text(order: OrderKey) -> str:
    """Return the row key of an order as the broker knows it, over all accounts and legs."""
    return f"{order.perm_id}/{order.client_id}/{order.order_id}"


class OrderState(Struct, frozen=True):
    """Hold what the broker says of an order."""

    key: OrderKey
    account: str = ""
    con_id: int = 0
    total: Decimal | None = None
    status: str = ""
    broker_filled: Decimal | None = None
    legs: tuple[tuple[int, int], ...] = ()

    @property
    def over(self) -> bool:
        """Whether nothing of it works any more; a correction may still lower what it filled."""
        return self.status in ("Cancelled", "ApiCancelled", "Filled")


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
    """The order that `shown` tells of, as `broker_order_text`; empty where it has no key."""
    closed: bool = field(default=False, name="shut")
    removed: bool = False
    successor: AlertId | None = None
    """The newer record of the same contract that took over."""
    gone: bool = False
    """The store no longer has the record."""
    doubted: bool = False
    """All it owned is closed, but a newer position of the broker contradicts that: it stays open."""


class BrokerPosition(Struct, frozen=True):
    """Hold the newest position the broker told; `snapshot` numbers the complete answer that listed it."""

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
    session: int = 0


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


class Table(Struct, Generic[Row], frozen=True):
    """Declare a kind of row: its key, and the values by which it is found."""

    name: str
    row: type[Row]
    key: Callable[[Row], str]
    indexes: Mapping[str, Callable[[Row], str | None]] = field(default_factory=dict)
    lasting: frozenset[str] = frozenset()
    """The indexes whose value stays the same for a key, whatever row is put."""


def root_text(account: str, exec_id: str) -> str | None:
    """Return what the versions of an execution have in common, None where it can have no other."""
    parts = correction_parts(exec_id)
    return None if parts is None else f"{account} {parts.root}"


def _inbox(row: BookedExecution) -> str | None:
    return row.attention.value if row.wants_person else None


def _kept(row: AlertState) -> str | None:
    """Mark the records that the store should still show as we decided."""
    over = row.gone or row.removed or row.successor is not None
    return "1" if row.shown is not None and not over else None


EXECUTIONS: Table[BookedExecution] = Table(
    "executions",
    BookedExecution,
    key=lambda row: f"{row.execution.account} {row.execution.exec_id}",
    indexes={
        "contract": lambda row: f"{row.execution.account} {row.execution.contract.con_id}",
        "root": lambda row: root_text(row.execution.account, row.execution.exec_id),
        "orders": lambda row: row.order,
        "exec_id": lambda row: row.execution.exec_id,
        "waiting": lambda row: None if row.folded else "1",
        "inbox": _inbox,
        "day": lambda row: row.received_at.date().isoformat(),
    },
    lasting=frozenset({"contract", "root", "orders", "exec_id", "day"}),
)
FEES: Table[CommissionReport] = Table("fees", CommissionReport, key=lambda row: row.exec_id)
HOLDINGS: Table[Holding] = Table(
    "holdings",
    Holding,
    key=lambda row: row.key.text(),
    indexes={
        "doubt": lambda row: "1" if row.seed is Baseline.DOUBT else None,
        "held": lambda row: "1" if row.held else None,
    },
)
DEPARTURES: Table[Expiration] = Table(
    "departures",
    Expiration,
    key=lambda row: f"{row.account} {row.con_id} {row.moment.seq}",
    indexes={"contract": lambda row: f"{row.account} {row.con_id}"},
)
ORDERS: Table[OrderState] = Table("orders", OrderState, key=lambda row: broker_order_text(row.key))
TOTALS: Table[OrderTotals] = Table("totals", OrderTotals, key=lambda row: row.order)
ALERTS: Table[AlertState] = Table(
    "alerts",
    AlertState,
    key=lambda row: alert_text(row.alert),
    indexes={
        "orders": lambda row: row.order or None,
        "kept": _kept,
        "gone": lambda row: "1" if row.gone or row.removed else None,
        "name": lambda row: row.alert.name,
        "doubted": lambda row: "1" if row.doubted else None,
    },
)
POSITIONS: Table[BrokerPosition] = Table(
    "positions",
    BrokerPosition,
    key=lambda row: f"{row.position.account} {row.position.contract.con_id}",
)
SNAPSHOTS: Table[Snapshot] = Table("snapshots", Snapshot, key=lambda row: "last")
ABSENCES: Table[MissingPositions] = Table("absences", MissingPositions, key=lambda row: "last")
LINKS: Table[LoginState] = Table("links", LoginState, key=lambda row: "last")
PROOFS: Table[VerifiedUntil] = Table(
    "proofs",
    VerifiedUntil,
    key=lambda row: row.account,
    indexes={"whole": lambda row: "1" if row.whole else None},
)
GAPS: Table[Gap] = Table(
    "gaps",
    Gap,
    key=lambda row: row.day.isoformat(),
    indexes={"open": lambda row: None if row.closed_how else "1"},
)
OUTBOX: Table[Delivery] = Table(
    "outbox",
    Delivery,
    key=lambda row: alert_text(row.update.alert),
    indexes={"pending": lambda row: "1" if row.state == "pending" else None},
)
UNDECODED: Table[UndecodableFrame] = Table(
    "undecoded",
    UndecodableFrame,
    key=lambda row: str(row.seq),
    indexes={"open": lambda row: None if row.healed else "1"},
)

TABLES: tuple[Table[Any], ...] = (
    EXECUTIONS,
    FEES,
    HOLDINGS,
    DEPARTURES,
    ORDERS,
    TOTALS,
    ALERTS,
    POSITIONS,
    SNAPSHOTS,
    ABSENCES,
    LINKS,
    PROOFS,
    GAPS,
    OUTBOX,
    UNDECODED,
)


class LedgerState(Protocol):
    """Keep rows; what was put is found at once, and lasts when the caller's transaction commits."""

    def get(self, table: Table[Row], key: str) -> Row | None:
        """Return the row of that key, None where there is none."""
        ...

    def find(self, table: Table[Row], index: str, value: str) -> list[Row]:
        """Return the rows whose index has that value, in no particular order."""
        ...

    def every(self, table: Table[Row]) -> Iterable[Row]:
        """Yield all rows of a table; for audits, never on the fill path."""
        ...

    def put(self, table: Table[Row], row: Row) -> None:
        """Keep a row, in the place of the one with the same key."""
        ...


class MemoryLedgerState:
    """Keep rows in memory."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = defaultdict(dict)
        self._index: dict[tuple[str, str, str], dict[str, None]] = defaultdict(dict)

    def get(self, table: Table[Row], key: str) -> Row | None:
        row: Row | None = self._rows[table.name].get(key)
        return row

    def find(self, table: Table[Row], index: str, value: str) -> list[Row]:
        rows = self._rows[table.name]
        return [rows[key] for key in self._index[(table.name, index, value)]]

    def every(self, table: Table[Row]) -> Iterable[Row]:
        return list(self._rows[table.name].values())

    def put(self, table: Table[Row], row: Row) -> None:
        key = table.key(row)
        old = self._rows[table.name].get(key)
        for name, of in table.indexes.items():
            if old is not None and (before := of(old)) is not None:
                self._index[(table.name, name, before)].pop(key, None)
            if (after := of(row)) is not None:
                self._index[(table.name, name, after)][key] = None
        self._rows[table.name][key] = row


def correction_version(exec_id: str) -> int:
    """Return the number by which the versions of one execution are ordered."""
    parts = correction_parts(exec_id)
    return 0 if parts is None else parts.version


def owners_of(match: Match) -> tuple[AlertId, ...]:
    """Return the alerts that an opening fill belongs to."""
    return tuple(alert for alert, _ in match.alerts) if isinstance(match, Matched) else ()


def attention_of(match: Match) -> Attention:
    """Tell whether a decision needs a person: several alerts, or one that missed by a single thing."""
    if isinstance(match, Ambiguous):
        return Attention.AMBIGUOUS
    if not isinstance(match, Matched) and any(rejection.near for rejection in match.rejected):
        return Attention.NEAR_MISS
    return Attention.NONE
