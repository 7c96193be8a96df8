"""What the screen shows, folded from the daemon's answers and events.

Owns the rows, the numbers and how they follow from what was heard; memory is bounded whatever comes. It reads
no clock and no socket, draws nothing, and takes answers of older and newer daemons: a field that is absent
shows as unknown.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

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
_NEWS_FOR: Final[Mapping[str, frozenset[str]]] = {
    "fill": frozenset({"fills"}),
    "correction": frozenset({"fills", "alerts", "inbox"}),
    "fee": frozenset({"fills"}),
    "opened": frozenset({"alerts", "fills", "inbox"}),
    "changed": frozenset({"alerts", "fills", "inbox"}),
    "closed": frozenset({"alerts", "fills", "inbox"}),
    "written": frozenset({"alerts"}),
    "taken_over": frozenset({"alerts"}),
    "needs_you": frozenset({"inbox", "fills"}),
    "settled": frozenset({"inbox", "fills"}),
    "undecodable": frozenset({"inbox"}),
    "link": frozenset({"status"}),
    "gap": frozenset({"status"}),
}
"""Which answers an event makes old; an event that is not listed, a newer daemon's, makes all of them old."""
_NOTICE_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class FillRow:
    """Hold one fill; what only the answer knows is empty while just the event came."""

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
    """The number of the event that told of it; 0 where an answer did."""

    @property
    def key(self) -> str:
        return f"{self.account} {self.exec_id}"


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """Hold one alert that the store shows open."""

    name: str
    created_at: str
    contract: str
    quantity: str
    """Empty where the tracker knows of no position."""
    price: str
    opened_at: datetime | None

    @property
    def key(self) -> str:
        return f"{self.name} {self.created_at}"


class Candidate(NamedTuple):
    """Name an alert that a fill may belong to, and say why."""

    alert: str
    why: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Hold one thing of the inbox; `fill` is None for a message that could not be read."""

    key: str
    fill: FillRow | None
    reason: str
    """In words."""
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class TrackerAway:
    """Say that the daemon does not answer; the reason says what to do."""

    since: datetime
    reason: str


class Latency(NamedTuple):
    """Sum up the kept samples; seconds."""

    samples: int
    p50: float
    p99: float
    most: float


class NoticeRow(NamedTuple):
    """Hold the latest thing that the screen itself has to say."""

    at: datetime
    text: str


class ScreenModel:
    """Hold what is shown."""

    def __init__(self, started_at: datetime) -> None:
        """Take the time at which the screen began; the daemon counts as not heard of before."""
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
        """The answers that are older than the latest event."""
        self.last_seq = 0
        self._started_at = started_at
        self._life = ""
        self._told: deque[FillRow] = deque(maxlen=FILLS_KEPT)
        """Fills that only an event told of, oldest first."""
        self._ahead = timedelta(0)
        """How far the daemon's clock is ahead of ours."""
        self._notice: NoticeRow | None = None
        self._skips_are_news = False

    # The daemon comes and goes

    def greeted(self, status: Answer, now: datetime) -> int:
        """Take the first answer of a connection; returns the event behind which to go on, 0 for the oldest.

        All answers count as old from here on. A daemon that was started anew counts its events from 1.
        """
        life = str(status.get("started_at", ""))
        again = bool(self._life) and life != self._life
        if life != self._life:
            self.last_seq = 0
            self.samples.clear()
            self._told.clear()
        # Before this screen's first word nothing can have been missed.
        self._skips_are_news = bool(self._life) and not again
        if again:
            self.say(now, "the tracker was started again; everything was read anew")
        elif self.away is not None and self.heard_at is not None:
            self.say(
                now, f"the tracker is back, away for {span(now - self.away.since)}; everything was read anew"
            )
        self._life = life
        self.away = None
        self.answered("status", status, now, self.last_seq)
        self.stale = set(QUESTIONS) - {"status"}
        return self.last_seq

    def lost(self, reason: str) -> None:
        """Take that the daemon does not answer; it is away since it was last heard."""
        since = self.away.since if self.away is not None else self.heard_at or self._started_at
        self.away = TrackerAway(since, reason)

    def is_another_life(self, status: Answer) -> bool:
        """Tell whether a daemon answers that was started after the one whose events are followed."""
        return str(status.get("started_at", "")) != self._life

    # Answers

    def asking(self, command: str) -> int:
        """Take that a question is about to be asked, so that what happens from now on makes it old again.

        Returns the number of the latest event heard, for `answered`.
        """
        self.stale.discard(command)
        return self.last_seq

    def answered(self, command: str, answer: Answer, now: datetime, asked_at_seq: int) -> None:
        """Take the answer to one of QUESTIONS; events up to `asked_at_seq` were heard when it was asked."""
        self.heard_at = now
        match command:
            case "status":
                self.status = answer
                told = instant(answer.get("now"))
                self._ahead = timedelta(0) if told is None else told - now
            case "alerts":
                self.alerts = tuple(map(_open_alert, answer.get("alerts", ())))
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
        later = [fill for fill in self._told if fill.seq > asked_at_seq and fill.key not in known]
        self._told = deque(later, maxlen=FILLS_KEPT)
        self.fills = (*reversed(later), *listed)[:FILLS_KEPT]
        self.fills_total = int(answer.get("total", len(listed))) + len(later)

    # Events

    def happened(self, event: Answer, now: datetime) -> None:
        """Take one line of the stream."""
        self.heard_at = now
        if event.get("heartbeat"):
            return
        if (missed := event.get("missed")) is not None:
            self.stale |= set(QUESTIONS)
            if self._skips_are_news:
                self.say(now, f"missed {counted(int(missed), 'event')}; everything was read anew")
            return
        self._skips_are_news = True
        self.last_seq = max(self.last_seq, int(event.get("seq", 0)))
        kind = str(event.get("event", ""))
        self.stale |= _NEWS_FOR.get(kind, frozenset(QUESTIONS))
        if kind == "fill":
            self._tell_fill(event)
        elif kind == "written" and isinstance(event.get("seconds"), int | float):
            self.samples.append(float(event["seconds"]))
        elif kind == "link":
            self._link_changed(event)

    def _tell_fill(self, event: Answer) -> None:
        fill = _told(event)
        if all(fill.key != known.key for known in self.fills):
            self._told.append(fill)
            self.fills = (fill, *self.fills)[:FILLS_KEPT]
            self.fills_total += 1

    def _link_changed(self, event: Answer) -> None:
        link = dict(self.status.get("link") or {})
        link.update(state=event.get("state"), reason=event.get("reason"), since=event.get("at"))
        link["next_attempt_at"] = None
        self.status = {**self.status, "link": link, "subscribed": bool(event.get("subscribed"))}

    # What the screen itself says

    def say(self, now: datetime, text: str) -> None:
        """Show a line of our own, in place of the one before."""
        self._notice = NoticeRow(now, text)

    def notice(self, now: datetime) -> NoticeRow | None:
        """Return what there is to say, None when it is no news any longer."""
        if self._notice is None or (now - self._notice.at).total_seconds() > _NOTICE_SECONDS:
            return None
        return self._notice

    # Numbers

    def daemon_time(self, now: datetime) -> datetime:
        """Return the daemon's time, so that ages are right where its clock differs from ours."""
        return now + self._ahead

    def latency(self) -> Latency | None:
        """Sum up how long changes took from the broker's frame to the synced file; None before the first."""
        if not self.samples:
            return None
        ranked = sorted(self.samples)

        def rank(share: float) -> float:
            return ranked[math.ceil(share * len(ranked)) - 1]

        return Latency(len(ranked), rank(0.5), rank(0.99), ranked[-1])


