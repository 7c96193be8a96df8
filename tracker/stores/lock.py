"""Keep a second tracker off the same files, by a lock beside each.

The lock is the kernel's (flock), so it ends with the process, however that ends; the text in the file only
says to people who holds it. It never follows a link, and never writes into anything but a regular file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""Without O_NONBLOCK a pipe of that name would stop the tracker for ever."""
_NEXT_STEP: Final = {
    errno.ELOOP: "it is a symbolic link; remove it",
    errno.ENXIO: "it is no regular file; remove it",
    errno.EISDIR: "it is a folder; remove it",
    errno.EACCES: "let this user write in its folder, or remove the lock of another user",
    errno.EROFS: "mount that disk writable",
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some space on that disk",
    errno.EMFILE: "raise the limit of open files",
}


class Locked(Exception):
    """Another process holds the lock, or it cannot be taken; the message says which, why and what to do."""


class FileLock:
    """Hold `<path>.lock` while open; raises Locked at once when another process does."""

    def __init__(self, path: Path, holder: str) -> None:
        # One lock for one file, by whichever of its names it is reached.
        path = path.resolve()
        self.path = path.with_name(path.name + ".lock")
        try:
            self._descriptor = os.open(self.path, _FLAGS, 0o644)
        except OSError as error:
            self._fail("opened", error)
        try:
            self._take(path, holder)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _take(self, path: Path, holder: str) -> None:
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise Locked(f"the lock {self.path} is no regular file; remove it, then start again")
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Locked(
                f"{path} is in use by {self._holder()}; stop that one first, or give this one other files"
            ) from error
        except OSError as error:
            self._fail("taken", error)
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, holder.encode(), 0)
        except OSError as error:
            self._fail("written", error)

    def _holder(self) -> str:
        text = ""
        with suppress(OSError):
            text = os.pread(self._descriptor, 500, 0).decode(errors="replace").strip()
        return text or "another process"

    def _fail(self, step: str, error: OSError) -> NoReturn:
        next_step = _NEXT_STEP.get(error.errno or 0, "see to the disk")
        raise Locked(
            f"the lock {self.path} cannot be {step}: {error.strerror or error}; {next_step}, then start again"
        ) from error

    def close(self) -> None:
        """Let go; the file stays, since removing it would let two holders in."""
        os.close(self._descriptor)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
