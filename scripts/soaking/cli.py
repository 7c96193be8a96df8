"""The soak's command line: how long, how fast, and how the result is printed.

Owns the flags and the exit code: 0 where every promise that the run was long enough to judge was kept, 1
where one was broken. What a broken run left behind is kept and named.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from soaking import showing
from soaking.running import Options, soak


def _above_zero(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Run a soak, and print the result; returns the exit code."""
    default = Options()
    parser = argparse.ArgumentParser(
        prog="soak.py",
        description="Run the tracker with fills and faults for long; check for losses, time and memory.",
    )

    def number(name: str, value: float, what: str, kind: Callable[[str], float] = _above_zero) -> None:
        parser.add_argument(name, type=kind, default=value, metavar="N", help=f"{what} (default: {value:g})")

    number("--minutes", default.minutes, "how long fills are made")
    number("--rate", default.rate, "fills a second")
    number("--fault-every", default.fault_every, "seconds from one fault to the next")
    number("--sweep-seconds", default.sweep_seconds, "the tracker's gateway.sweep_seconds")
    number("--earlier", default.earlier, "fills of the day before the tracker starts", int)
    number("--seed", default.seed, "the seed of the random trades and writes", int)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw memory and latency as well")
    parser.add_argument(
        "--folder", type=Path, default=Path(), help="on whose disk to run (default: the working directory)"
    )
    given = parser.parse_args(argv)
    if given.plot is not None and given.plot.suffix != ".svg":
        parser.error(f"--plot writes SVG only: name a file that ends in .svg, not {given.plot}")
    options = Options(
        given.minutes, given.rate, given.seed, given.fault_every, given.sweep_seconds, given.earlier
    )
    given.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=given.folder)).resolve()
    kept = True
    try:
        told = showing.Told(soak(options, folder, _tell), options)
        kept = told.broken
    finally:
        if kept:
            print(f"stores, journal and logs are kept in {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder)
    print(told.as_json() if given.json else told.tables())
    if given.plot is not None:
        given.plot.write_text(told.drawing())
    return int(told.broken)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
