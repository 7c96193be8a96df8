"""Faults of the disk under the real daemon: it goes on or ends with 5 and a reason, and no fill is lost."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.fault_plans import STRACE, run_many
from tests.support.seeds import fresh_seed

PLANS = 20


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.skipif(STRACE is None, reason="strace is not installed: apt-get install strace")
def test_random_faults_lose_no_fill(capsys: pytest.CaptureFixture[str]) -> None:
    """Failing calls on journal, alerts, locks, token and log, by plans whose seed repeats them."""
    first = fresh_seed("faults", "FAULTS_SEED", capsys)
    results = asyncio.run(run_many(range(first, first + PLANS)))
    assert [str(result) for result in results if result.wrong] == []
    assert sum(result.struck for result in results) >= PLANS // 4
