"""Executions that the broker reports minutes after they have changed the position.

Owns which ones, and when each is reported. It is drawn apart from the rest of the life.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from tests.sim.broker import AccountContract, Event
from tests.sim.clock import SimClock


class LateReports:
    """Hold back what happened; its position is known at once."""

    def __init__(self, rng: Random, clock: SimClock) -> None:
        self._rng = rng
        self._clock = clock
        self._rate = rng.uniform(0.05, 0.3) if rng.random() < 0.5 else 0.0
        self._held: list[tuple[datetime, Event]] = []
        self.contracts: set[AccountContract] = set()
        """Of which an execution was held back."""

    def split(self, event: Event) -> Event:
        """Return what of an event is known at once; the rest is due later."""
        if event.execution is None or self._rng.random() >= self._rate:
            return event
        self.contracts.add((event.execution.account, event.execution.contract.con_id))
        due = self._clock.now() + timedelta(seconds=self._rng.uniform(60, 900))
        self._held.append((due, replace(event, position=None)))
        return Event(position=event.position, foreign=event.foreign)

    def due(self) -> list[Event]:
        """Take what is to be reported by now."""
        now = self._clock.now()
        found = [event for due, event in self._held if due <= now]
        self._held = [each for each in self._held if each[1] not in found]
        return found
