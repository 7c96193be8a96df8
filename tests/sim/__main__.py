"""Run lives: `python -m tests.sim 42 --trace`, `python -m tests.sim --seeds 2000 [--from 10000]`.

With `--mutation NAME` the tracker is broken on purpose; then every failed seed has noticed it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from contextlib import nullcontext
from functools import partial

from tests.sim.mutations import MUTATIONS, break_rule, mutated
from tests.sim.runs import run_many, run_one


def main() -> int:
    """Return 0 if every life came right."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("seed", nargs="*", type=int, help="seeds to live, one after the other")
    parser.add_argument("--trace", action="store_true", help="tell what happens")
    parser.add_argument("--seeds", type=int, default=0, help="so many seeds, in parallel")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first of them")
    parser.add_argument("--mutation", choices=MUTATIONS, help="break this rule of the tracker first")
    options = parser.parse_args()
    with mutated(options.mutation) if options.mutation else nullcontext():
        return 1 if _run(options) else 0


def _run(options: argparse.Namespace) -> int:
    """Live what was asked for; return how many failed."""
    failed = 0
    for seed in options.seed:
        result = run_one(seed, tell=print if options.trace else None)
        print(result.report())
        failed += bool(result.failure)
    if options.seeds:
        began = time.monotonic()
        seeds = range(options.first, options.first + options.seeds)
        # The other processes do not share what is broken in this one.
        prepare = partial(break_rule, options.mutation) if options.mutation else None
        results = run_many(seeds, prepare=prepare)
        failures = [result for result in results if result.failure]
        for result in failures:
            print(result.report(short=True))
        sometimes = sum((Counter(result.sometimes) for result in results), Counter())
        print("; ".join(f"{name} {count}" for name, count in sorted(sometimes.items())))
        seconds = time.monotonic() - began
        print(f"{len(results)} seeds run in {seconds:.0f} s, {len(failures)} failed")
        failed += len(failures)
    return failed


if __name__ == "__main__":
    sys.exit(main())
