"""alerts.json is read and written without losing anybody's change."""

from __future__ import annotations

import errno
import json
import os
import stat
from contextlib import suppress
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.alert_bench import NVDA, ROBIN, SPX, TSLA, Bench, expected
from tests.support.facts import execution
from tests.support.json_texts import JsonText, calm, texts
from tests.support.store_cases import Clock, Crash, dump, record, removal, shown_by, some_records, update
from tracker.core.model import AlertId, AlertUpdate, Outcome, StoreUnavailable
from tracker.core.ports import StoreRefused
from tracker.stores.alert_file import AlertFile
from tracker.stores.alert_reader import read_id

# Every byte.


def test_a_written_file_is_what_a_dump_would_write(bench: Bench) -> None:
    bench.store.apply([update(NVDA), update(SPX, 1)])
    assert bench.path.read_text() == dump(expected(update(NVDA), update(SPX, 1)))
    bench.store.apply([update(NVDA, 10)])
    assert bench.path.read_text() == dump(expected(update(NVDA, 10), update(SPX, 1)))


@pytest.mark.parametrize("ending", ["", "\n", "\n\n  "])
def test_the_end_of_the_file_is_kept(bench: Bench, ending: str) -> None:
    bench.path.write_text(dump(some_records()) + ending)
    bench.store.apply([update(NVDA)])
    assert bench.path.read_text() == dump(expected(update(NVDA))) + ending


def test_raw_utf8_and_odd_spellings_stay(bench: Bench) -> None:
    text = '{"é": {"NVDA":{"created_at":"x","w":1.0,"v":1e5,"u":123456789012345678901234567890,"é":"😀"}}}'
    bench.path.write_text(text)
    bench.store.apply([AlertUpdate(AlertId("é", "NVDA", "x", None), True, None, None)])
    assert bench.path.read_text() == text.replace('"😀"', '"😀","open":true')


@calm
@given(texts(), st.data())
def test_in_any_formatting_only_the_named_record_changes(
    tmp_path_factory: pytest.TempPathFactory, drawn: JsonText, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("store") / "alerts.json"
    path.write_bytes(drawn.text.encode())
    store = AlertFile(path, zone=UTC, now=Clock())
    store.refresh()
    try:
        alerts = [alert.id for alert in store.alerts()]
        if not alerts:
            return
        alert = data.draw(st.sampled_from(alerts))
        slot = [slot for slot in drawn.slots if (slot.alerter, slot.ticker) == (alert.alerter, alert.ticker)][
            -1
        ]
        assert list(store.apply([update(alert)])) == [Outcome.APPLIED]
        after = path.read_bytes().decode()
        before, end = drawn.text[: slot.start], drawn.text[slot.end :]
        assert after.startswith(before)
        assert after.endswith(end)
        fields = json.loads(after[len(before) : len(after) - len(end)])
        assert fields == {**json.loads(drawn.text[slot.start : slot.end]), **shown_by(update(alert))}
    finally:
        store.close()


def test_removing_a_record_leaves_what_a_dump_would_write(bench: Bench) -> None:
    bench.store.apply([removal(NVDA)])
    left = some_records()
    del left[ROBIN]["NVDA"]
    assert bench.path.read_text() == dump(left)
    assert {alert: json.loads(text) for alert, text in bench.store.removed.items()} == {NVDA: record()}
    bench.store.apply([removal(SPX)])
    left["demslayer"].clear()
    assert bench.path.read_text() == dump(left)
    assert list(bench.store.removed) == [SPX]


def test_nothing_is_written_when_nothing_changes(bench: Bench) -> None:
    bench.store.apply([update(NVDA)])
    before = bench.path.stat()
    other = NVDA._replace(option_conid=1)
    assert list(bench.store.apply([update(NVDA), update(other)])) == [Outcome.DUPLICATE, Outcome.GONE]
    assert bench.path.stat() == before


def test_a_batch_is_one_replacement(bench: Bench) -> None:
    bench.store.apply([update(NVDA), update(TSLA), update(SPX)])
    assert bench.disk.calls.count("rename") == 2  # The backup's and the file's.
    bench.store.apply([update(NVDA, 5), update(TSLA, 5), update(SPX, 5)])
    assert bench.disk.calls.count("rename") == 3


# What is no store.


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
        with pytest.raises(StoreUnavailable, match="is not there, and it has been; put it back"):
            attempt()
    assert len(bench.store.alerts()) == (3 if known == "read" else 0)
    assert not bench.path.exists()
    bench.put(some_records())
    bench.store.refresh()
    assert list(bench.store.apply([update(NVDA)])) == [Outcome.APPLIED]
    assert bench.store.trouble is None


@pytest.mark.parametrize(
    "content", [b"", b"  \n", dump(some_records()).encode()[:300], b"[]", b"{} x", b'{"\xff": 1}']
)
def test_an_empty_or_cut_off_file_is_unreadable_and_never_written(bench: Bench, content: bytes) -> None:
    bench.store.refresh()
    bench.path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="left alone and read again"):
            bench.store.refresh()
        with pytest.raises(StoreUnavailable, match="left alone and read again"):
            bench.store.apply([update(NVDA)])
    assert bench.path.read_bytes() == content
    assert len(bench.store.alerts()) == 3


