"""Find the versions of an execution, and put the highest in force in the place of the first.

Owns which rows are versions of one execution: four segments of the execId, alike but for the last, of the
same order, contract and side. What follows for positions and sums the ledger decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from tracker.core.model import Execution, Moment, correction_version
from tracker.core.state import EXECUTIONS, LedgerState
from tracker.core.state_rows import BookedExecution, root_text


def versions_of(state: LedgerState, execution: Execution) -> list[BookedExecution]:
    """Return the other versions of the same execution."""
    root = root_text(execution.account, execution.exec_id)
    if root is None:
        return []
    return [
        row
        for row in state.find(EXECUTIONS, "root", root)
        if row.execution.perm_id == execution.perm_id
        and row.execution.contract.con_id == execution.contract.con_id
        and row.execution.side is execution.side
    ]


def put_in_force(
    state: LedgerState, booked: BookedExecution, versions: Sequence[BookedExecution]
) -> tuple[BookedExecution, BookedExecution]:
    """Put the highest version in force; return the one that was, and the one that is."""
    everyone = [*versions, booked]
    newest = max(everyone, key=lambda row: correction_version(row.execution.exec_id))
    place = min(Moment(row.execution.time, row.seq) for row in everyone)
    decided = next((row for row in versions if not row.superseded_by), versions[0])
    for row in everyone:
        superseded_by = "" if row is newest else newest.execution.exec_id
        after = replace(
            row,
            match=decided.match,
            at_booking=decided.at_booking,
            place=place,
            superseded_by=superseded_by,
            folded=decided.folded or bool(superseded_by),
            attention=decided.attention,
            dismissed=decided.dismissed,
            parts=decided.parts,
        )
        state.put(EXECUTIONS, after)
        if row is newest:
            in_force = after
    return decided, in_force
