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
from tracker.stores.filesystem import FileStat, RealDisk, advice

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


def test_steps_come_in_the_order_that_keeps_the_file_whole(path: Path) -> None:
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


def test_the_mode_is_kept_whatever_the_umask(path: Path) -> None:
    before = os.umask(0o077)
    try:
        file = replaced(FaultyDisk(), path)
    finally:
        os.umask(before)
    assert file is not None
    os.close(file)
    assert stat.S_IMODE(path.stat().st_mode) == 0o664


def test_the_new_file_is_given_the_owner_of_the_old_one(path: Path) -> None:
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


def test_a_last_look_that_says_no_leaves_all_as_it_was(path: Path) -> None:
    assert replaced(FaultyDisk(), path, unchanged=False) is None
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == ["alerts.json"]


@pytest.mark.parametrize("step", ["remove", "open_new", "set_owner", "write", "sync", "rename"])
def test_an_error_at_any_step_leaves_the_old_file_and_nothing_beside_it(path: Path, step: str) -> None:
    disk = FaultyDisk()
    like = disk.stat(path)
    disk.failing[step] = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        replace_file(disk, path, NEW, like, lambda: True)
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == ["alerts.json"]


@pytest.mark.parametrize("at", range(8))
def test_a_crash_at_any_step_leaves_the_old_or_the_new_file_and_the_next_write_clears_up(
    path: Path, at: int
) -> None:
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


def test_a_backup_is_made_once_and_never_touched_again(path: Path) -> None:
    disk = FaultyDisk()
    backed_up(disk, path, OLD, disk.stat(path))
    backed_up(disk, path, NEW, disk.stat(path))
    assert backup_path(path).read_bytes() == OLD
    assert stat.S_IMODE(backup_path(path).stat().st_mode) == 0o664
    assert sorted(os.listdir(path.parent)) == ["alerts.json", "alerts.json.tracker-backup"]


@pytest.mark.parametrize("at", range(9))
def test_a_crash_during_the_backup_never_leaves_half_of_it(path: Path, at: int) -> None:
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


def test_a_file_that_can_be_replaced_passes_the_check_and_nothing_stays(path: Path) -> None:
    check_replaceable(FaultyDisk(), path)
    assert os.listdir(path.parent) == ["alerts.json"]
    assert path.read_bytes() == OLD


def test_a_file_that_is_not_there_yet_passes_the_check(tmp_path: Path) -> None:
    check_replaceable(FaultyDisk(), tmp_path / "alerts.json")
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        StoreRefused, match=r"folder .*/gone cannot be used \(No such file.*set stores.alerts"
    ):
        check_replaceable(FaultyDisk(), tmp_path / "gone" / "alerts.json")


def test_a_folder_in_the_files_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="not a regular file"):
        check_replaceable(FaultyDisk(), tmp_path)
    (tmp_path / "plain").write_text("")
    with pytest.raises(StoreRefused, match="is not a folder"):
        check_replaceable(FaultyDisk(), tmp_path / "plain" / "alerts.json")


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
def test_what_is_not_permitted_is_refused_with_the_next_step(path: Path, step: str, words: str) -> None:
    disk = FaultyDisk()
    disk.failing[step] = PermissionError(errno.EPERM, "Operation not permitted")
    with pytest.raises(StoreRefused, match=words):
        check_replaceable(disk, path)
    assert os.listdir(path.parent) == ["alerts.json"]


def test_a_symbolic_link_is_checked_where_it_leads(path: Path, tmp_path: Path) -> None:
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


def test_folder_in_place_of_temp_file_is_named(tmp_path: Path) -> None:
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
    assert advice(caught.value).startswith(f"remove the folder {blocked}")
