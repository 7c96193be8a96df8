"""Keep a second tracker from using the same files, by a lock file beside each.

The lock is the kernel's (flock), so it ends with the process, however that ends; the text in the file only
tells people who holds it. It never follows a link, and only writes into a regular file. If the file is
removed, a second process could lock a new one, so the holder checks it again and again: `keep`.
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

from loguru import logger

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""Without O_NONBLOCK a pipe of that name would stop the tracker for ever."""
_NEXT_STEP: Final = {
    errno.ELOOP: "it is a symbolic link; remove it",
    errno.ENOENT: "make its folder, or correct the setting or the link that leads there",
    errno.ENXIO: "it is not a regular file; remove it",
    errno.EISDIR: "remove that folder",
    errno.EACCES: "let this user write in its folder, or remove the lock of another user",
    errno.EROFS: "mount that disk writable",
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some space on that disk",
    errno.EMFILE: "raise the limit of open files",
}


class Locked(Exception):
    """Say that another process holds the lock, or that it cannot be taken; the message names the file, the
    cause and what to do.
    """


class FileLock:
    """Hold `<path>.lock` while open; raises Locked at once when another process does."""

    def __init__(self, path: Path, holder: str) -> None:
        # One file has one lock, whichever of its names is used.
        # `Path.resolve` raises RuntimeError at a link that leads to itself, before Python 3.13.
        self._locked = Path(os.path.realpath(path))
        self._holder = holder
        self.path = self._locked.with_name(self._locked.name + ".lock")
        self._descriptor = self._open()

    def keep(self) -> None:
        """Take the lock again if its file was removed or replaced; raises Locked where another process has
        it.
        """
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            found = None
        except OSError:
            # Nobody can see whether it is there; so nobody else could take it either.
            return
        if found is not None and os.path.samestat(found, os.fstat(self._descriptor)):
            return
        if found is None and not self.path.parent.is_dir():
            # If the folder is gone, the guarded file is gone too: an outage that ends by itself.
            return
        logger.warning("the lock {} was removed or replaced while it is held; taking it again", self.path)
        lost, self._descriptor = self._descriptor, self._open()
        os.close(lost)

    def _open(self) -> int:
        try:
            descriptor = os.open(self.path, _FLAGS, 0o644)
        except OSError as error:
            self._fail("opened", error)
        try:
            self._acquire(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _acquire(self, descriptor: int) -> None:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Locked(f"the lock {self.path} is not a regular file; remove it, then start again")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Locked(
                f"{self._locked} is in use by {_holder_of(descriptor)}; stop that one first, or give this one"
                " other files"
            ) from error
        except OSError as error:
            self._fail("taken", error)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, self._holder.encode(), 0)
        except OSError as error:
            self._fail("written", error)

    def _fail(self, step: str, error: OSError) -> NoReturn:
        next_step = _NEXT_STEP.get(error.errno or 0, "check the disk")
        raise Locked(
            f"the lock {self.path} cannot be {step}: {error.strerror or error}; {next_step}, then start again"
        ) from error

    def close(self) -> None:
        """Release the lock; the file stays, since removing it would allow two holders."""
        os.close(self._descriptor)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _holder_of(descriptor: int) -> str:
    text = ""
    with suppress(OSError):
        text = os.pread(descriptor, 500, 0).decode(errors="replace").strip()
    return text or "another process"
