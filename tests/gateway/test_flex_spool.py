"""A large report is read in the order of time, within little memory and time."""

from __future__ import annotations

import errno
import time
import tracemalloc
from datetime import date
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from tests.support.flex_report import cancel, statement, trade, write_report
from tracker.gateway.flex import FlexUnreadable, check_report, read_report

DAY = date(2025, 11, 18)
ROWS = 6_000
CPU_SECONDS = 4.0
"""For a tenth of the 60,000 rows that may take 20 s of one core, with room for a slower machine."""
ROW_BYTES = 800


def large(folder: Path, count: int = ROWS) -> Path:
    """Write a report whose rows are not in the order of time."""
    rows = (
        trade(
            conid=str(800_000_000 + number % 50),
            dateTime=f"20251118;{10 + number * 7 % 6}{number % 60:02}{number * 13 % 60:02}",
            ibExecID=f"0000e0d5.{number:08x}.01.01",
            tradeID=str(7_000_000 + number),
            transactionID=str(10_600_000_000 + number),
        )
        for number in range(count)
    )
    return write_report(folder / "flex.xml", statement(*rows, first=DAY, last=DAY))


def test_rows_come_in_the_order_of_time(tmp_path: Path) -> None:
    """Those of one second by their transaction, those that bear on one another among the others."""
    rows = [
        trade(dateTime="20251118;120000", transactionID="3", ibExecID="a.b.3.01", tradeID="3"),
        trade(dateTime="20251118;110000", transactionID="20", ibExecID="a.b.2.01", tradeID="20"),
        trade(dateTime="20251118;110000", transactionID="4", ibExecID="a.b.1.01", tradeID="4"),
        trade(dateTime="20251118;113000", transactionID="5", ibExecID="a.b.5.01", tradeID="5"),
    ]
    rows.append(cancel(rows[3], 6))
    path = write_report(tmp_path / "flex.xml", statement(*rows, first=DAY, last=DAY))
    read = [row["ibExecID"] for row in read_report(path).rows()]
    assert read == ["a.b.1.01", "a.b.2.01", "a.b.5.01", "a.b.5.6", "a.b.3.01"]


def test_rows_can_be_read_again(tmp_path: Path) -> None:
    report = read_report(large(tmp_path, 10))
    assert list(report.rows()) == list(report.rows())


def test_large_report_takes_little_time(tmp_path: Path) -> None:
    path = large(tmp_path)
    began = time.process_time()
    report = read_report(path)
    assert sum(1 for _ in report.rows()) == report.executions == ROWS
    assert time.process_time() - began < CPU_SECONDS


def test_large_report_takes_little_memory(tmp_path: Path) -> None:
    """A row more costs less than its text; as a dictionary it is several thousand bytes."""
    few, many = (peak_of(large(tmp_path, count)) for count in (ROWS // 2, ROWS))
    assert many - few < ROWS // 2 * ROW_BYTES


def peak_of(path: Path) -> int:
    """Return the most bytes that reading a report takes."""
    tracemalloc.start()
    try:
        report = read_report(path)
        for _ in report.rows():
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_full_disk_is_told(tmp_path: Path, mocker: MockerFixture) -> None:
    """The rows wait in the folder of temporary files."""
    mocker.patch("os.pwrite", side_effect=OSError(errno.ENOSPC, "No space left on device"))
    mocker.patch("tracker.gateway.flex_spool._BLOCK", 100)
    path = large(tmp_path, 10)
    with pytest.raises(FlexUnreadable, match="No space left on device; free some space there"):
        read_report(path)
    assert "free some space there" in str(check_report(path).problems[0])
