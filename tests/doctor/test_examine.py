"""Doctor passes a good set-up, finds each planted fault, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon_rig import record
from tests.support.doctor_rig import LOCAL_DISK, Diagnosis, Setup, command, play
from tests.support.free_ports import free_port
from tests.support.paper_clients import NVDA, until
from tests.support.project import PROJECT
from tests.support.store_cases import FaultyDisk
from tracker.doctor.finding import Machine, Space
from tracker.doctor.probes import inspect_machine
from tracker.gateway.allowlist import ALLOWED
from tracker.paper.server import PaperGateway
from tracker.stores.lock import FileLock


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("TRACKER_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    """Return a set-up without a gateway, for looks that leave it alone."""
    return Setup(tmp_path, free_port())


# The good set-up


def test_good_setup_passes_unchanged(tmp_path: Path) -> None:
    """A good setup passes and is left as it was."""

    async def story(setup: Setup, gateway: PaperGateway) -> None:
        gateway.fill(gateway.order(NVDA, "BUY", 2, limit="2.51"))
        setup.bind_journal("paper")
        before = setup.files()
        found = await setup.examine()
        assert found.well
        assert found.of("note", "warning", "fault") == []
        assert setup.files() == before
        sent = {fields[0] for _, fields in gateway.received}
        assert {"71", "49", "7", "99"} == sent <= ALLOWED
        await until(lambda: gateway.clients == (), "the visitor to be gone")
        assert "DU1234567" in found["account"]["found"]
        assert "paper" in found["account"]["found"]

    play(tmp_path, story)


def test_command_exits_0_for_new_setup(tmp_path: Path) -> None:
    """In a process of its own; what file system and space the tests have is theirs."""

    async def story(setup: Setup, gateway: PaperGateway) -> None:
        before = set(setup.files())
        done = await asyncio.to_thread(command, tmp_path, "--json")
        found = Diagnosis(json.loads(done.stdout))
        here = {"alerts_file_system", "journal_file_system", "disk_space"}
        assert set(found.faults()) <= here, done.stdout
        assert done.returncode == (0 if found.well else 1)
        assert (found.answer["ok"], found.answer["schema"]) == (True, 1)
        assert found["login"]["level"] == "ok"
        assert done.stderr == ""
        assert set(setup.files()) == before

    play(tmp_path, story)


def test_command_names_fault_and_exits_1(setup: Setup) -> None:
    """The command says in 80 columns what is wrong and exits 1."""
    setup.alerts.write_text("{")
    done = command(setup.folder, "--offline")
    assert done.returncode == 1
    assert "FAULT    alerts file" in done.stdout
    assert done.stdout.rstrip().endswith("Fix the faults first.")
    broken = [line for line in done.stdout.splitlines() if len(line) > 80]
    assert [line for line in broken if str(setup.folder) not in line] == [], "only paths may be longer"


def test_offline_leaves_the_gateway_alone(tmp_path: Path) -> None:
    async def story(setup: Setup, gateway: PaperGateway) -> None:
        found = await asyncio.to_thread(setup.look, offline=True)
        assert found.well
        assert found["gateway"]["level"] == "note"
        assert "login" not in found.checks
        assert not gateway.received

    play(tmp_path, story)


def test_setup_before_first_start(setup: Setup) -> None:
    """No journal, no token and no alerts yet; the default folder is made at the start, not by doctor."""
    setup.settings.write_text("[stores]\nalerts = 'alerts/alerts.json'\n")
    setup.flags = {"status.port": str(setup.status_port)}
    setup.alerts.unlink()
    found = setup.look()
    assert found.well, found.answer
    assert "will be made at the first start" in found["journal_folder"]["found"]
    assert found["alerts_file"]["level"] == "note"
    assert not (setup.folder / "data").exists()


# Planted faults: the stores


def test_a_corrupt_alerts_file_is_found(setup: Setup) -> None:
    setup.alerts.write_text('{"robindahood-alerts": {"NVDA": {"open": fal')
    pauses: list[float] = []
    setup.with_probes(pause=pauses.append)
    setup.look().check_only("alerts_file", "cannot be read as JSON", "restore it from a backup")
    assert len(pauses) == 5, "its writer may be at it, so it is looked at again"


def test_alerts_file_being_written(setup: Setup) -> None:
    """An alerts file that its writer was just writing is no fault."""
    text = setup.alerts.read_text()
    setup.alerts.write_text("")
    setup.with_probes(pause=lambda seconds: setup.alerts.write_text(text))
    assert setup.look()["alerts_file"]["level"] == "ok"


def test_missing_folder_names_its_setting(setup: Setup) -> None:
    """A missing folder is found with the setting that names it."""
    setup.flags = {"stores.alerts": str(setup.folder / "gone" / "alerts.json")}
    assert "alerts_file_system" not in setup.look().checks
    setup.look().check_only("alerts_folder", "does not exist", "flag --stores.alerts")


def test_folder_below_a_file(setup: Setup) -> None:
    """A folder below a file is found."""
    setup.flags = {"stores.journal": str(setup.alerts / "below" / "journal.db")}
    setup.look().check_only(
        "journal_folder", "is not a folder (something above it is a file)", "correct the path"
    )


def test_folder_without_permission(setup: Setup) -> None:
    """A folder that this user may not enter is found."""
    disk = FaultyDisk()
    disk.failing["stat"] = PermissionError(13, "Permission denied")
    setup.with_probes(disk=disk)
    found = setup.look()
    assert "cannot be read (Permission denied)" in found["alerts_folder"]["found"]
    assert {"alerts_folder", "journal_folder", "token_folder"} <= set(found.faults())


def test_log_folder_is_tried(setup: Setup) -> None:
    """The folder of the log is tried where there is one."""
    setup.flags = {"log.file": str(setup.folder / "gone" / "tracker.log")}
    setup.look().check_only("log_folder", "does not exist", "flag --log.file")


def test_full_disk_needs_room(setup: Setup) -> None:
    """Where a file cannot be written since the disk is full, no permission helps."""
    disk = FaultyDisk()
    disk.failing["write"] = OSError(errno.ENOSPC, "No space left on device")
    setup.with_probes(disk=disk)
    found = setup.look()
    assert "cannot write a file: No space left on device" in found["alerts_folder"]["found"]
    assert found["alerts_folder"]["next_step"] == "free space on its disk"


def test_an_unwritable_folder_is_found(setup: Setup) -> None:
    disk = FaultyDisk()
    disk.failing["open_new"] = PermissionError(13, "Permission denied")
    setup.with_probes(disk=disk)
    found = setup.look()
    assert found.faults() == ["alerts_folder", "journal_folder", "token_folder"]
    assert "cannot make a file: Permission denied" in found["alerts_folder"]["found"]
    assert "write access" in found["alerts_folder"]["next_step"]


@pytest.mark.parametrize(
    ("call", "words"),
    [("sync", "cannot sync a file"), ("rename", "cannot rename"), ("sync_folder", "cannot sync the folder")],
)
def test_folder_where_replacing_fails(setup: Setup, call: str, words: str) -> None:
    """A folder where a step of replacing fails is found."""
    disk = FaultyDisk()
    disk.failing[call] = OSError(5, "Input/output error")
    setup.with_probes(disk=disk)
    before = set(setup.files())
    assert words in setup.look()["alerts_folder"]["found"]
    assert set(setup.files()) == before, "what was made is removed all the same"


def test_owner_that_cannot_be_kept(setup: Setup) -> None:
    """An owner that cannot be kept is found."""
    disk = FaultyDisk()
    disk.failing["set_owner"] = PermissionError(1, "Operation not permitted")
    setup.with_probes(disk=disk)
    setup.look().check_only("alerts_folder", "cannot give a file to user", "write access")


def test_unreadable_alerts_file(setup: Setup) -> None:
    """An alerts file that this user may not read is found."""
    disk = FaultyDisk()
    disk.failing["open"] = PermissionError(13, "Permission denied")
    setup.with_probes(disk=disk)
    found = setup.look()
    assert "alerts_file" in found.faults()
    assert "cannot be read: Permission denied" in found["alerts_file"]["found"]


def test_hard_links_are_found(setup: Setup) -> None:
    os.link(setup.alerts, setup.folder / "other-name.json")
    setup.look().check_only("alerts_file", "2 hard links", "symbolic link")


def test_folder_instead_of_file(setup: Setup) -> None:
    """A folder in the place of the file is found."""
    setup.flags = {"stores.alerts": str(setup.alerts.parent)}
    setup.look().check_only("alerts_folder", "is a folder", "name the file")


def test_world_writable_file(setup: Setup) -> None:
    """A file that everybody may write is warned of."""
    setup.alerts.chmod(0o666)
    found = setup.look()
    assert found.of("warning") == ["alerts_file"]
    assert "mode 0666" in found["alerts_file"]["found"]


def test_record_with_unreadable_part(setup: Setup) -> None:
    """A record that cannot be read in full is warned of."""
    setup.write({"robindahood-alerts": {"NVDA": record(option_conid="soon")}})
    found = setup.look()
    assert found["alerts_file"]["level"] == "warning"
    assert "robindahood-alerts/NVDA: option_conid" in found["alerts_file"]["found"]


def test_corrupt_alerter_store(setup: Setup) -> None:
    """A corrupt alerter store is warned of."""
    (setup.folder / "alerter_contracts.json").write_text("[1, 2")
    found = setup.look()
    assert found.of("warning") == ["contracts_store"]
    assert found.well, "the alerts themselves can still be served"


def test_a_network_file_system_is_found(setup: Setup) -> None:
    mounted = f"90 27 0:50 / {setup.folder} rw - nfs4 server:/share rw\n"
    setup.with_probes(mountinfo=lambda: LOCAL_DISK + mounted)
    found = setup.look()
    assert found.faults() == ["alerts_file_system", "journal_file_system"]
    assert "nfs4" in found["alerts_file_system"]["found"]
    assert "local disk" in found["alerts_file_system"]["next_step"]


def test_file_that_is_a_mount(setup: Setup) -> None:
    """A file that is a mount of its own is found."""
    mounted = f"90 27 254:0 /x {setup.alerts} rw - ext4 /dev/vda rw\n"
    setup.with_probes(mountinfo=lambda: LOCAL_DISK + mounted)
    setup.look().check_only("alerts_file_system", "a mount of its own", "mount the folder")


def test_system_without_mount_list(setup: Setup) -> None:
    """A system that names no mounts is told as such."""
    setup.with_probes(mountinfo=lambda: None)
    found = setup.look()
    assert found.well
    assert "unknown" in found["alerts_file_system"]["found"]


def test_a_full_disk_is_found(setup: Setup) -> None:
    setup.with_probes(space=lambda path: Space(1, 3 * 1024 * 1024, None))
    setup.look().check_only("disk_space", "3.0 MB free", "free disk space")


def test_a_corrupt_journal_is_found(setup: Setup) -> None:
    setup.journal.write_bytes(b"this was a database once" * 100)
    before = set(setup.files())
    found = setup.look()
    found.check_only("journal", "not a database", "backup")
    assert str(setup.journal) in found["journal"]["found"], "not the copy's name"
    assert set(setup.files()) == before


def test_created_at_in_another_zone(setup: Setup) -> None:
    """Created at in another zone is found."""
    setup.write_created(hours=-9)
    found = setup.look()
    found.check_only("created_at", "reads as created", "set stores.timezone")
    assert "Asia/Tokyo would fit" in found["created_at"]["next_step"]


# Planted faults: around the stores


def test_another_trackers_lock_is_found(setup: Setup) -> None:
    with FileLock(setup.alerts, "tracker run, process 4711"):
        setup.look().check_only(
            "other_tracker", "alerts.json is in use by tracker run, process 4711", "stop that"
        )
    assert setup.look().well, "a lock file that nobody holds is no tracker"


def test_link_to_itself(setup: Setup) -> None:
    """Doctor is asked when something is wrong, so nothing of that may end it."""
    setup.alerts.unlink()
    setup.alerts.symlink_to(setup.alerts.name)
    setup.look().check_only("alerts_file", "Too many levels of symbolic links", "remove the link")


def test_other_program_on_status_port(tmp_path: Path) -> None:
    """Something else on the status port is found."""

    async def story(setup: Setup, gateway: PaperGateway) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"220 mail.example.com\n")
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", setup.status_port):
            found = await setup.examine()
        found.check_only("status_socket", "is not the tracker", "choose another status.port")

    play(tmp_path, story)


def test_foreign_status_host(setup: Setup) -> None:
    """A status host that is not this machines is found."""
    setup.flags = {"status.host": "192.0.2.1"}
    found = setup.look()
    found.check_only("status_socket", "cannot be listened on", "correct status.host")


def test_token_readable_by_others(setup: Setup) -> None:
    """A token that others can read is warned of."""
    token = setup.folder / "status.token"
    token.write_text("secret\n")
    token.chmod(0o644)
    found = setup.look()
    assert found.of("warning") == ["token"]
    assert "secret" not in json.dumps(found.answer)


@pytest.mark.parametrize(("mode", "warned"), [(0o644, ["log"]), (0o600, [])])
def test_log_readable_by_others(setup: Setup, mode: int, warned: list[str]) -> None:
    """The log holds account numbers, so it is for its user only."""
    log = setup.folder / "tracker.log"
    log.write_text("started\n")
    log.chmod(mode)
    setup.flags = {"log.file": str(log)}
    assert setup.look().of("warning") == warned


def test_journal_readable_by_others(setup: Setup) -> None:
    """The journal holds account numbers and fills, so it is for its user only."""
    setup.bind_journal("paper")
    setup.journal.chmod(0o644)
    found = setup.look()
    assert found.of("warning") == ["journal"]
    assert found["journal"]["next_step"].startswith(f"chmod 600 {setup.journal}")


@pytest.mark.parametrize(("mode", "warned"), [(0o644, ["settings_file"]), (0o600, [])])
def test_settings_file_with_notify_urls(setup: Setup, mode: int, warned: list[str]) -> None:
    """A settings file with URLs that hold secrets is for its user only; without them it is not checked."""
    setup.settings.chmod(mode)
    assert "settings_file" not in setup.look().checks
    with setup.settings.open("a") as file:
        file.write("[notify]\nurls = ['json://user:secret@localhost']\n")
    found = setup.look()
    assert found.of("warning") == warned
    assert "secret@" not in json.dumps(found.answer)


# Planted faults: the machine and the settings


def machine(**changes: Any) -> Callable[[], Machine]:
    return lambda: replace(inspect_machine(), **changes)


def test_missing_zone_data_is_found(setup: Setup) -> None:
    setup.with_probes(machine=machine(missing_zones=("US/Eastern",)))
    setup.look().check_only("zone_data", "US/Eastern", "tzdata")


def test_the_rival_library_is_found(setup: Setup) -> None:
    setup.with_probes(machine=machine(versions={"ib_insync": "0.9.86", "aeventkit": "2.1.0"}))
    found = setup.look(offline=False)
    found.check_only("python", "aeventkit", "environment of its own")
    assert "this Python may not" in found["gateway"]["found"]


def test_each_settings_mistake_is_a_fault(setup: Setup) -> None:
    """Each mistake in the settings is a fault."""
    setup.settings.write_text("[gateway]\nport = 99999\nclinet_id = 1\n")
    found = setup.look()
    assert found.faults() == ["settings", "settings"]
    assert found.of("ok") == ["python", "zone_data"]
    assert any("client_id" in finding["found"] for finding in found.answer["findings"])


# The page


def test_documented_checks_are_the_real_ones() -> None:
    """Every check is on its page and no other."""
    page = (PROJECT / "tracker" / "doctor" / "DOCTOR.md").read_text("utf-8")
    table = page.partition("## The checks")[2].partition("## JSON")[0]
    listed = {
        name for row in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`(\w+)`", row)
    }
    named = {
        "alerts_folder",
        "journal_folder",
        "token_folder",
        "log_folder",
        "contracts_store",
        "stocks_store",
    }
    named |= {"alerts_file_system", "journal_file_system"}
    for path in (PROJECT / "tracker" / "doctor").glob("*.py"):
        text = path.read_text("utf-8")
        named |= set(re.findall(r"""(?:\bcheck(?:, place)? = |CHECK: Final = |Finding\(\s*)"(\w+)\"""", text))
    assert listed - {"check"} == named
