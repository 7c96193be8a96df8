"""Read execution times, as the broker writes them, into aware UTC.

Owns the forms of `execDetails` field 15 and the zone names that TWS versions put after them. It never raises
for a text: an unreadable one gives None, since no fill may be lost for its time (ib_insync drops the whole
execution when it does not know the zone).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from tracker.core.limits import is_plausible

# Names that are not IANA keys, in lower case, and the zone whose wall clock they stand for. TWS writes the
# same short name in summer (`20200427-13:00:03 PST` is recorded), so a US abbreviation means the region's
# clock, not a fixed offset; that is also why the table comes before the IANA database, which knows EST and
# MST as fixed. Display names follow the season, hence Greenwich Mean Time is plain UTC.
ZONE_NAMES: Final = {
    "utc": "UTC",
    "z": "UTC",
    "gmt": "UTC",
    "greenwich mean time": "UTC",
    "coordinated universal time": "UTC",
    "est": "America/New_York",
    "edt": "America/New_York",
    "et": "America/New_York",
    "eastern standard time": "America/New_York",
    "eastern daylight time": "America/New_York",
    "eastern time": "America/New_York",
    "cst": "America/Chicago",
    "cdt": "America/Chicago",
    "central standard time": "America/Chicago",
    "central daylight time": "America/Chicago",
    "central time": "America/Chicago",
    "mst": "America/Denver",
    "mdt": "America/Denver",
    "mountain standard time": "America/Denver",
    "mountain daylight time": "America/Denver",
    "us mountain standard time": "America/Phoenix",
    "pst": "America/Los_Angeles",
    "pdt": "America/Los_Angeles",
    "pacific standard time": "America/Los_Angeles",
    "pacific daylight time": "America/Los_Angeles",
    "pacific time": "America/Los_Angeles",
    "akst": "America/Anchorage",
    "akdt": "America/Anchorage",
    "alaskan standard time": "America/Anchorage",
    "alaska standard time": "America/Anchorage",
    "hst": "Pacific/Honolulu",
    "hawaiian standard time": "Pacific/Honolulu",
    "hawaii-aleutian standard time": "Pacific/Honolulu",
    "ast": "America/Halifax",
    "adt": "America/Halifax",
    "atlantic standard time": "America/Halifax",
    "atlantic daylight time": "America/Halifax",
    "brt": "America/Sao_Paulo",
    "e. south america standard time": "America/Sao_Paulo",
    "brasilia standard time": "America/Sao_Paulo",
    "bst": "Europe/London",
    "british summer time": "Europe/London",
    "gmt standard time": "Europe/London",
    "greenwich standard time": "UTC",
    "irish standard time": "Europe/Dublin",
    "wet": "Europe/Lisbon",
    "west": "Europe/Lisbon",
    "western european time": "Europe/Lisbon",
    "western european standard time": "Europe/Lisbon",
    "western european summer time": "Europe/Lisbon",
    "cet": "Europe/Berlin",
    "cest": "Europe/Berlin",
    "met": "Europe/Berlin",
    "mez": "Europe/Berlin",
    "mesz": "Europe/Berlin",
    "mest": "Europe/Berlin",
    "central european time": "Europe/Berlin",
    "central european standard time": "Europe/Berlin",
    "central european summer time": "Europe/Berlin",
    "central europe standard time": "Europe/Berlin",
    "w. europe standard time": "Europe/Berlin",
    "romance standard time": "Europe/Paris",
    "eet": "Europe/Athens",
    "eest": "Europe/Athens",
    "eastern european time": "Europe/Athens",
    "eastern european standard time": "Europe/Athens",
    "eastern european summer time": "Europe/Athens",
    "e. europe standard time": "Europe/Chisinau",
    "gtb standard time": "Europe/Athens",
    "fle standard time": "Europe/Helsinki",
    "msk": "Europe/Moscow",
    "moscow standard time": "Europe/Moscow",
    "russian standard time": "Europe/Moscow",
    "trt": "Europe/Istanbul",
    "turkey standard time": "Europe/Istanbul",
    "israel standard time": "Asia/Jerusalem",
    "israel daylight time": "Asia/Jerusalem",
    "gulf standard time": "Asia/Dubai",
    "arabian standard time": "Asia/Dubai",
    "sast": "Africa/Johannesburg",
    "south africa standard time": "Africa/Johannesburg",
    "ist": "Asia/Kolkata",
    "india standard time": "Asia/Kolkata",
    "sgt": "Asia/Singapore",
    "singapore standard time": "Asia/Singapore",
    "singapore time": "Asia/Singapore",
    "hkt": "Asia/Hong_Kong",
    "hong kong standard time": "Asia/Hong_Kong",
    "hong kong time": "Asia/Hong_Kong",
    "china standard time": "Asia/Shanghai",
    "taipei standard time": "Asia/Taipei",
    "jst": "Asia/Tokyo",
    "japan standard time": "Asia/Tokyo",
    "tokyo standard time": "Asia/Tokyo",
    "kst": "Asia/Seoul",
    "korea standard time": "Asia/Seoul",
    "korean standard time": "Asia/Seoul",
    "awst": "Australia/Perth",
    "w. australia standard time": "Australia/Perth",
    "australian western standard time": "Australia/Perth",
    "aest": "Australia/Sydney",
    "aedt": "Australia/Sydney",
    "aus eastern standard time": "Australia/Sydney",
    "australian eastern standard time": "Australia/Sydney",
    "australian eastern daylight time": "Australia/Sydney",
    "nzst": "Pacific/Auckland",
    "nzdt": "Pacific/Auckland",
    "new zealand standard time": "Pacific/Auckland",
    "new zealand daylight time": "Pacific/Auckland",
}

_TIME: Final = re.compile(
    r"(\d{4})(-?)(\d\d)\2(\d\d)(-|T|\s+)(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?\s*(\S.*)?", re.ASCII
)
_OFFSET: Final = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d\d)?", re.ASCII)
_EPOCH_SECONDS_DIGITS: Final = (9, 10)
_EPOCH_MILLISECONDS_DIGITS: Final = (12, 13)


@lru_cache(maxsize=256)
def zone_named(name: str) -> tzinfo | None:
    """Return the zone that a TWS text names: an abbreviation, a display name, an IANA key or an offset."""
    text = " ".join(name.split())
    key = ZONE_NAMES.get(text.lower(), text)
    if key == "UTC":
        return UTC
    if (offset := _OFFSET.fullmatch(key)) is not None:
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        if minutes >= 24 * 60:
            return None
        return timezone(timedelta(minutes=minutes if offset[1] == "+" else -minutes))
    try:
        return ZoneInfo(key)
    except (LookupError, ValueError, OSError):
        # The zone does not exist, is not a valid key, or is a folder of the zone database ("America").
        return None


def execution_time(text: str, login_zone: tzinfo, received_at: datetime | None = None) -> datetime | None:
    """Read an execution time into aware UTC; None where the text cannot be read.

    When summer time ends, an hour is there twice: the one nearer to its receipt is meant, else the first.

    Forms, as recorded: `20230224  12:04:56` is in the zone of the TWS login, which only the caller knows;
    `20231116-12:15:35` is UTC; a zone after either form overrides that; a bare number counts from the epoch.
    """
    first, second = _readings(text, login_zone)
    if first is None or second is None or received_at is None:
        return first
    return second if received_at - first > second - received_at else first


@lru_cache(maxsize=1024)
def _readings(text: str, login_zone: tzinfo) -> tuple[datetime | None, datetime | None]:
    """Return the time, and a second one where its hour is there twice."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return _epoch_time(text.strip()), None
    year, _, month, day, separator, hour, minute, second, fraction, zone_text = match.groups()
    unnamed = UTC if separator == "-" else login_zone
    zone = zone_named(zone_text) if zone_text else unnamed
    if zone is None:
        return None, None
    microsecond = int(fraction[:6].ljust(6, "0")) if fraction else 0
    try:
        local = datetime(
            int(year), int(month), int(day), int(hour), int(minute), int(second), microsecond, zone
        )
        moment, later = local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
    except (ValueError, OverflowError):
        return None, None
    if not is_plausible(moment):
        return None, None
    # In the hour that is left out when summer time begins, the second reading is the earlier one.
    return moment, later if later > moment else None


def _epoch_time(text: str) -> datetime | None:
    """Read seconds or milliseconds since the epoch; eight digits are a date and are refused."""
    if not (text.isascii() and text.isdecimal()):
        return None
    if len(text) in _EPOCH_SECONDS_DIGITS:
        moment = datetime.fromtimestamp(int(text), UTC)
    elif len(text) in _EPOCH_MILLISECONDS_DIGITS:
        moment = datetime.fromtimestamp(int(text) // 1000, UTC) + timedelta(milliseconds=int(text) % 1000)
    else:
        return None
    return moment if is_plausible(moment) else None
