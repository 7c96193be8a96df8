"""A Flex report is read as its query wrote it, or refused by the name of what it lacks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.flex_report import ACCOUNT, statement, trade, write_report
from tracker.core.model import CommissionReport, Execution, Frame, Side
from tracker.gateway.decode import fact_of
from tracker.gateway.flex import LABELS, FlexUnreadable, read_report
from tracker.gateway.flex_dates import evening_of
from tracker.gateway.flex_rows import frames_of

DAY = date(2025, 11, 18)
FILLED = datetime(2025, 11, 18, 15, 43, 10, tzinfo=UTC)
EVENINGS = tuple(datetime(2025, 11, day, 1, 20, tzinfo=UTC) for day in (18, 19, 20))
"""20:20 in New York, of the day before the report's, of its day and of the next."""
RECEIVED = datetime(2025, 11, 25, tzinfo=UTC)


def write(folder: Path, *rows: Mapping[str, str], day: date = DAY) -> Path:
    return write_report(folder / "flex.xml", statement(*rows, first=day, last=day))


def facts(path: Path) -> list[Execution | CommissionReport]:
    """Return what a report says, through the frames that are journalled for it."""
    found = [
        fact_of(Frame(1, RECEIVED, 1, *entry.arriving), UTC)
        for each in read_report(path)
        for row in each.rows
        for entry in frames_of(row)
    ]
    assert all(isinstance(fact, Execution | CommissionReport) for fact in found), found
    return [fact for fact in found if isinstance(fact, Execution | CommissionReport)]


def executions(path: Path) -> list[Execution]:
    return [fact for fact in facts(path) if isinstance(fact, Execution)]


def refused(path: Path) -> str:
    with pytest.raises(FlexUnreadable) as caught:
        read_report(path)
    return str(caught.value)


def covered(path: Path) -> list[tuple[datetime, ...]]:
    return [(each.begins, each.ends) for each in read_report(path)]


def in_form(form: str, day: date, clock: str = "") -> str:
    """Return a date in the form of a query, with a time behind it."""
    return day.strftime(form).upper() + clock


# Dates and times


@pytest.mark.parametrize("clock", ["104310", "10:43:10", "104310 EST", "10:43:10 America/New_York"])
@pytest.mark.parametrize("separator", [";", ", ", ",", " ", ""])
@pytest.mark.parametrize(
    "form", ["%Y%m%d", "%Y-%m-%d", "%m/%d/%Y", "%m/%d/%y", "%d/%m/%Y", "%d/%m/%y", "%d-%b-%y"]
)
def test_every_date_form_is_read(tmp_path: Path, form: str, separator: str, clock: str) -> None:
    """All date forms, time forms and separators that a query offers, in any combination."""
    row = trade(dateTime=in_form(form, DAY, separator + clock), expiry=in_form(form, date(2025, 12, 19)))
    path = write(tmp_path, row)
    text = path.read_text()
    text = text.replace("20251118", in_form(form, DAY))
    text = text.replace("20251119;120000", in_form(form, date(2025, 11, 19), separator + clock))
    path.write_text(text)
    (read,) = executions(path)
    assert (read.time, read.time_known, read.contract.expiry) == (FILLED, True, date(2025, 12, 19))
    assert covered(path) == [EVENINGS[:2]]


def test_time_is_new_yorks_or_written(tmp_path: Path) -> None:
    """Neither the host's zone nor the login's counts; a zone behind the time does."""
    (summer,) = executions(write(tmp_path, trade(dateTime="20250718;104310"), day=date(2025, 7, 18)))
    assert summer.time == datetime(2025, 7, 18, 14, 43, 10, tzinfo=UTC)
    (written,) = executions(write(tmp_path, trade(dateTime="20251118;154310 UTC")))
    assert written.time == FILLED


def test_ambiguous_dates_are_refused(tmp_path: Path) -> None:
    """11/12 may be of December or of November, also by the days that the report covers."""
    path = write(tmp_path, trade(dateTime="11/12/2025;104310", expiry="12/12/2025"))
    path.write_text(path.read_text().replace("20251118", "11/12/2025").replace("20251119;", "12/12/2025;"))
    assert "may be MM/dd/yyyy or dd/MM/yyyy: choose yyyyMMdd" in refused(path)


def test_other_dates_decide_the_form(tmp_path: Path) -> None:
    """The expiry of a row, which has no thirteenth month, decides for all dates."""
    path = write(tmp_path, trade(dateTime="11/12/2025;104310", expiry="19/12/2025"))
    path.write_text(path.read_text().replace("20251118", "11/12/2025").replace("20251119;", "12/12/2025;"))
    assert executions(path)[0].time == datetime(2025, 12, 11, 15, 43, 10, tzinfo=UTC)


