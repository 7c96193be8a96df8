"""What of a write can be done before its turn is done then, and seen by no one."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from tests.support.alert_bench import NVDA, TSLA, Bench, expected
from tests.support.store_cases import some_records, update
from tracker.core.model import AlertUpdate, Outcome, StoreUnavailable


def test_prepared_write_is_invisible(bench: Bench) -> None:
    """What was prepared is seen by no one until it is applied."""
    bench.store.refresh()
    bench.store.prepare([update(NVDA)])
    assert bench.records() == some_records()
    bench.disk.calls.clear()
    assert list(bench.store.apply([update(NVDA)])) == [Outcome.APPLIED]
    assert bench.records() == expected(update(NVDA))
    # All that was slow lay behind.
    assert not {"open_new", "write", "sync"} & set(bench.disk.calls)
    assert bench.disk.calls[-2:] == ["rename", "sync_folder"]


@pytest.mark.parametrize("others", [[update(NVDA, 9)], [update(TSLA)], []])
def test_prepared_for_other_updates_is_dropped(bench: Bench, others: list[AlertUpdate]) -> None:
    """What was prepared for other updates is thrown away."""
    bench.store.refresh()
    bench.store.prepare([update(NVDA)])
    bench.store.apply(others)
    assert bench.records() == expected(*others)
    assert not [name for name in os.listdir(bench.path.parent) if name.endswith("temp")]


@pytest.mark.parametrize("seen", [True, False])
def test_prepared_before_a_change_is_remade(bench: Bench, seen: bool) -> None:
    """What was prepared before another program wrote is made again."""
    bench.store.refresh()
    bench.store.prepare([update(NVDA)])
    theirs = some_records()
    theirs["demslayer"]["SPX"]["note"] = "theirs"
    bench.put(theirs)
    if seen:
        bench.store.refresh()
    assert list(bench.store.apply([update(NVDA)])) == [Outcome.APPLIED]
    assert bench.records()["demslayer"]["SPX"]["note"] == "theirs"
    assert bench.records()[NVDA.alerter]["NVDA"]["open"] is True


def test_failed_preparation_fails_when_applied(bench: Bench) -> None:
    """What cannot be prepared is reported when it is applied."""
    bench.store.refresh()
    bench.disk.failing["write"] = OSError(errno.ENOSPC, "No space left on device")
    bench.store.prepare([update(NVDA)])
    assert bench.store.trouble is None
    with pytest.raises(StoreUnavailable, match="free some space"):
        bench.store.apply([update(NVDA)])
    bench.disk.failing.clear()
    assert list(bench.store.apply([update(NVDA)])) == [Outcome.APPLIED]


def test_unapplied_preparation_goes_at_end(bench: Bench) -> None:
    """What was prepared and never applied goes at the end."""
    store = bench.again()
    before = len(os.listdir("/dev/fd"))
    store.refresh()
    store.prepare([update(NVDA)])
    store.close()
    assert len(os.listdir("/dev/fd")) == before
    assert bench.records() == some_records()
    assert not [name for name in os.listdir(bench.path.parent) if name.endswith("temp")]


def test_file_is_unchanged_until_written(bench: Bench) -> None:
    """A file stands unchanged until somebody writes."""
    assert not bench.store.unchanged(), "nothing was taken in yet"
    bench.store.refresh()
    assert bench.store.unchanged()
    bench.put({})
    assert not bench.store.unchanged()
    bench.store.refresh()
    assert bench.store.unchanged()
    bench.path.unlink()
    assert not bench.store.unchanged()


def test_own_write_changes_nothing(bench: Bench) -> None:
    """A write of our own changes nothing."""
    bench.store.refresh()
    bench.store.apply([update(NVDA)])
    assert bench.store.unchanged()


def test_change_met_by_write_is_reported(bench: Bench) -> None:
    """A change that a write met is one until it was reported."""
    bench.store.refresh()
    theirs = some_records()
    theirs["demslayer"]["SPX"]["note"] = "theirs"
    bench.put(theirs)
    bench.store.apply([update(NVDA)])
    assert not bench.store.unchanged()
    assert bench.store.refresh()
    assert bench.store.unchanged()


def test_young_file_is_compared_by_content(bench: Bench) -> None:
    """A change that the stat does not show is seen while the file is young."""
    bench.clock.now = datetime.now(UTC)
    bench.store.refresh()
    before = bench.disk.stat(bench.path)
    bench.path.write_bytes(bench.path.read_bytes().replace(b"SPX", b"SPY"))
    bench.disk.stat = lambda path: before  # type: ignore[method-assign]  # a clock that is too coarse
    assert not bench.store.unchanged()


def test_unreadable_file_is_never_unchanged(bench: Bench) -> None:
    """What cannot be read is not said to stand."""
    bench.store.refresh()
    bench.disk.failing["stat"] = OSError(errno.EIO, "Input/output error")
    assert not bench.store.unchanged()
    assert bench.store.trouble is None


def test_busy_store_is_never_unchanged(bench: Bench) -> None:
    """Nothing is said to stand while another thread works."""
    bench.store.refresh()
    with ThreadPoolExecutor(1) as other:
        with bench.store._lock:
            assert not other.submit(bench.store.unchanged).result(60)
        assert other.submit(bench.store.unchanged).result(60)
