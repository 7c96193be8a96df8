"""What of a write can be done before its turn is done then, and seen by nobody."""

from __future__ import annotations

import errno
import os

import pytest

from tests.alert_bench import NVDA, TSLA, Bench, expected
from tests.store_cases import some_records, update
from tracker.core.model import AlertUpdate, Outcome, StoreAway


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
    with pytest.raises(StoreAway, match="free some space"):
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
