"""Order what happened in one second: executions, and the places of decisions among them.

Owns the second of rules 1.1 and 1.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from tests.sim.rules_oracle.entries import Place
from tests.sim.rules_oracle.facts import Fact


def in_order(facts: Sequence[Fact], position: Decimal) -> list[Fact]:
    """Order executions of one second: what grows the position first, then by execId."""
    grows = "SLD" if position < 0 else "BOT"
    return sorted(facts, key=lambda fact: (fact.now.side != grows, fact.root))


def behind(place: Place, facts: Sequence[Fact]) -> int:
    """Return how many executions of its second a place comes behind."""
    if place.known is None:
        return len(facts)
    return max((number for number, fact in enumerate(facts, 1) if fact.key in place.known), default=0)
