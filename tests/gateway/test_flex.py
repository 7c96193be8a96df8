"""Flex reports: read as text, imported like any other fact, and never twice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.daemon_rig import Rig
from tests.support.flex_report import ACCOUNT, statement, trade, write_report
from tests.support.reconcile_rig import CONTRACTS, ROBIN, alert_of, import_answer, play, reconcile, traded
from tracker.clock import now
from tracker.core.model import BrokerFact, CommissionReport, Execution, Frame, Moment, Side, Undecodable
from tracker.core.state import GAPS
from tracker.core.state_rows import Gap
from tracker.gateway.decode import fact_of
from tracker.gateway.flex import FlexUnreadable, read_report
from tracker.gateway.flex_dates import evening_of
from tracker.gateway.flex_rows import frames_of
from tracker.journal.journal import Journal

EASTERN = ZoneInfo("US/Eastern")
DAY = date(2025, 11, 18)
ZONE = ("--gateway.timezone", "US/Eastern")


def facts(row: Mapping[str, str]) -> list[BrokerFact | None]:
    """Return what a row says, through the frames that are journalled for it."""
    at = datetime(2025, 11, 25, tzinfo=UTC)
    return [fact_of(Frame(1, at, 1, *entry.arriving), EASTERN) for entry in frames_of(row)]


def executed(**changes: str) -> Execution:
    found = facts(trade(**changes))[0]
    assert isinstance(found, Execution), found
    return found


def test_row_is_execution_and_fee() -> None:
    """A row is an execution with its fee."""
    execution, fee = facts(trade())
    assert isinstance(execution, Execution)
    contract = execution.contract
    assert (execution.exec_id, execution.account, execution.side) == (
        "0000e0d5.6596b0d8.01.01",
        ACCOUNT,
        Side.BUY,
    )
    assert (execution.quantity, execution.price, execution.perm_id) == (Decimal(4), Decimal("2.51"), 188)
    assert execution.time == datetime(2025, 11, 18, 15, 43, 10, tzinfo=UTC)
    assert (contract.con_id, contract.symbol, contract.right) == (700100200, "NVDA", "C")
    assert (contract.strike, contract.expiry) == (Decimal("122.5"), date(2025, 11, 21))
    assert fee == CommissionReport("0000e0d5.6596b0d8.01.01", Decimal("2.6"), "USD", None)


def test_numeric_text_stays_text() -> None:
    """Float parsing would make infinity of the symbol INF, and 100000.0 of a reference."""
    read = executed(assetCategory="STK", symbol="INF", underlyingSymbol="", orderReference="1e5", strike="")
    assert (read.contract.symbol, read.order_ref) == ("INF", "1e5")
    assert executed(quantity="0.1").quantity == Decimal("0.1")
    assert executed(tradePrice="2.5100000001").price == Decimal("2.5100000001")


@pytest.mark.parametrize("text", ["20251118;104310", "2025-11-18;10:43:10", "20251118, 104310"])
def test_old_row_is_read_in_plain_forms(text: str) -> None:
    """A row that was journalled before its file's form was looked at is read in the plain forms."""
    assert executed(dateTime=text).time == datetime(2025, 11, 18, 15, 43, 10, tzinfo=UTC)


def test_old_row_without_time_is_kept() -> None:
    """A row that was journalled with an unreadable time is at its receipt."""
    read = executed(dateTime="yesterday")
    assert (read.time_known, read.time) == (False, datetime(2025, 11, 25, tzinfo=UTC))


def test_expiry_row_is_named_by_trade() -> None:
    """An expiry is a closing execution, named by its tradeID."""
    read = executed(
        transactionType="BookTrade", ibExecID="", tradeID="7009", tradePrice="0", quantity="-4", notes="Ep"
    )
    assert (read.exec_id, read.side, read.quantity, read.price) == (
        "flex-7009",
        Side.SELL,
        Decimal(4),
        Decimal(0),
    )


