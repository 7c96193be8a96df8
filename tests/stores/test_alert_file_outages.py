"""An alert file that is absent, cut off or holds what cannot be used: nothing is lost and nothing hidden."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from datetime import UTC, timedelta
from typing import Any

import msgspec
import pytest

from tests.support.alert_bench import NVDA, ROBIN, SPX, Bench
from tests.support.store_cases import dump, removal, some_records, update
from tracker.core.model import AlertUpdate, Outcome, StoreUnavailable
from tracker.stores.alert_file import AlertFile
from tracker.stores.filesystem import READ_LIMIT


def test_absent_file_has_no_alerts_yet(bench: Bench) -> None:
    """A file that was never there is an empty store, and never made."""
    bench.path.unlink()
    assert bench.store.refresh() is False
    before = bench.store.absent
    assert list(bench.store.alerts()) == []
    assert list(bench.store.apply([update(NVDA), removal(NVDA)])) == [Outcome.GONE, Outcome.GONE]
    assert not bench.path.exists()
    bench.put(some_records())
    assert bench.store.refresh() is True
    assert (before, bench.store.absent) == (True, False)
    assert list(bench.store.apply([update(NVDA)])) == [Outcome.APPLIED]


@pytest.mark.parametrize("known", ["read", "expected"])
def test_file_that_went_is_an_outage(bench: Bench, known: str) -> None:
    """What was read, or is known from an earlier run, and is gone is no store without alerts."""
    if known == "read":
        bench.store.refresh()
    else:
        bench.store.expect()
    bench.path.unlink()
    for attempt in (bench.store.refresh, lambda: bench.store.apply([update(NVDA), removal(NVDA)])):
        with pytest.raises(StoreUnavailable, match="is gone; put it back"):
            attempt()
    assert len(bench.store.alerts()) == (3 if known == "read" else 0)
    assert not bench.path.exists()
    bench.put(some_records())
    bench.store.refresh()
    assert list(bench.store.apply([update(NVDA)])) == [Outcome.APPLIED]
    assert bench.store.trouble is None


@pytest.mark.parametrize(
    "content", [b"", b"  \n", dump(some_records()).encode()[:300], b"{} x", b'{"\xff": 1}']
)
def test_cut_off_file_is_never_written(bench: Bench, content: bytes) -> None:
    """An empty or cut off file is unreadable and never written."""
    bench.store.refresh()
    bench.path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"left alone until its writer has finished it$"):
            bench.store.refresh()
        with pytest.raises(StoreUnavailable, match=r"left alone until its writer has finished it$"):
            bench.store.apply([update(NVDA)])
    assert bench.path.read_bytes() == content
    assert len(bench.store.alerts()) == 3


@pytest.mark.parametrize(
    ("content", "step"),
    [
        (b"\xef\xbb\xbf{}", "byte order mark; it is left alone until its writer leaves that out"),
        (b"[]", "starts with '\\['.*correct the program that writes it, or stores.alerts"),
    ],
)
def test_wrong_form_names_its_writer(bench: Bench, content: bytes, step: str) -> None:
    """Waiting for a writer to finish does not help where it writes something else."""
    bench.path.write_bytes(content)
    with pytest.raises(StoreUnavailable, match=step):
        bench.store.refresh()
    with pytest.raises(StoreUnavailable, match=step):
        bench.store.apply([update(NVDA)])
    assert bench.path.read_bytes() == content


def test_huge_file_is_not_read(bench: Bench) -> None:
    """What would fill the memory is an outage, as a file of NULs after the records is; it ends by itself."""
    bench.store.refresh()
    os.truncate(bench.path, READ_LIMIT + 1)
    with pytest.raises(StoreUnavailable, match="File too large; a file of more than 128 MiB is not read"):
        bench.store.refresh()
    bench.put(some_records())
    bench.store.refresh()
    assert bench.store.trouble is None


def test_trouble_has_time_and_ends(bench: Bench) -> None:
    """Trouble says since when and goes when the file is whole again."""
    bench.store.refresh()
    bench.path.write_bytes(b"")
    since = bench.clock.now
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            bench.store.refresh()
        with pytest.raises(StoreUnavailable):
            bench.store.apply([update(NVDA)])
        bench.clock.now += timedelta(seconds=5)
    assert bench.store.trouble is not None
    assert bench.store.trouble[0] == since
    assert "is empty" in bench.store.trouble[1]
    bench.put(some_records())
    bench.store.refresh()
    assert bench.store.trouble is None


def test_write_trouble_stays_while_reading_works(bench: Bench) -> None:
    """Trouble with writing stays while reading is well."""
    bench.disk.failing["write"] = OSError(errno.ENOSPC, "No space left on device")
    since = bench.clock.now
    with pytest.raises(
        StoreUnavailable, match=r"written: No space left on device; free some space on that disk$"
    ):
        bench.store.apply([update(NVDA)])
    bench.clock.now += timedelta(seconds=5)
    bench.store.refresh()
    assert bench.store.trouble is not None
    assert bench.store.trouble[0] == since
    bench.disk.failing.clear()
    assert list(bench.store.apply([update(NVDA)])) == [Outcome.APPLIED]
    assert bench.store.trouble is None


def test_missing_folder_is_an_outage(bench: Bench) -> None:
    """A store whose folder went away is not one without alerts."""
    bench.store.refresh()
    bench.path.unlink()
    bench.path.parent.rmdir()
    with pytest.raises(StoreUnavailable, match="cannot be read: No such file or directory"):
        bench.store.refresh()
    assert len(bench.store.alerts()) == 3


def test_pipe_as_file_does_not_block(bench: Bench) -> None:
    """A pipe in the files place does not stop the tracker."""
    bench.path.unlink()
    os.mkfifo(bench.path)
    with pytest.raises(StoreUnavailable, match="not a regular file"):
        bench.store.refresh()


def test_unusable_names_are_kept_but_hidden(bench: Bench) -> None:
    """Records with names that are no text are kept and not shown."""
    text = (
        '{"a": {"T\\ud800": {"x": 1}, "U": {"created_at": "\\udfff"}, "V": {"created_at": "v"},'
        ' "W\\u001fX": {"x": 1}, "Y\\u0000": {"x": 1}}, "b\\u001f": {"Z": {"x": 1}}}'
    )
    bench.path.write_text(text)
    bench.store.refresh()
    assert [alert.id.ticker for alert in bench.store.alerts()] == ["V"]
    bench.store.apply([AlertUpdate(bench.store.alerts()[0].id, True, None, None)])
    assert bench.path.read_text() == text.replace('"v"', '"v", "open": true')


@pytest.mark.parametrize("depth", [10, 300, 600, 900, 950, 970, 980, 985, 990, 995, 1000, 2000, 200_000])
def test_deep_nesting_is_kept(bench: Bench, depth: int) -> None:
    """A value nested deeply is kept or makes the file unreadable."""
    deep = "[" * depth + "]" * depth
    text = dump(some_records()).replace('"122.5"', deep, 1)
    bench.path.write_text(text)
    outcomes: list[Outcome] = []
    with suppress(StoreUnavailable):
        outcomes = list(bench.store.apply([update(SPX)]))
    if outcomes:
        assert outcomes == [Outcome.APPLIED]
        assert deep in bench.path.read_text()
    else:
        assert bench.store.trouble is not None
        assert "nested too deeply" in bench.store.trouble[1]
        assert bench.path.read_text() == text


def test_unreadable_record_hides_no_other(bench: Bench) -> None:
    """Whatever reading one record raises; it is read again when the file changes."""
    failures = [RecursionError("maximum recursion depth exceeded")]

    def enrich(alert: Any) -> Any:
        if failures:
            raise failures.pop()
        return alert

    store = AlertFile(bench.path, zone=UTC, now=bench.clock, enrich=enrich)
    assert store.refresh() is True
    assert len(store.alerts()) == 2
    bench.put(some_records() | {"wolf": {}})
    store.refresh()
    assert len(store.alerts()) == 3
    store.close()


@pytest.mark.parametrize(
    "bad",
    [
        '{"x": ' + "[" * 5_000 + "]" * 5_000 + "}",
        '{"x": ' + "9" * 5_000 + "}",
        '{"created_at": "\\ud83d"}',
        '{"created_at": "' + "x" * 1_000 + '"}',
        '{"alert_details": {"strike": "1e400000", "expiry": "OCT \\ud83d", "ticker": "\\ud83d"}}',
        '{"alert_details": {"strike": 1e400, "expiry": 99999999999999999999, "ticker": 7}}',
        '{"created_at": "0001-01-01T00:00:00+14:00"}',
        '{"created_at": "9999-12-31T23:59:59-12:00"}',
        '{"option_conids": [' + "9," * 5_000 + "9]}",
    ],
)
def test_careless_record_hides_no_other(bench: Bench, bad: str) -> None:
    """The others are read and written; what is taken of it can be written into the journal."""
    text = dump(some_records())
    bench.path.write_text(text[:-2] + ',\n  "careless": {\n    "BAD": ' + bad + "\n  }\n}")
    bench.store.refresh()
    alerts = {alert.id.name: alert for alert in bench.store.alerts()}
    assert {f"{ROBIN}/NVDA", f"{ROBIN}/TSLA", "demslayer/SPX"} <= set(alerts)
    assert len(msgspec.json.encode(tuple(alerts.values()))) < 20_000
    assert bench.store.apply([update(NVDA)]) == [Outcome.APPLIED]
    assert bad in bench.path.read_text()


def test_restless_file_is_not_read_midway(bench: Bench) -> None:
    """A file that is written without a pause is not read in the middle."""

    def rewrite() -> None:
        bench.path.write_text(dump(some_records()) + " " * bench.disk.calls.count("read"))
        bench.disk.before["read"] = rewrite

    bench.disk.before["read"] = rewrite
    with pytest.raises(StoreUnavailable, match="changed each time while it was read"):
        bench.store.refresh()
    bench.disk.before.clear()
    assert bench.store.refresh() is True


def test_failed_read_is_retried(bench: Bench) -> None:
    """A read that fails is reported and made good."""
    for _ in range(2):
        bench.disk.failing["read"] = OSError(errno.EIO, "Input/output error")
        bench.path.write_text(bench.path.read_text() + " ")
        with pytest.raises(StoreUnavailable, match=r"cannot be read: Input/output error$"):
            bench.store.refresh()
        bench.disk.failing.clear()
        bench.store.refresh()
        assert len(bench.store.alerts()) == 3
