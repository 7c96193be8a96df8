"""The alerts that fit a scenario, and what each must show at the end, from the paper gateway's own book.

Owns the arithmetic of one alert per instrument. It does not use the tracker's core, so that the two check
each other. It reads no file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from tracker.core.model import JsonValue
from tracker.demo.morning_script import A_TIME, AlertName, alert_record, stamp
from tracker.demo.report import Flat

_EIGHT_DIGITS = Context(prec=8)
"""The number of digits to which averages are shown."""
_ZERO = Decimal(0)


class BookExecution(NamedTuple):
    """Hold one execution in force."""

    exec_id: str
    account: str
    con_id: int
    perm_id: int
    signed: Decimal
    price: Decimal


class BookAdjustment(NamedTuple):
    """Hold one change of a position that no execution caused."""

    account: str
    con_id: int
    before: Decimal
    after: Decimal

    @property
    def grew(self) -> bool:
        """Whether more of the same side is held, or something where nothing was."""
        return self.before * self.after >= 0 and abs(self.after) > abs(self.before)


class GatewayBook(NamedTuple):
    """Hold what the gateway's `book` command answered."""

    events: tuple[BookExecution | BookAdjustment, ...]
    """Executions in force and adjustments, in the order of their times."""
    fees: Mapping[str, Decimal]

    @property
    def executions(self) -> tuple[BookExecution, ...]:
        return tuple(one for one in self.events if isinstance(one, BookExecution))

    @property
    def adjustments(self) -> tuple[BookAdjustment, ...]:
        return tuple(one for one in self.events if isinstance(one, BookAdjustment))

    @classmethod
    def read(cls, answer: Mapping[str, Any], zone: str) -> GatewayBook:
        """Read the answer of a gateway whose login is in this zone.

        From its expiry day on an option's position proves nothing until the day has ended, which is after any
        demo.
        """
        expiries = {one["con_id"]: one["expiry"] or "9" for one in answer["contracts"].values()}
        dated: list[tuple[datetime, BookExecution | BookAdjustment]] = [
            (
                datetime.fromisoformat(row["time"]),
                BookExecution(
                    row["exec_id"],
                    row["account"],
                    row["con_id"],
                    row["perm_id"],
                    Decimal(row["signed"]),
                    Decimal(row["price"]),
                ),
            )
            for row in answer["executions"]
            if row["in_force"]
        ]
        dated += [
            (
                datetime.fromisoformat(row["time"]),
                BookAdjustment(row["account"], row["con_id"], Decimal(row["before"]), Decimal(row["after"])),
            )
            for row in answer["adjustments"]
            if f"{datetime.fromisoformat(row['time']).astimezone(ZoneInfo(zone)):%Y%m%d}"
            < expiries.get(row["con_id"], "9")
        ]
        dated.sort(key=lambda each: each[0])
        fees = {exec_id: Decimal(fee) for exec_id, fee in answer["fees"].items()}
        return cls(tuple(event for _, event in dated), fees)


class OpeningPosition(NamedTuple):
    """Hold what an account held of an instrument at the beginning."""

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
    book: GatewayBook, con_id: int, before: Iterable[OpeningPosition], shown: Flat, *, fees: bool = True
) -> dict[str, JsonValue]:
    """Return what the alert of an instrument must show, by dotted key.

    `shown` only chooses the order whose sums are expected: a time that cannot be read leaves open which fill
    was last. With `fees` False the commission is not checked, since it goes to another client.
    """
    mine = [one for one in book.executions if one.con_id == con_id]
    events = [one for one in book.events if one.con_id == con_id]
    base = {held.account: held.quantity for held in before if held.con_id == con_id}
    owned, touched = _owned(events, base)
    if not touched:
        return {"open": False}
    named = shown.get("last_order_update.exec_id")
    last = next((one for one in touched if one.exec_id == named), touched[-1])
    fills = [one for one in mine if (one.account, one.perm_id) == (last.account, last.perm_id)]
    filled = sum((abs(one.signed) for one in fills), _ZERO)
    cost = sum((abs(one.signed) * one.price for one in fills), _ZERO)
    paid = [book.fees[one.exec_id] for one in fills if one.exec_id in book.fees]
    found: dict[str, JsonValue] = {
        "open": any(owned.values()),
        "last_order_update.exec_id": last.exec_id,
        "last_order_update.side": "BUY" if last.signed > 0 else "SELL",
        "last_order_update.filled_qty": _number(filled),
        "last_order_update.avg_fill_price": _number(_EIGHT_DIGITS.plus(cost / filled)),
        "position.quantity": _number(sum(owned.values(), _ZERO)),
        "position.closed_at": None if any(owned.values()) else A_TIME,
    }
    if fees:
        found["last_order_update.commission"] = _number(sum(paid, _ZERO)) if paid else None
    return found


class _Holding:
    """Hold one account's lots: those without an owner that an adjustment brought, the alert's, and the
    opening balance.
    """

    def __init__(self, base: Decimal) -> None:
        self.adjusted = _ZERO
        self.owned = _ZERO
        self.base = base

    @property
    def total(self) -> Decimal:
        return self.adjusted + self.owned + self.base

    def execute(self, signed: Decimal) -> bool:
        """Add an execution; returns whether the alert's part changed."""
        before = self.owned
        closing = min(abs(self.total), abs(signed)) if self.total * signed < 0 else _ZERO
        # Lots that an unexplained increase brought are sold before the alert's, the opening balance last.
        self._close(closing, ("adjusted", "owned", "base"))
        self.owned += (abs(signed) - closing).copy_sign(signed)
        return self.owned != before

    def adjust(self, change: BookAdjustment) -> None:
        """Add a change without an execution: a decrease takes lots without an owner first, the oldest
        first.
        """
        if change.before * change.after < 0:
            self._close(abs(self.total), ("base", "adjusted", "owned"))
            self.adjusted += change.after
        elif abs(change.after) > abs(change.before):
            self.adjusted += change.after - change.before
        else:
            self._close(abs(change.before) - abs(change.after), ("base", "adjusted", "owned"))

    def _close(self, amount: Decimal, order: Sequence[str]) -> None:
        for name in order:
            part = getattr(self, name)
            taken = min(amount, abs(part))
            setattr(self, name, part - taken.copy_sign(part))
            amount -= taken


def _owned(
    events: Sequence[BookExecution | BookAdjustment], base: Mapping[str, Decimal]
) -> tuple[dict[str, Decimal], list[BookExecution]]:
    """Return what the alert holds in each account, and the executions that changed it."""
    held: dict[str, _Holding] = {}
    touched = []
    for one in events:
        account = held.setdefault(one.account, _Holding(base.get(one.account, _ZERO)))
        if isinstance(one, BookAdjustment):
            account.adjust(one)
        elif account.execute(one.signed):
            touched.append(one)
    return {name: account.owned for name, account in held.items()}, touched


def _number(value: Decimal) -> JsonValue:
    return int(value) if value == value.to_integral_value() else float(value)
