"""Check the files: folders, owners, contents, file systems, and who else uses them.

Pure. A finding is a fault if the daemon would end at its start, or could lose what it writes.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tracker.doctor.finding import (
    FilesystemKind,
    Finding,
    FolderState,
    JournalFacts,
    Level,
    Lock,
    Place,
    PortState,
    Records,
    StatusPort,
)
from tracker.terminal import counted

READ_ONLY: Final = ("stores.contracts", "stores.stocks")
"""Stores that the tracker never writes. They may be absent, and so may their folder unless it was
configured.
"""
MADE_BY_DAEMON: Final = ("stores.journal", "status.token_file")
"""Files whose default folder is made at the first start."""

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

_KINDS: Final = {
    FilesystemKind.NETWORK: (
        Level.FAULT,
        "renames, locks and syncs cannot be relied on there; use a folder on a local disk",
    ),
    FilesystemKind.MEMORY: (
        Level.WARNING,
        "it is in memory and lost at a restart of the machine; use a folder on a disk",
    ),
    FilesystemKind.CONTAINER: (
        Level.NOTE,
        "it belongs to the container and is lost with it; mount a folder of the host",
    ),
}
_NO_ROOM: Final = {os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT)}


def check_folder(place: Place) -> Finding:
    """Check whether a file can be made, synced and renamed in the folder of this one."""
    check = f"{check_name(place)}_folder"
    if place.is_folder:
        return Finding(check, Level.FAULT, f"{place.path} is a folder", _correct(place, "name the file"))
    if place.folder is not FolderState.EXISTS:
        return _no_folder(place, check)
    if place.setting in READ_ONLY or (place.failed is None and not place.tried):
        return Finding(check, Level.OK, f"{place.parent} is there")
    if place.failed is not None:
        found = f"in {place.parent} the tracker cannot {place.failed.step}: {place.failed.reason}"
        step = "give the tracker's user write access to the folder; files are replaced, never changed"
        if place.failed.reason in _NO_ROOM:
            step = "free space on its disk"
        return Finding(check, Level.FAULT, found, step)
    return Finding(
        check, Level.OK, f"{place.parent} is writable: a file was made, synced, renamed and removed"
    )


def _no_folder(place: Place, check: str) -> Finding:
    if place.folder is FolderState.MISSING and not place.configured:
        if place.made_at_start and place.failed is None:
            return Finding(check, Level.OK, f"{place.parent} will be made at the first start")
        if place.setting in READ_ONLY:
            return Finding(check, Level.OK, f"{place.parent} does not exist, which is fine")
    what = {
        FolderState.MISSING: "does not exist",
        FolderState.NOT_A_FOLDER: "is not a folder",
        FolderState.UNREACHABLE: "cannot be read",
        FolderState.EXISTS: "",
    }[place.folder]
    reason = f" ({place.folder_reason})" if place.folder_reason else ""
    if place.failed is not None:
        reason += f" and cannot be made: {place.failed.reason}"
    found = f"the folder {place.parent} {what}{reason}"
    return Finding(check, Level.FAULT, found, _correct(place, "create it, or correct the path"))


def _correct(place: Place, step: str) -> str:
    return f"{step} ({place.origin})"


def check_name(place: Place) -> str:
    """Return the check's name for findings about a file."""
    return {"status.token_file": "token", "log.file": "log"}.get(
        place.setting, place.setting.partition(".")[2]
    )


def check_file_system(place: Place, *, mounts_known: bool) -> Finding:
    """Check what a store lies on; `mounts_known` is false where the system names no mounts."""
    check = f"{check_name(place)}_file_system"
    if place.is_mount:
        return Finding(
            check,
            Level.FAULT,
            f"{place.path} is a mount of its own, and such a file cannot be replaced",
            "mount the folder that it lies in, not the file",
        )
    if place.mount is None:
        why = "the file system is unknown" if mounts_known else "unknown on this system"
        return Finding(check, Level.NOTE, why, "check that it is a local disk, not a network share")
    found = f"{place.mount.kind_name}, mounted on {place.mount.point}"
    if place.mount.kind is FilesystemKind.LOCAL:
        return Finding(check, Level.OK, found)
    level, step = _KINDS[place.mount.kind]
    return Finding(check, level, found, step)


def check_alerts_file(place: Place, records: Records) -> Finding:
    """Check alerts.json itself: whether it can be read, and replaced with the owner and mode that its other
    users need.
    """
    check = "alerts_file"
    file = place.file
    if place.is_folder or place.folder is not FolderState.EXISTS:
        return Finding(check, Level.NOTE, "not checked: its folder has a fault")
    if place.file_reason:
        loop = place.file_reason == os.strerror(errno.ELOOP)
        step = "remove the link: it leads to itself" if loop else "give the tracker's user access"
        return Finding(check, Level.FAULT, f"{place.path} cannot be read: {place.file_reason}", step)
    if file is None:
        return Finding(
            check,
            Level.NOTE,
            f"{place.path} is not there: no alerts yet",
            "nothing to do if the alert writer has not run yet; otherwise correct stores.alerts",
        )
    if not stat.S_ISREG(file.mode):
        step = "set stores.alerts to the file itself"
        return Finding(check, Level.FAULT, f"{place.path} is not a regular file", step)
    if file.links > 1:
        return Finding(
            check,
            Level.FAULT,
            f"{place.path} has {file.links} hard links; the others would keep the old content",
            "use a symbolic link instead",
        )
    if records.trouble:
        step = "if that lasts, have the alert writer write it again, or restore it from a backup"
        return Finding(check, Level.FAULT, records.trouble, step)
    return _mode_and_content(check, place, records)


