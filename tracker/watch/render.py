"""Write the model as lines of text for a width: whole in 80 columns or more, cut in fewer.

Owns the columns, the headlines and what is left out where there is no room. It applies no style: a line only
has a tone, and its words say the same. Texts of files and of the broker lose their control characters, since
a terminal would obey them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any, Final, NamedTuple

from tracker.terminal import counted, printable
from tracker.watch.screen_model import ScreenModel
from tracker.watch.screen_rows import FillRow, OpenAlert, Waiting, instant, span

HEAD_LINES: Final = 3
_NAME: Final = 32
"""The width that most names of alerts need; on a wide terminal the contract gets the rest."""
_CONTRACT: Final = 24
_BARS: Final = " ▁▂▃▄▅▆▇█"
_CUT: Final = "…"


class Tone(StrEnum):
    """Say how a line is highlighted."""

    PLAIN = "plain"
    GOOD = "good"
    TROUBLE = "trouble"


class Line(NamedTuple):
    """Hold one line and its tone."""

    text: str
    tone: Tone = Tone.PLAIN


class Lines:
    """Write lines; times are shown in `zone`, as the other commands show them."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone

    # The head

    def head(self, model: ScreenModel, place: str, now: datetime, width: int) -> list[Line]:
        """Write the state of the tracker: HEAD_LINES lines."""
        if model.away is not None:
            first = Line(self._away(model, now, width), Tone.TROUBLE)
            rest = self._fitted([model.away.reason], width)
        elif not model.status:
            first, rest = Line(f"Connecting to {place} ..."), []
        else:
            good = bool(model.status.get("subscribed"))
            first = Line(self._link(model, now, width), Tone.GOOD if good else Tone.TROUBLE)
            rest = self._fitted([*self._troubles(model, now), *self._facts(model)], width)
        lines = [first, *rest][:HEAD_LINES]
        return [*lines, *[Line("")] * (HEAD_LINES - len(lines))]

    def _away(self, model: ScreenModel, now: datetime, width: int) -> str:
        assert model.away is not None, "the caller saw that it is"
        length = span(now - model.away.since)
        then = "the lists are as of then" if model.status else "press r to try now"
        return spread(f"TRACKER AWAY since {self.moment(model.away.since, now)} ({length})", then, width)

    def _link(self, model: ScreenModel, now: datetime, width: int) -> str:
        link, daemon_now = _mapping(model.status, "link"), model.daemon_time(now)
        words = "RECEIVING FILLS" if model.status.get("subscribed") else "NOT RECEIVING FILLS"
        state = str(link.get("state") or "unknown").replace("_", " ")
        since = instant(link.get("since"))
        if since is not None:
            state += f" since {self.moment(since, daemon_now)} ({span(daemon_now - since)})"
        frame = instant(link.get("last_frame_at"))
        last = "no message yet" if frame is None else f"last message {span(daemon_now - frame)} ago"
        return spread(f"{words}  link {state}", last, width)

    def _troubles(self, model: ScreenModel, now: datetime) -> Iterable[str]:
        """Yield what is wrong, worst first."""
        status = model.status
        for verb, why in _mapping(_mapping(status, "store"), "away").items():
            since = instant(why.get("since"))
            yield f"The alerts cannot be {verb} since {self.moment(since, now)}: {why.get('reason')}."
        link = _mapping(status, "link")
        if not status.get("subscribed") or link.get("state") != "up":
            next_at = instant(link.get("next_attempt_at"))
            when = "" if next_at is None else f"; next attempt at {self.moment(next_at, now)}"
            yield f"{link.get('reason') or 'no reason given'}{when}."
        if gaps := status.get("gaps"):
            yield f"{counted(len(gaps), 'incomplete day')}: see `tracker gaps`."
        if waiting := _mapping(status, "store").get("undelivered"):
            yield f"{counted(waiting, 'update')} not written yet."

    def _facts(self, model: ScreenModel) -> Iterable[str]:
        status, link = model.status, _mapping(model.status, "link")
        accounts = ", ".join(map(str, link.get("accounts") or ()))
        mode = _mapping(status, "journal").get("mode")
        proven = instant(status.get("proven_until"))
        if accounts:
            yield f"{accounts}, {mode}." if mode else f"{accounts}."
        yield "No day complete yet." if proven is None else f"Complete until {self.moment(proven, proven)}."
        if pending := status.get("fees_pending"):
            yield f"{counted(pending, 'fee')} pending."
        if unread := status.get("undecodable"):
            yield f"{counted(unread, 'message')} could not be read."

    def _fitted(self, sentences: Sequence[str], width: int) -> list[Line]:
        text = printable(" ".join(sentences))
        return [
            Line(line)
            for line in textwrap.wrap(
                text,
                max(width, len(_CUT)),
                max_lines=HEAD_LINES - 1,
                placeholder=_CUT,
                break_on_hyphens=False,
            )
        ]

    def notice(self, model: ScreenModel, now: datetime, width: int) -> str:
        """Write the latest notice of the screen itself, empty where there is none."""
        notice = model.notice(now)
        return "" if notice is None else cut(f"{self.time(notice.at, now)} {printable(notice.text)}", width)

    # The lists

    def alerts_title(self, model: ScreenModel, width: int) -> str:
        """Write the heading of the open alerts."""
        return spread(
            _headed("OPEN ALERTS", model.alerts_total, len(model.alerts), model.store_trouble),
            _held("held", "avg price", "since"),
            width,
        )

    def alert(self, alert: OpenAlert, now: datetime, width: int) -> str:
        """Write one open alert."""
        opened = "" if alert.opened_at is None else self.time(alert.opened_at, now, seconds=False)
        tail = _held(alert.quantity or "no fill", alert.price, opened)
        room = width - len(tail) - 1
        column = min(max(_CONTRACT, room - _NAME), room // 2)
        contract = alert.contract if len(alert.contract) <= column else alert.brief or alert.contract
        return f"{fit(alert.name, room - column - 1)} {fit(contract, column)} {tail}"

    def waiting_title(self, model: ScreenModel, width: int) -> str:
        """Write the heading of the inbox."""
        keys = "w why  a assign  d dismiss  u undo" if model.waiting else ""
        return spread(_headed("NEEDS YOU", model.waiting_total, len(model.waiting)), keys, width)

    def waiting(self, waiting: Waiting, now: datetime, width: int) -> str:
        """Write one item of the inbox."""
        if waiting.fill is None:
            return cut(printable(waiting.reason), width)
        return fit(f"{self._trade(waiting.fill, now)} {printable(waiting.reason)}", width)

    def fills_title(self, model: ScreenModel, now: datetime, width: int) -> str:
        """Write the heading of the fills."""
        order = f"newest first, times in {self.zone_name(now)}"
        return spread(_headed("FILLS TODAY", model.fills_total, len(model.fills)), order, width)

    def fill(self, fill: FillRow, now: datetime, width: int) -> str:
        """Write one fill."""
        return fit(f"{self._trade(fill, now)} {printable(fill.outcome)}", width)

    def _trade(self, fill: FillRow, now: datetime) -> str:
        at = "" if fill.at is None else self.time(fill.at, now)
        return f"{at:>8} {fill.side:<4} {fill.quantity:>4} {printable(fill.contract):<23} {fill.price:>7}"

    # Latency

    def latency(self, model: ScreenModel, width: int) -> str:
        """Write how long changes took from the frame to the file, and draw the latest."""
        found = model.latency()
        if found is None:
            return cut("MESSAGE TO FILE  nothing written since the tracker started", width)
        words = (
            f"MESSAGE TO FILE  p50 {duration(found.p50)}  p99 {duration(found.p99)}"
            f"  max {duration(found.most)}  of {found.samples}  "
        )
        return words + bars(list(model.samples), width - len(words))

    def moment(self, at: datetime | None, now: datetime) -> str:
        """Write an instant, with its zone if it is today."""
        text = self.time(at, now)
        return text if at is None or ":" not in text else f"{text} {self.zone_name(at)}"

    def zone_name(self, at: datetime) -> str:
        """Name the zone in which times are shown."""
        return at.astimezone(self._zone).tzname() or ""

    def time(self, at: datetime | None, now: datetime, *, seconds: bool = True) -> str:
        """Write an instant: its time if that is today, else its day."""
        if at is None:
            return "an unknown time"
        local = at.astimezone(self._zone)
        if local.date() != now.astimezone(self._zone).date():
            return local.strftime("%b %d")
        return local.strftime("%H:%M:%S" if seconds else "%H:%M")


def bars(samples: Sequence[float], width: int) -> str:
    """Draw the latest samples, one column each, on a scale from 0 to the largest of them."""
    latest = samples[max(0, len(samples) - width) :] if width > 0 else ()
    most = max(latest, default=0.0)
    steps = len(_BARS) - 1
    # A sample of 0 gets the lowest bar, so that it is seen.
    return "".join(_BARS[max(1, round(sample / most * steps)) if most > 0 else 1] for sample in latest)


def duration(seconds: float) -> str:
    """Write a latency with the unit that reads best."""
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else span(timedelta(seconds=seconds))


def cut(text: str, width: int) -> str:
    """Shorten a text to a width, and show that it was."""
    return text if len(text) <= width else text[: max(0, width - 1)] + _CUT


def fit(text: str, width: int) -> str:
    """Make a text exactly so wide."""
    return cut(printable(text), width).ljust(width)


def spread(left: str, right: str, width: int) -> str:
    """Put two texts at the two ends of a line; without room for both, the left one is cut."""
    room = width - len(right) - 1
    return f"{fit(left, room)} {right}" if right and room > 0 else fit(left, width)


def _headed(name: str, total: int, shown: int, trouble: str = "") -> str:
    title = f"{name}  {total}"
    if shown < total:
        title += f", {shown} shown"
    return f"{title}  as last read: {trouble}" if trouble else title


def _held(quantity: str, price: str, since: str) -> str:
    return f"{quantity:>8} {price:>10} {since:>6}"


def _mapping(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = answer.get(name)
    return value if isinstance(value, Mapping) else {}
