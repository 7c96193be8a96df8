"""Stand-ins for what the tracker owns and reaches through a protocol."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from datetime import UTC, tzinfo
from typing import Any

from tracker.core.alerters import AlerterNames, symbol_key
from tracker.core.contracts import tickers_of
from tracker.core.model import Alert, AlertId, AlertUpdate, Execution, Outcome, StoreUnavailable
from tracker.core.ports import Shown
from tracker.core.references import alert_key, read_reference
from tracker.stores.alert_reader import read_alert, read_id, read_shown

Records = dict[str, dict[str, dict[str, Any]]]
"""alerter -> TICKER -> record, as alerts.json holds them."""


def copied(records: Records) -> Records:
    """Return a copy that shares nothing; several times faster than `deepcopy`."""
    found: Records = pickle.loads(pickle.dumps(records))
    return found


class MemoryAlerts:
    """An alert store in memory; its other user changes `records`, as a neighbour changes the file."""

    def __init__(
        self,
        records: Records | None = None,
        *,
        zone: tzinfo = UTC,
        enrich: Callable[[Alert], Alert] = lambda alert: alert,
        names: AlerterNames | None = None,
    ) -> None:
        self.records: Records = {} if records is None else records
        self.away = ""
        """Why the store cannot be reached, while it cannot."""
        self.writes = 0
        self.name = "the alerts in memory"
        self.absent = False
        self._zone = zone
        self._enrich = enrich
        self._names = names or AlerterNames()
        self._seen: Records = {}
        self._alerts: tuple[Alert, ...] = ()
        self._unreported = False

    def refresh(self) -> bool:
        self._reach()
        changed = self._unreported or self._seen != self.records
        self._unreported = False
        if self._seen != self.records:
            self._publish()
        return changed

    def expect(self) -> None:
        """Nothing can be absent here."""

    def unchanged(self) -> bool:
        return not self.away and not self._unreported and self._seen == self.records

    def alerts(self) -> Sequence[Alert]:
        return self._alerts

    def candidates(self, execution: Execution) -> Sequence[Alert]:
        return [alert for alert in self._alerts if self._may_mean(execution, alert)]

    def apply(self, updates: Sequence[AlertUpdate]) -> Sequence[Outcome]:
        self._reach()
        self._unreported |= self._seen != self.records
        # Another copy, so that a mistake in the middle of a batch leaves nothing half done.
        after = copied(self.records)
        outcomes = [_apply(after, update) for update in updates]
        if Outcome.APPLIED in outcomes:
            self.writes += 1
            self.records.clear()
            self.records.update(after)
        self._publish()
        return outcomes

    @property
    def prepares(self) -> bool:
        return False

    def prepare(self, updates: Sequence[AlertUpdate]) -> bool:
        """Nothing can be done ahead here."""
        return False

    def shown(self, alert: AlertId) -> Shown | None:
        fields = _find(self._seen, alert)
        return None if fields is None else read_shown(fields)

    def record(self, alert: AlertId) -> str | None:
        fields = _find(self._seen, alert)
        return None if fields is None else json.dumps(fields)

    def _reach(self) -> None:
        if self.away:
            raise StoreUnavailable(self.away)

    def _publish(self) -> None:
        self._seen = copied(self.records)
        self._alerts = tuple(
            self._enrich(read_alert(alerter, ticker, fields, self._zone))
            for alerter, tickers in self._seen.items()
            for ticker, fields in tickers.items()
        )

    def _may_mean(self, execution: Execution, alert: Alert) -> bool:
        contract = execution.contract
        reference = read_reference(execution.order_ref, contract, self._names)
        return (
            contract.con_id in alert.con_ids
            or symbol_key(alert.symbol) in tickers_of(contract)
            or alert_key(alert.id, contract, self._names) in reference.keys
        )


def _find(records: Records, alert: AlertId) -> dict[str, Any] | None:
    fields = records.get(alert.alerter, {}).get(alert.ticker)
    return fields if fields is not None and read_id(alert.alerter, alert.ticker, fields) == alert else None


def _apply(records: Records, update: AlertUpdate) -> Outcome:
    fields = _find(records, update.alert)
    if fields is None:
        return Outcome.GONE
    if update.remove:
        del records[update.alert.alerter][update.alert.ticker]
        return Outcome.APPLIED
    if read_shown(fields).agrees(update):
        return Outcome.DUPLICATE
    fields["open"] = update.open
    if update.last_order_update is not None:
        fields["last_order_update"] = dict(update.last_order_update)
    if update.position is not None:
        fields["position"] = dict(update.position)
    return Outcome.APPLIED
