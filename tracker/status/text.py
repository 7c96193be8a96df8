"""Say in plain words, within 80 columns, how the tracker is.

Owns the text of `tracker status`. It receives the answer of that command, which may come from an older or a
newer daemon: an absent field is left out, an unknown one is shown by its own name. Counts that are 0 and need
nothing from you are left out too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from tracker.terminal import counted, labelled

_LABEL: Final = 20
_LEFT_OUT: Final = frozenset({"ok", "schema", "running", "subscribed", "now"})
"""Fields without a row of their own."""
_STORE_OUTAGES: Final = ("read", "written")
_MEGABYTE: Final = 1_000_000

Row = tuple[str, str]


def summarise(answer: Mapping[str, Any]) -> str:
    """Return the lines that a person reads: first whether fills are received, then what needs a person."""
    now = _time(answer.get("now"))
    lines = [_headline(answer)]
    for label, text in _rows(answer, now):
        lines += labelled(label, text, _LABEL)
    return "\n".join(lines)


def _headline(answer: Mapping[str, Any]) -> str:
    if answer.get("running") is False:
        return "Not running."
    if answer.get("subscribed"):
        away = _mapping(_mapping(answer, "store"), "away")
        for done in _STORE_OUTAGES:
            if done in away:
                return f"Running, and receiving fills, but the alert store cannot be {done}."
        return "Running, and receiving fills."
    return "Running, but NOT receiving fills."


def _rows(answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    """Yield the rows of the known fields, the most important first, then those of all others."""
    for name, write in _WRITERS.items():
        if name in answer:
            value = answer[name]
            kinds = _KINDS.get(name)
            if kinds is None or isinstance(value, kinds):
                yield from write(value, answer, now)
            else:
                yield _words(name), _plain(value, now)
    for name, value in answer.items():
        if name not in _LEFT_OUT and name not in _WRITERS:
            yield _words(name), _plain(value, now)


def _link(link: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    if not link:
        return
    since = f" since {_when(link['since'], now)}" if link.get("since") else ""
    yield "link", f"{_words(link.get('state', 'unknown'))}{since}"
    if link.get("reason") and not (answer.get("subscribed") and link.get("state") == "up"):
        yield "reason", str(link["reason"])
    if link.get("next_attempt_at"):
        yield "next attempt", _when(link["next_attempt_at"], now)
    if link.get("last_frame_at"):
        yield "last message", _when(link["last_frame_at"], now)
    if link.get("accounts"):
        yield "accounts", _plain(link["accounts"], now)
    if not answer.get("subscribed") and link.get("attempts"):
        yield "attempts", f"{link['attempts']} to connect"
    if link.get("last_sweep_timed_out"):
        yield "last sweep", "not answered in full by the gateway in time; it is asked again"
    shown = {"state", "since", "reason", "next_attempt_at", "last_frame_at", "accounts", "attempts"}
    for name, value in link.items():
        if name not in shown | {"last_sweep_timed_out"} and value not in (None, [], ""):
            yield _words(name), _plain(value, now)


def _needs(needs: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    if isinstance(needs, Mapping):
        all_needs = {**needs, "undecodable": answer.get("undecodable")}
        counts = ", ".join(f"{count} {_words(why)}" for why, count in all_needs.items() if count)
        yield "needs you", f"{counts}; see `tracker inbox`" if counts else "nothing"
    else:
        yield "needs you", str(needs or "nothing")


def _undecodable(count: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    if count:
        yield "set aside", f"{counted(count, 'message')} that could not be used, kept; see `tracker inbox`"


def _gaps(gaps: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    days = f"{_days(gaps)}: fills may be missing; see `tracker gaps`" if gaps else "none"
    yield "incomplete days", days


def _complete(until: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    yield "complete until", "not known yet" if until is None else _when(until, now)


def _polled(at: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    yield "last sweep", _when(at, now)


def _today(count: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    unpaid = answer.get("fees_pending")
    fees = f", {unpaid} of them without their fee yet" if unpaid else ""
    yield "fills today", f"{count}{fees}"


def _clock(clock: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    """Say how far this host's clock is off, if it should be set."""
    skew = clock.get("skew_seconds")
    if isinstance(skew, int | float) and abs(skew) >= _SKEW_SHOWN:
        word = "ahead of" if skew > 0 else "behind"
        yield "clock", f"{abs(skew):.0f} s {word} the broker's; set it by a time server"


