"""What all tests share: Hypothesis without a clock, since a loaded machine is no bug, and fixtures."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.alert_bench import Bench
from tests.store_cases import some_records

settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would every process that they
# start to press it there.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not measure coverage in the processes that a test starts, since it doubles what they do.

    For lives that end by SIGKILL, which leave no data, and for many that only repeat what a few in the test's
    own process do.
    """
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    made.put(some_records())
    yield made
    made.disk.failing.clear()
    made.disk.crash_at = -1
    for store in made.stores:
        store.close()
