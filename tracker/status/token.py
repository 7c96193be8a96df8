"""The token, which proves to the daemon that a request comes from its own user.

Owns the token's file. The file is never half written or readable by others, not even for a moment, and
nothing is ever read or written through a link or a pipe that somebody put in its place.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

_MOST_BYTES: Final = 4096


def read_token(path: Path) -> str | None:
    """Return the token that the running daemon wrote, None where this user cannot read one."""
    try:
        # Reading a pipe would block until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return os.read(descriptor, _MOST_BYTES).decode("utf-8", errors="replace").strip()
    except OSError:
        return None
    finally:
        os.close(descriptor)


class TokenFile:
    """Make a random token for one run of the daemon, and keep it in a file."""

    def __init__(self, path: Path) -> None:
        self.token = secrets.token_urlsafe(32)
        self._path = path

    def write(self) -> None:
        """Write the token with mode 0600, in place of any older one.

        Call it once the socket listens: until then the older token may be that of a tracker that runs. Raises
        OSError.
        """
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        beside.unlink(missing_ok=True)
        # O_EXCL: if somebody has put a file or a link there, nothing is written into it.
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(self.token + "\n")
            beside.replace(self._path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise

    def keep(self) -> str:
        """Write the token again if its file is gone; return what happened to the file, empty for nothing.

        A token of somebody else stays: it may be that of another tracker.
        """
        found = read_token(self._path)
        if found == self.token:
            return ""
        if found:
            return (
                f"{self._path} holds another token than this tracker's, so commands that change something are"
                " refused; give each tracker a status.token_file of its own, and start this one again"
            )
        try:
            self.write()
        except OSError as error:
            return (
                f"{self._path} is gone and cannot be written again ({error.strerror or error}), so commands"
                " that change something are refused; let this user write there"
            )
        return f"{self._path} was gone; it is written again"
