"""Choose which events become notifications, and write each in one plain line.

Owns the choice and the words. It does no I/O, has no clock and sends nothing: it receives the events of the
feed and the time, and returns the notifications to send.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from tracker.core.alert_updates import CLOSED_AS_BEFORE
from tracker.core.model import JsonValue
from tracker.notify.details import AlertDetails, FillDetails
from tracker.terminal import printable

LATE: Final = timedelta(minutes=2)
"""The age from which a reported fill is shown with the time of its execution."""
SETTLING: Final = timedelta(minutes=1)
"""How long a day must stay incomplete before it is reported: the first sweep of a start completes it."""
OUTAGE: Final = timedelta(seconds=10)
"""How long the alert store must stay unreadable before it is reported: a program that rewrites it in place
takes less.
"""
PAUSE: Final = timedelta(minutes=1)
"""The time between two notifications of messages that cannot be used: thousands may come at once."""
LONGEST_LINE: Final = 500
"""The longest notification in characters; some services accept little more."""


@dataclass(frozen=True, slots=True)
class Notification:
    """Hold one message; it is `urgent` where a person should do something."""

    text: str
    urgent: bool = False


class Lookup(Protocol):
    """Look up more about an alert or a fill than its event says."""

    def alert(self, name: str, created_at: str) -> AlertDetails | None: ...

    def fill(self, account: str, exec_id: str) -> FillDetails | None: ...


class NotificationRules:
    """Turn the events of one feed, in order, into notifications; most events cause none.

    `unproven` says why today is not complete, empty while it is or while there is still time. `planned` names
    the broker's planned reset at a moment, empty if there is none. A link that is down during a planned reset
    is reported only after the reset has ended.
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
        self._store_since: datetime | None = None
        self._store_reason = ""
        self._store_told = False
        self._undecodable_at: datetime | None = None
        """When the last message that cannot be used was reported."""
        self._undecodable_more = 0
        """How many such messages came since then."""

    def handle(self, event: Mapping[str, JsonValue], now: datetime) -> list[Notification]:
        """Return the notifications that an event calls for."""
        if "missed" in event:
            text = f"{event['missed']} events came too fast to be reported one by one; see `tracker status`"
            return [self._notification(now, text, urgent=True)]
        match event.get("event"):
            case "link":
                return self._link(event, now)
            case "store":
                return self._store(event, now)
            case "unproven" if self._unproven_since is None:
                self._unproven_since = now
            case "opened":
                return [self._notification(now, self._opened(event, now))]
            case "closed":
                return [self._notification(now, self._closed(event, now))]
            case "report":
                return [self._notification(now, f"REPORT {event.get('says')}")]
            case "needs_you":
                return [self._notification(now, self._needs_you(event, now), urgent=True)]
            case "orphaned":
                return [self._notification(now, _orphaned(event), urgent=True)]
            case "unexplained" if event.get("state") != "gone":
                return [self._notification(now, _unexplained(event), urgent=True)]
            case "undecodable":
                return self._undecodable(event, now)
        return []

    def due(self, now: datetime) -> list[Notification]:
        """Return the notifications that the mere passing of time calls for."""
        return [
            *self._down_too_long(now),
            *self._store_away_too_long(now),
            *self._still_unproven(now),
            *self._more_undecodable(now),
        ]

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
        return [self._notification(now, f"LINK UP again, after {_span(now - since)} without fills")]

    def _down_too_long(self, now: datetime) -> list[Notification]:
        since = self._down_since
        if since is None or self._down_told or now - since < self._link_down or self._planned(now):
            return []
        self._down_told = True
        text = f"LINK DOWN for {_span(now - since)}, no fills are received: {self._reason}"
        return [self._notification(now, text, urgent=True)]

    # The alert store

    def _store(self, event: Mapping[str, JsonValue], now: datetime) -> list[Notification]:
        if not event.get("readable"):
            self._store_reason = str(event.get("reason"))
            if self._store_since is None:
                self._store_since = now
            return []
        since, told = self._store_since, self._store_told
        self._store_since, self._store_told = None, False
        if since is None or not told:
            return []
        text = f"ALERT STORE READABLE again, after {_span(now - since)}; what waited is applied"
        return [self._notification(now, text)]

    def _store_away_too_long(self, now: datetime) -> list[Notification]:
        since = self._store_since
        if since is None or self._store_told or now - since < OUTAGE:
            return []
        self._store_told = True
        text = (
            f"ALERT STORE UNREADABLE: {self._store_reason}; fills are kept, and applied once it can be read"
        )
        return [self._notification(now, text, urgent=True)]

    # Messages that cannot be used

    def _undecodable(self, event: Mapping[str, JsonValue], now: datetime) -> list[Notification]:
        if self._undecodable_at is not None and now - self._undecodable_at < PAUSE:
            self._undecodable_more += 1
            return []
        self._undecodable_at = now
        what = event.get("kind") or "a message"
        text = f"SET ASIDE: {what}: {event.get('reason')}; it is kept, see `tracker inbox`"
        return [self._notification(now, text, urgent=True)]

    def _more_undecodable(self, now: datetime) -> list[Notification]:
        if not self._undecodable_more or self._undecodable_at is None or now - self._undecodable_at < PAUSE:
            return []
        count, self._undecodable_more, self._undecodable_at = self._undecodable_more, 0, now
        messages = "1 more message" if count == 1 else f"{count} more messages"
        return [self._notification(now, f"SET ASIDE: {messages}; see `tracker inbox`", urgent=True)]

    # The day

    def _still_unproven(self, now: datetime) -> list[Notification]:
        if self._unproven_since is None or now - self._unproven_since < SETTLING:
            return []
        self._unproven_since = None
        reason = self._unproven(now)
        return [self._notification(now, f"INCOMPLETE DAY: {reason}", urgent=True)] if reason else []

    # Alerts and fills

    def _opened(self, event: Mapping[str, JsonValue], now: datetime) -> str:
        details, name = self._alert(event)
        if details is None:
            return f"OPENED {name}: holds {event.get('quantity')}"
        if details.closed:
            return f"OPENED {name}: it was closed again since"
        words = f"{details.fill.what}, by {details.rule}; holds {details.held} at {details.average}"
        return f"OPENED {name}: {words}{_late(details.fill, now)}"

    def _closed(self, event: Mapping[str, JsonValue], now: datetime) -> str:
        details, name = self._alert(event)
        if details is None:
            return f"CLOSED {name}: holds {event.get('quantity')}"
        if event.get("note") == CLOSED_AS_BEFORE:
            return f"CLOSED {name}: {CLOSED_AS_BEFORE}"
        if details.emptied:
            return f"CLOSED {name}: its only fill was corrected, or assigned to another alert"
        if details.closed_by:
            return f"CLOSED {name}: its position ended without a fill ({details.closed_by})"
        realized = f"; realized {details.realized}" if details.realized else ""
        realized = f"; {details.round_trip}{realized}" if details.round_trip else realized
        note = f"; {event['note']}" if event.get("note") else ""
        words = f"{details.fill.what}, by {details.rule}{realized}{note}"
        return f"CLOSED {name}: {words}{_late(details.fill, now)}"

    def _alert(self, event: Mapping[str, JsonValue]) -> tuple[AlertDetails | None, str]:
        name = str(event.get("alert"))
        return self._lookup.alert(name, str(event.get("created_at"))), name

    def _needs_you(self, event: Mapping[str, JsonValue], now: datetime) -> str:
        exec_id = str(event.get("exec_id"))
        details = self._lookup.fill(str(event.get("account")), exec_id)
        note = str(event.get("note") or "a fill").replace("_", " ")
        what = " ".join(str(event.get(key)) for key in ("side", "quantity", "symbol"))
        text, why = f"{what} at {event.get('price')}", ""
        if details is not None:
            text = f"{details.what}{_late(details, now)}"
            why = f"; {_cut(details.why, LONGEST_LINE // 2)}" if details.why else ""
        return f"NEEDS YOU ({note}): {text}{why}; decide with `tracker inbox` ({exec_id})"

    def _notification(self, now: datetime, text: str, *, urgent: bool = False) -> Notification:
        """Make one line of a text, with the time, since it may arrive late."""
        line = _cut(printable(self._mask(text)), LONGEST_LINE)
        return Notification(f"{now.astimezone(UTC):%H:%M:%S} UTC {line}", urgent)


