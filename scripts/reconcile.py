#!/usr/bin/env python3
"""Compare journal, alerts and broker; `--apply` repairs what needs no guess.

`scripts/reconcile.py [--apply] [--flex FILE] [--json] [--settings PATH] [--section.key VALUE ...]` is
`tracker reconcile`, where that command is not installed. While a tracker runs it does the work; else this
connects to the gateway by itself, with the same check of every outgoing message. Where this Python lacks what
the tracker needs, it makes or finds the project's own environment, as `scripts/demo` does.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
NEEDED = ("ib_insync", "loguru", "msgspec", "pydantic_settings")


def is_equipped() -> bool:
    """Tell whether this Python can run the tracker."""
    return sys.version_info >= (3, 11) and all(find_spec(name) is not None for name in NEEDED)


def run_in_environment() -> None:
    """Replace this process by the same command in the project's environment, made where it is missing."""
    command = 'source "$0" && use_environment && exec "$python" "$@"'
    os.execvp("bash", ["bash", "-c", command, str(SCRIPTS / "environment"), __file__, *sys.argv[1:]])


if __name__ == "__main__":
    if not is_equipped():
        run_in_environment()
    sys.path.insert(0, str(SCRIPTS.parent))
    from tracker.cli.main import main

    sys.exit(main(["reconcile", *sys.argv[1:]]))
