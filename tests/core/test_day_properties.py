"""What holds of any day at the ledger: late fills, corrections, late matches, a person's decisions, restarts.

All fills are of five seconds, so many share one. An order may belong to several alerts, which share its lots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.facts import (
    ACCOUNT,
    NVDA,
    Story,
    alert_fields,
    booked,
    exec_id,
    execution,
    fee,
    position,
    status,
)
from tracker.core.alerters import AlerterNames
from tracker.core.entries import ContractEntries
from tracker.core.lots import at_opening_balance, fold
from tracker.core.model import AlertId, Execution, Match, Matched, Rule, Source, Unmatched
from tracker.core.state import ADJUSTMENTS, EXECUTIONS, HOLDINGS
from tracker.core.state_rows import AlertPosition, Holding

ALERTS: Final = [AlertId(name, "NVDA", "2025-11-18T15:42:00", 700100200) for name in ("one", "two", "three")]
ORDERS: Final = 3
EXAMPLES: Final = settings(max_examples=100, deadline=None)


@dataclass(frozen=True)
class Fill:
    """One new execution."""

    order: int
    signed: int
    second: int


@dataclass(frozen=True)
class Correct:
    """A newer version of an earlier execution; no quantity is a void."""

    of: int
    quantity: int


@dataclass(frozen=True)
class Appear:
    """An alert appears that an order's fills match, and the order is matched again."""

    order: int
    alert: AlertId


@dataclass(frozen=True)
class Assign:
    """A person gives the order of an execution to an alert."""

    of: int
    alert: AlertId


@dataclass(frozen=True)
class Undo:
    """A person takes the last assignment back."""


@dataclass(frozen=True)
class Other:
    """What moves nothing: a repeat, a fee, a status, a dismissal, a new process, the same positions again."""

    what: str
    of: int


Step = Fill | Correct | Appear | Assign | Undo | Other
_OTHERS: Final = ("repeat", "fee", "status", "dismiss", "restart", "positions")

_of = st.integers(0, 9)
_alerts = st.sampled_from(ALERTS)
_orders = st.integers(0, ORDERS - 1)
_fills = st.builds(Fill, _orders, st.integers(-5, 5).filter(bool), st.integers(0, 4))
_appear = st.builds(Appear, _orders, _alerts)
_steps = st.one_of(
    _fills,
    _fills,
    _appear,
    st.builds(Correct, _of, st.integers(0, 5)),
    st.builds(Assign, _of, _alerts),
    st.builds(Undo),
    st.builds(Other, st.sampled_from(_OTHERS), _of),
)


@st.composite
def days(draw: st.DrawFn) -> list[Step]:
    """Draw a day on which something is owned and something is closed soon, mostly."""
    opened = draw(st.lists(_appear, max_size=3))
    traded = draw(st.lists(_fills, min_size=2, max_size=5))
    return [*opened, *traded, *draw(st.lists(_steps, min_size=3, max_size=12))]


class Day:
    """Play steps to a ledger, one frame each."""

    def __init__(self, base: int) -> None:
        self._seen: dict[int, tuple[AlertId, ...]] = {}
        """Order -> the alerts that its fills match by now."""
        self.fills: list[Execution] = []
        """The newest version of each."""
        self._assigned: list[tuple[int, str]] = []
        self._base = base
        self.story = Story(self._decide, up=False)
        self.story.note(Source.LINK, "up", ACCOUNT, "176")
        self.story.snapshot(position(base))

    def _decide(self, fill: Execution) -> Match:
        seen = self._seen.get(fill.perm_id)
        return Matched(tuple((alert, Rule.CON_ID) for alert in seen)) if seen else Unmatched("none")

    def play(self, step: Step) -> None:
        """Play one step."""
        if isinstance(step, Fill):
            number = len(self.fills)
            made = execution(
                exec_id(number), step.signed, str(number + 1), at=step.second, perm_id=188 + step.order
            )
            self.fills.append(made)
            self.story.tell(made)
        elif isinstance(step, Undo):
            if self._assigned:
                frame, name = self._assigned.pop()
                self.story.note(Source.PERSON, "undo", str(frame), ACCOUNT, name)
        elif isinstance(step, Appear):
            self._appear(step)
        elif self.fills:
            self._play_about(step, step.of % len(self.fills))

    def _appear(self, step: Appear) -> None:
        perm_id = 188 + step.order
        self._seen[perm_id] = tuple(dict.fromkeys((*self._seen.get(perm_id, ()), step.alert)))
        mine = [fill for fill in self.fills if fill.perm_id == perm_id]
        if mine:
            self.story.note(Source.STORE, "rematch", ACCOUNT, mine[0].exec_id)

    def _play_about(self, step: Correct | Assign | Other, number: int) -> None:
        fill = self.fills[number]
        if isinstance(step, Correct):
            version = int(fill.exec_id[-2:]) + 1
            newer = f"{fill.exec_id[:-2]}{version:02d}"
            self.fills[number] = replace(fill, exec_id=newer, quantity=Decimal(step.quantity))
            self.story.tell(self.fills[number])
        elif isinstance(step, Assign):
            fields = alert_fields(step.alert)
            self.story.note(Source.PERSON, "assign", ACCOUNT, fill.exec_id, *fields)
            self._assigned.append((self.story.seq, fill.exec_id))
        elif step.what == "repeat":
            self.story.tell(fill)
        elif step.what == "fee":
            self.story.tell(fee(fill.exec_id, "1.25"))
        elif step.what == "status":
            self.story.tell(status("Submitted", 1, 1, perm_id=fill.perm_id))
        elif step.what == "dismiss":
            self.story.note(Source.PERSON, "dismiss", ACCOUNT, fill.exec_id)
        elif step.what == "restart":
            self.story.restart()
        else:
            self.story.snapshot(position(self._base + sum(int(one.signed) for one in self.fills)))

    @property
    def holding(self) -> Holding | None:
        return next((row for row in self.story.state.every(HOLDINGS) if row.contract == NVDA), None)

    @property
    def closed(self) -> dict[AlertId, AlertPosition]:
        """Return the alerts that own nothing any longer."""
        holding = self.holding
        mine = holding.alerts if holding is not None else ()
        return {each.alert: each for each in mine if not each.quantity}


