"""A contract whose fold fails holds back no other contract's fills."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.pipeline.test_decide import BrokenDesk, quantity
from tests.support.answer_rig import ROBIN, buy, record
from tests.support.facts import NVDA
from tracker.core import lots, positions
from tracker.core.journal_entries import FirstSweepOver, LinkUp, PositionsAsked
from tracker.core.lot_changes import Movement
from tracker.core.lots import Folded
from tracker.core.model import End, EndOf
from tracker.core.state import EXECUTIONS

BAD = replace(NVDA, con_id=555, symbol="BAD")


class Failing:
    """Fold as the core does, but for one contract while it is broken."""

    def __init__(self) -> None:
        self.broken = True
        self._step, self._fold = lots.step, lots.fold

    def step(self, folded: Folded, movement: Movement, name_of: Any) -> None:
        self._check(folded.holding)
        self._step(folded, movement, name_of)

    def fold(self, start: Any, *entries: Any) -> Folded:
        self._check(start)
        return self._fold(start, *entries)

    def _check(self, holding: Any) -> None:
        if self.broken and holding.contract.con_id == BAD.con_id:
            raise AssertionError("more in lots (5) than held (1)")


def put_in(patch: pytest.MonkeyPatch) -> Failing:
    """Have the core fail on the contract BAD: the bug itself."""
    found = Failing()
    patch.setattr(positions, "step", found.step)
    patch.setattr(positions, "fold", found.fold)
    return found


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    return put_in(monkeypatch)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[BrokenDesk]:
    """A desk on a connection whose first sweep is over."""
    with BrokenDesk(tmp_path, {ROBIN: {"NVDA": record()}}) as made:
        made.enter(LinkUp(("DU1234567",), "176"))
        made.enter(PositionsAsked())
        made.tell(End(EndOf.POSITIONS, -1))
        made.enter(FirstSweepOver())
        yield made


def bad(number: int, quantity: int = 1, **changes: Any) -> Any:
    return buy(number, quantity, contract=BAD, **changes)


def waiting(desk: BrokenDesk) -> int:
    return len(desk.journal.state.find(EXECUTIONS, "waiting", "1"))


def test_other_contracts_swept_fills_count(desk: BrokenDesk, failing: Failing) -> None:
    """The answer ends for all but the one, whose executions are kept; a person is told which it is, once."""
    desk.sweep(1, bad(1), buy(2, 4), bad(3))
    assert quantity(desk) == 4
    assert waiting(desk) == 2
    desk.sweep(2, bad(1), buy(2, 4), bad(3), buy(4, 2))
    assert quantity(desk) == 6
    (row,) = desk.refused
    assert row.kind == "contract"
    assert "DU1234567 555 could not be counted: AssertionError('more in lots" in row.reason


def test_later_fills_of_it_wait_too(desk: BrokenDesk, failing: Failing) -> None:
    """A live one is known and in `fills`; those of other contracts count at once."""
    desk.sweep(1, bad(1))
    desk.tell(bad(2), buy(3, 4))
    assert quantity(desk) == 4
    assert waiting(desk) == 2
    assert len(desk.refused) == 1


def test_its_alert_owns_nothing_more(desk: BrokenDesk, failing: Failing) -> None:
    """Each fill of it is booked with its match and waits, however many come: none of them is at fault."""
    its = record(option_conid=555, option_conids=[555])
    its["alert_details"] = its["alert_details"] | {"ticker": "BAD"}
    desk.write({ROBIN: {"NVDA": record(), "BAD": its}})
    desk.sweep(1, bad(1), bad(2), buy(3, 4), bad(4))
    desk.tell(bad(5), buy(6, 1))
    assert quantity(desk) == 5
    assert waiting(desk) == 4
    assert [row.kind for row in desk.refused] == ["contract"]


def test_next_start_folds_what_it_can(desk: BrokenDesk, failing: Failing) -> None:
    """A version without the bug counts all; one that has it goes on without the contract, as before."""
    desk.sweep(1, bad(1), buy(2, 4))
    desk.again()
    desk.enter(LinkUp(("DU1234567",), "176"))
    desk.sweep(2, bad(1), buy(2, 4), buy(3, 1))
    assert quantity(desk) == 5
    assert waiting(desk) == 1
    assert len(desk.refused) == 1
    failing.broken = False
    desk.again()
    desk.enter(LinkUp(("DU1234567",), "176"))
    assert waiting(desk) == 0
    assert not desk.refused


def test_correction_takes_it_up_again(desk: BrokenDesk, failing: Failing) -> None:
    """The broker's correction of one of its executions may be what was wrong with it."""
    desk.sweep(1, bad(1), buy(2, 4))
    failing.broken = False
    corrected = replace(bad(1, 2), exec_id="0000e0d5.00000001.01.02")
    desk.tell(corrected)
    desk.sweep(2, corrected, buy(2, 4))
    assert waiting(desk) == 0


def test_live_fill_that_fails_is_refused(desk: BrokenDesk, failing: Failing) -> None:
    """It concerns its contract alone, and a later version decides it from its frame."""
    desk.tell(bad(1), buy(2, 4))
    assert quantity(desk) == 4
    (row,) = desk.refused
    assert (row.kind, row.exec_id) == ("execution", bad(1).exec_id)
