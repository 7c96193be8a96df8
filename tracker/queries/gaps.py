"""Answer which days are proven, and which are gaps; let a person accept one.

Owns the shape of `gaps`. It closes nothing itself: an acceptance is a note that the ledger reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, Final

from tracker.core.alert_updates import instant
from tracker.core.completeness import REACH, proven_until
from tracker.core.journal_entries import GapAccepted
from tracker.core.state import GAPS, LedgerState
from tracker.core.state_rows import Gap
from tracker.status.protocol import CommandError, quoted

WARN_BEFORE: Final = timedelta(minutes=30)
"""How long before midnight an unproven day is worth a warning."""


def gaps(book: LedgerState, *, everything: bool = False) -> dict[str, Any]:
    """Return the open gaps, with `everything` the closed ones too, oldest first."""
    rows = book.every(GAPS) if everything else book.find(GAPS, "open", "1")
    found = sorted(rows, key=lambda gap: gap.day)
    return {
        "proven_until": instant(proven_until(book)),
        "open": sum(not gap.closed_how for gap in found),
        "gaps": [_gap(gap) for gap in found],
    }


def acceptance(book: LedgerState, day: str) -> GapAccepted:
    """Return the note by which a person closes a gap; raises CommandError where there is none that day."""
    try:
        wanted = date.fromisoformat(day)
    except ValueError:
        raise CommandError("bad_request", f"{quoted(day)} is no day; write it as 2025-11-18") from None
    gap = book.get(GAPS, wanted.isoformat())
    if gap is None or gap.closed_how:
        raise CommandError("not_found", f"{wanted} is no open gap; `tracker gaps` lists them")
    return GapAccepted(wanted)


def warning(book: LedgerState, now: datetime, zone: tzinfo) -> str:
    """Return what to say before midnight while today is unproven; empty while there is no need."""
    local = now.astimezone(zone)
    midnight = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    left = midnight.timestamp() - now.timestamp()
    until = proven_until(book)
    if left > WARN_BEFORE.total_seconds() or (until is not None and now - until <= REACH):
        return ""
    since = "not at all" if until is None else f"only until {until.astimezone(zone):%Y-%m-%d %H:%M}"
    return (
        f"today's fills are proven {since}, and the broker forgets the day in {left / 60:.0f} minutes:"
        " restore the link to IBKR now; later only a Flex report can tell what was missed"
    )


def _gap(gap: Gap) -> Mapping[str, Any]:
    return {
        "day": gap.day.isoformat(),
        "opened_at": instant(gap.opened.time),
        "closed_at": instant(gap.closed_at),
        "closed_how": gap.closed_how or None,
    }