# Reading answers


def instant(value: object) -> datetime | None:
    """Read an aware ISO time; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return time if time.tzinfo is not None else None


def span(length: timedelta) -> str:
    """Write a length of time in one unit, rounded down; never negative."""
    seconds = max(0, int(length.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def counted(number: int, noun: str) -> str:
    """Write a number and its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _number(value: object) -> str:
    """Write a JSON number, or a number that came as text, without a needless fraction or exponent."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.10g}"
    return "" if value is None else str(value)


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
    """Say what became of a fill in fewer words than the answer has: the column is narrow."""
    if waits:
        return f"NEEDS YOU: {waits.replace('_', ' ')}"
    names = ", ".join(str(each["alert"]) for each in row.get("alerts", ()))
    if row.get("opening") and row.get("closing"):
        return f"flipped {names}" if names else "no alert"
    if names:
        return f"{'closed for' if row.get('closing') else 'opened'} {names}"
    return "waiting" if row.get("waiting") else "no alert"


def _told(event: Answer) -> FillRow:
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
    return OpenAlert(
        name=str(row["alert"]),
        created_at=str(row.get("created_at", "")),
        contract=meaning(row),
        quantity=_number(position.get("quantity")),
        price=_price(position.get("avg_price")),
        opened_at=instant(position.get("opened_at")),
    )


def meaning(row: Answer) -> str:
    """Write what a record of the store is about, as matching reads it."""
    parts = (row.get("symbol"), row.get("expiry"), _number(row.get("strike")), row.get("right"))
    return " ".join(str(part) for part in parts if part)


def _price(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else ""


def _waiting(item: Answer) -> Waiting:
    fill = _fill(item["fill"])
    meant = [Candidate(str(each["alert"]), f"by {each['rule']}") for each in item.get("alerts", ())]
    near = [
        Candidate(str(each["alert"]), str(each["reason"]))
        for each in item.get("rejected", ())
        if each["near"]
    ]
    candidates = _once([*meant, *near])
    reason = str(item.get("needs") or "").replace("_", " ")
    names = ", ".join(candidate.alert for candidate in candidates)
    return Waiting(fill.key, fill, f"{reason}: {names}" if names else reason, candidates)


def _once(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Return the first candidate of each name; the daemon tells records of one name apart."""
    found: dict[str, Candidate] = {}
    for candidate in candidates:
        found.setdefault(candidate.alert, candidate)
    return tuple(found.values())


def _unreadable(row: Answer) -> Waiting:
    return Waiting(f"frame {row['frame']}", None, f"{row['kind']} cannot be read: {row['reason']}")
