"""How the real gateway writes numbers and times, and how clients write them.

Owns these text forms alone. It never reads a clock and knows no message.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

UNSET_DOUBLE: Final = "1.7976931348623157E308"
UNSET_INTEGER: Final = "2147483647"
UNSET_LONG: Final = "9223372036854775807"
UNSET_TEXTS: Final = frozenset(
    {"", "2147483647", "9223372036854775807", "1.7976931348623157e+308", "1.7976931348623157e308"}
    | {"infinity", "infinite", "none"}
)
"""How clients spell a number they do not set, in lower case."""
MAX_DIGITS: Final = 24
"""The most digits of a quantity or price of a client; a longer number is taken as unset."""

DISPLAY_ZONES: Final = {
    "PST": "Etc/GMT+8",
    "CST": "Etc/GMT+6",
    "India Standard Time": "Asia/Kolkata",
    "Central European Standard Time": "Etc/GMT-1",
    "Greenwich Mean Time": "Etc/GMT",
    "British Summer Time": "Etc/GMT-1",
}
"""Display names of zones seen in times -> the zone that each means; no library knows these names."""

TimeForm: TypeAlias = str | Callable[[datetime], str]
"""`zone`, `utc_dash`, `naive`, or a function of the aware time."""

TIME_FORMS: Final = ("zone", "utc_dash", "naive")


def plain(value: Decimal) -> str:
    """Return the value as a quantity is written: `100`, `0.7143`, never with an exponent."""
    if value == value.to_integral_value():
        return str(int(value))
    return format(value.normalize(), "f")


def price(value: Decimal) -> str:
    """Return the value as prices in executions are written, trailing zeros kept: `96.90`; zero is `0`."""
    return format(value, "f") if value else "0"


def double(value: Decimal) -> str:
    """Return the value as a Java double is written: `5800.0`, `87.16`."""
    text = plain(value)
    return text if "." in text else f"{text}.0"


def average(cost: Decimal, quantity: Decimal, last: Decimal) -> Decimal:
    """Return cost over quantity to eight digits; where it equals `last`, `last` with its trailing zeros."""
    if not quantity:
        return Decimal(0)
    value = cost / quantity
    return last if value == last else value.quantize(Decimal("1e-8")).normalize()


def read_number(text: str) -> Decimal | None:
    """Return the number a client wrote, None where it is unset or not usable.

    Clients write an unset number as nothing, as either sentinel with a small or capital e, or as infinity.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    if (
        not value.is_finite()
        or abs(value.adjusted()) > MAX_DIGITS
        or len(value.as_tuple().digits) > MAX_DIGITS
    ):
        return None
    return None if text in (UNSET_INTEGER, UNSET_LONG) else value


def read_integer(text: str) -> int | None:
    """Return the whole number a client wrote, None where it is unset or none."""
    value = read_number(text)
    return None if value is None or value != value.to_integral_value() else int(value)


def read_flag(text: str) -> bool:
    """Return whether a client's boolean is set."""
    return text in ("1", "true", "True")


def execution_time(moment: datetime, form: TimeForm, zone: ZoneInfo, version: int) -> str:
    """Return an execution's time as this form and server version write it.

    Below version 174 the gateway writes the login's local time, with two spaces and no zone, in every form.
    """
    if callable(form):
        return form(moment)
    local = moment.astimezone(zone)
    if form == "naive" or version < 174:
        return f"{local:%Y%m%d  %H:%M:%S}"
    if form == "utc_dash":
        return f"{moment.astimezone(UTC):%Y%m%d-%H:%M:%S}"
    return f"{local:%Y%m%d %H:%M:%S} {zone.key}"


def named_time(moment: datetime, name: str, zone: ZoneInfo) -> str:
    """Return a time with a display name for its zone, as some set-ups of TWS write it.

    The time is in that zone where the name is known, else in the login's.
    """
    known = DISPLAY_ZONES.get(name)
    return f"{moment.astimezone(ZoneInfo(known) if known else zone):%Y%m%d %H:%M:%S} {name}"


def read_filter_time(text: str, zone: ZoneInfo) -> datetime | None:
    """Return the moment that an execution filter names; None where it is empty.

    `yyyymmdd-hh:mm:ss` is UTC, `yyyymmdd hh:mm:ss[ zone]` is in its zone, else in the login's. ValueError for
    any other text.
    """
    words = text.split()
    if not words:
        return None
    if "-" in words[0]:
        return datetime.strptime(words[0], "%Y%m%d-%H:%M:%S").replace(tzinfo=UTC)
    if len(words) not in (2, 3):
        raise ValueError(f"{text[:40]!r} is not a time of the form yyyymmdd hh:mm:ss zone")
    named = zone if len(words) == 2 else _zone(words[2])
    return datetime.strptime(" ".join(words[:2]), "%Y%m%d %H:%M:%S").replace(tzinfo=named)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{name[:40]!r} is not a time zone") from error
