"""The rows of the screen, read from the daemon's answers and events.

Owns what is read from an answer, so that unexpected values of older daemons and other programs never crash
the screen. It holds no state.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import MAXYEAR, MINYEAR, datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

from tracker.terminal import counted, printable

Answer: TypeAlias = Mapping[str, Any]

_EXPIRY: Final = 1
_TERMS: Final = (_EXPIRY, 2, 3)
"""Places of the parts that identify an option; a symbol may be spelled in several ways."""
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_LONGEST_NUMBER: Final = 20
"""The longest text in characters that is shown in place of a number."""


@dataclass(frozen=True, slots=True)
class FillRow:
    """Hold one fill; fields that only answers contain are empty until an answer lists it."""

    account: str
    exec_id: str
    at: datetime | None
    side: str
    quantity: str
    contract: str
    price: str
    symbol: str = ""
    outcome: str = ""
    needs: str = ""
    """ambiguous, near_miss or reopened while it waits for a person, else empty."""
    seq: int = 0
    """The number of the event that reported it; 0 for a fill from an answer."""

    @property
    def key(self) -> str:
        return f"{self.account} {self.exec_id}"


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """Hold one alert that the store shows open."""

    name: str
    created_at: str
    contract: str
    """The contract held, with the one asked for where that differs; without a position only the one asked
    for.
    """
    quantity: str
    """Empty where the tracker knows of no position."""
    price: str
    opened_at: datetime | None
    brief: str = ""
    """The contract where there is room for 24 characters only; empty where it is short enough."""
    copy: int = 0
    """How many rows of the same name and creation time come before: two records may look the same."""

    @property
    def key(self) -> str:
        return f"{self.name} {self.created_at} {self.copy}"


class Candidate(NamedTuple):
    """Hold an alert that a fill may belong to, and why."""

    alert: str
    why: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Hold one item of the inbox; `fill` is None for a message that could not be read."""

    key: str
    fill: FillRow | None
    reason: str
    """In words."""
    candidates: tuple[Candidate, ...] = ()


def instant(value: object) -> datetime | None:
    """Read an aware ISO time of a year that can be shown in any zone; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return time if time.tzinfo is not None and MINYEAR < time.year < MAXYEAR else None


def span(length: timedelta) -> str:
    """Write a length of time in one unit, rounded down; never negative."""
    seconds = max(0, int(length.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _number(value: object) -> str:
    """Write a JSON number, or a number that came as text, without a needless fraction or exponent."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _digits(value, 10)
    return "" if value is None else printable(str(value))[:_LONGEST_NUMBER]


def _digits(value: float, count: int) -> str:
    """Write a number with so many digits; one that is larger than any float is infinite."""
    try:
        return f"{value:.{count}g}"
    except OverflowError:
        return "inf" if value > 0 else "-inf"


def fill_row(row: Answer) -> FillRow:
    """Read one fill."""
    waits = "" if row.get("dismissed") else str(row.get("attention") or "")
    return FillRow(
        account=str(row["account"]),
        exec_id=str(row["exec_id"]),
        at=instant(row.get("time")),
        side=str(row.get("side", "")),
        quantity=_number(row.get("quantity")),
        contract=str(row.get("contract", "")),
        price=_number(row.get("price")),
        symbol=str(row.get("symbol", "")),
        outcome=_outcome(row, waits),
        needs=waits,
    )


def _outcome(row: Answer, waits: str) -> str:
    """Return the outcome of a fill in a few words: the column is narrow."""
    if waits:
        given = "".join(f", {_number(each['quantity'])} to {each['alert']}" for each in row.get("parts", ()))
        return f"NEEDS YOU: {waits.replace('_', ' ')}{given}"
    names = ", ".join(str(each["alert"]) for each in row.get("alerts", ()))
    if row.get("opening") and row.get("closing"):
        return f"flipped {names}" if names else "no alert"
    if names and (closing := row.get("closing")):
        quantity = _number(abs(closing)) if isinstance(closing, int | float) else ""
        return f"{'sold' if row.get('side') == 'SELL' else 'bought back'} {quantity} of {names}"
    if names:
        return f"opened {names}"
    return "waiting" if row.get("waiting") else "no alert"


def fill_of_event(event: Answer) -> FillRow:
    """Read a fill from its event."""
    return FillRow(
        account=str(event.get("account", "")),
        exec_id=str(event.get("exec_id", "")),
        at=instant(event.get("at")),
        side=str(event.get("side", "")),
        quantity=_number(event.get("quantity")),
        contract=str(event.get("symbol", "")),
        price=_number(event.get("price")),
        symbol=str(event.get("symbol", "")),
        seq=int(event.get("seq", 0)),
    )


