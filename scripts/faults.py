#!/usr/bin/env python3
"""Fail system calls of the running tracker by random plans, and check that no fill is lost or doubled.

`scripts/faults.py [--plans 500] [--seed N]`; needs strace. Owns the command line; the rest is in
`tests.support.fault_plans`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.fault_plans import main

if __name__ == "__main__":
    sys.exit(main())
