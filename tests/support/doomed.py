"""Run the tracker as `python -m tests.support.doomed run ...`, with a fate that DOOM names.

Each fate is put into this process from outside, around the parts that the tracker is built of, and strikes
when the first fill passes. Production code knows nothing of it.
"""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from msgspec.structs import replace

from tracker.cli.main import main
from tracker.core.model import Frame
from tracker.core.state import OUTBOX
from tracker.journal import journal as journals
from tracker.journal.journal import Journal
from tracker.journal.rows import JournalState
from tracker.pipeline.pump import Pump
from tracker.stores.alert_file import AlertFile
from tracker.stores.filesystem import RealDisk

Patch = Callable[[], None]


def die() -> NoReturn:
    """End as a power cut would: nothing is flushed, closed or said."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL returns to nobody")


def _carries_fill(frames: Sequence[Frame]) -> bool:
    return any(frame.fields[0] == "11" for frame in frames)


def _in_turn(patch: Patch) -> Patch:
    """Have no frame decided in the commit that journals it, as while much comes."""

    def patch_both() -> None:
        setattr(Pump, "_can_decide_now", lambda self: False)  # noqa: B010  # put in from outside
        patch()

    return patch_both


def before_append() -> None:
    """Read from the socket, not journalled."""
    insert = Journal._insert

    def doomed(self: Journal, frames: Sequence[Frame]) -> None:
        if _carries_fill(frames):
            die()
        insert(self, frames)

    Journal._insert = doomed  # type: ignore[method-assign]  # the fate is put in from outside


def after_append() -> None:
    """Journalled, not decided."""
    keep = Journal._keep

    def doomed(self: Journal, frames: Sequence[Frame]) -> None:
        keep(self, frames)
        if _carries_fill(frames):
            die()

    Journal._keep = doomed  # type: ignore[method-assign]  # the fate is put in from outside


def _at_flush(moment: str) -> Patch:
    def patch() -> None:
        flush, committed = JournalState.flush, JournalState.committed

        def doomed_flush(self: JournalState) -> None:
            pending = bool(self.find(OUTBOX, "pending", "1"))
            flush(self)
            if moment == "before" and pending:
                die()

        def doomed_committed(self: JournalState) -> None:
            if moment == "after" and self.find(OUTBOX, "pending", "1"):
                die()
            committed(self)

        JournalState.flush = doomed_flush  # type: ignore[method-assign]  # the fate is put in from outside
        JournalState.committed = doomed_committed  # type: ignore[method-assign]  # the same

    return patch


def _at_disk(call: str, moment: str) -> Patch:
    def patch() -> None:
        real = getattr(RealDisk, call)

        def doomed(self: RealDisk, *values: Any, **more: Any) -> Any:
            if moment == "before":
                die()
            answer = real(self, *values, **more)
            if moment == "after":
                die()
            return answer

        setattr(RealDisk, call, doomed)

    return patch


def after_apply() -> None:
    """In the file, not marked as delivered."""
    apply = AlertFile.apply

    def doomed(self: AlertFile, updates: Any) -> Any:
        answer = apply(self, updates)
        if updates:
            die()
        return answer

    AlertFile.apply = doomed  # type: ignore[method-assign]  # the fate is put in from outside


def after_mark() -> None:
    """Marked as delivered, just now."""
    log_store, committed = Journal.log_store, JournalState.committed
    logged: list[bool] = []

    def doomed_log(self: Journal, at: Any, entries: Any) -> None:
        log_store(self, at, entries)
        logged.append(True)

    def doomed_committed(self: JournalState) -> None:
        if logged:
            die()
        committed(self)

    Journal.log_store = doomed_log  # type: ignore[method-assign]  # the fate is put in from outside
    JournalState.committed = doomed_committed  # type: ignore[method-assign]  # the same


def journal_full() -> None:
    """SQLite finds no room for the fill's frames."""
    insert = Journal._insert

    def doomed(self: Journal, frames: Sequence[Frame]) -> None:
        if _carries_fill(frames):
            pages = self._db.execute("PRAGMA page_count").fetchone()[0]
            self._db.execute(f"PRAGMA max_page_count = {pages}")
            more = range(frames[-1].seq + 1, frames[-1].seq + 51)
            frames = [*frames, *(replace(frames[0], seq=seq, fields=("0", "x" * 100_000)) for seq in more)]
        insert(self, frames)

    Journal._insert = doomed  # type: ignore[method-assign]  # the fate is put in from outside


def commit_fails() -> None:
    """The commit of the pump's step fails, as on a broken disk."""

    class Broken(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "COMMIT":
                found = super().execute("SELECT count(*) FROM executions").fetchone()
                if found[0]:
                    raise sqlite3.OperationalError("disk I/O error")
            return super().execute(sql, *values)

    connect = sqlite3.connect
    journals.sqlite3.connect = lambda *values, **more: connect(*values, factory=Broken, **more)  # type: ignore[attr-defined]  # put in from outside


def alerts_full() -> None:
    """The disk of alerts.json has no room for its new version."""

    def doomed(self: RealDisk, *values: Any, **more: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    setattr(RealDisk, "write", doomed)  # noqa: B010  # put in from outside


FATES: dict[str, Patch] = {
    "before_append": before_append,
    "after_append": _in_turn(after_append),
    "before_step_commit": _at_flush("before"),
    "after_step_commit": _at_flush("after"),
    "before_step_commit_in_turn": _in_turn(_at_flush("before")),
    "after_step_commit_in_turn": _in_turn(_at_flush("after")),
    "before_write": _at_disk("write", "before"),
    "after_write": _at_disk("write", "after"),
    "before_rename": _at_disk("rename", "before"),
    "after_rename": _at_disk("rename", "after"),
    "after_folder_sync": _at_disk("sync_folder", "after"),
    "after_apply": after_apply,
    "after_mark": after_mark,
    "journal_full": journal_full,
    "commit_fails": commit_fails,
    "alerts_full": alerts_full,
}
DEATHS = tuple(name for name in FATES if name.startswith(("before_", "after_")))


if __name__ == "__main__":
    FATES[os.environ["DOOM"]]()
    sys.exit(main())
