"""A trade that was cancelled, booked again or corrected: what of it is in force."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.flex_report import cancel, statement, trade, write_report
from tracker.core.model import CommissionReport, Execution, Frame, Side
from tracker.gateway.decode import fact_of
from tracker.gateway.flex import read_report
from tracker.gateway.flex_rows import frames_of

DAY = date(2025, 11, 18)
FIRST = "0000e0d5.6596b0d8.01.01"


def write(folder: Path, *rows: Mapping[str, str]) -> Path:
    return write_report(folder / "flex.xml", statement(*rows, first=DAY, last=DAY))


def facts(path: Path) -> list[Execution | CommissionReport]:
    """Return what a report says, through the frames that are journalled for it."""
    found = [
        fact_of(Frame(1, datetime(2025, 11, 25, tzinfo=UTC), 1, *entry.arriving), UTC)
        for row in read_report(path).rows()
        for entry in frames_of(row)
    ]
    assert all(isinstance(fact, Execution | CommissionReport) for fact in found), found
    return [fact for fact in found if isinstance(fact, Execution | CommissionReport)]


def executions(path: Path) -> list[Execution]:
    return [fact for fact in facts(path) if isinstance(fact, Execution)]


def booked(number: int, **changes: str) -> dict[str, str]:
    return trade(transactionID=str(106000 + number), **changes)


def cancelled(number: int, **changes: str) -> dict[str, str]:
    """Return the row that cancels trade 7001."""
    return cancel(trade(), 106000 + number, **changes)


def test_rebooked_trade_counts_once(tmp_path: Path) -> None:
    """Cancelled and booked again under its execId: in force, and the fees of all bookings add up."""
    rows = [booked(1), cancelled(2, ibCommission="2.6"), booked(3, ibCommission="-1.3")]
    execution, fee = facts(write(tmp_path, *rows))
    assert isinstance(execution, Execution)
    assert isinstance(fee, CommissionReport)
    assert (execution.exec_id, execution.side, execution.quantity) == (FIRST, Side.BUY, Decimal(4))
    assert (fee.exec_id, fee.commission) == (FIRST, Decimal("1.3"))
    assert read_report(tmp_path / "flex.xml").executions == 1


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
    """Its correction to no quantity comes after it, above every version of the gateway's."""
    first, fee, void, fee_of_void = facts(write(tmp_path, booked(1), cancelled(2, ibCommission="1.1")))
    assert isinstance(first, Execution)
    assert isinstance(void, Execution)
    assert (first.exec_id, first.quantity) == (FIRST, Decimal(4))
    assert (void.exec_id, void.quantity) == ("0000e0d5.6596b0d8.01.106002", Decimal(0))
    assert (void.perm_id, void.time, void.side) == (first.perm_id, first.time, first.side)
    assert fee == CommissionReport(FIRST, Decimal("2.6"), "USD", None)
    assert fee_of_void == CommissionReport(void.exec_id, Decimal("1.5"), "USD", None)


def test_cancelled_twice_is_void(tmp_path: Path) -> None:
    """Booked again and cancelled again: nothing of it is left."""
    rows = [booked(1), cancelled(2), booked(3), cancelled(4)]
    void = executions(write(tmp_path, *rows))[-1]
    assert (void.exec_id, void.quantity) == ("0000e0d5.6596b0d8.01.106004", Decimal(0))


def test_cancel_by_transaction_is_found(tmp_path: Path) -> None:
    """A row may name what it cancels by origTransactionID."""
    rows = [booked(1), cancelled(2, origTradeID="", origTransactionID="106001"), booked(3)]
    assert len(executions(write(tmp_path, *rows))) == 1


def test_cancelled_booking_without_version(tmp_path: Path) -> None:
    """An expiry has no execId whose version could be raised: the opposite trade takes it back."""
    kind = {"transactionType": "BookTrade", "ibExecID": "", "notes": "Ep", "tradePrice": "0"}
    expired = booked(1, quantity="-4", buySell="SELL", **kind)
    first, back = executions(write(tmp_path, expired, cancelled(2, quantity="4", buySell="SELL (Ca.)")))
    assert (first.exec_id, first.side) == ("flex-7001", Side.SELL)
    assert (back.exec_id, back.side, back.quantity) == ("flex-7001-cancelled", Side.BUY, Decimal(4))


def test_cancel_of_absent_trade_is_set_apart(tmp_path: Path) -> None:
    """It is no execution of its own; whoever knows the journal may know the trade."""
    path = write(tmp_path, booked(1), cancelled(2, origTradeID="6000"))
    assert [read.quantity for read in executions(path)] == [Decimal(4)]
    (part,) = read_report(path).statements
    assert [row["transactionID"] for row in part.cancels] == ["106002"]


def test_rebooking_behind_an_absent_trade(tmp_path: Path) -> None:
    """The report of the next day has the cancellation and the second booking only."""
    path = write(tmp_path, cancelled(2), booked(3, ibCommission="0"))
    (execution,) = executions(path)
    assert (execution.exec_id, execution.quantity) == (FIRST, Decimal(4))
    assert [part.cancels for part in read_report(path).statements] == [()]


@pytest.mark.parametrize("copies", [1, 2])
def test_same_row_counts_once(tmp_path: Path, copies: int) -> None:
    path = write_report(
        tmp_path / "flex.xml", *[statement(booked(1), first=DAY, last=DAY) for _ in range(copies)]
    )
    assert len(executions(path)) == read_report(path).executions == 1


def test_two_versions_without_cancel_row(tmp_path: Path) -> None:
    """A query that leaves cancelled trades out shows both; the higher one is in force by its number."""
    rows = [booked(1), booked(2, ibExecID="0000e0d5.6596b0d8.01.02", tradePrice="2.49")]
    path = write(tmp_path, *rows)
    assert sorted(read.exec_id[-2:] for read in executions(path)) == ["01", "02"]
    assert read_report(path).executions == 1


def test_parts_of_one_fill_are_added_up(tmp_path: Path) -> None:
    """3 and 1 under one execId, each with numbers of its own: rows are counted by transactionID."""
    parts = [
        booked(1, quantity="3", ibCommission="-2", fifoPnlRealized=""),
        booked(2, quantity="1", ibCommission="-0.6", tradeID="7002", fifoPnlRealized=""),
    ]
    for rows in (parts, parts[::-1], [*parts, parts[0]]):
        execution, fee = facts(write(tmp_path, *rows))
        assert isinstance(execution, Execution)
        assert isinstance(fee, CommissionReport)
        assert (execution.exec_id, execution.quantity, fee.commission) == (FIRST, Decimal(4), Decimal("2.6"))
    (rest, fee) = facts(write(tmp_path, *parts, cancel(parts[1], 106003)))
    assert isinstance(rest, Execution)
    assert (rest.exec_id, rest.quantity) == (FIRST, Decimal(3))


@pytest.mark.parametrize(
    "changes",
    [
        {"tradeID": "7001"},
        {"tradePrice": "2.49"},
        {"quantity": "-1", "buySell": "SELL"},
        {"tradeID": ""},
        {"dateTime": "20251118;104311"},
    ],
    ids=["Trade ID", "price", "side", "no Trade ID", "time"],
)
def test_what_is_booked_again_is_no_part(tmp_path: Path, changes: dict[str, str]) -> None:
    """Without its cancel row the later booking is in force."""
    again = booked(2, **({"quantity": "1", "tradeID": "7002"} | changes))
    (execution,) = executions(write(tmp_path, booked(1), again))
    assert abs(execution.signed) == 1
