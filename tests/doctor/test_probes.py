"""How doctor looks: mounts as Linux writes them, folders tried without a trace, words that fit a screen."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.support.doctor_rig import PLENTY
from tests.support.free_ports import free_port
from tests.support.store_cases import FaultyDisk
from tracker.doctor import read_stores
from tracker.doctor.command import as_text
from tracker.doctor.filesystems import (
    DiskAccess,
    inspect_place,
    mount_of,
    read_mountinfo,
    space_at,
    try_replace,
)
from tracker.doctor.finding import FailedStep, FilesystemKind, FolderState, Mount, PortState
from tracker.doctor.probes import inspect_port
from tracker.journal.journal import Journal
from tracker.status.protocol import Answer, Request, SocketCommand
from tracker.status.server import StatusServer
from tracker.stores.filesystem import RealDisk
from tracker.stores.lock import FileLock

MOUNTINFO = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
31 27 0:44 / /srv rw - tmpfs tmpfs rw
32 31 0:45 / /srv rw - nfs4 box:/export rw
33 27 0:46 / /mnt/my\040disk rw,relatime master:7 propagate_from:2 - fuse.sshfs me@box:/ rw
34 27 254:1 /a /data/alerts/alerts.json rw - xfs /dev/vdb rw
this line is no mount
"""


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/var/lib/alerts.json", Mount(Path("/"), "ext4")),
        ("/srv/alerts.json", Mount(Path("/srv"), "nfs4")),
        ("/srvices/alerts.json", Mount(Path("/"), "ext4")),
        ("/mnt/my disk/alerts.json", Mount(Path("/mnt/my disk"), "fuse.sshfs")),
        ("/data/alerts/alerts.json", Mount(Path("/data/alerts/alerts.json"), "xfs")),
        ("/data/alerts/other.json", Mount(Path("/"), "ext4")),
    ],
)
def test_the_deepest_and_last_mount_counts(path: str, mount: Mount) -> None:
    assert mount_of(Path(path), MOUNTINFO) == mount


def test_a_text_without_mounts_gives_none() -> None:
    assert mount_of(Path("/x"), "") is None


def test_kinds_of_file_systems() -> None:
    assert Mount(Path("/"), "nfs").kind is FilesystemKind.NETWORK
    assert Mount(Path("/"), "btrfs").kind is FilesystemKind.LOCAL


def test_real_mountinfo_names_file_system(tmp_path: Path) -> None:
    """The real mountinfo names the file system of a file."""
    text = read_mountinfo()
    if not Path("/proc/self/mountinfo").exists():
        assert text is None
        return
    assert text is not None
    mount = mount_of(tmp_path.resolve(), text)
    assert mount is not None
    assert os.path.ismount(mount.point)


@pytest.mark.parametrize(
    "call", ["open_new", "set_owner", "write", "sync", "rename", "sync_folder", "remove"]
)
def test_folder_trial_leaves_no_trace(tmp_path: Path, call: str) -> None:
    """A folder is tried without a trace whatever fails."""

    class Failing(FaultyDisk):
        def _call(self, name: str) -> None:
            # Only once: what is left behind can be removed afterwards.
            if name == call and (name != "remove" or "sync_folder" in self.calls):
                self.calls.append(name)
                error = self.failing.pop(name, None)
                if error is not None:
                    raise error
                return
            super()._call(name)

    disk = Failing()
    disk.failing[call] = OSError(28, "No space left on device")
    like = RealDisk().stat(tmp_path)
    failed = try_replace(disk, tmp_path, like)
    assert failed is not None
    assert failed.reason == "No space left on device"
    assert list(tmp_path.iterdir()) == []


def test_folder_trial_order(tmp_path: Path) -> None:
    """A folder that has no fault is tried in the order of a replacement."""
    disk = FaultyDisk()
    assert try_replace(disk, tmp_path, None) is None
    steps = [call for call in disk.calls if call in ("open_new", "write", "sync", "rename", "sync_folder")]
    assert steps == ["open_new", "write", "sync", "rename", "sync_folder"]
    assert list(tmp_path.iterdir()) == []


