"""Make the frozen views of an audit from the state and the alert store.

Owns how rows become views. It reads everything that was ever journalled, so it never runs on the fill path,
and it changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Final

from tracker.core.audit.inputs import (
    DecidedView,
    ExecutionView,
    GapView,
    HeldView,
    LedgerView,
    OrderView,
    OwnedView,
    RecordView,
    StoreView,
    UndecodableView,
)
from tracker.core.contracts import is_expiring
from tracker.core.differences import not_listed
from tracker.core.expiration_rows import MissingPositions
from tracker.core.expirations import APART
from tracker.core.model import ZERO, Alert, AlertId, Execution, OrderKey, Source
from tracker.core.ports import AlertStore
from tracker.core.state import (
    ABSENCES,
    ADJUSTMENTS,
    ALERTS,
    DEPARTURES,
    DIFFERENCES,
    EXECUTIONS,
    FEES,
    GAPS,
    HOLDINGS,
    LINKS,
    ORDERS,
    OUTBOX,
    PROOFS,
    UNDECODED,
    LedgerState,
)
from tracker.core.state_rows import (
    AlertState,
    Baseline,
    BookedExecution,
    Holding,
    OrderState,
    alert_text,
)
from tracker.journal.journal import Journal
from tracker.queries.as_json import is_managed

_UNPROVEN: Final = "the tracker was not connected through its end, so a fill may have been missed"


@dataclass(frozen=True, slots=True)
class Watched:
    """Say what is audited: the settings that decide it."""

    client_id: int
    accounts: tuple[str, ...] = ()
    """The accounts to audit; empty for all."""
    zone: tzinfo = UTC
    """The zone of the accounts' midnight."""


def ledger_view(journal: Journal, watched: Watched, now: datetime) -> LedgerView:
    """Return what the tracker knows; raises JournalFailed."""
    state = journal.state
    booked = list(state.every(EXECUTIONS))
    fees = {fee.exec_id for fee in state.every(FEES) if fee.commission is not None}
    return LedgerView(
        watched.client_id,
        watched.accounts,
        held=tuple(_held(state, booked, now.astimezone(watched.zone))),
        executions=tuple(_execution(row, fees) for row in booked),
        decided=tuple(
            _decided(journal, alert_state)
            for alert_state in state.every(ALERTS)
            if alert_state.shown is not None and alert_state.successor is None
        ),
        orders=tuple(_orders(state, booked)),
        gaps=tuple(_gaps(state)),
        undecoded=tuple(
            UndecodableView(row.seq, row.kind, row.reason) for row in state.find(UNDECODED, "open", "1")
        ),
    )


def store_view(store: AlertStore, trouble: str, name: str) -> StoreView:
    """Return the alert store's last good state; no records while it cannot be read."""
    if trouble:
        return StoreView(name, None, trouble)
    return StoreView(name, tuple(_records(store, store.alerts())))


def _records(store: AlertStore, alerts: Iterable[Alert]) -> Iterable[RecordView]:
    for alert in alerts:
        shown = store.shown(alert.id)
        # The store may have been read again in between; then the record is gone.
        if shown is not None:
            yield RecordView(alert, shown)


def _held(state: LedgerState, booked: Sequence[BookedExecution], now: datetime) -> Iterable[HeldView]:
    moved: dict[tuple[str, int], Decimal] = defaultdict(lambda: ZERO)
    for row in booked:
        if row.counted and row.folded:
            moved[row.contract_key] += row.execution.signed
    departed = {(row.account, row.con_id) for row in state.every(DEPARTURES)}
    departed |= {(row.account, row.con_id) for row in state.every(ADJUSTMENTS) if not row.undone}
    for holding in state.every(HOLDINGS):
        yield HeldView(
            holding.account,
            holding.contract,
            holding.held,
            holding.base,
            # Expirations and adjustments change positions without an execution, so there the sum proves
            # nothing.
            None if holding.key in departed or holding.pending else moved[holding.key],
            tuple(OwnedView(lot.owners, lot.quantity) for lot in holding.lots if lot.owners),
            certain=holding.baseline is Baseline.SNAPSHOT,
            pending=holding.pending,
            departed=_departs(state, holding, now),
            noticed=_is_noticed(state, holding),
            managed=is_managed(state, holding.account),
            expiring=is_expiring(holding.contract, now.date()),
        )


def _is_noticed(state: LedgerState, holding: Holding) -> bool:
    """Return whether a difference that no execution explains was noticed already."""
    seen = state.get(DIFFERENCES, holding.key.text())
    return (seen is not None and not seen.over) or not_listed(state, holding) is not None


