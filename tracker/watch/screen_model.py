"""What the screen shows, folded from the daemon's answers and events.

Owns the rows and the numbers; memory is bounded whatever comes. It reads no clock and no socket, draws
nothing, and takes answers of older and newer daemons: a field that is absent shows as unknown.
"""

from __future__ import annotations

import math
import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import MAXYEAR, MINYEAR, datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

from tracker.terminal import counted, printable

Answer: TypeAlias = Mapping[str, Any]

FILLS_KEPT: Final = 200
SAMPLES_KEPT: Final = 240
QUESTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "status": {},
    "alerts": {"open": True, "limit": FILLS_KEPT},
    "inbox": {"limit": FILLS_KEPT},
    "fills": {"limit": FILLS_KEPT},
}
"""What the screen asks, by command."""
_STALE_AFTER: Final[Mapping[str, frozenset[str]]] = {
    "fill": frozenset({"fills"}),
    "correction": frozenset({"fills", "alerts", "inbox"}),
    "fee": frozenset({"fills"}),
    "opened": frozenset({"alerts", "fills", "inbox"}),
    "changed": frozenset({"alerts", "fills", "inbox"}),
    "closed": frozenset({"alerts", "fills", "inbox"}),
    "written": frozenset({"alerts"}),
    "taken_over": frozenset({"alerts"}),
    "orphaned": frozenset({"alerts"}),
    "needs_you": frozenset({"inbox", "fills"}),
    "settled": frozenset({"inbox", "fills"}),
    "undecodable": frozenset({"inbox"}),
    "unexplained": frozenset({"inbox", "alerts", "status"}),
    "clock": frozenset({"status"}),
    "link": frozenset({"status"}),
    "gap": frozenset({"status"}),
}
"""Event -> the answers that are stale after it; after an event that is not listed, all of them are."""
_EXPIRY: Final = 1
_TERMS: Final = (_EXPIRY, 2, 3)
"""Places of what an option is told apart by; a symbol may be spelled in several ways."""
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_LONGEST_NUMBER: Final = 20
"""Characters of what stands in the place of a number."""
_NOTICE_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class FillRow:
    """Hold one fill; until an answer lists it, what only answers contain is empty."""

    account: str
    exec_id: str
    at: datetime | None
    side: str
    quantity: str
    contract: str
    price: str
    symbol: str = ""
    outcome: str = ""
    needs: str = ""
    """ambiguous, near_miss or reopened while it waits for a person, else empty."""
    seq: int = 0
    """The number of the event that brought it; 0 for one from an answer."""

    @property
    def key(self) -> str:
        return f"{self.account} {self.exec_id}"


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """Hold one alert that the store shows open."""

    name: str
    created_at: str
    contract: str
    """What is held, with what was asked for where that differs; without a position what was asked for."""
    quantity: str
    """Empty where the tracker knows of no position."""
    price: str
    opened_at: datetime | None
    brief: str = ""
    """The contract where there is room for 24 characters only; empty where it is short enough."""
    copy: int = 0
    """How many rows of the same name and creation time come before: two records may print alike."""

    @property
    def key(self) -> str:
        return f"{self.name} {self.created_at} {self.copy}"


class Candidate(NamedTuple):
    """Hold an alert that a fill may belong to, and why."""

    alert: str
    why: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Hold one item of the inbox; `fill` is None for a message that could not be read."""

    key: str
    fill: FillRow | None
    reason: str
    """In words."""
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class TrackerAway:
    """Hold since when the daemon does not answer; the reason includes the next step."""

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
        """Fills that only events brought so far, oldest first."""
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
        """Note that the daemon does not answer, since it was last heard."""
        since = self.away.since if self.away is not None else self.heard_at or self._started_at
        self.away = TrackerAway(since, reason)

    def is_restarted_daemon(self, status: Answer) -> bool:
        """Return whether this is not the daemon whose events are followed."""
        return str(status.get("started_at", "")) != self._daemon_started_at

    # Answers

    def before_question(self, command: str) -> int:
        """Note that a question is asked now, so that later events make its answer stale again.

        Returns the number of the latest event heard, for `on_answer`.
        """
        self.stale.discard(command)
        return self.last_seq

    def on_answer(self, command: str, answer: Answer, now: datetime, asked_at_seq: int) -> None:
        """Take the answer to one of QUESTIONS; events up to `asked_at_seq` were heard when it was asked."""
        self.heard_at = now
        match command:
            case "status":
                self.status = answer
                told = instant(answer.get("now"))
                self._ahead = timedelta(0) if told is None else told - now
            case "alerts":
                self.alerts = _open_alerts(answer.get("alerts", ()))
                self.alerts_total = int(answer.get("total", len(self.alerts)))
                self.store_trouble = str(answer.get("store_trouble") or "")
            case "inbox":
                self.waiting = (*map(_waiting, answer["needs_you"]), *map(_unreadable, answer["undecodable"]))
                self.waiting_total = sum(answer.get("counts", {}).values())
            case "fills":
                self._list_fills(answer, asked_at_seq)

    def _list_fills(self, answer: Answer, asked_at_seq: int) -> None:
        listed = [_fill(row) for row in reversed(answer["fills"])]
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
        fill = _fill_of_event(event)
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


# Reading answers


def instant(value: object) -> datetime | None:
    """Read an aware ISO time of a year that can be shown in any zone; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return time if time.tzinfo is not None and MINYEAR < time.year < MAXYEAR else None


