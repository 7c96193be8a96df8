"""Inspect the folders of the tracker's files, and try there what the tracker will do.

Owns the scratch file with which a folder is tested (it is made, given an owner, synced, renamed and removed,
under a name that nobody else uses) and reads Linux's mountinfo (proc(5)). It never opens a store for writing
and leaves nothing behind.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tracker.doctor.check_files import MADE_BY_DAEMON, READ_ONLY
from tracker.doctor.finding import FailedStep, FolderState, Mount, Place, Space
from tracker.stores.filesystem import Disk, FileStat

_OCTAL: Final = re.compile(r"\\([0-7]{3})")
MOUNTINFO: Final = Path("/proc/self/mountinfo")
_SCRATCH: Final = b"tracker doctor tries whether a file can be replaced here\n"


def read_mountinfo() -> str | None:
    """Return Linux's list of mounts, None on other systems."""
    try:
        return MOUNTINFO.read_text("utf-8", errors="replace")
    except OSError:
        return None


def space_at(folder: Path) -> Space:
    """Return the free space of a folder's file system for users without privileges; raises OSError."""
    found = os.statvfs(folder)
    # Some file systems (btrfs) create inodes when needed, and report 0 of 0.
    files = found.f_favail if found.f_files else None
    return Space(os.stat(folder).st_dev, found.f_bavail * found.f_frsize, files)


@dataclass(frozen=True, slots=True)
class DiskAccess:
    """Hold how files, mounts and free space are read."""

    disk: Disk
    mountinfo: str | None
    space: Callable[[Path], Space]


def inspect_place(access: DiskAccess, setting: str, path: Path, origin: str, *, configured: bool) -> Place:
    """Return what is at the place of a file; its folder is tested unless the tracker never writes the
    file.
    """
    disk = access.disk
    state, reason = _folder_state(disk, path.parent)
    place = Place(setting, origin, path, configured, state, reason)
    if state is not FolderState.EXISTS:
        made_at_start = state is FolderState.MISSING and not configured and setting in MADE_BY_DAEMON
        if not made_at_start:
            return place
        above = next(each for each in path.parent.parents if os.path.exists(each))
        return replace(
            place,
            failed=try_replace(disk, above, None),
            tried=True,
            mount=_mount(access, above),
            space=_space(access, above),
        )
    real = disk.real_path(path)
    file, file_reason = _inspect_file(disk, real)
    is_folder = file is not None and stat.S_ISDIR(file.mode)
    mount = _mount(access, real)
    tried = setting not in READ_ONLY and not is_folder
    # Only the alerts are replaced by a file of the same owner.
    like = file if setting == "stores.alerts" else None
    return replace(
        place,
        is_folder=is_folder,
        file=file,
        file_reason="" if is_folder else file_reason,
        tried=tried,
        failed=try_replace(disk, real.parent, like) if tried else None,
        mount=mount,
        is_mount=mount is not None and mount.point == real,
        space=_space(access, real.parent),
    )


def _folder_state(disk: Disk, folder: Path) -> tuple[FolderState, str]:
    try:
        found = disk.stat(folder)
    except FileNotFoundError:
        return FolderState.MISSING, ""
    except NotADirectoryError:
        return FolderState.NOT_A_FOLDER, "something above it is a file"
    except OSError as error:
        return FolderState.UNREACHABLE, error.strerror or str(error)
    return (FolderState.EXISTS, "") if stat.S_ISDIR(found.mode) else (FolderState.NOT_A_FOLDER, "")


def _inspect_file(disk: Disk, path: Path) -> tuple[FileStat | None, str]:
    """Return what the file is, and why it cannot be read; (None, "") where there is none."""
    found = None
    try:
        found = disk.stat(path)
        disk.close(disk.open(path))
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return found, error.strerror or str(error)
    return found, ""


def _mount(access: DiskAccess, path: Path) -> Mount | None:
    if access.mountinfo is None:
        return None
    return mount_of(access.disk.real_path(path), access.mountinfo)


def _space(access: DiskAccess, folder: Path) -> Space | None:
    try:
        return access.space(folder)
    except OSError:
        # The folder's own finding says that it cannot be used.
        return None


def try_replace(disk: Disk, folder: Path, like: FileStat | None) -> FailedStep | None:
    """Replace a scratch file as a store is replaced; return the step that failed, None where all went well.

    `like` is the file whose owner and mode the new one must be given.
    """
    first = folder / f".tracker-doctor-{os.getpid()}.new"
    second = folder / f".tracker-doctor-{os.getpid()}"
    step = "make a file"
    file: int | None = None
    try:
        # A scratch file of this name was left behind by a killed doctor with the same process id.
        disk.remove(first)
        file = disk.open_new(first)
        if like is not None:
            step = f"give a file to user {like.user}, group {like.group}"
            disk.set_owner(file, like.user, like.group, stat.S_IMODE(like.mode))
        step = "write a file"
        disk.write(file, _SCRATCH)
        step = "sync a file"
        disk.sync(file)
        step = "rename a file"
        disk.rename(first, second)
        step = "sync the folder"
        disk.sync_folder(folder)
        step = "remove a file"
        disk.remove(second)
    except OSError as error:
        return FailedStep(step, error.strerror or str(error))
    finally:
        if file is not None:
            disk.close(file)
            for left in (first, second):
                # The failed step is reported; still try to remove the scratch files.
                with suppress(OSError):
                    disk.remove(left)
    return None


def mount_of(path: Path, mountinfo: str) -> Mount | None:
    """Return the mount that an absolute path without symbolic links lies on; None where the text has none.

    The last one counts where several are on one point, since it hides the others.
    """
    found: Mount | None = None
    for mount in _mounts(mountinfo):
        within = mount.point in (path, *path.parents)
        if within and (found is None or len(mount.point.parts) >= len(found.point.parts)):
            found = mount
    return found


def _mounts(mountinfo: str) -> Iterator[Mount]:
    for line in mountinfo.splitlines():
        before, dash, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if dash and len(fields) > 4 and kinds[0]:
            yield Mount(Path(_unescaped(fields[4])), kinds[0])


def _unescaped(text: str) -> str:
    """Replace mountinfo's octal escapes: space, tab, newline and backslash."""
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), text)
