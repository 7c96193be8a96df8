"""The forms of date and time that a Flex query offers, and which of them a report is written in.

Owns the reading of a report's dates and times. A query sets one form for all of its dates, so the form is
chosen from all dates of a file together: 11/12/2025 alone could be either day. Times are New York's unless
the query writes a zone after them.

| Date Format | Time Format | Date/Time Separator |
|---|---|---|
| yyyyMMdd, yyyy-MM-dd | HHmmss, HH:mm:ss | semicolon, comma, single space, |
| MM/dd/yyyy, MM/dd/yy, dd/MM/yyyy, dd/MM/yy, dd-MMM-yy | and both with TimeZone | or none |
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from tracker.core.limits import is_plausible
from tracker.gateway.times import zone_named

NEW_YORK: Final = ZoneInfo("America/New_York")

_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
EVENING: Final = time(20, 20)
"""When a trade date ends, in New York."""
_FRIDAY: Final = 4
_CENTURY: Final = 2000
_CLOCK: Final = re.compile(r"[;,T ]*(\d\d):?(\d\d):?(\d\d)(?:\s*([A-Za-z].*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class DateFormat:
    """Read the dates and times of one report; `name` is the query's own."""

    name: str
    pattern: re.Pattern[str]

    def read_day(self, text: str) -> date | None:
        """Read a date, with or without a time after it; None where it does not have this form."""
        found = self._read(text)
        return None if found is None else found[0]

    def read_moment(self, text: str) -> datetime | None:
        """Read a date with its time into aware UTC; None where one of them is missing or unreadable."""
        found = self._read(text)
        return None if found is None or not found[1] else read_time(found[0], found[1])

    def _read(self, text: str) -> tuple[date, str] | None:
        match = self.pattern.match(text)
        rest = "" if match is None else text[match.end() :]
        if match is None or (rest and _CLOCK.fullmatch(rest) is None):
            return None
        parts = match.groupdict()
        year = int(parts["year"])
        month = _MONTHS.index(parts["name"].upper()) + 1 if "name" in parts else int(parts["month"])
        try:
            day = date(year + _CENTURY if year < 100 else year, month, int(parts["day"]))
        except ValueError:
            return None
        return (day, rest) if is_plausible(day) else None


def read_time(day: date, text: str) -> datetime | None:
    """Read the time of a day, in New York or in the zone after it, into aware UTC."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    zone = zone_named(match[4]) if match[4] else NEW_YORK
    if zone is None:
        return None
    try:
        clock = time(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None
    return datetime.combine(day, clock, zone).astimezone(UTC)


_YEAR: Final = r"(?P<year>\d{4})"
_SHORT_YEAR: Final = r"(?P<year>\d\d)"
_MONTH: Final = r"(?P<month>\d\d)"
_NAME: Final = f"(?P<name>{'|'.join(_MONTHS)})"
_DAY: Final = r"(?P<day>\d\d)"

FORMATS: Final = tuple(
    DateFormat(name, re.compile(pattern, re.ASCII | re.IGNORECASE))
    for name, pattern in {
        "yyyyMMdd": _YEAR + _MONTH + _DAY,
        "yyyy-MM-dd": f"{_YEAR}-{_MONTH}-{_DAY}",
        "MM/dd/yyyy": f"{_MONTH}/{_DAY}/{_YEAR}",
        "dd/MM/yyyy": f"{_DAY}/{_MONTH}/{_YEAR}",
        "MM/dd/yy": f"{_MONTH}/{_DAY}/{_SHORT_YEAR}",
        "dd/MM/yy": f"{_DAY}/{_MONTH}/{_SHORT_YEAR}",
        "dd-MMM-yy": f"{_DAY}-{_NAME}-{_SHORT_YEAR}",
    }.items()
)


def evening_of(day: date) -> datetime:
    """Return when a trade date ends, in aware UTC: later executions belong to the next one."""
    return datetime.combine(day, EVENING, NEW_YORK).astimezone(UTC)


def hours_of(first: date, last: date) -> tuple[datetime, datetime]:
    """Return the hours that the trade dates from first to last cover, in aware UTC; two equal times for none.

    Trade dates are weekdays: Monday's begins on Friday evening.
    """
    before = first - timedelta(days=1)
    begins, ends = evening_of(_weekday(before)), evening_of(_weekday(last))
    return begins, max(begins, ends)


def trade_date_of(moment: datetime) -> date:
    """Return the trade date to which an execution of that moment (aware) belongs."""
    local = moment.astimezone(NEW_YORK)
    day = local.date() + timedelta(days=local.timetz().replace(tzinfo=None) >= EVENING)
    return day if day.weekday() <= _FRIDAY else day + timedelta(days=7 - day.weekday())


def _weekday(day: date) -> date:
    """Return the day itself, or the Friday before it."""
    return day - timedelta(days=max(0, day.weekday() - _FRIDAY))


def formats_of(texts: Collection[str]) -> list[DateFormat]:
    """Return the forms in which every one of these dates can be read."""
    return [form for form in FORMATS if all(form.read_day(text) is not None for text in texts)]