def test_cancelled_trade_is_taken_back() -> None:
    """A cancelled trade takes back what it cancels, and adds to no order."""
    read = executed(buySell="BUY (Ca.)", quantity="-4", ibExecID="", notes="Ca")
    assert (read.side, read.quantity, read.order_key) == (Side.SELL, Decimal(4), None)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"quantity": "many"}, "quantity"),
        ({"quantity": "0"}, "quantity"),
        ({"conid": ""}, "conid"),
        ({"tradePrice": ""}, "tradePrice"),
        ({"strike": "NaN"}, "strike"),
    ],
)
def test_incomplete_row_is_undecodable(changes: dict[str, str], word: str) -> None:
    """A row that lacks something is kept, with the column that it lacks."""
    found = facts(trade(**changes))[0]
    assert isinstance(found, Undecodable)
    assert word in found.reason
    assert found.exec_id == "0000e0d5.6596b0d8.01.01"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quantity": "1e600000"}, "quantity is not a number"),
        ({"tradePrice": "1e25"}, "tradePrice has more than 12 digits"),
        ({"ibExecID": "a.b.c." + "1" * 5000}, "ibExecID is longer than 100 characters"),
        ({"conid": "9" * 5000}, "conid is not an instrument"),
    ],
)
def test_row_beyond_its_bounds_is_undecodable(changes: dict[str, str], reason: str) -> None:
    """The reason names the column, and is short however long the text is."""
    found = facts(trade(**changes))[0]
    assert isinstance(found, Undecodable)
    assert found.reason.startswith(reason)
    assert len(found.reason) < 200


def test_endless_fee_is_undecodable() -> None:
    """The execution of the same row counts."""
    execution, fee = facts(trade(ibCommission="-1e999999"))
    assert isinstance(execution, Execution)
    assert isinstance(fee, Undecodable)
    assert fee.reason.startswith("ibCommission is not a number")


def test_endless_description_costs_no_row() -> None:
    """Order number, expiry and time only describe; what cannot be read there stays empty."""
    read = executed(ibOrderID="9" * 5000, expiry="99991231", dateTime="99991231;235959", symbol="N")
    assert (read.perm_id, read.contract.expiry, read.time_known) == (0, None, False)


def test_only_executions_of_the_statement_count(tmp_path: Path) -> None:
    order = trade(levelOfDetail="ORDER", ibExecID="")
    other = trade(accountId="DU9000001", ibExecID="a.b.c.01")
    report = write_report(
        tmp_path / "flex.xml",
        statement(trade(), order, first=DAY, last=DAY),
        statement(other, first=DAY, last=DAY, account="DU9000001"),
    )
    found = [(row["accountId"], row["ibExecID"]) for row in read_report(report).rows()]
    assert found == [(ACCOUNT, "0000e0d5.6596b0d8.01.01"), ("DU9000001", "a.b.c.01")]


def test_unfinished_day_is_not_covered(tmp_path: Path) -> None:
    """A trade date that was not over when the report was made is not covered."""
    last = DAY + timedelta(days=2)
    report = write_report(tmp_path / "flex.xml", statement(first=DAY, last=last, made=last))
    (read,) = read_report(report).statements
    assert (read.begins, read.ends) == (evening_of(date(2025, 11, 17)), evening_of(date(2025, 11, 19)))
    report = write_report(tmp_path / "flex.xml", statement(first=DAY, last=DAY, made=DAY))
    (read,) = read_report(report).statements
    assert read.begins == read.ends


