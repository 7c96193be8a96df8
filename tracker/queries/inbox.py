"""List the fills that need a person, separate from those that belong to no alert.

Owns what is in the inbox and how a combo's legs are gathered under it. It reads the journal and changes
nothing. Most fills of a trader belong to no alert: those are counted, and listed only on demand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

from tracker.core.alert_updates import instant, number
from tracker.core.alerters import AlerterNames
from tracker.core.model import ZERO, JsonValue
from tracker.core.state import DIFFERENCES, EXECUTIONS, UNDECODED, LedgerState
from tracker.core.state_rows import Attention, BookedExecution, UndecodableFrame
from tracker.journal.journal import Journal
from tracker.queries.adjustments import difference_json
from tracker.queries.as_json import Json, fill_decision_json, fill_json
from tracker.queries.fills import Selection, selected
from tracker.queries.lookup import REASONS, days_since, item_number, needing_decision
from tracker.queries.orphans import orphaned
from tracker.queries.zone_hint import zone_hint


class Combo(NamedTuple):
    """Name a combo order in one account; its legs share the permId."""

    account: str
    perm_id: int


def inbox(
    journal: Journal,
    since: datetime,
    names: AlerterNames,
    *,
    store_zone: tzinfo = UTC,
    list_all: bool = False,
    limit: int | None = None,
) -> Json:
    """Return what needs a person, of any age, and count the fills of no alert since a moment.

    `store_zone` is that of times in the stores. With `list_all` the fills of no alert are listed too. Each
    list shows its newest `limit`; the counts are of all.
    """
    state = journal.state
    waiting = needing_decision(state)
    unreadable = sorted(state.find(UNDECODED, "open", "1"), key=lambda row: row.seq)
    unexplained = [difference_json(state, row) for row in state.find(DIFFERENCES, "open", "1")]
    orphans = orphaned(state)
    others = [row for row in selected(journal, Selection(since), names) if not_ours(row)]
    dismissed = sum(row.dismissed for row in others)
    newest = slice(None if limit is None else -limit, None)
    listed = others[newest] if list_all else []
    shown = [*waiting[newest], *listed]
    combos = _combos(state, shown, days_since(journal.days(), min(_days(shown), default=None)))
    answer: Json = {
        "counts": {
            **{reason.value: sum(row.attention is reason for row in waiting) for reason in REASONS},
            "undecodable": len(unreadable),
            "unexplained": len(unexplained),
            "orphaned": len(orphans),
        },
        "needs_you": [_item(state, row, combos) for row in waiting[newest]],
        "orders": _orders(state, waiting[newest]),
        "undecodable": [_unreadable(journal, row) for row in unreadable[newest]],
        "unexplained": unexplained,
        "orphaned": orphans,
        "combos": [_combo_json(state, combo, rows) for combo, rows in combos.items()],
        "hint": zone_hint(journal, waiting, store_zone) or None,
        "not_ours": {"since": instant(since), "count": len(others), "dismissed": dismissed},
    }
    if list_all:
        answer["others"] = [_item(state, row, combos) for row in listed]
    return answer


def not_ours(row: BookedExecution) -> bool:
    """Return whether a fill touched no alert and needs no decision, or a person said that it does not."""
    return row.folded and not row.owners and (row.attention is Attention.NONE or row.dismissed)


def _days(rows: Iterable[BookedExecution]) -> list[datetime]:
    return [row.received_at for row in rows]


def _combo_of(row: BookedExecution) -> Combo:
    return Combo(row.execution.account, row.execution.perm_id)


def _combos(
    state: LedgerState, shown: Sequence[BookedExecution], days: Iterable[str]
) -> Mapping[Combo, list[BookedExecution]]:
    """Return the executions of each combo order that has a listed fill as a leg, the order's own line first.

    Lines and legs share the permId; they are searched on the days on which the listed fills were received.
    """
    wanted = {_combo_of(row) for row in shown if row.execution.perm_id > 0}
    last = max((row.received_at for row in shown), default=None)
    found: dict[Combo, list[BookedExecution]] = {}
    for day in days:
        if last is None or day > last.date().isoformat():
            break
        for row in state.find(EXECUTIONS, "day", day):
            if _combo_of(row) in wanted and not row.superseded_by:
                found.setdefault(_combo_of(row), []).append(row)
    return {
        combo: sorted(rows, key=lambda row: (not row.execution.contract.is_combo, row.moment))
        for combo, rows in found.items()
        if any(row.execution.contract.is_combo for row in rows)
    }


def _orders(state: LedgerState, rows: Iterable[BookedExecution]) -> list[Json]:
    """Group the fills that are decided together, in the order of each group's first fill."""
    found: dict[int, list[BookedExecution]] = {}
    for row in rows:
        found.setdefault(item_number(state, row), []).append(row)
    return [_order(state, number, fills) for number, fills in found.items()]


def _order(state: LedgerState, number_: int, fills: Sequence[BookedExecution]) -> Json:
    quantity = sum((abs(row.execution.quantity) for row in fills), ZERO)
    cost = sum((abs(row.execution.quantity) * row.execution.price for row in fills), ZERO)
    return {
        "number": number_,
        "needs": fills[0].attention.value,
        "quantity": number(quantity),
        "left": number(quantity - sum((part.quantity for row in fills for part in row.parts), ZERO)),
        "avg_price": number(round(cost / quantity, 8)),
        "fills": [row.execution.exec_id for row in fills],
        "fill": fill_json(state, fills[0]),
        **fill_decision_json(fills[0]),
    }


def _item(state: LedgerState, row: BookedExecution, combos: Mapping[Combo, object]) -> Json:
    return {
        "needs": row.attention.value or None,
        "number": item_number(state, row) if row.wants_person else None,
        "combo": row.execution.perm_id if _combo_of(row) in combos else None,
        "fill": fill_json(state, row),
        **fill_decision_json(row),
    }


def _combo_json(state: LedgerState, combo: Combo, rows: Iterable[BookedExecution]) -> Json:
    lines: list[JsonValue] = []
    legs: list[JsonValue] = []
    for row in rows:
        (lines if row.execution.contract.is_combo else legs).append(fill_json(state, row))
    return {"account": combo.account, "perm_id": combo.perm_id, "lines": lines, "legs": legs}


def _unreadable(journal: Journal, row: UndecodableFrame) -> Json:
    frame = journal.frame(row.seq)
    return {
        "frame": row.seq,
        "kind": row.kind,
        "reason": row.reason,
        "exec_id": row.exec_id or None,
        "received_at": None if frame is None else instant(frame.received_at),
    }
