"""Recognise by near misses that the stores' times are read in a wrong zone.

Owns that one hint. An alert whose time is a whole number of hours after a fill of its contract was most
likely written by a clock in another zone. It changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

from tracker.core.matching import speaks_of
from tracker.core.model import Alert
from tracker.core.state_rows import Attention, BookedExecution
from tracker.journal.journal import Journal

_HOUR: Final = timedelta(hours=1)
_MOST_HOURS: Final = 14
_PROMPT: Final = timedelta(minutes=20)
"""A fill that follows its alert later than this says nothing about the zone."""
_EARLY: Final = timedelta(minutes=2)
_SEVERAL: Final = 2
_NEWEST: Final = 50


def zone_hint(journal: Journal, waiting: Sequence[BookedExecution], zone: tzinfo) -> str:
    """Say which setting to check, empty where the near misses have other reasons.

    `waiting` are the fills that need a person, `zone` is `stores.timezone`.
    """
    near = [row for row in waiting if row.attention is Attention.NEAR_MISS][-_NEWEST:]
    found: Counter[int] = Counter()
    newest: datetime | None = None
    for row in near:
        for hours, began in _hours_early(row, journal.was_considered(row.seq, row.key), zone):
            found[hours] += 1
            newest = began
            break
    hours, count = max(found.items(), key=lambda each: each[1], default=(0, 0))
    if count < _SEVERAL or newest is None:
        return ""
    return (
        f"{count} near misses are of alerts that read as created {hours} h after their fill; stores.timezone"
        f" may be wrong: {_next_step(zone.utcoffset(newest.astimezone(zone)), hours)}"
    )


def _hours_early(
    row: BookedExecution, alerts: Iterable[Alert], zone: tzinfo
) -> Iterable[tuple[int, datetime]]:
    """Yield by how many whole hours each alert of the contract appears younger than the fill."""
    rejected = {each.alert for each in row.match.rejected if each.near}
    for alert in alerts:
        if alert.id not in rejected or alert.created_at is None:
            continue
        # The alert was read with the zone set at that time; the setting may have been corrected since.
        began = _read_in(zone, alert.id.created_at)
        if began is None:
            continue
        late = began - row.execution.time
        hours = round((late + _PROMPT / 2) / _HOUR)
        in_time = -_EARLY <= hours * _HOUR - late <= _PROMPT
        if 1 <= hours <= _MOST_HOURS and in_time and speaks_of(row.execution.contract, alert) is not None:
            yield hours, began


def _read_in(zone: tzinfo, text: str) -> datetime | None:
    """Read a time that names no zone; None for any other."""
    try:
        written = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return written.replace(tzinfo=zone).astimezone(UTC) if written.tzinfo is None else None


def _next_step(offset: timedelta | None, hours: int) -> str:
    fitting = (offset or timedelta()) + hours * _HOUR
    if not fitting:
        return 'set it to "UTC", if the alert writer writes times in UTC'
    return f"set it to the alert writer's zone; a clock at {timezone(fitting)} would fit"