def digest(notifications: Sequence[Notification], dropped: int = 0) -> tuple[str, str]:
    """Return title and body for several notifications; `dropped` ones before them were never sent."""
    urgent = any(each.urgent for each in notifications)
    lines = [each.text for each in notifications]
    if dropped:
        lines.insert(0, f"{dropped} older notifications could not be sent; see `tracker status`")
    return "Order tracker: action needed" if urgent else "Order tracker", "\n".join(lines)


def trial_notification(now: datetime) -> Notification:
    """Return what `tracker notify` sends."""
    return Notification(
        f"{now.astimezone(UTC):%H:%M:%S} UTC This is a test of the order tracker: notifications arrive here"
    )


def _orphaned(event: Mapping[str, JsonValue]) -> str:
    name = event.get("alert")
    return (
        f"NEEDS YOU (orphaned): the record {name} is gone, no other takes over the {event.get('quantity')}"
        f" that it held; `tracker inbox` says how to give that to another alert or put the record back"
    )


def _unexplained(event: Mapping[str, JsonValue]) -> str:
    what = f"{event.get('symbol')} ({event.get('con_id')}) in {event.get('account')}"
    held = f"the broker holds {event.get('listed')}, {event.get('difference')} from what the fills make"
    if event.get("state") == "adjusted":
        return (
            f"ADJUSTED: {what}: {held}, confirmed by two answers; alerts follow it, and"
            f" `tracker undo {event.get('id')}` takes that back"
        )
    note = f"; {event['note']}" if event.get("note") else ""
    return (
        f"NEEDS YOU (unexplained): {what}: {held}{note}; `tracker inbox` says"
        f" what settles it, and `tracker adjust {event.get('con_id')} --note TEXT` names the cause"
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
