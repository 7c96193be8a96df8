"""Trades without execId that say the same, told apart by their Trade IDs: each counts once (rule 6.1)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import permutations
from pathlib import Path

import pytest

from tests.support.flex_desk import IMPORTED, OPENING, FlexDesk
from tests.support.flex_report import cancel, statement, trade

TUESDAY, WEDNESDAY, THURSDAY = (date(2025, 11, day) for day in (18, 19, 20))
ONE, TWO, THREE = (
    trade(ibExecID="", tradeID=str(7000 + number), transactionID=str(106000 + number)) for number in (1, 2, 3)
)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[FlexDesk]:
    with FlexDesk(tmp_path, began=OPENING) as desk:
        desk.connect()
        yield desk


def report(*rows: dict[str, str], day: date = TUESDAY) -> str:
    return statement(*rows, first=day, last=day)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_each_counts_once_in_whatever_report(desk: FlexDesk, order: tuple[int, ...]) -> None:
    """Alone, with another one, in other order; the third was booked a day later."""
    reports = [report(ONE, TWO), report(TWO, ONE), report(TWO), report(THREE, day=WEDNESDAY)]
    for number in (*order, *range(4)):
        desk.take_in(reports[number])
    assert desk.held() == (True, 12, 12)


def test_cancelled_one_beside_another(desk: FlexDesk) -> None:
    """Its report has only the one that is cancelled, which the journal lacks: the other one stays."""
    reports = [report(ONE), report(TWO, cancel(TWO, 106009, ibExecID=""), day=WEDNESDAY)]
    for each in (*reports, *reversed(reports)):
        desk.take_in(each)
        assert desk.held() == (True, 4, 4)
    desk.take_in(report(cancel(ONE, 106010, ibExecID=""), day=THURSDAY))
    assert desk.held() == (False, 0, 0)


def test_three_of_which_one_is_known(desk: FlexDesk) -> None:
    """The other two have numbers of their own, also where one of them would have the known one's."""
    desk.take_in(report(THREE))
    for _ in range(2):
        desk.take_in(report(ONE, TWO))
        assert desk.held() == (True, 12, 12)


def test_without_the_trade_id_they_are_numbered_by_the_report(desk: FlexDesk) -> None:
    """The only one that has a number may be the one that had none."""
    unknown = trade(ibExecID="", tradeID="")
    desk.take_in(report(unknown))
    desk.take_in(report(TWO))
    assert desk.held() == (True, 4, 4)


def test_known_by_frames_that_retention_dropped(desk: FlexDesk) -> None:
    """Then nothing tells them apart, and none is counted twice."""
    desk.take_in(report(ONE))
    desk.journal.drop_frames(IMPORTED.replace(year=2027))
    desk.take_in(report(ONE))
    assert desk.held() == (True, 4, 4)