def test_trouble_says_since_when_and_goes_when_the_file_is_whole_again(bench: Bench) -> None:
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


def test_trouble_with_writing_stays_while_reading_is_well(bench: Bench) -> None:
    bench.disk.failing["write"] = OSError(errno.ENOSPC, "No space left on device")
    since = bench.clock.now
    with pytest.raises(StoreUnavailable, match="cannot be written: No space left on device; free some space"):
        bench.store.apply([update(NVDA)])
    bench.clock.now += timedelta(seconds=5)
    bench.store.refresh()
    assert bench.store.trouble is not None
    assert bench.store.trouble[0] == since
    bench.disk.failing.clear()
    assert list(bench.store.apply([update(NVDA)])) == [Outcome.APPLIED]
    assert bench.store.trouble is None


def test_a_store_whose_folder_went_away_is_not_one_without_alerts(bench: Bench) -> None:
    bench.store.refresh()
    bench.path.unlink()
    bench.path.parent.rmdir()
    with pytest.raises(StoreUnavailable, match="cannot be read: No such file or directory"):
        bench.store.refresh()
    assert len(bench.store.alerts()) == 3


def test_a_pipe_in_the_files_place_does_not_stop_the_tracker(bench: Bench) -> None:
    bench.path.unlink()
    os.mkfifo(bench.path)
    with pytest.raises(StoreUnavailable, match="not a regular file"):
        bench.store.refresh()


def test_records_with_names_that_are_no_text_are_kept_and_not_shown(bench: Bench) -> None:
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
def test_a_value_nested_deeply_is_kept_or_makes_the_file_unreadable(bench: Bench, depth: int) -> None:
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


def test_a_file_that_is_written_without_a_pause_is_not_read_in_the_middle(bench: Bench) -> None:
    def rewrite() -> None:
        bench.path.write_text(dump(some_records()) + " " * bench.disk.calls.count("read"))
        bench.disk.before["read"] = rewrite

    bench.disk.before["read"] = rewrite
    with pytest.raises(StoreUnavailable, match="written without a pause"):
        bench.store.refresh()
    bench.disk.before.clear()
    assert bench.store.refresh() is True


def test_a_read_that_fails_is_told_and_made_good(bench: Bench) -> None:
    for _ in range(2):
        bench.disk.failing["read"] = OSError(errno.EIO, "Input/output error")
        bench.path.write_text(bench.path.read_text() + " ")
        with pytest.raises(StoreUnavailable, match="cannot be read: Input/output error; it is tried again"):
            bench.store.refresh()
        bench.disk.failing.clear()
        bench.store.refresh()
        assert len(bench.store.alerts()) == 3