def test_leftover_of_killed_doctor(tmp_path: Path) -> None:
    """What a killed doctor left is no hindrance."""
    (tmp_path / f".tracker-doctor-{os.getpid()}.new").touch()
    assert try_replace(RealDisk(), tmp_path, None) is None
    assert list(tmp_path.iterdir()) == []


def test_linked_store_is_followed(tmp_path: Path) -> None:
    """A store behind a link is looked at where it lies."""
    real = tmp_path / "real"
    real.mkdir()
    (real / "alerts.json").write_text("{}")
    link = tmp_path / "alerts.json"
    link.symlink_to(real / "alerts.json")
    text = f"1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / {real.resolve()} rw - cifs b rw\n"
    found = inspect_place(
        DiskAccess(RealDisk(), text, lambda path: PLENTY), "stores.alerts", link, "", configured=True
    )
    assert found.folder is FolderState.EXISTS
    assert found.mount == Mount(real.resolve(), "cifs")
    assert found.failed is None


def test_a_link_into_nowhere_is_found(tmp_path: Path) -> None:
    link = tmp_path / "alerts.json"
    link.symlink_to(tmp_path / "gone" / "alerts.json")
    found = inspect_place(DiskAccess(RealDisk(), None, space_at), "stores.alerts", link, "", configured=True)
    assert found.failed == FailedStep("make a file", "No such file or directory")


def test_free_space_of_folder(tmp_path: Path) -> None:
    """The space of a folder is reported."""
    space = space_at(tmp_path)
    assert space.free_bytes > 0
    assert space.device == tmp_path.stat().st_dev


# Reading


def test_reading_journal_leaves_no_trace(tmp_path: Path) -> None:
    """A journal is looked into without a trace."""
    path = tmp_path / "journal.db"
    assert read_stores.read_journal(path, in_use=False).bound_to is None
    assert not path.exists()
    journal = Journal(path)
    journal.bind_login_kind("live")
    assert read_stores.read_journal(path, in_use=True).bound_to == "live"
    beside = sorted(tmp_path.iterdir())
    assert read_stores.read_journal(path, in_use=False).bound_to == "live", "what stands in -wal counts too"
    assert sorted(tmp_path.iterdir()) == beside
    journal.close()
    assert read_stores.read_journal(path, in_use=False).bound_to == "live"
    assert list(tmp_path.iterdir()) == [path]