def test_unknown_dates_name_the_forms(tmp_path: Path) -> None:
    path = write(tmp_path, trade())
    path.write_text(path.read_text().replace('toDate="20251118"', 'toDate="18. November"'))
    assert "none of the forms that are read (yyyyMMdd, yyyy-MM-dd," in refused(path)


@pytest.mark.parametrize(
    ("clock", "moment"),
    [
        ("104310", FILLED),
        ("201959", datetime(2025, 11, 19, 1, 19, 59, tzinfo=UTC)),
        ("202000", datetime(2025, 11, 18, 1, 20, tzinfo=UTC)),
        ("213145", datetime(2025, 11, 18, 2, 31, 45, tzinfo=UTC)),
    ],
)
def test_trade_date_begins_the_evening_before(tmp_path: Path, clock: str, moment: datetime) -> None:
    """Date and time may be columns of their own; from 20:20 New York a fill has the next trade date."""
    row = trade(tradeDate="20251118", tradeTime=clock)
    del row["dateTime"]
    assert executions(write(tmp_path, row))[0].time == moment


# What is missing


@pytest.mark.parametrize("column", sorted(set(LABELS) - {"levelOfDetail"}))
def test_missing_column_is_named(tmp_path: Path, column: str) -> None:
    """A report without a needed column is refused whole, by the label that the query's page shows."""
    rows = [trade(), trade(ibExecID="a.b.c.01", transactionID="106002", tradeID="7002")]
    for row in rows:
        del row[column]
    words = refused(write(tmp_path, *rows))
    assert f"lacks {LABELS[column]} for account {ACCOUNT}: tick them in the query's section Trades" in words


@pytest.mark.parametrize(
    "column",
    [
        *("accountId", "underlyingSymbol", "strike", "expiry", "putCall", "multiplier", "currency", "notes"),
        *("ibCommission", "fifoPnlRealized", "orderReference", "ibOrderID", "tradeID", "origTradeID"),
    ],
)
def test_other_columns_may_be_missing(tmp_path: Path, column: str) -> None:
    """What the statement, the conid or an option's symbol says as well, and what only describes."""
    row = trade()
    del row[column]
    (read,) = executions(write(tmp_path, row))
    assert (read.account, read.contract.con_id, read.quantity) == (ACCOUNT, 700100200, Decimal(4))
    contract = read.contract
    assert (contract.symbol, contract.right) == ("NVDA", "C")
    assert (contract.strike, contract.expiry) == (Decimal("122.5"), date(2025, 11, 21))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quantity": "many"}, "Quantity is not a number: 'many'"),
        ({"quantity": "0"}, "Quantity is zero"),
        ({"quantity": ""}, "Quantity is empty"),
        ({"tradePrice": "1e600000"}, "Trade Price is not a number"),
        ({"conid": "0"}, "Conid is not an instrument"),
        ({"dateTime": "20251118"}, "Date/Time cannot be read"),
        ({"dateTime": "20251118;104310 Mars"}, "Date/Time cannot be read"),
        ({"ibExecID": ""}, "IB Execution ID is empty"),
        ({"transactionID": ""}, "Transaction ID is empty"),
        ({"ibCommission": "NaN"}, "ibCommission is not a number"),
    ],
)
def test_broken_row_refuses_the_report(tmp_path: Path, changes: dict[str, str], reason: str) -> None:
    """No day is proven by a report of which a row was not read."""
    good = trade(ibExecID="a.b.c.01", transactionID="105000")
    words = refused(write(tmp_path, good, trade(**changes)))
    assert reason in words
    assert re.search(r"Transaction ID '(106001)?'", words)
    assert "nothing of it was taken in" in words


def test_consolidated_accounts_are_refused(tmp_path: Path) -> None:
    """A trade of another account would prove nothing about its days."""
    words = refused(write(tmp_path, trade(accountId="DU9000001")))
    assert f"holds a trade of DU9000001 in the statement of {ACCOUNT}" in words


def test_statement_without_trades_is_read(tmp_path: Path) -> None:
    """A quiet day is proven, too."""
    assert covered(write(tmp_path)) == [EVENINGS[:2]]


# Bookings


def booked(number: int, **changes: str) -> dict[str, str]:
    return trade(transactionID=str(106000 + number), **changes)


def cancelled(number: int, **changes: str) -> dict[str, str]:
    """Return the row that cancels trade 7001."""
    base = {
        "tradeID": "",
        "origTradeID": "7001",
        "transactionType": "TradeCancel",
        "quantity": "-4",
        "ibCommission": "0",
        "notes": "Ca",
        "buySell": "BUY (Ca.)",
        "ibExecID": "",
    }
    return booked(number, **{**base, **changes})