# Durable and whole.


def test_the_steps_of_a_write_come_in_the_order_that_makes_it_durable(bench: Bench) -> None:
    bench.store.apply([update(NVDA)])
    bench.disk.calls.clear()
    bench.store.apply([update(NVDA, 10)])
    writing = bench.disk.calls[bench.disk.calls.index("open_new") :]
    beside = ["open_new", "set_owner", "copy_attributes", "write", "sync"]
    assert writing == [*beside, "stat", "read", "rename", "sync_folder"]


def test_a_duplicate_after_a_restart_is_synced_before_it_is_reported(bench: Bench) -> None:
    """The run before may have crashed between the rename and the sync of the folder."""
    bench.put(expected(update(NVDA)))
    assert list(bench.store.apply([update(NVDA)])) == [Outcome.DUPLICATE]
    assert bench.disk.calls[-2:] == ["sync", "sync_folder"]
    bench.disk.calls.clear()
    bench.store.apply([update(NVDA)])
    assert "sync" not in bench.disk.calls


def test_when_the_last_sync_fails_the_next_try_makes_it_good(bench: Bench) -> None:
    bench.store.apply([update(NVDA)])
    bench.disk.failing["sync_folder"] = OSError(errno.EIO, "Input/output error")
    with pytest.raises(StoreUnavailable, match="Input/output error"):
        bench.store.apply([update(NVDA, 10)])
    with pytest.raises(StoreUnavailable, match="Input/output error"):
        bench.store.apply([update(NVDA, 10)])
    bench.disk.failing.clear()
    bench.disk.calls.clear()
    assert list(bench.store.apply([update(NVDA, 10)])) == [Outcome.DUPLICATE]
    assert bench.disk.calls[-1] == "sync_folder"


@pytest.mark.parametrize("step", ["remove", "open_new", "set_owner", "write", "sync", "rename"])
@pytest.mark.parametrize(
    "code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.EBUSY]
)
def test_an_error_before_the_rename_writes_nothing_and_the_next_try_succeeds(
    bench: Bench, step: str, code: int
) -> None:
    bench.store.refresh()
    bench.store.apply([update(SPX)])
    before = bench.path.read_text()
    bench.disk.failing[step] = OSError(code, os.strerror(code))
    with pytest.raises(StoreUnavailable, match=os.strerror(code)):
        bench.store.apply([update(NVDA)])
    assert bench.path.read_text() == before
    assert bench.store.refresh() is False
    bench.disk.failing.clear()
    assert list(bench.store.apply([update(NVDA)])) == [Outcome.APPLIED]
    assert bench.records() == expected(update(SPX), update(NVDA))


def test_a_crash_at_every_step_leaves_the_old_or_the_new_file_and_the_next_run_completes(
    tmp_path: Path,
) -> None:
    old, new = dump(some_records()), dump(expected(update(NVDA), update(SPX)))
    crashes, finished = 0, False
    while not finished:
        folder = tmp_path / str(crashes)
        folder.mkdir()
        bench = Bench(folder)
        bench.put(some_records())
        bench.disk.crash_at = crashes
        try:
            bench.store.apply([update(NVDA), update(SPX)])
            finished = True
        except Crash:
            crashes += 1
            assert bench.path.read_text() in (old, new)
        bench.disk.crash_at = -1
        outcomes = set(bench.again().apply([update(NVDA), update(SPX)]))
        assert outcomes <= {Outcome.APPLIED, Outcome.DUPLICATE}
        assert len(outcomes) == 1, "all or nothing"
        assert bench.path.read_text() == new
        backup = folder / "alerts.json.tracker-backup"
        # The backup is what stood before the first write that went through.
        assert not backup.exists() or backup.read_text() in (old, new)
        for store in bench.stores:
            store.close()
    assert crashes > 15