def owned(holding: Holding) -> tuple[object, ...]:
    """Return what is held and whose it is."""
    return holding.held, holding.in_lots, holding.lots, sorted(holding.alerts, key=lambda mine: mine.alert)


@EXAMPLES
@given(st.data(), st.integers(-4, 4), days())
def test_any_arrival_gives_the_final_alerts(data: st.DataObject, base: int, steps: Sequence[Step]) -> None:
    """What was decided step by step equals a fold, in any order, of all facts and the written decisions."""
    day = Day(base)
    for step in steps:
        day.play(step)
    live, state = day.holding, day.story.state
    if live is None:
        return
    entries = ContractEntries(state, AlerterNames())
    rows = [row for row in state.find(EXECUTIONS, "contract", live.key.text()) if row.counted]
    moves = data.draw(st.permutations([entries.movement(row) for row in rows]))
    made = data.draw(st.permutations(entries.decisions(live.key)))
    again = fold(
        at_opening_balance(live),
        moves,
        made,
        entries.name_of(live),
        entries.adjustments(live.key),
    ).holding
    assert owned(again) == owned(live)
    assert not state.every(ADJUSTMENTS)


def may_open(step: Step, day: Day, closed: AlertPosition, newest: Any) -> bool:
    """Return whether a step may open an alert again that was closed."""
    if isinstance(step, Correct | Assign | Undo):
        return True
    if isinstance(step, Fill):
        # A late older one may, whatever it does; one after everything must itself open something.
        fill = day.fills[-1]
        return bool(fill.time <= newest or booked(day.story, fill.exec_id).opening)
    if isinstance(step, Appear):
        return any(opened_later(fill, day, closed) for fill in day.fills if fill.perm_id == 188 + step.order)
    return False


def opened_later(fill: Execution, day: Day, closed: AlertPosition) -> bool:
    """Return whether a fill opened something after an alert was closed.

    In the second of the close it must be another fill that opened the other side.
    """
    assert closed.closed_at is not None
    if fill.time != closed.closed_at:
        return fill.time > closed.closed_at
    opening = booked(day.story, fill.exec_id).opening
    return fill.exec_id != closed.last_exec_id and opening * closed.closed_side < 0


@EXAMPLES
@given(st.integers(-4, 4), days())
@example(-1, [Appear(2, ALERTS[0]), Fill(0, 2, 0), Fill(2, -1, 0), Fill(0, 1, 0), Appear(0, ALERTS[0])])
def test_closed_alert_stays_closed(base: int, steps: Sequence[Step]) -> None:
    """But for a correction, a void, a late older execution, a newer opening and what a person assigns.

    An adjustment may, too; none is made here.
    """
    day = Day(base)
    for step in steps:
        before = day.closed
        newest = max((fill.time for fill in day.fills), default=None)
        day.play(step)
        holding = day.holding
        for mine in holding.alerts if holding is not None else ():
            if mine.quantity and mine.alert in before:
                assert may_open(step, day, before[mine.alert], newest), (step, mine)
