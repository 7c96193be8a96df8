"""What the demo shows: each event in words and what it changed, then a table; or all of it as JSON.

Owns the form and standard output. It decides nothing.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias

from tracker.console import say
from tracker.core.model import JsonValue
from tracker.demo.morning_script import AlertName
from tracker.status.protocol import SCHEMA

LOG: Final = "tracker.log"
"""What the tracker's log is called in the demo's folder."""
Flat: TypeAlias = Mapping[str, JsonValue]
"""The tracker's keys of a record by dotted key."""

_LEFT_OUT: Final = frozenset(
    f"last_order_update.{key}"
    for key in ("order_id", "updated_at", "account", "perm_id", "con_id", "exec_id", "last_fill_price")
) | {"position.shared_with", "position.closed_by"}
"""Keys that only --json shows."""
_BOLD, _DIM, _GREEN, _RED, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[31m", "\x1b[0m"
_STYLES: Final = (_BOLD, _DIM, _GREEN, _RED, _PLAIN)


@dataclass(frozen=True, slots=True)
class ShownAlert:
    """Hold what one step changed in the file."""

    at: datetime
    cue: str
    words: str
    why: str
    alert: AlertName | None
    before: Flat
    after: Flat
    milliseconds: float | None
    """Milliseconds from frame to file; None where nothing was to change."""

    @property
    def changes(self) -> dict[str, tuple[JsonValue, JsonValue]]:
        """Return dotted key -> (before, after) of what differs; None where a key is not there."""
        keys = [*self.after, *(key for key in self.before if key not in self.after)]
        pairs = {key: (self.before.get(key), self.after.get(key)) for key in keys}
        return {
            key: pair
            for key, pair in pairs.items()
            if pair[0] != pair[1] or (key in self.before) != (key in self.after)
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """Hold how one alert ended."""

    alert: AlertName
    expected: Flat
    shown: Flat
    differences: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.differences


@dataclass(slots=True)
class RunOutcome:
    """Hold what happened in a run."""

    folder: Path
    kept: bool
    events: list[ShownAlert] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What went wrong; empty where nothing did."""
    interrupted: bool = False
    """Whether the run was cut short, so that most alerts cannot be right."""

    @property
    def ok(self) -> bool:
        return not self.problems and all(verdict.ok for verdict in self.verdicts)

    def failures(self) -> list[str]:
        """Return everything that was wrong, and where to look; empty where all was right."""
        found = [
            *self.problems,
            *(
                f"{verdict.alert}: {each}"
                for verdict in self.verdicts
                for each in verdict.differences
                if not self.interrupted
            ),
        ]
        if not found:
            return []
        return [*found, f"the tracker's log is {self.folder / LOG}; stores and journal are beside it"]

    @property
    def latencies(self) -> list[float]:
        return [event.milliseconds for event in self.events if event.milliseconds is not None]


class TextReport:
    """Report to a person, line by line as it happens."""

    def __init__(self) -> None:
        terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._colour = terminal and not os.environ.get("NO_COLOR")

    def line(self, text: str = "") -> None:
        say(text, _STYLES if self._colour else ())

    def begin(self, port: int, outcome: RunOutcome, owners: Sequence[str]) -> None:
        """Print what runs where; `owners` are the alerters of the stores."""
        self.line(f"A paper gateway listens on 127.0.0.1:{port}; the tracker watches it.")
        self.line(f"The stores of {', '.join(owners)}")
        removed = "" if outcome.kept else " (removed at the end if all is well)"
        self.line(f"are in {outcome.folder}{removed}")
        self.line("Below each step are its changes in the file: last_order_update is about the")
        self.line("newest order of an alert, position about what it holds.")
        self.line()

    def event(self, shown: ShownAlert) -> None:
        """Print one step: what happened when, and what the file shows now."""
        self.line(f"{self._in(_BOLD, f'{shown.at.astimezone():%H:%M:%S.%f}'[:-3])}  {shown.words}")
        if shown.alert is None and not shown.why:
            # An action of the gateway; its effect is printed when the file shows it.
            return
        if shown.alert is None:
            self.line(f"    nothing changes: {shown.why}")
            self.line()
            return
        if shown.milliseconds is not None:
            took = f"in the file {shown.milliseconds:.1f} ms after the message"
            self.line(f"    {shown.alert}, {self._in(_DIM, took)}")
        self._changes(shown)
        self.line()

    def _changes(self, shown: ShownAlert) -> None:
        rows = []
        for key, (before, after) in shown.changes.items():
            if key not in _LEFT_OUT and (before, after) != (None, None):
                was = "-" if key not in shown.before else _value(before)
                rows.append((*key.rpartition(".")[::2], was, _value(after)))
        widest = max((len(key) + 2 * bool(group) for group, key, _, _ in rows), default=0)
        last = ""
        for group, key, was, now_is in rows:
            if group != last:
                self.line(f"      {group}")
            last = group
            name = f"  {key}" if group else key
            self.line(f"      {name:<{widest}}  {self._in(_DIM, was)} -> {self._in(_GREEN, now_is)}")

    def summary(self, outcome: RunOutcome) -> None:
        """Print how every alert ended, and how long the file took."""
        self.line("How each alert ended; the quantity bought or sold is that of its newest order:")
        rows = [("alert", "expected", "shown", "ok")]
        for verdict in outcome.verdicts:
            ok = "yes" if verdict.ok else "NO"
            rows.append((str(verdict.alert), in_short(verdict.expected), in_short(verdict.shown), ok))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        for number, row in enumerate(rows):
            text = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            good = number == 0 or row[3] == "yes"
            self.line(self._in(_BOLD if number == 0 else _GREEN if good else _RED, text))
        if outcome.latencies:
            median, slowest = statistics.median(outcome.latencies), max(outcome.latencies)
            self.line()
            self.line(
                f"message to file: median {median:.1f} ms, slowest {slowest:.1f} ms,"
                f" {len(outcome.latencies)} changes"
            )
        if outcome.ok:
            self.line("every alert ended as it should")
        if outcome.kept and outcome.ok:
            self.line(f"stores, journal and logs are in {outcome.folder}")

    def _in(self, code: str, text: str) -> str:
        return f"{code}{text}{_PLAIN}" if self._colour else text


class JsonReport(TextReport):
    """Print one JSON document at the end."""

    def line(self, text: str = "") -> None:
        """Say nothing."""

    def summary(self, outcome: RunOutcome) -> None:
        """Print the document."""
        say(json.dumps(as_document(outcome), indent=2))


def as_document(outcome: RunOutcome) -> dict[str, JsonValue]:
    """Return everything for programs; `changes` is dotted key -> [before, after]."""
    times = outcome.latencies
    return {
        "ok": outcome.ok,
        "schema": SCHEMA,
        "folder": str(outcome.folder) if outcome.kept else None,
        "problems": list(outcome.problems),
        "events": [
            {
                "at": event.at.isoformat(),
                "cue": event.cue,
                "words": event.words,
                "why": event.why or None,
                "alerter": event.alert.alerter if event.alert else None,
                "ticker": event.alert.ticker if event.alert else None,
                "changes": {key: list(pair) for key, pair in event.changes.items()},
                "frame_to_file_ms": event.milliseconds,
            }
            for event in outcome.events
        ],
        "alerts": [
            {
                "alerter": verdict.alert.alerter,
                "ticker": verdict.alert.ticker,
                "ok": verdict.ok,
                "expected": dict(verdict.expected),
                "shown": dict(verdict.shown),
                "differences": list(verdict.differences),
            }
            for verdict in outcome.verdicts
        ],
        "frame_to_file_ms": {
            "median": statistics.median(times) if times else None,
            "slowest": max(times, default=None),
            "changes": len(times),
        },
    }


def in_short(shown: Flat) -> str:
    """Return in a few words what a record shows: `open, 4 held, bought 4 so far`."""
    if "last_order_update.side" not in shown:
        return "open, without a fill" if shown.get("open") else "not open, untouched"
    side, status, filled = (shown.get(f"last_order_update.{key}") for key in ("side", "status", "filled_qty"))
    so_far = " so far" if status == "PARTIALLY_FILLED" else ""
    return (
        f"{'open' if shown.get('open') else 'closed'}, {_value(shown.get('position.quantity'))} held,"
        f" {'bought' if side == 'BUY' else 'sold'} {_value(filled)}{so_far}"
    )


def _value(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def flatten(record: Mapping[str, JsonValue], keys: Sequence[str]) -> dict[str, JsonValue]:
    """Return these keys of a record by dotted name, those inside objects included."""
    found: dict[str, JsonValue] = {}
    for key in keys:
        value = record.get(key)
        if isinstance(value, dict):
            found.update({f"{key}.{inner}": each for inner, each in value.items()})
        elif key in record:
            found[key] = value
    return found
