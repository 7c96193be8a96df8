"""Say in plain words, within 80 columns, how the tracker is.

Owns the text of `tracker status`. It is given the answer of that command, which may come from an older
or a newer daemon: a field that is absent is left out, one that is not known here is shown by its own name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from tracker.terminal import labelled

_LABEL: Final = 20
_HANDLED: Final = frozenset(
    {
        "ok",
        "schema",
        "running",
        "subscribed",
        "last_polled_at",
        "stats",
        "now",
        "started_at",
        "link",
        "needs_you",
        "gaps",
        "store",
    }
)
_LATE_WRITES: Final = ("late_writes_merged", "late_writes_lost")


def summarise(answer: Mapping[str, Any]) -> str:
    """Return the lines that a person reads, the state of the link and what needs a person first."""
    now = _time(answer.get("now"))
    lines = [_headline(answer)]
    for label, text in _rows(answer, now):
        lines += labelled(label, text, _LABEL)
    return "\n".join(lines)


def _headline(answer: Mapping[str, Any]) -> str:
    if answer.get("running") is False:
        return "Not running."
    if answer.get("subscribed"):
        return "Running, and receiving fills."
    return "Running, but NOT receiving fills."


def _rows(answer: Mapping[str, Any], now: datetime | None) -> Iterator[tuple[str, str]]:
    yield from _link_rows(_mapping(answer, "link"), now)
    needs = answer.get("needs_you")
    if isinstance(needs, Mapping):
        yield (
            "needs you",
            ", ".join(f"{count} {_words(why)}" for why, count in needs.items() if count) or "nothing",
        )
    elif needs is not None:
        yield "needs you", str(needs or "nothing")
    yield from _unproven(answer)
    if "last_polled_at" in answer:
        yield "last sweep", _when(answer["last_polled_at"], now)
    stats = _mapping(answer, "stats")
    if stats:
        yield "fills counted", str(stats.get("orders_processed", "unknown"))
        yield (
            "alerts updated",
            f"{stats.get('alerts_updated', 'unknown')}, last {_when(stats.get('last_update'), now)}",
        )
    if "started_at" in answer:
        yield "started", _when(answer["started_at"], now)
    yield from _store_rows(answer, now)
    for name, value in answer.items():
        if name not in _HANDLED:
            yield _words(name), _plain(value, now)


def _store_rows(answer: Mapping[str, Any], now: datetime | None) -> Iterator[tuple[str, str]]:
    """Tell of other programs' late writes only where one was lost: a merged one is as it should be."""
    store = answer.get("store")
    if isinstance(store, Mapping):
        shown = {name: value for name, value in store.items() if name not in _LATE_WRITES}
        yield "store", _plain(shown, now)
        if lost := store.get("late_writes_lost"):
            yield (
                "late writes lost",
                f"{lost}: another program began to write alerts.json and never finished; see that its"
                " records are there",
            )
    elif "store" in answer:
        yield "store", _plain(store, now)


def _link_rows(link: Mapping[str, Any], now: datetime | None) -> Iterator[tuple[str, str]]:
    if not link:
        return
    since = f" since {_when(link['since'], now)}" if link.get("since") else ""
    yield "link", f"{_words(link.get('state', 'unknown'))}{since}"
    if link.get("reason"):
        yield "reason", str(link["reason"])
    if link.get("next_attempt_at"):
        yield "next attempt", _when(link["next_attempt_at"], now)
    for name, value in link.items():
        if name not in ("state", "since", "reason", "next_attempt_at") and value not in (None, [], ""):
            yield _words(name), _plain(value, now)


def _unproven(answer: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    gaps = answer.get("gaps")
    if isinstance(gaps, list) and gaps:
        yield "days not proven", f"{_days(gaps)}: fills may be missing, see `tracker gaps`"
    elif "gaps" in answer:
        yield "days not proven", _plain(gaps, None)


def _days(names: list[Any]) -> str:
    """Write days in order, those that follow one another as a range."""
    ranges: list[list[str]] = []
    for name in map(str, names):
        if ranges and _next_day(ranges[-1][-1]) == name:
            ranges[-1].append(name)
        else:
            ranges.append([name])
    return ", ".join(days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}" for days in ranges)


def _next_day(name: str) -> str | None:
    try:
        return (date.fromisoformat(name) + timedelta(days=1)).isoformat()
    except (ValueError, OverflowError):
        return None


def _mapping(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = answer.get(name)
    return value if isinstance(value, Mapping) else {}


def _words(name: object) -> str:
    return str(name).replace("_", " ")


def _plain(value: object, now: datetime | None) -> str:
    """Write any JSON value on one line."""
    match value:
        case None:
            return "unknown"
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return ", ".join(f"{_words(key)} {_plain(each, now)}" for key, each in value.items()) or "none"
        case list():
            return ", ".join(_plain(each, now) for each in value) or "none"
        case str() if _time(value) is not None:
            return _when(value, now)
    return str(value)


def _time(text: object) -> datetime | None:
    """Read an instant as answers write it (aware, ISO 8601); None for anything else."""
    if not isinstance(text, str) or "T" not in text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else None


def _when(text: object, now: datetime | None) -> str:
    """Write an instant as UTC to the second, with how long ago that was."""
    time = _time(text)
    if time is None:
        return "never" if text is None else str(text)
    shown = time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if now is None:
        return shown
    seconds = (now - time).total_seconds()
    return f"{shown} ({_span(abs(seconds))} {'ago' if seconds >= 0 else 'from now'})"


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
