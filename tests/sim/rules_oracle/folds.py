"""Fold every account and contract of a life, what moved from one to another included.

Owns the order in which holdings that are moved into each other are folded, and remembers each fold until
something that it is made of changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from tests.sim.rules_oracle.answers import MovedIn
from tests.sim.rules_oracle.entries import Decision
from tests.sim.rules_oracle.facts import ZERO, AccountContract, Fact
from tests.sim.rules_oracle.folded import Arrival, Folded, Given, Lot
from tests.sim.rules_oracle.holdings import Holdings
from tests.sim.rules_oracle.lots import fold
from tests.sim.rules_oracle.names import Reference
from tests.sim.rules_oracle.records import Registry


class Source(Protocol):
    """What is folded."""

    @property
    def facts(self) -> Mapping[str, Fact]: ...

    @property
    def decisions(self) -> Sequence[Decision]: ...

    @property
    def holdings(self) -> Holdings: ...

    @property
    def registry(self) -> Registry: ...

    def reference(self, fact: Fact) -> Reference | None: ...

    def names_alert(self, reference: Reference, number: int, fact: Fact) -> bool: ...


class Folds:
    """Fold what is asked for; everything comes from the source."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._memo: dict[tuple[AccountContract, bool], tuple[object, Folded]] = {}
        """The last fold of each holding, with all that it was made of; any difference folds again."""

    def holdings(self) -> list[AccountContract]:
        keys = dict.fromkeys(fact.order.holding for fact in self._source.facts.values())
        return sorted({*keys, *self._source.holdings.targets()})

    def of(self, holding: AccountContract, *, settled: bool = False) -> Folded:
        """Fold one holding; `settled` leaves out what is unexplained."""
        given = self._given(holding, settled, self._incoming(holding, settled))
        made_of = self._made_of(given)
        known = self._memo.get((holding, settled))
        if known is None or known[0] != made_of:
            known = self._memo[holding, settled] = (made_of, fold(given))
        return known[1]

    def every(self) -> dict[AccountContract, Folded]:
        return {holding: self.of(holding) for holding in self.holdings()}

    def moved_in(self, holding: AccountContract) -> list[MovedIn]:
        """Return what came from other accounts and contracts."""
        return [
            MovedIn(one.time, _sum(one.lots), one.made, one.known_since[0])
            for one in self._incoming(holding, True)
        ]

    def _incoming(self, holding: AccountContract, settled: bool) -> list[Arrival]:
        """Return the lots that are moved in, each as it left its source."""
        return [
            arrival
            for source in self._source.holdings.sources(holding)
            for target, arrival in self.of(source, settled=settled).outgoing
            if target == holding
        ]

    def _made_of(self, given: Given) -> object:
        """Return everything that a fold depends on, to be compared."""
        return (
            given.opening,
            [(fact.key, len(fact.versions)) for fact in given.facts],
            given.decisions,
            given.adjustments,
            given.unsettled,
            [(one.time, one.cause, one.kept, [_words(lot) for lot in one.lots]) for one in given.incoming],
            self._source.registry.readings,
        )

    def _given(self, holding: AccountContract, settled: bool, incoming: list[Arrival]) -> Given:
        source, moved = (
            self._source,
            [MovedIn(one.time, _sum(one.lots), one.made, one.known_since[0]) for one in incoming],
        )
        return Given(
            holding,
            source.holdings.opening(holding, moved).quantity,
            [fact for fact in source.facts.values() if fact.order.holding == holding],
            [decision for decision in source.decisions if decision.holding == holding],
            source.holdings.adjustments(holding),
            None if settled else source.holdings.unsettled(holding),
            incoming,
            source.reference,
            source.names_alert,
        )


def _sum(lots: Sequence[Lot]) -> Decimal:
    return sum((lot.quantity for lot in lots), ZERO)


def _words(lot: Lot) -> object:
    return lot.quantity, lot.price, lot.time, dict(lot.owners)
