"""What one account and contract is folded of, and what comes out: lots, their owners, what moved.

Owns their form only; how they are folded `lots` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from tests.sim.rules_oracle.entries import BEGINNING, FIRST, Adjustment, Decision, Place, Since, Unsettled
from tests.sim.rules_oracle.facts import ZERO, AccountContract, Fact, OrderKey
from tests.sim.rules_oracle.names import Reference
from tests.sim.rules_oracle.tallies import Change


@dataclass(slots=True)
class Lot:
    """What is left of the opening part of one execution."""

    quantity: Decimal
    """Signed."""
    price: Decimal | None
    time: datetime
    index: int
    order: OrderKey | None = None
    reference: Reference | None = None
    owners: dict[int, str] = field(default_factory=dict)
    number: int = -1
    """Its own, among all of its fold."""
    unknown_cause: bool = False
    root: str = ""
    """The execution that opened it; empty where none did."""

    @property
    def age(self) -> tuple[datetime, str, int]:
        """Its order among lots, also those of another contract: in a second by execId (rule 1.1)."""
        return self.time, self.root, self.index


class Kept(NamedTuple):
    """What an alert showed of lots some of which were sold: the average and the beginning go along."""

    average: Decimal | None
    opened_at: datetime | None


class Arrival(NamedTuple):
    """What comes from another account or contract."""

    place: Place
    lots: Sequence[Lot]
    cause: str
    kept: Mapping[int, Kept] = {}
    """Of alerts that had sold a part of it."""
    made: int = 0
    """Counts what had arrived when it was told."""
    known_since: Since = FIRST

    @property
    def time(self) -> datetime:
        return self.place.time


@dataclass(slots=True)
class Folded:
    """The outcome for one account and contract."""

    holding: AccountContract
    opening: Decimal
    lots: list[Lot] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    owners: dict[OrderKey, dict[int, str]] = field(default_factory=dict)
    """Who owns what an order opens next."""
    since: dict[OrderKey, dict[int, datetime]] = field(default_factory=dict)
    """From which execution, or place of a decision, on they own it."""
    placed: dict[OrderKey, set[int]] = field(default_factory=dict)
    """Those of them that own by a decision with a place."""
    took_from_others: list[str] = field(default_factory=list)
    """Executions with a reference that closed lots of alerts it does not name, which is told (rule 3.1)."""
    left_over: Decimal = ZERO
    """What is unsettled and nothing closed yet."""
    counts: bool = False
    """Whether what is unsettled counts for what a fill closes."""
    difference: Decimal | None = None
    """What the broker held more than we, where that is unsettled."""
    outgoing: list[tuple[AccountContract, Arrival]] = field(default_factory=list)

    closes: dict[int, tuple[int, datetime, str]] = field(default_factory=dict)
    """alert -> index, time and execution of the last thing that brought it to zero here."""

    def behind(self, order: OrderKey, closed: Mapping[int, datetime]) -> dict[int, frozenset[str]]:
        """Return of each closed alert which of an order's lots of the second of its close are behind that."""
        lots = [lot for lot in self.lots if lot.order == order and lot.quantity]
        found = {}
        for alert, at in closed.items():
            index, time, _ = self.closes.get(alert, (0, BEGINNING, ""))
            here = [lot.root for lot in lots if lot.time == at == time and lot.index > index]
            found[alert] = frozenset(here)
        return found

    @property
    def position(self) -> Decimal:
        return self.opening + sum((lot.quantity for lot in self.lots), ZERO)

    @property
    def counted(self) -> Decimal:
        """What a fill adds to or takes from: the position with what is unsettled and counts (rule 4.3)."""
        return self.position + self.left_over


@dataclass(slots=True)
class Given:
    """Everything that one fold starts from."""

    holding: AccountContract
    opening: Decimal
    facts: Sequence[Fact]
    decisions: Sequence[Decision] = ()
    adjustments: Sequence[Adjustment] = ()
    unsettled: Unsettled | None = None
    incoming: Sequence[Arrival] = ()
    reference: Callable[[Fact], Reference | None] = lambda fact: None
    names_alert: Callable[[Reference, int, Fact], bool] = lambda reference, alert, fact: False
