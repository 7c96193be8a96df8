"""What a break withheld is folded in its place, with no more of the past than it changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

import pytest
from pytest_mock import MockerFixture

from tests.support.facts import (
    ACCOUNT,
    SUCCESSOR,
    Story,
    alert_fields,
    base,
    booked,
    exec_id,
    execution,
    held,
    holding,
    position,
    quantity,
)
from tracker.core import positions
from tracker.core.adjustment_rows import Adjustment
from tracker.core.alerters import AlerterNames
from tracker.core.lots import Folded, Movement, NameOf, fold
from tracker.core.model import Contract, End, EndOf, Execution, Notice, Source
from tracker.core.ownership_rows import OwnershipDecision
from tracker.core.positions import Positions
from tracker.core.state_rows import Baseline, Holding


def busy_day(story: Story) -> Story:
    """Report fills a minute apart, the last of which came behind a break that withheld some."""
    story.snapshot(position(10))
    story.sweep(request=898)
    story.sweep(*(execution(exec_id(at), 1, "2", at=60 * at, request_id=900) for at in range(1, 6)))
    story.note(Source.LINK, "down")
    story.session += 1
    story.now += timedelta(minutes=8)
    story.note(Source.LINK, "up", ACCOUNT, "176")
    story.note(Source.SENT, "executions", "901", ACCOUNT)
    story.tell(execution(exec_id(9), -3, at=540, perm_id=189), execution(exec_id(10), 3, "4", at=600))
    return story


def swept(story: Story, *facts: Execution, request: int = 901) -> list[int]:
    """End the sweep behind that break; return how many entries each fold took."""
    taken: list[int] = []

    def counting(
        before: Holding,
        movements: Iterable[Movement],
        decisions: Sequence[OwnershipDecision],
        name_of: NameOf,
        adjustments: Iterable[Adjustment],
    ) -> Folded:
        counted = list(movements)
        taken.append(len(counted))
        return fold(before, counted, decisions, name_of, adjustments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(positions, "fold", counting)
        story.tell(*facts, End(EndOf.EXECUTIONS, request))
    return taken


@pytest.mark.parametrize(
    ("late_at", "taken"),
    [
        pytest.param(630, [], id="behind all"),
        pytest.param(570, [4], id="among what came since"),
        pytest.param(500, [4], id="before all that came since"),
        pytest.param(90, [9], id="in the past that was whole"),
    ],
)
def test_what_a_break_withheld_is_folded_with_no_more_of_the_past_than_it_changes(
    late_at: float, taken: list[int]
) -> None:
    """On a busy day that past is long: four seconds for a hundred contracts, in which no fill was shown."""
    late = [
        execution(exec_id(8), -7, "1", at=late_at + 70, perm_id=190, request_id=901),
        execution(exec_id(7), 2, "3", at=late_at, request_id=901),
    ]
    story = busy_day(Story())
    assert swept(story, *late) == taken
    assert (base(story), held(story)) == (10, 10 + 5 - 3 + 3 - 7 + 2)
    again = Positions(story.state, lambda alerts, key: None, lambda fill: None, AlerterNames())
    before = (holding(story), [booked(story, exec_id(number)) for number in (1, 5, 7, 8, 9, 10)])
    again.refold(holding(story).key)
    assert before == (holding(story), [booked(story, exec_id(number)) for number in (1, 5, 7, 8, 9, 10)])


def test_a_late_fill_behind_positions_that_became_a_guess_does_not_restore_them() -> None:
    story = Story()
    story.snapshot(position(10))
    story.tell(execution(exec_id(1), 1, at=60), execution(exec_id(3), 1, at=180))
    story.tell(Notice(-1, 1102, "restored"))
    assert holding(story).baseline is Baseline.UNCONFIRMED
    story.tell(execution(exec_id(2), 1, at=120))
    assert (held(story), holding(story).baseline) == (13, Baseline.UNCONFIRMED)


def test_a_late_fill_leaves_what_a_person_decided_of_the_past_meanwhile() -> None:
    story = busy_day(Story())
    story.note(Source.PERSON, "assign", ACCOUNT, exec_id(5), *alert_fields(SUCCESSOR))
    assert (quantity(story), quantity(story, SUCCESSOR)) == (0, 5)
    swept(story, execution(exec_id(7), 2, at=500, request_id=901))
    assert (quantity(story), quantity(story, SUCCESSOR)) == (0, 7)


def test_a_late_fill_behind_no_break_is_folded_with_what_came_since_it_was_asked_for() -> None:
    story = busy_day(Story())
    story.tell(End(EndOf.EXECUTIONS, 901))
    story.note(Source.SENT, "executions", "902", ACCOUNT)
    story.tell(execution(exec_id(12), 1, at=720))
    late = execution(exec_id(11), 2, at=660, request_id=902)
    assert swept(story, late, request=902) == [2]


def test_a_late_fill_that_is_corrected_at_once_counts_once() -> None:
    story = busy_day(Story())
    story.tell(execution(exec_id(7), 2, at=500), execution(exec_id(7, 2), 3, at=500))
    assert held(story) == 10 + 5 - 3 + 3 + 3
    assert booked(story, exec_id(7)).superseded_by == exec_id(7, 2)


def test_what_came_since_a_break_is_folded_again_once_for_all_that_is_late() -> None:
    story = busy_day(Story())
    late = (execution(exec_id(20 + at), 1, at=480 + at, request_id=901) for at in range(40))
    assert swept(story, *late) == [42]


def test_a_fill_later_than_the_sweep_behind_the_break_has_the_past_folded(mocker: MockerFixture) -> None:
    """What came since is kept only until then."""
    story = busy_day(Story())
    story.tell(End(EndOf.EXECUTIONS, 901))
    refold = mocker.spy(Positions, "refold")
    story.tell(execution(exec_id(8), 2, at=610))
    assert not refold.called
    story.tell(execution(exec_id(7), 2, at=500))
    assert (refold.call_count, held(story)) == (1, 19)


def test_only_so_much_of_what_came_since_a_break_is_kept(mocker: MockerFixture) -> None:
    mocker.patch.object(positions, "_RUN", 2)
    story = busy_day(Story())
    story.tell(execution(exec_id(11), 1, at=660), execution(exec_id(12), 1, at=720))
    assert swept(story, execution(exec_id(7), 2, at=610, request_id=901)) == [3]
    assert held(story) == 10 + 5 - 3 + 3 + 1 + 1 + 2


def test_only_so_many_contracts_keep_what_came_since(mocker: MockerFixture) -> None:
    """With no sweep due the oldest goes; a fill that is late all the same has its past folded."""
    mocker.patch.object(positions, "_RUNS_KEPT", 1)
    other = Contract(702, "NVDA", "STK")
    story = Story()
    story.sweep(request=900)
    story.tell(execution(exec_id(1), 4, at=60), execution(exec_id(2), 2, at=60, contract=other, perm_id=189))
    story.tell(execution(exec_id(3), 1, at=60), execution(exec_id(4), 1, at=30, contract=other, perm_id=190))
    assert (held(story), held(story, 702)) == (5, 3)
