"""Each judgement of doctor, from facts alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tracker.doctor import check_files, check_machine, check_schedule, check_status_socket
from tracker.doctor.check_time_zones import check_created_at
from tracker.doctor.finding import (
    FailedStep,
    Finding,
    FolderState,
    JournalFacts,
    Level,
    Lock,
    Machine,
    Mount,
    Place,
    PortState,
    Records,
    Space,
    Stamp,
    StatusPort,
    Token,
    counted,
    has_no_fault,
)
from tracker.gateway.error_codes import next_resets
from tracker.stores.filesystem import FileStat

NOW = datetime(2025, 11, 18, 17, 0, tzinfo=UTC)
"""12:00 in New York, on a Tuesday."""
NEW_YORK = ZoneInfo("America/New_York")
BERLIN = ZoneInfo("Europe/Berlin")
FILE = FileStat(1, 2, 0o100644, 1000, 1000, 1, 4096, 0, 0)
PRIVATE = FILE._replace(mode=0o100600)
ALERTS = Path("/data/alerts/alerts.json")
PLACE = Place(
    "stores.alerts", "flag --stores.alerts", ALERTS, True, FolderState.EXISTS, file=FILE, tried=True
)
RECORDS = Records(2, 1, (), ())
PORT = StatusPort("127.0.0.1", 8765, True, PortState.FREE)


def check(finding: Finding, level: Level, *words: str) -> None:
    """Check a level, that the words are there, and that what is wrong comes with what to do."""
    assert finding.level is level, finding
    for word in words:
        assert word in f"{finding.found} {finding.next_step}", finding
    assert finding.found
    if level in (Level.WARNING, Level.FAULT):
        assert finding.next_step, finding


def place(**changes: Any) -> Place:
    return replace(PLACE, **changes)


# The machine


MACHINE = Machine((3, 12, 4), {"ib_insync": "0.9.86", "order-tracker": "0.1.0"}, (), 599)


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({}, Level.OK, "Python 3.12.4, ib_insync 0.9.86, tracker 0.1.0"),
        ({"versions": {"ib_insync": "0.9.86"}}, Level.OK, "run from its source"),
        ({"python": (3, 10, 1)}, Level.FAULT, "with Python 3.11 or later"),
        ({"python": (3, 15, 2)}, Level.OK, "Python 3.15.2, ib_insync 0.9.86"),
        ({"python": (3, 16, 0)}, Level.NOTE, "tested with Python 3.11 to 3.15"),
        ({"python": (4, 0, 0)}, Level.NOTE, "Python 4.0.0, ib_insync 0.9.86"),
        ({"versions": {}}, Level.FAULT, "not installed"),
        ({"versions": {"ib_insync": "0.9.85"}}, Level.FAULT, "install ib_insync 0.9.86"),
        ({"versions": {"ib_insync": "0.9.86", "ib_async": "2.1.0"}}, Level.FAULT, "ib_async"),
    ],
)
def test_python_and_its_libraries(changes: dict[str, Any], level: Level, words: str) -> None:
    check(check_machine.check_python(replace(MACHINE, **changes)), level, words)


def test_zone_data() -> None:
    check(check_machine.check_zones(MACHINE), Level.OK, "599")
    check(
        check_machine.check_zones(replace(MACHINE, missing_zones=("MET", "EST"))),
        Level.FAULT,
        "MET, EST",
        "tzdata",
    )


def test_where_settings_came_from() -> None:
    overrides = {"environment variable": 1, "flag": 2}
    found = check_machine.check_settings("settings.toml", overrides)
    assert found.found == "settings.toml; 1 by environment variable, 2 by flag"
    check(check_machine.check_settings("", {"flag": 0}), Level.NOTE, "defaults apply", "--settings PATH")
    check(check_machine.check_settings("", {"flag": 1}), Level.OK, "defaults apply; 1 by flag")


def test_refused_setting_has_cause_and_step() -> None:
    """A refused setting keeps cause and step apart."""
    (found,) = check_machine.settings_errors(
        ["settings.toml: [gateway] prot: unknown key; near is port; correct it"]
    )
    assert (found.level, found.next_step) == (Level.FAULT, "correct it")
    assert found.found.endswith("near is port")
    (found,) = check_machine.settings_errors(["nothing to split"])
    assert (found.found, found.next_step) == ("nothing to split", "")


@pytest.mark.parametrize(
    ("spaces", "level", "words"),
    [
        ([Space(1, 2 << 30, 5000)], Level.OK, "2.0 GB free"),
        ([Space(1, 2 << 40, None)], Level.OK, "2.0 TB free"),
        ([Space(1, 800 << 20, None)], Level.WARNING, "800.0 MB free"),
        ([Space(1, 20 << 20, None)], Level.FAULT, "20.0 MB free"),
        ([Space(1, 5000, None)], Level.FAULT, "4 KB free"),
        ([Space(1, 2 << 30, None), Space(2, 20 << 20, None)], Level.FAULT, "20.0 MB"),
        ([Space(1, 2 << 30, 900)], Level.WARNING, "room for 900 more files"),
        ([Space(1, 2 << 30, 3)], Level.FAULT, "room for 3 more files"),
        ([Space(1, 800 << 20, 3)], Level.FAULT, "room for 3 more files"),
        ([None], Level.NOTE, "unknown"),
    ],
)
def test_disk_space_by_the_fullest(spaces: Sequence[Space | None], level: Level, words: str) -> None:
    check(check_machine.check_space([place(space=space) for space in spaces]), level, words)


# Files


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({}, Level.OK, "is writable"),
        ({"is_folder": True}, Level.FAULT, "name the file (flag --stores.alerts)"),
        ({"folder": FolderState.MISSING}, Level.FAULT, "does not exist"),
        (
            {"folder": FolderState.NOT_A_FOLDER, "folder_reason": "a file"},
            Level.FAULT,
            "is not a folder (a file)",
        ),
        (
            {"folder": FolderState.UNREACHABLE, "folder_reason": "Permission denied"},
            Level.FAULT,
            "Permission",
        ),
        (
            {"failed": FailedStep("make a file", "Read-only file system")},
            Level.FAULT,
            "Read-only file system",
        ),
        ({"setting": "stores.contracts", "tried": False}, Level.OK, "is there"),
        ({"setting": "stores.contracts", "folder": FolderState.MISSING}, Level.FAULT, "does not exist"),
        (
            {
                "setting": "stores.contracts",
                "folder": FolderState.MISSING,
                "configured": False,
                "tried": False,
            },
            Level.OK,
            "which is fine",
        ),
        (
            {"setting": "stores.journal", "folder": FolderState.MISSING, "configured": False},
            Level.OK,
            "will be made at the first start",
        ),
        (
            {
                "setting": "stores.journal",
                "folder": FolderState.MISSING,
                "configured": False,
                "failed": FailedStep("make a file", "Permission denied"),
            },
            Level.FAULT,
            "cannot be made: Permission denied",
        ),
    ],
)
def test_folders(changes: dict[str, Any], level: Level, words: str) -> None:
    check(check_files.check_folder(place(**changes)), level, words)


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("ext4", Level.OK),
        ("apfs", Level.OK),
        ("fuseblk", Level.OK),
        ("nfs4", Level.FAULT),
        ("cifs", Level.FAULT),
        ("9p", Level.FAULT),
        ("fuse.sshfs", Level.FAULT),
        ("fuse", Level.FAULT),
        ("virtiofs", Level.FAULT),
        ("tmpfs", Level.WARNING),
        ("overlay", Level.NOTE),
    ],
)
def test_file_systems(kind: str, level: Level) -> None:
    check(
        check_files.check_file_system(place(mount=Mount(Path("/data"), kind)), mounts_known=True), level, kind
    )


@pytest.mark.parametrize(
    ("changes", "records", "level", "words"),
    [
        ({}, {}, Level.OK, "2 records, 1 open; mode 0644, user 1000, group 1000"),
        ({"file": None}, {}, Level.NOTE, "no alerts yet"),
        ({"folder": FolderState.MISSING, "file": None}, {}, Level.NOTE, "not checked"),
        ({"file_reason": "Permission denied"}, {}, Level.FAULT, "Permission denied"),
        ({"file": FILE._replace(mode=0o010644)}, {}, Level.FAULT, "not a regular file"),
        ({"file": FILE._replace(links=3)}, {}, Level.FAULT, "3 hard links"),
        ({}, {"trouble": "it is empty"}, Level.FAULT, "it is empty"),
        ({"file": FILE._replace(mode=0o100666)}, {}, Level.WARNING, "chmod o-w"),
        (
            {},
            {"problems": (("a/B", "no time"),)},
            Level.WARNING,
            "1 of them cannot be read in full (a/B: no time)",
        ),
    ],
)
def test_the_alerts_file(changes: dict[str, Any], records: dict[str, Any], level: Level, words: str) -> None:
    check(check_files.check_alerts_file(place(**changes), replace(RECORDS, **records)), level, words)


def test_alerter_stores_may_be_absent() -> None:
    """The two alerter stores may be absent."""
    store = place(setting="stores.stocks", tried=False)
    check(check_files.check_alerter_store(store, ""), Level.OK, "can be read")
    check(check_files.check_alerter_store(replace(store, file=None), ""), Level.OK, "which is fine")
    check(check_files.check_alerter_store(store, "not JSON"), Level.WARNING, "not JSON")
    check(check_files.check_alerter_store(replace(store, file_reason="denied"), ""), Level.WARNING, "denied")
    missing = replace(store, folder=FolderState.MISSING)
    check(check_files.check_alerter_store(missing, ""), Level.FAULT, "does not exist")


@pytest.mark.parametrize(
    ("changes", "facts", "level", "words"),
    [
        ({"file": PRIVATE}, JournalFacts("paper", size=70_000), Level.OK, "68 KB, of paper fills; mode 0600"),
        ({"file": PRIVATE}, JournalFacts(), Level.OK, "no login so far"),
        ({"file": None}, JournalFacts(), Level.OK, "the first start makes it"),
        ({"folder": FolderState.MISSING, "file": None}, JournalFacts(), Level.NOTE, "its folder has a fault"),
        (
            {"folder": FolderState.MISSING, "configured": False, "file": None},
            JournalFacts(),
            Level.OK,
            "the first start makes it",
        ),
        ({}, JournalFacts(trouble="is locked"), Level.FAULT, "is locked"),
        ({"file_reason": "denied"}, JournalFacts(), Level.FAULT, "denied"),
        ({}, JournalFacts(unread="too large"), Level.NOTE, "too large"),
        ({}, JournalFacts("live"), Level.WARNING, "can read account numbers"),
        ({"file": FILE._replace(mode=0o100666)}, JournalFacts("live"), Level.WARNING, "can change account"),
    ],
)
def test_the_journal(changes: dict[str, Any], facts: JournalFacts, level: Level, words: str) -> None:
    check(check_files.check_journal(place(setting="stores.journal", **changes), facts), level, words)


def test_locks() -> None:
    free, held = Lock(ALERTS, ""), Lock(ALERTS, "tracker run, process 7")
    check(check_files.check_locks([free, free], PORT, ours=False), Level.OK, "none")
    check(check_files.check_locks([free, held], PORT, ours=False), Level.FAULT, "process 7", "stop that one")
    check(check_files.check_locks([held, held], PORT, ours=True), Level.OK, "process 7 uses these stores")
    check(check_files.check_locks([free, free], PORT, ours=True), Level.OK, "a tracker uses these stores")
    refused = replace(PORT, state=PortState.REFUSED)
    check(check_files.check_locks([held], refused, ours=False), Level.FAULT, "did not answer this user")
    check(
        check_files.check_locks([Lock(ALERTS, "", "cannot be opened")], PORT, ours=False),
        Level.FAULT,
        "opened",
    )


# The stores' time zone


ZONES = {"UTC": UTC, "America/New_York": NEW_YORK, "Europe/Berlin": BERLIN}


def created(text: str, zone: Any = UTC, *, ago: float = 0) -> Finding:
    """Judge one record, of a file that was last written so many seconds ago."""
    return check_created_at(
        [Stamp("old/OLD", "2025-11-01T10:00:00"), Stamp("a/NEW", text)],
        zone,
        "the configured zone",
        ZONES,
        now=NOW,
        written_at=NOW - timedelta(seconds=ago),
    )


@pytest.mark.parametrize(
    ("text", "zone", "ago", "level", "words"),
    [
        ("2025-11-18T16:59:30.118245", UTC, 30, Level.OK, "a/NEW, is 29 s old"),
        ("2025-11-18T17:04:00", UTC, 0, Level.OK, "0 s old"),
        ("2025-11-18T11:59:30", NEW_YORK, 30, Level.OK, "30 s old"),
        ("2025-11-18T16:59:30", NEW_YORK, 30, Level.FAULT, "after the last write of its file"),
        ("2025-11-18T16:59:30", NEW_YORK, 30, Level.FAULT, "UTC would fit"),
        ("2025-11-18T17:59:30", UTC, 0, Level.FAULT, "Europe/Berlin would fit"),
        ("2025-11-18T20:17:00", UTC, 0, Level.FAULT, "the zone of the alert writer's clock"),
        ("2025-11-18T11:59:30", UTC, 30, Level.WARNING, "America/New_York"),
        ("2025-11-18T11:20:00", UTC, 30, Level.OK, "5 h 40 min old"),
        ("2025-11-18T13:00:00", UTC, 3600 * 4, Level.OK, "4 h old"),
        ("2025-11-18T18:30:00+01:00", UTC, 0, Level.FAULT, "set the clock of the alert writer's machine"),
        ("2025-11-18T11:59:30-05:00", UTC, 30, Level.OK, "30 s old"),
    ],
)
def test_created_at_against_the_zone(text: str, zone: Any, ago: float, level: Level, words: str) -> None:
    check(created(text, zone, ago=ago), level, words)


def test_created_at_without_file_time() -> None:
    """Created at of a file without a time is compared with now."""
    stamps = [Stamp("a/NEW", "2025-11-18T18:00:00")]
    found = check_created_at(stamps, UTC, "UTC", ZONES, now=NOW, written_at=None)
    check(found, Level.FAULT, "1 h after now")
    check(check_created_at([], UTC, "UTC", ZONES, now=NOW, written_at=NOW), Level.NOTE, "no record")
    unreadable = [Stamp("a/NEW", "soon")]
    check(check_created_at(unreadable, UTC, "UTC", ZONES, now=NOW, written_at=NOW), Level.NOTE, "no record")


# The status socket


@pytest.mark.parametrize(
    ("changes", "ours", "level", "words"),
    [
        ({}, False, Level.OK, "127.0.0.1:8765 is free"),
        ({"loopback": False, "host": "0.0.0.0"}, False, Level.WARNING, "SSH tunnel"),
        ({"state": PortState.ANY_FREE, "port": 0}, False, Level.NOTE, "set status.port"),
        ({"state": PortState.TRACKER, "journal": Path("/x/j.db")}, False, Level.FAULT, "/x/j.db"),
        ({"state": PortState.TRACKER}, True, Level.OK, "the tracker answers"),
        ({"state": PortState.REFUSED, "reason": "no token"}, False, Level.FAULT, "no token"),
        ({"state": PortState.OTHER_PROGRAM, "reason": "a web server"}, False, Level.FAULT, "a web server"),
        ({"state": PortState.UNUSABLE, "reason": "denied"}, False, Level.FAULT, "denied"),
    ],
)
def test_the_status_port(changes: dict[str, Any], ours: bool, level: Level, words: str) -> None:
    check(check_status_socket.check_status_port(replace(PORT, **changes), ours=ours), level, words)


def test_the_token() -> None:
    path = Path("/data/status.token")

    def judge(mode: int | None, *, readable: bool = True, running: bool = False) -> Finding:
        return check_status_socket.check_token(Token(path, mode, readable), PORT, running=running)

    check(judge(None), Level.OK, "made when the tracker starts")
    check(judge(None, running=True), Level.WARNING, "restart the tracker")
    check(judge(0o600), Level.OK, "mode 0600, for requests that change something")
    check(judge(0o640), Level.WARNING, "chmod 600")
    check(judge(0o600, readable=False), Level.WARNING, "as the tracker's user")
    away = replace(PORT, loopback=False)
    check(
        check_status_socket.check_token(Token(path, 0o600, True), away, running=False),
        Level.OK,
        "every request",
    )


# Days and resets


def test_account_day_end_in_local_time() -> None:
    """The end of the accounts day is told in this machines time."""
    check(
        check_schedule.check_account_day(NEW_YORK, "US/Eastern", BERLIN, NOW),
        Level.OK,
        "US/Eastern: Wed 06:00 here, in 12 h",
    )
    # The night of 2025-11-02 has an hour more.
    before = datetime(2025, 11, 2, 4, 30, tzinfo=UTC)
    check(
        check_schedule.check_account_day(NEW_YORK, "US/Eastern", UTC, before),
        Level.OK,
        "Mon 05:00 here, in 1 d",
    )


def test_resets_in_local_time() -> None:
    """Resets are told in this machines time."""
    found = check_schedule.check_planned_resets(BERLIN, NOW)
    check(found, Level.OK, "nightly Wed 05:45 to Wed 06:45 here, in 11 h 45 min")
    check(found, Level.OK, "weekly Sat 05:00 to Sat 09:00 here, in 3 d 11 h")
    night = datetime(2025, 11, 18, 5, 0, tzinfo=UTC)
    check(
        check_schedule.check_planned_resets(UTC, night), Level.NOTE, "nightly reset is now, until 05:45 here"
    )
    weekend = datetime(2025, 11, 22, 7, 0, tzinfo=UTC)
    check(
        check_schedule.check_planned_resets(UTC, weekend), Level.NOTE, "weekly reset is now, until 08:00 here"
    )


def test_next_resets_follow_wall_clock() -> None:
    """New York changes its clocks on 2025-11-02 at 2:00, within the week's reset of nobody."""
    nightly, weekly = next_resets(datetime(2025, 11, 1, 12, tzinfo=UTC))
    assert nightly.begins == datetime(2025, 11, 2, 3, 45, tzinfo=UTC)
    assert nightly.ends == datetime(2025, 11, 2, 4, 45, tzinfo=UTC)
    assert weekly.begins == datetime(2025, 11, 8, 4, 0, tzinfo=UTC)
    assert weekly.ends == datetime(2025, 11, 8, 8, 0, tzinfo=UTC)


# The sum


def test_only_a_fault_keeps_from_trading() -> None:
    findings = [Finding("x", level, "") for level in (Level.OK, Level.NOTE, Level.WARNING, Level.WARNING)]
    assert has_no_fault(findings)
    assert counted(findings) == {"ok": 1, "note": 1, "warning": 2, "fault": 0}
    assert not has_no_fault([*findings, Finding("y", Level.FAULT, "")])
