"""A file is replaced whole or not at all, with the owner and the mode it had."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.store_cases import Crash, FaultyDisk
from tracker.core.ports import StoreRefused
from tracker.stores.atomic_replace import (
    back_up,
    backup_path,
    check_replaceable,
    put_in_place,
    temp_path,
    write_beside,
)
from tracker.stores.filesystem import FileStat, RealDisk, failure_words

OLD, NEW = b"old" * 1000, b"new content" * 2000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "alerts.json"
    made.write_bytes(OLD)
    made.chmod(0o664)
    return made


def replace_file(
    disk: FaultyDisk, path: Path, content: bytes, like: FileStat, look: Callable[[], bool]
) -> int | None:
    with path.open("rb") as old:
        file = write_beside(disk, path, content, old.fileno(), like)
    return file if put_in_place(disk, path, file, look) else None


def backed_up(disk: FaultyDisk, path: Path, content: bytes, like: FileStat) -> None:
    with path.open("rb") as old:
        back_up(disk, path, content, old.fileno(), like)


def replaced(disk: FaultyDisk, path: Path, *, unchanged: bool = True) -> int | None:
    return replace_file(disk, path, NEW, disk.stat(path), lambda: unchanged)


def test_steps_keep_the_file_whole(path: Path) -> None:
    """Steps come in the order that keeps the file whole."""
    disk = FaultyDisk()

    def look() -> bool:
        disk.calls.append("look")
        return True

    file = replace_file(disk, path, NEW, disk.stat(path), look)
    assert file is not None
    assert disk.read(file) == NEW == path.read_bytes()
    os.close(file)
    order = ["remove", "open_new", "set_owner", "copy_attributes", "write", "sync", "look", "rename", "read"]
    assert disk.calls == ["stat", *order]


def test_mode_is_kept_whatever_umask(path: Path) -> None:
    """The mode is kept whatever the umask."""
    before = os.umask(0o077)
    try:
        file = replaced(FaultyDisk(), path)
    finally:
        os.umask(before)
    assert file is not None
    os.close(file)
    assert stat.S_IMODE(path.stat().st_mode) == 0o664


def test_new_file_keeps_the_owner(path: Path) -> None:
    """Giving a file away is for root only, so here the call is what counts."""
    given: list[tuple[int, int, int]] = []

    class Recording(FaultyDisk):
        def set_owner(self, file: int, user: int, group: int, mode: int) -> None:
            given.append((user, group, mode))

    disk = Recording()
    like = disk.stat(path)._replace(user=12345, group=23456)
    file = replace_file(disk, path, NEW, like, lambda: True)
    assert file is not None
    os.close(file)
    assert given == [(12345, 23456, 0o664)]


def test_failed_last_look_changes_nothing(path: Path) -> None:
    """A last look that says no leaves all as it was."""
    assert replaced(FaultyDisk(), path, unchanged=False) is None
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == ["alerts.json"]


@pytest.mark.parametrize("step", ["remove", "open_new", "set_owner", "write", "sync", "rename"])
def test_failing_step_leaves_old_file(path: Path, step: str) -> None:
    """An error at any step leaves the old file and nothing beside it."""
    disk = FaultyDisk()
    like = disk.stat(path)
    disk.failing[step] = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        replace_file(disk, path, NEW, like, lambda: True)
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == ["alerts.json"]


@pytest.mark.parametrize("at", range(8))
def test_crash_leaves_old_or_new_file(path: Path, at: int) -> None:
    """A crash at any step leaves the old or the new file and the next write clears up."""
    disk = FaultyDisk()
    like = disk.stat(path)
    disk.crash_at = at
    try:
        replace_file(disk, path, NEW, like, lambda: True)
    except Crash:
        assert path.read_bytes() in (OLD, NEW)
    else:
        assert at == 7, "no step is left to crash at"
    file = replaced(FaultyDisk(), path)
    assert file is not None
    os.close(file)
    assert path.read_bytes() == NEW
    assert os.listdir(path.parent) == ["alerts.json"]


def test_backup_is_made_once(path: Path) -> None:
    """A backup is made once and never touched again."""
    disk = FaultyDisk()
    backed_up(disk, path, OLD, disk.stat(path))
    backed_up(disk, path, NEW, disk.stat(path))
    assert backup_path(path).read_bytes() == OLD
    assert stat.S_IMODE(backup_path(path).stat().st_mode) == 0o664
    assert sorted(os.listdir(path.parent)) == ["alerts.json", "alerts.json.tracker-backup"]


@pytest.mark.parametrize("at", range(9))
def test_crash_never_leaves_half_a_backup(path: Path, at: int) -> None:
    """A crash during the backup never leaves half of it."""
    disk = FaultyDisk()
    like = disk.stat(path)
    disk.crash_at = at
    try:
        backed_up(disk, path, OLD, like)
    except Crash:
        assert not backup_path(path).exists() or backup_path(path).read_bytes() == OLD
    else:
        assert at == 8, "no step is left to crash at"
    backed_up(FaultyDisk(), path, OLD, like)
    assert backup_path(path).read_bytes() == OLD


def test_check_leaves_nothing_behind(path: Path) -> None:
    """A file that can be replaced passes the check and nothing stays."""
    check_replaceable(FaultyDisk(), path)
    assert os.listdir(path.parent) == ["alerts.json"]
    assert path.read_bytes() == OLD


def test_absent_file_passes_the_check(tmp_path: Path) -> None:
    """A file that is not there yet passes the check."""
    check_replaceable(FaultyDisk(), tmp_path / "alerts.json")
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        StoreRefused, match=r"folder .*/gone cannot be used \(No such file.*set stores.alerts"
    ):
        check_replaceable(FaultyDisk(), tmp_path / "gone" / "alerts.json")


def test_folder_as_file_is_refused(tmp_path: Path) -> None:
    """A folder in the files place is refused."""
    with pytest.raises(StoreRefused, match="not a regular file"):
        check_replaceable(FaultyDisk(), tmp_path)
    (tmp_path / "plain").write_text("")
    with pytest.raises(StoreRefused, match="is not a folder"):
        check_replaceable(FaultyDisk(), tmp_path / "plain" / "alerts.json")


def test_socket_as_file_is_refused(tmp_path: Path) -> None:
    """It is told by its kind: opening one fails with a cause that leads to access rights."""
    path = tmp_path / "alerts.json"
    os.mknod(path, stat.S_IFSOCK | 0o600)
    with pytest.raises(StoreRefused, match="not a regular file"):
        check_replaceable(FaultyDisk(), path)


def test_link_to_itself_is_refused(tmp_path: Path) -> None:
    """The next step is to remove it, not to give access to it."""
    path = tmp_path / "alerts.json"
    path.symlink_to(path)
    with pytest.raises(StoreRefused, match=r"symbolic links.*; remove that link"):
        check_replaceable(FaultyDisk(), path)


def test_hard_links_are_refused(path: Path) -> None:
    os.link(path, path.with_name("other"))
    with pytest.raises(StoreRefused, match=r"2 hard links.*symbolic link"):
        check_replaceable(FaultyDisk(), path)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("open", "cannot be read .*give the tracker's user access"),
        ("open_new", "no file can be made beside it .*write access to the folder"),
        ("set_owner", "belongs to user .*run the tracker as user"),
        ("copy_attributes", "access list or extended attributes .*setfacl -b"),
    ],
)
def test_refusal_names_the_next_step(path: Path, step: str, words: str) -> None:
    """What is not permitted is refused with the next step."""
    disk = FaultyDisk()
    disk.failing[step] = PermissionError(errno.EPERM, "Operation not permitted")
    with pytest.raises(StoreRefused, match=words):
        check_replaceable(disk, path)
    assert os.listdir(path.parent) == ["alerts.json"]


def test_link_is_checked_at_its_target(path: Path, tmp_path: Path) -> None:
    """A symbolic link is checked where it leads."""
    folder = tmp_path / "links"
    folder.mkdir()
    link = folder / "alerts.json"
    link.symlink_to(path)
    disk = FaultyDisk()
    check_replaceable(disk, link)
    assert temp_path(path).parent == tmp_path
    assert os.listdir(folder) == ["alerts.json"]


# Access lists and extended attributes

EVERYONE = 0xFFFFFFFF
"""What an entry of an access list names where it names no one user or group."""
USER_OBJ, USER, GROUP_OBJ, MASK, OTHER = 0x01, 0x02, 0x04, 0x10, 0x20


def access_list(*entries: tuple[int, int, int]) -> bytes:
    """Return a POSIX access list in the kernel's form (posix_acl_xattr.h): (tag, permissions, id) each."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


