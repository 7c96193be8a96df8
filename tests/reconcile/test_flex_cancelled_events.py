"""A transfer or a corporate action that a later report cancels: it is taken back in its place (rule 4.6)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import permutations
from pathlib import Path

import pytest

from tests.support.flex_desk import OPENING, FlexDesk
from tests.support.flex_report import ACCOUNT, statement, transfers
from tracker.reconcile.text import _imported

TUESDAY, WEDNESDAY, THURSDAY = (date(2025, 11, day) for day in (18, 19, 20))
FIRST = "0000e0d5.6596b0d8.01.01"
ROW = {
    "accountId": ACCOUNT,
    "assetCategory": "OPT",
    "symbol": "NVDA  251121C00122500",
    "conid": "700100200",
    "description": "NVDA 21NOV25 122.5 C",
    "direction": "OUT",
    "account": "DU7654321",
    "quantity": "-4",
    "date": "20251118",
    "dateTime": "20251118;150000",
    "code": "",
    "transactionID": "501",
}
CANCEL = ROW | {"quantity": "4", "code": "Ca", "transactionID": "502"}
AGAIN = ROW | {"quantity": "-3", "transactionID": "503"}
OPEN, CLOSED = (True, 4, 4), (False, 0, 0)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[FlexDesk]:
    with FlexDesk(tmp_path, began=OPENING) as desk:
        desk.connect()
        desk.bought(FIRST)
        yield desk


def report_of(*rows: dict[str, str], day: date = TUESDAY) -> str:
    return statement(first=day, last=day, others=transfers(rows))


def test_cancelled_transfer_opens_its_alert_again(desk: FlexDesk) -> None:
    """Its average and its time are those of before; each report once more changes nothing."""
    before = desk.shown()["position"]
    reports = report_of(ROW), report_of(CANCEL, day=WEDNESDAY)
    for held, each in ((CLOSED, reports[0]), *((OPEN, each) for each in (*reports[1:], *reports))):
        desk.take_in(each)
        assert desk.held() == held
    assert desk.shown()["position"] == before
    desk.bought(f"{FIRST[:-5]}09.01", -4, perm_id=190, day=WEDNESDAY)
    assert desk.held() == CLOSED


def test_answer_says_what_is_cancelled(desk: FlexDesk) -> None:
    """It names the transfer that was, not one the other way."""
    for report, said in ((report_of(ROW), "-4, other"), (report_of(CANCEL), "-4 is cancelled, other")):
        told = " ".join(_imported(desk.take_in(report).to_json(), dry_run=False))
        assert f"transferred on 2025-11-18: {said}" in " ".join(told.split())


@pytest.mark.parametrize("order", list(permutations(range(2))))
def test_cancelled_and_booked_again(desk: FlexDesk, order: tuple[int, ...]) -> None:
    """4 went by mistake, 3 in truth; whichever report comes first, and however often."""
    reports = report_of(ROW), report_of(CANCEL, AGAIN, day=WEDNESDAY)
    for number in (*order, *range(2)):
        desk.take_in(reports[number])
    assert desk.held() == (True, 1, 1)


def test_cancellation_that_comes_first_changes_nothing(desk: FlexDesk) -> None:
    """The transfer of the report that is imported behind it never counts."""
    for each in (report_of(CANCEL, day=WEDNESDAY), report_of(ROW), report_of(CANCEL, day=WEDNESDAY)):
        desk.take_in(each)
        assert desk.held() == OPEN


def test_one_of_two_transfers_is_cancelled(desk: FlexDesk) -> None:
    """Two of 2 each, of one day: the cancellation counts once, also where it is imported first."""
    rows = [ROW | {"quantity": "-2", "transactionID": str(number)} for number in (500, 501)]
    rows[1]["dateTime"] = "20251118;160000"
    cancelled = report_of(rows[1] | {"quantity": "2", "code": "Ca", "transactionID": "502"}, day=WEDNESDAY)
    for each in (report_of(*rows), cancelled, report_of(*rows), cancelled):
        desk.take_in(each)
    assert desk.held() == (True, 2, 2)


@pytest.mark.parametrize("order", [*permutations(range(2)), (1,)])
def test_cancellation_beside_another_transfer_of_its_size(desk: FlexDesk, order: tuple[int, ...]) -> None:
    """2 went on Tuesday, which is cancelled on Wednesday, when 2 went in truth."""
    row = ROW | {"quantity": "-2"}
    later = row | {"date": "20251119", "dateTime": "20251119;150000", "transactionID": "503"}
    cancelled = row | {"quantity": "2", "code": "Ca", "transactionID": "502"}
    reports = report_of(row), report_of(cancelled, later, day=WEDNESDAY)
    for number in (*order, *order):
        desk.take_in(reports[number])
    assert desk.held() == (True, 2, 2)


def test_cancellation_of_what_came_takes_nothing_from_what_went(desk: FlexDesk) -> None:
    """It is imported first; 2 went earlier, and 2 came and were cancelled."""
    came = ROW | {"direction": "IN", "quantity": "2", "dateTime": "20251118;153000", "transactionID": "504"}
    cancelled = came | {"quantity": "-2", "code": "Ca", "transactionID": "505"}
    went = ROW | {"quantity": "-2"}
    desk.take_in(report_of(cancelled, day=WEDNESDAY))
    for each in (report_of(went), report_of(went, came)):
        desk.take_in(each)
        assert desk.held() == (True, 2, 2)


def test_cancellation_of_what_was_listed_without_a_sign(desk: FlexDesk) -> None:
    """4 went, as OUT 4; its cancellation is listed as OUT -4."""
    row = ROW | {"quantity": "4"}
    reports = report_of(row), report_of(row | {"quantity": "-4", "code": "Ca", "transactionID": "502"})
    for held, each in zip((CLOSED, OPEN, OPEN, OPEN), (*reports, *reports), strict=True):
        desk.take_in(each)
        assert desk.held() == held
