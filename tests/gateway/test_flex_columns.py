"""Every column of a Flex query: missing it is named or not needed, and a broken value refuses the report.

The tables below are written from rule 6.2 and from IBKR's reporting reference, whose names a query's page
shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.flex_report import ACCOUNT, cancel, confirm, confirmations, statement, trade, write_report
from tracker.core.model import Execution, Frame
from tracker.gateway.decode import fact_of
from tracker.gateway.flex import FlexReport, FlexUnreadable, read_report
from tracker.gateway.flex_rows import frames_of

DAY = date(2025, 11, 18)
MADE = "20251118;180000"
FILLED = datetime(2025, 11, 18, 15, 43, 10, tzinfo=UTC)
TRADES = "in the query's section Trades (option Executions)"
CONFIRMS = "in the query's section Trade Confirmations"

NEEDED = {
    "assetCategory": "Asset Class",
    "conid": "Conid",
    "quantity": "Quantity",
    "tradePrice": "Trade Price",
    "buySell": "Buy/Sell",
    "dateTime": "Date/Time",
    "levelOfDetail": "Level of Detail",
}
NOT_NEEDED = (
    *("accountId", "currency", "symbol", "underlyingSymbol", "multiplier", "strike", "expiry", "putCall"),
    *("tradeID", "transactionID", "origTradeID", "transactionType", "ibCommission", "ibCommissionCurrency"),
    *("fifoPnlRealized", "openCloseIndicator", "notes", "ibOrderID", "orderReference", "ibExecID"),
)
BROKEN = {
    "accountId": "holds a trade of ? in the statement of DU1234567",
    "conid": "Conid is not an instrument: '?'",
    "multiplier": "Multiplier is no number: '?'",
    "strike": "Strike is not a number: '?'",
    "expiry": "Expiry is no date: '?'",
    "putCall": "Put/Call is neither C nor P: '?'",
    "transactionID": "Transaction ID is no number: '?'",
    "dateTime": "Date/Time is no date and time: '?'",
    "quantity": "Quantity is not a number: '?'",
    "tradePrice": "Trade Price is not a number: '?'",
    "ibCommission": "IB Commission is not a number: '?'",
    "fifoPnlRealized": "Realized P/L is not a number: '?'",
    "buySell": "Buy/Sell is neither BUY nor SELL: '?'",
    "ibOrderID": "IB Order ID is no number: '?'",
    "ibExecID": "IB Execution ID is no execution's: '?'",
    "levelOfDetail": "whose Level of Detail cannot be read",
}
FREE_TEXT = (
    *("currency", "assetCategory", "symbol", "underlyingSymbol", "tradeID", "origTradeID", "transactionType"),
    *("ibCommissionCurrency", "openCloseIndicator", "notes", "orderReference"),
)
EMPTY = {
    "assetCategory": "Asset Class is empty",
    "conid": "Conid is not an instrument: ''",
    "transactionID": "Transaction ID is empty",
    "dateTime": "Date/Time is no date and time: ''",
    "quantity": "Quantity is empty",
    "tradePrice": "Trade Price is empty",
    "buySell": "Buy/Sell is neither BUY nor SELL: ''",
    "levelOfDetail": "whose Level of Detail cannot be read",
}
CONFIRM_NEEDED = {
    "assetCategory": "AssetClass",
    "conid": "Conid",
    "quantity": "Quantity",
    "price": "Price",
    "buySell": "Buy/Sell",
    "dateTime": "Date/Time",
}
OTHER = trade(ibExecID="0000e0d5.6596b0d8.02.01", transactionID="106009", tradeID="7009")


def write(folder: Path, *rows: Mapping[str, str]) -> Path:
    return write_report(folder / "flex.xml", statement(*rows, first=DAY, last=DAY))


def without(row: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in row.items() if name not in names}


def refused(path: Path) -> str:
    with pytest.raises(FlexUnreadable) as caught:
        read_report(path)
    return str(caught.value)


def executions(report: FlexReport) -> list[Execution]:
    received = datetime(2025, 11, 25, tzinfo=UTC)
    facts = [
        fact_of(Frame(1, received, 1, *entry.arriving), UTC)
        for row in report.rows()
        for entry in frames_of(row)
    ]
    return [fact for fact in facts if isinstance(fact, Execution)]


def test_tables_name_every_column() -> None:
    """No column of a report is left out of the tables above."""
    columns = set(trade())
    assert columns == {*NEEDED, *NOT_NEEDED}
    assert columns == {*FREE_TEXT, *BROKEN}


@pytest.mark.parametrize("column", NEEDED)
def test_missing_column_is_named(tmp_path: Path, column: str) -> None:
    """A report without a needed column is refused whole, by the label that the query's page shows."""
    words = refused(write(tmp_path, without(trade(), column), without(OTHER, column)))
    assert NEEDED[column] in words
    assert TRADES in words
    assert ACCOUNT in words


