"""Trades that a report lists without an execId, which a tradeID or a transactionID may replace (rule 6.2).

Whoever tells the same trade under its execId, before or after the report, tells it a second time: it counts
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from itertools import permutations
from pathlib import Path

import pytest

from tests.support.flex_desk import OPENING, FlexDesk
from tests.support.flex_report import cancel, statement, trade
from tracker.gateway.flex import FlexUnreadable

TUESDAY, WEDNESDAY = date(2025, 11, 18), date(2025, 11, 19)
FIRST, SECOND = "0000e0d5.6596b0d8.01.01", "0000e0d5.6596b0d9.01.01"
OPEN, CLOSED = (True, 4, 4), (False, 0, 0)
IDS = {"tradeID": ("transactionID",), "transactionID": ("tradeID",), "both": ()}
"""Which column names a trade -> which are left out."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[FlexDesk]:
    with FlexDesk(tmp_path, began=OPENING) as desk:
        desk.connect()
        yield desk


def unnamed(*left_out: str, **changes: str) -> dict[str, str]:
    return {name: value for name, value in trade(**changes).items() if name not in ("ibExecID", *left_out)}


def report(*rows: Mapping[str, str]) -> str:
    return statement(*rows, first=TUESDAY, last=TUESDAY)


TWIN = {"tradeID": "7002", "transactionID": "106002", "ibOrderID": "189"}


@pytest.mark.parametrize("left_out", IDS.values(), ids=IDS)
def test_named_by_its_own_numbers(desk: FlexDesk, left_out: tuple[str, ...]) -> None:
    """It counts; the same report, or one with the other number, tells nothing new."""
    result = desk.take_in(report(unnamed(*left_out)))
    assert (result.executions, result.new, desk.held()) == (1, 1, OPEN)
    for others in IDS.values():
        assert desk.take_in(report(unnamed(*others))).new == 0
        assert desk.held() == OPEN
    assert desk.shown()["last_order_update"]["filled_qty"] == 4
    desk.take_in(report(unnamed(quantity="-4", buySell="SELL", dateTime="20251118;110000", **TWIN)))
    assert desk.held() == CLOSED


@pytest.mark.parametrize("first", ["report", "gateway", "named report"])
@pytest.mark.parametrize("order", ["188", ""], ids=["with its order", "without"])
def test_told_under_its_exec_id_too(desk: FlexDesk, first: str, order: str) -> None:
    """By the gateway, and by a report of another query; whichever comes first it is one execution."""

    def gateway() -> int:
        desk.bought(FIRST)
        return 0

    told: dict[str, Callable[[], int]] = {
        "report": lambda: desk.take_in(report(unnamed(ibOrderID=order))).new,
        "gateway": gateway,
        "named report": lambda: desk.take_in(report(trade())).new,
    }
    new = [told[first](), *(tell() for name, tell in told.items() if name != first)]
    assert desk.held() == OPEN
    assert new == [0 if first == "gateway" else 1, 0, 0]
    assert desk.in_force() == [(FIRST, 4)]
    shown = desk.shown()["last_order_update"]
    assert (shown["exec_id"], shown["filled_qty"], shown["commission"]) == (FIRST, 4, 2.6)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_two_fills_that_say_the_same(desk: FlexDesk, order: tuple[int, ...]) -> None:
    """In one second, of two orders: the report lists both, the gateway reports both."""
    told = (
        lambda: desk.bought(FIRST),
        lambda: desk.bought(SECOND, perm_id=189),
        lambda: desk.take_in(report(unnamed(), unnamed(**TWIN))),
    )
    for number in order:
        told[number]()
    assert desk.held() == (True, 8, 8)
    assert desk.in_force() == [(FIRST, 4), (SECOND, 4)]


def test_one_of_two_was_missed(desk: FlexDesk) -> None:
    """The report brings the one that the gateway did not tell, and no more."""
    desk.bought(FIRST)
    assert desk.take_in(report(unnamed(ibOrderID=""), unnamed(**TWIN | {"ibOrderID": ""}))).new == 1
    assert desk.held() == (True, 8, 8)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_one_of_two_is_cancelled(desk: FlexDesk, order: tuple[int, ...]) -> None:
    """The gateway told one of them: the other one is left, however the report lists its rows."""
    rows = (unnamed(), unnamed(**TWIN), cancel(unnamed(**TWIN), 106003, ibExecID=""))
    desk.bought(FIRST)
    desk.take_in(report(*(rows[number] for number in order)))
    assert desk.held() == OPEN


