"""The report of a soak: tables, verdicts, JSON, and a drawing in SVG.

Owns these forms. `judging` decides the verdicts.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape
from typing import Any, Final

from benchmark.report import columns, number, svg

from soaking import judging
from soaking.judging import Minute, Sent, Verdict
from soaking.running import MEANINGS, Options, Outcome

_WIDTH: Final = 1000
_LEFT: Final = 70
_RIGHT: Final = 20
_PANEL: Final = 200
_GAP: Final = 70
_TOP: Final = 70
_CALM: Final = "#2a7f4f"
_ALL: Final = "#b03a2e"
_MEMORY: Final = "#1f4e79"


class Told:
    """Hold an outcome with its figures and verdicts."""

    def __init__(self, outcome: Outcome, options: Options) -> None:
        self._outcome = outcome
        self._options = options
        everything = outcome.record.fills()
        self._fills = [sent for sent in everything if sent.at >= 0]
        judging.close_windows(outcome.faults, self._fills)
        self._calm = judging.apart(self._fills, outcome.faults)
        self._minutes = judging.minutes(self._fills, outcome.faults, outcome.samples, outcome.floor)
        self.verdicts = list(verdicts(outcome, len(everything), self._fills))

    @property
    def broken(self) -> bool:
        """Whether a promise was broken."""
        return any(verdict.kept is False for verdict in self.verdicts)

    def tables(self) -> str:
        """Return lines: by minute, by fault, over all, and the verdicts."""
        return "\n\n".join([self._by_minute(), self._by_fault(), "\n".join(self._over_all()), self._judged()])

    def _by_minute(self) -> str:
        heads = ("minute", "fills", "p50", "p99", "p99 calm", "memory", "files", "journal", "disk", "faults")
        rows = [heads, *(_minute_cells(minute) for minute in self._minutes)]
        return columns(rows, left=(9,))

    def _by_fault(self) -> str:
        rows: list[Sequence[str]] = [("fault", "at", "window", "fills", "slowest", "")]
        for fault in self._outcome.faults:
            within = [s for s in self._fills if fault.began <= s.at <= fault.until]
            slowest = max((sent.seconds for sent in within), default=None)
            window = f"{fault.until - fault.began:.1f} s" if math.isfinite(fault.until) else "never shut"
            cells = (fault.name, _clock(fault.began), window, f"{len(within):,}", milliseconds(slowest))
            rows.append((*cells, MEANINGS[fault.name]))
        return columns(rows, left=(0, 5))

    def _over_all(self) -> Iterable[str]:
        outcome = self._outcome
        told = (
            ("all fills", self._fills),
            ("fills under way in no fault's window (calm)", self._calm),
        )
        for title, fills in told:
            p50, p99 = judging.part(fills, 0.5), judging.part(fills, 0.99)
            yield (
                f"{title}: {len(fills):,}, from the gateway's sending to the renamed and synced file"
                f" p50 {milliseconds(p50)}, p99 {milliseconds(p99)}"
            )
        yield (
            "disk: the longest that one commit and one replaced file of that size took beside the tracker,"
            " tried once a second"
        )
        yield (
            f"{outcome.status.get('reapplied', '?')} updates written again over the neighbour's stale copies;"
            f" the gateway made no fill later than {outcome.late:.2f} s after its turn"
        )

    def _judged(self) -> str:
        rows = [(_WORDS[verdict.kept], verdict.promise, verdict.found) for verdict in self.verdicts]
        lines = columns(rows, left=(0, 1, 2)).splitlines()
        told = []
        for line, verdict in zip(lines, self.verdicts, strict=True):
            told += [line, *(f"    {example}" for example in verdict.examples)]
        return "\n".join(told)

    def as_json(self) -> str:
        """Return everything except the single fills."""
        outcome = self._outcome
        answer: dict[str, Any] = {
            "options": asdict(self._options),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "seconds": outcome.seconds,
            "fills": len(self._fills),
            "p50": judging.part(self._fills, 0.5),
            "p99": judging.part(self._fills, 0.99),
            "calm_fills": len(self._calm),
            "calm_p50": judging.part(self._calm, 0.5),
            "calm_p99": judging.part(self._calm, 0.99),
            "late": outcome.late,
            "missed_events": outcome.missed_events,
            "status": outcome.status,
            "neighbour": outcome.neighbour,
            "minutes": [asdict(minute) for minute in self._minutes],
            "faults": [asdict(fault) for fault in outcome.faults],
            "samples": [sample._asdict() for sample in outcome.samples],
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "broken": self.broken,
        }
        return json.dumps(_finite(answer), indent=2, allow_nan=False)

    def drawing(self) -> str:
        """Return an SVG: memory above, p99 by minute below, the faults' windows behind both."""
        minutes = max(self._outcome.seconds / 60, 1e-9)
        parts = [*self._bands(minutes), *self._memory(minutes), *self._latency(minutes)]
        return svg(_WIDTH, _TOP + 2 * _PANEL + _GAP + 40, parts)

    def _bands(self, minutes: float) -> Iterable[str]:
        bottom = _TOP + 2 * _PANEL + _GAP
        for fault in self._outcome.faults:
            x = _x(fault.began / 60, minutes)
            width = max(_x(min(fault.until / 60, minutes), minutes) - x, 1)
            yield (
                f'<rect x="{x:.1f}" y="{_TOP}" width="{width:.1f}" height="{bottom - _TOP}" fill="#f3ead3"/>'
                f'<text transform="translate({x + 4:.1f} {_TOP - 4}) rotate(-60)" font-size="9"'
                f' fill="#777">{escape(fault.name)}</text>'
            )

    def _memory(self, minutes: float) -> Iterable[str]:
        samples = self._outcome.samples
        most = _round_up(max((sample.memory for sample in samples), default=1.0))
        marks = [(f"{most * part / 4:g}", part / 4) for part in range(5)]
        yield from _axes(_TOP, "resident memory of the tracker, MiB", marks, minutes)
        line = [(s.seconds / 60, s.memory / most) for s in samples if s.seconds <= minutes * 60]
        yield _line(line, _TOP, minutes, _MEMORY)

    def _latency(self, minutes: float) -> Iterable[str]:
        """Draw on a scale of powers of ten, since a fault's window is seconds long."""
        top = _TOP + _PANEL + _GAP
        marks = [(f"{10**power:g}", _height(10**power / 1e3)) for power in range(5)]
        title = "p99 by minute, ms: all fills (red), fills outside of the faults' windows (green)"
        yield from _axes(top, title, marks, minutes)
        for colour, values in (
            (_ALL, [(minute.number, minute.p99) for minute in self._minutes]),
            (_CALM, [(minute.number, minute.calm_p99) for minute in self._minutes]),
        ):
            points = [(min(at - 0.5, minutes), _height(value)) for at, value in values if value is not None]
            yield _line(points, top, minutes, colour)


