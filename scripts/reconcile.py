#!/usr/bin/env python3
"""Compare journal, alerts and broker; `--apply` repairs what needs no guess.

`scripts/reconcile.py [--apply] [--flex FILE] [--json] [--settings PATH] [--section.key VALUE ...]` is
`tracker reconcile`, where that command is not installed. While a tracker runs it does the work; else this
connects to the gateway by itself, with the same check of every outgoing message. Where this Python lacks what
the tracker needs, it makes or finds the project's own environment, as `scripts/demo` does.
"""

from __future__ import annotations

import sys

from in_environment import need

if __name__ == "__main__":
    need(__file__, sys.argv[1:])
    from tracker.cli.main import main

    sys.exit(main(["reconcile", *sys.argv[1:]]))
