"""What the probes gather and the judges judge.

Owns plain frozen values only, so that every judgement can be tested without a disk or a socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from tracker.doctor.mounts import Mount
from tracker.stores.filesystem import FileStat


@dataclass(frozen=True, slots=True)
class Machine:
    """Hold what this Python is."""

    python: tuple[int, int, int]
    versions: Mapping[str, str]
    """Package -> version, of those that are installed."""
    missing_zones: tuple[str, ...]
    """Zone names that the broker uses and this Python does not know."""
    zones: int
    """How many zones it knows."""


@dataclass(frozen=True, slots=True)
class Space:
    """Hold what is free on one file system, for users without privileges."""

    device: int
    free_bytes: int
    free_files: int | None
    """None where the file system has no such limit."""


class FolderState(StrEnum):
    """Say what is where a folder should be."""

    THERE = "there"
    MISSING = "missing"
    NO_FOLDER = "no folder"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Stopped:
    """Say at which step of replacing a file it failed, and why."""

    step: str
    """In the words of `cannot ...`: make a file, sync it, rename it."""
    reason: str


@dataclass(frozen=True, slots=True)
class Place:
    """Hold what was found where one of the tracker's files is or will be."""

    setting: str
    """stores.alerts, or another one of its kind."""
    origin: str
    """Where the path was configured, in the words of its source."""
    path: Path
    configured: bool
    """Whether some source names it, as opposed to the default."""
    folder: FolderState
    folder_reason: str = ""
    is_folder: bool = False
    """Whether a folder stands where the file should."""
    file: FileStat | None = None
    """Of the file itself, symbolic links followed; None where there is none."""
    file_reason: str = ""
    """Why the file could not be looked at or read."""
    stopped: Stopped | None = None
    """None where a file like this one could be made, synced and renamed beside it."""
    tried: bool = False
    mount: Mount | None = None
    """None where this system does not tell."""
    is_mount: bool = False
    """Whether the file itself is a mount."""
    space: Space | None = None

    @property
    def will_be_made(self) -> bool:
        """Whether the daemon makes the folder at its first start: the default one of its own files."""
        return self.folder is FolderState.MISSING and not self.configured and self.tried

    @property
    def parent(self) -> Path:
        """The folder, as the setting has it."""
        return self.path.parent


@dataclass(frozen=True, slots=True)
class Stamp:
    """Hold when one record says that it was created."""

    alert: str
    text: str


@dataclass(frozen=True, slots=True)
class Records:
    """Hold what could be read of alerts.json."""

    count: int
    open: int
    stamps: tuple[Stamp, ...]
    problems: tuple[tuple[str, str], ...]
    """(alert, what of it cannot be read), one for each such record."""
    trouble: str = ""
    """Why the file could not be read at all."""
    written_at: datetime | None = None
    """When the file was last written; None where it is not there."""


@dataclass(frozen=True, slots=True)
class JournalFacts:
    """Hold what the journal says of itself; None where that was not looked at."""

    bound_to: str | None = None
    """paper or live, None before the first login."""
    trouble: str = ""
    unread: str = ""
    """Why it was not looked into, where that is no trouble."""


@dataclass(frozen=True, slots=True)
class Lock:
    """Say who holds the lock of one file."""

    path: Path
    holder: str
    """In the holder's own words; empty where nobody does."""
    trouble: str = ""
    """Why that could not be told."""


class PortState(StrEnum):
    """Say what is on the port of the status socket."""

    FREE = "free"
    ANY = "any"
    """Port 0: the daemon takes a free one."""
    UNUSABLE = "unusable"
    """Nothing is there, and it cannot be listened on."""
    TRACKER = "tracker"
    STRANGER = "stranger"
    """Taken by what does not answer as a tracker does."""
    REFUSED = "refused"
    """A tracker is there, and did not answer this user."""


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
    """Hold what the token file is like."""

    path: Path
    mode: int | None
    """Permission bits, None where the file is not there."""
    readable: bool
