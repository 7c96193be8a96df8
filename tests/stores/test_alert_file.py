"""alerts.json is read and written without losing anybody's change."""

from __future__ import annotations

import errno
import json
import os
import stat
from datetime import UTC
from pathlib import Path
from typing import Any

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


def test_written_file_equals_a_dump(bench: Bench) -> None:
    """A written file is what a dump would write."""
    bench.store.apply([update(NVDA), update(SPX, 1)])
    assert bench.path.read_text() == dump(expected(update(NVDA), update(SPX, 1)))
    bench.store.apply([update(NVDA, 10)])
    assert bench.path.read_text() == dump(expected(update(NVDA, 10), update(SPX, 1)))


@pytest.mark.parametrize("ending", ["", "\n", "\n\n  "])
def test_end_of_file_is_kept(bench: Bench, ending: str) -> None:
    """The end of the file is kept."""
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
def test_only_the_named_record_changes(
    tmp_path_factory: pytest.TempPathFactory, drawn: JsonText, data: st.DataObject
) -> None:
    """In any formatting only the named record changes."""
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


def test_removal_leaves_what_dump_would_write(bench: Bench) -> None:
    """Removing a record leaves what a dump would write."""
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
    after = bench.path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_batch_is_one_replacement(bench: Bench) -> None:
    bench.store.apply([update(NVDA), update(TSLA), update(SPX)])
    assert bench.disk.calls.count("rename") == 2  # The backup's and the file's.
    bench.store.apply([update(NVDA, 5), update(TSLA, 5), update(SPX, 5)])
    assert bench.disk.calls.count("rename") == 3


# Durable and whole.


def test_durable_write_has_fixed_steps(bench: Bench) -> None:
    """The steps of a write come in the order that makes it durable."""
    bench.store.apply([update(NVDA)])
    bench.disk.calls.clear()
    bench.store.apply([update(NVDA, 10)])
    writing = bench.disk.calls[bench.disk.calls.index("open_new") :]
    beside = ["open_new", "set_owner", "copy_attributes", "write", "sync"]
    assert writing == [*beside, "stat", "read", "rename", "sync_folder"]


def test_restarted_duplicate_is_synced_first(bench: Bench) -> None:
    """The run before may have crashed between the rename and the sync of the folder."""
    bench.put(expected(update(NVDA)))
    assert list(bench.store.apply([update(NVDA)])) == [Outcome.DUPLICATE]
    assert bench.disk.calls[-2:] == ["sync", "sync_folder"]
    bench.disk.calls.clear()
    bench.store.apply([update(NVDA)])
    assert "sync" not in bench.disk.calls


def test_failed_last_sync_is_made_good(bench: Bench) -> None:
    """When the last sync fails the next try makes it good."""
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
def test_error_before_rename_writes_nothing(bench: Bench, step: str, code: int) -> None:
    """An error before the rename writes nothing and the next try succeeds."""
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


def test_crash_leaves_old_or_new_file(
    tmp_path: Path,
) -> None:
    """A crash at every step leaves the old or the new file and the next run completes."""
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


def test_first_write_makes_the_only_backup(bench: Bench) -> None:
    """The first write makes a backup and later ones leave it."""
    backup = bench.path.with_name("alerts.json.tracker-backup")
    bench.store.refresh()
    bench.store.apply([update(NVDA._replace(option_conid=1))])
    assert not backup.exists()
    bench.store.apply([update(NVDA)])
    assert backup.read_text() == dump(some_records())
    bench.again().apply([update(NVDA, 10)])
    assert backup.read_text() == dump(some_records())


def test_symbolic_link_stays_one(bench: Bench, tmp_path: Path) -> None:
    """A symbolic link stays one and its target is replaced."""
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
    with pytest.raises(StoreUnavailable, match="is gone"):
        bench.store.refresh()


def test_check_refuses_what_cannot_be_kept(bench: Bench) -> None:
    """The check at start refuses what cannot be kept."""
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


def test_fill_reads_few_of_many_alerts(bench: Bench) -> None:
    """A fill sees few of many alerts and one write does not read them all again."""
    many = {"a": {f"T{number}": record(f"T{number}", 1000 + number) for number in range(2000)}}
    bench.put(many)
    bench.store.refresh()
    fill = execution("1.1.1.1", 1, order_ref="a/T7")
    assert [alert.id.ticker for alert in bench.store.candidates(fill)] == ["T7"]
    alert = read_id("a", "T7", many["a"]["T7"])
    before = {id(each) for each in bench.store.alerts()}
    bench.store.apply([update(alert)])
    assert sum(id(each) not in before for each in bench.store.alerts()) == 1
