"""Say when the account's day ends and when IBKR resets, by this machine's clock. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, tzinfo

from tracker.doctor.finding import Finding, Level
from tracker.doctor.spans import clock, span
from tracker.gateway.error_codes import Reset, next_resets


def next_midnight(zone: tzinfo, now: datetime) -> datetime:
    """Return the end of the account's day as aware UTC."""
    day = now.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(day, time(), zone).astimezone(UTC)


def check_account_day(zone: tzinfo, zone_name: str, here: tzinfo, now: datetime) -> Finding:
    """Say when the account's day ends; the Gateway lists no fills of days that ended."""
    ends = next_midnight(zone, now)
    return Finding(
        "account_day",
        Level.OK,
        f"ends at midnight in {zone_name}: {clock(ends, here, now)} here, in {span(ends - now)};"
        " a tracker that does not run then cannot fetch that day's fills later",
    )


def check_planned_resets(here: tzinfo, now: datetime) -> Finding:
    """Say when IBKR's planned server resets are; the link drops then, and the tracker reconnects."""
    check = "planned_resets"
    nightly, weekly = next_resets(now)
    under_way = [reset for reset in (weekly, nightly) if reset.begins <= now]
    if under_way:
        reset = under_way[0]
        found = f"IBKR's {reset.name} reset is now, until {clock(reset.ends, here, now)} here"
        return Finding(check, Level.NOTE, found, "the link may drop; the tracker reconnects by itself")
    shown = "; ".join(_shown(reset, here, now) for reset in (nightly, weekly))
    return Finding(
        check, Level.OK, f"IBKR's next: {shown}; after the weekly one the Gateway may need a login"
    )


def _shown(reset: Reset, here: tzinfo, now: datetime) -> str:
    begins, ends = clock(reset.begins, here, now), clock(reset.ends, here, now)
    return f"{reset.name} {begins} to {ends} here, in {span(reset.begins - now)}"
