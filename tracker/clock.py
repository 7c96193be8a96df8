"""The one clock of the tracker, and the zone of the host it runs on.

All other modules receive `now` as a parameter, so that a test or a simulation can decide what time it is. No
other module may ask the system for the date or the time of day.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo


def now() -> datetime:
    """Return the time of day, aware, in UTC."""
    return datetime.now(UTC)


class HostZone(tzinfo):
    """Read local times as the other programs of this host write them, daylight saving included.

    It asks the C library for each time, as `datetime.now()` does in those programs. So it follows $TZ and
    /etc/localtime in every form, and needs no zone name.
    """

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        return None if dt is None else dt.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, dt: datetime | None) -> timedelta | None:
        """Return None: the C library gives offset and name, not how the offset came about."""
        return None

    def tzname(self, dt: datetime | None) -> str | None:
        return None if dt is None else dt.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, dt: datetime) -> datetime:
        """Return the local time of an instant; `fold` tells the two hours of an autumn night apart."""
        instant = dt.replace(tzinfo=UTC)
        local = instant.astimezone().replace(tzinfo=None)
        if local.astimezone(UTC) != instant:
            local = local.replace(fold=1)
        return local.replace(tzinfo=self)

    def __str__(self) -> str:
        return "the host's time zone"
