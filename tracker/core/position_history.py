"""Find what was held of a contract at a moment of its past, and whether a report's change fits there.

Owns the arithmetic of one contract's entries, without lots and owners. It changes no state.

A broker's report gives the time and size of a position's change, so the change can be compared with what was
held then: a split must bring just as much as its ratio makes of the holding. A change that does not fit is
not used. An opening balance that was taken from an answer after the change contains the change, which must be
taken off.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Final, NamedTuple

from tracker.core.adjustment_rows import Adjustment
from tracker.core.lot_changes import second_of
from tracker.core.model import ZERO, Moment
from tracker.core.scaling import changed, scaled, unscaled
from tracker.core.state import ADJUSTMENTS, ANSWERS, DEPARTURES, EXECUTIONS, HOLDINGS, LedgerState
from tracker.core.untraded import held_before, listed_first, on_side_of

_EVER: Final = datetime.max.replace(tzinfo=UTC)
_ROUNDED: Final = Decimal("0.0001")
"""The last digit of quantities in the broker's reports."""
_NOT_JOURNALLED: Final = 2**63 - 1
"""The number after every frame."""


class _Effect(Enum):
    ADDS = "adds"
    SCALES = "scales"
    SETS = "sets"
    CHANGES = "changes"
    """Adds, but never to the other side of zero."""


class _Step(NamedTuple):
    at: datetime
    seq: int
    """The frame that brought it: entries of one second are in the order of their frames."""
    order: int
    effect: _Effect
    value: Decimal


class Fit(NamedTuple):
    """Hold how a change fits: what was held just before it, and the opening balance that this implies."""

    before: Decimal
    base: Decimal


