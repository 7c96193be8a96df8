"""Fold the entries of one contract into what is held, in which lots, and who owns them.

Owns the order of the entries, as a pure function of an opening balance and the entries; `lot_changes` owns
what each entry does to lots. It reads no state.

- An execution against the sign of what is held closes, as far as there is something to close; the rest opens.
- An expiration takes all that is held; an adjustment sets it to what the broker listed, see `adjusting`.
- A decision gives owners to what is left of an order's lots, or gives an alert's lots to its successor.
- A successor that is the same alert by another name has all that it had under the old one, from the start.

Order: by the second of the broker's time. Within a second executions that enlarge the position come first
(when flat: purchases), then by execId without its version. A decision comes after the last execution of its
second that was known when it was made; executions of that second that become known later keep their order,
before or after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple, TypeAlias

from msgspec.structs import replace

from tracker.core.adjusting import adjust
from tracker.core.adjustment_rows import Adjustment
from tracker.core.lot_changes import LotChanges, Movement, NameOf, second_of
from tracker.core.model import ZERO, AlertId, Moment
from tracker.core.ownership_rows import OwnershipDecision
from tracker.core.state_rows import Attention, BookedExecution, Holding, attention_of

_Decided: TypeAlias = tuple[int, OwnershipDecision | Adjustment]
"""The number of a decision among those folded; of an adjustment -1."""
OnEntry: TypeAlias = Callable[[Movement | OwnershipDecision | Adjustment, Holding, Holding], None]


@dataclass(slots=True)
class Split:
    """Hold how an execution was split, and the alerts that it touched.

    A decision adds the alerts that it gives the lot to.
    """

    opening: Decimal
    closing: Decimal
    touched: tuple[AlertId, ...]
    foreign: tuple[AlertId, ...] = ()
    """Alerts whose lots were taken although the order's reference names another."""
    of_alerts: Decimal = ZERO
    """How much of the closing part, unsigned, was taken from lots with an owner."""


def split_as(booked: BookedExecution, split: Split) -> BookedExecution:
    """Return an execution with its split, which `why` shows, and whether it needs a person."""
    attention = booked.attention
    if attention is not Attention.REOPENED:
        attention = attention_of(booked.match) if split.opening else Attention.NONE
    return replace(
        booked,
        folded=True,
        opening=split.opening,
        closing=split.closing,
        owners=split.touched,
        foreign=split.foreign,
        of_alerts=split.of_alerts,
        attention=attention,
    )


class PlaceInSecond(NamedTuple):
    """Order the executions of one second."""

    shrinks: bool
    root: str
    seq: int


@dataclass(slots=True)
class Folded:
    """Hold the result of a fold."""

    holding: Holding
    splits: dict[str, Split] = field(default_factory=dict)
    """execId -> how it was split."""
    touched: dict[AlertId, None] = field(default_factory=dict)
    """Every alert that an entry touched, decisions included."""
    given: dict[int, Mapping[str, Decimal]] = field(default_factory=dict)
    """Number of a decision among those folded -> execId and quantity of each lot that it gave."""
    moved: list[tuple[Adjustment, Holding]] = field(default_factory=list)
    """Each adjustment that moves everything into another contract or account, with the holding before it."""


def place_in_second(movement: Movement, growing: int) -> PlaceInSecond:
    """Return a movement's place in its second; `growing` is the sign that enlarges the position."""
    grows = (movement.signed > 0) == (growing > 0)
    return PlaceInSecond(not grows, movement.root or movement.exec_id, movement.moment.seq)


def growing_sign(held: Decimal) -> int:
    """Return the sign that enlarges a position; for a flat one that of purchases."""
    return -1 if held < 0 else 1


def at_opening_balance(holding: Holding) -> Holding:
    """Return the holding before the first entry."""
    return replace(
        holding,
        held=holding.base,
        lots=(),
        alerts=(),
        last=None,
        expired=False,
        tail="",
        in_lots=ZERO,
        pending=ZERO,
        has_surplus=False,
        newest=None,
        by_execution=True,
    )