BOT_MAY_WRITE = access_list(
    (USER_OBJ, 6, EVERYONE),
    (USER, 6, 65534),
    (GROUP_OBJ, 4, EVERYONE),
    (MASK, 6, EVERYONE),
    (OTHER, 0, EVERYONE),
)


@pytest.fixture
def listed(path: Path) -> Path:
    """Return a file that a second user may write by its access list, with an attribute of that user's."""
    try:
        os.setxattr(path, "user.note", b"bot")
        os.setxattr(path, "system.posix_acl_access", BOT_MAY_WRITE)
    except OSError as error:
        pytest.skip(f"this file system keeps no access lists: {error}")
    return path


def test_access_list_and_attributes_are_kept(listed: Path) -> None:
    """The alert writer's user must not lose its access by our first write."""
    mode = listed.stat().st_mode
    backed_up(FaultyDisk(), listed, OLD, FaultyDisk().stat(listed))
    file = replaced(FaultyDisk(), listed)
    assert file is not None
    os.close(file)
    for each in (listed, backup_path(listed)):
        assert os.getxattr(each, "user.note") == b"bot"
        assert os.getxattr(each, "system.posix_acl_access") == BOT_MAY_WRITE
        assert each.stat().st_mode == mode
    assert listed.read_bytes() == NEW


