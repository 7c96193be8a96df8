"""Explain one fill or one alert: which rule, what was rejected, what was written, what others did since.

Owns the gathering of evidence from the journal and the store. It decides nothing and changes nothing: it
shows what was recorded at the time of the decision.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from tracker.core.alert_updates import FOREIGN, cause_of_end, instant, number, positions_of, shared_names
from tracker.core.alerters import AlerterNames, symbol_key
from tracker.core.journal_entries import (
    Assigned,
    Dismissed,
    PartAssigned,
    RecordBack,
    RecordGone,
    RecordReplaced,
    Rematched,
    Undone,
    read_entry,
)
from tracker.core.lot_parts import fill_name
from tracker.core.model import Alert, AlertId, Ambiguous, ExecutionKey, Frame, JsonValue, correction_parts
from tracker.core.ownership_rows import OwnershipDecision, OwnershipKind
from tracker.core.past import past_of
from tracker.core.ports import Shown
from tracker.core.state import ABSENCES, ADJUSTMENTS, ALERTS, EXECUTIONS, LedgerState
from tracker.core.state_rows import (
    AlertPosition,
    AlertState,
    BookedExecution,
    Holding,
    alert_text,
    owners_key,
    owners_of,
)
from tracker.journal.journal import Journal
from tracker.queries.adjustments import adjustment_json, difference_json, open_difference
from tracker.queries.as_json import (
    Json,
    alert_json,
    contract_json,
    fill_decision_json,
    fill_json,
    is_managed,
    reads_as,
    update_json,
    why_not,
)
from tracker.queries.lookup import (
    alerts_named,
    check_alert_name,
    days_since,
    executions_named,
    is_alert_name,
    listing_order,
    no_such_alert,
    order_rows,
    states_named,
)
from tracker.status.protocol import CommandError, quoted

_LOOK_BACK: Final = timedelta(days=30)
_REJECTED_SHOWN: Final = 10


class StoreNow(NamedTuple):
    """Hold the alert store as it is now; `trouble` says why it could not be read, empty where it was."""

    alerts: Sequence[Alert]
    shown: Callable[[AlertId], Shown | None]
    trouble: str = ""
    all_seats: Mapping[AlertId, Json] | None = None
    """What all trackers of a shared store show together; None for the store of one tracker."""

    def of_all_seats(self, alert: AlertId) -> Json:
        """Return what all trackers show of an alert, as a field of its own; null where it is not known."""
        return {} if self.all_seats is None else {"all_seats": self.all_seats.get(alert)}


def why(journal: Journal, of: str, account: str, names: AlerterNames, store: StoreNow, now: datetime) -> Json:
    """Explain an execution, or an alert by ALERTER/TICKER or by a ticker that one alerter has.

    Raises CommandError.
    """
    if is_alert_name(of):
        return why_alert(journal, of, names, store, now)
    try:
        return why_execution(journal, of, names, account)
    except CommandError:
        known = {*(alert.id for alert in store.alerts), *(row.alert for row in journal.state.every(ALERTS))}
        ticker = symbol_key(of)
        named = sorted({alert.name for alert in known if symbol_key(alert.ticker) == ticker})
        if not named:
            raise
        if len(named) > 1:
            raise CommandError(
                "several_alerts", f"{quoted(of)} may mean {', '.join(named)}; write one of them"
            ) from None
    return why_alert(journal, named[0], names, store, now)


# One fill


def why_execution(journal: Journal, exec_id: str, names: AlerterNames, account: str = "") -> Json:
    """Explain an execution, in each account that has it; raises CommandError."""
    rows = executions_named(journal.state, exec_id, account)
    notes = journal.notes()
    return {
        "about": "execution",
        "exec_id": rows[0].execution.exec_id,
        "executions": [_execution(journal, row, notes, names) for row in rows],
    }


def _execution(journal: Journal, row: BookedExecution, notes: Sequence[Frame], names: AlerterNames) -> Json:
    written = [
        {**alert_json(alert), **entry}
        for alert in dict.fromkeys((*row.owners, *owners_of(row.match)))
        for entry in written_to(journal, alert)
        if _tells_of(entry, row.execution.exec_id)
    ]
    others = _versions(journal.state, row)
    keys = {each.key for each in order_rows(journal.state, row)}
    return {
        "fill": fill_json(journal.state, row),
        **fill_decision_json(row),
        "frame": row.seq,
        "looked_at": len(journal.was_considered(row.seq, row.key)),
        "versions": [fill_json(journal.state, other) for other in others],
        "decided_again": [
            note for frame in notes if (note := _about_execution(frame, row, keys)) is not None
        ],
        "ownership": _ownership(journal.state, row, names),
        "written": written,
    }


def _tells_of(entry: Json, exec_id: str) -> bool:
    update = entry["update"]
    last = update.get("last_order_update") if isinstance(update, dict) else None
    return isinstance(last, dict) and last.get("exec_id") == exec_id


def _versions(state: LedgerState, row: BookedExecution) -> list[BookedExecution]:
    """Return the other versions of an execution, which a correction replaced or which replaced it."""
    execution = row.execution
    parts = correction_parts(execution.exec_id)
    if parts is None:
        return []
    rows = state.find(EXECUTIONS, "root", f"{execution.account} {parts.root}")
    like = [
        other
        for other in rows
        if other.key != row.key
        and other.execution.perm_id == execution.perm_id
        and other.execution.contract.con_id == execution.contract.con_id
        and other.execution.side is execution.side
    ]
    return sorted(like, key=lambda other: other.execution.exec_id)


def _ownership(state: LedgerState, row: BookedExecution, names: AlerterNames) -> list[Json]:
    """Return which lots an execution closed although its reference names another alert, and what was decided
    about its own lot.

    The decisions come in the order of their places in time.
    """
    if row.superseded_by:
        return []
    time = row.execution.time
    entries = [_at(time, time, _closed_for_another(row))] if row.foreign else []
    if not row.opening:
        return entries
    exec_id, order = row.execution.exec_id, owners_key(row.execution)
    entries.append(_at(time, time, _opened(row)))
    past, decisions = past_of(state, row.contract_key, names)
    about = [
        (decision, past.given[number].get(exec_id))
        for number, decision in enumerate(decisions)
        if exec_id in past.given[number]
        or (decision.order == order and decision.fill in ("", fill_name(exec_id)) and decision.alerts)
    ]
    for decision, given in sorted(about, key=lambda each: (each[0].place.time, each[0].place.seq)):
        entries.append(_at(decision.place.time, decision.at, _decided(decision, given)))
    return entries


def _closed_for_another(row: BookedExecution) -> str:
    """Say that an execution closed lots of alerts that its order's reference does not name."""
    names = " and ".join(alert.name for alert in row.foreign)
    return f"closed lots of {names}: {FOREIGN}"


