"""One alerts.json and the shared store: what goes to the store, what comes to the file, and what stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import Records
from tests.support.postgres import Database
from tests.support.shared_rig import SharedRig
from tests.support.store_cases import dump, id_of, record, removal, some_records, update
from tracker.clock import now
from tracker.core.alerters import AlerterNames
from tracker.core.model import AlertUpdate, StoreUnavailable
from tracker.mirror.mirror import Mirror
from tracker.stores.alert_file import AlertFile
from tracker.stores.alerter_stores import AlerterStores
from tracker.stores.shared import SharedAlerts
from tracker.stores.shared_producer import SharedProducer

ROBIN = "robindahood-alerts"
NVDA = id_of(some_records(), ROBIN, "NVDA")
TSLA = id_of(some_records(), ROBIN, "TSLA")


class Box:
    """A box with an alert writer, its two other stores, and a mirror as the source `name`."""

    def __init__(self, folder: Path, database: Database, name: str) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / "alerts.json"
        self.contracts = folder / "contracts.json"
        names = AlerterNames()
        self.file = AlertFile(self.path, zone=UTC, now=now, names=names)
        self.producer = SharedProducer(database.url_of("tracker_producer"), name)
        alerters = AlerterStores(self.contracts, None, zone=UTC, names=names, now=now)
        self.mirror = Mirror(self.file, alerters, self.producer, name)

    def put(self, records: Records) -> None:
        self.path.write_text(dump(records))

    def records(self) -> Records:
        found: Records = json.loads(self.path.read_text())
        return found

    def turn(self) -> int:
        """Look at both once; returns how many records were put."""
        self.mirror.read()
        put, wanted = self.mirror.exchange()
        self.mirror.write(wanted)
        return put

    def close(self) -> None:
        self.file.close()
        self.producer.close()


class Desk:
    """The store, boxes with mirrors and trackers."""

    def __init__(self, folder: Path, database: Database, rig: SharedRig) -> None:
        self.folder = folder
        self.database = database
        self.rig = rig
        self.boxes: list[Box] = []
        self.trackers: dict[str, SharedAlerts] = {}

    def box(self, name: str = "box") -> Box:
        self.boxes.append(Box(self.folder / name, self.database, name))
        return self.boxes[-1]

    def write(self, change: AlertUpdate, seat: str = "left") -> None:
        """Write a part of one seat."""
        tracker = self.trackers.get(seat)
        if tracker is None:
            tracker = self.trackers[seat] = self.rig.store(seat)
            tracker.hold("test")
        tracker.apply([change])

    def current(self) -> set[str]:
        rows = self.database.rows("SELECT ticker FROM tracker.alerts")
        return {row[0] for row in rows}


@pytest.fixture
def desk(tmp_path: Path, database: Database) -> Iterator[Desk]:
    with SharedRig(database) as rig:
        made = Desk(tmp_path, database, rig)
        yield made
        for box in made.boxes:
            box.close()


@pytest.fixture
def box(desk: Desk) -> Box:
    made = desk.box()
    made.put(some_records())
    made.turn()
    return made


def shown(box: Box, ticker: str = "NVDA") -> dict[str, Any]:
    return box.records()[ROBIN][ticker]


def test_records_of_the_file_reach_the_store(desk: Desk, box: Box) -> None:
    """As they are, numbers and order of keys included."""
    assert desk.rig.records() == some_records()
    docs = desk.database.rows("SELECT doc::text FROM tracker.alerts WHERE ticker = 'SPX'")
    assert list(json.loads(docs[0][0])) == list(some_records()["demslayer"]["SPX"])
    assert box.turn() == 0


def test_sum_of_all_seats_is_shown(desk: Desk, box: Box) -> None:
    """4 at 2.51 here and 6 at 2.51 there are 10, open at both."""
    desk.write(update(NVDA, 4), "left")
    desk.write(update(NVDA, 6), "right")
    box.turn()
    assert shown(box)["open"] is True
    assert shown(box)["position"]["quantity"] == 10
    assert shown(box)["position"]["avg_price"] == 2.51
    assert shown(box, "TSLA") == some_records()[ROBIN]["TSLA"]
    assert box.turn() == 0, "what the mirror writes is no news for the store"


def test_unknown_fields_keep_their_place(desk: Desk, box: Box) -> None:
    """What only other programs know, and the order of all keys, stand as before."""
    records = some_records()
    records[ROBIN]["NVDA"] = {"zebra": [1, {"b": 2, "a": 1.50}], **record(), "apple": "\u00e9"}
    box.put(records)
    box.turn()
    desk.write(update(NVDA))
    box.turn()
    assert list(shown(box)) == [*records[ROBIN]["NVDA"], "last_order_update", "position"]
    assert shown(box)["zebra"] == [1, {"b": 2, "a": 1.5}]


def test_changed_record_follows(desk: Desk, box: Box) -> None:
    """A conid that is corrected later keeps what the alert owns."""
    desk.write(update(NVDA))
    box.turn()
    records = box.records()
    records[ROBIN]["NVDA"] |= {"option_conid": 700100999, "note": "corrected"}
    box.put(records)
    assert box.turn() == 1
    rows = desk.database.rows("SELECT option_conid, open FROM tracker.alerts WHERE ticker = 'NVDA'")
    assert rows == [(700100999, True)]
    box.turn()
    assert shown(box)["position"]["quantity"] == 4


def test_new_alert_retires_the_old_one(desk: Desk, box: Box) -> None:
    """It starts without the old one's position."""
    desk.write(update(NVDA))
    box.turn()
    records = some_records()
    records[ROBIN]["NVDA"]["created_at"] = "2025-11-19T10:00:00.000000"
    box.put(records)
    box.turn()
    assert shown(box) == records[ROBIN]["NVDA"]
    assert desk.database.rows("SELECT retired_why FROM tracker.alert WHERE retired_at IS NOT NULL") == [
        ("replaced",)
    ]


