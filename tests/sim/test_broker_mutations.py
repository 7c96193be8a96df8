"""Lives in which positions change without fills notice a broken rule about that."""

from __future__ import annotations

from typing import Final

from tests.sim.broker_mutations import MUTATIONS
from tests.sim.rule_mutations import catches

SPLIT: Final = 5_000_000_063
"""A life in which shares that an alert owns are split, and a person says so."""


def test_prices_that_a_split_leaves_are_noticed() -> None:
    mutation = next(one for one in MUTATIONS if one.what == "a split leaves prices as they were")
    assert catches(mutation, [SPLIT], 1)[0]
