#!/usr/bin/env python3
"""Let the tracker run for half an hour of fills and faults, and judge what it lost, held and took.

`scripts/soak.py [--minutes 30] [--rate 50] [--plot FILE.svg] [--json] [--seed N] [--folder F]`. Owns the
command line; the rest is in `soaking`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from soaking.cli import main

if __name__ == "__main__":
    sys.exit(main())