def test_the_first_write_makes_a_backup_and_later_ones_leave_it(bench: Bench) -> None:
    backup = bench.path.with_name("alerts.json.tracker-backup")
    bench.store.refresh()
    bench.store.apply([update(NVDA._replace(option_conid=1))])
    assert not backup.exists()
    bench.store.apply([update(NVDA)])
    assert backup.read_text() == dump(some_records())
    bench.again().apply([update(NVDA, 10)])
    assert backup.read_text() == dump(some_records())


def test_a_symbolic_link_stays_one_and_its_target_is_replaced(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    target = bench.path.rename(folder / "real.json")
    bench.path.symlink_to(target)
    target.chmod(0o640)
    assert list(bench.store.apply([update(NVDA)])) == [Outcome.APPLIED]
    assert bench.path.is_symlink()
    assert json.loads(target.read_text()) == expected(update(NVDA))
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    bench.path.unlink()
    bench.path.symlink_to(folder / "nowhere.json")
    with pytest.raises(StoreUnavailable, match="is not there"):
        bench.store.refresh()


def test_the_check_at_start_refuses_what_cannot_be_kept(bench: Bench) -> None:
    bench.store.check()
    bench.disk.failing["set_owner"] = PermissionError(errno.EPERM, "Operation not permitted")
    with pytest.raises(StoreRefused, match="run the tracker as user"):
        bench.store.check()


def test_no_file_stays_open(bench: Bench) -> None:
    before = len(os.listdir("/dev/fd"))
    store = bench.again()
    for quantity in range(5):
        bench.put(some_records())
        store.apply([update(NVDA, quantity)])
        bench.path.write_bytes(b"")
        with pytest.raises(StoreUnavailable):
            store.refresh()
        bench.path.unlink()
        with pytest.raises(StoreUnavailable):
            store.refresh()
    store.close()
    assert len(os.listdir("/dev/fd")) == before


# What changed is read, and no more.


def test_only_changed_records_are_read_again(bench: Bench) -> None:
    read: list[str] = []

    def enrich(alert: Any) -> Any:
        read.append(alert.id.ticker)
        return alert

    store = AlertFile(bench.path, zone=UTC, now=bench.clock, enrich=enrich)
    store.refresh()
    read.clear()
    changed = some_records()
    changed[ROBIN]["TSLA"]["sentiment"] = "bearish"
    bench.put(changed)
    store.refresh()
    assert read == ["TSLA"]
    store.apply([update(NVDA)])
    assert read == ["TSLA", "NVDA"]
    store.close()


def test_alerts_can_be_enriched_again(bench: Bench) -> None:
    known: dict[str, frozenset[int]] = {}

    def enrich(alert: Any) -> Any:
        return replace(alert, con_ids=known.get(alert.id.ticker, alert.con_ids))

    store = AlertFile(bench.path, zone=UTC, now=bench.clock, enrich=enrich)
    store.refresh()
    store.enrich_again()
    assert [alert.con_ids for alert in store.alerts() if alert.id == SPX] == [frozenset()]
    known["SPX"] = frozenset({99})
    store.enrich_again()
    fill = execution("1.1.1.1", 1)
    assert [alert.con_ids for alert in store.alerts() if alert.id == SPX] == [frozenset({99})]
    assert [alert.id for alert in store.candidates(fill)] == [NVDA]
    assert store.shown(SPX) is not None
    store.close()


def test_a_fill_sees_few_of_many_alerts_and_one_write_does_not_read_them_all_again(bench: Bench) -> None:
    many = {"a": {f"T{number}": record(f"T{number}", 1000 + number) for number in range(2000)}}
    bench.put(many)
    bench.store.refresh()
    fill = execution("1.1.1.1", 1, order_ref="a/T7")
    assert [alert.id.ticker for alert in bench.store.candidates(fill)] == ["T7"]
    alert = read_id("a", "T7", many["a"]["T7"])
    before = {id(each) for each in bench.store.alerts()}
    bench.store.apply([update(alert)])
    assert sum(id(each) not in before for each in bench.store.alerts()) == 1
