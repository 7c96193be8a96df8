"""Dates: when a record was written, which day an expiry means, which day a contract expires.

Owns rules 2.3 (how fine a created_at must be) and 2.6. Everything is computed from what is written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tests.sim.rules_oracle.facts import Contract
from tests.sim.rules_oracle.names import osi

NEW_YORK: Final = ZoneInfo("America/New_York")
_AM_CLASSES: Final = frozenset({"SPX", "NDX", "RUT", "VIX"})
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@dataclass(frozen=True, slots=True)
class Written:
    """A record's created_at: the moment, and the date on its writer's wall."""

    moment: datetime | None
    """In UTC; None where it is missing or coarser than a second (rule 2.3)."""
    wall: date | None
    about: datetime | None = None
    """The moment, also where it is coarser: good enough for an age, not for an identity."""


def read_created(text: object, zone: str) -> Written:
    """Read created_at; without a zone it is in the stores' zone."""
    if not isinstance(text, str):
        return Written(None, None)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return Written(None, None)
    wall = moment.date()
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    moment = moment.astimezone(UTC)
    exact = re.search(r"\d[T ]\d\d:?\d\d:?\d\d", text)
    return Written(moment if exact else None, wall, moment)


@dataclass(frozen=True, slots=True)
class Expiry:
    """What an alert says about expiry: a day, or only a month; neither where it says nothing usable."""

    day: date | None = None
    month: tuple[int, int] | None = None
    """(year, month), of a form like OCT25."""

    @property
    def missing(self) -> bool:
        return self.day is None and self.month is None


def read_expiry(text: object, wall: date) -> Expiry:
    """Read an alert's expiry; one without a year is resolved on the writer's wall (rule 2.6)."""
    said = str(text).strip().upper() if isinstance(text, (str, int)) else ""
    if found := re.fullmatch(r"(\d{4})-?(\d\d)-?(\d\d)", said):
        return Expiry(_day(int(found[1]), int(found[2]), int(found[3])))
    if found := re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4}|\d\d)", said):
        year = int(found[3]) + (2000 if len(found[3]) == 2 else 0)
        return Expiry(_day(year, int(found[1]), int(found[2])))
    if found := re.fullmatch(r"(\d{1,2})/(\d{1,2})", said) or re.fullmatch(r"(\d\d)(\d\d)", said):
        return Expiry(_next(int(found[1]), int(found[2]), wall))
    if (found := re.fullmatch(r"([A-Z]{3})[ -]?(\d\d)", said)) and found[1] in _MONTHS:
        return Expiry(month=(2000 + int(found[2]), _MONTHS.index(found[1]) + 1))
    return Expiry()


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _next(month: int, day: int, wall: date) -> date | None:
    """Return this year's day, or the next year's when it has passed."""
    this_year = _day(wall.year, month, day)
    if this_year is not None and this_year >= wall:
        return this_year
    return _day(wall.year + 1, month, day)


def last_trade_date(contract: Contract) -> date | None:
    """Return the last trade date as a New York day; a time and zone written with it say which (rule 2.6)."""
    parts = contract.expiry.replace("-", " ").split()
    if not parts or not re.fullmatch(r"\d{8}", parts[0]):
        return None
    day = _day(int(parts[0][:4]), int(parts[0][4:6]), int(parts[0][6:]))
    if day is None or len(parts) < 3 or not re.fullmatch(r"\d\d:\d\d(:\d\d)?", parts[1]):
        return day
    try:
        zone = ZoneInfo(parts[2])
    except (ZoneInfoNotFoundError, ValueError):
        return day
    clock = datetime.strptime((parts[1] + ":00")[:8], "%H:%M:%S").time()
    return datetime.combine(day, clock, zone).astimezone(NEW_YORK).date()


def expiry_day(contract: Contract) -> date | None:
    """Return the day that people mean: that of the local symbol, else the last trade date (rule 2.6)."""
    parts = osi(contract)
    if parts is not None:
        return _day(2000 + int(parts[1][:2]), int(parts[1][2:4]), int(parts[1][4:]))
    return last_trade_date(contract)


def meant_days(contract: Contract) -> frozenset[date]:
    """Return every day that an alert may write for the contract's expiry."""
    day, last = expiry_day(contract), last_trade_date(contract)
    days = {day} if day is not None else set()
    if osi(contract) is not None:
        # An AM-settled contract trades last on the day before; an alert may write that day.
        if day is not None and last is not None and last < day:
            days.add(last)
    elif day is not None and contract.trading_class in _AM_CLASSES:
        days.add(day + timedelta(days=3 if day.weekday() == 4 else 1))
    return frozenset(days)
