"""Keep frames that could not be read or decided, until a later version of the execution can be.

Owns the rows of undecodable frames, and the memory by which the same execution is kept once. It reads no
frame and decides none.
"""

from __future__ import annotations

from msgspec.structs import replace

from tracker.core.certainty import pushed_unread
from tracker.core.model import Undecodable, correction_parts
from tracker.core.state import UNDECODED, LedgerState
from tracker.core.state_rows import UndecodableFrame


class Undecodables:
    """Keep the undecodable frames of one ledger's state."""

    def __init__(self, state: LedgerState) -> None:
        self._state = state
        self._open: dict[str, UndecodableFrame] = {}
        self._came: dict[str, tuple[int, int, bool]] = {}
        """Key that all versions of an execution share -> the lowest one that ever came unreadable, the first
        frame of it, and whether that was pushed."""
        for row in state.every(UNDECODED):
            if row.exec_id:
                self._note(row)

    def _note(self, row: UndecodableFrame) -> None:
        if not row.healed:
            self._open[row.exec_id] = row
        root, version = _of(row.exec_id)
        came = version, row.seq, row.live
        self._came[root] = min(came, self._came.get(root, came))

    def came(self, exec_id: str) -> bool:
        """Return whether an execution, or an earlier version of it, ever came unreadable."""
        root, version = _of(exec_id)
        return root in self._came and self._came[root][0] <= version

    def push_of(self, exec_id: str) -> int:
        """Return the frame with which its first version was pushed and could not be read; 0 if none was.

        What a later version corrects was perhaps missed long before.
        """
        if not self.came(exec_id):
            return 0
        version, seq, live = self._came[_of(exec_id)[0]]
        return seq if live and version <= 1 else 0

    def keep(self, seq: int, fact: Undecodable) -> bool:
        """Keep a frame; False if the same execution is kept already."""
        known = self._open.get(fact.exec_id)
        if known is not None and known.reason == fact.reason:
            return False
        self._state.put(UNDECODED, _row(seq, fact))
        if fact.live:
            pushed_unread(self._state)
        return True

    def asks_for(self, seq: int, fact: Undecodable) -> bool:
        """Return, once, whether a sweep may bring an execution in a form that can be read."""
        if not fact.exec_id or fact.exec_id in self._open:
            return False
        self._note(_row(seq, fact))
        return True

    def heal(self, seq: int) -> None:
        """Mark a kept frame as settled, since it is about to be applied again."""
        row = self._state.get(UNDECODED, str(seq))
        if row is not None:
            self._state.put(UNDECODED, replace(row, healed=True))
            self._open.pop(row.exec_id, None)

    def heal_execution(self, exec_id: str) -> None:
        """Mark an execution's kept frames as settled, since it or a later version could be decided."""
        if not self._open or not self.came(exec_id):
            # There may be tens of thousands, and this runs for each execution.
            return
        for row in self._state.find(UNDECODED, "open", "1"):
            if row.exec_id == exec_id or _replaces(exec_id, row.exec_id):
                self._state.put(UNDECODED, replace(row, healed=True))
                self._open.pop(row.exec_id, None)


def _row(seq: int, fact: Undecodable) -> UndecodableFrame:
    return UndecodableFrame(seq, fact.kind, fact.reason, fact.exec_id, live=fact.live)


def _of(exec_id: str) -> tuple[str, int]:
    """Return what the versions of an execution have in common, and which of them this is."""
    parts = correction_parts(exec_id)
    return (exec_id, 0) if parts is None else (parts.root, parts.version)


def _replaces(exec_id: str, older: str) -> bool:
    """Whether the one execId is a later version of the other."""
    new, old = correction_parts(exec_id), correction_parts(older)
    return new is not None and old is not None and new.root == old.root and new.version > old.version