def _at(place: datetime, at: datetime | None, what: str) -> Json:
    return {"place": instant(place), "at": instant(at), "what": what}


def _opened(row: BookedExecution) -> str:
    owners = owners_of(row.match) if row.at_booking is None else row.at_booking
    side = "bought" if row.opening > 0 else "sold"
    names = " and ".join(owner.name for owner in owners) or "no alert"
    return f"{side} {number(abs(row.opening))}: {names}"


def _decided(decision: OwnershipDecision, given: Decimal | None) -> str:
    """Say what one decision changed about one lot."""
    names = " and ".join(one.alert.name for one in decision.alerts) or "no alert"
    by_person = {OwnershipKind.PART: "a part of it", OwnershipKind.ASSIGNED: "it"}
    if given is None and decision.kind in by_person:
        return f"a person gave {by_person[decision.kind]} to {names}, but nothing of it was left"
    if given is None:
        return f"{names} was found for it, but it was closed before the alert was there"
    left = number(abs(given))
    match decision.kind:
        case OwnershipKind.MATCHED | OwnershipKind.YOUNGER:
            return f"{names} appeared and took the {left} that were left"
        case OwnershipKind.ASSIGNED:
            return f"a person gave the {left} that were left to {names}"
        case OwnershipKind.PART:
            return f"a person gave {left} of it to {names}"
        case OwnershipKind.REJOINED:
            return f"a person took back the {left} that were given as a part"
        case OwnershipKind.SUCCEEDED:
            before = decision.taken_from
            return (
                f"{names} took over the {left} that were left{f' from {before.created_at}' if before else ''}"
            )


