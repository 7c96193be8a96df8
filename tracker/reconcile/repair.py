"""Repair what needs no guess: write again what was undone, and put back deleted records that own a position.

Owns which repairs there are. Executions that the journal lacked need no repair: they were journalled when the
broker listed them. It never invents a fill, and never touches a record that replaced another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tracker.core.model import AlertId
from tracker.core.state import ALERTS
from tracker.core.state_rows import alert_text
from tracker.journal.journal import Journal
from tracker.pipeline.pump import Pump
from tracker.reconcile.audit import AuditResult
from tracker.reconcile.views import undone, vanished
from tracker.stores.alert_stores import StorePort


async def repair(journal: Journal, store: StorePort, pump: Pump, found: AuditResult) -> list[AlertId]:
    """Begin the repairs that an audit allows; the pump completes them. Returns the repaired records.

    Raises StoreUnavailable.
    """
    restored = [
        alert
        for alert in vanished(found.ledger, found.store)
        if await _put_back(store, alert, journal.kept_record(alert_text(alert)))
    ]
    again = undone(found.ledger, found.store)
    pump.write_again(again)
    return [*restored, *again]


async def _put_back(store: StorePort, alert: AlertId, text: str | None) -> bool:
    return text is not None and await asyncio.to_thread(store.restore, alert, text)


def repaired(journal: Journal, store: StorePort, alerts: Sequence[AlertId]) -> bool:
    """Return whether the store shows all of these records as they were decided."""
    for alert in alerts:
        alert_state = journal.state.get(ALERTS, alert_text(alert))
        if alert_state is None or alert_state.gone or alert_state.shown is None:
            return False
        shown = store.shown(alert)
        if (shown is None) != alert_state.shown.remove or (
            shown is not None and not shown.agrees(alert_state.shown)
        ):
            return False
    return True