@pytest.mark.parametrize("column", NOT_NEEDED)
def test_other_columns_may_be_missing(tmp_path: Path, column: str) -> None:
    """What the statement, the conid or an option's symbol says as well, and what only describes."""
    (read,) = executions(read_report(write(tmp_path, without(trade(), column))))
    assert (read.account, read.contract.con_id, read.quantity) == (ACCOUNT, 700100200, Decimal(4))
    assert (read.price, read.time) == (Decimal("2.51"), FILLED)
    contract = read.contract
    assert (contract.symbol, contract.right) == ("NVDA", "C")
    assert (contract.strike, contract.expiry) == (Decimal("122.5"), date(2025, 11, 21))


@pytest.mark.parametrize("column", BROKEN)
def test_broken_value_refuses_the_report(tmp_path: Path, column: str) -> None:
    """One row that cannot be read proves no day; its column and the row are named."""
    words = refused(write(tmp_path, OTHER, trade(**{column: "?"})))
    assert BROKEN[column] in words


@pytest.mark.parametrize("column", FREE_TEXT)
def test_free_text_is_read_as_it_is(tmp_path: Path, column: str) -> None:
    """What only describes may say anything."""
    report = read_report(write(tmp_path, OTHER, trade(**{column: "?"})))
    assert [read.quantity for read in executions(report)] == [Decimal(4)] * 2


@pytest.mark.parametrize("column", EMPTY)
def test_empty_value_refuses_the_report(tmp_path: Path, column: str) -> None:
    words = refused(write(tmp_path, OTHER, trade(**{column: ""})))
    assert EMPTY[column] in words
    assert "106009" not in words


@pytest.mark.parametrize("column", [name for name in trade() if name not in EMPTY])
def test_other_values_may_be_empty(tmp_path: Path, column: str) -> None:
    (_, read) = executions(read_report(write(tmp_path, OTHER, trade(**{column: ""}))))
    assert (read.account, read.quantity, read.contract.symbol) == (ACCOUNT, Decimal(4), "NVDA")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quantity": "0"}, "Quantity is zero"),
        ({"quantity": "1e600000"}, "Quantity is not a number"),
        ({"quantity": "-4"}, "Buy/Sell is BUY and the quantity is '-4'"),
        ({"buySell": "SELL"}, "Buy/Sell is SELL and the quantity is '4'"),
        ({"dateTime": "20251118"}, "Date/Time is no date and time: '20251118'"),
        ({"dateTime": "20251118;104310 Mars"}, "Date/Time is no date and time"),
        ({"ibExecID": "", "transactionType": "BookTrade", "tradeID": "", "transactionID": ""}, "is empty"),
    ],
)
def test_row_that_contradicts_itself_is_refused(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    text = refused(write(tmp_path, OTHER, trade(**changes)))
    assert words in text
    assert "nothing of it was imported" in text


def test_date_and_time_may_be_apart(tmp_path: Path) -> None:
    """Trade Date and Trade Time do for Date/Time, both of them."""
    apart = without(trade(tradeDate="20251118", tradeTime="104310"), "dateTime")
    assert executions(read_report(write(tmp_path, apart)))[0].time == FILLED
    for name in ("tradeDate", "tradeTime"):
        assert "lacks Date/Time for account" in refused(write(tmp_path, without(apart, name)))


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        (("transactionID",), "Transaction ID"),
        (("origTradeID",), "Orig Trade ID"),
        (("tradeID",), "Trade ID"),
    ],
)
def test_cancelled_trade_needs_more(tmp_path: Path, columns: tuple[str, ...], label: str) -> None:
    """Whoever cancels a trade must be told which, and whether it was booked again after it."""
    rows = [without(row, *columns) for row in (trade(), cancel(trade(), 106002))]
    assert f"lacks {label} for account" in refused(write(tmp_path, *rows))


