"""The few calls to the operating system that read and replace a file.

Owns the calls, one method each, so that a test can count them, check their order and make any of them fail.
It decides nothing: `atomic_replace` owns the order of the steps.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

_TEMP_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_PRIVATE: Final = 0o600
_ACCESS_LIST: Final = "system.posix_acl_access"
_KERNEL_OWN: Final = ("security.ima", "security.evm", "trusted.")
"""Attributes that the kernel computes from a file's content, or keeps for itself."""
_FULL_SYNC: Final[int | None] = getattr(fcntl, "F_FULLFSYNC", None)

READ_LIMIT: Final = 128 << 20
"""The longest file that is read, in bytes: a few hundred thousand records; more would fill the memory."""

_ADVICE: Final = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some space on that disk",
    errno.EROFS: "mount that disk writable",
    errno.EBUSY: "a file that is a mount of its own cannot be replaced, so mount its folder instead",
    errno.EACCES: "give the tracker's user access",
    errno.EPERM: "run the tracker as the file's owner, so that it can keep owner and mode",
    errno.EFBIG: "a file of more than 128 MiB is not read: find out which program wrote it",
    errno.EMFILE: "raise the limit of open files",
    errno.EISDIR: "remove the folder {where}",
    errno.ELOOP: "remove the link {where}",
}


class FileStat(NamedTuple):
    """Hold the stat of a file; two equal ones mean the same file, unchanged as far as times can show."""

    device: int
    inode: int
    mode: int
    """Includes the bits of the file's type."""
    user: int
    group: int
    links: int
    size: int
    modified_ns: int
    changed_ns: int

    @property
    def same_content(self) -> tuple[int, int, int, int]:
        """Return the fields that change when the content is written: not links, not owner."""
        return (self.device, self.inode, self.size, self.modified_ns)


class Disk(Protocol):
    """Read, write and rename; every method raises OSError."""

    def real_path(self, path: Path) -> Path:
        """Follow symbolic links."""

    def stat(self, path: Path) -> FileStat: ...

    def stat_open(self, file: int) -> FileStat: ...

    def open(self, path: Path) -> int:
        """Open for reading."""

    def open_new(self, path: Path) -> int:
        """Create a file that must not exist yet, for writing and reading, readable by the owner only."""

    def set_owner(self, file: int, user: int, group: int, mode: int) -> None:
        """Give the file its owner, group and permission bits."""

    def copy_attributes(self, old: int, new: int) -> None:
        """Give one open file the access list and the extended attributes of another."""

    def read(self, file: int) -> bytes:
        """Return the whole content; raises OSError (EFBIG) beyond READ_LIMIT."""

    def write(self, file: int, content: bytes) -> None:
        """Append all of the data to what was written before."""

    def sync(self, file: int) -> None: ...

    def sync_folder(self, path: Path) -> None: ...

    def rename(self, old: Path, new: Path) -> None:
        """Replace one file by another, atomically."""

    def remove(self, path: Path) -> None:
        """Remove a file; no error if it is not there."""

    def close(self, file: int) -> None: ...


class RealDisk:
    """Make the operating system's own calls."""

    def real_path(self, path: Path) -> Path:
        return Path(os.path.realpath(path))

    def stat(self, path: Path) -> FileStat:
        return _stat(os.stat(path))

    def stat_open(self, file: int) -> FileStat:
        return _stat(os.fstat(file))

    def open(self, path: Path) -> int:
        # Without O_NONBLOCK a pipe of that name would stop the tracker for ever.
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def open_new(self, path: Path) -> int:
        return os.open(path, _TEMP_FLAGS, _PRIVATE)

    def set_owner(self, file: int, user: int, group: int, mode: int) -> None:
        now = os.fstat(file)
        if (now.st_uid, now.st_gid) != (user, group):
            os.fchown(file, user, group)
        os.fchmod(file, mode)

    def copy_attributes(self, old: int, new: int) -> None:
        wanted, there = _attributes(old), _attributes(new)
        for name, value in wanted.items():
            if there.get(name) != value:
                os.setxattr(new, name, value)
        # A default access list of the folder, which the old file does not have, would change who can read the
        # new one.
        if _ACCESS_LIST in there.keys() - wanted.keys():
            os.removexattr(new, _ACCESS_LIST)

    def read(self, file: int) -> bytes:
        if os.fstat(file).st_size > READ_LIMIT:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        parts: list[bytes] = []
        at = 0
        # One byte more than the size, so that one call usually sees the end.
        while part := os.pread(file, max(os.fstat(file).st_size - at, 0) + 1, at):
            parts.append(part)
            at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, file: int, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(file, rest) :]

    def sync(self, file: int) -> None:
        if _FULL_SYNC is not None:
            # macOS: fsync alone leaves the data in the drive's cache.
            fcntl.fcntl(file, _FULL_SYNC)
        else:
            os.fsync(file)

    def sync_folder(self, path: Path) -> None:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def rename(self, old: Path, new: Path) -> None:
        os.rename(old, new)

    def remove(self, path: Path) -> None:
        with suppress(FileNotFoundError):
            os.unlink(path)

    def close(self, file: int) -> None:
        os.close(file)


def failure_words(error: OSError) -> str:
    """Return why a call failed, and the next step for a person where there is one."""
    cause = str(error.strerror or error)
    advice = _ADVICE.get(error.errno or 0)
    where = error.filename or "that is in its way"
    return cause if advice is None else f"{cause}; {advice.format(where=where)}"


def _attributes(file: int) -> dict[str, bytes]:
    """Return the extended attributes and access list of a file, as far as they can be copied."""
    if not hasattr(os, "listxattr"):
        # macOS: Python has no call for them.
        return {}
    try:
        names = os.listxattr(file)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.ENOSYS):
            return {}
        raise
    return {name: os.getxattr(file, name) for name in names if not name.startswith(_KERNEL_OWN)}


def _stat(found: os.stat_result) -> FileStat:
    return FileStat(
        found.st_dev,
        found.st_ino,
        found.st_mode,
        found.st_uid,
        found.st_gid,
        found.st_nlink,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )
