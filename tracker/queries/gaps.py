"""List the days on which fills may be missing, and let a person accept one.

Owns the answer of `gaps`. It closes no gap itself: an acceptance is a note that the ledger reads.
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
"""How long before midnight to warn of a day that is not complete."""


def gaps(
    state: LedgerState, *, everything: bool = False, seq: int | None = None, dry_run: bool = False
) -> dict[str, Any]:
    """Return the open gaps, oldest first, with `everything` the closed ones too.

    `seq` is the frame by which one was accepted just now.
    """
    rows = state.every(GAPS) if everything else state.find(GAPS, "open", "1")
    found = sorted(rows, key=lambda gap: gap.day)
    return {
        "proven_until": instant(proven_until(state)),
        "open": sum(not gap.closed_how for gap in found),
        "gaps": [_gap(gap) for gap in found],
        "id": None if seq is None else str(seq),
        "dry_run": dry_run,
    }


def acceptance(state: LedgerState, day: str) -> GapAccepted:
    """Return the note by which a person closes a gap; raises CommandError where that day has none."""
    try:
        wanted = date.fromisoformat(day)
    except ValueError:
        raise CommandError("bad_request", f"{quoted(day)} is not a day; write it as 2025-11-18") from None
    gap = state.get(GAPS, wanted.isoformat())
    if gap is None or gap.closed_how:
        raise CommandError("not_found", f"{wanted} is not an open gap; `tracker gaps` lists those")
    return GapAccepted(wanted)


def warning(state: LedgerState, now: datetime, zone: tzinfo) -> str:
    """Return the warning for a day that is about to end incomplete; empty while none is needed."""
    local = now.astimezone(zone)
    midnight = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    left = midnight.timestamp() - now.timestamp()
    until = proven_until(state)
    if left > WARN_BEFORE.total_seconds() or (until is not None and now - until <= REACH):
        return ""
    known = (
        f"only until {until.astimezone(zone):%Y-%m-%d %H:%M}" if until is not None else "for no part of it"
    )
    return (
        f"today's fills are known to be complete {known}, and the broker lists them for {left / 60:.0f} more"
        " minutes: restore the connection to IBKR now; later only a Flex report shows what was missed"
    )


def _gap(gap: Gap) -> Mapping[str, Any]:
    return {
        "day": gap.day.isoformat(),
        "opened_at": instant(gap.opened.time),
        "closed_at": instant(gap.closed_at),
        "closed_how": gap.closed_how or None,
    }
