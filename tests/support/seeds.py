"""Draw the seed of a test that is another one each time, and say it where it can be read."""

from __future__ import annotations

import os
import sys

import pytest


def fresh_seed(what: str, variable: str, capsys: pytest.CaptureFixture[str]) -> int:
    """Return a new seed, or the one that an environment variable gives.

    It is printed for the report of a failure, and said at once for a test that never ends: on standard error,
    since what a test process beside others writes to its standard output is shown nowhere.
    """
    seed = int(os.environ.get(variable) or int.from_bytes(os.urandom(4)))
    line = f"{what} seed {seed} ({variable}={seed} repeats it)"
    print(line)
    with capsys.disabled():
        print(f"\n{line}", file=sys.stderr, flush=True)
    return seed
