"""Parts of fills under random days: nothing is lost or doubled, and folded from the start it is the same."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_parts import THIRD, ambiguous, give, owned, undo
from tests.support.facts import ALERT, NVDA, Story, booked, exec_id, execution, holding
from tests.support.ownership import OTHER, assign
from tracker.core.alerters import AlerterNames
from tracker.core.model import ZERO
from tracker.core.past import past_of

ALERTS = (ALERT, OTHER, THIRD)
FILLS = (1, 2, 3)
"""Of one order, bought one after the other."""
PART = st.tuples(
    st.just("part"), st.sampled_from(FILLS), st.sampled_from(ALERTS), st.integers(1, 6), st.booleans()
)
STEP = st.one_of(
    PART,
    st.tuples(st.just("sale"), st.integers(1, 3)),
    st.tuples(st.just("undo"), st.integers(0, 20)),
    st.tuples(st.just("assign"), st.sampled_from(ALERTS)),
    st.tuples(st.just("correct"), st.sampled_from(FILLS), st.integers(1, 6)),
)
QUANTITIES = st.lists(st.integers(1, 6), min_size=3, max_size=3)


class Day:
    """Three fills of an ambiguous order, and what happens to them."""

    def __init__(self, quantities: list[int]) -> None:
        self.story = Story(ambiguous)
        self.versions = dict.fromkeys(FILLS, 1)
        self.parts: list[tuple[int, int]] = []
        """Fill and ID of each part that was given."""
        for number, quantity in zip(FILLS, quantities, strict=True):
            self.story.tell(execution(exec_id(number), quantity, at=number))

    def do(self, number: int, step: tuple[Any, ...]) -> None:
        match step:
            case ("part", fill, alert, quantity, whole):
                self.parts.append((fill, give(self.story, fill, alert, quantity, whole=whole)))
            case ("sale", quantity):
                left = min(Decimal(quantity), holding(self.story).held)
                if left > 0:
                    self.story.tell(execution(exec_id(number), -left, at=number, perm_id=number))
            case ("undo", which) if self.parts:
                undo(self.story, *self.parts[which % len(self.parts)])
            case ("assign", alert):
                assign(self.story, 1, alert)
            case ("correct", fill, quantity):
                self.versions[fill] += 1
                self.story.tell(execution(exec_id(fill, self.versions[fill]), quantity, at=fill))

    def check(self) -> None:
        """See to it that owned and unowned lots add up, and that nothing is owned twice."""
        now = holding(self.story)
        assert sum((lot.quantity for lot in now.lots), ZERO) == now.held - now.base or now.held <= 0
        assert all(len(lot.owners) <= 1 for lot in now.lots)
        for alert in ALERTS:
            mine = sum((lot.quantity for lot in now.lots if alert in lot.owners), ZERO)
            assert owned(self.story).get(alert, ZERO) == mine
        again, _ = past_of(self.story.state, now.key, AlerterNames())
        assert (again.holding.lots, again.holding.alerts) == (now.lots, now.alerts)


@given(QUANTITIES, st.lists(STEP, max_size=10))
def test_parts_add_up(quantities: list[int], steps: list[tuple[Any, ...]]) -> None:
    """Whatever is given, sold, corrected, assigned and taken back."""
    day = Day(quantities)
    for number, step in enumerate(steps, 10):
        day.do(number, step)
        day.check()


@given(QUANTITIES, st.lists(PART, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_parts_taken_back_leave_all_as_it_was(
    quantities: list[int], parts: list[tuple[Any, ...]], random: Any
) -> None:
    """In any order: the lots are those of before, and every fill waits for a person again."""
    day = Day(quantities)
    before = holding(day.story)
    for number, part in enumerate(parts, 10):
        day.do(number, part)
    random.shuffle(day.parts)
    for given_part in day.parts:
        undo(day.story, *given_part)
        day.check()
    assert holding(day.story).lots == before.lots
    assert not any(owned(day.story).values())
    rows = [booked(day.story, exec_id(number)) for number in FILLS]
    assert all(row.parts == () and row.wants_person for row in rows)
    assert before.contract == NVDA