def test_cancel_row_that_names_nothing_is_refused(tmp_path: Path) -> None:
    words = refused(write(tmp_path, trade(), cancel(trade(), 106002, origTradeID="")))
    assert "Transaction ID '106002': Orig Trade ID is empty" in words


def test_dashes_are_no_exec_id(tmp_path: Path) -> None:
    """Two such trades would otherwise be one execution."""
    words = refused(write(tmp_path, trade(ibExecID="--")))
    assert "IB Execution ID is no execution's: '--'" in words


def test_row_without_type_and_id_is_refused(tmp_path: Path) -> None:
    """Without type and codes nobody can tell an expiry, which has no execId, from a trade without one."""
    expiry = trade(ibExecID="", transactionType="BookTrade", notes="Ep", quantity="-4", buySell="SELL")
    rows = [without(row, "transactionType", "notes") for row in (OTHER, expiry)]
    assert "lacks Transaction Type for account" in refused(write(tmp_path, *rows))
    for left_out in ("transactionType", "notes"):
        rows = [without(row, left_out) for row in (OTHER, expiry)]
        read = executions(read_report(write(tmp_path, *rows)))
        assert {each.exec_id for each in read} == {OTHER["ibExecID"], "flex-7001"}


@pytest.mark.parametrize("left", ["ibExecID", "tradeID", "transactionID"])
def test_one_number_of_three_does(tmp_path: Path, left: str) -> None:
    """Without any of them nobody can tell whether a trade is known already."""
    numbers = [name for name in ("ibExecID", "tradeID", "transactionID") if name != left]
    (read,) = executions(read_report(write(tmp_path, without(trade(), *numbers))))
    assert (read.quantity, read.time) == (Decimal(4), FILLED)
    assert "lacks IB Execution ID for account" in refused(write(tmp_path, without(trade(), left, *numbers)))


def test_all_missing_columns_are_named_at_once(tmp_path: Path) -> None:
    numbers = ("ibExecID", "tradeID", "transactionID")
    words = refused(write(tmp_path, without(trade(), "conid", "tradePrice", *numbers)))
    assert f"lacks Conid, Trade Price, IB Execution ID for account {ACCOUNT}: tick them {TRADES}" in words


def test_terms_that_no_symbol_holds_are_noted(tmp_path: Path) -> None:
    """Only where an option's symbol does not hold them either; the journal may know the contract."""
    row = trade(symbol="C ODX1 DEC 25 122.5")
    names = ("underlyingSymbol", "strike", "expiry", "putCall")
    report = read_report(write(tmp_path, without(row, *names)))
    assert report.left_out == {700100200: ("Underlying Symbol", "Strike", "Expiry", "Put/Call")}
    assert read_report(write(tmp_path, without(trade(), *names))).left_out == {}
    stock = trade(assetCategory="STK", symbol="NVDA", conid="4815747")
    assert read_report(write(tmp_path, without(stock, *names))).left_out == {}


def test_missing_symbol_is_noted(tmp_path: Path) -> None:
    """The conid is the identity, and the journal may know the name; an option's underlying does for it."""
    stock = trade(assetCategory="STK", symbol="NVDA", conid="4815747")
    nameless = without(stock, "symbol", "underlyingSymbol")
    assert read_report(write(tmp_path, nameless)).left_out == {4815747: ("Symbol",)}
    assert read_report(write(tmp_path, without(trade(), "symbol"))).left_out == {}
    nameless = without(trade(), "symbol", "underlyingSymbol")
    assert read_report(write(tmp_path, nameless)).left_out == {700100200: ("Underlying Symbol",)}


# Trade confirmations


def write_confirms(folder: Path, *rows: Mapping[str, str]) -> Path:
    return write_report(folder / "flex.xml", confirmations(*rows, day=DAY, made=MADE))


def test_confirmations_are_executions(tmp_path: Path) -> None:
    """The same trade as in the Activity query of the next morning, under the same execId."""
    (read,) = executions(read_report(write_confirms(tmp_path, confirm())))
    (again,) = executions(read_report(write(tmp_path, trade())))
    assert read == again


