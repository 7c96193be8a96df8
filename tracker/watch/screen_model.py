"""What the screen shows, built from the daemon's answers and events.

Owns the rows and the numbers, in bounded memory. It reads no clock and no socket, draws nothing, and accepts
answers of older and newer daemons: an absent field is shown as unknown.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from tracker.terminal import counted
from tracker.watch.screen_rows import (
    Answer,
    FillRow,
    OpenAlert,
    Waiting,
    as_item,
    fill_of_event,
    fill_row,
    instant,
    open_alerts,
    orphaned_row,
    span,
    unexplained_row,
    unreadable_row,
    waiting_row,
)

FILLS_KEPT: Final = 200
SAMPLES_KEPT: Final = 240
QUESTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "status": {},
    "alerts": {"open": True, "limit": FILLS_KEPT},
    "inbox": {"limit": FILLS_KEPT},
    "fills": {"limit": FILLS_KEPT},
}
"""The screen's questions, by command."""
_STALE_AFTER: Final[Mapping[str, frozenset[str]]] = {
    "fill": frozenset({"fills"}),
    "correction": frozenset({"fills", "alerts", "inbox"}),
    "fee": frozenset({"fills"}),
    "opened": frozenset({"alerts", "fills", "inbox"}),
    "changed": frozenset({"alerts", "fills", "inbox"}),
    "closed": frozenset({"alerts", "fills", "inbox"}),
    "written": frozenset({"alerts"}),
    "taken_over": frozenset({"inbox", "alerts"}),
    "orphaned": frozenset({"inbox", "alerts", "status"}),
    "needs_you": frozenset({"inbox", "fills"}),
    "settled": frozenset({"inbox", "fills"}),
    "undecodable": frozenset({"inbox"}),
    "unexplained": frozenset({"inbox", "alerts", "status"}),
    "clock": frozenset({"status"}),
    "link": frozenset({"status"}),
    "gap": frozenset({"status"}),
}
"""Event -> the answers that are stale after it; an event that is not listed makes all answers stale."""
_NOTICE_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class TrackerAway:
    """Hold since when the daemon has not answered; the reason includes the next step."""

    since: datetime
    reason: str


class Latency(NamedTuple):
    """Sum up the kept samples; seconds."""

    samples: int
    p50: float
    p99: float
    most: float


class NoticeRow(NamedTuple):
    """Hold the latest notice of the screen itself."""

    at: datetime
    text: str


