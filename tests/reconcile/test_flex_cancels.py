"""A trade, its cancellation and its second booking, which may come from the gateway and in any reports.

The outcomes are those of rule 6.1: a cancel row voids what it names, also where only the journal knows that;
a row booked again is in force again; whatever comes first, and however often.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import permutations
from pathlib import Path

import pytest

from tests.support.flex_desk import OPENING, FlexDesk
from tests.support.flex_report import cancel, statement, trade
from tracker.core.state import EXECUTIONS
from tracker.status.protocol import CommandError

TUESDAY, WEDNESDAY, THURSDAY = (date(2025, 11, day) for day in (18, 19, 20))
FIRST = "0000e0d5.6596b0d8.01.01"
BOOKED = trade()
CANCEL = cancel(BOOKED, 106002)
AGAIN = trade(transactionID="106003", ibCommission="0")
OPEN, CLOSED = (True, 4, 4), (False, 0, 0)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[FlexDesk]:
    with FlexDesk(tmp_path, began=OPENING) as desk:
        desk.connect()
        yield desk


def report(*rows: dict[str, str], day: date = WEDNESDAY) -> str:
    return statement(*rows, first=day, last=day)


def test_cancelled_fill_of_the_gateway(desk: FlexDesk) -> None:
    """The report has only the row that cancels it, which names its order, price and quantity."""
    desk.bought(FIRST)
    assert desk.held() == OPEN
    result = desk.take_in(report(CANCEL))
    assert desk.held() == CLOSED
    assert (result.executions, result.new, result.voided, result.unknown) == (0, 0, 1, [])
    assert desk.in_force() == [("0000e0d5.6596b0d8.01.106002", 0)]
    assert desk.shown()["last_order_update"]["filled_qty"] == 0


def test_cancelled_fill_of_an_earlier_report(desk: FlexDesk) -> None:
    """It is found by its tradeID, although the gateway never reported it."""
    desk.take_in(report(BOOKED, day=TUESDAY))
    assert desk.held() == OPEN
    other_price = cancel(BOOKED, 106002, tradePrice="0", ibOrderID="")
    assert desk.take_in(report(other_price)).voided == 1
    assert desk.held() == CLOSED


@pytest.mark.parametrize("known", ["gateway", "report", "never"])
@pytest.mark.parametrize("together", [True, False])
def test_booked_again_with_other_values(desk: FlexDesk, known: str, together: bool) -> None:
    """The second booking under the same execId counts, with its quantity and price; the fees add up."""
    if known == "gateway":
        desk.bought(FIRST)
    elif known == "report":
        desk.take_in(report(BOOKED, day=TUESDAY))
    again = AGAIN | {"quantity": "3", "tradePrice": "2.61", "ibCommission": "-0.1"}
    reports = [report(BOOKED, CANCEL, again)] if together else [report(BOOKED), report(CANCEL, again)]
    for each in (*reports, *reports):
        desk.take_in(each)
    assert desk.held() == (True, 3, 3)
    assert desk.shown()["position"]["avg_price"] == 2.61
    shown = desk.shown()["last_order_update"]
    assert (shown["filled_qty"], shown["avg_fill_price"], shown["commission"]) == (3, 2.61, 2.7)
    desk.bought(FIRST)
    assert desk.held() == (True, 3, 3)


@pytest.mark.parametrize("with_row", [False, True])
def test_cancelled_forerunner_of_a_correction(desk: FlexDesk, with_row: bool) -> None:
    """The gateway told the correction, so the row that cancels the first version takes nothing from it."""
    desk.bought(FIRST)
    desk.bought(f"{FIRST[:-2]}02", 3)
    correction = trade(ibExecID=f"{FIRST[:-2]}02", quantity="3", tradeID="7009", transactionID="106003")
    for _ in range(2):
        result = desk.take_in(report(CANCEL, *([correction] if with_row else [])))
        assert (desk.held(), result.voided, result.unknown) == ((True, 3, 3), 0, [])
    desk.take_in(report(cancel(correction, 106004), day=THURSDAY))
    assert desk.held() == CLOSED


@pytest.mark.parametrize("rows", [(CANCEL,), (BOOKED, CANCEL)], ids=["cancel row", "both rows"])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_correction_that_no_report_tells(
    desk: FlexDesk, rows: tuple[dict[str, str], ...], order: tuple[int, ...]
) -> None:
    """A row that cancels its forerunner takes nothing from it, whichever of the three comes first."""
    told = (
        lambda: desk.bought(FIRST),
        lambda: desk.bought(f"{FIRST[:-2]}02", 3),
        lambda: desk.take_in(report(*rows)),
    )
    for each in (*order, *range(3)):
        told[each]()
    assert desk.held() == (True, 3, 3)
    assert desk.shown()["last_order_update"]["filled_qty"] == 3


@pytest.mark.parametrize("known", ["gateway", "report"])
def test_correction_booked_before_its_forerunner_is_cancelled(desk: FlexDesk, known: str) -> None:
    """The row that cancels the first booking may have the higher transactionID."""
    desk.bought(FIRST) if known == "gateway" else desk.take_in(report(BOOKED, day=TUESDAY))
    correction = trade(ibExecID=f"{FIRST[:-2]}02", quantity="3", tradeID="7009", transactionID="106003")
    for _ in range(2):
        desk.take_in(report(correction, cancel(BOOKED, 106004)))
        assert desk.held() == (True, 3, 3)


def test_second_booking_before_the_first_is_cancelled(desk: FlexDesk) -> None:
    """Both have one tradeID and execId; the row names the first one's transactionID."""
    desk.bought(FIRST)
    again = AGAIN | {"quantity": "3", "tradePrice": "2.61"}
    for _ in range(2):
        desk.take_in(report(again, cancel(BOOKED, 106004, origTransactionID="106001")))
        assert desk.held() == (True, 3, 3)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_correction_behind_a_void_has_its_own_number(desk: FlexDesk, order: tuple[int, ...]) -> None:
    """The second correction is in force, whether the gateway or a report tells the first before or after."""
    versions = [f"{FIRST[:-2]}0{number}" for number in (2, 3)]
    second = trade(ibExecID=versions[1], quantity="2", tradeID="7010", transactionID="106005")
    told = (
        lambda: desk.bought(FIRST),
        lambda: desk.bought(versions[0], 3),
        lambda: desk.take_in(report(BOOKED, CANCEL)),
        lambda: desk.take_in(report(second, day=THURSDAY)),
    )
    for each in (*order, *range(4)):
        told[each]()
    assert desk.held() == (True, 2, 2)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_second_booking_with_other_values_in_any_report(desk: FlexDesk, order: tuple[int, ...]) -> None:
    """In the order of the days once more, as the import asks for where it knew no cancelled trade."""
    told = (
        lambda: desk.bought(FIRST),
        lambda: desk.take_in(report(BOOKED, day=TUESDAY)),
        lambda: desk.take_in(report(CANCEL)),
        lambda: desk.take_in(report(AGAIN | {"quantity": "3", "tradePrice": "2.61"}, day=THURSDAY)),
    )
    for each in (*order, *range(4)):
        told[each]()
    assert desk.held() == (True, 3, 3)
    assert desk.shown()["position"]["avg_price"] == 2.61


