#!/usr/bin/env python3
"""Run the tracker for half an hour of fills and faults, and check what it lost, and its time and memory.

`scripts/soak.py [--minutes 30] [--rate 50] [--plot FILE.svg] [--json] [--seed N] [--folder F]`. Owns the
command line; the rest is in `soaking`.
"""

from __future__ import annotations

import sys

from in_environment import need

if __name__ == "__main__":
    need(__file__, sys.argv[1:], modules=["hypothesis"], extras="test")
    from soaking.cli import main

    sys.exit(main())
