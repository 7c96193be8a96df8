"""What a person decided about each order, and took back.

Owns which of these decisions stand. What they do to lots the fold says.
"""

from __future__ import annotations

from tests.sim.rules_oracle.facts import OrderKey, PersonDecided


class Persons:
    """Follow the decisions of a person."""

    def __init__(self) -> None:
        self._standing: dict[OrderKey, list[int]] = {}

    def take(self, order: OrderKey, event: PersonDecided) -> bool:
        """Take in a decision; False for an undo that finds nothing to take back."""
        standing = self._standing.setdefault(order, [])
        if event.action != "undo":
            standing.append(event.number)
        elif event.number in standing:
            standing.remove(event.number)
        elif standing and not event.number:
            standing.pop()
        else:
            return False
        return True

    def decided(self, order: OrderKey) -> bool:
        """Return whether a person assigned, dismissed or undid it: never matched again (rule 1.6)."""
        return order in self._standing

    @property
    def settled(self) -> frozenset[OrderKey]:
        """The orders about which a decision stands: they need no person any longer (rule 1.7)."""
        return frozenset(order for order, standing in self._standing.items() if standing)
