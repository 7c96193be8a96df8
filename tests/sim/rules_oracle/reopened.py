"""Which alerts opened again, after they were told closed, while their records are gone (rule 1.7)."""

from __future__ import annotations

from collections.abc import Mapping

from tests.sim.rules_oracle.facts import Event, Executed, Fact, PersonDecided, StoreRead, fact_key
from tests.sim.rules_oracle.records import Registry
from tests.sim.rules_oracle.tallies import Tally


class Reopened:
    """Follow which alerts close and open, event by event."""

    def __init__(self, facts: Mapping[str, Fact], registry: Registry) -> None:
        self._facts = facts
        self._registry = registry
        self._closed_before: set[int] = set()
        self.alerts: set[int] = set()

    def note(self, event: Event, tallies: Mapping[int, Tally]) -> None:
        """A told alert that opens again without a new lot, while its record is gone, needs a person."""
        for alert in self._closed_before:
            now = tallies.get(alert)
            if now is None or not now.open:
                self.alerts.discard(alert)
            elif not self._opens_anew(event) and not self._registry.alerts[alert].present:
                self.alerts.add(alert)
        self._closed_before = {
            alert for alert, one in tallies.items() if one.closed_at is not None and not one.open
        } | self.alerts
        self.alerts = {alert for alert in self.alerts if not self._registry.alerts[alert].present}

    def _opens_anew(self, event: Event) -> bool:
        """Return whether an event may open a closed alert: a new lot behind everything, or a decision."""
        if isinstance(event, (PersonDecided, StoreRead)):
            return True
        if not isinstance(event, Executed) or (fact := self._facts.get(fact_key(event))) is None:
            return False
        return len(fact.versions) == 1 and all(
            other.time <= fact.time
            for other in self._facts.values()
            if other.order.holding == fact.order.holding
        )
