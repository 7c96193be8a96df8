"""What stands among the executions of one account and contract: decisions, adjustments, and their places.

Owns their form only; what they do the fold says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Final

from tests.sim.rules_oracle.facts import AccountContract, OrderKey

BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
Since = tuple[datetime, int]
"""The host's time, and how much had arrived by then."""
FIRST: Final[Since] = (BEGINNING, 0)


@dataclass(frozen=True, slots=True)
class Place:
    """Behind every execution before this second, and behind those of it that are `known` (None: all)."""

    time: datetime
    known: frozenset[str] | None = None


class Kind(Enum):
    PART = "part of the execution"
    CREATION = "at the alert's creation"
    LATE = "late match"
    ASSIGN = "a person assigned it"
    DISMISS = "a person dismissed it"
    UNDO = "a person took the decision back"
    TAKEOVER = "successor"


@dataclass(frozen=True, slots=True)
class Decision:
    """Which alerts an order's lots belong to from a place on, written down once (rule 1.2)."""

    kind: Kind
    at: datetime
    holding: AccountContract
    place: Place
    order: OrderKey | None = None
    rules: Mapping[int, str] = field(default_factory=dict)
    """alert -> rule."""
    fact: str = ""
    """The execution that a PART is part of."""
    closed_at: Mapping[int, datetime] = field(default_factory=dict)
    """alert -> when it was closed, where it was (rule 1.4)."""
    closing: Mapping[int, str] = field(default_factory=dict)
    """alert -> the execution that closed it in this account and contract, where one did."""
    behind: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """alert -> of the order's executions of that second those whose lots were opened behind the close."""
    old: int = -1
    new: int = -1
    """A TAKEOVER's two alerts."""
    instead_of: int = -1
    """The owner of the order that is gone, in place of which a successor gets an execution of it."""
    orders: frozenset[OrderKey | None] = frozenset()
    """The orders of which a TAKEOVER hands lots on: they follow, and no other that is filled late."""
    number: int = 0
    """A person's: its own, of an UNDO that of what it takes back, 0 for the last about the order."""
    present: frozenset[int] = frozenset()
    """Of an UNDO: the alerts whose records are in the store."""
    before: Mapping[int, str] = field(default_factory=dict)
    """Of a person's: who owned the order as it was made, or stood in for who did."""
    made: int = 0
    """Counts what had arrived when it was written down."""

    def renamed(self, old: int, new: int) -> Decision:
        """Return it with another name of the same alert."""

        def now(alert: int) -> int:
            return new if alert == old else alert

        return replace(
            self,
            rules={now(alert): rule for alert, rule in self.rules.items()},
            closed_at={now(alert): time for alert, time in self.closed_at.items()},
            closing={now(alert): root for alert, root in self.closing.items()},
            behind={now(alert): roots for alert, roots in self.behind.items()},
            before={now(alert): rule for alert, rule in self.before.items()},
            old=now(self.old),
            new=now(self.new),
            instead_of=now(self.instead_of),
        )


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A change of what is held that no execution brought: a word on what is held, or a ratio (rule 4.4)."""

    holding: AccountContract
    place: Place
    cause: str
    time: datetime
    held: Decimal | None = None
    ratio: Decimal | None = None
    target: AccountContract | None = None
    inferred: bool = False
    """Seen in two answers, its cause unknown."""
    amount: Decimal = Decimal(0)
    """By how much those differed, where it was inferred."""
    instead: tuple[Adjustment, ...] = ()
    """The inferred ones that a told cause explains, here and where it goes on."""
    made: int = 0
    """Counts what had arrived when it was made."""
    heard: int = 0
    """The same without what a sweep under way had brought: that is held against no balance before its end."""
    known_since: Since = FIRST
    """When the answer that shows it was asked, or it was told: within a second what was known first stands
    first."""


@dataclass(frozen=True, slots=True)
class Unexplained:
    """A difference that waits for a second witness (rule 4.3)."""

    held: Decimal
    difference: Decimal
    """The broker's quantity less ours."""
    place: Place
    time: datetime
    """The broker's time asked for just before."""
    at: datetime
    arrived: int
    """Counts what had arrived by then."""
    vanished: bool
    after_gap: bool
    known_since: Since


@dataclass(frozen=True, slots=True)
class Unsettled:
    """What a certain answer said and we cannot explain yet (rule 4.3)."""

    place: Place
    held: Decimal
    known_since: Since
