"""Let a person decide about a fill: assign it to an alert, or dismiss it.

Owns which decisions are possible, and the note by which each is journalled (`core.ledger` reads it). It
writes nothing itself: the caller holds the journal, appends the note and runs the pump.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tracker.core.alert_updates import number
from tracker.core.alerters import AlerterNames
from tracker.core.journal_entries import WHOLE, Assigned, Dismissed, PartAssigned
from tracker.core.matching import contradiction
from tracker.core.model import ZERO, Alert, AlertId, ExecutionKey, Matched, Rule
from tracker.core.part_ownership import left_of_fills
from tracker.core.state import EXECUTIONS, HOLDINGS, OUTBOX, LedgerState
from tracker.core.state_rows import Attention, BookedExecution, Delivery, alert_text, owners_key
from tracker.queries.as_json import Json, alert_json, fill_json, outcome, update_json
from tracker.queries.lookup import alert_named, fill_meant, names_order, order_rows, read_amount
from tracker.status.protocol import CommandError, quoted


@dataclass(frozen=True, slots=True)
class Decision:
    """Hold a decision that passed all checks, and the records that it touches."""

    key: ExecutionKey
    entries: tuple[Assigned | PartAssigned | Dismissed, ...]
    """The entries to journal; empty where the same decision was taken before."""
    alert: AlertId | None = None
    """The record that the fill is assigned to."""
    before: tuple[AlertId, ...] = ()
    """The records that the fill touched until now."""
    quantity: Decimal | None = None
    """How much of the fill is assigned, None for its whole order."""

    @property
    def alerts(self) -> tuple[AlertId, ...]:
        """The records that may change by the decision."""
        assigned = () if self.alert is None else (self.alert,)
        return tuple(dict.fromkeys((*assigned, *self.before)))

    def taken(self, state: LedgerState) -> bool:
        """Return whether the state shows the decision."""
        row = _row(state, self.key)
        if self.quantity is not None:
            return bool(row.parts)
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
    quantity: str = "",
    watched: Collection[str] = (),
) -> Decision:
    """Decide that a fill and its order belong to an alert of the store; raises CommandError.

    `exec_id` may be a number of the inbox, `order` is a permId in its place. With `quantity` it is that much
    of the fill, or of what its order has filled. `watched` are the accounts of the settings, empty for all.
    The contract may differ from the alert's in strike or expiry, but not in symbol, kind or right, as for
    every rule.
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
    before = _in_store((owner for each in order_rows(state, row) for owner in each.owners), alerts)
    if quantity:
        whole = bool(order) or names_order(state, exec_id)
        part = _part(state, row, found.id, read_amount("quantity", quantity), whole=whole)
        return Decision(row.key, (part,), found.id, before, part.quantity)
    entries = () if _is_assigned(row, found.id) else (Assigned(row.key, found.id),)
    return Decision(row.key, entries, found.id, before)


def _in_store(owners: Iterable[AlertId], alerts: Sequence[Alert]) -> tuple[AlertId, ...]:
    """Return the owners of an order once each, without records that another one of their name replaced."""
    there = {alert.id for alert in alerts}
    each = dict.fromkeys(owners)
    names = {owner.name for owner in each if owner in there}
    return tuple(owner for owner in each if owner in there or owner.name not in names)


def _part(
    state: LedgerState, row: BookedExecution, alert: AlertId, quantity: Decimal, *, whole: bool
) -> PartAssigned:
    """Assign a part of a fill, or of its whole order, to an alert; raises CommandError where less is left."""
    exec_id = row.execution.exec_id
    left_of = left_of_fills(state.get(HOLDINGS, row.contract_key.text()), owners_key(row.execution))
    left = sum(left_of.values(), ZERO) if whole else left_of.get(exec_id, ZERO)
    what = f"order {row.execution.perm_id}" if whole and row.execution.perm_id else exec_id
    if quantity > left:
        rows = order_rows(state, row) if whole else [row]
        given = sum((part.quantity for each in rows for part in each.parts), ZERO)
        parts = (
            f"; {number(given)} of it {_are(given)} assigned already, which `tracker why {exec_id}` lists"
            if given
            else ""
        )
        raise CommandError(
            "refused",
            f"{number(quantity)} of {what} cannot be assigned: {number(left)} of it {_are(left)} left to"
            " assign" + parts,
        )
    if quantity % 1 and not row.execution.quantity % 1:
        raise CommandError(
            "bad_request", f"quantity {number(quantity)} is not whole, as {what} is; name a whole number"
        )
    return PartAssigned(row.key, alert, quantity, WHOLE if whole else "")


def _are(quantity: Decimal) -> str:
    return "is" if quantity == 1 else "are"


def dismissal(state: LedgerState, exec_id: str = "", account: str = "", order: str = "") -> Decision:
    """Decide that a fill and its order need no decision any longer; raises CommandError where they needed
    none.
    """
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


def written_to(state: LedgerState, alerts: Iterable[AlertId]) -> bool:
    """Return whether the store has taken or refused everything that these records must show."""
    return all(delivery.state != "pending" for delivery in _deliveries(state, alerts))


def _deliveries(state: LedgerState, alerts: Iterable[AlertId]) -> list[Delivery]:
    rows = (state.get(OUTBOX, alert_text(alert)) for alert in alerts)
    return [row for row in rows if row is not None]


def deliveries_json(state: LedgerState, alerts: Iterable[AlertId], *, dry_run: bool) -> list[Json]:
    """Describe what records must show and whether that was delivered; in a dry run nothing is."""
    return [
        {**update_json(row.update), "delivery": None if dry_run else row.state}
        for row in _deliveries(state, alerts)
    ]


def decision_result(state: LedgerState, decision: Decision, *, dry_run: bool = False) -> Json:
    """Return the fill as it is now, and what each alert that the decision touched will show.

    With `dry_run` the state is a rehearsal's, and nothing was delivered.
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
    shows = deliveries_json(state, decision.alerts, dry_run=dry_run)
    mine = [each for each in shows if each["alert"] == decision.alert.name]
    return {
        **answer,
        "quantity": number(decision.quantity),
        "whole_order": not any(isinstance(one, PartAssigned) and not one.whole for one in decision.entries),
        **alert_json(decision.alert),
        "nothing_left": not any(decision.alert in each.owners or not each.folded for each in order),
        "shows": mine[0] if mine else None,
        "also_changed": [each for each in shows if each["alert"] != decision.alert.name],
    }
