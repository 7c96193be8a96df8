"""Sum up a span of days: round trips, profit and fees by alerter and in all, what is open and unproven.

Owns the answer of `report` and its CSV form. It reads the journal and changes nothing. A fill that several
alerts share counts for each of them, and once in the total.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from tracker.core.alert_updates import instant, number
from tracker.core.alerters import AlerterNames
from tracker.core.model import ZERO, Value
from tracker.core.state import ADJUSTMENTS, DEPARTURES, EXECUTIONS, GAPS, HOLDINGS, LedgerState
from tracker.core.state_rows import ContractKey
from tracker.journal.journal import Journal
from tracker.queries.as_json import Json, alert_json, contract_json
from tracker.queries.lookup import days_since
from tracker.queries.round_trips import RoundTrip, SharedStep, TripStep, contract_past
from tracker.terminal import printable

CSV_COLUMNS: Final = (
    *("alert", "account", "contract", "con_id", "side", "quantity", "opened_at", "closed_at", "held_seconds"),
    *("avg_price", "closing_price", "profit", "fees", "net", "currency"),
)
_PLACES: Final = 8


@dataclass(slots=True)
class Sums:
    """Add up the steps of one alerter, or of all."""

    trips: int = 0
    won: int = 0
    judged: int = 0
    """Round trips with a known profit."""
    profit: Decimal = ZERO
    fees: Decimal = ZERO

    def add(self, steps: Iterable[TripStep | SharedStep], since: datetime, until: datetime) -> None:
        """Add the steps of a span of time."""
        for step in steps:
            if since <= step.at < until:
                self.profit += step.profit
                self.fees += step.fee

    def to_json(self) -> Json:
        """Return the sums; `win_rate` is None where nothing was closed."""
        return {
            "round_trips": self.trips,
            "won": self.won,
            "win_rate": round(self.won / self.judged, 4) if self.judged else None,
            "profit": _number(self.profit),
            "fees": _number(self.fees),
            "net": _number(self.profit - self.fees),
        }


def report(journal: Journal, names: AlerterNames, since: datetime, until: datetime) -> Json:
    """Return what was done from `since` up to `until`, both aware, and what is open now."""
    state = journal.state
    pasts = [contract_past(state, key, names) for key in _contracts(journal, since, until)]
    found = [trip for past in pasts for trip in past.trips]
    closed = [trip for trip in found if trip.closed_at is not None and since <= trip.closed_at < until]
    alerters: dict[tuple[str, str], Sums] = defaultdict(Sums)
    total: dict[str, Sums] = defaultdict(Sums)
    for trip in found:
        alerters[trip.alert.alerter, trip.contract.currency].add(trip.steps, since, until)
    for past in pasts:
        if past.trips:
            total[past.currency].add(past.in_all, since, until)
    for trip in closed:
        for sums in (alerters[trip.alert.alerter, trip.contract.currency], total[trip.contract.currency]):
            sums.trips += 1
            sums.judged += trip.priced
            sums.won += trip.priced and trip.profit > trip.fees
    closed.sort(key=lambda trip: (str(trip.closed_at), trip.alert.name))
    return {
        "since": instant(since),
        "until": instant(until),
        "round_trips": [trip_json(trip) for trip in closed],
        "alerters": [
            {"alerter": name, "currency": currency or None, **sums.to_json()}
            for (name, currency), sums in sorted(alerters.items())
        ],
        "total": [
            {"currency": currency or None, **sums.to_json()} for currency, sums in sorted(total.items())
        ],
        "open": _open(state),
        "gaps": sorted(gap.day.isoformat() for gap in state.find(GAPS, "open", "1")),
    }


def _contracts(journal: Journal, since: datetime, until: datetime) -> Iterable[ContractKey]:
    """Return the contracts that alerts traded in that time, or that left their positions without a fill."""
    found: dict[ContractKey, None] = {}
    for day in days_since(journal.days(), since):
        for row in journal.state.find(EXECUTIONS, "day", day):
            if row.owners and since <= row.execution.time < until:
                found[row.contract_key] = None
        journal.state.committed()
    for gone in journal.state.every(DEPARTURES):
        if since <= gone.moment.time < until:
            found[ContractKey(gone.account, gone.con_id)] = None
    for one in journal.state.every(ADJUSTMENTS):
        if since <= one.place.time < until and not one.undone:
            found[ContractKey(one.account, one.con_id)] = None
    return found


def trip_json(trip: RoundTrip) -> Json:
    """Describe one round trip."""
    held_for = trip.held_for
    closing = trip.closing_price
    return {
        **alert_json(trip.alert),
        "account": trip.account,
        **contract_json(trip.contract),
        "side": "long" if trip.long else "short",
        "quantity": number(trip.opened),
        "opened_at": instant(trip.opened_at),
        "closed_at": instant(trip.closed_at),
        "held_seconds": None if held_for is None else round(held_for.total_seconds()),
        "avg_price": _number(trip.avg_price),
        "closing_price": None if closing is None else _number(closing),
        "profit": _number(trip.profit) if trip.priced else None,
        "fees": _number(trip.fees),
        "net": _number(trip.profit - trip.fees) if trip.priced else None,
    }


def _open(state: LedgerState) -> list[Json]:
    rows = [
        {
            **alert_json(mine.alert),
            "account": holding.account,
            **contract_json(holding.contract),
            "quantity": number(mine.quantity),
            "avg_price": _number(mine.avg_price),
            "opened_at": instant(mine.opened_at),
        }
        for holding in state.find(HOLDINGS, "held", "1")
        for mine in holding.alerts
        if mine.quantity
    ]
    return sorted(rows, key=lambda row: (str(row["alert"]), str(row["contract"])))


def _number(value: Decimal) -> Value:
    return number(round(value, _PLACES))


def csv_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield the round trips as lines of CSV without their ends, a heading first; times in UTC."""
    yield ",".join(CSV_COLUMNS)
    for trip in answer["round_trips"]:
        yield _line([trip[name] for name in CSV_COLUMNS])


def _line(cells: Sequence[object]) -> str:
    text = io.StringIO()
    shown = [printable(cell) if isinstance(cell, str) else cell for cell in cells]
    csv.writer(text, lineterminator="").writerow(shown)
    return text.getvalue()