def fold(
    start: Holding,
    movements: Iterable[Movement],
    decisions: Iterable[OwnershipDecision] = (),
    name_of: NameOf = lambda alert: alert.name,
    adjustments: Iterable[Adjustment] = (),
    on_entry: OnEntry | None = None,
) -> Folded:
    """Fold entries, given in any order, onto the holding before all of them.

    `on_entry` is called with each entry and the holding before and after it.
    """
    folded = Folded(start)
    decisions = list(decisions)
    if renames := [one for one in decisions if one.whole]:
        # It is the same alert, so what it had under its former name is its own from the start.
        movements = [_renamed_movement(movement, renames) for movement in movements]
        decisions = [_renamed_decision(decision, renames) for decision in decisions]
    numbered: list[_Decided] = [*enumerate(decisions), *((-1, one) for one in adjustments)]
    entries: list[tuple[datetime, Movement | _Decided]] = [
        *((movement.second, movement) for movement in movements),
        *((second_of(one.place.time), (number, one)) for number, one in numbered),
    ]
    entries.sort(key=lambda entry: entry[0])
    for _, group in groupby(entries, key=lambda entry: entry[0]):
        of_second = [entry for _, entry in group]
        movements = [entry for entry in of_second if isinstance(entry, Movement)]
        decided = [entry for entry in of_second if not isinstance(entry, Movement)]
        _fold_second(folded, movements, decided, name_of, on_entry)
    return folded


def _now_called(alert: AlertId, seq: int, renames: Sequence[OwnershipDecision]) -> AlertId:
    """Return the present name of an alert that the frame `seq` named."""
    for rename in renames:
        if rename.seq >= seq and alert == rename.taken_from:
            alert = rename.alerts[0].alert
    return alert


def _renamed_movement(movement: Movement, renames: Sequence[OwnershipDecision]) -> Movement:
    owners = (_now_called(owner, movement.moment.seq, renames) for owner in movement.owners)
    return replace(movement, owners=tuple(dict.fromkeys(owners)))


def _renamed_decision(decision: OwnershipDecision, renames: Sequence[OwnershipDecision]) -> OwnershipDecision:
    alerts = {_now_called(one.alert, decision.seq, renames): one for one in decision.alerts}
    old = decision.taken_from
    return replace(
        decision,
        alerts=tuple(replace(one, alert=alert) for alert, one in alerts.items()),
        taken_from=None if old is None else _now_called(old, decision.seq, renames),
    )


def _fold_second(
    folded: Folded,
    movements: Sequence[Movement],
    decided: Sequence[_Decided],
    name_of: NameOf,
    on_entry: OnEntry | None,
) -> None:
    """Fold the movements of one second in their order, each decision after the last one known to it."""
    growing = growing_sign(folded.holding.held)
    ordered = sorted(movements, key=lambda each: (bool(each.expired), place_in_second(each, growing)))

    def stand(numbered: _Decided) -> tuple[int, int, bool, int]:
        number, one = numbered
        known = (at for at, each in enumerate(ordered, 1) if each.moment.seq <= one.place.seq)
        if isinstance(one, Adjustment):
            # What an answer lists of a contract contains what came into it by then.
            return max(known, default=0), one.place.seq, not one.came_from, number
        return max(known, default=0), one.seq, False, number

    waiting = deque(sorted(((stand(each), each) for each in decided), key=lambda each: each[0]))
    for at in range(len(ordered) + 1):
        while waiting and waiting[0][0][0] <= at:
            _, (number, one) = waiting.popleft()
            before = folded.holding
            if isinstance(one, Adjustment):
                apply_adjustment(folded, one)
            else:
                apply_decision(folded, number, one)
            if on_entry is not None:
                on_entry(one, before, folded.holding)
        if at < len(ordered):
            before = folded.holding
            step(folded, ordered[at], name_of)
            if on_entry is not None:
                on_entry(ordered[at], before, folded.holding)


