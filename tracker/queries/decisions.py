"""What a person decides about a fill: assign it to an alert, or dismiss it.

Owns which decisions make sense, and the note by which each is journalled (`core.ledger` reads it). It
writes nothing itself: whoever holds the journal appends the note and has it pumped.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tracker.core.alerters import AlerterNames
from tracker.core.journal_entries import Assigned, Dismissed
from tracker.core.matching import contradiction
from tracker.core.model import Alert, AlertId, ExecutionKey, Matched, Rule
from tracker.core.state import EXECUTIONS, OUTBOX, LedgerState
from tracker.core.state_rows import Attention, BookedExecution, Delivery, alert_text
from tracker.queries.as_json import Json, alert_json, fill_json, outcome, update_json
from tracker.queries.lookup import alert_named, fill_meant, order_rows
from tracker.status.protocol import CommandError, quoted


@dataclass(frozen=True, slots=True)
class Decision:
    """Hold a decision that makes sense, and what it touches."""

    key: ExecutionKey
    entries: tuple[Assigned | Dismissed, ...]
    """What is to be journalled; empty where the decision was taken before and nothing is to be done."""
    alert: AlertId | None = None
    """The record that the fill is assigned to."""
    before: tuple[AlertId, ...] = ()
    """The records that it touched until now."""

    def taken(self, state: LedgerState) -> bool:
        """Tell whether the state shows the decision."""
        row = _row(state, self.key)
        return row.dismissed if self.alert is None else _is_assigned(row, self.alert)


def assignment(
    state: LedgerState,
    alerts: Sequence[Alert],
    names: AlerterNames,
    *,
    exec_id: str = "",
    alert: str,
    account: str = "",
    order: str = "",
    watched: Collection[str] = (),
) -> Decision:
    """Decide that a fill and its order belong to an alert of the store; raises CommandError.

    `exec_id` may be a number of the inbox, `order` is a permId in its place. `watched` are the accounts of
    the settings, empty for all. Another strike or expiry may be assigned; another symbol, kind or right may
    not, as no rule crosses them either.
    """
    row = fill_meant(state, exec_id, account, order)
    execution = row.execution
    _check_counted(row)
    if watched and execution.account not in watched:
        raise CommandError(
            "refused", f"account {execution.account} is not watched; add it to gateway.accounts first"
        )
    if row.folded and not row.opening:
        owners = ", ".join(owner.name for owner in row.owners) or "no alert"
        raise CommandError(
            "refused",
            f"{execution.exec_id} only closed a position, and closing follows who opened it ({owners});"
            " assign the fill that opened it",
        )
    found = alert_named(alert, alerts, names)
    if against := contradiction(execution.contract, found):
        raise CommandError(
            "refused",
            f"{execution.exec_id} cannot be assigned to {found.id.name}: {against}; choose another alert",
        )
    entries = () if _is_assigned(row, found.id) else (Assigned(row.key, found.id),)
    before = dict.fromkeys(owner for each in order_rows(state, row) for owner in each.owners)
    return Decision(row.key, entries, found.id, tuple(before))


def dismissal(state: LedgerState, exec_id: str = "", account: str = "", order: str = "") -> Decision:
    """Decide that a fill and its order need no decision any longer; raises CommandError where none do."""
    row = fill_meant(state, exec_id, account, order)
    if row.dismissed:
        return Decision(row.key, ())
    _check_counted(row)
    if row.attention is Attention.NONE:
        raise CommandError(
            "refused",
            f"{row.execution.exec_id} needs no decision ({outcome(row)}), so there is nothing to dismiss",
        )
    whole = [each for each in order_rows(state, row) if each.wants_person]
    return Decision(row.key, tuple(Dismissed(each.key) for each in whole))


def _check_counted(row: BookedExecution) -> None:
    exec_id = row.execution.exec_id
    if row.superseded_by:
        raise CommandError(
            "refused", f"{exec_id} was corrected by {row.superseded_by}; name that one instead"
        )
    if row.execution.contract.is_combo:
        raise CommandError(
            "refused",
            f"{exec_id} is a combo's own line and moves nothing; name its legs, which `tracker inbox` lists"
            " under it",
        )


def _is_assigned(row: BookedExecution, alert: AlertId) -> bool:
    return isinstance(row.match, Matched) and row.match.alerts == ((alert, Rule.PERSON),)


def _row(state: LedgerState, key: ExecutionKey) -> BookedExecution:
    row = state.get(EXECUTIONS, f"{key.account} {key.exec_id}")
    if row is None:
        raise CommandError("not_found", f"no execution {quoted(key.exec_id)} is in the journal any longer")
    return row


def delivered(state: LedgerState, decision: Decision) -> bool:
    """Tell whether the store was given, or refused, all that a decision changed."""
    return all(delivery.state != "pending" for delivery in _deliveries(state, decision))


def _deliveries(state: LedgerState, decision: Decision) -> list[Delivery]:
    touched = dict.fromkeys((*(() if decision.alert is None else (decision.alert,)), *decision.before))
    rows = (state.get(OUTBOX, alert_text(alert)) for alert in touched)
    return [row for row in rows if row is not None]


def decision_result(state: LedgerState, decision: Decision, *, dry_run: bool = False) -> Json:
    """Return the fill as it stands now, and what each alert that the decision touched will show.

    With `dry_run` the state is that of a rehearsal, and nothing was delivered.
    """
    row = _row(state, decision.key)
    order = [each for each in order_rows(state, row) if each.counted]
    answer: Json = {
        "done": bool(decision.entries) and not dry_run,
        "dry_run": dry_run,
        "fill": fill_json(state, row),
        "order": [each.execution.exec_id for each in order],
    }
    if decision.alert is None:
        return answer
    shows = [
        {**update_json(delivery.update), "delivery": None if dry_run else delivery.state}
        for delivery in _deliveries(state, decision)
    ]
    mine = [each for each in shows if each["alert"] == decision.alert.name]
    return {
        **answer,
        **alert_json(decision.alert),
        "shows": mine[0] if mine else None,
        "also_changed": [each for each in shows if each["alert"] != decision.alert.name],
    }