def test_deleted_record_is_retired(desk: Desk, box: Box) -> None:
    records = some_records()
    del records[ROBIN]["NVDA"]
    box.put(records)
    box.turn()
    assert desk.current() == {"TSLA", "SPX"}


@pytest.mark.parametrize("text", ["", " ", '{"robindahood-alerts": {"TSLA": {', "[]", "\0"])
def test_damaged_file_retires_nothing(desk: Desk, box: Box, text: str) -> None:
    """A file that is being written, or lost, says nothing about its records."""
    box.path.write_text(text)
    with pytest.raises(StoreUnavailable):
        box.mirror.read()
    fresh = desk.box()
    with pytest.raises(StoreUnavailable):
        fresh.mirror.read()
    for mirror in (box.mirror, fresh.mirror):
        _, wanted = mirror.exchange()
        mirror.write(wanted)
    assert desk.current() == {"NVDA", "TSLA", "SPX"}
    assert box.path.read_text() == text


def test_absent_file_retires_nothing(desk: Desk, box: Box) -> None:
    """Neither one that is gone, nor one that a new mirror does not find."""
    box.path.unlink()
    with pytest.raises(StoreUnavailable):
        box.mirror.read()
    box.mirror.exchange()
    desk.box().turn()
    assert desk.current() == {"NVDA", "TSLA", "SPX"}
    assert not box.path.exists()


def test_restart_retires_what_went_meanwhile(desk: Desk, box: Box) -> None:
    """While no mirror ran, the alert writer deleted one."""
    records = some_records()
    del records[ROBIN]["TSLA"]
    box.put(records)
    desk.box().turn()
    assert desk.current() == {"NVDA", "SPX"}


def test_other_sources_records_stay(desk: Desk, box: Box) -> None:
    """They are neither retired nor written here."""
    other = desk.box("other")
    other.put({"demslayer": {"QQQ": record("QQQ", 5)}})
    other.turn()
    box.turn()
    assert desk.current() == {"NVDA", "TSLA", "SPX", "QQQ"}
    assert box.records() == some_records()
    assert other.records() == {"demslayer": {"QQQ": record("QQQ", 5)}}