@pytest.mark.parametrize(
    "changes",
    [
        {"tradePrice": "2.52"},
        {"dateTime": "20251118;104311"},
        {"quantity": "5"},
        {"ibOrderID": "189"},
    ],
    ids=["price", "second", "quantity", "order"],
)
def test_another_trade_counts_as_well(desk: FlexDesk, changes: dict[str, str]) -> None:
    desk.bought(FIRST)
    desk.take_in(report(unnamed(**changes)))
    assert desk.held() == (True, 4 + int(changes.get("quantity", "4")), 4 + int(changes.get("quantity", "4")))


@pytest.mark.parametrize("told", ["never", "before", "behind", "by a named report"])
@pytest.mark.parametrize("again", [False, True])
def test_cancelled_and_booked_again(desk: FlexDesk, told: str, again: bool) -> None:
    """A cancelled one is void, also where it is told under its execId later; booked again it is in force."""
    rows = [unnamed(), cancel(unnamed(), 106002)]
    if again:
        rows.append(unnamed(transactionID="106003", ibCommission="0"))
    rows = [{name: value for name, value in row.items() if name != "ibExecID"} for row in rows]
    if told == "before":
        desk.bought(FIRST)
    desk.take_in(report(*rows))
    if told == "behind":
        desk.bought(FIRST)
    if told == "by a named report":
        named = [trade(), cancel(trade(), 106002), *([trade(transactionID="106003")] if again else [])]
        desk.take_in(report(*named))
    assert desk.held() == (OPEN if again else CLOSED)


def test_cancelled_by_a_later_report(desk: FlexDesk) -> None:
    """It names the tradeID of a trade that the gateway reported as well."""
    desk.take_in(report(unnamed()))
    desk.bought(FIRST)
    assert desk.held() == OPEN
    row = cancel(unnamed(), 106002)
    assert desk.take_in(report({name: row[name] for name in row if name != "ibExecID"})).voided == 1
    assert desk.held() == CLOSED


def test_cancellation_that_is_imported_again(desk: FlexDesk) -> None:
    """It was void before the report of its day came, so nothing is voided a second time."""
    desk.bought(FIRST)
    row = cancel(unnamed(), 106002)
    cancelled = report({name: row[name] for name in row if name != "ibExecID"})
    assert desk.take_in(cancelled).voided == 1
    assert desk.take_in(report(unnamed())).new == 0
    assert desk.take_in(cancelled).voided == 0
    assert desk.held() == CLOSED


def test_correction_of_what_a_report_told(desk: FlexDesk) -> None:
    """The gateway reports the trade, and then that it was 3."""
    desk.take_in(report(unnamed()))
    desk.bought(FIRST)
    desk.bought(f"{FIRST[:-2]}02", 3)
    assert desk.held() == (True, 3, 3)
    desk.take_in(report(unnamed()))
    assert desk.held() == (True, 3, 3)


def test_plan_says_what_the_import_does(desk: FlexDesk) -> None:
    desk.bought(FIRST)
    text = report(unnamed(ibOrderID=""), unnamed(**TWIN | {"ibOrderID": ""}))
    plan = desk.plan(text).to_json()
    assert plan == desk.take_in(text).to_json()
    assert plan["new"] == 1


def test_trade_without_any_number_is_refused(desk: FlexDesk) -> None:
    with pytest.raises(FlexUnreadable, match="lacks IB Execution ID for account"):
        desk.take_in(report(unnamed("tradeID", "transactionID")))
    with pytest.raises(FlexUnreadable, match="IB Execution ID is empty"):
        desk.take_in(report(unnamed("transactionID"), unnamed("transactionID", tradeID="")))


CORRECTED = {"quantity": "3", "tradeID": "7009", "transactionID": "106003"}


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("void", [False, True], ids=["corrected", "cancelled in the end"])
def test_correction_that_a_report_tells_as_another_trade(
    desk: FlexDesk, order: tuple[int, ...], void: bool
) -> None:
    """The gateway tells a fill and its correction; the report cancels the one and lists the other."""
    rows = [unnamed(), cancel(unnamed(), 106002), unnamed(**CORRECTED)]
    if void:
        rows.append(cancel(rows[-1], 106004))
    told: list[Callable[[], object]] = [
        lambda: desk.bought(FIRST),
        lambda: desk.bought(f"{FIRST[:-2]}02", 3),
        lambda: desk.take_in(report(*rows)),
    ]
    for each in order:
        told[each]()
    assert desk.held() == (CLOSED if void else (True, 3, 3))
    desk.take_in(report(*rows))
    assert desk.held() == (CLOSED if void else (True, 3, 3))


