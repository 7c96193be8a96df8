"""Keep a second tracker off the same files, by a lock beside each.

The lock is the kernel's (flock), so it ends with the process, however that ends; the text in the file only
tells people who holds it.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType


class Locked(Exception):
    """Another process holds the lock; the message says which file and who."""


class FileLock:
    """Hold `<path>.lock` while open; raises Locked at once when another process does."""

    def __init__(self, path: Path, holder: str) -> None:
        # One lock for one file, by whichever of its names it is reached.
        path = path.resolve()
        self.path = path.with_name(path.name + ".lock")
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise Locked(f"the lock {self.path} cannot be made: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            who = os.pread(self._descriptor, 500, 0).decode(errors="replace").strip() or "another process"
            os.close(self._descriptor)
            raise Locked(
                f"{path} is in use by {who}; stop that one first, or give this one other files"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, holder.encode(), 0)

    def close(self) -> None:
        """Let go; the file stays, since removing it would let two holders in."""
        os.close(self._descriptor)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
