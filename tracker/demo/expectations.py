"""The alerts that fit a scenario, and what each must show at the end, from the paper gateway's own book.

Owns the arithmetic of one alert per instrument, written anew: none of it is the tracker's. It reads nothing.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from tracker.core.model import JsonValue
from tracker.demo.morning_script import A_TIME, AlertName, alert_record, stamp
from tracker.demo.report import Flat

_ZERO = Decimal(0)


class Dealt(NamedTuple):
    """Hold one execution in force."""

    exec_id: str
    account: str
    con_id: int
    perm_id: int
    signed: Decimal
    price: Decimal


class Broker(NamedTuple):
    """Hold what the gateway's `book` command answered."""

    executions: tuple[Dealt, ...]
    """Those in force, in the order of their times."""
    fees: Mapping[str, Decimal]

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> Broker:
        """Take the answer apart."""
        rows = sorted(answer["executions"], key=lambda row: str(row["time"]))
        return cls(
            tuple(
                Dealt(
                    row["exec_id"],
                    row["account"],
                    row["con_id"],
                    row["perm_id"],
                    Decimal(row["signed"]),
                    Decimal(row["price"]),
                )
                for row in rows
                if row["in_force"]
            ),
            {exec_id: Decimal(fee) for exec_id, fee in answer["fees"].items()},
        )


class Held(NamedTuple):
    """Hold what an account had of an instrument at the beginning."""

    account: str
    con_id: int
    quantity: Decimal


def alerts_for(contracts: Mapping[str, Mapping[str, Any]]) -> dict[AlertName, int]:
    """Return an alert for each instrument, by name -> conId; a combo has none, since its legs are counted."""
    return {
        AlertName(name, one["symbol"], name): one["con_id"]
        for name, one in contracts.items()
        if one["sec_type"] != "BAG"
    }


def stores_for(contracts: Mapping[str, Mapping[str, Any]], moment: datetime) -> dict[str, str]:
    """Return the stores by file name; the alerts were made a minute before this moment."""
    created = stamp(moment - timedelta(minutes=1))
    alerts = {
        alert.alerter: {alert.ticker: _record(contracts[alert.alerter], created)}
        for alert in alerts_for(contracts)
    }
    return {
        "alerts.json": json.dumps(alerts, indent=2),
        "alerter_contracts.json": "{}",
        "alerter_stocks.json": "{}",
    }


def _record(contract: Mapping[str, Any], created: str) -> dict[str, Any]:
    con_id, kind, day = contract["con_id"], contract["sec_type"], contract["expiry"]
    if kind == "OPT":
        return alert_record(
            created,
            0,
            con_id,
            ticker=contract["symbol"],
            strike=contract["strike"],
            side=contract["right"],
            expiry=f"{day[4:6]}/{day[6:]}/{day[:4]}",
        )
    own = None if kind == "STK" else con_id
    return alert_record(created, con_id, own, ticker=contract["symbol"], strike=None, side=None, expiry=None)


def expected(
    broker: Broker, con_id: int, before: Iterable[Held], shown: Flat, *, fees: bool = True
) -> dict[str, JsonValue]:
    """Return what the alert of an instrument must show, by dotted key.

    `shown` only chooses the order whose sums are meant: a time that cannot be read leaves open which fill
    was last. `fees` False leaves the commission open: it comes to another client.
    """
    mine = [one for one in broker.executions if one.con_id == con_id]
    base = {held.account: held.quantity for held in before if held.con_id == con_id}
    owned, touched = _owned(mine, base)
    if not touched:
        return {"open": False}
    named = shown.get("last_order_update.exec_id")
    last = next((one for one in touched if one.exec_id == named), touched[-1])
    fills = [one for one in mine if (one.account, one.perm_id) == (last.account, last.perm_id)]
    filled = sum((abs(one.signed) for one in fills), _ZERO)
    cost = sum((abs(one.signed) * one.price for one in fills), _ZERO)
    told = [broker.fees[one.exec_id] for one in fills if one.exec_id in broker.fees]
    found: dict[str, JsonValue] = {
        "open": any(owned.values()),
        "last_order_update.exec_id": last.exec_id,
        "last_order_update.side": "BUY" if last.signed > 0 else "SELL",
        "last_order_update.filled_qty": _number(filled),
        "last_order_update.avg_fill_price": _number(cost / filled),
        "position.quantity": _number(sum(owned.values(), _ZERO)),
        "position.closed_at": None if any(owned.values()) else A_TIME,
    }
    if fees:
        found["last_order_update.commission"] = _number(sum(told, _ZERO)) if told else None
    return found


def _owned(
    executions: Sequence[Dealt], base: Mapping[str, Decimal]
) -> tuple[dict[str, Decimal], list[Dealt]]:
    """Return what the alert has in each account, and the executions that changed it."""
    owned: dict[str, Decimal] = defaultdict(lambda: _ZERO)
    held = defaultdict(lambda: _ZERO, base)
    touched = []
    for one in executions:
        before, after = held[one.account], held[one.account] + one.signed
        closing = min(abs(before), abs(one.signed)) if before * one.signed < 0 else _ZERO
        # What the alert opened goes first; what was held before it, last.
        taken = min(closing, abs(owned[one.account]))
        opened = abs(one.signed) - closing
        owned[one.account] -= taken.copy_sign(before)
        owned[one.account] += opened.copy_sign(one.signed)
        held[one.account] = after
        if taken or opened:
            touched.append(one)
    return owned, touched


def _number(value: Decimal) -> JsonValue:
    return int(value) if value == value.to_integral_value() else float(value)