def test_trade_booked_again_at_another_price(desk: FlexDesk) -> None:
    """The second booking may have the first one's tradeID; it is in one report with it, or in the next."""
    desk.bought(FIRST)
    again = unnamed(tradePrice="2.61", transactionID="106003")
    for rows in (
        [unnamed()],
        [cancel(unnamed(), 106002), again],
        [unnamed(), cancel(unnamed(), 106002), again],
    ):
        desk.take_in(report(*rows))
    assert desk.held() == OPEN
    assert desk.shown()["position"]["avg_price"] == 2.61


def test_correction_with_equal_values_takes_no_other_trade(desk: FlexDesk) -> None:
    """Its first version has the place of the one trade; the other one of that second was missed."""
    desk.bought(FIRST)
    desk.take_in(report(unnamed(ibOrderID=""), unnamed(**TWIN | {"ibOrderID": ""})))
    desk.bought(f"{FIRST[:-2]}02")
    assert desk.held() == (True, 8, 8)


@pytest.mark.parametrize("report_first", [True, False])
def test_fee_that_only_the_report_tells(desk: FlexDesk, report_first: bool) -> None:
    """Another client's fill has no fee from the gateway; one that comes later all the same replaces it."""
    if report_first:
        desk.take_in(report(unnamed()))
    desk.bought(FIRST, fee="")
    desk.take_in(report(unnamed()))
    assert desk.shown()["last_order_update"]["commission"] == 2.6
    desk.take_in(report(unnamed()))
    desk.bought(FIRST, fee="1.5")
    assert desk.shown()["last_order_update"]["commission"] == 1.5
    assert desk.held() == OPEN


SECOND_VERSION = {"ibExecID": f"{FIRST[:-2]}02", "tradeID": "7009"}
REPLACED = {"corrected": SECOND_VERSION, "booked again": {}}


@pytest.mark.parametrize("changes", REPLACED.values(), ids=REPLACED)
@pytest.mark.parametrize("rows", ["all", "without the first", "and a cancellation of it"])
@pytest.mark.parametrize("first", ["unnamed", "named"])
def test_trade_that_a_named_report_replaces(
    desk: FlexDesk, changes: dict[str, str], rows: str, first: str
) -> None:
    """A query of before had no execIds and lists the trade as it was first: what replaced it counts, once."""
    again = trade(quantity="3", tradePrice="2.61", transactionID="106003", **changes)
    named = [trade(), cancel(trade(), 106002, origTransactionID="106001"), again]
    if rows == "without the first":
        del named[0]
    if rows == "and a cancellation of it":
        named.append(cancel(again, 106004, origTransactionID="106003"))
    told = [report(unnamed()), statement(*named, first=WEDNESDAY, last=WEDNESDAY)]
    # The last once more, as the import asks for where it knew no cancelled trade.
    for each in (*(told if first == "unnamed" else reversed(told)), *told):
        desk.take_in(each)
    assert desk.held() == (CLOSED if rows == "and a cancellation of it" else (True, 3, 3))


@pytest.mark.parametrize("told", ["by the gateway", "without execId", "never"])
@pytest.mark.parametrize("void", [False, True])
def test_correction_to_the_other_side(desk: FlexDesk, told: str, void: bool) -> None:
    """The cancelled purchase is void, and the sale counts unless it is cancelled too."""
    if told == "by the gateway":
        desk.bought(FIRST)
    elif told == "without execId":
        desk.take_in(report(unnamed()))
    sold = trade(quantity="-4", buySell="SELL", transactionID="106003", ibCommission="0", **SECOND_VERSION)
    rows = [trade(), cancel(trade(), 106002), sold, *([cancel(sold, 106004)] if void else [])]
    for _ in range(2):
        desk.take_in(report(*rows))
        assert desk.held() == (CLOSED if void else (True, -4, -4))


@pytest.mark.parametrize("told", ["before", "behind", "never"])
def test_booked_again_after_a_named_void(desk: FlexDesk, told: str) -> None:
    """The next day's query has no execIds; the trade is known by its tradeID."""
    if told == "before":
        desk.bought(FIRST)
    desk.take_in(report(trade(), cancel(trade(), 106002)))
    assert desk.held() == CLOSED
    again = unnamed(transactionID="106003", ibCommission="0")
    for _ in range(2):
        desk.take_in(statement(again, first=WEDNESDAY, last=WEDNESDAY))
        assert desk.held() == OPEN
    if told == "behind":
        desk.bought(FIRST)
        assert desk.held() == OPEN
    cancelled = cancel(again, 106004, origTransactionID="106003", ibExecID="")
    desk.take_in(statement(cancelled, first=WEDNESDAY, last=WEDNESDAY))
    assert desk.held() == CLOSED