def test_import_again_changes_nothing(desk: FlexDesk) -> None:
    desk.bought(FIRST)
    reports = [report(BOOKED, day=TUESDAY), report(CANCEL), report(AGAIN, day=THURSDAY)]
    for each in reports:
        desk.take_in(each)
    text, in_force = desk.text(), desk.in_force()
    for each in reports:
        result = desk.take_in(each)
        assert (result.new, result.voided) == (0, 0)
    assert (desk.text(), desk.in_force()) == (text, in_force)


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_order_of_reports_does_not_matter(desk: FlexDesk, order: tuple[int, ...], live: bool) -> None:
    """Booked, cancelled and booked again in three reports: in force, whichever is imported first.

    A cancellation that is imported before its trade says so, and is imported again.
    """
    if live:
        desk.bought(FIRST)
    reports = [report(BOOKED, day=TUESDAY), report(CANCEL), report(AGAIN, day=THURSDAY)]
    for number in order:
        desk.take_in(reports[number])
    desk.take_in(reports[1])
    assert desk.held() == OPEN
    desk.bought("0000e0d5.6596b0d8.02.01", -4, perm_id=189, clock="11:00:00")
    assert desk.held() == CLOSED


@pytest.mark.parametrize("live", [True, False])
def test_cancelled_and_booked_again_next_day(desk: FlexDesk, live: bool) -> None:
    """The next day's report has both rows, and not the first booking."""
    if live:
        desk.bought(FIRST)
    desk.take_in(report(CANCEL, AGAIN))
    assert desk.held() == OPEN
    desk.take_in(report(BOOKED, day=TUESDAY))
    assert desk.held() == OPEN


