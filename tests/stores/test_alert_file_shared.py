"""alerts.json is shared with a program that rewrites it: late writes, stale copies, threads."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.alert_bench import NVDA, ROBIN, SPX, TSLA, Bench, expected
from tests.support.facts import execution
from tests.support.fakes import Records
from tests.support.store_cases import FaultyDisk, dump, record, shown_by, some_records, update
from tracker.core.model import AlertId, AlertUpdate, Outcome, StoreUnavailable
from tracker.stores.alert_file import AlertFile


def test_change_before_rename_is_kept(bench: Bench) -> None:
    """A change between reading and the rename is not lost."""
    changed = some_records()
    changed["demslayer"]["SPX"]["sentiment"] = "bearish"
    bench.store.refresh()
    bench.disk.before["sync"] = lambda: bench.put(changed)
    assert list(bench.store.apply([update(NVDA)])) == [Outcome.APPLIED]
    changed[ROBIN]["NVDA"].update(shown_by(update(NVDA)))
    assert bench.records() == changed


def test_file_swapped_before_rename_is_kept(bench: Bench) -> None:
    """Another file put in place right before the rename is not lost."""
    changed = some_records()
    changed["demslayer"]["SPX"]["sentiment"] = "bearish"

    def neighbour() -> None:
        other = bench.path.with_name("other")
        other.write_text(dump(changed))
        other.rename(bench.path)

    bench.store.refresh()
    bench.disk.before["sync"] = neighbour
    assert list(bench.store.apply([update(NVDA)])) == [Outcome.APPLIED]
    changed[ROBIN]["NVDA"].update(shown_by(update(NVDA)))
    assert bench.records() == changed


def test_same_length_change_is_kept(bench: Bench) -> None:
    """Two writes within one tick of the clock look alike to stat."""
    bench.store.apply([update(SPX)])
    changed = bench.path.read_text().replace('"bullish"', '"bearish"')
    times = bench.path.stat()

    def neighbour() -> None:
        bench.path.write_text(changed)
        os.utime(bench.path, ns=(times.st_atime_ns, times.st_mtime_ns))

    bench.disk.before["sync"] = neighbour
    assert list(bench.store.apply([update(NVDA)])) == [Outcome.APPLIED]
    assert {fields["sentiment"] for tickers in bench.records().values() for fields in tickers.values()} == {
        "bearish"
    }


def test_fresh_file_is_read_again(bench: Bench) -> None:
    """A fresh file is read again even if its stat looks the same."""
    bench.clock.now = datetime(1970, 1, 2, tzinfo=UTC)
    bench.store.refresh()
    seen = bench.disk.calls.count("read")
    bench.store.refresh()
    assert bench.disk.calls.count("read") == seen + 1
    bench.clock.now = datetime(2100, 1, 1, tzinfo=UTC)
    bench.store.refresh()
    bench.store.refresh()
    assert bench.disk.calls.count("read") == seen + 2


def test_record_deleted_before_write_stays_deleted(bench: Bench) -> None:
    """A record deleted between finding and writing stays deleted."""
    changed = some_records()
    del changed[ROBIN]["NVDA"]
    bench.store.refresh()
    bench.disk.before["sync"] = lambda: bench.put(changed)
    assert list(bench.store.apply([update(NVDA), update(SPX)])) == [Outcome.GONE, Outcome.APPLIED]
    assert "NVDA" not in bench.records()[ROBIN]


@pytest.mark.parametrize("how", ["empty", "cut", "unlink"])
def test_file_being_rewritten_is_left_alone(bench: Bench, how: str) -> None:
    """A file that is being rewritten right before the rename is left alone."""

    def neighbour() -> None:
        if how == "unlink":
            bench.path.unlink()
        else:
            bench.path.write_text("" if how == "empty" else dump(some_records())[:99])

    bench.store.refresh()
    bench.disk.before["sync"] = neighbour
    with pytest.raises(StoreUnavailable):
        bench.store.apply([update(NVDA)])
    assert not bench.path.exists() or len(bench.path.read_text()) < 100


def test_restless_file_is_given_up(bench: Bench) -> None:
    """A file that never stands still is given up for now."""
    count = 0

    class Restless(FaultyDisk):
        def sync(self, file: int) -> None:
            nonlocal count
            count += 1
            bench.put({**some_records(), "count": {"N": {"n": count}}})
            super().sync(file)

    bench.disk = Restless()
    with pytest.raises(StoreUnavailable, match="changed 10 times while it was being written"):
        bench.again().apply([update(NVDA)])
    assert "open" in bench.records()[ROBIN]["NVDA"]
    assert bench.records()[ROBIN]["NVDA"]["open"] is False


class Neighbour:
    """A program that has opened the file for writing, and takes its time."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+")

    def write(self, text: str) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