@pytest.mark.parametrize("form", ["%Y%m%d", "%d/%m/%Y"])
def test_period_that_ends_behind_the_report(tmp_path: Path, form: str) -> None:
    """A custom period may reach into the days to come: what is covered ends the day before it was made."""
    monday, wednesday, friday = (date(2025, 11, day) for day in (17, 19, 21))
    text = statement(trade(dateTime="20251118;104310"), first=monday, last=friday, made=wednesday)
    for day in (monday, date(2025, 11, 18), wednesday, friday):
        text = text.replace(f'"{day:%Y%m%d}', f'"{day:{form}}')
    (part,) = read_report(write_report(tmp_path / "flex.xml", text)).statements
    assert part.ends == datetime(2025, 11, 19, 1, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no xml", "no Flex report"),
        ("<FlexQueryResponse/>", "no FlexStatement"),
        ('<a><FlexStatement accountId="DU1" fromDate="20251118" toDate="20251118"/></a>', "has no Trades"),
        ('<a><FlexStatement accountId="DU1"><Trades/></FlexStatement></a>', "which days"),
        (
            '<a><FlexStatement accountId="DU1"><Trades><Trade levelOfDetail="ORDER"/></Trades>'
            "</FlexStatement></a>",
            "Executions",
        ),
    ],
)
def test_unusable_report_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """A file that is no usable report is refused, with what to change in the query."""
    path = tmp_path / "flex.xml"
    path.write_text(text)
    with pytest.raises(FlexUnreadable, match=words):
        read_report(path)


def test_a_report_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FlexUnreadable, match="cannot be read"):
        read_report(tmp_path / "flex.xml")


def moved(ticker: str, quantity: int, *, ago: float, number: int, **changes: str) -> dict[str, str]:
    """Return a row that moves one of the rig's contracts, some seconds ago."""
    contract = CONTRACTS[ticker]
    return trade(
        conid=str(contract.con_id),
        underlyingSymbol=ticker,
        expiry="20301220",
        quantity=str(quantity),
        buySell="BUY" if quantity > 0 else "SELL",
        dateTime=(now() - timedelta(seconds=ago)).astimezone(EASTERN).strftime("%Y%m%d;%H%M%S"),
        ibExecID=f"0000aaaa.{number:08x}.01.01",
        ibOrderID=str(900 + number),
        tradeID=str(7000 + number),
        transactionID=str(106000 + number),
        **changes,
    )


def gap_today(rig: Rig) -> date:
    """Plant a gap while the tracker is stopped."""
    day = (now() - timedelta(seconds=30)).astimezone(EASTERN).date()
    journal = Journal(rig.folder / "journal.db")
    with journal.step():
        journal.state.put(GAPS, Gap(day, Moment(now(), 1)))
    journal.close()
    return day


def shown(rig: Rig, ticker: str) -> tuple[Any, ...]:
    record = rig.read(ROBIN, ticker)
    return record["open"], record["position"]["quantity"], record["last_order_update"]["commission"]


