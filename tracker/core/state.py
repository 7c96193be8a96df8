"""The tables of state, and the one way to reach their rows.

Owns the tables, their keys and indexes, and the protocol `LedgerState` by which rows are kept: the journal's
writes them in the pump's transaction, `MemoryLedgerState` keeps them in memory for tests and dry runs.
Nothing here decides anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct, field

from tracker.core.adjustment_rows import Adjustment, Difference
from tracker.core.answer_rows import CertainAnswers
from tracker.core.clock_rows import BrokerClock
from tracker.core.expiration_rows import Expiration, MissingPositions
from tracker.core.lot_rows import Lot
from tracker.core.model import (
    CommissionReport,
)
from tracker.core.ownership_rows import (
    FirstSeen,
    OrderOwners,
    OwnershipDecision,
    RetryWindow,
    RunTime,
    span_text,
)
from tracker.core.packed_lots import packed
from tracker.core.state_rows import (
    AlertState,
    Baseline,
    BookedExecution,
    BrokerPosition,
    Delivery,
    Gap,
    Holding,
    LoginState,
    OrderState,
    OrderTotals,
    Snapshot,
    UndecodableFrame,
    VerifiedUntil,
    alert_text,
    broker_order_text,
    name_text,
    root_text,
)

Row = TypeVar("Row")


class Parts(Struct, frozen=True):
    """Declare a field of a row that can hold thousands of items, of which a fill changes few.

    Each item is kept by itself, so that only those that changed are written.
    """

    table: str
    field: str
    item: type[Struct]
    pack: Callable[[Sequence[Any]], Sequence[Any]]
    """Makes the same items of those that were read or written, in less memory."""


class Table(Struct, Generic[Row], frozen=True):
    """Declare a kind of row: its key, and the values by which it is found."""

    name: str
    row: type[Row]
    key: Callable[[Row], str]
    indexes: Mapping[str, Callable[[Row], str | None]] = field(default_factory=dict)
    lasting: frozenset[str] = frozenset()
    """The indexes whose value stays the same for a key, whatever row is put."""
    parts: Parts | None = None


def _inbox(row: BookedExecution) -> str | None:
    return row.attention.value if row.wants_person else None


def _kept(row: AlertState) -> str | None:
    """Mark the records that the store should still show as we decided."""
    over = row.gone or row.removed or row.successor is not None
    return "1" if row.shown is not None and not over else None


def _orphaned(row: AlertState) -> str | None:
    """Mark the records that are gone while they own something, which no other record took over."""
    owns = row.shown is not None and not row.closed and not row.unconfirmed
    return "1" if row.gone and owns and row.successor is None else None


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
        # Columns keep the names that journals have.
        "doubt": lambda row: "1" if row.baseline is Baseline.UNCONFIRMED else None,
        "held": lambda row: "1" if row.held else None,
        "unowned": lambda row: "1" if row.has_unowned_lots else None,
    },
    parts=Parts("lots", "lots", Lot, packed),
)
DEPARTURES: Table[Expiration] = Table(
    "departures",
    Expiration,
    key=lambda row: f"{row.account} {row.con_id} {row.moment.seq}",
    indexes={"contract": lambda row: f"{row.account} {row.con_id}"},
)
DECISIONS: Table[OwnershipDecision] = Table(
    "decisions",
    OwnershipDecision,
    key=lambda row: f"{row.account} {row.con_id} {row.seq} {row.number}",
    indexes={
        "contract": lambda row: f"{row.account} {row.con_id}",
        "orders": lambda row: row.order or None,
    },
)
OWNERS: Table[OrderOwners] = Table("owners", OrderOwners, key=lambda row: row.order)
WINDOWS: Table[RetryWindow] = Table(
    "windows",
    RetryWindow,
    key=lambda row: row.order,
    # By when they began, since a busy day has more open windows than are decoded at once.
    indexes={"open": lambda row: None if row.over else span_text(row.began)},
)
RUN_TIME: Table[RunTime] = Table("run_time", RunTime, key=lambda row: "last")
FIRST_SEEN: Table[FirstSeen] = Table("first_seen", FirstSeen, key=lambda row: name_text(row.alert))
ORDERS: Table[OrderState] = Table(
    "orders",
    OrderState,
    key=lambda row: broker_order_text(row.key),
    indexes={"working": lambda row: None if row.over else "1"},
)
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
        "doubted": lambda row: "1" if row.unconfirmed else None,
        "orphaned": _orphaned,
    },
)
POSITIONS: Table[BrokerPosition] = Table(
    "positions",
    BrokerPosition,
    key=lambda row: f"{row.position.account} {row.position.contract.con_id}",
)
SNAPSHOTS: Table[Snapshot] = Table("snapshots", Snapshot, key=lambda row: "last")
ADJUSTMENTS: Table[Adjustment] = Table(
    "adjustments",
    Adjustment,
    key=lambda row: f"{row.account} {row.con_id} {row.seq}",
    indexes={"contract": lambda row: f"{row.account} {row.con_id}", "name": lambda row: row.name},
)
DIFFERENCES: Table[Difference] = Table(
    "differences",
    Difference,
    key=lambda row: f"{row.account} {row.con_id}",
    indexes={"open": lambda row: None if row.over else "1"},
)
ANSWERS: Table[CertainAnswers] = Table("answers", CertainAnswers, key=lambda row: row.account)
CLOCK: Table[BrokerClock] = Table("clock", BrokerClock, key=lambda row: "last")
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
    DECISIONS,
    OWNERS,
    WINDOWS,
    RUN_TIME,
    FIRST_SEEN,
    ORDERS,
    TOTALS,
    ALERTS,
    POSITIONS,
    SNAPSHOTS,
    ADJUSTMENTS,
    DIFFERENCES,
    ANSWERS,
    CLOCK,
    ABSENCES,
    LINKS,
    PROOFS,
    GAPS,
    OUTBOX,
    UNDECODED,
)


class LedgerState(Protocol):
    """Store rows; a row that was put is found at once, and lasts once the caller's transaction commits."""

    def get(self, table: Table[Row], key: str) -> Row | None:
        """Return the row of that key, None where there is none."""
        ...

    def find(self, table: Table[Row], index: str, value: str) -> list[Row]:
        """Return the rows whose index has that value, in no particular order."""
        ...

    def values(self, table: Table[Any], index: str) -> list[str]:
        """Return each value of an index that leads to rows, in its order as text; for one with few values."""
        ...

    def every(self, table: Table[Row]) -> Iterable[Row]:
        """Yield all rows of a table; for audits, never on the fill path."""
        ...

    def has_key_from(self, table: Table[Any], prefix: str) -> bool:
        """Return whether the key of a row begins so."""
        ...

    def put(self, table: Table[Row], row: Row) -> None:
        """Store a row, replacing the one with the same key."""
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

    def values(self, table: Table[Any], index: str) -> list[str]:
        places = self._index.items()
        return sorted(
            value for (of, name, value), keys in places if (of, name) == (table.name, index) and keys
        )

    def every(self, table: Table[Row]) -> Iterable[Row]:
        return list(self._rows[table.name].values())

    def has_key_from(self, table: Table[Any], prefix: str) -> bool:
        return any(key.startswith(prefix) for key in self._rows[table.name])

    def put(self, table: Table[Row], row: Row) -> None:
        key = table.key(row)
        old = self._rows[table.name].get(key)
        for name, of in table.indexes.items():
            if old is not None and (before := of(old)) is not None:
                self._index[(table.name, name, before)].pop(key, None)
            if (after := of(row)) is not None:
                self._index[(table.name, name, after)][key] = None
        self._rows[table.name][key] = row