def _stats(stats: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    if not stats:
        return
    yield "fills counted", f"{stats.get('orders_processed', 'unknown')} since the start"
    last = stats.get("last_update")
    when = f", the last {_when(last, now)}" if last else ""
    yield "alerts updated", f"{stats.get('alerts_updated', 'unknown')} since the start{when}"


def _started(at: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    yield "started", _when(at, now)


def _store(store: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    """Say what is wrong with the alert store, how many updates wait for it, and which late writes of other
    programs were lost. The row `alerts` names the file or the shared store.
    """
    away = _mapping(store, "away")
    troubles = [_trouble(done, each, now) for done, each in away.items()]
    if store.get("absent") and not away:
        troubles.append("alerts.json is not there, so fills open no alert")
    if waiting := store.get("undelivered"):
        troubles.append(f"{counted(waiting, 'update')} {'waits' if waiting == 1 else 'wait'} to be written")
    yield "alert store", "; ".join(troubles) or "can be read and written; nothing waits to be written"
    if lost := store.get("late_writes_lost"):
        yield (
            "late writes lost",
            f"{lost}: another program began to write alerts.json and never finished; check that its"
            " records are there",
        )
    if store.get("seat"):
        yield "seat", f"{store['seat']}, taken {counted(store.get('epoch') or 0, 'time')}"
    if store.get("seen_at"):
        yield "server answered", _when(store["seen_at"], now)
    shown = ("away", "absent", "undelivered", "late_writes_lost", "late_writes_merged")
    for name, value in store.items():
        if name not in (*shown, "kind", "seat", "epoch", "seen_at") and value not in (None, [], {}, ""):
            yield f"store: {_words(name)}", _plain(value, now)


def _trouble(done: str, outage: Any, now: datetime | None) -> str:
    what = f"cannot be {_words(done)}"
    if not isinstance(outage, Mapping):
        return f"{what}: {_plain(outage, now)}"
    return f"{what} since {_when(outage.get('since'), now)}: {outage.get('reason')}"


def _reapplied(count: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    if count:
        yield "written again", f"{counted(count, 'update')} that other programs had undone"


def _journal(journal: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    size = journal.get("bytes")
    parts = [str(journal.get("path", "unknown"))]
    if isinstance(size, int):
        parts.append(f"{size / _MEGABYTE:.1f} MB")
    if journal.get("mode"):
        parts.append(f"of a {journal['mode']} login")
    yield "journal", ", ".join(parts)


def _setup(setup: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    """Say what this run works with, and what it does next."""
    if setup.get("work"):
        yield "at work", str(setup["work"])
    if setup.get("next"):
        yield "next", str(setup["next"])
    if setup.get("alerts"):
        each = [one for one in setup.get("alerts_read") or () if isinstance(one, Mapping)]
        names = ", ".join(f"{one.get('alerter')} {one.get('count')}" for one in each)
        total = sum(one.get("count") or 0 for one in each)
        read = f"{counted(total, 'alert')} read" + (f" ({names})" if names else "")
        store = answer.get("store")
        named = store.get("seat") if isinstance(store, Mapping) else None
        seat = f", as seat {named}" if named else ""
        yield "alerts", f"{read} from {setup['alerts']}{seat}, times in {setup.get('alerts_timezone')}"
    if setup.get("gateway"):
        login = f", {setup['login']}" if setup.get("login") else ""
        yield (
            "gateway",
            f"{setup['gateway']} as client {setup.get('client_id')}{login}, days in"
            f" {setup.get('login_timezone')}",
        )


def _notify(notify: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    if not notify:
        return
    parts = [f"{notify.get('sent', 'unknown')} sent"]
    parts += [
        f"{notify[name]} {_words(name)}" for name in ("waiting", "dropped", "given_up") if notify.get(name)
    ]
    parts += [f"url {url}: {why}" for url, why in _mapping(notify, "trouble").items()]
    yield "notifications", "; ".join(parts)


def _heartbeat(beat: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    if not beat:
        return
    last = beat.get("last_sent_at")
    parts = [f"last call {_when(last, now)}" if last else "not called yet"]
    parts += [f"withheld: {beat['withheld']}"] if beat.get("withheld") else []
    parts += [f"the call fails: {beat['trouble']}"] if beat.get("trouble") else []
    yield "heartbeat", "; ".join(parts)


def _log(log: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    lost = f"{counted(log['lost'], 'line')} lost" if log.get("lost") else "no lines lost"
    yield "log", "; ".join([lost, *map(str, log.get("trouble") or ())])


def _versions(versions: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    names = {"ib_insync": "ib_insync", "python": "Python", "server": "gateway protocol"}
    shown = [f"{names.get(name, _words(name))} {value}" for name, value in versions.items() if value]
    yield "versions", ", ".join(shown) or "unknown"


def _nothing(value: Any, answer: Mapping[str, Any], now: datetime | None) -> Iterator[Row]:
    """Yield nothing, for a field that another row shows."""
    return iter(())


_SKEW_SHOWN: Final = 5.0
_WRITERS: Final[Mapping[str, Callable[[Any, Mapping[str, Any], datetime | None], Iterator[Row]]]] = {
    "link": _link,
    "needs_you": _needs,
    "undecodable": _undecodable,
    "gaps": _gaps,
    "proven_until": _complete,
    "last_polled_at": _polled,
    "fills_today": _today,
    "fees_pending": _nothing,
    "clock": _clock,
    "stats": _stats,
    "store": _store,
    "reapplied": _reapplied,
    "journal": _journal,
    "setup": _setup,
    "notify": _notify,
    "heartbeat": _heartbeat,
    "log": _log,
    "started_at": _started,
    "versions": _versions,
}
"""The function that writes the rows of each field, in the order of the rows."""
_KINDS: Final[Mapping[str, type]] = {
    **dict.fromkeys(("link", "stats", "store", "clock", "journal", "notify"), dict),
    **dict.fromkeys(("setup", "heartbeat", "log", "versions"), dict),
    "gaps": list,
}
"""The type that each of those fields must have; with another type it is shown like an unknown field."""


def _days(names: list[Any]) -> str:
    """Write days in order, consecutive ones as a range."""
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
