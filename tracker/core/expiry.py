"""Read the expiry that a person or a program wrote into an alert.

Owns the forms people write (`1121`, `11/21`, `11/21/2025`, `20251121`, `OCT25`) and the year that a
year-less date means. It guesses nothing else: a text that names neither day nor month is unusable, and the
caller says so.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from tracker.core.model import NO_EXPIRY, Expiry, ExpiryKind

_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_NAME: Final = (
    "(?P<name>JAN(?:UARY)?|FEB(?:RUARY)?|MAR(?:CH)?|APR(?:IL)?|MAY|JUNE?|JULY?|AUG(?:UST)?"
    "|SEP(?:T|TEMBER)?|OCT(?:OBER)?|NOV(?:EMBER)?|DEC(?:EMBER)?)"
)
_YEAR: Final = "(?P<year>20[0-9]{2})"
_SHORT_YEAR: Final = "(?P<year>(?:20)?[0-9]{2})"

_DAY_FORMS: Final = tuple(
    re.compile(form)
    for form in (
        # IBKR may add a time and a zone: `20251121 08:30:00 US/Central`.
        _YEAR + "(?P<month>[0-9]{2})(?P<day>[0-9]{2})(?: .*)?",
        _YEAR + "[-/](?P<month>[0-9]{1,2})[-/](?P<day>[0-9]{1,2})(?:[T ].*)?",
        "(?P<month>[0-9]{2})(?P<day>[0-9]{2})",
        "(?P<month>[0-9]{1,2})[-/](?P<day>[0-9]{1,2})(?:[-/]" + _SHORT_YEAR + ")?",
        "(?P<day>[0-9]{1,2})[ -]?" + _NAME + "(?:[ -]?" + _SHORT_YEAR + ")?",
        _NAME + " ?(?P<day>[0-9]{1,2})(?:,? |,)" + _SHORT_YEAR,
        _NAME + " ?(?P<day>[0-9])",
    )
)
_MONTH_AND_YEAR: Final = re.compile(_NAME + "[ -]?" + _YEAR)
_DAY_OR_YEAR: Final = re.compile(_NAME + " ?(?P<number>[0-9]{2})")

_TEXT_MAX: Final = 80


def read_expiry(text: object, created: date | None) -> Expiry:
    """Read an expiry as a person means it.

    `text` is whatever the store holds. `created` is the local date on which the alert was written: a date
    without a year is the first such day of that year or the next that is not before it, so the day of
    writing itself counts as this year. Without `created` such a date cannot be resolved and is unusable.
    """
    if text is None:
        return NO_EXPIRY
    if isinstance(text, bool) or not isinstance(text, str | int):
        return _unusable(str(text))
    words = str(text)[:_TEXT_MAX].strip()
    if not words:
        return NO_EXPIRY
    return _read(words, created)


def _read(words: str, created: date | None) -> Expiry:
    upper = words.upper()
    for form in _DAY_FORMS:
        if found := form.fullmatch(upper):
            parts = found.groupdict()
            day = _resolve(parts.get("year"), _month_number(parts), int(parts["day"]), created)
            return _unusable(words) if day is None else Expiry(ExpiryKind.DAY, day=day, text=words)
    if found := _MONTH_AND_YEAR.fullmatch(upper):
        parts = found.groupdict()
        return Expiry(ExpiryKind.MONTH, month=(int(parts["year"]), _month_number(parts)), text=words)
    if found := _DAY_OR_YEAR.fullmatch(upper):
        parts = found.groupdict()
        number, month = int(parts["number"]), _month_number(parts)
        day = _resolve(None, month, number, created)
        return Expiry(ExpiryKind.MONTH, day=day, month=(2000 + number, month), text=words)
    return _unusable(words)


def _unusable(words: str) -> Expiry:
    return Expiry(ExpiryKind.UNUSABLE, text=words[:_TEXT_MAX])


def _month_number(parts: dict[str, str]) -> int:
    if "name" in parts:
        return _MONTHS.index(parts["name"][:3]) + 1
    return int(parts["month"])


def _resolve(year: str | None, month: int, day: int, created: date | None) -> date | None:
    if year is not None:
        return _date(2000 + int(year) % 100, month, day)
    if created is None:
        return None
    this_year = _date(created.year, month, day)
    if this_year is not None and this_year >= created:
        return this_year
    return _date(created.year + 1, month, day)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        # 02/30, 1332 and the like: people and their parsers do write them.
        return None
