"""What each alert shows: its changes over all accounts and contracts, summed up in the broker's order.

Owns the running average, opened_at and closed_at. Which changes there are the fold says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum

from tests.sim.rules_oracle.facts import ZERO, AccountContract, OrderKey


class Did(Enum):
    OPENED = "opened"
    CLOSED = "closed"
    ADJUSTED = "adjusted"
    MOVED = "moved"
    SCALED = "scaled"


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one alert's part; `quantity` is signed and is what was added."""

    when: datetime
    alert: int
    holding: AccountContract
    did: Did
    quantity: Decimal
    price: Decimal | None
    time: datetime
    """The lot's time of an opening, the closing execution's of a close."""
    cause: str = ""
    rule: str = ""
    order: OrderKey | None = None


@dataclass(slots=True)
class Tally:
    """One alert's running sums over all accounts and contracts."""

    quantities: dict[AccountContract, Decimal] = field(default_factory=dict)
    averaged: Decimal = ZERO
    """The quantity, without sign, that the average speaks of."""
    average: Decimal | None = None
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    closed_by: str | None = None
    rule: str = ""
    order: OrderKey | None = None
    rules: dict[OrderKey, str] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        return any(self.quantities.values())

    def add(self, change: Change) -> None:
        """Add the next change in the broker's order."""
        was_open = self.open
        key = change.holding
        before = self.quantities.get(key, ZERO)
        if change.did is Did.SCALED:
            self.quantities[key] = before * change.quantity
            if self.average is not None:
                # Contracts of one alert that are not scaled keep their part; exact for the one that is alone.
                self.average /= change.quantity
            self.averaged *= change.quantity
            return
        self.quantities[key] = before + change.quantity
        if change.did is Did.OPENED:
            self._opened(change, was_open)
            return
        self.averaged = max(self.averaged - abs(change.quantity), ZERO)
        if was_open and not self.open:
            self.closed_at, self.closed_by = change.time, change.cause or None

    def _opened(self, change: Change, was_open: bool) -> None:
        size = abs(change.quantity)
        if not was_open:
            self.averaged, self.average = ZERO, None
            self.opened_at = change.time
        elif self.opened_at is None or change.time < self.opened_at:
            self.opened_at = change.time
        if change.price is not None:
            if self.average is None or not self.averaged + size:
                self.average = change.price
            else:
                total = self.average * self.averaged + change.price * size
                self.average = total / (self.averaged + size)
        self.averaged += size
        self.closed_at = self.closed_by = None
        if not size and not was_open:
            # A void: it opened nothing, and the alert is closed at once.
            self.closed_at = change.time
        if change.rule and (size or not self.rule):
            self.rule, self.order = change.rule, change.order
            if change.order is not None:
                self.rules[change.order] = change.rule


def average(changes: Sequence[Change], alert: int) -> Decimal | None:
    """Return an alert's average by these changes."""
    tally = Tally()
    for change in changes:
        if change.alert == alert:
            tally.add(change)
    return tally.average


def tally(folds: Sequence[Sequence[Change]]) -> dict[int, Tally]:
    """Sum up every alert over the changes of all folds, in the broker's order."""
    numbered = [
        ((change.when, number, step), change)
        for number, changes in enumerate(folds)
        for step, change in enumerate(changes)
    ]
    tallies: dict[int, Tally] = {}
    for _, change in sorted(numbered, key=lambda each: each[0]):
        tallies.setdefault(change.alert, Tally()).add(change)
    return tallies
