"""One finding of `tracker doctor`, and the plain values that the checks receive.

Owns the levels, how they become an exit code, and the frozen values that the probes pass to the checks, so
that every check can be tested without a disk or a socket. It checks nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from tracker.stores.filesystem import FileStat


class Level(StrEnum):
    """Say how much a finding matters."""

    OK = "ok"
    NOTE = "note"
    """Good to know, or unknown; nothing is wrong."""
    WARNING = "warning"
    """The tracker works, but less well than it could, or something may fail later."""
    FAULT = "fault"
    """The tracker would not start, could not log in, or would not record fills."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold the outcome of one check."""

    check: str
    """The name of the check, for programs: one or two snake_case words, never renamed."""
    level: Level
    found: str
    next_step: str = ""
    """The next step, empty where there is nothing to do."""


def counted(findings: Iterable[Finding]) -> dict[str, int]:
    """Count the findings of each level, those with none included."""
    counts = Counter(finding.level for finding in findings)
    return {level.value: counts[level] for level in Level}


def has_no_fault(findings: Iterable[Finding]) -> bool:
    """Return whether no finding is a fault; with warnings the tracker works."""
    return all(finding.level is not Level.FAULT for finding in findings)


def as_json(finding: Finding) -> dict[str, Any]:
    """Return a finding as programs read it."""
    return {
        "check": finding.check,
        "level": finding.level.value,
        "found": finding.found,
        "next_step": finding.next_step,
    }


class FilesystemKind(StrEnum):
    """Say how far a file system can be trusted with a store."""

    LOCAL = "local"
    NETWORK = "network"
    """Shared with other machines, or served by a daemon: rename, locks or syncs may not hold."""
    MEMORY = "memory"
    """In memory: lost at the next start of the machine."""
    CONTAINER = "container"
    """The container's own: lost with the container."""


class Mount(NamedTuple):
    """Hold the mount that a path lies on."""

    point: Path
    kind_name: str
    """As mountinfo has it: ext4, nfs4, fuse.sshfs."""

    @property
    def kind(self) -> FilesystemKind:
        """Return the kind by the name of the file system's type."""
        name = self.kind_name
        if name in _NETWORK or name.partition(".")[0] in ("fuse", "nfs"):
            return FilesystemKind.NETWORK
        if name in ("tmpfs", "ramfs"):
            return FilesystemKind.MEMORY
        return FilesystemKind.CONTAINER if name in ("overlay", "aufs") else FilesystemKind.LOCAL


_NETWORK: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "9p", "virtiofs", "vboxsf", "vmhgfs", "prl_fs"),
        *("afs", "coda", "ceph", "glusterfs", "lustre", "beegfs", "gfs2", "ocfs2", "gpfs", "davfs", "drvfs"),
    }
)
"""fuseblk is not among them: that is a local disk by way of FUSE (NTFS, exFAT)."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Hold the Python version and the packages of this process."""

    python: tuple[int, int, int]
    versions: Mapping[str, str]
    """Package -> version, of installed packages."""
    missing_zones: tuple[str, ...]
    """Zone names that the broker uses and this Python does not know."""
    zones: int
    """How many zones it knows."""


@dataclass(frozen=True, slots=True)
class Space:
    """Hold the free space of one file system, for users without privileges."""

    device: int
    free_bytes: int
    free_files: int | None
    """None where the file system has no such limit."""


class FolderState(StrEnum):
    """Say what is where a folder should be."""

    EXISTS = "exists"
    MISSING = "missing"
    NOT_A_FOLDER = "not a folder"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class FailedStep:
    """Hold which step of replacing a file failed, and why."""

    step: str
    """Completes `cannot ...`: make a file, sync a file, rename a file."""
    reason: str


@dataclass(frozen=True, slots=True)
class Place:
    """Hold what was found where one of the tracker's files is or will be."""

    setting: str
    """The name of the setting: stores.alerts."""
    origin: str
    """Where the path was configured: flag, file or default."""
    path: Path
    configured: bool
    """Whether it was configured, as opposed to the default."""
    folder: FolderState
    folder_reason: str = ""
    is_folder: bool = False
    """Whether a folder stands where the file should."""
    file: FileStat | None = None
    """The file's stat result, symbolic links followed; None where there is no file."""
    file_reason: str = ""
    """Why the file could not be looked at or read."""
    failed: FailedStep | None = None
    """None where a file like this one could be made, synced and renamed beside it."""
    tried: bool = False
    mount: Mount | None = None
    """None where the system has no list of mounts."""
    is_mount: bool = False
    """Whether the file itself is a mount point."""
    space: Space | None = None

    @property
    def made_at_start(self) -> bool:
        """Whether the daemon makes the folder at its first start: the default one of its own files."""
        return self.folder is FolderState.MISSING and not self.configured and self.tried

    @property
    def parent(self) -> Path:
        """The folder, as the setting has it."""
        return self.path.parent


@dataclass(frozen=True, slots=True)
class Stamp:
    """Hold the creation time of one record, as written."""

    alert: str
    text: str


@dataclass(frozen=True, slots=True)
class Records:
    """Hold what could be read of alerts.json."""

    count: int
    open: int
    stamps: tuple[Stamp, ...]
    problems: tuple[tuple[str, str], ...]
    """(alert, what cannot be read in it), for each such record."""
    trouble: str = ""
    """Why the file could not be read at all."""
    written_at: datetime | None = None
    """When the file was last written; None where it is not there."""


@dataclass(frozen=True, slots=True)
class JournalFacts:
    """Hold what is known of the journal."""

    bound_to: str | None = None
    """paper or live, None before the first login."""
    trouble: str = ""
    unread: str = ""
    """Why it was not read, where that is not a fault."""
    size: int = 0
    """Bytes, with those that SQLite keeps in the `-wal` file beside it for a while."""


@dataclass(frozen=True, slots=True)
class Lock:
    """Say who holds the lock of one file."""

    path: Path
    holder: str
    """The holder's text in the lock file; empty where nobody holds the lock."""
    trouble: str = ""
    """Why the lock could not be tested."""


class PortState(StrEnum):
    """Say who uses the port of the status socket."""

    FREE = "free"
    ANY_FREE = "any free"
    """Port 0: the daemon takes a free port."""
    UNUSABLE = "unusable"
    """Nothing listens there, but the port cannot be used."""
    TRACKER = "tracker"
    OTHER_PROGRAM = "stranger"
    """In use by another program."""
    REFUSED = "refused"
    """A tracker listens there, but refused to answer this user."""


@dataclass(frozen=True, slots=True)
class StatusPort:
    """Hold what answered on the port of the status socket."""

    host: str
    port: int
    loopback: bool
    state: PortState
    reason: str = ""
    status: Mapping[str, Any] | None = None
    """The answer to `status`, of a tracker."""
    journal: Path | None = None
    """The journal of that tracker."""


@dataclass(frozen=True, slots=True)
class Token:
    """Hold what is known of the token file."""

    path: Path
    mode: int | None
    """Permission bits, None where the file is not there."""
    readable: bool