def test_earlier_report_does_not_void_again(desk: FlexDesk) -> None:
    """A report from before the second booking is imported after the one that has all three."""
    desk.take_in(report(BOOKED, CANCEL, AGAIN))
    desk.take_in(report(BOOKED, CANCEL))
    assert desk.held() == OPEN


def test_corrected_booking_next_day(desk: FlexDesk) -> None:
    """Booked again under a corrected id and price: that one counts, once."""
    desk.bought(FIRST)
    desk.take_in(report(CANCEL, trade(transactionID="106003", ibExecID=f"{FIRST[:-1]}2", tradePrice="2.49")))
    assert desk.held() == OPEN
    assert desk.shown()["position"]["avg_price"] == 2.49


def test_fees_of_all_bookings_add_up(desk: FlexDesk) -> None:
    """2.6 for the first booking, 1 back for the cancellation, half a dollar for the second."""
    desk.bought(FIRST)
    rows = [cancel(BOOKED, 106002, ibCommission="1"), trade(transactionID="106003", ibCommission="-0.5")]
    for each in (report(rows[0]), report(rows[1], day=THURSDAY)):
        desk.take_in(each)
    assert desk.held() == OPEN
    assert desk.shown()["last_order_update"]["commission"] == 2.1


def test_report_without_order_numbers(desk: FlexDesk) -> None:
    """The gateway knows the order of the fill, so its void is a version of it all the same."""
    desk.bought(FIRST)
    rows = [{name: value for name, value in row.items() if name != "ibOrderID"} for row in (BOOKED, CANCEL)]
    desk.take_in(report(*rows))
    assert desk.held() == CLOSED


# What nobody knows


def test_unknown_trade_is_told(desk: FlexDesk) -> None:
    """It is no sale: what is held of the contract stays, and the trade date of the row is not proven."""
    desk.bought("0000e0d5.11111111.01.01")
    desk.gap(TUESDAY)
    unknown = cancel(BOOKED, 106002, origTradeID="6000", ibOrderID="7", dateTime="20251118;110000")
    made = statement(trade(ibExecID="a.b.1.01", tradeID="1"), unknown, first=TUESDAY, last=THURSDAY)
    result = desk.take_in(made)
    assert desk.held() == (True, 8, 8)
    assert (result.closes, result.waiting) == ([], [TUESDAY])
    (told,) = result.to_json()["unknown_cancels"]
    assert (told["cancels"], told["transaction_id"], told["trade_date"]) == ("6000", "106002", "2025-11-18")
    assert told["contract"] == "NVDA 2025-11-21 122.5 C"


def test_other_days_of_that_report_are_proven(desk: FlexDesk) -> None:
    for day in (TUESDAY, WEDNESDAY):
        desk.gap(day)
    unknown = cancel(BOOKED, 106002, origTradeID="6000")
    assert desk.take_in(statement(unknown, first=TUESDAY, last=THURSDAY)).closes == [WEDNESDAY]