def _departs(state: LedgerState, holding: Holding, now: datetime) -> bool:
    """Return whether one more complete answer without the position ends it (`core.expirations`).

    `now` is in the accounts' zone, whose midnight ends the expiry day.
    """
    absences = state.get(ABSENCES, "last") or MissingPositions()
    seen = next((row for row in absences.rows if (row.account, row.con_id) == holding.key), None)
    proof = state.get(PROOFS, holding.account)
    expiry = holding.contract.expiry
    return (
        seen is not None
        and seen.held == holding.held
        and now - seen.ended.time >= APART
        and expiry is not None
        and expiry < now.date()
        and proof is not None
        and proof.swept is not None
        and proof.swept.seq > seen.ended.seq
    )


def _execution(row: BookedExecution, fees: Set[str]) -> ExecutionView:
    return ExecutionView(
        row.execution,
        superseded=bool(row.superseded_by),
        folded=row.folded,
        fee_known=row.execution.exec_id in fees,
        imported=row.source is Source.FLEX,
        attention=row.attention.value.replace("_", " ") if row.wants_person else "",
    )


def _decided(journal: Journal, alert_state: AlertState) -> DecidedView:
    assert alert_state.shown is not None, "only states that show something are asked"
    delivery = journal.state.get(OUTBOX, alert_text(alert_state.alert))
    return DecidedView(
        alert_state.shown,
        pending=delivery is not None and delivery.state == "pending",
        text_kept=journal.kept_record(alert_text(alert_state.alert)) is not None,
    )


def _orders(state: LedgerState, booked: Sequence[BookedExecution]) -> Iterable[OrderView]:
    fills: dict[OrderKey, list[Execution]] = defaultdict(list)
    for row in booked:
        key = row.execution.order_key
        if key is not None and not row.superseded_by:
            fills[key].append(row.execution)
    for order_state in state.every(ORDERS):
        if order_state.broker_filled:
            yield OrderView(
                order_state.key.perm_id,
                _order_name(order_state),
                order_state.broker_filled,
                _filled(order_state, fills[order_state.key]),
            )


def _filled(order_state: OrderState, fills: Collection[Execution]) -> Decimal:
    """Sum up an order's fills; for a combo in units of the combo, by its own lines or by its legs."""
    lines = [each.quantity for each in fills if each.contract.is_combo]
    if not lines and not order_state.legs:
        return sum((each.quantity for each in fills), ZERO)
    by_leg = [
        sum((each.quantity for each in fills if each.contract.con_id == con_id), ZERO) / abs(ratio)
        for con_id, ratio in order_state.legs
        if ratio
    ]
    return max(sum(lines, ZERO), min(by_leg, default=ZERO))


def _order_name(order_state: OrderState) -> str:
    key = order_state.key
    return f"order {key.perm_id}" if key.perm_id else f"order {key.order_id} of client {key.client_id}"


def _gaps(state: LedgerState) -> Iterable[GapView]:
    link = state.get(LINKS, "last")
    accounts = ", ".join(link.accounts) if link is not None else ""
    for gap in state.find(GAPS, "open", "1"):
        yield GapView(accounts or "all accounts", gap.day, _UNPROVEN)


def moved_since(state: LedgerState, asked_at: datetime, now: datetime) -> set[tuple[str, int]]:
    """Return the contracts that traded around the request for positions, so that the answer need not show
    their present quantity.
    """
    days = {asked_at.date(), now.date()}
    rows = [row for day in days for row in state.find(EXECUTIONS, "day", day.isoformat())]
    return {
        (row.execution.account, row.execution.contract.con_id) for row in rows if row.received_at >= asked_at
    }


def vanished(ledger: LedgerView, store: StoreView) -> list[AlertId]:
    """Return the records that own something and are no longer in the store, if the journal keeps their text.

    A record that a newer one replaced is not among them: the newer one is never overwritten.
    """
    if store.records is None:
        return []
    taken = {record.alert.id[:2] for record in store.records}
    owners = {owner for held in ledger.held for part in held.owned if part.quantity for owner in part.owners}
    kept = {view.update.alert for view in ledger.decided if view.text_kept}
    return sorted(
        (alert for alert in owners & kept if alert[:2] not in taken), key=lambda alert: alert_text(alert)
    )


def undone(ledger: LedgerView, store: StoreView) -> list[AlertId]:
    """Return the records that do not show what was decided, although no update for them is waiting."""
    shown = {record.alert.id: record.shown for record in store.records or ()}
    return [
        view.update.alert
        for view in ledger.decided
        if not view.pending
        and view.update.alert in shown
        and not shown[view.update.alert].agrees(view.update)
    ]
