"""A copy of the store's alerts as a file: whole, for readers only, and never over another writer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.store_cases import id_of, some_records, update
from tracker.core.ports import StoreRefused
from tracker.mirror.file_copy import Copy
from tracker.stores.shared_producer import SummedRecord

RECORDS = some_records()


def summed(alerter: str, ticker: str, **changes: Any) -> SummedRecord:
    """Return a record of the store without parts."""
    plain = SummedRecord(
        id_of(RECORDS, alerter, ticker), "box", (), False, None, None,
        json.dumps(RECORDS[alerter][ticker], indent=2), False,
    )  # fmt: skip
    return plain._replace(**changes)


ALL = [summed(alerter, ticker) for alerter, tickers in RECORDS.items() for ticker in tickers]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "alerts.json")


def test_copy_reads_like_its_source(copy: Copy) -> None:
    """Records of one alerter stand together, others as their producers wrote them."""
    assert copy.write(ALL)
    assert json.loads(copy.path.read_text()) == RECORDS
    assert copy.path.stat().st_mode & 0o777 == 0o644
    assert not copy.write(ALL)
    assert copy.write([])
    assert json.loads(copy.path.read_text()) == {}


def test_copy_shows_the_sum(copy: Copy) -> None:
    change = update(ALL[0].alert, 10)
    held = summed(
        "robindahood-alerts", "NVDA", open=True, seats=("left", "right"),
        last_order_update=change.last_order_update, position=change.position,
    )  # fmt: skip
    copy.write([held, *ALL[1:]])
    record = json.loads(copy.path.read_text())["robindahood-alerts"]["NVDA"]
    assert (record["open"], record["position"]["quantity"]) == (True, 10)
    assert list(record)[:4] == list(RECORDS["robindahood-alerts"]["NVDA"])[:4]


def test_removed_record_is_left_out(copy: Copy) -> None:
    copy.write([ALL[0]._replace(removed=True), *ALL[1:]])
    assert set(json.loads(copy.path.read_text())["robindahood-alerts"]) == {"TSLA"}


def test_file_from_before_is_kept(copy: Copy) -> None:
    """Once, so that a mirror with the wrong flag costs nothing."""
    copy.path.write_text("what stood there")
    copy.write(ALL)
    kept = copy.path.with_name("alerts.json.tracker-backup")
    assert kept.read_text() == "what stood there"
    Copy(copy.path).write([])
    assert kept.read_text() == "what stood there"


def test_another_writer_ends_the_copying(copy: Copy) -> None:
    """Its file stays as it wrote it."""
    copy.write(ALL)
    copy.path.write_text('{"mine": {}}')
    with pytest.raises(StoreRefused, match="was written by another program"):
        copy.write([])
    assert copy.path.read_text() == '{"mine": {}}'


def test_deleted_copy_is_written_again(copy: Copy) -> None:
    copy.write(ALL)
    copy.path.unlink()
    assert copy.write(ALL)
    assert json.loads(copy.path.read_text()) == RECORDS
