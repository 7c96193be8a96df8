"""Whole lives of the tracker from one seed each: broker, link, neighbour, crashes; then all must come right.

`python -m tests.sim --seeds 2000` lives many; `python -m tests.sim SEED --trace` tells one.
"""

from __future__ import annotations

import pytest

from tests.sim.mutations import MUTATIONS, mutated
from tests.sim.runs import run_many, run_one
from tests.support.seeds import fresh_seed

FIXED = range(100)
FOUND = (
    150,
    381,
    407,
    506,
    757,
    1382,
    1396,
    1418,
    1450,
    1585,
    1799,
    1867,
    2537,
    3987,
    4683,
    6326,
    6330,
    6344,
    7434,
)
"""Seeds that found a bug, of the tracker or of what was expected of it; each is fixed."""
FRESH = 40
CATCHES = {
    "dedup": (0, 3, 5),
    "outbox": (2, 5, 8),
    "corrections": (25, 54),
    "ownership": (0, 3, 5),
    "reapply": (54, 60, 73),
}
"""Mutation -> seeds of which each notices it."""


@pytest.mark.usefixtures("unmeasured")
def test_fixed_seeds_come_right() -> None:
    """Safety while the faults are on, the broker's truth in every alert when they are off."""
    results = run_many([*FIXED, *FOUND])
    assert [result.report() for result in results if result.failure] == []


@pytest.mark.usefixtures("unmeasured")
def test_fresh_seeds_come_right(capsys: pytest.CaptureFixture[str]) -> None:
    first = fresh_seed(f"{FRESH} simulated lives' first", "SIMULATION_SEED", capsys)
    results = run_many(range(first, first + FRESH))
    assert [result.report() for result in results if result.failure] == []


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_broken_rule_is_noticed(mutation: str) -> None:
    """The simulation is worth something only if it fails where the tracker is wrong."""
    with mutated(mutation):
        assert [seed for seed in CATCHES[mutation] if not run_one(seed).failure] == []
