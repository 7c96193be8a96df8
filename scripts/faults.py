#!/usr/bin/env python3
"""Fail system calls of the running tracker by random plans, and check that no fill is lost or doubled.

`scripts/faults.py [--plans 500] [--seed N]`; needs strace. Owns the command line; the rest is in
`tests.support.fault_plans`.
"""

from __future__ import annotations

import sys

from in_environment import need

if __name__ == "__main__":
    need(__file__, sys.argv[1:], modules=["pytest", "hypothesis"], extras="test")
    from tests.support.fault_plans import main

    sys.exit(main())