class ScreenModel:
    """Hold what is shown."""

    def __init__(self, started_at: datetime) -> None:
        """Start empty; `started_at` is when the screen was opened."""
        self.away: TrackerAway | None = None
        self.heard_at: datetime | None = None
        self.status: Answer = {}
        self.alerts: tuple[OpenAlert, ...] = ()
        self.alerts_total = 0
        self.store_trouble = ""
        self.waiting: tuple[Waiting, ...] = ()
        self.waiting_total = 0
        self.fills: tuple[FillRow, ...] = ()
        """Newest first."""
        self.fills_total = 0
        self.samples: deque[float] = deque(maxlen=SAMPLES_KEPT)
        self.stale: set[str] = set(QUESTIONS)
        """The commands whose answers are older than the latest event."""
        self.last_seq = 0
        self._started_at = started_at
        self._daemon_started_at = ""
        self._event_fills: deque[FillRow] = deque(maxlen=FILLS_KEPT)
        """Fills known only from events so far, oldest first."""
        self._ahead = timedelta(0)
        """How far the daemon's clock is ahead of ours."""
        self._notice: NoticeRow | None = None
        self._count_missed = False

    # The daemon comes and goes

    def on_connected(self, status: Answer, now: datetime) -> int:
        """Take the first answer of a connection; returns the event after which to follow, 0 for the oldest.

        All answers are stale from here on. A daemon that was restarted counts its events from 1.
        """
        life = str(status.get("started_at", ""))
        again = bool(self._daemon_started_at) and life != self._daemon_started_at
        if life != self._daemon_started_at:
            self.last_seq = 0
            self.samples.clear()
            self._event_fills.clear()
        # What happened before this screen was opened was not missed.
        self._count_missed = bool(self._daemon_started_at) and not again
        if again:
            self.show_notice(now, "the tracker was restarted; everything was read again")
        elif self.away is not None and self.heard_at is not None:
            self.show_notice(
                now, f"the tracker is back, away for {span(now - self.away.since)}; everything was read again"
            )
        self._daemon_started_at = life
        self.away = None
        self.on_answer("status", status, now, self.last_seq)
        self.stale = set(QUESTIONS) - {"status"}
        return self.last_seq

    def on_lost(self, reason: str) -> None:
        """Note that the daemon does not answer; it counts as away since its last message."""
        since = self.away.since if self.away is not None else self.heard_at or self._started_at
        self.away = TrackerAway(since, reason)

    def is_restarted_daemon(self, status: Answer) -> bool:
        """Return whether this is not the daemon whose events are followed."""
        return str(status.get("started_at", "")) != self._daemon_started_at

    # Answers

    def before_question(self, command: str) -> int:
        """Note that a question is being asked, so that later events make its answer stale again.

        Returns the number of the latest event received, for `on_answer`.
        """
        self.stale.discard(command)
        return self.last_seq

    def on_answer(self, command: str, answer: Answer, now: datetime, asked_at_seq: int) -> None:
        """Process the answer to one of QUESTIONS; events up to `asked_at_seq` had been received when it was
        asked.
        """
        self.heard_at = now
        match command:
            case "status":
                self.status = answer
                told = instant(answer.get("now"))
                self._ahead = timedelta(0) if told is None else told - now
            case "alerts":
                self.alerts = open_alerts(answer.get("alerts", ()))
                self.alerts_total = int(answer.get("total", len(self.alerts)))
                self.store_trouble = str(answer.get("store_trouble") or "")
            case "inbox":
                self._list_waiting(answer)
            case "fills":
                self._list_fills(answer, asked_at_seq)

    def _list_waiting(self, answer: Answer) -> None:
        """List the orders that wait for a person; an older daemon does not group fills by order."""
        counts = answer.get("counts", {})
        orders = answer.get("orders")
        items = answer["needs_you"] if orders is None else map(as_item, orders)
        self.waiting = (
            *map(waiting_row, items),
            *map(unreadable_row, answer["undecodable"]),
            *map(unexplained_row, answer.get("unexplained", ())),
            *map(orphaned_row, answer.get("orphaned", ())),
        )
        self.waiting_total = sum(counts.values())
        if orders is not None:
            # Its counts are of fills.
            self.waiting_total += len(orders) - len(answer["needs_you"])

    def _list_fills(self, answer: Answer, asked_at_seq: int) -> None:
        listed = [fill_row(row) for row in reversed(answer["fills"])]
        known = {fill.key for fill in listed}
        later = [fill for fill in self._event_fills if fill.seq > asked_at_seq and fill.key not in known]
        self._event_fills = deque(later, maxlen=FILLS_KEPT)
        self.fills = (*reversed(later), *listed)[:FILLS_KEPT]
        self.fills_total = int(answer.get("total", len(listed))) + len(later)

    # Events

    def on_event(self, event: Answer, now: datetime) -> None:
        """Take one line of the stream of events."""
        self.heard_at = now
        if event.get("heartbeat"):
            return
        if (missed := event.get("missed")) is not None:
            self.stale |= set(QUESTIONS)
            if self._count_missed:
                self.show_notice(now, f"missed {counted(int(missed), 'event')}; everything was read again")
            return
        self._count_missed = True
        self.last_seq = max(self.last_seq, int(event.get("seq", 0)))
        kind = str(event.get("event", ""))
        self.stale |= _STALE_AFTER.get(kind, frozenset(QUESTIONS))
        if kind == "fill":
            self._add_fill(event)
        elif kind == "written" and isinstance(event.get("seconds"), int | float):
            self.samples.append(float(event["seconds"]))
        elif kind == "link":
            self._link_changed(event)

    def _add_fill(self, event: Answer) -> None:
        fill = fill_of_event(event)
        if all(fill.key != known.key for known in self.fills):
            self._event_fills.append(fill)
            self.fills = (fill, *self.fills)[:FILLS_KEPT]
            self.fills_total += 1

    def _link_changed(self, event: Answer) -> None:
        link = dict(self.status.get("link") or {})
        link.update(state=event.get("state"), reason=event.get("reason"), since=event.get("at"))
        link["next_attempt_at"] = None
        self.status = {**self.status, "link": link, "subscribed": bool(event.get("subscribed"))}

    # Notices of the screen itself

    def show_notice(self, now: datetime, text: str) -> None:
        """Show a notice, in place of the one before."""
        self._notice = NoticeRow(now, text)

    def notice(self, now: datetime) -> NoticeRow | None:
        """Return the notice, None when it is too old."""
        if self._notice is None or (now - self._notice.at).total_seconds() > _NOTICE_SECONDS:
            return None
        return self._notice

    # Numbers

    def daemon_time(self, now: datetime) -> datetime:
        """Return the daemon's time, so that ages are right where its clock differs from ours."""
        return now + self._ahead

    def latency(self) -> Latency | None:
        """Summarise the times from the broker's frame to the synced file; None before the first."""
        if not self.samples:
            return None
        ranked = sorted(self.samples)

        def rank(share: float) -> float:
            return ranked[math.ceil(share * len(ranked)) - 1]

        return Latency(len(ranked), rank(0.5), rank(0.99), ranked[-1])
