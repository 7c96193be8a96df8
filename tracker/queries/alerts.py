"""List the records of the alert store: what each shows, what is held for it, and which contract it asked for.

Owns that list only; `why` accounts for one of them. It reads the store's last good state and the journal, and
changes nothing.
"""

from __future__ import annotations

from tracker.core.alert_updates import instant, number, positions_of
from tracker.core.alerters import AlerterNames
from tracker.core.model import ZERO, Alert
from tracker.core.state import ALERTS, LedgerState
from tracker.core.state_rows import alert_text
from tracker.queries.as_json import Json, alert_json, contract_json, is_managed, plain_json, reads_as
from tracker.queries.lookup import check_alert_name, same_name
from tracker.queries.round_trips import round_trips
from tracker.queries.why import StoreNow


def alerts(
    state: LedgerState,
    store: StoreNow,
    names: AlerterNames,
    *,
    name: str = "",
    only_open: bool = False,
    limit: int | None = None,
    with_profit: bool = False,
) -> Json:
    """Return the store's records, those that show a position first; raises CommandError for a bad name.

    `with_profit` adds the profit of their fills, for which the past of their contracts is folded again.
    """
    if name:
        check_alert_name(name)
    found = [
        alert
        for alert in store.alerts
        if (alert.open or not only_open) and (not name or same_name(alert.id, name, names))
    ]
    found.sort(key=lambda alert: (not alert.open, alert.id.name))
    kept = found if limit is None else found[:limit]
    return {
        "store_trouble": store.trouble or None,
        "total": len(found),
        "left_out": len(found) - len(kept),
        "alerts": [
            {
                **_alert(alert, state, store),
                **(_profit(alert, state, names) if with_profit else {}),
            }
            for alert in kept
        ],
    }


def _alert(alert: Alert, state: LedgerState, store: StoreNow) -> Json:
    shown = store.shown(alert.id)
    return {
        **alert_json(alert.id),
        "open": alert.open,
        "last_order_update": plain_json(shown.last_order_update if shown is not None else None),
        "position": plain_json(shown.position if shown is not None else None),
        "created": instant(alert.created_at),
        **reads_as(alert),
        "holds": _holds(alert, state),
        **store.of_all_seats(alert.id),
    }


def _profit(alert: Alert, state: LedgerState, names: AlerterNames) -> Json:
    """Return the profit of an alert's fills, and when it last changed."""
    known = state.get(ALERTS, alert_text(alert.id))
    keys = known.contracts if known is not None else ()
    trips = [trip for key in keys for trip in round_trips(state, key, names) if trip.alert == alert.id]
    steps = [step for trip in trips for step in trip.steps]
    profit = sum((trip.profit for trip in trips), ZERO) if all(trip.priced for trip in trips) else None
    return {
        "round_trips": sum(trip.closed_at is not None for trip in trips),
        "profit": None if profit is None else number(round(profit, 8)),
        "fees": number(round(sum((trip.fees for trip in trips), ZERO), 8)),
        "changed_at": instant(max((step.at for step in steps), default=None)),
    }


def _holds(alert: Alert, state: LedgerState) -> list[Json]:
    """Return what the alert holds now, contract by contract; a contract may have another expiry than it asked
    for.
    """
    known = state.get(ALERTS, alert_text(alert.id))
    return [
        {
            "account": holding.account,
            **contract_json(holding.contract),
            "quantity": number(mine.quantity),
            "avg_price": number(mine.avg_price),
            "opened_at": instant(mine.opened_at),
            "managed": is_managed(state, holding.account),
        }
        for holding, mine in (positions_of(state, known) if known is not None else ())
        if mine.quantity
    ]
