"""Let a person take back an assignment, a dismissal, an accepted gap, or an adjustment.

Owns which of these can be taken back, by ID or by what it was about, and the notes by which that is
journalled (`core.ledger` reads them). It writes nothing itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tracker.core.alert_updates import number
from tracker.core.journal_entries import (
    Assigned,
    Dismissed,
    GapAccepted,
    GapReopened,
    PartAssigned,
    Undone,
    read_entry,
)
from tracker.core.model import AlertId, ExecutionKey
from tracker.core.state import ADJUSTMENTS, EXECUTIONS, GAPS, LedgerState
from tracker.journal.journal import Journal
from tracker.queries.as_json import Json
from tracker.queries.decisions import deliveries_json
from tracker.queries.lookup import executions_named, only_one, order_rows
from tracker.status.protocol import CommandError, quoted

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_Decided = Assigned | PartAssigned | Dismissed
_UNKNOWN: Final = "`tracker why` and the answers of assign, dismiss, gaps accept and adjust name the IDs"


@dataclass(frozen=True, slots=True)
class Undoing:
    """Hold a decision to take back."""

    id: str
    """The ID of the decision."""
    entries: tuple[Undone | GapReopened, ...]
    what: str
    """The decision in words."""
    alerts: tuple[AlertId, ...] = ()
    """The records that change by taking it back; known after the rehearsal."""


def undoing(journal: Journal, name: str, account: str = "") -> Undoing:
    """Find the decision to take back; raises CommandError where that cannot be done.

    `name` is its ID, else an execId for the last decision about that fill's order, or a day for the
    acceptance of its gap.
    """
    seq = int(name) if name.isascii() and name.isdigit() and len(name) < 19 else -1
    if _DAY.fullmatch(name):
        return _of_gap(journal, name)
    if rows := journal.state.find(ADJUSTMENTS, "name", str(seq)):
        if rows[0].undone:
            raise CommandError("refused", f"adjustment {seq} was taken back before")
        return Undoing(str(seq), (Undone(seq),), f"adjustment {seq}")
    made = _Made(journal)
    if seq < 0 or journal.state.find(EXECUTIONS, "exec_id", name):
        fills = executions_named(journal.state, name, account)
        decided = [row for row in fills if made.about(row.key)]
        if not decided:
            raise CommandError(
                "refused", f"nobody decided about {fills[0].execution.exec_id}, so there is nothing to undo"
            )
        return made.undo(made.about(only_one(decided).key)[-1][0])
    frame = journal.frame(seq)
    entry = read_entry(frame) if frame is not None else None
    if isinstance(entry, GapAccepted):
        return _of_gap(journal, entry.day.isoformat(), seq)
    if isinstance(entry, _Decided):
        return made.undo(seq)
    raise CommandError("not_found", f"{quoted(name)} is no ID of a decision or an adjustment; {_UNKNOWN}")


class _Made:
    """Hold the decisions about fills that are in force, oldest first."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        entries = [(frame.seq, read_entry(frame)) for frame in journal.notes()]
        self.undone = {entry.frame for _, entry in entries if isinstance(entry, Undone)}
        self._made: dict[int, _Decided] = {
            seq: entry for seq, entry in entries if isinstance(entry, _Decided) and seq not in self.undone
        }

    def about(self, key: ExecutionKey) -> Sequence[tuple[int, _Decided]]:
        """Return the decisions about an execution's order."""
        row = self._journal.state.get(EXECUTIONS, f"{key.account} {key.exec_id}")
        keys = {each.key for each in order_rows(self._journal.state, row)} if row is not None else {key}
        return [(seq, entry) for seq, entry in self._made.items() if entry.execution in keys]

    def undo(self, seq: int) -> Undoing:
        """Take back the decision of one frame; raises CommandError."""
        if seq in self.undone:
            return Undoing(str(seq), (), f"decision {seq}")
        entry = self._made[seq]
        about = self.about(entry.execution)
        exec_id = entry.execution.exec_id
        if isinstance(entry, Dismissed):
            # The decisions about one order's fills were made together, and are taken back together.
            gone = [(one, each) for one, each in about if isinstance(each, Dismissed)]
            entries = tuple(Undone(one, each.execution) for one, each in gone)
            return Undoing(str(seq), entries, f"the dismissal of {exec_id}")
        # Parts are independent of each other; an assignment of the whole order builds on the decisions before
        # it.
        stands_on = Assigned if isinstance(entry, PartAssigned) else (Assigned, PartAssigned)
        later = [one for one, each in about if one > seq and isinstance(each, stands_on)]
        if later:
            raise CommandError(
                "refused",
                f"{exec_id} was assigned again later; take that back first: tracker undo {later[-1]}",
            )
        of = ""
        if isinstance(entry, PartAssigned):
            of = f"{number(entry.quantity)} of {'the order of ' if entry.whole else ''}"
        what = f"the assignment of {of}{exec_id} to {entry.alert.name}"
        return Undoing(str(seq), (Undone(seq, entry.execution),), what)


def _of_gap(journal: Journal, day: str, seq: int | None = None) -> Undoing:
    gap = journal.state.get(GAPS, day)
    if gap is None or gap.closed_how != "person" or seq not in (None, gap.closed_seq):
        raise CommandError(
            "refused", f"{day} is no gap that a person accepted; `tracker gaps --all` lists all"
        )
    if not gap.closed_seq:
        raise CommandError(
            "refused",
            f"the gap of {day} was accepted with an older version, which kept too little to reopen it",
        )
    return Undoing(
        str(gap.closed_seq), (GapReopened(gap.closed_seq, gap.day),), f"the acceptance of the gap {day}"
    )


def undone_result(state: LedgerState, one: Undoing, *, dry_run: bool = False) -> Json:
    """Return the answer; with `dry_run` the state is that of a rehearsal."""
    return {
        "done": bool(one.entries) and not dry_run,
        "dry_run": dry_run,
        "already_undone": not one.entries,
        "undone": one.id,
        "what": one.what,
        "shows": deliveries_json(state, one.alerts, dry_run=dry_run),
    }
