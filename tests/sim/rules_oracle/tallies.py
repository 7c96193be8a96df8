"""What each alert shows: its changes over all accounts and contracts, summed up in the broker's order.

Owns the running average of each account and contract, opened_at and closed_at. Which changes there are the
fold says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import NamedTuple

from tests.sim.rules_oracle.facts import ZERO, AccountContract, OrderKey


class Did(Enum):
    OPENED = "opened"
    CLOSED = "closed"
    ADJUSTED = "adjusted"
    MOVED = "moved"
    LEFT = "went on elsewhere"
    HANDED = "handed to a successor"
    SCALED = "scaled"
    """By a ratio of which the quantity is not yet counted: `RESIZED` has what it makes of each lot."""
    RESIZED = "resized"


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
    lot: int = -1
    """The lot that it is about."""
    reduced: bool = False
    """Of what a successor takes over: whether a part of it had been closed."""
    lot_price: Decimal | None = None
    """Its own, also where a successor takes it over at the average that was shown."""
    lot_time: datetime | None = None
    root: str = ""
    """The execution that it is of, as every version of it is called; of a decision the one that opened the
    lot; empty where it is of none."""


class Close(NamedTuple):
    """When and why all that was held of a contract was closed, and which of an alert's closes that was."""

    number: int
    at: datetime
    by: str | None


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a part had closed, as it was shown."""

    average: Decimal | None
    opened_at: datetime | None
    close: Close


@dataclass(slots=True)
class Part:
    """One alert's running sums of one account and contract; accounts and contracts are not netted."""

    quantity: Decimal = ZERO
    averaged: Decimal = ZERO
    """The quantity, without sign, that the average is about."""
    average: Decimal | None = None
    opened_at: datetime | None = None
    reduced: bool = False
    """Whether anything was closed since it opened; what was only given away leaves nothing to show."""
    earlier: Earlier | None = None
    """What it had closed before it opened again; that is shown once all since is given away."""
    changes: list[Change] = field(default_factory=list)

    def add(self, change: Change) -> None:
        """Add the next change in the broker's order.

        What a decision gives to others is no opening of this alert's any longer, nor a sale: what is left is
        averaged over its own lots.
        """
        self.changes.append(change)
        self._add(change)
        if change.did in (Did.MOVED, Did.HANDED) and self.quantity:
            self._average_lots()

    def _average_lots(self) -> None:
        """Average what is left of each lot at its own price."""
        left: dict[int, Decimal] = {}
        price: dict[int, Decimal | None] = {}
        time: dict[int, datetime] = {}
        for change in self.changes:
            if change.did is Did.SCALED:
                price = {
                    lot: one / change.quantity if one is not None else None for lot, one in price.items()
                }
                continue
            left[change.lot] = left.get(change.lot, ZERO) + change.quantity
            if change.did is Did.OPENED:
                price[change.lot], time[change.lot] = change.lot_price, change.lot_time or change.time
        held = [lot for lot, quantity in left.items() if quantity]
        costs = [(abs(left[lot]), one) for lot in held if (one := price[lot]) is not None]
        self.averaged = sum((size for size, _ in costs), ZERO)
        self.average = sum((size * one for size, one in costs), ZERO) / self.averaged if costs else None
        self.opened_at = min(time[lot] for lot in held)

    def _add(self, change: Change) -> None:
        if change.did is Did.SCALED:
            self.averaged *= change.quantity
            if self.average is not None:
                self.average /= change.quantity
            return
        was_open = bool(self.quantity)
        self.quantity += change.quantity
        if change.did is Did.RESIZED:
            return
        if change.did is Did.OPENED:
            self.reduced = (self.reduced and was_open) or change.reduced
            self._opened(change, was_open)
        else:
            self.reduced = self.reduced or change.did in (Did.CLOSED, Did.ADJUSTED)
            self.averaged = max(self.averaged - abs(change.quantity), ZERO)

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