def test_rebooked_trade_counts_once(tmp_path: Path) -> None:
    """Cancelled and booked again under its execId: in force, and the fees of all bookings add up."""
    rows = [booked(1), cancelled(2, ibCommission="2.6"), booked(3, ibCommission="-1.3")]
    execution, fee = facts(write(tmp_path, *rows))
    assert isinstance(execution, Execution)
    assert isinstance(fee, CommissionReport)
    assert (execution.exec_id, execution.side, execution.quantity) == (
        "0000e0d5.6596b0d8.01.01",
        Side.BUY,
        Decimal(4),
    )
    assert (fee.exec_id, fee.commission) == (execution.exec_id, Decimal("1.3"))


def test_order_in_the_file_does_not_matter(tmp_path: Path) -> None:
    """Bookings come in the order of their transactions."""
    rows = [booked(3), cancelled(2), booked(1)]
    (execution,) = executions(write(tmp_path, *rows))
    assert execution.quantity == Decimal(4)


def test_corrected_version_replaces_the_cancelled(tmp_path: Path) -> None:
    """The cancelled forerunner is not subtracted a second time."""
    rows = [booked(1), cancelled(2), booked(3, ibExecID="0000e0d5.6596b0d8.01.02", tradePrice="2.49")]
    (execution,) = executions(write(tmp_path, *rows))
    assert (execution.exec_id[-2:], execution.quantity, execution.price) == (
        "02",
        Decimal(4),
        Decimal("2.49"),
    )


def test_cancelled_trade_is_void(tmp_path: Path) -> None:
    """Its correction to no quantity stands behind it, above every version of the gateway's."""
    first, void = executions(write(tmp_path, booked(1), cancelled(2)))
    assert (first.exec_id, first.quantity) == ("0000e0d5.6596b0d8.01.01", Decimal(4))
    assert (void.exec_id, void.quantity) == ("0000e0d5.6596b0d8.01.99", Decimal(0))
    assert (void.perm_id, void.time) == (first.perm_id, first.time)


def test_cancel_by_transaction_is_found(tmp_path: Path) -> None:
    """A row may name what it cancels by origTransactionID."""
    rows = [booked(1), cancelled(2, origTradeID="", origTransactionID="106001"), booked(3)]
    assert len(executions(write(tmp_path, *rows))) == 1


def test_cancelled_booking_without_version(tmp_path: Path) -> None:
    """An expiry has no execId whose version could be raised: the opposite trade takes it back."""
    expired = booked(1, transactionType="BookTrade", ibExecID="", quantity="-4", notes="Ep", tradePrice="0")
    first, back = executions(write(tmp_path, expired, cancelled(2, quantity="4", buySell="SELL (Ca.)")))
    assert (first.exec_id, first.side) == ("flex-7001", Side.SELL)
    assert (back.exec_id, back.side, back.quantity) == ("flex-7001-cancelled", Side.BUY, Decimal(4))


def test_cancel_of_another_report(tmp_path: Path) -> None:
    """A booking that is in no row of this report is taken back by the opposite trade."""
    (back,) = executions(write(tmp_path, cancelled(2, origTradeID="6000", tradeID="6001")))
    assert (back.side, back.quantity, back.order_key) == (Side.SELL, Decimal(4), None)


def test_statements_of_single_days(tmp_path: Path) -> None:
    """With a statement for each day a row counts in its own, and one that stands in two counts once."""
    second = date(2025, 11, 19)
    other = booked(2, ibExecID="a.b.c.01", tradeID="7002", dateTime="20251119;104310")
    path = write_report(
        tmp_path / "flex.xml",
        statement(booked(1), first=DAY, last=DAY),
        statement(other, booked(1), first=second, last=second),
    )
    assert [read.exec_id for read in executions(path)] == ["0000e0d5.6596b0d8.01.01", "a.b.c.01"]
    assert covered(path) == [EVENINGS[:2], EVENINGS[1:]]


@pytest.mark.parametrize(
    ("first", "last", "begins", "ends"),
    [
        ("11-17", "11-17", "11-14", "11-17"),
        ("11-14", "11-16", "11-13", "11-14"),
        ("11-15", "11-16", "11-14", "11-14"),
    ],
)
def test_weekend_belongs_to_monday(tmp_path: Path, first: str, last: str, begins: str, ends: str) -> None:
    """Monday's trade date begins on Friday evening; Saturday and Sunday are none."""
    days = [date.fromisoformat(f"2025-{text}") for text in (first, last, begins, ends)]
    report = write_report(tmp_path / "flex.xml", statement(first=days[0], last=days[1]))
    assert covered(report) == [(evening_of(days[2]), evening_of(days[3]))]
