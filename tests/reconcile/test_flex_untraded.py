"""Transfers of a Flex report into a contract of which no fill is known: what came belongs to no alert.

4 calls come at 10:00 on Tuesday, 4 are sold at 10:43 and 2 bought at 11:30: the alert has the 2.
"""

from __future__ import annotations

from datetime import date
from itertools import permutations
from pathlib import Path

import pytest

from tests.reconcile.test_flex_report_order import TUESDAY, WEDNESDAY, report, transfer
from tests.support.flex_desk import IMPORTED, OPENING, FlexDesk
from tests.support.flex_report import ACCOUNT, trade

CAME = transfer(4, "100000") | {"date": "20251118", "dateTime": "20251118;100000"}
SOLD = trade(quantity="-4", buySell="SELL")
BOUGHT = trade(
    ibExecID="0000e0d5.6596b0d9.01.01",
    quantity="2",
    tradeID="8",
    ibOrderID="189",
    transactionID="106002",
    dateTime="20251118;113000",
)
MOVED = report(day=TUESDAY, moved=(CAME,))


def test_what_came_without_a_fill_is_sold(tmp_path: Path) -> None:
    """Each report has a day's part: the sale closes what came, and opens no short position."""
    with FlexDesk(tmp_path) as desk:
        assert len(desk.take_in(MOVED).applied) == 1
        assert desk.held() == (False, 0, 4)
        desk.take_in(report(SOLD, day=TUESDAY))
        assert desk.held() == (False, 0, 0)
        desk.take_in(report(BOUGHT, day=TUESDAY))
        assert desk.held() == (True, 2, 2)
        assert desk.take_in(MOVED).applied == []
        assert desk.held() == (True, 2, 2)


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_any_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    reports = MOVED, report(SOLD, day=TUESDAY), report(BOUGHT, day=TUESDAY)
    with FlexDesk(tmp_path) as desk:
        for number in order:
            desk.take_in(reports[number])
        assert desk.held() == (True, 2, 2)


def test_answer_before_the_transfer(tmp_path: Path) -> None:
    """The broker listed 1 the day before: 5 with what came, so 1 is left of the sale."""
    with FlexDesk(tmp_path, began=OPENING) as desk:
        desk.connect(1)
        later = transfer(4, "100000")  # On Wednesday.
        desk.take_in(report(day=WEDNESDAY, moved=(later,)))
        assert desk.held() == (False, 0, 5)
        desk.take_in(report(SOLD | {"dateTime": "20251119;104310"}, day=WEDNESDAY))
        assert desk.held() == (False, 0, 1)


def test_answer_that_contains_the_transfer(tmp_path: Path) -> None:
    """What the broker listed behind the transfer contains it: nothing is to be added."""
    with FlexDesk(tmp_path, began=IMPORTED) as desk:
        desk.connect(4)
        assert desk.take_in(MOVED).applied == []
        desk.bought("0000e0d5.6596b0da.01.01", -4, day=date(2025, 11, 20))
        assert desk.held() == (False, 0, 0)


def test_answer_behind_the_import(tmp_path: Path) -> None:
    """The broker's answer confirms what came: it shows no change that waits for its cause."""
    with FlexDesk(tmp_path) as desk:
        desk.take_in(MOVED)
        desk.connect(4)
        desk.connect(4)
        assert desk.held() == (False, 0, 4)
        desk.bought("0000e0d5.6596b0da.01.01", -3, day=date(2025, 11, 20))
        assert desk.held() == (False, 0, 1)


def test_cancelled_by_a_later_report(tmp_path: Path) -> None:
    """The transfer never was, so the sale opened a short position of the alert."""
    cancel = CAME | {"quantity": "-4", "code": "Ca"}
    with FlexDesk(tmp_path) as desk:
        desk.take_in(MOVED)
        desk.take_in(report(SOLD, day=TUESDAY))
        desk.take_in(report(day=WEDNESDAY, moved=(cancel,)))
        assert desk.held() == (True, -4, -4)


@pytest.mark.parametrize("direction", ["IN", "OUT"])
def test_what_went_of_an_unknown_position_changes_nothing(tmp_path: Path, direction: str) -> None:
    """Whether it was long or short is not known, nor how much was held."""
    gone = CAME | {"quantity": "-4", "direction": direction}
    with FlexDesk(tmp_path) as desk:
        assert desk.take_in(report(day=TUESDAY, moved=(gone,))).applied == []
        assert desk.held() == (False, 0, 0)
        desk.take_in(report(BOUGHT, day=TUESDAY))
        assert desk.held() == (True, 2, 2)


def test_plan_says_what_the_import_does(tmp_path: Path) -> None:
    """The plan names the transfer, and changes nothing."""
    with FlexDesk(tmp_path) as desk:
        planned = desk.plan(MOVED)
        assert [(event.account, int(event.quantity)) for event, _ in planned.applied] == [(ACCOUNT, 4)]
        assert desk.held() == (False, 0, 0)
