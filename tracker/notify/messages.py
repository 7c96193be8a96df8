"""Choose what a person is told, and say it in one plain line each.

Owns the choice and the words. It does no I/O, has no clock and sends nothing: it is given the events as the
feed carries them and the time, and gives back what is to be said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from tracker.core.model import JsonValue
from tracker.notify.details import AlertDetails, FillDetails

LATE: Final = timedelta(minutes=2)
"""A fill that is told so long after it happened is told with its time."""
SETTLING: Final = timedelta(minutes=1)
"""How long a day must stay unproven before it is told: a tracker that just started is about to prove it."""
LONGEST_LINE: Final = 500
"""Characters of one message; some services take little more."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class Notification:
    """Hold one message; `grave` where a person should do something."""

    text: str
    grave: bool = False


class Lookup(Protocol):
    """Know more of an alert or a fill than the event does."""

    def alert(self, name: str, created_at: str) -> AlertDetails | None: ...

    def fill(self, account: str, exec_id: str) -> FillDetails | None: ...


class Choice:
    """Hear the events of one feed, in order, and say which are worth a message.

    `unproven` says why today is not proven, empty while it is or there is time; `planned` names the planned
    reset of the broker that a moment lies in, empty outside of them. A link that stays down through a
    planned reset is told only when that is over.
    """

    def __init__(
        self,
        lookup: Lookup,
        *,
        started_at: datetime,
        link_down: timedelta,
        unproven: Callable[[datetime], str],
        planned: Callable[[datetime], str],
        mask: Callable[[str], str] = str,
    ) -> None:
        self._lookup = lookup
        self._link_down = link_down
        self._unproven = unproven
        self._planned = planned
        self._mask = mask
        self._down_since: datetime | None = started_at
        self._down_told = False
        self._reason = "not connected yet"
        self._unproven_since: datetime | None = None

    def hear(self, event: Mapping[str, JsonValue], now: datetime) -> list[Notification]:
        """Return what an event is worth saying; most are worth nothing."""
        kind = event.get("event")
        if "missed" in event:
            text = f"{event['missed']} events came too fast to be told one by one: see tracker status"
            return [self._news(now, text, grave=True)]
        if kind == "link":
            return self._link(event, now)
        if kind == "unproven" and self._unproven_since is None:
            self._unproven_since = now
        if kind == "opened":
            return [self._news(now, self._opened(event, now))]
        if kind == "closed":
            return [self._news(now, self._closed(event, now))]
        if kind == "needs_you":
            return [self._news(now, self._needs_you(event, now), grave=True)]
        return []

    def due(self, now: datetime) -> list[Notification]:
        """Return what has become worth saying by the mere passing of time."""
        return [*self._down_too_long(now), *self._still_unproven(now)]

    # The link

    def _link(self, event: Mapping[str, JsonValue], now: datetime) -> list[Notification]:
        self._reason = str(event.get("reason"))
        if not event.get("subscribed"):
            if self._down_since is None:
                self._down_since = now
            return []
        since, told = self._down_since, self._down_told
        self._down_since, self._down_told = None, False
        if since is None or not told:
            return []
        return [self._news(now, f"LINK UP again, after {_span(now - since)} without fills")]

    def _down_too_long(self, now: datetime) -> list[Notification]:
        since = self._down_since
        if since is None or self._down_told or now - since < self._link_down or self._planned(now):
            return []
        self._down_told = True
        text = f"LINK DOWN for {_span(now - since)}, no fills are received: {self._reason}"
        return [self._news(now, text, grave=True)]

    # The day

    def _still_unproven(self, now: datetime) -> list[Notification]:
        if self._unproven_since is None or now - self._unproven_since < SETTLING:
            return []
        self._unproven_since = None
        reason = self._unproven(now)
        return [self._news(now, f"UNPROVEN DAY: {reason}", grave=True)] if reason else []

    # Alerts and fills

    def _opened(self, event: Mapping[str, JsonValue], now: datetime) -> str:
        facts, name = self._alert(event)
        if facts is None:
            return f"OPENED {name}: holds {event.get('quantity')}"
        if facts.over:
            return f"OPENED {name}: and it is closed again by now"
        words = f"{facts.fill.what}, by {facts.rule}; holds {facts.held} at {facts.average}"
        return f"OPENED {name}: {words}{_late(facts.fill, now)}"

    def _closed(self, event: Mapping[str, JsonValue], now: datetime) -> str:
        facts, name = self._alert(event)
        if facts is None:
            return f"CLOSED {name}: holds {event.get('quantity')}"
        if facts.emptied:
            return f"CLOSED {name}: its fill was assigned or corrected away"
        if facts.closed_by:
            return f"CLOSED {name}: its position went without a fill ({facts.closed_by})"
        realized = f"; realized {facts.realized}" if facts.realized else ""
        return f"CLOSED {name}: {facts.fill.what}, by {facts.rule}{realized}{_late(facts.fill, now)}"

    def _alert(self, event: Mapping[str, JsonValue]) -> tuple[AlertDetails | None, str]:
        name = str(event.get("alert"))
        return self._lookup.alert(name, str(event.get("created_at"))), name

    def _needs_you(self, event: Mapping[str, JsonValue], now: datetime) -> str:
        exec_id = str(event.get("exec_id"))
        facts = self._lookup.fill(str(event.get("account")), exec_id)
        note = str(event.get("note") or "a fill").replace("_", " ")
        if facts is None:
            what = " ".join(str(event.get(key)) for key in ("side", "quantity", "symbol"))
            return f"NEEDS YOU ({note}): {what} at {event.get('price')}; settle it: tracker inbox ({exec_id})"
        why = f"; {_cut(facts.why, LONGEST_LINE // 2)}" if facts.why else ""
        late = _late(facts, now)
        return f"NEEDS YOU ({note}): {facts.what}{late}{why}; settle it: tracker inbox ({exec_id})"

    def _news(self, now: datetime, text: str, *, grave: bool = False) -> Notification:
        """Make one line of it, with its time, since it may arrive late."""
        line = _cut(_CONTROL.sub(" ", self._mask(text)), LONGEST_LINE)
        return Notification(f"{now.astimezone(UTC):%H:%M:%S} UTC {line}", grave)


def letter(news: Sequence[Notification], dropped: int = 0) -> tuple[str, str]:
    """Return title and body for several messages; `dropped` ones before them were never sent."""
    grave = any(each.grave for each in news)
    lines = [each.text for each in news]
    if dropped:
        lines.insert(0, f"{dropped} older messages could not be sent; see tracker status")
    return "Order tracker: look at this" if grave else "Order tracker", "\n".join(lines)


def trial_news(now: datetime) -> Notification:
    """Return what `tracker notify` sends."""
    return Notification(
        f"{now.astimezone(UTC):%H:%M:%S} UTC This is a test of the order tracker: messages arrive here"
    )


def _late(fill: FillDetails, now: datetime) -> str:
    if now - fill.time < LATE:
        return ""
    return f" (filled {fill.time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC)"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _span(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"
