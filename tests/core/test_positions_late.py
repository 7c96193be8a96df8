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
from tracker.core import fold_runs, positions
from tracker.core.adjustment_rows import Adjustment
from tracker.core.alerters import AlerterNames
from tracker.core.lot_changes import Movement, NameOf
from tracker.core.lots import Folded, fold
from tracker.core.model import Contract, End, EndOf, Execution, Notice, Source
from tracker.core.ownership_rows import OwnershipDecision
from tracker.core.positions import Positions
from tracker.core.state_rows import Baseline, Holding


def busy_day(story: Story) -> Story:
    """Report fills a minute apart, the last of which came after a break that withheld some."""
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
    """End the sweep after that break; return how many entries each fold took."""
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
def test_withheld_fill_refolds_only_its_past(late_at: float, taken: list[int]) -> None:
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


def test_late_fill_restores_no_guess() -> None:
    """A late fill after positions that became a guess does not restore them."""
    story = Story()
    story.snapshot(position(10))
    story.tell(execution(exec_id(1), 1, at=60), execution(exec_id(3), 1, at=180))
    story.tell(Notice(-1, 1102, "restored"))
    assert holding(story).baseline is Baseline.UNCONFIRMED
    story.tell(execution(exec_id(2), 1, at=120))
    assert (held(story), holding(story).baseline) == (13, Baseline.UNCONFIRMED)


def test_late_fill_keeps_persons_decision() -> None:
    """A late fill leaves what a person decided of the past meanwhile."""
    story = busy_day(Story())
    story.note(Source.PERSON, "assign", ACCOUNT, exec_id(5), *alert_fields(SUCCESSOR))
    assert (quantity(story), quantity(story, SUCCESSOR)) == (0, 5)
    swept(story, execution(exec_id(7), 2, at=500, request_id=901))
    assert (quantity(story), quantity(story, SUCCESSOR)) == (0, 7)


def test_late_fill_without_a_break() -> None:
    """A late fill after no break is folded with what came since it was asked for."""
    story = busy_day(Story())
    story.tell(End(EndOf.EXECUTIONS, 901))
    story.note(Source.SENT, "executions", "902", ACCOUNT)
    story.tell(execution(exec_id(12), 1, at=720))
    late = execution(exec_id(11), 2, at=660, request_id=902)
    assert swept(story, late, request=902) == [2]


def test_corrected_late_fill_counts_once() -> None:
    """A late fill that is corrected at once counts once."""
    story = busy_day(Story())
    story.tell(execution(exec_id(7), 2, at=500), execution(exec_id(7, 2), 3, at=500))
    assert held(story) == 10 + 5 - 3 + 3 + 3
    assert booked(story, exec_id(7)).superseded_by == exec_id(7, 2)


def test_late_fills_refold_once() -> None:
    """What came since a break is folded again once for all that is late."""
    story = busy_day(Story())
    late = (execution(exec_id(20 + at), 1, at=480 + at, request_id=901) for at in range(40))
    assert swept(story, *late) == [42]


def test_fill_after_the_sweep_folds_past(mocker: MockerFixture) -> None:
    """What came since is kept only until then."""
    story = busy_day(Story())
    story.tell(End(EndOf.EXECUTIONS, 901))
    refold = mocker.spy(Positions, "refold")
    story.tell(execution(exec_id(8), 2, at=610))
    assert not refold.called
    story.tell(execution(exec_id(7), 2, at=500))
    assert (refold.call_count, held(story)) == (1, 19)


def test_kept_since_a_break_is_bounded(mocker: MockerFixture) -> None:
    """Only so much of what came since a break is kept."""
    mocker.patch.object(fold_runs, "_MOST", 2)
    story = busy_day(Story())
    story.tell(execution(exec_id(11), 1, at=660), execution(exec_id(12), 1, at=720))
    assert swept(story, execution(exec_id(7), 2, at=610, request_id=901)) == [3]
    assert held(story) == 10 + 5 - 3 + 3 + 1 + 1 + 2


def test_contracts_kept_since_are_bounded(mocker: MockerFixture) -> None:
    """With no sweep due the oldest goes; a fill that is late all the same has its past folded."""
    mocker.patch.object(fold_runs, "_KEPT", 1)
    other = Contract(702, "NVDA", "STK")
    story = Story()
    story.sweep(request=900)
    story.tell(execution(exec_id(1), 4, at=60), execution(exec_id(2), 2, at=60, contract=other, perm_id=189))
    story.tell(execution(exec_id(3), 1, at=60), execution(exec_id(4), 1, at=30, contract=other, perm_id=190))
    assert (held(story), held(story, 702)) == (5, 3)