def step(folded: Folded, movement: Movement, name_of: NameOf) -> None:
    """Add one movement that is later than all folded so far."""
    holding = folded.holding
    signed = -holding.held if movement.expired else movement.signed
    closing = _toward_zero(holding.held, signed)
    opening = signed - closing
    parts = LotChanges(holding, movement.moment)
    foreign: tuple[AlertId, ...] = ()
    if closing:
        foreign = parts.close(abs(closing), movement, name_of)
    if opening:
        parts.open(opening, movement)
    held = holding.held + signed
    assert parts.in_lots <= abs(held), f"more in lots ({parts.in_lots}) than held ({held})"
    folded.holding = replace(
        holding,
        held=held,
        lots=parts.lots,
        alerts=tuple(parts.alerts.values()),
        last=movement.moment,
        expired=bool(movement.expired),
        tail=_tail(holding, movement),
        in_lots=parts.in_lots,
        newest=holding.newest if movement.expired else _newer(holding.newest, movement.second),
    )
    folded.splits[movement.exec_id] = Split(opening, closing, tuple(parts.touched), foreign, parts.of_alerts)
    folded.touched.update(parts.touched)


def apply_adjustment(folded: Folded, one: Adjustment) -> None:
    """Set the holding to what the broker listed, or move it into another contract or account."""
    if one.into:
        folded.moved.append((one, folded.holding))
    tail = _tail_behind(folded.holding, one.place)
    adjusted, touched = adjust(folded.holding, one)
    if adjusted is folded.holding:
        return
    folded.holding = replace(adjusted, tail=tail)
    folded.touched.update(dict.fromkeys(touched))


def apply_decision(folded: Folded, number: int, decision: OwnershipDecision) -> None:
    """Give owners to what is left of the lots that a decision is about."""
    if decision.in_vain or decision.whole:
        # The same alert by another name is no change of lots; see `fold`.
        folded.given[number] = {}
        return
    parts = LotChanges(folded.holding, decision.place)
    given = parts.decide(decision)
    folded.holding = replace(
        folded.holding,
        lots=parts.lots,
        alerts=tuple(parts.alerts.values()),
        last=decision.place,
        tail=_tail_behind(folded.holding, decision.place),
    )
    folded.given[number] = given
    folded.touched.update(parts.touched)
    for exec_id in given:
        split = folded.splits.get(exec_id)
        if split is not None:
            split.touched = tuple(dict.fromkeys((*split.touched, *parts.gained)))


def _tail(before: Holding, movement: Movement) -> str:
    """Return a note of the movement's place in its second, for those that follow: the growing sign first."""
    if movement.expired:
        return ""
    same = before.last is not None and second_of(before.last.time) == movement.second
    growing = (-1 if before.tail[0] == "-" else 1) if same and before.tail else growing_sign(before.held)
    place = place_in_second(movement, growing)
    return f"{'-' if growing < 0 else '+'}{int(place.shrinks)}{place.root}"


def _tail_behind(before: Holding, place: Moment) -> str:
    """Return the note after a decision at a place, which changes nothing for movements of its second."""
    same = before.last is not None and second_of(before.last.time) == second_of(place.time)
    return before.tail if same else ""


def _newer(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else max(one, other)


def stands_behind(movement: Movement, holding: Holding) -> bool:
    """Return whether a movement comes after all that was folded, so that it is one step."""
    if holding.last is None:
        return True
    last = second_of(holding.last.time)
    if movement.second != last:
        return movement.second > last
    if movement.moment.seq < holding.last.seq:
        # It waited for its sweep when a decision was made whose place is in its second.
        return False
    if not holding.tail:
        # A decision alone, or folded by an older version: what is newer than its frame comes after it.
        return movement.moment.seq > holding.last.seq
    growing = -1 if holding.tail[0] == "-" else 1
    place = place_in_second(movement, growing)
    return (int(place.shrinks), place.root) >= (int(holding.tail[1]), holding.tail[2:])


def _toward_zero(held: Decimal, signed: Decimal) -> Decimal:
    if held == 0 or (held > 0) == (signed > 0):
        return ZERO
    return min(abs(held), abs(signed)).copy_sign(signed)
