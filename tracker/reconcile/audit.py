"""Audit a journal against the store and what the broker answered, and return the result as JSON.

Owns the answer of `reconcile` (ANSWERS.md documents it). It repairs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from tracker.core.alert_updates import instant, number
from tracker.core.audit.discrepancies import Audit, Discrepancy
from tracker.core.audit.inputs import BrokerView, LedgerView, StoreView
from tracker.core.audit.rules import audit
from tracker.core.model import Position
from tracker.core.ports import AlertStore
from tracker.gateway.broker_snapshot import BrokerSnapshot
from tracker.journal.journal import Journal
from tracker.queries.as_json import Json, contract_json
from tracker.reconcile.flex_import import FlexImport
from tracker.reconcile.trades import MOST, trades
from tracker.reconcile.views import Watched, ledger_view, moved_since, store_view

FEE_GRACE: Final = timedelta(minutes=10)
"""Seconds until a fee counts as missing; IBKR sends most within seconds."""
GATEWAY: Final = "the gateway"
"""The requests that are named as unanswered where the broker could not be asked at all."""


@dataclass(frozen=True, slots=True)
class AuditResult:
    """Hold the result of one audit, with the views that it compared."""

    ledger: LedgerView
    store: StoreView
    found: Audit


def examine(
    journal: Journal,
    store: AlertStore,
    trouble: str,
    store_name: str,
    snapshot: BrokerSnapshot | None,
    *,
    watched: Watched,
    now: datetime,
) -> AuditResult:
    """Audit the committed journal; `snapshot` None means that the broker could not be asked.

    `trouble` says why the store cannot be read, empty where it can. Raises JournalFailed.
    """
    ledger = ledger_view(journal, watched, now)
    seen = store_view(store, trouble, store_name)
    if snapshot is None:
        broker = BrokerView(now, unanswered=(GATEWAY,))
    else:
        moving = {*snapshot.view.disturbed, *moved_since(journal.state, snapshot.view.asked_at, now)}
        broker = replace(snapshot.view, disturbed=moving)
    return AuditResult(ledger, seen, audit(ledger, seen, broker, now=now, fee_grace=FEE_GRACE))


def answer(
    snapshot: BrokerSnapshot | None,
    before: AuditResult,
    after: AuditResult,
    *,
    now: datetime,
    apply: bool,
    by: str,
    why_not: str = "",
    imported: FlexImport | None = None,
    dry_run: bool = False,
) -> Json:
    """Return the answer: what still disagrees, and what was repaired."""
    left = after.found.discrepancies
    compared = trades(after.ledger, snapshot.view if snapshot else None)
    fixed = [each for each in before.found.discrepancies if not _among(each, left)] if apply else []
    return {
        "timestamp": instant(now),
        "by": by,
        "applied": apply,
        "dry_run": dry_run,
        "orders_examined": len(snapshot.orders) if snapshot else 0,
        "fill_events_processed": snapshot.fills if snapshot else 0,
        "trades": compared[:MOST],
        "trades_differ": sum(not each["agrees"] for each in compared),
        "trades_left_out": max(0, len(compared) - MOST),
        "broker": {
            "reached": snapshot is not None,
            "reason": why_not or None,
            "asked_at": instant(snapshot.view.asked_at) if snapshot else None,
            "accounts": sorted(snapshot.view.answered or ()) if snapshot else [],
            "refused": list(snapshot.refused) if snapshot else [],
        },
        "imported": None if imported is None else imported.to_json(),
        "executions_known": len(after.ledger.executions),
        "records": None if after.store.records is None else len(after.store.records),
        "total": len(left),
        "repairable": sum(each.repairable for each in left),
        "discrepancies": [discrepancy_json(each) for each in left],
        "repaired": [discrepancy_json(each) for each in fixed],
        "not_ours": [_position_json(each) for each in after.found.not_ours],
    }


def _among(one: Discrepancy, others: Sequence[Discrepancy]) -> bool:
    """Return whether the same thing still disagrees, even if the words differ."""
    return any((one.kind, one.subject) == (each.kind, each.subject) for each in others)


def discrepancy_json(found: Discrepancy) -> Json:
    """Describe one discrepancy."""
    return {
        "kind": found.kind.value,
        "subject": found.subject,
        "message": found.message,
        "next_step": found.next_step,
        "repairable": found.repairable,
    }


def _position_json(position: Position) -> Json:
    return {
        "account": position.account,
        **contract_json(position.contract),
        "quantity": number(position.quantity),
    }
