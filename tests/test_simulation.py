"""Whole lives of the tracker from one seed each: broker, link, neighbour, crashes; then all must come right.

`python -m tests.sim --seeds 2000` lives many; `python -m tests.sim SEED --trace` tells one.
"""

from __future__ import annotations

import pytest

from tests.sim.mutations import MUTATIONS, mutated
from tests.sim.runs import run_many, run_one

FIXED = range(120)
FOUND = (506, 1382, 1396)
"""Seeds that found a bug of the tracker, each fixed since."""


def test_fixed_seeds_come_right(capsys: pytest.CaptureFixture[str]) -> None:
    """Safety while the faults are on, the broker's truth in every alert when they are off."""
    results = run_many([*FIXED, *FOUND])
    with capsys.disabled():
        print(f"\n{len(results)} simulated lives")
    assert [result.report() for result in results if result.failure] == []


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_broken_rule_is_noticed(mutation: str) -> None:
    """The simulation is worth something only if it fails where the tracker is wrong."""
    with mutated(mutation):
        assert any(run_one(seed).failure for seed in (0, 3, 8, 11, 2))
