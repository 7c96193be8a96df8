"""The bench's command line: which rows are measured, and how they are printed.

Owns the flags and the list of rows. A full run ends with 1 when a target is missed; --quick only checks
that everything runs, since its sizes are too small to judge.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from benchmark import filling, report, shared_store, standing
from benchmark.figures import Figure
from benchmark.place import QUICK, Place, Sizes
from benchmark.processes import PROJECT
from benchmark.publish import publish

Row: TypeAlias = Callable[[Place], Iterator[Figure]]

ROWS: Final[dict[str, Row]] = {
    "fills_1": filling.one_fill_per_order,
    "fills_100": filling.many_fills_per_order,
    "latency": filling.latency,
    "latency_large": filling.latency_of_large_files,
    "original": filling.original,
    "abused": filling.abused,
    "paged": filling.paged,
    "matching": standing.matching,
    "burst": filling.burst,
    "restart": standing.restart,
    "sweep": standing.sweep,
    "memory": standing.memory,
    "idle": standing.idle,
    "help": standing.help_text,
    "shared": shared_store.shared,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is asked for; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="bench.py",
        description="Measure the tracker against what a user would have without it.",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, no limits: a smoke run")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="print JSON instead of a table")
    forms.add_argument("--markdown", action="store_true", help="print the table as BENCH.md has it")
    parser.add_argument(
        "--publish",
        action="store_true",
        help="write a whole run into BENCH.md and README as well",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the figures as well")
    parser.add_argument(
        "--only", action="append", choices=ROWS, metavar="ROW", help=f"one of {', '.join(ROWS)}; repeatable"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(),
        help="on whose disk to measure (default: the working directory)",
    )
    arguments = parser.parse_args(argv)
    if arguments.plot is not None and arguments.plot.suffix != ".svg":
        parser.error(f"--plot writes SVG only: name a file that ends in .svg, not {arguments.plot}")
    if arguments.publish and (arguments.quick or arguments.only):
        parser.error("--publish is for a whole run: leave out --quick and --only")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.folder) as folder:
        place = Place(Path(folder).resolve(), QUICK if arguments.quick else Sizes())
        for key in arguments.only or ROWS:
            print(f"measuring {key}", file=sys.stderr, flush=True)
            figures += ROWS[key](place)
    if arguments.json:
        print(report.as_json(figures, quick=arguments.quick))
    else:
        print((report.markdown if arguments.markdown else report.table)(figures))
    if arguments.plot is not None:
        arguments.plot.write_text(report.drawing(figures))
    if arguments.publish:
        publish(figures, PROJECT)
    return int(not arguments.quick and any(figure.missed_by for figure in figures))
