"""Find which record of the store is an alert now, or took over what it owned.

Owns the way from an alert that a row names to the record that is there: itself, the same alert in another
spelling, or a successor. `succession` judges two records; `ownership` decides what changes hands.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from msgspec.structs import replace

from tracker.core.alerters import AlerterNames
from tracker.core.entries import contracts_named
from tracker.core.matching import same_contract
from tracker.core.model import Alert, AlertId, Execution
from tracker.core.ownership_rows import OwnershipDecision
from tracker.core.state import ALERTS, DECISIONS, LedgerState
from tracker.core.state_rows import AlertState, ContractKey, Holding, alert_text
from tracker.core.succession import records_like, same_alert_among, same_name, successor_among

Candidates: TypeAlias = Callable[[Execution], Sequence[Alert]]
"""Return the records that an execution may belong to, as the store has them now."""


class PresentRecords:
    """Compare one ledger's rows of alerts with the records that the store has."""

    def __init__(self, state: LedgerState, candidates: Candidates, names: AlerterNames) -> None:
        self._state = state
        self._candidates = candidates
        self._names = names

    def find(self, execution: Execution, alert: AlertId) -> Alert | None:
        """Return the record that has this identity, None where the store has none."""
        return next((each for each in self._candidates(execution) if each.id == alert), None)

    def remember(self, execution: Execution, alert: AlertId, told: Alert | None = None) -> None:
        """Keep a record as it was last matched, or `told`, to find its successor by; it has none any more."""
        record = self.find(execution, alert) or told
        state = self._state.get(ALERTS, alert_text(alert)) or AlertState(alert)
        if record is not None and (state.record != record or state.successor is not None):
            self._state.put(ALERTS, replace(state, record=record, successor=None))

    def owner_now(self, execution: Execution, owner: AlertId) -> AlertId:
        """Return who took over from an owner and is in the store, else the owner itself, by its last name.

        Who took over another contract takes over nothing of the execution's.
        """
        row = self._state.get(ALERTS, alert_text(owner))
        if row is not None and row.successor is None:
            row = self._as_respelled(execution, row)
        if row is None or row.successor is None:
            return owner
        if self.find(execution, owner) is not None:
            self.remember(execution, owner)
            return owner
        if (back := self._same_alert(execution, row)) is not None:
            # It is there again in another spelling; who took over while it was away has what was left then.
            return back.id
        while (new := row.successor) is not None:
            after = self._state.get(ALERTS, alert_text(new)) or AlertState(new)
            there = self.find(execution, new) or self._same_alert(execution, after)
            record = there or after.record
            if row.record and record and self.among([record], row, execution) is None:
                break
            # What is gone is known by the last name that it had: with another conid, say.
            renamed = record is not None and row.alert == owner and _is_same(replace(record, id=new), row)
            owner, row = new if there is not None or renamed else owner, after
        return owner

    def _as_respelled(self, execution: Execution, row: AlertState) -> AlertState:
        """Return an alert with the later spelling under which it handed the execution's contract on, if any.

        While it owns nothing nobody notes that its record is respelled. The store is asked last, since every
        following fill of an order comes here.
        """
        key = ContractKey(execution.account, execution.contract.con_id).text()
        for one in self._state.find(DECISIONS, "contract", key):
            other = one.taken_from
            known = self._state.get(ALERTS, alert_text(other)) if other is not None else None
            if known is None or known.record is None or known.successor is None or known.alert == row.alert:
                continue
            named = same_name(known.alert, row.alert, execution.contract, self._names)
            same = named and _is_same(replace(known.record, id=known.alert), row)
            if same and self.find(execution, row.alert) is None:
                return replace(row, successor=known.alert)
        return row

    def last_name(self, alert: AlertId) -> AlertId:
        """Return the last name of an alert, through all records that are the same alert."""
        while (row := self._state.get(ALERTS, alert_text(alert))) is not None and row.successor is not None:
            after = self._state.get(ALERTS, alert_text(row.successor))
            record = after.record if after is not None else None
            if record is None or not _is_same(replace(record, id=row.successor), row):
                break
            alert = row.successor
        return alert

    def called_since(self, made: OwnershipDecision, execution: Execution, owner: AlertId) -> AlertId:
        """Return who took over from an owner since a decision, or before it where nothing was left to take.

        Where the owner's record is there it is the owner itself.
        """
        decisions = self._state.find(DECISIONS, "contract", ContractKey(made.account, made.con_id).text())
        for one in sorted(decisions, key=lambda each: (each.seq, each.number)):
            taken = one.taken_from == owner and (one.seq, one.number) > (made.seq, made.number)
            if taken and self.find(execution, owner) is None:
                owner = one.alerts[0].alert
        return self.owner_now(execution, owner)

    def took_over(self, execution: Execution, known: AlertState, now: Alert | None) -> bool:
        """Return whether a record has an execution's contract from another one, and is about the same still.

        It may be about what that one was about without naming the contract, as where that is an adjusted one.
        """
        key = ContractKey(execution.account, execution.contract.con_id).text()
        made = self._state.find(DECISIONS, "contract", key)
        if not any(one.taken_from is not None and one.alerts[0].alert == known.alert for one in made):
            return False
        return known.record is not None and (now is None or same_contract(known.record, now))

    def successor(self, execution: Execution, gone: AlertId) -> AlertId | None:
        """Return the record that takes over what one that is gone owns of the execution's contract."""
        state = self._state.get(ALERTS, alert_text(gone)) or AlertState(gone)
        there = records_like(self._candidates(execution), gone, [execution.contract], self._names)
        found = self.among(there, state, execution)
        return None if found is None else found.id

    def among(self, alerts: Collection[Alert], gone: AlertState, execution: Execution) -> Alert | None:
        """Return which of these takes over what a record that is gone owns of the execution's contract."""
        named = contracts_named(self._state, execution.account, gone, alerts)
        return successor_among(alerts, gone, execution.contract, named)

    def is_same_alert(self, execution: Execution, gone: AlertId, new: AlertId) -> bool:
        """Return whether a record of the store is the same alert as one that is gone."""
        row, record = self._state.get(ALERTS, alert_text(gone)), self.find(execution, new)
        found = row and record and same_alert_among([record], row, [execution.contract])
        return bool(found)

    def continued(self, execution: Execution, alert: AlertId, held: Holding) -> frozenset[AlertId]:
        """Return the records that were the same alert, owned of a holding, and are gone from the store."""
        return frozenset(
            mine.alert
            for mine in held.alerts
            if same_name(mine.alert, alert, execution.contract, self._names)
            and self.find(execution, mine.alert) is None
            and self.is_same_alert(execution, mine.alert, alert)
        )

    def _same_alert(self, execution: Execution, gone: AlertState) -> Alert | None:
        """Return the record that is the same alert as one that is gone: in another spelling, say."""
        there = records_like(self._candidates(execution), gone.alert, [execution.contract], self._names)
        named = contracts_named(self._state, execution.account, gone, there)
        return same_alert_among(there, gone, [execution.contract, *named])


def _is_same(record: Alert, gone: AlertState) -> bool:
    return same_alert_among([record], gone) is not None