def _about_execution(frame: Frame, row: BookedExecution, keys: Collection[ExecutionKey]) -> Json | None:
    """Say what a note of ours changed about a fill's decision, None where the note is about another fill.

    `keys` are the executions of the fill's order.
    """
    match read_entry(frame):
        case Assigned(key, alert) if key in keys:
            it = "it" if key == row.key else "its order"
            what = f"a person assigned {it} to {alert.name} (ID {frame.seq})"
        case PartAssigned(key, alert, quantity, whole) if key == row.key or (whole and key in keys):
            it = "its order" if whole else "it"
            what = f"a person assigned {number(quantity)} of {it} to {alert.name} (ID {frame.seq})"
        case Dismissed(key) if key == row.key:
            what = f"a person dismissed it (ID {frame.seq})"
        case Undone(seq, key) if key in keys:
            what = f"a person took decision {seq} back"
        case Rematched(key) if key == row.key:
            what = "the alert store had changed, so it was decided again"
        case _:
            return None
    return {"at": instant(frame.received_at), "what": what}


# One alert


def why_alert(journal: Journal, name: str, names: AlerterNames, store: StoreNow, now: datetime) -> Json:
    """Explain the records of that name, deleted ones included; raises CommandError."""
    check_alert_name(name)
    state = journal.state
    states = {alert_state.alert: alert_state for alert_state in states_named(state, name, names)}
    there = {alert.id: alert for alert in store.alerts}
    found = {alert: there[alert] for alert in alerts_named(name, there, names)}
    everyone = sorted({*states, *found}, key=lambda alert: (alert.created_at, alert.option_conid or 0))
    if not everyone:
        if store.trouble:
            raise no_such_alert(name, (), f"in the journal, and {store.trouble}")
        known = {*(alert.name for alert in there), *(row.alert.name for row in state.every(ALERTS))}
        raise no_such_alert(name, known, "in the alert store or the journal")
    notes = journal.notes()
    return {
        "about": "alert",
        "alert": everyone[-1].name,
        "store_trouble": store.trouble or None,
        "records": [
            {
                **_record(journal, alert, states.get(alert), notes),
                **_in_store(found.get(alert), states.get(alert), store),
                **store.of_all_seats(alert),
                **_not_given(journal, alert, found.get(alert), now),
            }
            for alert in everyone
        ],
    }


def _record(journal: Journal, alert: AlertId, alert_state: AlertState | None, notes: Iterable[Frame]) -> Json:
    state = journal.state
    positions = positions_of(state, alert_state) if alert_state is not None else []
    keys = alert_state.contracts if alert_state is not None else ()
    rows = [row for key in keys for row in state.find(EXECUTIONS, "contract", key.text())]
    touched = sorted((row for row in rows if alert in row.owners), key=listing_order)
    return {
        **alert_json(alert),
        "state": _state(alert_state),
        "successor": alert_state.successor.created_at
        if alert_state is not None and alert_state.successor
        else None,
        "shows": update_json(alert_state.shown)
        if alert_state is not None and alert_state.shown is not None
        else None,
        "holds": [
            {
                "account": holding.account,
                **contract_json(holding.contract),
                "quantity": number(position.quantity),
                "avg_price": number(position.avg_price),
                "opened_at": instant(position.opened_at),
                "closed_at": instant(position.closed_at),
                "closed_by": cause_of_end(state, holding, position),
                "held_in_all": number(holding.held),
                "managed": is_managed(state, holding.account),
                "missing_since": instant(_missing_since(state, holding, position)),
                "shared_with": sorted(shared_names(state, holding, position)),
            }
            for holding, position in positions
        ],
        "unexplained": [
            difference_json(state, row) for key in keys for row in open_difference(state, key.text())
        ],
        "adjustments": [
            adjustment_json(row) for key in keys for row in state.find(ADJUSTMENTS, "contract", key.text())
        ],
        "fills": [fill_json(state, row) for row in touched],
        "written": [*written_to(journal, alert)],
        "others_did": sorted(
            [
                *(note for frame in notes if (note := _about_alert(frame, alert)) is not None),
                *(_closed_it(row) for row in touched if alert in row.foreign and not row.superseded_by),
            ],
            key=lambda note: str(note["at"]),
        ),
    }


def _missing_since(state: LedgerState, holding: Holding, position: AlertPosition) -> datetime | None:
    """Return when an answer of the broker first lacked an open option; None where no later one is awaited."""
    missing = state.get(ABSENCES, "last")
    rows = missing.rows if missing is not None and position.quantity else ()
    same = (row.ended.time for row in rows if holding.key == (row.account, row.con_id))
    return next(same, None)