def test_unknown_trade_of_another_time(desk: FlexDesk) -> None:
    """The row says the time of the trade, which lies before the report: none of its hours are proven."""
    desk.gap(WEDNESDAY)
    unknown = cancel(BOOKED, 106002, origTradeID="6000")
    result = desk.take_in(statement(unknown, first=WEDNESDAY, last=THURSDAY))
    assert (result.closes, result.waiting) == ([], [])


def test_day_is_proven_once_trade_is_known(desk: FlexDesk) -> None:
    """The report of the trade comes later, then that of its cancellation again."""
    desk.gap(WEDNESDAY)
    later = statement(CANCEL, first=WEDNESDAY, last=THURSDAY)
    assert desk.take_in(later).closes == []
    desk.take_in(report(BOOKED, day=TUESDAY))
    result = desk.take_in(later)
    assert (result.voided, result.closes) == (1, [WEDNESDAY])
    assert desk.held() == CLOSED


def test_one_of_two_alike_is_not_guessed(desk: FlexDesk) -> None:
    """Two fills of one order, price and quantity: the time of the cancelled one decides, else nobody."""
    desk.bought(FIRST)
    desk.bought("0000e0d5.6596b0d9.01.01", clock="10:43:30")
    assert len(desk.take_in(report(cancel(BOOKED, 106002, dateTime="20251118;120000"))).unknown) == 1
    assert desk.held() == (True, 8, 8)
    assert desk.take_in(report(CANCEL)).voided == 1
    assert desk.in_force()[-1] == ("0000e0d5.6596b0d9.01.01", 4)


def test_other_trade_of_a_report_is_not_meant(desk: FlexDesk) -> None:
    """It says the same as the cancelled one, which no report listed yet, but has another tradeID."""
    desk.take_in(report(BOOKED, day=TUESDAY))
    second = trade(ibExecID="0000e0d5.6596b0d9.01.01", tradeID="7002", transactionID="106005")
    result = desk.take_in(report(cancel(second, 106006)))
    assert (desk.held(), len(result.unknown)) == (OPEN, 1)
    for _ in range(2):
        desk.take_in(report(second, cancel(second, 106006)))
        assert desk.held() == OPEN


def test_trade_of_another_side_is_not_meant(desk: FlexDesk) -> None:
    desk.bought(FIRST)
    sold = trade(quantity="-4", buySell="SELL", tradeID="6000")
    assert len(desk.take_in(report(cancel(sold, 106002))).unknown) == 1
    assert desk.held() == OPEN


# What the query leaves out


def test_terms_of_a_known_contract(desk: FlexDesk) -> None:
    """The broker listed the contract; without its terms an unknown one is refused by their labels."""
    names = ("underlyingSymbol", "strike", "expiry", "putCall")
    row = {name: value for name, value in trade(symbol="C ODX1 DEC").items() if name not in names}
    with pytest.raises(
        CommandError, match="lacks Underlying Symbol, Strike, Expiry, Put/Call for conid 700100200"
    ):
        desk.take_in(report(row))
    desk.connect(held=4)
    desk.take_in(report(row))
    assert desk.held() == OPEN
    (booked,) = desk.journal.state.find(EXECUTIONS, "exec_id", FIRST)
    contract = booked.execution.contract
    assert (contract.symbol, contract.strike, contract.right) == ("NVDA", Decimal("122.5"), "C")
    assert contract.expiry == date(2025, 11, 21)


def test_name_of_a_known_contract(desk: FlexDesk) -> None:
    """A query without Symbol and Underlying Symbol: what the broker listed has a name."""
    names = ("symbol", "underlyingSymbol", "strike", "expiry", "putCall")
    row = {name: value for name, value in trade().items() if name not in names}
    stock = {**row, "conid": "5", "assetCategory": "STK", "ibExecID": "a.b.c.01"}
    with pytest.raises(CommandError, match=r"lacks Symbol for conid 5, .* tick it in the query's section"):
        desk.take_in(report(stock))
    desk.connect(held=4)
    desk.take_in(report(row))
    assert desk.held() == OPEN
    (booked,) = desk.journal.state.find(EXECUTIONS, "exec_id", FIRST)
    assert booked.execution.contract.symbol == "NVDA"
