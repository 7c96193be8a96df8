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


def test_a_change_between_reading_and_the_rename_is_not_lost(bench: Bench) -> None:
    changed = some_records()
    changed["demslayer"]["SPX"]["sentiment"] = "bearish"
    bench.store.refresh()
    bench.disk.before["sync"] = lambda: bench.put(changed)
    assert list(bench.store.apply([update(NVDA)])) == [Outcome.APPLIED]
    changed[ROBIN]["NVDA"].update(shown_by(update(NVDA)))
    assert bench.records() == changed


def test_another_file_put_in_place_right_before_the_rename_is_not_lost(bench: Bench) -> None:
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


def test_a_change_of_the_same_length_at_the_same_time_is_not_lost(bench: Bench) -> None:
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


def test_a_fresh_file_is_read_again_even_if_its_stat_looks_the_same(bench: Bench) -> None:
    bench.clock.now = datetime(1970, 1, 2, tzinfo=UTC)
    bench.store.refresh()
    seen = bench.disk.calls.count("read")
    bench.store.refresh()
    assert bench.disk.calls.count("read") == seen + 1
    bench.clock.now = datetime(2100, 1, 1, tzinfo=UTC)
    bench.store.refresh()
    bench.store.refresh()
    assert bench.disk.calls.count("read") == seen + 2


def test_a_record_deleted_between_finding_and_writing_stays_deleted(bench: Bench) -> None:
    changed = some_records()
    del changed[ROBIN]["NVDA"]
    bench.store.refresh()
    bench.disk.before["sync"] = lambda: bench.put(changed)
    assert list(bench.store.apply([update(NVDA), update(SPX)])) == [Outcome.GONE, Outcome.APPLIED]
    assert "NVDA" not in bench.records()[ROBIN]


@pytest.mark.parametrize("how", ["empty", "cut", "unlink"])
def test_a_file_that_is_being_rewritten_right_before_the_rename_is_left_alone(bench: Bench, how: str) -> None:
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


def test_a_file_that_never_stands_still_is_given_up_for_now(bench: Bench) -> None:
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


def test_what_was_written_into_the_replaced_file_is_merged(bench: Bench, neighbour: Neighbour) -> None:
    bench.store.apply([update(NVDA)])
    assert bench.store.settle() is False
    neighbour.write(dump(theirs()))
    assert bench.store.settle() is True
    assert bench.records() == merged()
    assert {alert.id.ticker for alert in bench.store.alerts()} == {"NVDA", "SPX", "AMD"}
    assert bench.store.late_writes_merged == 1
    assert bench.store.settle() is False


def test_a_late_write_in_two_pieces_is_merged_when_it_is_whole(bench: Bench, neighbour: Neighbour) -> None:
    bench.store.apply([update(NVDA)])
    text = dump(theirs())
    neighbour.write(text[: len(text) // 2])
    bench.clock.now += timedelta(seconds=3)
    assert bench.store.settle() is False
    neighbour.write(text)
    assert bench.store.settle() is True
    assert bench.records() == merged()


def test_a_late_write_that_is_never_finished_is_counted(bench: Bench, neighbour: Neighbour) -> None:
    bench.store.apply([update(NVDA)])
    neighbour.write("{")
    for seconds in (0, 3, 8):
        bench.clock.now += timedelta(seconds=seconds)
        bench.store.settle()
    assert (bench.store.late_writes_lost, bench.store.late_writes_merged) == (1, 0)
    neighbour.write(dump(theirs()))
    assert bench.store.settle() is False


def test_the_replaced_file_is_let_go_after_two_seconds(bench: Bench, neighbour: Neighbour) -> None:
    bench.store.apply([update(NVDA)])
    bench.clock.now += timedelta(seconds=2)
    bench.store.settle()
    neighbour.write(dump(theirs()))
    assert bench.store.settle() is False
    assert bench.records() == expected(update(NVDA))


def test_a_replaced_file_that_was_written_without_a_change_is_watched_on(
    bench: Bench, neighbour: Neighbour
) -> None:
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


def test_of_two_late_writes_the_later_one_wins(bench: Bench) -> None:
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


def test_a_late_write_of_the_same_length_and_time_is_seen_at_the_end(
    bench: Bench, neighbour: Neighbour
) -> None:
    times = bench.path.stat()
    held = os.open(bench.path, os.O_RDWR)
    bench.store.apply([update(NVDA)])
    neighbour.write(dump(some_records()).replace("bullish", "bearish", 1).replace("bullish", "bullisx", 1))
    os.utime(held, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.close(held)
    bench.clock.now += timedelta(seconds=2)
    assert bench.store.settle() is True


def test_many_replaced_files_are_not_all_kept_open(bench: Bench) -> None:
    before = len(os.listdir("/dev/fd"))
    for quantity in range(1, 251):
        bench.store.apply([update(NVDA, quantity)])
    assert len(os.listdir("/dev/fd")) - before <= 102


def test_while_the_file_is_away_late_writes_wait(bench: Bench, neighbour: Neighbour) -> None:
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


def test_with_a_neighbour_rewriting_all_the_time_nobody_loses_a_change(bench: Bench) -> None:
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
