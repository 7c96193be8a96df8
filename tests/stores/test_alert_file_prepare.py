"""What of a write can be done before its turn is done then, and seen by nobody."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from tests.support.alert_bench import NVDA, TSLA, Bench, expected
from tests.support.store_cases import some_records, update
from tracker.core.model import AlertUpdate, Outcome, StoreUnavailable


def test_what_was_prepared_is_seen_by_nobody_until_it_is_applied(bench: Bench) -> None:
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
def test_what_was_prepared_for_other_updates_is_thrown_away(bench: Bench, others: list[AlertUpdate]) -> None:
    bench.store.refresh()
    bench.store.prepare([update(NVDA)])
    bench.store.apply(others)
    assert bench.records() == expected(*others)
    assert not [name for name in os.listdir(bench.path.parent) if name.endswith("temp")]


@pytest.mark.parametrize("seen", [True, False])
def test_what_was_prepared_before_another_program_wrote_is_made_again(bench: Bench, seen: bool) -> None:
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


def test_what_cannot_be_prepared_is_told_when_it_is_applied(bench: Bench) -> None:
    bench.store.refresh()
    bench.disk.failing["write"] = OSError(errno.ENOSPC, "No space left on device")
    bench.store.prepare([update(NVDA)])
    assert bench.store.trouble is None
    with pytest.raises(StoreUnavailable, match="free some space"):
        bench.store.apply([update(NVDA)])
    bench.disk.failing.clear()
    assert list(bench.store.apply([update(NVDA)])) == [Outcome.APPLIED]


def test_what_was_prepared_and_never_applied_goes_at_the_end(bench: Bench) -> None:
    store = bench.again()
    before = len(os.listdir("/dev/fd"))
    store.refresh()
    store.prepare([update(NVDA)])
    store.close()
    assert len(os.listdir("/dev/fd")) == before
    assert bench.records() == some_records()
    assert not [name for name in os.listdir(bench.path.parent) if name.endswith("temp")]


def test_a_file_stands_unchanged_until_somebody_writes(bench: Bench) -> None:
    assert not bench.store.unchanged(), "nothing was taken in yet"
    bench.store.refresh()
    assert bench.store.unchanged()
    bench.put({})
    assert not bench.store.unchanged()
    bench.store.refresh()
    assert bench.store.unchanged()
    bench.path.unlink()
    assert not bench.store.unchanged()


def test_a_write_of_our_own_changes_nothing(bench: Bench) -> None:
    bench.store.refresh()
    bench.store.apply([update(NVDA)])
    assert bench.store.unchanged()


def test_a_change_that_a_write_met_is_one_until_it_was_told(bench: Bench) -> None:
    bench.store.refresh()
    theirs = some_records()
    theirs["demslayer"]["SPX"]["note"] = "theirs"
    bench.put(theirs)
    bench.store.apply([update(NVDA)])
    assert not bench.store.unchanged()
    assert bench.store.refresh()
    assert bench.store.unchanged()


def test_a_change_that_the_stat_does_not_show_is_seen_while_the_file_is_young(bench: Bench) -> None:
    bench.clock.now = datetime.now(UTC)
    bench.store.refresh()
    before = bench.disk.stat(bench.path)
    bench.path.write_bytes(bench.path.read_bytes().replace(b"SPX", b"SPY"))
    bench.disk.stat = lambda path: before  # type: ignore[method-assign]  # a clock that is too coarse
    assert not bench.store.unchanged()


def test_what_cannot_be_read_is_not_said_to_stand(bench: Bench) -> None:
    bench.store.refresh()
    bench.disk.failing["stat"] = OSError(errno.EIO, "Input/output error")
    assert not bench.store.unchanged()
    assert bench.store.trouble is None


def test_nothing_is_said_to_stand_while_another_thread_works(bench: Bench) -> None:
    bench.store.refresh()
    with ThreadPoolExecutor(1) as other:
        with bench.store._lock:
            assert not other.submit(bench.store.unchanged).result(60)
        assert other.submit(bench.store.unchanged).result(60)
