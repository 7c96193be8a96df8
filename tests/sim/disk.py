"""A file system in memory, with the points at which a process may be killed or disturbed.

Owns inodes, names and open files as POSIX has them: a rename replaces a name, an open file stays what it was.
Times are as coarse as a kernel's, so two writes at one instant look alike to stat.
"""

from __future__ import annotations

import errno
import stat
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from tests.sim.clock import SimClock
from tests.sim.fates import Fates
from tracker.stores.filesystem import FileStat

_DEVICE: Final = 7
_USER: Final = 1000


@dataclass(slots=True, eq=False)
class Inode:
    """Hold one file."""

    number: int
    content: bytes = b""
    mode: int = stat.S_IFREG | 0o644
    modified_ns: int = 0
    links: int = 1


class MemoryDisk:
    """Keep files in memory; fulfils `tracker.stores.filesystem.Disk`."""

    def __init__(self, clock: SimClock, fates: Fates) -> None:
        self._clock = clock
        self._fates = fates
        self._numbers = count(1)
        self._names: dict[Path, Inode] = {}
        self._open: dict[int, Inode] = {}

    # The other program's side

    def inode(self, path: Path) -> Inode:
        """Return what a name stands for now, as an open file would keep it; made where there is none."""
        if path not in self._names:
            self._names[path] = Inode(next(self._numbers), modified_ns=self._tick())
        return self._names[path]

    def overwrite(self, inode: Inode, content: bytes) -> None:
        """Write into a file as a program does that has it open."""
        inode.content = content
        inode.modified_ns = self._tick()

    def forget_open_files(self) -> None:
        """Close what a killed process had open."""
        self._open.clear()

    # Disk

    def real_path(self, path: Path) -> Path:
        return path

    def stat(self, path: Path) -> FileStat:
        self._visit("stat")
        if path == path.parent or path not in self._names:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        return self._stat(self._names[path])

    def stat_open(self, file: int) -> FileStat:
        self._visit("stat_open")
        return self._stat(self._open[file])

    def open(self, path: Path) -> int:
        self._visit("open")
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        return self._number(self._names[path])

    def open_new(self, path: Path) -> int:
        self._visit("open_new")
        if path in self._names:
            raise FileExistsError(errno.EEXIST, "File exists", str(path))
        return self._number(self.inode(path))

    def set_owner(self, file: int, user: int, group: int, mode: int) -> None:
        self._visit("set_owner")
        self._open[file].mode = stat.S_IFREG | mode

    def copy_attributes(self, old: int, new: int) -> None:
        """No file here has any."""

    def read(self, file: int) -> bytes:
        self._visit("read")
        return self._open[file].content

    def write(self, file: int, content: bytes) -> None:
        self._visit("write")
        inode = self._open[file]
        # A process may be killed in the middle of a write.
        self.overwrite(inode, inode.content + content[: len(content) // 2])
        self._visit("write")
        self.overwrite(inode, inode.content + content[len(content) // 2 :])

    def sync(self, file: int) -> None:
        self._visit("sync")

    def sync_folder(self, path: Path) -> None:
        self._visit("sync_folder")

    def rename(self, old: Path, new: Path) -> None:
        self._visit("rename")
        replaced = self._names.get(new)
        if replaced is not None:
            replaced.links -= 1
        self._names[new] = self._names.pop(old)
        self._visit("renamed")

    def remove(self, path: Path) -> None:
        self._visit("remove")
        gone = self._names.pop(path, None)
        if gone is not None:
            gone.links -= 1

    def close(self, file: int) -> None:
        del self._open[file]

    def _visit(self, call: str) -> None:
        self._fates.point(f"disk.{call}")
        self._fates.between()

    def _number(self, inode: Inode) -> int:
        file = next(self._numbers)
        self._open[file] = inode
        return file

    def _tick(self) -> int:
        return int(self._clock.host().timestamp() * 250) * 4_000_000

    @staticmethod
    def _stat(inode: Inode) -> FileStat:
        return FileStat(
            _DEVICE,
            inode.number,
            inode.mode,
            _USER,
            _USER,
            inode.links,
            len(inode.content),
            inode.modified_ns,
            inode.modified_ns,
        )
