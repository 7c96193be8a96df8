"""Reports of several days that are imported in any order: what the alert shows is the same.

The account's facts in the order of time: 4 calls bought at 10:43 on Tuesday, which only Tuesday's report has,
2 bought later, which the gateway pushed; 2 transferred in and 3 out on Wednesday, then 1 bought.
"""

from __future__ import annotations

from datetime import date
from itertools import permutations
from pathlib import Path

import pytest

from tests.support.flex_desk import IMPORTED, OPENING, FlexDesk
from tests.support.flex_report import ACCOUNT, statement, trade, transfers
from tracker.reconcile.text import _imported

TUESDAY, WEDNESDAY = date(2025, 11, 18), date(2025, 11, 19)
PUSHED, LAST = "0000e0d5.6596b0d9.01.01", "0000e0d5.6596b0da.01.01"


def transfer(quantity: int, clock: str) -> dict[str, str]:
    return {
        "accountId": ACCOUNT,
        "assetCategory": "OPT",
        "symbol": "NVDA  251121C00122500",
        "conid": "700100200",
        "direction": "IN" if quantity > 0 else "OUT",
        "quantity": str(quantity),
        "date": "20251119",
        "dateTime": f"20251119;{clock}",
    }


def report(*rows: dict[str, str], day: date, moved: tuple[dict[str, str], ...] = ()) -> str:
    return statement(*rows, first=day, last=day, others=transfers(moved))


BOUGHT = trade(ibExecID=PUSHED, quantity="2", tradeID="8", transactionID="106002", dateTime="20251118;110000")
LATER = trade(ibExecID=LAST, quantity="1", tradeID="7", transactionID="106009", dateTime="20251119;150000")
EARLY = transfer(2, "103000") | {"date": "20251118", "dateTime": "20251118;103000"}
AFTER = transfer(-3, "110000") | {"date": "20251118", "dateTime": "20251118;110000"}
REPORTS = (
    report(trade(), BOUGHT | {"ibOrderID": "189"}, day=TUESDAY),
    report(LATER, day=WEDNESDAY, moved=(transfer(2, "110000"), transfer(-3, "120000"))),
)


@pytest.mark.parametrize("cold", [False, True], ids=["live", "cold"])
@pytest.mark.parametrize("order", list(permutations(range(2))))
def test_transfer_of_a_newer_report_comes_first(tmp_path: Path, order: tuple[int, ...], cold: bool) -> None:
    """Of the 3 that went, 2 had no owner; 6 less 1 and 1 more are the alert's. Twice changes nothing."""
    with FlexDesk(tmp_path, began=IMPORTED if cold else OPENING) as desk:
        desk.connect(6 if cold else 0)
        if not cold:
            desk.bought(PUSHED, 2, perm_id=189, clock="11:00:00")
        for number in (*order, *range(2)):
            desk.take_in(REPORTS[number])
        assert desk.held() == (True, 6, 6)


@pytest.mark.parametrize("cold", [False, True], ids=["live", "cold"])
def test_transfer_before_the_first_fill_of_its_report(tmp_path: Path, cold: bool) -> None:
    """2 came before 4 were bought, then 3 went: 2 without owner, and 1 of the alert's."""
    with FlexDesk(tmp_path, began=IMPORTED if cold else OPENING) as desk:
        desk.connect(3 if cold else 0)
        for _ in range(2):
            result = desk.take_in(report(trade(), day=TUESDAY, moved=(EARLY, AFTER)))
            assert desk.held() == (True, 3, 3)
        assert result.applied == []


def test_transfer_of_more_than_is_known_is_told(tmp_path: Path) -> None:
    """3 went of 2, since 4 were bought unheard: the answer says what to do, and then it is right."""
    older, newer = report(trade(), day=TUESDAY), report(day=WEDNESDAY, moved=(transfer(-3, "120000"),))
    with FlexDesk(tmp_path, began=OPENING) as desk:
        desk.connect()
        desk.bought(PUSHED, 2, perm_id=189, clock="11:00:00")
        for unfit in (True, False, False):
            answer = desk.take_in(newer).to_json()
            assert [event["unfit"] for event in answer["events"]] == [unfit]
            told = " ".join(" ".join(_imported(answer, dry_run=False)).split())
            assert ("import the older reports first, then this one again" in told) is unfit
            assert desk.held() == ((True, 2, 2) if unfit else (True, 3, 3))
            desk.take_in(older)
