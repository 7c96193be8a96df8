"""Write a whole run into the documents: BENCH.md's table, its drawing, README's ratios.

Owns the place of each. It measures nothing, and changes nothing else in those documents.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmark import report
from benchmark.figures import Figure

_TABLE: Final = re.compile(r"(?<=<!-- measured: bench.py --publish -->\n).*?(?=\n<!-- end -->)", re.DOTALL)
_RATIOS: Final = re.compile(r"^Speed, against bare ib_insync: .*?(?=\n\n)", re.DOTALL | re.MULTILINE)
_WIDTH: Final = 120


def publish(figures: Sequence[Figure], project: Path) -> None:
    """Write the figures of a whole run; raises ValueError where a document lacks their place."""
    folder = project / "scripts" / "benchmark"
    _replace(folder / "BENCH.md", _TABLE, f"\n{report.markdown(figures)}\n")
    _replace(project / "README.md", _RATIOS, textwrap.fill(_ratios(figures), _WIDTH))
    (folder / "figures.svg").write_text(report.drawing(figures))


def _ratios(figures: Sequence[Figure]) -> str:
    values = {figure.key: figure.value for figure in figures}

    def between(*keys: str) -> str:
        told = sorted({report.number(values[key]) for key in keys}, key=float)
        return " to ".join(dict.fromkeys((told[0], told[-1])))

    single, many = between("fills_1", "fills_1_hot"), between("fills_100", "fills_100_hot")
    return (
        f"Speed, against bare ib_insync: {single} times its fills per second with one fill per order, {many}"
        f" times with 100. A single fill takes {between('latency_p50')} times as long as one commit and one"
        " replaced file. [The report](scripts/benchmark/BENCH.md) has the rest:"
    )


def _replace(path: Path, place: re.Pattern[str], text: str) -> None:
    old = path.read_text()
    new, count = place.subn(lambda found: text, old)
    if count != 1:
        raise ValueError(f"{path} has {count} places for what was measured, not one; restore it from git")
    path.write_text(new)
