"""A Flex report is read as its query wrote it, or refused by the name of what it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tests.support.flex_report import ACCOUNT, bare_statement, elements, statement, trade, write_report
from tracker.core.model import CommissionReport, Execution, Frame
from tracker.gateway.decode import fact_of
from tracker.gateway.flex import FlexUnreadable, read_report
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
        for row in read_report(path).rows()
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
    return [(each.begins, each.ends) for each in read_report(path).statements]


def in_form(form: str, day: date, clock: str = "") -> str:
    """Return a date in the form of a query, with a time after it."""
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
    """Neither the host's zone nor the login's counts; a zone after the time does."""
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


# What is refused


def test_consolidated_accounts_are_refused(tmp_path: Path) -> None:
    """A trade of another account would prove nothing about its days."""
    words = refused(write(tmp_path, trade(accountId="DU9000001")))
    assert f"holds a trade of DU9000001 in the statement of {ACCOUNT}" in words


def test_statement_without_trades_is_read(tmp_path: Path) -> None:
    """A quiet day is proven, too."""
    assert covered(write(tmp_path)) == [EVENINGS[:2]]


@pytest.mark.parametrize("tag", ["Order", "SymbolSummary", "AssetSummary", "Lot", "WashSale"])
@pytest.mark.parametrize("section", ["Trades", "TradeConfirms"])
def test_summaries_without_executions_are_refused(tmp_path: Path, section: str, tag: str) -> None:
    """A query without the option Executions lists no trade, so its report proves no day."""
    text = f"<{section}>{elements(tag, [trade(levelOfDetail='', ibExecID='')])}</{section}>"
    part = bare_statement(text, first=DAY, last=DAY, made="20251119;120000")
    words = refused(write_report(tmp_path / "flex.xml", part))
    assert f"lists trades of {ACCOUNT} by {tag.lower()} only" in words
    assert "the option Executions" in words


def test_summaries_beside_executions_are_passed_over(tmp_path: Path) -> None:
    """They repeat what is counted already."""
    rows = elements("Order", [trade(levelOfDetail="ORDER", ibExecID="")]) + elements("Trade", [trade()])
    part = bare_statement(f"<Trades>{rows}</Trades>", first=DAY, last=DAY, made="20251119;120000")
    (read,) = executions(write_report(tmp_path / "flex.xml", part))
    assert read.quantity == 4


def test_replaced_file_is_noticed(tmp_path: Path) -> None:
    """The file is read twice; another one that is there the second time is not taken for it."""
    path = write(tmp_path, trade())

    def replace(done: int, total: int) -> None:
        if done == total:
            other = statement(trade(), trade(ibExecID="a.b.c.01"), first=DAY, last=DAY)
            write_report(tmp_path / "other.xml", other).replace(path)

    with pytest.raises(FlexUnreadable, match="was changed while it was read"):
        read_report(path, replace)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "declares a document type"),
        ("<?xml version='1.0' encoding='utf-7'?><a/>", "is no Flex report: "),
        ("<?xml version='1.0' encoding='nonesuch'?><a/>", "is no Flex report: unknown encoding"),
        (
            "<FlexStatementResponse><Status>Warn</Status></FlexStatementResponse>",
            "answer of the web service without one",
        ),
        ("<a><FlexStatement", "no Flex report: "),
    ],
)
def test_other_xml_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "flex.xml"
    path.write_text(text)
    assert words in refused(path)


def test_folder_is_refused(tmp_path: Path) -> None:
    assert "is no file; name the report's file" in refused(tmp_path)


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    path = write(tmp_path, *(trade(ibExecID=f"a.b.{number}.01") for number in range(500)))
    told: list[tuple[int, int]] = []
    read_report(path, lambda done, total: told.append((done, total)))
    size = path.stat().st_size
    assert told[-1] == (size, size)
    assert len(told) > 4


# Bookings


def test_statements_of_single_days(tmp_path: Path) -> None:
    """With a statement for each day a row counts in its own, and one that stands in two counts once."""
    second = date(2025, 11, 19)
    other = trade(transactionID="106002", ibExecID="a.b.c.01", tradeID="7002", dateTime="20251119;104310")
    path = write_report(
        tmp_path / "flex.xml",
        statement(trade(), first=DAY, last=DAY),
        statement(other, trade(), first=second, last=second),
    )
    assert {read.exec_id for read in executions(path)} == {"0000e0d5.6596b0d8.01.01", "a.b.c.01"}
    assert read_report(path).executions == 2
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