@pytest.mark.parametrize("column", CONFIRM_NEEDED)
def test_missing_column_of_confirmations_is_named(tmp_path: Path, column: str) -> None:
    """By the labels of that query, which are spelled otherwise."""
    words = refused(write_confirms(tmp_path, without(confirm(), column)))
    assert f"lacks {CONFIRM_NEEDED[column]} for account {ACCOUNT}: tick it {CONFIRMS}" in words


@pytest.mark.parametrize("column", [name for name in confirm() if name not in CONFIRM_NEEDED])
def test_other_columns_of_confirmations(tmp_path: Path, column: str) -> None:
    (read,) = executions(read_report(write_confirms(tmp_path, without(confirm(), column))))
    assert (read.account, read.quantity, read.contract.symbol) == (ACCOUNT, Decimal(4), "NVDA")


CONFIRM_BROKEN = {
    "accountId": "holds a trade of ? in the statement of DU1234567",
    "conid": "Conid is not an instrument: '?'",
    "multiplier": "Multiplier is no number: '?'",
    "strike": "Strike is not a number: '?'",
    "expiry": "Expiry is no date: '?'",
    "putCall": "Put/Call is neither C nor P: '?'",
    "dateTime": "Date/Time is no date and time: '?'",
    "quantity": "Quantity is not a number: '?'",
    "price": "Price is not a number: '?'",
    "commission": "Commission is not a number: '?'",
    "buySell": "Buy/Sell is neither BUY nor SELL: '?'",
    "orderID": "OrderID is no number: '?'",
    "execID": "ExecID is no execution's: '?'",
}


@pytest.mark.parametrize("column", list(confirm()))
def test_broken_value_of_confirmations(tmp_path: Path, column: str) -> None:
    """As in the Activity query, by the labels of this one; what only describes may say anything."""
    other = confirm(execID="0000e0d5.6596b0d8.02.01", tradeID="7009")
    path = write_confirms(tmp_path, other, confirm(**{column: "?"}))
    if column in CONFIRM_BROKEN:
        words = refused(path)
        assert CONFIRM_BROKEN[column] in words
        assert column == "accountId" or "0000e0d5.6596b0d8.02.01" not in words
    else:
        assert [read.quantity for read in executions(read_report(path))] == [Decimal(4)] * 2


@pytest.mark.parametrize("column", CONFIRM_NEEDED)
def test_empty_value_of_confirmations(tmp_path: Path, column: str) -> None:
    other = confirm(execID="0000e0d5.6596b0d8.02.01", tradeID="7009")
    assert CONFIRM_NEEDED[column] in refused(write_confirms(tmp_path, other, confirm(**{column: ""})))


def test_confirmations_cover_up_to_their_making(tmp_path: Path) -> None:
    """IBKR needs up to ten minutes to list a trade; a quarter of an hour is left out, to be sure."""
    (part,) = read_report(write_confirms(tmp_path, confirm())).statements
    assert part.begins == datetime(2025, 11, 18, 1, 20, tzinfo=UTC)
    assert part.ends == datetime(2025, 11, 18, 22, 45, tzinfo=UTC)


def test_confirmations_end_with_their_day(tmp_path: Path) -> None:
    text = confirmations(day=DAY, made="20251118;235900")
    (part,) = read_report(write_report(tmp_path / "flex.xml", text)).statements
    assert part.ends == datetime(2025, 11, 19, 1, 20, tzinfo=UTC)


def test_undated_confirmations_cover_nothing(tmp_path: Path) -> None:
    text = confirmations(day=DAY, made="20251118")
    (part,) = read_report(write_report(tmp_path / "flex.xml", text)).statements
    assert part.begins == part.ends


def test_absent_sections_are_named(tmp_path: Path) -> None:
    """What a section would tell and is not in the report is known to be unknown."""
    (part,) = read_report(write(tmp_path, trade())).statements
    assert part.absent == ("OptionEAE", "CorporateActions", "Transfers")
    text = statement(first=DAY, last=DAY, others="<OptionEAE></OptionEAE><Transfers />")
    (part,) = read_report(write_report(tmp_path / "flex.xml", text)).statements
    assert part.absent == ("CorporateActions",)