@pytest.fixture
def neighbour(bench: Bench) -> Iterator[Neighbour]:
    made = Neighbour(bench.path)
    yield made
    made.close()


def theirs() -> Records:
    records = some_records()
    records["demslayer"]["SPX"]["sentiment"] = "bearish"
    records[ROBIN]["NVDA"]["sentiment"] = "neutral"
    records[ROBIN]["AMD"] = record("AMD", 7)
    del records[ROBIN]["TSLA"]
    return records


def merged() -> Records:
    records = theirs()
    records[ROBIN]["NVDA"].update(shown_by(update(NVDA)))
    return records


def test_write_into_replaced_file_is_merged(bench: Bench, neighbour: Neighbour) -> None:
    """What was written into the replaced file is merged."""
    bench.store.apply([update(NVDA)])
    assert bench.store.settle() is False
    neighbour.write(dump(theirs()))
    assert bench.store.settle() is True
    assert bench.records() == merged()
    assert {alert.id.ticker for alert in bench.store.alerts()} == {"NVDA", "SPX", "AMD"}
    assert bench.store.late_writes_merged == 1
    assert bench.store.settle() is False


def test_late_write_in_pieces_is_merged(bench: Bench, neighbour: Neighbour) -> None:
    """A late write in two pieces is merged when it is whole."""
    bench.store.apply([update(NVDA)])
    text = dump(theirs())
    neighbour.write(text[: len(text) // 2])
    bench.clock.now += timedelta(seconds=3)
    assert bench.store.settle() is False
    neighbour.write(text)
    assert bench.store.settle() is True
    assert bench.records() == merged()


def test_unfinished_late_write_is_counted(bench: Bench, neighbour: Neighbour) -> None:
    """A late write that is never finished is counted."""
    bench.store.apply([update(NVDA)])
    neighbour.write("{")
    for seconds in (0, 3, 8):
        bench.clock.now += timedelta(seconds=seconds)
        bench.store.settle()
    assert (bench.store.late_writes_lost, bench.store.late_writes_merged) == (1, 0)
    neighbour.write(dump(theirs()))
    assert bench.store.settle() is False


def test_replaced_file_is_let_go(bench: Bench, neighbour: Neighbour) -> None:
    """The replaced file is let go after two seconds."""
    bench.store.apply([update(NVDA)])
    bench.clock.now += timedelta(seconds=2)
    bench.store.settle()
    neighbour.write(dump(theirs()))
    assert bench.store.settle() is False
    assert bench.records() == expected(update(NVDA))


def test_unchanged_late_write_is_watched_on(bench: Bench, neighbour: Neighbour) -> None:
    """A replaced file that was written without a change is watched on."""
    bench.store.apply([update(NVDA)])
    neighbour.write(dump(some_records()))
    assert bench.store.settle() is False
    neighbour.write(dump(theirs()))
    assert bench.store.settle() is True


def test_closing_looks_a_last_time(bench: Bench, neighbour: Neighbour) -> None:
    bench.store.apply([update(NVDA)])
    neighbour.write(dump(theirs()))
    bench.store.close()
    assert bench.records() == merged()


def test_later_of_two_late_writes_wins(bench: Bench) -> None:
    """Of two late writes the later one wins."""
    first = Neighbour(bench.path)
    bench.store.apply([update(NVDA)])
    second = Neighbour(bench.path)
    bench.store.apply([update(NVDA, 10)])
    records = some_records()
    records["demslayer"]["SPX"]["sentiment"] = "early"
    records[ROBIN]["TSLA"]["sentiment"] = "only in the first"
    first.write(dump(records))
    records = expected(update(NVDA))
    records["demslayer"]["SPX"]["sentiment"] = "late"
    second.write(dump(records))
    assert bench.store.settle() is True
    found = bench.records()
    assert found["demslayer"]["SPX"]["sentiment"] == "late"
    assert found[ROBIN]["TSLA"]["sentiment"] == "only in the first"
    assert found[ROBIN]["NVDA"] == record(**shown_by(update(NVDA, 10)))
    first.close()
    second.close()


def test_same_length_late_write_is_seen(bench: Bench, neighbour: Neighbour) -> None:
    """A late write of the same length and time is seen at the end."""
    times = bench.path.stat()
    held = os.open(bench.path, os.O_RDWR)
    bench.store.apply([update(NVDA)])
    neighbour.write(dump(some_records()).replace("bullish", "bearish", 1).replace("bullish", "bullisx", 1))
    os.utime(held, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.close(held)
    bench.clock.now += timedelta(seconds=2)
    assert bench.store.settle() is True


def test_replaced_files_kept_open_are_bounded(bench: Bench) -> None:
    """Many replaced files are not all kept open."""
    before = len(os.listdir("/dev/fd"))
    for quantity in range(1, 251):
        bench.store.apply([update(NVDA, quantity)])
    assert len(os.listdir("/dev/fd")) - before <= 102


def test_late_writes_wait_during_outage(bench: Bench, neighbour: Neighbour) -> None:
    """While the file is away late writes wait."""
    bench.store.apply([update(NVDA)])
    neighbour.write(dump(theirs()))
    bench.path.write_text("")
    with pytest.raises(StoreUnavailable):
        bench.store.settle()
    bench.put(expected(update(NVDA)))
    assert bench.store.settle() is True
    assert bench.records() == merged()


# One thread writes, another reads.


def test_readers_never_see_half_a_batch(bench: Bench) -> None:
    bench.store.refresh()
    stop, torn = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            quantities = set()
            for alert in bench.store.alerts():
                quantities.add(alert.open)
            fill = execution("1.1.1.1", 1, order_ref="demslayer/SPX")
            if len(quantities) != 1 or len(bench.store.candidates(fill)) != 2:
                torn.append(quantities)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(20):
            all_of_them = [update(alert, number, open=number % 2 == 0) for alert in (NVDA, TSLA, SPX)]
            bench.store.apply(all_of_them)
    finally:
        stop.set()
        reader.join(30)
    assert torn == []


def test_rewriting_neighbour_loses_no_change(bench: Bench) -> None:
    """The neighbour loads, changes its own field and writes the file in place, as fast as it can."""
    written: dict[str, int] = {}
    wanted: dict[AlertId, AlertUpdate] = {}
    done = threading.Event()
    draw = random.Random(7)
    again: list[AlertId] = []

    def neighbour() -> None:
        number = 0
        while not done.is_set():
            try:
                records: Any = json.loads(bench.path.read_text())
            except ValueError:  # Our own write, half done, cannot be seen: this is what the test would show.
                torn.append(1)
                continue
            number += 1
            key = draw.choice(["NVDA", "TSLA"])
            records[ROBIN][key]["seen"] = number
            # Until this write is over, whatever the tracker writes is written over by it.
            bench.path.write_text(dump(records))
            written[key] = number
            done.wait(0.002)

    torn: list[int] = []
    thread = threading.Thread(target=neighbour)
    thread.start()
    try:
        for quantity in range(1, 41):
            for alert in (NVDA, TSLA, SPX):
                wanted[alert] = update(alert, quantity)
            _until_applied(bench.store, list(wanted.values()), again)
    finally:
        done.set()
        thread.join(30)
    _until_applied(bench.store, list(wanted.values()), again)
    bench.store.settle()
    found = bench.records()
    assert torn == []
    assert {key: found[ROBIN][key]["seen"] for key in written} == written
    for alert, each in wanted.items():
        shown = bench.store.shown(alert)
        assert shown is not None
        assert shown.agrees(each)


def _until_applied(store: AlertFile, updates: list[AlertUpdate], again: list[AlertId]) -> None:
    """Apply as the daemon does: again while the store is away; a bound stands for the test's patience."""
    deadline = time.monotonic() + 60
    while True:
        try:
            store.apply(updates)
            store.settle()
        except StoreUnavailable as error:
            if time.monotonic() > deadline:
                raise AssertionError("the store stayed away") from error
            continue
        return