@dataclass(slots=True)
class Tally:
    """One alert's running sums over all accounts and contracts."""

    parts: dict[AccountContract, Part] = field(default_factory=dict)
    last: AccountContract | None = None
    """What changed last."""
    closed_at: datetime | None = None
    closed_by: str | None = None
    emptied: bool = False
    """Whether all that it had went to another alert, or to none, by a decision."""
    closes: dict[AccountContract, Close] = field(default_factory=dict)
    """What it closed and did not open again: what it shows once all else is given away."""
    closed: int = 0
    """How many closes it had."""
    rule: str = ""
    order: OrderKey | None = None
    rules: dict[OrderKey, str] = field(default_factory=dict)

    @property
    def quantities(self) -> dict[AccountContract, Decimal]:
        return {key: part.quantity for key, part in self.parts.items()}

    @property
    def open(self) -> bool:
        return any(part.quantity for part in self.parts.values())

    @property
    def average(self) -> Decimal | None:
        """What is held cost so much each; once nothing is, what was held last."""
        priced = [part for part in self._live if part.average is not None]
        size = sum((abs(part.quantity) for part in priced), ZERO)
        if not size:
            return priced[-1].average if priced else None
        cost = sum((abs(part.quantity) * (part.average or ZERO) for part in priced), ZERO)
        return cost / size

    @property
    def opened_at(self) -> datetime | None:
        return min((part.opened_at for part in self._live if part.opened_at is not None), default=None)

    @property
    def _live(self) -> list[Part]:
        live = [part for part in self.parts.values() if part.quantity]
        return live or [part for key, part in self.parts.items() if key == self.last]

    def closing(self, holding: AccountContract) -> str:
        """Return the execution of the last close there, empty where nothing was closed."""
        part = self.parts.get(holding, Part())
        return next((one.root for one in reversed(part.changes) if one.did in (Did.CLOSED, Did.ADJUSTED)), "")

    def add(self, change: Change) -> None:
        """Add the next change in the broker's order."""
        if change.did is Did.OPENED and not change.quantity and self.parts:
            # A void changes nothing of what it had.
            return
        was_open = self.open
        self.last = change.holding
        part = self.parts.setdefault(change.holding, Part())
        part_was_open = bool(part.quantity)
        shown = part.average, part.opened_at
        part.add(change)
        if part.quantity and not part_was_open:
            close = self.closes.pop(change.holding, None)
            part.earlier = Earlier(*shown, close) if close is not None else None
        if change.did is Did.OPENED:
            self._opened(change, was_open)
            return
        # What a successor took over was not closed; what went on elsewhere was, unless it comes there.
        closed = change.did is not Did.HANDED and (part.reduced or change.did is Did.LEFT)
        if part_was_open and not part.quantity:
            if closed:
                self.closed += 1
                self.closes[change.holding] = Close(self.closed, change.time, change.cause or None)
            elif part.earlier is not None and change.did is not Did.HANDED:
                # What it got since never was its own, so what it had closed before is what it had there.
                part.average, part.opened_at = part.earlier.average, part.earlier.opened_at
                part.reduced = True
                self.closes[change.holding] = part.earlier.close
        if was_open and not self.open:
            self.emptied = not self.closes
            if self.closes:
                self.last, close = max(self.closes.items(), key=lambda one: one[1].number)
                self.closed_at, self.closed_by = close.at, close.by

    def _opened(self, change: Change, was_open: bool) -> None:
        self.closed_at = self.closed_by = None
        self.emptied = False
        if not change.quantity and not was_open:
            # A void: it never had anything.
            self.emptied = True
        if change.rule and (change.quantity or not self.rule):
            self.rule, self.order = change.rule, change.order
            if change.order is not None:
                self.rules[change.order] = change.rule


def tally_of(changes: Sequence[Change], alert: int) -> Tally:
    """Sum up one alert over the changes of one fold."""
    tally = Tally()
    for change in changes:
        if change.alert == alert:
            tally.add(change)
    return tally


def tally(folds: Sequence[Sequence[Change]]) -> dict[int, Tally]:
    """Sum up every alert over the changes of all folds, in the broker's order.

    Rule 1.1: those of one second, which contracts and accounts have each in their own order, by execId; what
    the broker's word changed there by the last execution before it. What goes on elsewhere leaves before that
    is changed there.
    """
    seconds: dict[int, list[tuple[datetime, bool, str, int, list[Change]]]] = {}
    for number, changes in enumerate(folds):
        by_second: dict[tuple[int, datetime], list[Change]] = {}
        last: dict[int, str] = {}
        last_then: dict[tuple[int, datetime], str] = {}
        before: dict[int, str] = {}
        """Lot -> the last execution of who had it before."""
        for change in changes:
            key = change.alert, change.when
            by_second.setdefault(key, []).append(change)
            if change.did is Did.HANDED:
                before[change.lot] = last.get(change.alert, "")
            elif change.root:
                # A part that a successor takes over comes with what closed the other part of it.
                last[change.alert] = (before.get(change.lot) if change.reduced else "") or change.root
            last_then[key] = last.get(change.alert, "")
        for key, of_second in by_second.items():
            stays = all(one.did is not Did.LEFT for one in of_second)
            seconds.setdefault(key[0], []).append((key[1], stays, last_then[key], number, of_second))
    tallies = {alert: Tally() for alert in seconds}
    for alert, each in seconds.items():
        for *_, of_second in sorted(each, key=lambda one: one[:4]):
            for change in of_second:
                tallies[alert].add(change)
    return tallies
