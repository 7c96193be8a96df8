"""Doctor on the shared store: each fault is found and named, nothing is written, no password is shown."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.doctor_rig import Diagnosis, Setup
from tests.support.free_ports import free_port
from tests.support.postgres import PASSWORD, Database
from tests.support.shared_rig import SharedRig
from tests.support.store_cases import some_records
from tracker.doctor.check_shared import check_store
from tracker.doctor.finding import Finding
from tracker.stores.shared_probe import SeatFacts, StoreFacts

NOW = datetime(2025, 11, 18, 15, tzinfo=UTC)
WELL = StoreFacts(
    "PostgreSQL db/alerts", user="box", address="10.0.0.7", encrypted=True, verified=True,
    server_version=150018, schema=2, newest_schema=2, zone="UTC",
)  # fmt: skip
HERE = socket.gethostname()


def findings(facts: StoreFacts) -> dict[str, Finding]:
    found = check_store(facts, seat="mine", host="here", zone="UTC", accounts=["DU1"], now=NOW)
    return {each.check: each for each in found}


def seats(name: str, host: str, ago: float, *accounts: str) -> dict[str, SeatFacts]:
    return {name: SeatFacts(host, accounts, NOW - timedelta(seconds=ago))}


def test_good_store_has_no_finding() -> None:
    assert {each.level.value for each in findings(WELL).values()} == {"ok"}
    assert findings(WELL)["store_seat"].found == "mine is free; the first start takes it"


@pytest.mark.parametrize(
    ("changes", "check", "level", "words"),
    [
        ({"trouble": "cannot be reached"}, "shared_store", "fault", "cannot be reached"),
        ({"server_version": 140011}, "shared_store", "fault", "PostgreSQL 14.11"),
        ({"is_replica": True}, "shared_store", "fault", "a replica, which accepts no writes"),
        ({"encrypted": False}, "store_encryption", "warning", "go to 10.0.0.7 unencrypted"),
        ({"verified": False}, "store_encryption", "warning", "whether 10.0.0.7 is the right server"),
        ({"encrypted": False, "address": "127.0.0.1"}, "store_encryption", "ok", "stays on this machine"),
        ({"encrypted": False, "address": ""}, "store_encryption", "ok", "stays on this machine"),
        ({"schema": 0}, "store_schema", "fault", "has no alerts, or box may not see them"),
        ({"schema": 1}, "store_schema", "fault", "version 1; this tracker needs 2"),
        ({"schema": 3}, "store_schema", "note", "made by a newer tracker"),
        ({"lacking": ("take_seat",)}, "store_rights", "fault", "box may not call take_seat"),
        ({"lacking": WELL.functions, "may_put": True}, "store_rights", "note", "may put alerts"),
        ({"zone": "US/Eastern"}, "store_timezone", "fault", "UTC here, and US/Eastern for all"),
        ({"clock_ahead": timedelta(seconds=9)}, "store_clock", "warning", "9 s ahead of this host's"),
        ({"clock_ahead": timedelta(seconds=-9)}, "store_clock", "warning", "9 s behind this host's"),
        ({"seats": seats("mine", "here", 9)}, "store_seat", "ok", "on here, last seen 9 s ago"),
        ({"seats": seats("mine", "", 9)}, "store_seat", "ok", "mine is free"),
        ({"seats": seats("mine", "there", 9)}, "store_seat", "fault", "on there, last seen 9 s ago"),
        ({"seats": seats("mine", "there", 900)}, "store_seat", "warning", "last seen 15 min ago"),
        ({"seats": seats("other", "there", 9, "DU1")}, "store_accounts", "fault", "tracker on there (other)"),
        ({"seats": seats("other", "there", 9, "DU2")}, "store_accounts", "ok", "no other tracker"),
        ({"seats": seats("mine", "here", 9, "DU1")}, "store_accounts", "ok", "no other tracker"),
    ],
)  # fmt: skip
def test_each_fault_is_found(changes: dict[str, Any], check: str, level: str, words: str) -> None:
    found = findings(WELL._replace(**changes))[check]
    assert found.level.value == level
    assert words in found.found
    assert bool(found.next_step) == (level != "ok")


def test_unset_accounts_are_a_note() -> None:
    found = list(check_store(WELL, seat="mine", host="here", zone="UTC", accounts=[], now=NOW))
    assert found[-1].level.value == "note"


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    for name in [name for name in os.environ if name.upper().startswith("TRACKER_")]:
        monkeypatch.delenv(name)
    made = Setup(tmp_path, free_port())
    made.alerts.unlink()
    made.alerts.parent.rmdir()
    made.bind_journal("paper")
    return made


def look(setup: Setup, url: str) -> Diagnosis:
    """Look, by the command; the password is nowhere in what it says."""
    setup.flags = {"shared.url": url}
    found = setup.look()
    assert PASSWORD not in json.dumps(found.answer)
    return found


@pytest.fixture
def shared(database: Database) -> Iterator[SharedRig]:
    with SharedRig(database) as rig:
        yield rig


def test_store_is_ready_and_unchanged(setup: Setup, shared: SharedRig) -> None:
    """stores.alerts is not there, and nobody misses it; nothing is written."""
    shared.put(some_records())
    before = shared.database.rows("SELECT * FROM tracker.seat"), setup.files()
    found = look(setup, shared.database.url_of("tracker_seat"))
    assert found.well
    assert found.of("warning", "fault") == []
    assert "3 alerts, 0 open" in found["shared_store"]["found"]
    assert not {"alerts_file", "alerts_folder", "contracts_store"} & set(found.checks)
    assert (shared.database.rows("SELECT * FROM tracker.seat"), setup.files()) == before


def test_seat_of_another_box_is_told(setup: Setup, shared: SharedRig) -> None:
    shared.store(HERE, host="other-box").hold("test")
    found = look(setup, shared.database.url_of("tracker_seat"))
    assert found["store_seat"]["level"] == "fault"
    assert "the tracker on other-box, last seen " in found["store_seat"]["found"]


def test_database_without_schema_is_told(setup: Setup, database: Database) -> None:
    found = look(setup, database.url)
    assert found["store_schema"]["level"] == "fault"
    assert "run `tracker store create`" in found["store_schema"]["next_step"]


def test_producer_is_told_apart(setup: Setup, shared: SharedRig) -> None:
    found = look(setup, shared.database.url_of("tracker_producer"))
    assert found["store_rights"]["level"] == "note"


def test_unreachable_server_is_told(setup: Setup) -> None:
    found = look(setup, f"postgresql://me:{PASSWORD}@127.0.0.1:1/alerts")
    assert found["shared_store"]["level"] == "fault"
    assert "PostgreSQL 127.0.0.1:1/alerts cannot be reached" in found["shared_store"]["found"]


def test_report_hides_where_the_store_is(setup: Setup) -> None:
    """Its address, user and password, as all names in it."""
    from tracker.doctor.command import run

    report = setup.folder / "report.txt"
    flags = {"shared.url": f"postgresql://somebody:{PASSWORD}@db.example.com:1/alerts?connect_timeout=1"}
    run(flags, str(setup.settings), as_json=True, offline=True, probes=setup.probes, report=report)
    text = report.read_text()
    assert [word for word in (PASSWORD, "somebody", "db.example.com") if word in text] == []
