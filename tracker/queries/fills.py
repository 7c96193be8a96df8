"""List the fills of a time, an alert or an account, and write them as CSV.

Owns which rows are listed and in which order. It reads the journal day by day, so that a long history is
never in memory at once, and changes nothing.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tracker.core.alert_updates import instant, number
from tracker.core.alerters import AlerterNames
from tracker.core.model import CommissionReport
from tracker.core.state import ALERTS, EXECUTIONS, FEES, LedgerState
from tracker.core.state_rows import BookedExecution
from tracker.journal.journal import Journal
from tracker.queries.as_json import Json, fill_json
from tracker.queries.lookup import (
    alerts_named,
    check_alert_name,
    days_since,
    listing_order,
    no_such_alert,
    states_named,
)
from tracker.terminal import printable

CSV_COLUMNS: Final = (
    *("time", "account", "exec_id", "symbol", "sec_type", "expiry", "strike", "right", "con_id"),
    *("multiplier", "currency", "side", "quantity", "price", "commission", "commission_currency"),
    *("realized_pnl", "perm_id", "order_id", "client_id", "order_ref", "opening", "closing", "alerts"),
    *("decision", "counted", "superseded_by", "received_at", "parts"),
)
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters that a spreadsheet reads as a formula, the full-width signs included."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Say which fills to list; empty fields select everything."""

    since: datetime | None = None
    """Executed at or after this; aware."""
    alert: str = ""
    """ALERTER/TICKER, in any spelling."""
    account: str = ""
    everything: bool = False
    """Whether corrected versions and combos' own lines are listed too, which are not counted."""


def fills(journal: Journal, selection: Selection, names: AlerterNames, limit: int | None = None) -> Json:
    """Return the fills selected, in the order of their execution; with `limit` the newest of them.

    Raises CommandError for an alert that never had a fill.
    """
    kept: deque[BookedExecution] = deque(maxlen=limit)
    total = 0
    for row in selected(journal, selection, names):
        kept.append(row)
        total += 1
    rows = sorted(kept, key=listing_order)
    return {
        "since": instant(selection.since),
        "alert": selection.alert or None,
        "account": selection.account or None,
        "total": total,
        "left_out": total - len(rows),
        "fills": [fill_json(journal.state, row) for row in rows],
    }


def selected(journal: Journal, selection: Selection, names: AlerterNames) -> Iterator[BookedExecution]:
    """Yield the selected fills by their day of receipt; raises CommandError."""
    wanted = _filter(selection)
    if selection.alert:
        yield from filter(wanted, _of_alert(journal.state, selection.alert, names))
        return
    for day in days_since(journal.days(), selection.since):
        rows = journal.state.find(EXECUTIONS, "day", day)
        yield from sorted(filter(wanted, rows), key=listing_order)
        journal.state.committed()


def _filter(selection: Selection) -> Callable[[BookedExecution], bool]:
    def wanted(row: BookedExecution) -> bool:
        return (
            (selection.since is None or row.execution.time >= selection.since)
            and selection.account in ("", row.execution.account)
            and (selection.everything or row.counted)
        )

    return wanted


def _of_alert(state: LedgerState, name: str, names: AlerterNames) -> list[BookedExecution]:
    """Return the fills that touched an alert of this name, now or before a record replaced another."""
    check_alert_name(name)
    states = states_named(state, name, names)
    if not states:
        known = {row.alert.name for row in state.every(ALERTS)}
        raise no_such_alert(name, known, "known to have a fill")
    keys = dict.fromkeys(key for alert_state in states for key in alert_state.contracts)
    rows = [row for key in keys for row in state.find(EXECUTIONS, "contract", key.text())]
    touched = [row for row in rows if alerts_named(name, row.owners, names)]
    return sorted(touched, key=listing_order)


def csv_lines(state: LedgerState, rows: Iterable[BookedExecution]) -> Iterator[str]:
    """Yield fills as lines of CSV without their ends, a heading first.

    Numbers are written exactly as the broker gave them, times in UTC. Texts are made printable; one that a
    spreadsheet would take for a formula gets an apostrophe in front.
    """
    yield _line(CSV_COLUMNS)
    for row in rows:
        yield _line(_cells(row, state.get(FEES, row.execution.exec_id)))


def _line(cells: Iterable[object]) -> str:
    text = io.StringIO()
    shown = [_text(cell) if isinstance(cell, str) else cell for cell in cells]
    csv.writer(text, lineterminator="").writerow(shown)
    return text.getvalue()


def _cells(row: BookedExecution, fee: CommissionReport | None) -> list[object]:
    execution, contract = row.execution, row.execution.contract
    return [
        instant(execution.time),
        execution.account,
        execution.exec_id,
        contract.symbol,
        contract.sec_type,
        contract.expiry,
        contract.strike,
        contract.right,
        contract.con_id,
        contract.multiplier,
        contract.currency,
        execution.side.value,
        execution.quantity,
        execution.price,
        None if fee is None else fee.commission,
        None if fee is None else fee.currency,
        None if fee is None else fee.realized_pnl,
        execution.perm_id,
        execution.order_id,
        execution.client_id,
        execution.order_ref,
        row.opening,
        row.closing,
        ", ".join(owner.name for owner in row.owners),
        type(row.match).__name__.lower(),
        "yes" if row.counted else "no",
        row.superseded_by,
        instant(row.received_at),
        ", ".join(f"{number(part.quantity)} {part.alert.name}" for part in row.parts),
    ]


def _text(value: str) -> str:
    shown = printable(value)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA_STARTS) else shown