def test_record_without_parts_keeps_its_fields(desk: Desk, box: Box) -> None:
    """When moving in, the file shows positions before the first tracker has written its part."""
    records = some_records()
    records[ROBIN]["NVDA"] |= {"open": True, "position": {"quantity": 7}}
    box.put(records)
    box.turn()
    assert box.records() == records


def test_refused_record_hurts_no_other(desk: Desk, box: Box) -> None:
    """Its older text stays in the store, and it is put again once it changes."""
    records = some_records()
    records[ROBIN]["NVDA"]["note"] = "a\0b"
    records[ROBIN]["TSLA"]["note"] = "x" * 70_000
    records["demslayer"]["SPX"]["note"] = "well"
    box.put(records)
    box.turn()
    expected = some_records()
    expected["demslayer"]["SPX"]["note"] = "well"
    assert desk.rig.records() == expected
    records[ROBIN]["NVDA"]["note"] = "better"
    box.put(records)
    box.turn()
    expected[ROBIN]["NVDA"]["note"] = "better"
    assert desk.rig.records() == expected


def test_removed_by_all_leaves_the_file(desk: Desk, box: Box) -> None:
    """With closing.policy = remove; the same record comes back when the last word is taken back."""
    desk.write(update(NVDA), "left")
    desk.write(update(NVDA), "right")
    desk.write(removal(NVDA), "left")
    box.turn()
    assert "NVDA" in box.records()[ROBIN]
    desk.write(removal(NVDA), "right")
    box.turn()
    assert "NVDA" not in box.records()[ROBIN]
    box.turn()
    assert desk.trackers["right"].restore(NVDA, "")
    box.turn()
    assert shown(box)["position"]["quantity"] == 4
    assert desk.current() == {"NVDA", "TSLA", "SPX"}


def test_hints_of_other_stores_reach_trackers(desk: Desk, box: Box) -> None:
    """demslayer's SPX has no conid; its contract store knows the expiry."""
    records = some_records()
    del records["demslayer"]["SPX"]["alert_details"]["expiry"]
    box.contracts.write_text(
        json.dumps({"demslayer": {"symbol": "SPX", "side": "CALL", "strike": 122.5, "expiry": "20251121"}})
    )
    box.put(records)
    box.turn()
    tracker = desk.rig.store()
    tracker.refresh()
    (spx,) = [alert for alert in tracker.alerts() if alert.id.ticker == "SPX"]
    assert str(spx.expiry.day) == "2025-11-21"


def test_lost_puts_are_put_again(desk: Desk, box: Box) -> None:
    """A failover that lost alerts: all is put anew once the store was away."""
    with desk.database.connect() as connection:
        connection.execute("DELETE FROM tracker.alert")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    with pytest.raises(StoreUnavailable):
        box.turn()
    box.turn()
    assert desk.rig.records() == some_records()


def test_lost_puts_are_put_again_without_a_cut(desk: Desk, box: Box) -> None:
    """A backup that is put back into a running server: one record is gone from it, one has an older text."""
    records = some_records()
    records[ROBIN]["NVDA"]["note"] = "newer"
    box.put(records)
    box.turn()
    with desk.database.connect() as connection:
        connection.execute("DELETE FROM tracker.alert WHERE ticker = 'TSLA'")
        connection.execute(
            "UPDATE tracker.alert SET doc = %s WHERE ticker = 'NVDA'",
            (json.dumps(some_records()[ROBIN]["NVDA"]),),
        )
    box.turn()
    box.turn()
    assert desk.rig.records() == records


def test_record_of_a_newer_source_is_left_alone(desk: Desk, box: Box) -> None:
    """Another box took it over, or replaced it: it is put no more than once from here, until it changes."""
    other = desk.box("other")
    records = some_records()
    records[ROBIN]["NVDA"]["note"] = "theirs"
    records[ROBIN]["TSLA"]["created_at"] = "2030-01-01T10:00:00"
    other.put(records)
    other.turn()
    expected = desk.rig.records()
    assert expected[ROBIN]["NVDA"]["note"] == "theirs"
    for _ in range(3):
        box.turn()
    assert desk.rig.records() == expected
