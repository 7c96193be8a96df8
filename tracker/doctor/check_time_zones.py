"""Check the stores' time zone by the creation times of the records.

Pure. The stores write local times without a zone (`stores.timezone`). Read in a wrong one, an alert looks
hours away from its fill: a fill older than its alert is not matched to it, and an expiry without a year may
be read as another year's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from tracker.doctor.finding import Finding, Level, Stamp
from tracker.doctor.spans import span

CHECK: Final = "created_at"
AHEAD: Final = timedelta(minutes=5)
"""No record is created later than now, or later than its file was written, by more than two clocks differ."""
PROMPT: Final = timedelta(minutes=2)
"""A new record is written to the disk within this time."""
APART: Final = timedelta(minutes=20)
"""A smaller difference than that of any two zones."""


def check_created_at(
    stamps: Sequence[Stamp],
    zone: tzinfo,
    zone_name: str,
    others: Mapping[str, tzinfo],
    *,
    now: datetime,
    written_at: datetime | None,
) -> Finding:
    """Check whether the records' times fit the zone in which they are read.

    `others` are the zones that might be meant instead, by the name to set; `written_at` is when any program
    last wrote the file.
    """
    read = [(read_stamp(stamp.text, zone), stamp) for stamp in stamps]
    known = [(at, stamp) for at, stamp in read if at is not None]
    if not known:
        return Finding(CHECK, Level.NOTE, "no record to compare the time zone with yet")
    at, newest = max(known, key=lambda each: each[0])
    own_offset = _has_offset(newest.text)
    latest = now if written_at is None else min(now, written_at)
    if at > latest + AHEAD:
        what = "now" if latest == now else "the last write of its file"
        found = f"{newest.alert} reads as created {span(at - latest)} after {what} (in {zone_name})"
        if own_offset:
            return Finding(CHECK, Level.FAULT, found, "set the clock of the alert writer's machine")
        return Finding(CHECK, Level.FAULT, found, _zone_step(newest, others, written_at or now))
    if written_at is not None and not own_offset and written_at - at >= APART:
        fitting = _zone_that_fits(newest, others, written_at)
        if fitting:
            found = (
                f"{newest.alert} reads as {span(written_at - at)} older than the last write of its file"
                f" (in {zone_name}), and as new in {fitting}"
            )
            step = f"set stores.timezone to {fitting}, if that is the alert writer's time zone"
            return Finding(CHECK, Level.WARNING, found, step)
    found = f"the newest record, {newest.alert}, is {span(max(now - at, timedelta()))} old in {zone_name}"
    return Finding(CHECK, Level.OK, found)


def read_stamp(text: str, zone: tzinfo) -> datetime | None:
    """Read a created_at as aware UTC, by its own offset if it has one; None where it is not a time."""
    try:
        created = datetime.fromisoformat(text.strip())
        return (created if created.tzinfo else created.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _has_offset(text: str) -> bool:
    return datetime.fromisoformat(text.strip()).tzinfo is not None


def _zone_step(stamp: Stamp, others: Mapping[str, tzinfo], written_at: datetime) -> str:
    fitting = _zone_that_fits(stamp, others, written_at)
    step = "set stores.timezone to the zone of the alert writer's clock"
    return f"{step}; {fitting} would fit" if fitting else step


def _zone_that_fits(stamp: Stamp, others: Mapping[str, tzinfo], written_at: datetime) -> str:
    """Name the zone in which the record was created just before the file was written; empty for none."""
    for name, zone in others.items():
        at = read_stamp(stamp.text, zone)
        if at is not None and -PROMPT <= written_at - at <= PROMPT:
            return name
    return ""
