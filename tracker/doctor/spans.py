"""Write times and spans as people do. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo


def span(length: timedelta) -> str:
    """Write a length of time with its two largest units: 3 h 10 min."""
    seconds = int(abs(length).total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60 % 60, seconds // 3600 % 24, seconds // 86400
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min"


def clock(at: datetime, zone: tzinfo, now: datetime) -> str:
    """Write an instant by the clock of a zone, with the weekday unless it is today: Sat 05:45."""
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    return f"{local:%H:%M}" if local.date() == today else f"{local:%a %H:%M}"


def offset(zone: tzinfo, now: datetime) -> str:
    """Write how far a zone is from UTC now: UTC+01:00."""
    text = f"{now.astimezone(zone):%z}"
    return f"UTC{text[:3]}:{text[3:5]}" if text.strip("+0") else "UTC"