class PositionHistory:
    """Hold the entries of one contract, `key` as `ContractKey.text`, except the adjustments `without`.

    Entries that are not in the state can be added, to compare them before they are journalled.
    """

    def __init__(self, state: LedgerState, key: str, *, without: Collection[Adjustment] = ()) -> None:
        holding = state.get(HOLDINGS, key)
        self.is_known = holding is not None
        """Whether the contract was ever traded, or anything was moved into it."""
        self._base = ZERO if holding is None else holding.base
        # An answer that does not list the contract says nothing about what was held before.
        self._asked = None if holding is None or holding.listed is None else holding.asked
        self.key, self._answers = key, state.get(ANSWERS, key.partition(" ")[0])
        if holding is None:
            self._begin_with_answer()
        rows = [row for row in state.find(EXECUTIONS, "contract", key) if row.counted]
        self._steps = [
            _Step(second_of(row.moment.time), row.moment.seq, 0, _Effect.ADDS, row.execution.signed)
            for row in rows
        ]
        self._is_traded = bool(rows)
        last = max((row.moment for row in rows), default=None)
        for gone in state.find(DEPARTURES, "contract", key):
            if last is None or gone.moment > last:
                at, seq = second_of(gone.moment.time), gone.moment.seq
                self._steps.append(_Step(at, seq, 1, _Effect.SETS, ZERO))
        for one in sorted(state.find(ADJUSTMENTS, "contract", key), key=lambda one: one.seq):
            if not one.undone and one not in without:
                self._steps += _steps_of(one)
        self._steps.sort(key=_in_order)

    def _begin_with_answer(self) -> None:
        """Begin with the newest certain answer's quantity of a contract that was never traded."""
        newest = None if self._answers is None else self._answers.newest
        listed = None if newest is None else newest.rows.get(self.key)
        if newest is not None and listed is not None:
            self._base, self._asked = listed, newest.asked

    def traded(self, at: datetime, signed: Decimal) -> None:
        """Add an execution, or one that voids it."""
        self.is_known = self._is_traded = True
        if self.is_answered_behind(at):
            self._base -= signed
        self._step(at, 0, _Effect.ADDS, signed)

    def changed(
        self,
        at: datetime,
        *,
        held: Decimal | None = None,
        ratio: Decimal | None = None,
        by: Decimal | None = None,
    ) -> None:
        """Add a change of the position."""
        if by is not None:
            self._step(at, 1, _Effect.CHANGES, by)
        if ratio is not None:
            self._step(at, 1, _Effect.SCALES, ratio)
        if held is not None:
            self._step(at, 1, _Effect.SETS, held)

    def came(self, at: datetime, quantity: Decimal) -> None:
        """Add a quantity that is moved in from another contract."""
        if self.is_known:
            self._base = self.base_without(at, quantity)
        else:
            before = held_before(self._answers, self.key, lambda asked: asked.time >= at)
            first = listed_first(self._answers, self.key)
            self._base = on_side_of(first - quantity, first) if before is None else before
        self.is_known = True
        self._step(at, 1, _Effect.ADDS, quantity)

    def _step(self, at: datetime, order: int, effect: _Effect, value: Decimal) -> None:
        self._steps.append(_Step(second_of(at), _NOT_JOURNALLED, order, effect, value))
        self._steps.sort(key=_in_order)

    def base_without(self, at: datetime, quantity: Decimal) -> Decimal:
        """Return the opening balance if a quantity came at a moment; an answer after that contains it.

        What was only ever moved in began with what was listed before its first move.
        """
        contained = self.is_answered_behind(at)
        if not self._is_traded and not self._until(Moment(at, _NOT_JOURNALLED)):
            before = held_before(self._answers, self.key, lambda asked: asked.time >= at, self._base)
            if before is not None:
                return before
            contained = True
        return on_side_of(self._base - quantity if contained else self._base, self._base)

    def begins_with(self, base: Decimal) -> None:
        """Set another opening balance."""
        self._base = base

    def is_answered_behind(self, at: datetime) -> bool:
        """Return whether the opening balance is from an answer that contains a change of that moment."""
        return self._asked is not None and second_of(self._asked.time) >= second_of(at)

    def is_listed_behind(self, at: datetime) -> bool:
        """Return whether the account's newest certain answer contains a change of that moment."""
        newest = None if self._answers is None else self._answers.newest
        return newest is not None and second_of(newest.asked.time) >= second_of(at)

    def begins_before(self, place: Moment) -> bool:
        """Return whether there is any entry up to a place."""
        return bool(self._until(place))

    def base_with(self, more: Decimal) -> Decimal:
        """Return the opening balance with which so much more would be held after all entries."""
        return self._base_for(_EVER, more)

    def base_that_holds(self, held: Decimal) -> Decimal:
        """Return the opening balance with which so much is held after all entries, if no change is cut short
        at zero: it was only with another balance.
        """
        return self._base_for(_EVER, held - self._after(self._steps, _Effect.ADDS))

    def held_now(self) -> Decimal:
        """Return what is held after all entries."""
        return self.held_at(_EVER)

    def held_at(self, at: datetime) -> Decimal:
        """Return what was held after all entries up to a second."""
        return self.held_behind(Moment(at, _NOT_JOURNALLED))

    def held_behind(self, place: Moment) -> Decimal:
        """Return what was held after all entries up to a place."""
        return self._after(self._until(place), _Effect.CHANGES)

    def _after(self, steps: Iterable[_Step], changes: _Effect) -> Decimal:
        """Return what is held after some entries; `changes` is the effect of what changes a quantity."""
        held = self._base
        for step in steps:
            effect = changes if step.effect is _Effect.CHANGES else step.effect
            if effect is _Effect.ADDS:
                held += step.value
            elif effect is _Effect.SCALES:
                held = scaled(held, step.value)
            elif effect is _Effect.CHANGES:
                held = changed(held, step.value)
            else:
                held = step.value
        return held

    def fit(
        self, at: datetime, amount: Decimal, *, ratio: Decimal | None = None, leaves: bool = False
    ) -> Fit | None:
        """Return how a change by `amount` fits, None if it does not.

        With `leaves` the whole position is moved elsewhere. A change without a known ratio fits if the
        position keeps its side.
        """
        held, contained = self.held_at(at), self.is_answered_behind(at)
        before = held
        if contained:
            before = -amount + held if leaves or ratio is None else unscaled(held, ratio)
        if leaves:
            fits = before == -amount
        elif ratio is not None:
            fits = abs(scaled(before, ratio) - before - amount) < _ROUNDED
        else:
            fits = before * (before + amount) >= 0
        return Fit(before, self._base_for(at, before - held)) if fits else None

    def _base_for(self, at: datetime, more: Decimal) -> Decimal:
        """Return the opening balance with which so much more was held at a moment."""
        for step in reversed(self._until(Moment(at, _NOT_JOURNALLED))):
            if step.effect is _Effect.SETS:
                return self._base
            if step.effect is _Effect.SCALES:
                more = unscaled(more, step.value)
        return self._base + more

    def _until(self, place: Moment) -> list[_Step]:
        last = second_of(place.time), place.seq
        return [step for step in self._steps if (step.at, step.seq) <= last]


def _in_order(step: _Step) -> tuple[datetime, int, int]:
    return step.at, step.seq, step.order


def _steps_of(one: Adjustment) -> list[_Step]:
    at, seq, found = second_of(one.place.time), one.place.seq, []
    if one.came_from:
        # What an answer lists contains what came by then.
        found.append(_Step(at, seq, 0, _Effect.ADDS, scaled(one.moved, one.ratio or Decimal(1))))
    elif one.ratio is not None:
        found.append(_Step(at, seq, 1, _Effect.SCALES, one.ratio))
    if one.held is not None:
        found.append(_Step(at, seq, 1, _Effect.SETS, one.held))
    elif one.change is not None:
        found.append(_Step(at, seq, 1, _Effect.CHANGES, one.change))
    return found
