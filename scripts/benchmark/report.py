"""Figures as people read them: a table, JSON, and a drawing in SVG.

Owns the shapes of all three. It measures nothing.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import asdict
from html import escape
from typing import Any, Final

from benchmark.figures import Figure
from benchmark.processes import PROJECT

_HEADS: Final = ("figure", "ours", "baseline", "value", "target", "")


def table(figures: Sequence[Figure]) -> str:
    """Return lines in columns."""
    return columns([_HEADS, *map(_cells, figures)], left=(0, 5))


def columns(rows: Sequence[Sequence[str]], left: Collection[int]) -> str:
    """Return rows of equally many cells as lines; the columns `left` begin, the others end at one place."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def markdown(figures: Sequence[Figure]) -> str:
    """Return the table of BENCH.md, after a line that says what it was measured on."""
    rows = [_HEADS, ("---",) * len(_HEADS), *map(_cells, figures)]
    return "\n".join([conditions(), "", *(f"| {' | '.join(row)} |" for row in rows)])


def conditions() -> str:
    """Return what was measured, and on which machine."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    return (
        f"Commit {described.stdout.strip() or 'unknown'}, {system()}, Python {platform.python_version()},"
        f" {os.cpu_count()} processors; default settings, so log lines from INFO up go to a file."
    )


def system() -> str:
    """Name the operating system and the kind of machine."""
    return f"{platform.system()} {platform.machine()}"


def _cells(figure: Figure) -> tuple[str, ...]:
    return (
        figure.title,
        f"{number(figure.ours)} {figure.unit}",
        f"{number(figure.baseline)} {figure.unit} ({figure.baseline_title})",
        f"{number(figure.value)} {figure.measure}",
        target(figure),
        verdict(figure),
    )


def target(figure: Figure) -> str:
    """Return the target; empty if there is none."""
    if figure.target is None:
        return ""
    return f"{'>=' if figure.at_least else '<='} {figure.target:g} {figure.measure}"


def verdict(figure: Figure) -> str:
    """Return whether the target is met, and by how much."""
    if figure.target is None:
        return "for comparison"
    return f"missed by {figure.missed_by:.0%}" if figure.missed_by else f"met by {figure.spare:.0%}"


def number(value: float) -> str:
    """Return three significant digits, without an exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(2 - math.floor(math.log10(abs(value))), 0) if value else 0}f}"


def as_json(figures: Sequence[Figure], *, quick: bool) -> str:
    """Return the figures with what they were measured on."""
    answer: dict[str, Any] = {
        "quick": quick,
        "python": platform.python_version(),
        "system": system(),
        "conditions": conditions(),
        "figures": [{**asdict(figure), "missed_by": figure.missed_by} for figure in figures],
    }
    return json.dumps(answer, indent=2)


_ROW: Final = 30
_LEFT: Final = 470
_WIDTH: Final = 1000
_TOP: Final = 50
_REACH: Final = 4.0
"""Powers of two that the drawing shows on either side of the target."""


def drawing(figures: Sequence[Figure]) -> str:
    """Return an SVG: a bar for each figure with a target, to the right of the middle where it is met.

    The scale is that of ratios to the target, in powers of two.
    """
    judged = [figure for figure in figures if figure.target is not None]
    height = _TOP + _ROW * len(judged) + 20
    middle = _LEFT + (_WIDTH - _LEFT) / 2
    parts = [f'<text x="{middle}" y="18" text-anchor="middle" fill="#333">the target</text>']
    for power in range(-int(_REACH), int(_REACH) + 1):
        x = middle + power / _REACH * (_WIDTH - _LEFT) / 2 * 0.95
        label = f"{2**power:g} x" if power >= 0 else f"1/{2**-power} x"
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP - 8}" x2="{x:.1f}" y2="{height - 14}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{_TOP - 14}" text-anchor="middle" fill="#777">{label}</text>')
    for place, figure in enumerate(judged):
        parts += _bar(figure, _TOP + _ROW * place, middle)
    parts.append(f'<line x1="{middle}" y1="{_TOP - 8}" x2="{middle}" y2="{height - 14}" stroke="#333"/>')
    return svg(_WIDTH, height, parts)


def svg(width: int, height: int, parts: Sequence[str]) -> str:
    """Return a drawing of these parts on white."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    )
    return "\n".join([*head, *parts, "</svg>"]) + "\n"


def _bar(figure: Figure, y: int, middle: float) -> list[str]:
    assert figure.target is not None, "only judged figures are drawn"
    # A growth may be nothing, or less.
    value = max(figure.value, figure.target / 2**_REACH)
    better = value / figure.target if figure.at_least else figure.target / value
    power = max(-_REACH, min(_REACH, math.log2(better)))
    length = power / _REACH * (_WIDTH - _LEFT) / 2 * 0.95
    x, colour = (middle, "#2a7f4f") if length >= 0 else (middle + length, "#b03a2e")
    said = escape(f"{number(figure.value)} {figure.measure} ({target(figure)})")
    return [
        f'<text x="{_LEFT - 10}" y="{y + 11}" text-anchor="end" fill="#333">{escape(figure.title)}</text>',
        f'<rect x="{x:.1f}" y="{y}" width="{max(abs(length), 1):.1f}" height="16" fill="{colour}"/>',
        f'<text x="{_LEFT - 10}" y="{y + 23}" text-anchor="end" font-size="10" fill="#777">{said}</text>',
    ]
