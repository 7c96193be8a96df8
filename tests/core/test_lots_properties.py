"""What holds of every fold: arrival does not matter, and a decision does not reach back."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.facts import ACCOUNT, NVDA, START
from tracker.core.lot_changes import Movement
from tracker.core.lot_rows import Lot
from tracker.core.lots import fold
from tracker.core.model import AlertId, Moment
from tracker.core.ownership_rows import Decided, OwnershipDecision, OwnershipKind
from tracker.core.state_rows import AlertPosition, Baseline, Holding

ALERTS = [AlertId(name, "NVDA", "2025-11-18T15:42:00", 700100200) for name in ("one", "two", "three")]
EXAMPLES = settings(max_examples=150, deadline=None)
MADE_AT = 1_000
"""Frames of decisions come after those of all executions that they know."""


def start(base: int) -> Holding:
    return Holding(ACCOUNT, NVDA, Decimal(base), Decimal(base), Baseline.SNAPSHOT, by_execution=True)


@st.composite
def movements(draw: st.DrawFn) -> list[Movement]:
    """Draw fills of a few seconds, several of them in the same one, each with a frame of its own."""
    drawn = []
    for number in range(draw(st.integers(1, 9))):
        owners = draw(st.lists(st.sampled_from(ALERTS), max_size=2, unique=True))
        drawn.append(
            Movement(
                Moment(START + timedelta(seconds=draw(st.integers(0, 4))), number),
                f"e{number}",
                Decimal(draw(st.integers(-5, 5).filter(bool))),
                Decimal(draw(st.integers(1, 9))),
                tuple(sorted(owners)),
                f"order {draw(st.integers(0, 3))}",
            )
        )
    return drawn


@st.composite
def decisions(draw: st.DrawFn, most: int = 4) -> list[OwnershipDecision]:
    """Draw decisions about those orders, with their places."""
    drawn = []
    for number in range(draw(st.integers(0, most))):
        kind = draw(st.sampled_from([OwnershipKind.MATCHED, *OwnershipKind]))
        alert = draw(st.sampled_from(ALERTS))
        old = draw(st.sampled_from([each for each in ALERTS if each != alert]))
        drawn.append(
            OwnershipDecision(
                ACCOUNT,
                NVDA.con_id,
                MADE_AT + number,
                0,
                Moment(START + timedelta(seconds=draw(st.integers(0, 4))), draw(st.integers(0, MADE_AT))),
                kind,
                (Decided(alert),),
                "" if kind is OwnershipKind.SUCCEEDED else f"order {draw(st.integers(0, 3))}",
                old if kind is OwnershipKind.SUCCEEDED else None,
                kind is OwnershipKind.SUCCEEDED and draw(st.booleans()),
                in_vain=draw(st.integers(0, 9)) == 0,
            )
        )
    return drawn


bases = st.integers(-4, 4)


def without_frames(holding: Holding) -> tuple[object, ...]:
    """Return what is held and whose it is, without the numbers of the frames that brought it."""
    return (
        holding.held,
        [
            (lot.owners, lot.quantity, lot.price, lot.opened.time, lot.exec_id, lot.order)
            for lot in holding.lots
        ],
        sorted(
            (
                each.alert,
                each.quantity,
                each.avg_price,
                each.opened_at,
                each.closed_at or START,
                each.last_exec_id,
                each.sold_with,
            )
            for each in holding.alerts
        ),
    )


@EXAMPLES
@given(st.data(), bases, movements(), decisions())
def test_arrival_does_not_matter(
    data: st.DataObject, base: int, moves: list[Movement], made: list[OwnershipDecision]
) -> None:
    """The same facts and the same decisions with their places give the same lots and positions.

    A frame's number tells the order of arrival. The decisions come after all that is known of their second.
    """
    numbers = data.draw(st.permutations(range(len(moves))))
    arrived = [
        replace(move, moment=Moment(move.moment.time, number))
        for move, number in zip(moves, numbers, strict=True)
    ]
    arrived.sort(key=lambda move: move.moment.seq)
    placed = [replace(one, place=Moment(one.place.time, MADE_AT)) for one in made]
    first, second = fold(start(base), moves, placed).holding, fold(start(base), arrived, placed).holding
    assert without_frames(first) == without_frames(second)


@EXAMPLES
@given(bases, movements(), decisions())
def test_lots_fit_into_what_is_held(base: int, moves: list[Movement], made: list[OwnershipDecision]) -> None:
    """Lots have the sign of the position and never exceed it; an alert has the sum of its lots."""
    held = fold(start(base), moves, made).holding
    assert held.held == base + sum(move.signed for move in moves)
    assert held.in_lots == sum((abs(lot.quantity) for lot in held.lots), Decimal(0))
    assert held.in_lots <= abs(held.held)
    assert all((lot.quantity > 0) == (held.held > 0) for lot in held.lots)
    for mine in held.alerts:
        assert mine.quantity == sum(lot.quantity for lot in held.lots if mine.alert in lot.owners)


def behind(lot: Lot, mine: AlertPosition) -> bool:
    """Return whether a lot was opened after an alert's close."""
    at = mine.closed_at or START
    return lot.opened.time > at or (lot.opened.time == at and lot.quantity * mine.closed_side < 0)


def sizes(holding: Holding) -> list[Decimal]:
    return [abs(lot.quantity) for lot in holding.lots]


@EXAMPLES
@given(bases, movements(), decisions(most=6))
def test_decision_changes_nothing_that_was_closed(
    base: int, moves: list[Movement], made: list[OwnershipDecision]
) -> None:
    """Wherever it stands, and whoever makes it: what was held is, and who had closed stays closed.

    Who is given lots opens again: by a late match only with lots that were opened after its close, which in
    the second of the close are those of the other side.
    """

    def check(entry: object, before: Holding, after: Holding) -> None:
        if not isinstance(entry, OwnershipDecision):
            return
        assert (after.held, sizes(after)) == (before.held, sizes(before))
        now = {mine.alert: mine for mine in after.alerts}
        for mine in before.alerts:
            if mine.quantity or now.get(mine.alert) == mine:
                continue
            given = [lot for lot in after.lots if mine.alert in lot.owners]
            assert given
            assert mine.alert in [one.alert for one in entry.alerts]
            if entry.kind is OwnershipKind.MATCHED:
                assert all(behind(lot, mine) for lot in given)

    fold(start(base), moves, made, on_entry=check)
