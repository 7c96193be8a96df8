#!/usr/bin/env python3
"""Compare journal, alerts and broker; `--apply` repairs what follows from facts.

`scripts/reconcile.py [--apply] [--json] [--settings PATH] [--section.key VALUE ...]`. While a tracker runs it
is asked; else this connects to the gateway by itself, through the tracker's own gateway package, whose
connection lets no order message out. It is `tracker reconcile` where that command is not installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tracker.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["reconcile", *sys.argv[1:]]))
