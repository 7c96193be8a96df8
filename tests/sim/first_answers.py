"""What the answers about positions list when a connection is new: old values, one too few, or nothing at all.

Owns the fate of each connection's first answers. It is drawn apart from the rest of the life.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from random import Random

from tests.sim.broker import AccountContract
from tests.sim.clock import SimClock

Positions = dict[AccountContract, Decimal]


class FirstAnswers:
    """Change what is listed, for some seconds from each connection's begin."""

    def __init__(self, rng: Random, clock: SimClock) -> None:
        self._rng = rng
        self._clock = clock
        self._chances = {
            kind: rng.uniform(0.2, 0.8) if rng.random() < 0.5 else 0.0
            for kind in ("old", "one too few", "nothing")
        }
        self._restarts = rng.uniform(0.2, 0.8)
        self._kind = ""
        self._until = clock.now()
        self._before: Positions = {}
        self._lacks: AccountContract | None = None

    def disconnected(self, positions: Positions) -> None:
        """Remember what was held by then."""
        self._before = dict(positions)

    def connected(self, positions: Positions) -> None:
        """Draw what this connection is like; a restarted gateway lists no zeros any more."""
        rng = self._rng
        self._kind = next((kind for kind, chance in self._chances.items() if rng.random() < chance), "")
        self._until = self._clock.now() + timedelta(seconds=rng.uniform(1, 40))
        self._lacks = rng.choice(sorted(positions)) if positions else None
        if rng.random() < self._restarts:
            for key in [key for key, quantity in positions.items() if not quantity]:
                del positions[key]

    def listed(self, positions: Positions) -> Positions:
        """Return what an answer lists now."""
        if self._clock.now() >= self._until:
            return positions
        if self._kind == "old":
            return self._before
        if self._kind == "nothing":
            return {}
        lacks = self._lacks if self._kind == "one too few" else None
        return {key: quantity for key, quantity in positions.items() if key != lacks}
