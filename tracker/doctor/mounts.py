"""Which file system a path lies on, from the text of Linux's mountinfo.

Owns reading that text (proc(5)) and the kinds of file systems that cannot be trusted with a store. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple


class FilesystemKind(StrEnum):
    """Say what a file system is, as far as a store cares."""

    LOCAL = "local"
    NETWORK = "network"
    """Shared with other machines, or by way of a daemon: rename, locks or syncs may not hold."""
    FLEETING = "fleeting"
    """In memory: gone with the next start of the machine."""
    LAYER = "layer"
    """A container's own: gone with the container."""


class Mount(NamedTuple):
    """Hold the mount that a path lies on."""

    point: Path
    kind_name: str
    """As mountinfo has it: ext4, nfs4, fuse.sshfs."""

    @property
    def kind(self) -> FilesystemKind:
        """Judge by the name of the file system's type."""
        name = self.kind_name
        if name in _NETWORK or name.partition(".")[0] in ("fuse", "nfs"):
            return FilesystemKind.NETWORK
        if name in ("tmpfs", "ramfs"):
            return FilesystemKind.FLEETING
        return FilesystemKind.LAYER if name in ("overlay", "aufs") else FilesystemKind.LOCAL


_NETWORK: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "9p", "virtiofs", "vboxsf", "vmhgfs", "prl_fs"),
        *("afs", "coda", "ceph", "glusterfs", "lustre", "beegfs", "gfs2", "ocfs2", "gpfs", "davfs", "drvfs"),
    }
)
"""fuseblk is not among them: that is a local disk by way of FUSE (NTFS, exFAT)."""
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


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
    """Read what mountinfo escapes: space, tab, newline and backslash, as octal."""
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), text)
