"""Read one record of alerts.json into the core's types.

Owns reading a record's fields leniently: a field that cannot be read becomes None with a problem in plain
words, so that one bad record does not hide the others. It is pure and never changes a record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import Final

from tracker.core.expiry import read_expiry
from tracker.core.limits import OutOfBounds, clean_text, is_plausible, read_number
from tracker.core.model import NO_EXPIRY, Alert, AlertId, Expiry, ExpiryKind, JsonValue
from tracker.core.ports import Shown

_RIGHTS: Final = {"C": "C", "CALL": "C", "CALLS": "C", "P": "P", "PUT": "P", "PUTS": "P"}
_CON_ID_DIGITS_MAX: Final = 18
_CON_IDS_MAX: Final = 200
_QUOTED_MAX: Final = 40
_PROBLEMS_MAX: Final = 10


def read_id(alerter: str, ticker: str, record: Mapping[str, JsonValue]) -> AlertId:
    """Return the identity of a record; a value of the wrong type in its two fields is kept as text."""
    created = record.get("created_at")
    text = created if isinstance(created, str) else "" if created is None else json.dumps(created)
    return AlertId(alerter, ticker, text, _con_id(record.get("option_conid")))


def read_shown(record: Mapping[str, JsonValue]) -> Shown:
    """Return what a record shows in the tracker's fields; only the JSON value true counts as open."""
    order, position = record.get("last_order_update"), record.get("position")
    return Shown(
        record.get("open") is True,
        order if isinstance(order, dict) else None,
        position if isinstance(position, dict) else None,
    )


def read_alert(alerter: str, ticker: str, record: Mapping[str, JsonValue], zone: tzinfo) -> Alert:
    """Read a record; `zone` is the zone of a created_at without an offset."""
    problems: list[str] = []
    identity = read_id(alerter, ticker, record)
    written = _written_at(identity.created_at, zone, problems)
    con_ids = _con_ids(record, problems)
    details = record.get("alert_details")
    if not isinstance(details, dict):
        if details is not None:
            problems.append("alert_details is not an object")
        details = {}
    expiry = read_bounded_expiry(details.get("expiry"), written.date() if written else None)
    if expiry.kind is ExpiryKind.UNUSABLE:
        problems.append(f"expiry {_quoted(details.get('expiry'))} is not a date that can be used")
    given = any(details.get(name) not in (None, "") for name in ("strike", "side", "expiry"))
    return Alert(
        id=identity,
        open=record.get("open") is True,
        created_at=written.astimezone(UTC) if written else None,
        con_ids=con_ids,
        symbol=_symbol(details.get("ticker")) or _symbol(ticker),
        is_option=given or bool(con_ids),
        strike=_strike(details.get("strike"), problems),
        right=_right(details.get("side"), problems),
        expiry=expiry if given else NO_EXPIRY,
        problems=_bounded(problems),
        written_on=written.date() if written else None,
    )


def read_bounded_expiry(value: object, created: date | None) -> Expiry:
    """Read an expiry as `read_expiry` does; only a text of a length that the journal can keep."""
    return read_expiry(clean_text(value) if isinstance(value, str) else value, created)


def read_strike(text: str) -> Decimal | None:
    """Read a strike as people write it (`$1,225.50`); None for a text that is not a price."""
    try:
        strike = read_number(text.strip().lstrip("$").replace(",", ""))
    except OutOfBounds:
        return None
    return strike if strike > 0 else None


def _bounded(problems: list[str]) -> tuple[str, ...]:
    more = len(problems) - _PROBLEMS_MAX
    return (*problems[:_PROBLEMS_MAX], *([f"and {more} more like these"] if more > 0 else []))


def _quoted(value: JsonValue) -> str:
    text = json.dumps(value)
    return text if len(text) <= _QUOTED_MAX else text[:_QUOTED_MAX] + "..."


def _written_at(text: str, zone: tzinfo, problems: list[str]) -> datetime | None:
    """Return created_at as the writer's wall clock showed it."""
    if not text:
        problems.append("created_at is missing")
        return None
    try:
        created = datetime.fromisoformat(text.strip())
        if is_plausible(created.date()):
            local = created if created.tzinfo else created.replace(tzinfo=zone)
            return local if created.tzinfo else local.astimezone(UTC).astimezone(zone)
    except ValueError:
        pass  # Reported below, like a time too far away.
    problems.append(f"created_at {_quoted(text)} cannot be read as a time")
    return None


def _con_id(value: JsonValue) -> int | None:
    """Return an option's conId given as a number or as digits, else None."""
    if isinstance(value, str):
        digits = value.strip()
        plain = digits.isascii() and digits.isdecimal() and len(digits) <= _CON_ID_DIGITS_MAX
        value = int(digits) if plain else None
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value < 10**_CON_ID_DIGITS_MAX else None


def _con_ids(record: Mapping[str, JsonValue], problems: list[str]) -> frozenset[int]:
    several = record.get("option_conids")
    values = [("option_conid", record.get("option_conid"))]
    listed = several if isinstance(several, list) else [several]
    values += [("option_conids", each) for each in listed[:_CON_IDS_MAX]]
    if len(listed) > _CON_IDS_MAX:
        problems.append(f"option_conids holds {len(listed)} conIds, of which {_CON_IDS_MAX} are read")
    found = set()
    for name, value in values:
        con_id = _con_id(value)
        if con_id is not None:
            found.add(con_id)
        elif value not in (None, "", 0):
            problems.append(f"{name} {_quoted(value)} is not a conId")
    return frozenset(found)


def _symbol(value: JsonValue) -> str:
    return clean_text(value.strip()).lstrip("$").strip().upper() if isinstance(value, str) else ""


def _strike(value: JsonValue, problems: list[str]) -> Decimal | None:
    if value is None or value == "":
        return None
    # The shortest text of a number is what the writer wrote: 122.5, without binary rounding.
    text = value if isinstance(value, str) else json.dumps(value)
    strike = read_strike(text)
    if strike is None:
        problems.append(f"strike {_quoted(value)} is not a price")
    return strike


def _right(value: JsonValue, problems: list[str]) -> str:
    if value is None or value == "":
        return ""
    right = _RIGHTS.get(value.strip().upper(), "") if isinstance(value, str) else ""
    if not right:
        problems.append(f"side {_quoted(value)} is neither call nor put")
    return right