def _closed_it(row: BookedExecution) -> Json:
    return {"at": instant(row.received_at), "what": f"{row.execution.exec_id} closed lots of it: {FOREIGN}"}


def _state(alert_state: AlertState | None) -> str:
    if alert_state is None or alert_state.shown is None:
        return "never filled"
    if alert_state.successor is not None:
        return "replaced"
    if alert_state.removed:
        return "removed"
    if alert_state.gone:
        return "gone"
    return "closed" if alert_state.closed else "open"


def _in_store(alert: Alert | None, alert_state: AlertState | None, store: StoreNow) -> Json:
    """Say what the store shows now, and whether that is what was decided; null where that is unknown."""
    if alert is None:
        return {
            "in_store": None if store.trouble else False,
            "open_in_store": None,
            "agrees": None,
            "reads_as": None,
        }
    shown = store.shown(alert.id)
    decided = alert_state.shown if alert_state is not None else None
    return {
        "in_store": True,
        "open_in_store": alert.open,
        "agrees": shown.agrees(decided) if shown is not None and decided is not None else None,
        "reads_as": reads_as(alert),
    }


def _not_given(journal: Journal, alert: AlertId, read: Alert | None, now: datetime) -> Json:
    """Return the newest fills that considered this record and went elsewhere, with the reason."""
    created = read.created_at if read is not None and read.created_at is not None else now - _LOOK_BACK
    since = max(created, now - _LOOK_BACK)
    symbol = symbol_key(read.symbol if read is not None else alert.ticker)
    found: list[tuple[BookedExecution, str, bool]] = []
    for day in days_since(journal.days(), since):
        for row in journal.state.find(EXECUTIONS, "day", day):
            if symbol_key(row.execution.contract.symbol) == symbol and row.counted:
                found.extend((row, *why) for why in _against(row, alert))
        journal.state.committed()
    found.sort(key=lambda each: listing_order(each[0]))
    rejected: list[JsonValue] = [
        {"fill": fill_json(journal.state, row), "reason": reason, "near": near}
        for row, reason, near in found[-_REJECTED_SHOWN:]
    ]
    return {"not_given": rejected, "not_given_count": len(found)}


def _against(row: BookedExecution, alert: AlertId) -> list[tuple[str, bool]]:
    if alert in row.owners or not row.execution.quantity:
        return []
    if isinstance(row.match, Ambiguous) and alert in row.match.alerts:
        return [(why_not(row.match), True)]
    return [(each.reason, each.near) for each in row.match.rejected if each.alert == alert]


def _about_alert(frame: Frame, alert: AlertId) -> Json | None:
    """Say what a note reports of a record in the store, None where the note is about another record."""
    match read_entry(frame):
        case RecordGone(gone) if gone == alert:
            what = "another program took it out"
        case RecordBack(back) if back == alert:
            what = "another program put it back"
        case RecordReplaced(old, new) if old == alert:
            what = f"another program replaced it; the record of {new.created_at} took over"
        case RecordReplaced(old, new) if new == alert:
            what = f"it took over from the record of {old.created_at}"
        case Assigned(key, to) if to == alert:
            what = f"a person assigned {key.exec_id} to it"
        case PartAssigned(key, to, quantity) if to == alert:
            what = f"a person assigned {number(quantity)} of {key.exec_id} to it"
        case _:
            return None
    return {"at": instant(frame.received_at), "what": what}


def written_to(journal: Journal, alert: AlertId) -> list[Json]:
    """Return what was written to a record in the store, oldest first.

    `again` marks values that had been applied before: another program had undone them.
    """
    entries: list[Json] = []
    before: object = None
    for at, outcome, written in journal.store_log(alert_text(alert)):
        update = _update_of(written)
        again = outcome == "applied" and update is not None and update == before
        entries.append({"at": instant(at), "outcome": outcome, "again": again, "update": update})
        before = update if outcome != "gone" else None
    return entries


def _update_of(update: object) -> JsonValue:
    """Return the values that were written; null where there are none."""
    if not isinstance(update, dict):
        return None
    return {key: update.get(key) for key in ("open", "last_order_update", "position", "remove")}
