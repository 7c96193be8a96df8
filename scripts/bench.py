#!/usr/bin/env python3
"""Measure the tracker side by side with what a user would have otherwise, as ratios within one run.

`scripts/bench.py [--quick] [--json] [--plot FILE.svg] [--publish] [--only ROW]`. Owns the command line; the
measurements are in `benchmark`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark.cli import main

if __name__ == "__main__":
    sys.exit(main())
