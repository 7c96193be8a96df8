"""Replace a file so that every reader finds either the whole old one or the whole new one.

Owns the order of the steps: temp file beside the old one, same owner and mode, write, sync, last check,
rename; the caller then syncs the folder. Owns also the backup before the first write, and the test at the
start that all of this works. It never looks into the content.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tracker.core.ports import StoreRefused
from tracker.stores.filesystem import Disk, FileStat


def temp_path(path: Path) -> Path:
    """Return the path of the temp file; a crash may leave one behind, which the next write removes."""
    return path.with_name(f".{path.name}.tracker-temp")


def backup_path(path: Path) -> Path:
    """Return the path of the backup of the content before the tracker's first write."""
    return path.with_name(f"{path.name}.tracker-backup")


def write_beside(disk: Disk, path: Path, content: bytes, old: int, like: FileStat) -> int:
    """Write the new content into a file beside the path; return that file, open and synced.

    It gets owner and mode of `like`, and the access list and extended attributes of the open file `old`.
    Other programs do not read it there. Pass it to `put_in_place` or `throw_away`. Raises OSError.
    """
    return _write_new(disk, temp_path(path), content, old, like)


def put_in_place(disk: Disk, path: Path, file: int, unchanged: Callable[[], bool]) -> bool:
    """Rename the file written by `write_beside` over the old one.

    `unchanged` is called right before the rename; if it returns False, the old file stays and the new one is
    removed. Raises OSError, and then the old file stays too. The folder is not synced yet.
    """
    renamed = False
    try:
        if unchanged():
            disk.rename(temp_path(path), path)
            renamed = True
    finally:
        if not renamed:
            throw_away(disk, path, file)
    return renamed


def throw_away(disk: Disk, path: Path, file: int) -> None:
    """Close and remove the file written by `write_beside`."""
    _discard(disk, file, temp_path(path))


def back_up(disk: Disk, path: Path, content: bytes, old: int, like: FileStat) -> None:
    """Keep a backup of the content beside the file; an existing backup is never changed."""
    backup = backup_path(path)
    try:
        disk.stat(backup)
    except FileNotFoundError:
        temp = temp_path(backup)
        file = _write_new(disk, temp, content, old, like)
        try:
            disk.rename(temp, backup)
            disk.sync_folder(path.parent)
        finally:
            disk.close(file)


def check_replaceable(disk: Disk, path: Path) -> None:
    """Check that the file can be replaced with the owner and mode that its other users need; raises
    StoreRefused.

    A file that does not exist yet is fine. A scratch file is made beside it and removed.
    """
    real = disk.real_path(path)
    try:
        if not stat.S_ISDIR(disk.stat(real.parent).mode):
            raise StoreRefused(
                f"{path}: {real.parent} is not a folder; set stores.alerts to a file in a folder"
            )
    except OSError as error:
        raise StoreRefused(
            f"{path}: its folder {real.parent} cannot be used ({error.strerror}); "
            "make it, or set stores.alerts"
        ) from error
    try:
        found = disk.stat(real)
        _check_kind(path, found)
        old = disk.open(real)
    except FileNotFoundError:
        _try_out(disk, path, real, None, None)
        return
    except OSError as error:
        step = "remove that link" if error.errno == errno.ELOOP else "give the tracker's user access"
        raise StoreRefused(f"{path} cannot be read ({error.strerror}); {step}") from error
    try:
        _try_out(disk, path, real, old, found)
    finally:
        disk.close(old)


def _check_kind(path: Path, found: FileStat) -> None:
    if not stat.S_ISREG(found.mode):
        raise StoreRefused(f"{path} is not a regular file; set stores.alerts to the file itself")
    if found.links > 1:
        raise StoreRefused(
            f"{path} has {found.links} hard links, of which the others would keep the old content; "
            "use a symbolic link instead"
        )


def _try_out(disk: Disk, path: Path, real: Path, old: int | None, found: FileStat | None) -> None:
    """Make a file beside the path as a write would, and remove it."""
    temp = temp_path(real)
    try:
        disk.remove(temp)
        file = disk.open_new(temp)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            next_step = "free some space"
        elif error.errno == errno.EISDIR:
            next_step = f"remove the folder {temp}"
        else:
            next_step = "give the tracker's user write access to the folder"
        raise StoreRefused(
            f"{path}: no file can be made beside it in {real.parent} ({error.strerror}), and it is replaced "
            f"as a whole, never written in place; {next_step}"
        ) from error
    try:
        if old is not None and found is not None:
            _take_after(disk, path, file, old, found)
    finally:
        _discard(disk, file, temp)


def _take_after(disk: Disk, path: Path, file: int, old: int, found: FileStat) -> None:
    """Give a new file the old one's owner, mode and attributes; raises StoreRefused."""
    try:
        disk.set_owner(file, found.user, found.group, stat.S_IMODE(found.mode))
    except OSError as error:
        raise StoreRefused(
            f"{path} belongs to user {found.user}, group {found.group}, and a file made by the tracker "
            f"cannot ({error.strerror}), so others could lose access; run the tracker as user {found.user}"
        ) from error
    try:
        disk.copy_attributes(old, file)
    except OSError as error:
        raise StoreRefused(
            f"{path} has an access list or extended attributes that a file made by the tracker cannot have "
            f"({error.strerror}), so others could lose access; run the tracker as user {found.user}, or "
            "remove them with setfacl -b and setfattr -x"
        ) from error


def _write_new(disk: Disk, path: Path, content: bytes, old: int, like: FileStat) -> int:
    disk.remove(path)
    file = disk.open_new(path)
    written = False
    try:
        disk.set_owner(file, like.user, like.group, stat.S_IMODE(like.mode))
        disk.copy_attributes(old, file)
        disk.write(file, content)
        disk.sync(file)
        written = True
    finally:
        if not written:
            _discard(disk, file, path)
    return file


def _discard(disk: Disk, file: int, path: Path) -> None:
    disk.close(file)
    # A file left behind is removed by the next write; the original error is the one to raise.
    with suppress(OSError):
        disk.remove(path)