def _open_alert(row: Answer) -> OpenAlert:
    position = row.get("position") or {}
    contract, brief = _held_and_asked(row)
    return OpenAlert(
        name=str(row["alert"]),
        created_at=str(row.get("created_at", "")),
        contract=contract,
        quantity=_number(position.get("quantity")),
        price=_price(position.get("avg_price")),
        opened_at=instant(position.get("opened_at")),
        brief=brief,
    )


def _held_and_asked(row: Answer) -> tuple[str, str]:
    """Write what an alert holds and asked for: once in full, once only the difference, in short."""
    asked = _contract_parts(row)
    held = [_contract_parts(each) for each in row.get("holds") or ()]
    if not held:
        return " ".join(filter(None, asked)), ""
    names = ", ".join(" ".join(filter(None, each)) for each in held)
    differs = [
        at for at in _TERMS if _is_exact(at, asked[at]) and any(asked[at] != each[at] for each in held)
    ]
    if not differs:
        return names, ""
    wanted = [asked[at] for at in differs]
    brief = ", ".join(" ".join(_brief(each[at]) for at in differs) for each in held)
    return f"{names}, asked {' '.join(wanted)}", f"held {brief}, asked {' '.join(map(_brief, wanted))}"


def _is_exact(at: int, part: str) -> bool:
    """Return whether an alert names one expiry, strike or right; a month alone is met by many contracts."""
    return bool(part) and (at != _EXPIRY or _DATE.fullmatch(part) is not None)


def _brief(part: str) -> str:
    """Write a date without its year, anything else as it is."""
    return part[5:] if _DATE.fullmatch(part) else part


def open_alerts(rows: Iterable[Answer]) -> tuple[OpenAlert, ...]:
    """Read the open alerts."""
    seen: Counter[tuple[str, str]] = Counter()
    alerts = []
    for row in rows:
        alert = _open_alert(row)
        alerts.append(replace(alert, copy=seen[alert.name, alert.created_at]))
        seen[alert.name, alert.created_at] += 1
    return tuple(alerts)


def contract_text(row: Answer) -> str:
    """Write the contract of a record, as matching reads it."""
    return " ".join(filter(None, _contract_parts(row)))


def _contract_parts(row: Answer) -> tuple[str, ...]:
    """Return symbol, expiry, strike and right; what is unknown is empty."""
    parts = (row.get("symbol"), row.get("expiry"), _number(row.get("strike")), row.get("right"))
    return tuple(printable(str(part)) if part else "" for part in parts)


def _price(value: object) -> str:
    return _digits(value, 6) if isinstance(value, int | float) else ""


def as_item(order: Answer) -> Answer:
    """Return an order as one item: its first fill, with the quantity and the average price of all."""
    count = len(order["fills"])
    fill = {**order["fill"], "quantity": order["quantity"], "price": order["avg_price"]}
    return {**order, "fill": fill, "fill_count": count}


def waiting_row(item: Answer) -> Waiting:
    """Read one item of the inbox."""
    fill = fill_row(item["fill"])
    meant = [Candidate(str(each["alert"]), f"by {each['rule']}") for each in item.get("alerts", ())]
    near = [
        Candidate(str(each["alert"]), str(each["reason"]))
        for each in item.get("rejected", ())
        if each["near"]
    ]
    candidates = distinct([*meant, *near])
    reason = str(item.get("needs") or "").replace("_", " ")
    if (count := item.get("fill_count", 1)) > 1:
        reason = f"{counted(count, 'fill')}, {reason}"
    if (left := item.get("left")) not in (None, item.get("quantity")):
        reason = f"{_number(left)} left, {reason}"
    names = ", ".join(candidate.alert for candidate in candidates)
    return Waiting(fill.key, fill, f"{reason}: {names}" if names else reason, candidates)


def distinct(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Return the first candidate of each name; the daemon decides which record of that name it is."""
    found: dict[str, Candidate] = {}
    for candidate in candidates:
        found.setdefault(candidate.alert, candidate)
    return tuple(found.values())


def unreadable_row(row: Answer) -> Waiting:
    """Read the row of one message that the tracker could not read."""
    return Waiting(f"frame {row['frame']}", None, f"{row['kind']} cannot be read: {row['reason']}")


def unexplained_row(row: Answer) -> Waiting:
    """Read the row of a position that no fill explains."""
    key = f"unexplained {row['account']} {row['con_id']}"
    return Waiting(key, None, f"unexplained: {row['contract']} in {row['account']}: {row['says']}")


def orphaned_row(row: Answer) -> Waiting:
    """Read the row of a record that is gone while it holds a position."""
    key = f"orphaned {row['alert']} {row['created_at']} {row['option_conid']}"
    return Waiting(key, None, f"orphaned: {row['alert']}: {row['says']}")