_WORDS: Final = {True: "kept", False: "BROKEN", None: "not judged"}


def verdicts(outcome: Outcome, count: int, fills: Sequence[Sent]) -> Iterable[Verdict]:
    """Judge every promise; `count` counts all fills, `fills` are those made while the tracker ran."""
    yield from judging.judge_journal(outcome.record, outcome.rows)
    counted = outcome.status.get("stats", {}).get("orders_processed")
    yield Verdict("status counts each fill once", counted == count, f"{counted} of {count}")
    yield judging.judge_alerts(outcome.record, outcome.alerts)
    yield from judging.judge_neighbour(outcome.neighbour)
    yield judging.judge_memory(outcome.samples)
    yield judging.judge_latency(fills, outcome.faults, outcome.seconds)
    ended = f"exit code {outcome.exit_code}"
    yield Verdict("the tracker ran to the end and ended well", outcome.exit_code == 0, ended)


def milliseconds(seconds: float | None) -> str:
    """Return a latency as text for people."""
    if seconds is None:
        return ""
    return f"{number(seconds * 1e3)} ms" if math.isfinite(seconds) else "never"


def _minute_cells(minute: Minute) -> tuple[str, ...]:
    return (
        str(minute.number),
        f"{minute.fills:,}",
        milliseconds(minute.p50),
        milliseconds(minute.p99),
        milliseconds(minute.calm_p99),
        "" if minute.memory is None else f"{minute.memory:.1f} MiB",
        "" if minute.files is None else str(minute.files),
        "" if minute.journal is None else f"{minute.journal:.1f} MiB",
        milliseconds(minute.disk),
        ", ".join(minute.faults),
    )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _finite(value: Any) -> Any:
    """Return the value with null for infinity, which JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def _x(minute: float, minutes: float) -> float:
    return _LEFT + minute / minutes * (_WIDTH - _LEFT - _RIGHT)


def _height(seconds: float) -> float:
    """Return the part of a panel's height that stands for a latency: from 1 ms to 10 s."""
    return min(max(math.log10(max(seconds, 1e-3) * 1e3) / 4, 0.0), 1.0)


def _round_up(value: float) -> float:
    step = 10.0 ** math.floor(math.log10(value))
    return math.ceil(value / step) * step


def _axes(top: int, title: str, marks: Sequence[tuple[str, float]], minutes: float) -> Iterable[str]:
    yield f'<text x="{_LEFT}" y="{top + _PANEL + 34}" fill="#333">{escape(title)}</text>'
    for label, part in marks:
        y = top + _PANEL * (1 - part)
        yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#777">{label}</text>'
    step = max(1, round(minutes / 10))
    for minute in range(0, int(minutes) + 1, step):
        x = _x(minute, minutes)
        label = f"{minute} min" if minute == 0 else str(minute)
        yield f'<text x="{x:.1f}" y="{top + _PANEL + 16}" text-anchor="middle" fill="#777">{label}</text>'


def _line(points: Sequence[tuple[float, float]], top: int, minutes: float, colour: str) -> str:
    path = " ".join(f"{_x(at, minutes):.1f},{top + _PANEL * (1 - part):.1f}" for at, part in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
