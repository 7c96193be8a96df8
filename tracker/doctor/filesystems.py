"""Look at the places of the tracker's files, and try out what it will do there.

Owns the scratch file with which a folder is tried: made, owned, synced, renamed and removed again, under a
name that nobody else uses. It never opens a store for writing and leaves nothing behind.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tracker.doctor.check_files import MADE_BY_DAEMON, READ_ONLY
from tracker.doctor.finding import FolderState, Place, Space, Stopped
from tracker.doctor.mounts import Mount, mount_of
from tracker.stores.filesystem import Disk, FileStat

MOUNTINFO: Final = Path("/proc/self/mountinfo")
_SCRATCH: Final = b"tracker doctor tries whether a file can be replaced here\n"


def read_mountinfo() -> str | None:
    """Return what Linux says of its mounts, None on other systems."""
    try:
        return MOUNTINFO.read_text("utf-8", errors="replace")
    except OSError:
        return None


def space_at(folder: Path) -> Space:
    """Return what is free on a folder's file system for users without privileges; raises OSError."""
    found = os.statvfs(folder)
    # Some file systems (btrfs) make inodes as they need them, and say 0 of 0.
    files = found.f_favail if found.f_files else None
    return Space(os.stat(folder).st_dev, found.f_bavail * found.f_frsize, files)


@dataclass(frozen=True, slots=True)
class PathFilesystem:
    """Hold by which means places are looked at."""

    disk: Disk
    mountinfo: str | None
    space: Callable[[Path], Space]


def look_at(ground: PathFilesystem, setting: str, path: Path, origin: str, *, configured: bool) -> Place:
    """Look at one file's place; its folder is tried out unless the store is one that is never written."""
    disk = ground.disk
    state, reason = _folder_state(disk, path.parent)
    place = Place(setting, origin, path, configured, state, reason)
    if state is not FolderState.THERE:
        will_be_made = state is FolderState.MISSING and not configured and setting in MADE_BY_DAEMON
        if not will_be_made:
            return place
        above = next(each for each in path.parent.parents if os.path.exists(each))
        return replace(
            place,
            stopped=try_out(disk, above, None),
            tried=True,
            mount=_mount(ground, above),
            space=_space(ground, above),
        )
    real = disk.real_path(path)
    file, file_reason = _look_at_file(disk, real)
    is_folder = file is not None and stat.S_ISDIR(file.mode)
    mount = _mount(ground, real)
    tried = setting not in READ_ONLY and not is_folder
    # Only the alerts are replaced by a file of the same owner.
    like = file if setting == "stores.alerts" else None
    return replace(
        place,
        is_folder=is_folder,
        file=file,
        file_reason="" if is_folder else file_reason,
        tried=tried,
        stopped=try_out(disk, real.parent, like) if tried else None,
        mount=mount,
        is_mount=mount is not None and mount.point == real,
        space=_space(ground, real.parent),
    )


def _folder_state(disk: Disk, folder: Path) -> tuple[FolderState, str]:
    try:
        found = disk.stat(folder)
    except FileNotFoundError:
        return FolderState.MISSING, ""
    except NotADirectoryError:
        return FolderState.NO_FOLDER, "something above it is a file"
    except OSError as error:
        return FolderState.UNREACHABLE, error.strerror or str(error)
    return (FolderState.THERE, "") if stat.S_ISDIR(found.mode) else (FolderState.NO_FOLDER, "")


def _look_at_file(disk: Disk, path: Path) -> tuple[FileStat | None, str]:
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


def _mount(ground: PathFilesystem, path: Path) -> Mount | None:
    if ground.mountinfo is None:
        return None
    return mount_of(ground.disk.real_path(path), ground.mountinfo)


def _space(ground: PathFilesystem, folder: Path) -> Space | None:
    try:
        return ground.space(folder)
    except OSError:
        # The folder's own finding says that it cannot be used.
        return None


def try_out(disk: Disk, folder: Path, like: FileStat | None) -> Stopped | None:
    """Replace a scratch file as a store is replaced; return the step that failed, None where all went well.

    `like` is the file whose owner and mode the new one must be given.
    """
    first = folder / f".tracker-doctor-{os.getpid()}.new"
    second = folder / f".tracker-doctor-{os.getpid()}"
    step = "make a file"
    file: int | None = None
    try:
        # What a killed doctor of the same number left behind is ours.
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
        return Stopped(step, error.strerror or str(error))
    finally:
        if file is not None:
            disk.close(file)
            for left in (first, second):
                # The step that failed is told; what can still be removed is.
                with suppress(OSError):
                    disk.remove(left)
    return None