@pytest.mark.parametrize("running", [True, False])
def test_report_updates_alerts_and_gap(tmp_path: Path, running: bool) -> None:
    """NVDA was sold, AMD was bought while nobody watched; a second import changes nothing."""

    async def story(rig: Rig) -> None:
        rig.options = [*ZONE]
        rig.write(
            {
                ROBIN: {
                    "NVDA": alert_of("NVDA", created_at=_earlier()),
                    "AMD": alert_of("AMD", created_at=_earlier()),
                }
            }
        )
        await traded(rig, "NVDA", ago=60)
        assert await rig.stop() == 0
        day = gap_today(rig)
        rig.gateway.set_position(ACCOUNT, CONTRACTS["NVDA"], 0, push=False)
        rig.gateway.set_position(ACCOUNT, CONTRACTS["AMD"], 3, push=False)
        # What the tracker knows of the broker's positions is from before these in the one case, and the
        # positions that it asks when it starts are from after them in the other.
        ago = 30 if running else -2
        rows = [moved("NVDA", -4, ago=ago, number=1), moved("AMD", 3, ago=ago, number=2)]
        # Up to the trade date after the day's evening, whatever weekday it is.
        made = statement(*rows, first=day, last=day + timedelta(days=3))
        report = write_report(rig.folder / "flex.xml", made)
        if running:
            await rig.start()
        before = rig.alerts_path.read_text()
        plan = await reconcile(rig, "--flex", str(report), "--dry-run", *ZONE)
        assert plan.answer["dry_run"]
        assert rig.alerts_path.read_text() == before
        done = await reconcile(rig, "--flex", str(report), *ZONE)
        assert plan.answer["imported"] == done.answer["imported"]
        changes = done.answer["imported"].pop("changes")
        assert [(each["what"], each["execution"][:10]) for each in changes] == [
            ("new", "SELL 4 NVD"),
            ("new", "BUY 3 AMD "),
        ]
        assert done.answer["imported"].pop("absent_sections")
        assert done.answer["imported"] == import_answer(2, 2, day.isoformat())
        assert shown(rig, "NVDA") == (False, 0, 2.6)
        assert shown(rig, "AMD") == (True, 3, 2.6)
        assert "gap" not in [kind for kind, _ in done.found]
        text = rig.alerts_path.read_text()
        again = await reconcile(rig, "--flex", str(report), *ZONE)
        assert again.answer["imported"].pop("absent_sections")
        assert again.answer["imported"].pop("changes") == []
        assert again.answer["imported"] == import_answer(2, 0)
        assert again.found == done.found
        assert rig.alerts_path.read_text() == text

    play(tmp_path, story)


@pytest.mark.parametrize(("rebooked", "left"), [(True, 4), (False, 0)])
def test_cancelled_fill_of_the_gateway(tmp_path: Path, rebooked: bool, left: int) -> None:
    """A fill of the gateway's is cancelled by the report, and booked again under its execId or not."""

    async def story(rig: Rig) -> None:
        rig.options = [*ZONE]
        rig.write({ROBIN: {"NVDA": alert_of("NVDA", created_at=_earlier())}})
        await traded(rig, "NVDA", ago=60)
        told = rig.read(ROBIN, "NVDA")["last_order_update"]
        ids = {"ibExecID": told["exec_id"], "ibOrderID": str(told["perm_id"])}
        assert await rig.stop() == 0
        rig.gateway.set_position(ACCOUNT, CONTRACTS["NVDA"], left, push=False)
        booking = moved("NVDA", 4, ago=60, number=1) | ids
        cancel = booking | {
            "transactionID": "106002",
            "transactionType": "TradeCancel",
            "tradeID": "",
            "origTradeID": booking["tradeID"],
            "quantity": "-4",
            "buySell": "BUY (Ca.)",
            "notes": "Ca",
            "ibExecID": "",
            "ibCommission": "0",
        }
        again = [booking | {"transactionID": "106003", "ibCommission": "0"}] if rebooked else []
        day = (now() - timedelta(seconds=60)).astimezone(EASTERN).date()
        report = write_report(
            rig.folder / "flex.xml", statement(booking, cancel, *again, first=day, last=day)
        )
        for _ in range(2):
            await reconcile(rig, "--flex", str(report), *ZONE)
            shown = rig.read(ROBIN, "NVDA")
            assert (shown["open"], shown["position"]["quantity"]) == (rebooked, left)
            assert shown["last_order_update"]["filled_qty"] == left

    play(tmp_path, story)


def _earlier() -> str:
    """Return when an alert was written that fills of a minute ago may belong to."""
    return (now() - timedelta(minutes=10)).replace(tzinfo=None).isoformat()


def test_report_of_other_login_is_refused(tmp_path: Path) -> None:
    """A report of a paper account is refused by a journal of live ones."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": alert_of("NVDA")}})
        await rig.start()
        live = statement(trade(accountId="U9000001"), first=DAY, last=DAY, account="U9000001")
        done = await reconcile(rig, "--flex", str(write_report(rig.folder / "flex.xml", live)))
        assert done.code == 1
        assert done.answer["error"]["code"] == "refused"

    play(tmp_path, story)