def test_large_journal_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal too large to copy is left alone."""
    path = tmp_path / "journal.db"
    Journal(path).close()
    monkeypatch.setattr(read_stores, "MAX_COPIED_BYTES", 100)
    found = read_stores.read_journal(path, in_use=False)
    assert "not read" in found.unread


def test_uncopyable_journal_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that cannot be copied is no broken one."""
    path = tmp_path / "journal.db"
    Journal(path).close()

    def full(*names: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    found = read_stores.read_journal(path, in_use=False)
    assert (found.trouble, "No space left on device" in found.unread) == ("", True)


def test_lock_names_its_holder(tmp_path: Path) -> None:
    """A lock is told by the name of its holder."""
    path = tmp_path / "journal.db"
    assert read_stores.read_lock(path).holder == ""
    assert list(tmp_path.iterdir()) == [], "looking at a lock makes none"
    with FileLock(path, "tracker run, process 4711"):
        assert read_stores.read_lock(path).holder == "tracker run, process 4711"
    assert read_stores.read_lock(path).holder == ""
    with FileLock(path, "the next one"):
        pass


def test_unusable_lock_is_a_fault(tmp_path: Path) -> None:
    """A lock that is no file is trouble."""
    (tmp_path / "journal.db.lock").mkdir()
    assert "Is a directory" in read_stores.read_lock(tmp_path / "journal.db").trouble


# The status port


def test_a_free_port_stays_free() -> None:
    port = free_port()
    assert inspect_port("127.0.0.1", port, None).state is PortState.FREE
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_port_0_and_unknown_hosts() -> None:
    """Port 0 and hosts that are nowhere."""
    assert inspect_port("127.0.0.1", 0, None).state is PortState.ANY_FREE
    assert inspect_port("192.0.2.1", 8765, None).state is PortState.UNUSABLE


def answering(answer: dict[str, Any], host: str = "127.0.0.1", token: str = "secret") -> StatusServer:
    async def status(request: Request) -> Answer:
        return answer

    return StatusServer(host, 0, {"status": SocketCommand(status, "say how it is")}, token)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({"journal": {"path": "/data/journal.db"}}, PortState.TRACKER),
        ({"journal": {}}, PortState.OTHER_PROGRAM),
        ({}, PortState.OTHER_PROGRAM),
    ],
)
def test_tracker_on_port_names_its_journal(answer: dict[str, Any], state: PortState) -> None:
    """A tracker on the port is told by its journal."""

    async def story() -> None:
        server = answering(answer)
        await server.start()
        found = await asyncio.to_thread(inspect_port, "127.0.0.1", server.port, None)
        await server.close()
        assert found.state is state
        assert found.journal == (Path("/data/journal.db") if state is PortState.TRACKER else None)

    asyncio.run(story())


@pytest.mark.parametrize(("token", "state"), [("secret", PortState.TRACKER), (None, PortState.REFUSED)])
def test_token_is_sent_beyond_loopback(token: str | None, state: PortState) -> None:
    """Beyond loopback a tracker is asked with the token."""

    async def story() -> None:
        server = answering({"journal": {"path": "/j.db"}}, "0.0.0.0")
        await server.start()
        found = await asyncio.to_thread(inspect_port, "0.0.0.0", server.port, token)
        await server.close()
        assert found.state is state

    asyncio.run(story())


# The words


def told(*findings: tuple[str, str, str, str], offline: bool = False) -> str:
    rows = [dict(zip(("check", "level", "found", "next_step"), row, strict=True)) for row in findings]
    counts = {
        level: sum(row["level"] == level for row in rows) for level in ("ok", "note", "warning", "fault")
    }
    return as_text({"findings": rows, "counts": counts, "offline": offline})


def test_text_fits_80_columns() -> None:
    """Words fit 80 columns and say what to do."""
    text = told(
        ("alerts_folder", "fault", "it is not there, " * 12, "make it, " * 15), ("clock", "ok", "", "")
    )
    assert max(len(line) for line in text.splitlines()) <= 80
    assert text.startswith("FAULT    alerts folder        it is not there")
    assert "-> make it" in text
    assert "ok       clock" in text
    assert text.endswith("Not ready to run: 1 fault. Fix the faults first.")


def test_paths_whole_and_control_characters_replaced() -> None:
    """A path stays whole and control characters do not reach the terminal."""
    path = "/srv/" + "x" * 90
    text = told(("alerts_folder", "ok", f"in {path}\x1b[2J", ""))
    assert path in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("levels", "offline", "last"),
    [
        (["ok"], False, "Ready to run."),
        (["ok", "note", "note"], False, "Ready to run (2 notes)."),
        (["warning", "warning", "note"], False, "Ready to run (2 warnings, 1 note)."),
        (["fault", "warning"], False, "Not ready to run: 1 fault, 1 warning. Fix the faults first."),
        (["ok", "note"], True, "No fault found (1 note); the gateway was not checked."),
    ],
)
def test_the_last_line_sums_up(levels: list[str], offline: bool, last: str) -> None:
    text = told(*[("x", level, "so", "") for level in levels], offline=offline)
    assert text.splitlines()[-1] == last