def span(length: timedelta) -> str:
    """Write a length of time in one unit, rounded down; never negative."""
    seconds = max(0, int(length.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _number(value: object) -> str:
    """Write a JSON number, or a number that came as text, without a needless fraction or exponent."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _digits(value, 10)
    return "" if value is None else printable(str(value))[:_LONGEST_NUMBER]


def _digits(value: float, count: int) -> str:
    """Write a number with so many digits; one that is larger than any float is infinite."""
    try:
        return f"{value:.{count}g}"
    except OverflowError:
        return "inf" if value > 0 else "-inf"


def _fill(row: Answer) -> FillRow:
    waits = "" if row.get("dismissed") else str(row.get("attention") or "")
    return FillRow(
        account=str(row["account"]),
        exec_id=str(row["exec_id"]),
        at=instant(row.get("time")),
        side=str(row.get("side", "")),
        quantity=_number(row.get("quantity")),
        contract=str(row.get("contract", "")),
        price=_number(row.get("price")),
        symbol=str(row.get("symbol", "")),
        outcome=_outcome(row, waits),
        needs=waits,
    )


def _outcome(row: Answer, waits: str) -> str:
    """Return what became of a fill in a few words: the column is narrow."""
    if waits:
        return f"NEEDS YOU: {waits.replace('_', ' ')}"
    names = ", ".join(str(each["alert"]) for each in row.get("alerts", ()))
    if row.get("opening") and row.get("closing"):
        return f"flipped {names}" if names else "no alert"
    if names and (closing := row.get("closing")):
        quantity = _number(abs(closing)) if isinstance(closing, int | float) else ""
        return f"{'sold' if row.get('side') == 'SELL' else 'bought back'} {quantity} of {names}"
    if names:
        return f"opened {names}"
    return "waiting" if row.get("waiting") else "no alert"


def _fill_of_event(event: Answer) -> FillRow:
    return FillRow(
        account=str(event.get("account", "")),
        exec_id=str(event.get("exec_id", "")),
        at=instant(event.get("at")),
        side=str(event.get("side", "")),
        quantity=_number(event.get("quantity")),
        contract=str(event.get("symbol", "")),
        price=_number(event.get("price")),
        symbol=str(event.get("symbol", "")),
        seq=int(event.get("seq", 0)),
    )


def _open_alert(row: Answer) -> OpenAlert:
    position = row.get("position") or {}
    contract, brief = _held_and_asked(row)
    return OpenAlert(
        name=str(row["alert"]),
        created_at=str(row.get("created_at", "")),
        contract=contract,
        quantity=_number(position.get("quantity")),
        price=_price(position.get("avg_price")),
        opened_at=instant(position.get("opened_at")),
        brief=brief,
    )


def _held_and_asked(row: Answer) -> tuple[str, str]:
    """Write what an alert holds and what else it asked for: in full, and the difference alone, briefly."""
    asked = _contract_parts(row)
    held = [_contract_parts(each) for each in row.get("holds") or ()]
    if not held:
        return " ".join(filter(None, asked)), ""
    names = ", ".join(" ".join(filter(None, each)) for each in held)
    differs = [
        at for at in _TERMS if _is_exact(at, asked[at]) and any(asked[at] != each[at] for each in held)
    ]
    if not differs:
        return names, ""
    wanted = [asked[at] for at in differs]
    brief = ", ".join(" ".join(_brief(each[at]) for at in differs) for each in held)
    return f"{names}, asked {' '.join(wanted)}", f"held {brief}, asked {' '.join(map(_brief, wanted))}"


def _is_exact(at: int, part: str) -> bool:
    """Tell whether an alert names one expiry, strike or right; a month alone is met by many contracts."""
    return bool(part) and (at != _EXPIRY or _DATE.fullmatch(part) is not None)


def _brief(part: str) -> str:
    """Write a date without its year, anything else as it is."""
    return part[5:] if _DATE.fullmatch(part) else part


def _open_alerts(rows: Iterable[Answer]) -> tuple[OpenAlert, ...]:
    seen: Counter[tuple[str, str]] = Counter()
    alerts = []
    for row in rows:
        alert = _open_alert(row)
        alerts.append(replace(alert, copy=seen[alert.name, alert.created_at]))
        seen[alert.name, alert.created_at] += 1
    return tuple(alerts)


def contract_text(row: Answer) -> str:
    """Write the contract of a record, as matching reads it."""
    return " ".join(filter(None, _contract_parts(row)))


def _contract_parts(row: Answer) -> tuple[str, ...]:
    """Return symbol, expiry, strike and right; what is unknown is empty."""
    parts = (row.get("symbol"), row.get("expiry"), _number(row.get("strike")), row.get("right"))
    return tuple(printable(str(part)) if part else "" for part in parts)


def _price(value: object) -> str:
    return _digits(value, 6) if isinstance(value, int | float) else ""


def _waiting(item: Answer) -> Waiting:
    fill = _fill(item["fill"])
    meant = [Candidate(str(each["alert"]), f"by {each['rule']}") for each in item.get("alerts", ())]
    near = [
        Candidate(str(each["alert"]), str(each["reason"]))
        for each in item.get("rejected", ())
        if each["near"]
    ]
    candidates = distinct([*meant, *near])
    reason = str(item.get("needs") or "").replace("_", " ")
    names = ", ".join(candidate.alert for candidate in candidates)
    return Waiting(fill.key, fill, f"{reason}: {names}" if names else reason, candidates)


def distinct(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Return the first candidate of each name; which record of that name is meant, the daemon decides."""
    found: dict[str, Candidate] = {}
    for candidate in candidates:
        found.setdefault(candidate.alert, candidate)
    return tuple(found.values())


def _unreadable(row: Answer) -> Waiting:
    return Waiting(f"frame {row['frame']}", None, f"{row['kind']} cannot be read: {row['reason']}")
