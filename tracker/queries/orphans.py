"""Describe the records that are gone from the alert store while they hold a position.

Owns what the inbox shows of them. It reads the state and changes nothing.
"""

from __future__ import annotations

from tracker.core.alert_updates import instant, number, positions_of
from tracker.core.state import ALERTS, LedgerState
from tracker.core.state_rows import AlertPosition, AlertState, Holding
from tracker.queries.as_json import Json, alert_json, contract_json


def orphaned(state: LedgerState) -> list[Json]:
    """Return the records that are gone while they hold something that no other record took over, by name."""
    rows = sorted(state.find(ALERTS, "orphaned", "1"), key=lambda row: row.alert[:3])
    return [_orphan(state, row) for row in rows]


def _orphan(state: LedgerState, row: AlertState) -> Json:
    holds = [_position(row, *owned) for owned in positions_of(state, row) if owned[1].quantity]
    what = ", ".join(f"{each['quantity']} {each['contract']}" for each in holds)
    return {
        **alert_json(row.alert),
        "holds": holds,
        "says": f"the record is gone while it holds {what}, and no other record takes that over",
    }


def _position(row: AlertState, holding: Holding, mine: AlertPosition) -> Json:
    # One is enough to assign its order by; there can be thousands of lots.
    fills = (lot.exec_id for lot in holding.lots if row.alert in lot.owners and lot.exec_id)
    return {
        "account": holding.account,
        **contract_json(holding.contract),
        "quantity": number(mine.quantity),
        "opened_at": instant(mine.opened_at),
        "fill": next(fills, None),
    }
