"""Read the entries of a contract from the state.

Owns which rows are entries of a contract: executions as movements, decisions, expirations and adjustments. It
folds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tracker.core.adjustment_rows import Adjustment
from tracker.core.alerters import AlerterNames
from tracker.core.lot_changes import Movement, second_of
from tracker.core.model import (
    ZERO,
    Alert,
    AlertId,
    Contract,
    Execution,
    Moment,
    Rule,
    correction_parts,
)
from tracker.core.ownership_rows import OwnershipDecision
from tracker.core.references import alert_key, read_reference
from tracker.core.state import (
    ADJUSTMENTS,
    ALERTS,
    DECISIONS,
    DEPARTURES,
    DIFFERENCES,
    EXECUTIONS,
    HOLDINGS,
    LINKS,
    LedgerState,
)
from tracker.core.state_rows import (
    AlertState,
    BookedExecution,
    ContractKey,
    Holding,
    alert_text,
    owners_key,
    owners_of,
    rules_of,
)


class ContractEntries:
    """Read the entries of the contracts of one ledger's state."""

    def __init__(self, state: LedgerState, names: AlerterNames) -> None:
        self._state = state
        self._names = names

    def decisions(self, key: ContractKey) -> list[OwnershipDecision]:
        found = self._state.find(DECISIONS, "contract", key.text())
        return sorted(found, key=lambda one: (one.seq, one.number))

    def adjustments(self, key: ContractKey) -> list[Adjustment]:
        """Return the adjustments in force, and the one that an unexplained difference would become."""
        rows = self._state.find(ADJUSTMENTS, "contract", key.text())
        found = sorted((row for row in rows if not row.undone), key=lambda row: row.seq)
        waiting = self._state.get(DIFFERENCES, key.text())
        if waiting is not None and not waiting.over:
            found.append(waiting.provisional)
        return found

    def is_before_difference(self, booked: BookedExecution, key: ContractKey) -> bool:
        """Return whether an execution belongs before an unexplained difference, and so changes its size."""
        waiting = self._state.get(DIFFERENCES, key.text())
        return (
            waiting is not None
            and not waiting.over
            and second_of(booked.moment.time) < second_of(waiting.place.time)
        )

    def expired(self, key: ContractKey, last: Moment | None) -> list[Movement]:
        """Return the expirations after the last execution: a contract that traded later had not expired."""
        return [
            Movement(gone.moment, "", ZERO, ZERO, expired=gone.cause)
            for gone in self._state.find(DEPARTURES, "contract", key.text())
            if last is None or gone.moment > last
        ]

    def alerts_named(self, key: ContractKey) -> set[AlertId]:
        """Return each alert that an entry of a contract names."""
        rows = self._state.find(EXECUTIONS, "contract", key.text())
        named = {alert for row in rows for alert in self.movement(row).owners}
        named.update(each.alert for decision in self.decisions(key) for each in decision.alerts)
        named.update(each.alert for one in self.adjustments(key) for each in one.alerts)
        return named

    def movement(self, booked: BookedExecution) -> Movement:
        """Return how a booked execution moves its contract."""
        owners = booked.at_booking
        if owners is None:
            # Booked by an older version, for which a successor had owned all from the start.
            current = {current_record(self._state, alert) for alert in owners_of(booked.match)}
            owners = tuple(sorted(current, key=alert_text))
        by_reference = Rule.ORDER_REF in rules_of(booked.match)
        return self.moved_by(booked.execution, booked.moment, owners, by_reference=by_reference)

    def moved_by(
        self,
        execution: Execution,
        moment: Moment,
        owners: tuple[AlertId, ...] = (),
        *,
        by_reference: bool = False,
    ) -> Movement:
        """Return how an execution moves its contract, with these owners of its opening part."""
        reference = read_reference(execution.order_ref, execution.contract, self._names)
        parts = correction_parts(execution.exec_id)
        return Movement(
            moment,
            execution.exec_id,
            execution.signed,
            execution.price,
            owners,
            owners_key(execution),
            tuple(sorted(reference.keys)),
            reference.certain or by_reference,
            execution.exec_id if parts is None else parts.root,
        )

    def name_of(self, holding: Holding) -> Callable[[AlertId], str]:
        return lambda alert: alert_key(alert, holding.contract, self._names)


def in_every_account(state: LedgerState, key: ContractKey) -> list[ContractKey]:
    """Return the key of a contract in each account of the login, the given one first."""
    login = state.get(LINKS, "last")
    accounts = dict.fromkeys((key.account, *(login.accounts if login is not None else ())))
    return [ContractKey(account, key.con_id) for account in accounts]


def contracts_named(
    state: LedgerState, account: str, gone: AlertState, there: Iterable[Alert]
) -> list[Contract]:
    """Return the contracts of the conids of these records that the login, or the account, has traded."""
    records = [*there, *([gone.record] if gone.record is not None else [])]
    con_ids = sorted({con_id for record in records for con_id in record.con_ids})
    keys = (key for con_id in con_ids for key in in_every_account(state, ContractKey(account, con_id)))
    holdings = (state.get(HOLDINGS, key.text()) for key in keys)
    return [holding.contract for holding in holdings if holding is not None]


def current_record(state: LedgerState, alert: AlertId) -> AlertId:
    """Return the record that took over what a record owned, through all successors."""
    seen = {alert}
    while True:
        row = state.get(ALERTS, alert_text(alert))
        if row is None or row.successor is None:
            return alert
        alert = row.successor
        assert alert not in seen, "successors form a chain"
        seen.add(alert)