def _mode_and_content(check: str, place: Place, records: Records) -> Finding:
    assert place.file is not None, "only a file has a mode"
    mode = stat.S_IMODE(place.file.mode)
    found = (
        f"{counted(records.count, 'record')}, {records.open} open;"
        f" mode {mode:04o}, user {place.file.user}, group {place.file.group}"
    )
    if mode & stat.S_IWOTH:
        step = f"chmod o-w {place.path}: every user of this machine can change it now"
        return Finding(check, Level.WARNING, found, step)
    if records.problems:
        name, problem = records.problems[0]
        count = len(records.problems)
        found += f"; {count} of them cannot be read in full ({name}: {problem})"
        step = "correct what the alert writer wrote there: such a record may match no fill"
        return Finding(check, Level.WARNING, found, step)
    return Finding(check, Level.OK, found)


def check_alerter_store(place: Place, trouble: str) -> Finding:
    """Check one of the two read-only stores; it may be absent."""
    check = f"{check_name(place)}_store"
    folder = check_folder(place)
    if folder.level is Level.FAULT:
        return Finding(check, Level.FAULT, folder.found, folder.next_step)
    reason = place.file_reason or trouble
    if reason:
        step = "fix the file: until then it cannot fill in what an alert lacks"
        return Finding(check, Level.WARNING, f"{place.path} cannot be read: {reason}", step)
    if place.file is None:
        return Finding(check, Level.OK, "does not exist, which is fine: it only fills in what alerts lack")
    return Finding(check, Level.OK, f"{place.path} can be read")


def check_journal(place: Place, journal: JournalFacts) -> Finding:
    """Check the journal: whether it can be read, by this user only, and which kind of login it belongs to."""
    check = "journal"
    if place.is_folder or (place.folder is not FolderState.EXISTS and not place.made_at_start):
        return Finding(check, Level.NOTE, "not checked: its folder has a fault")
    if place.folder is not FolderState.EXISTS or (place.file is None and not place.file_reason):
        return Finding(check, Level.OK, "not there yet; the first start makes it")
    reason = place.file_reason or journal.trouble
    if reason:
        step = "let the tracker's user read and write it; if it is damaged, restore it from a backup"
        return Finding(check, Level.FAULT, f"{place.path}: {reason}", step)
    assert place.file is not None, "a file without a reason was looked at"
    if journal.unread:
        return Finding(check, Level.NOTE, journal.unread)
    bound = f"of {journal.bound_to} fills" if journal.bound_to else "no login so far"
    mode = stat.S_IMODE(place.file.mode)
    found = f"{journal.size // 1024} KB, {bound}; mode {mode:04o}"
    return _for_owner_only(Finding(check, Level.OK, found), place.path, mode, "account numbers and fills")


def check_log(place: Place) -> Finding | None:
    """Check that only the tracker's user can read the log; None before there is one."""
    if place.file is None or place.is_folder:
        return None
    mode = stat.S_IMODE(place.file.mode)
    found = Finding("log", Level.OK, f"{place.path}; mode {mode:04o}")
    return _for_owner_only(found, place.path, mode, "account numbers and fills")


def check_settings_file(path: Path, mode: int, secrets: str) -> Finding:
    """Check that only the tracker's user can read a settings file that holds these secrets."""
    found = Finding("settings_file", Level.OK, f"{path} holds {secrets}; mode {mode:04o}")
    return _for_owner_only(found, path, mode, f"the secrets in {secrets}")


def _for_owner_only(finding: Finding, path: Path, mode: int, contents: str) -> Finding:
    """Return the finding, a warning where others of this machine can read or change the file."""
    if not mode & _OTHERS:
        return finding
    verb = "change" if mode & (stat.S_IWGRP | stat.S_IWOTH) else "read"
    step = f"chmod 600 {path}: other users of this machine can {verb} {contents} now"
    return Finding(finding.check, Level.WARNING, finding.found, step)


def check_locks(locks: Sequence[Lock], port: StatusPort, *, ours: bool) -> Finding:
    """Check whether another tracker uses these files; `ours` says that the tracker of these files
    answered.
    """
    check = "other_tracker"
    troubled = [lock for lock in locks if lock.trouble]
    if troubled:
        step = "make sure that the tracker's user can read and write it, or remove it while no tracker runs"
        return Finding(check, Level.FAULT, f"{troubled[0].path}: {troubled[0].trouble}", step)
    held = [lock for lock in locks if lock.holder]
    if ours:
        who = held[0].holder if held else "a tracker"
        return Finding(check, Level.OK, f"{who} uses these stores and answers on its status socket")
    if held:
        found = f"{held[0].path.name} is in use by {held[0].holder}"
        if port.state is PortState.REFUSED:
            found += ", which did not answer this user"
        step = "stop that one first, or give this one other files (stores.alerts, stores.journal)"
        return Finding(check, Level.FAULT, found, step)
    return Finding(check, Level.OK, "none on these stores")