def test_default_access_list_changes_nothing(path: Path) -> None:
    """A folder's default list is given to every new file in it, and the file that stands has none."""
    try:
        os.setxattr(path.parent, "system.posix_acl_default", BOT_MAY_WRITE)
    except OSError as error:
        pytest.skip(f"this file system keeps no access lists: {error}")
    mode = path.stat().st_mode
    file = replaced(FaultyDisk(), path)
    assert file is not None
    os.close(file)
    assert os.listxattr(path) == []
    assert path.stat().st_mode == mode


def test_file_system_without_attributes_is_well(path: Path) -> None:
    """On one that knows none there is nothing to copy; any other failure is one."""
    disk = RealDisk()
    with path.open("rb") as file, pytest.MonkeyPatch.context() as patch:
        for code in (errno.ENOTSUP, errno.ENOSYS):
            patch.setattr(os, "listxattr", failing(code))
            disk.copy_attributes(file.fileno(), file.fileno())
        patch.setattr(os, "listxattr", failing(errno.EIO))
        with pytest.raises(OSError, match="Input/output"):
            disk.copy_attributes(file.fileno(), file.fileno())


def failing(code: int) -> Callable[[int], list[str]]:
    def fail(file: int) -> list[str]:
        raise OSError(code, os.strerror(code))

    return fail


def test_folder_at_temp_file_is_named(tmp_path: Path) -> None:
    """The next step names what is in the way."""
    path = tmp_path / "alerts.json"
    path.write_text("{}")
    temp_path(path).mkdir()
    with pytest.raises(StoreRefused, match=r"remove the folder .*alerts\.json\.tracker-temp"):
        check_replaceable(RealDisk(), path)


def test_advice_names_what_is_in_the_way(tmp_path: Path) -> None:
    blocked = tmp_path / "folder"
    blocked.mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        RealDisk().remove(blocked)
    assert failure_words(caught.value).endswith(f"; remove the folder {blocked}")
