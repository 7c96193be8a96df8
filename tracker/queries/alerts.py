"""List the records of the alert store, as they show now.

Owns that list only; `why` accounts for one of them. It reads the store's last good state and changes nothing.
"""

from __future__ import annotations

from tracker.core.alert_updates import instant
from tracker.core.alerters import AlerterNames
from tracker.core.model import Alert
from tracker.queries.as_json import Json, alert_json, plain_json, reads_as
from tracker.queries.lookup import check_alert_name, same_name
from tracker.queries.why import StoreNow


def alerts(
    store: StoreNow, names: AlerterNames, *, name: str = "", only_open: bool = False, limit: int | None = None
) -> Json:
    """Return the store's records, those that show a position first; raises CommandError for a bad name."""
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
        "alerts": [_alert(alert, store) for alert in kept],
    }


def _alert(alert: Alert, store: StoreNow) -> Json:
    shown = store.shown(alert.id)
    return {
        **alert_json(alert.id),
        "open": alert.open,
        "last_order_update": plain_json(shown.last_order_update if shown is not None else None),
        "position": plain_json(shown.position if shown is not None else None),
        "created": instant(alert.created_at),
        **reads_as(alert),
    }
