"""Handle corrections: find the versions of an execution, and put the highest in force, in the first's place.

Owns which rows are versions of one execution: their execIds have four segments that differ in the last only,
and order (where both name one), contract and side are the same. The ledger decides what follows for positions and sums.

A report may list a trade without its execId. Such a trade gets a name made of its details
(`without_exec_id`). The execution with the same details is another version of it, whichever comes first, and
is in force in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from tracker.core.model import Execution, Moment, correction_version
from tracker.core.state import EXECUTIONS, LedgerState
from tracker.core.state_rows import BookedExecution, root_text

_UNNAMED: Final = "flex-trade-"


def without_exec_id(execution: Execution, number: int) -> str:
    """Return the name of a trade that a report lists without its execId, made of its details.

    `number` distinguishes trades of one report with the same details; the first has 1.
    """
    signed, price = (
        f"{value.normalize():f}".replace(".", "_") for value in (execution.signed, execution.price)
    )
    of = f"{execution.account}-{execution.contract.con_id}-{signed}-{price}-{execution.time:%Y%m%dT%H%M%S}"
    return f"{_UNNAMED}{of}.{number}.00.01"


def has_exec_id(exec_id: str) -> bool:
    """Return whether an execution has the broker's execId, and no name made of its details."""
    return not exec_id.startswith(_UNNAMED)


def has_unnamed(state: LedgerState, account: str) -> bool:
    """Return whether a trade without execId was booked in an account."""
    return state.has_key_from(EXECUTIONS, f"{account} {_UNNAMED}")


class Unnamed:
    """Remember the accounts in which a trade without execId was booked, which is rare."""

    def __init__(self, state: LedgerState) -> None:
        self._state = state
        self._known: dict[str, bool] = {}

    def any_of(self, execution: Execution) -> bool:
        """Return whether an execution is such a trade, or may be another version of one."""
        account = execution.account
        if not has_exec_id(execution.exec_id):
            self._known[account] = True
        if account not in self._known:
            self._known[account] = has_unnamed(self._state, account)
        return self._known[account]


def versions_of(state: LedgerState, execution: Execution, unnamed: Unnamed) -> list[BookedExecution]:
    """Return the other versions of the same execution."""
    found = _of_root(state, execution)
    if not unnamed.any_of(execution):
        return found
    if not found:
        found = unnamed_as(state, execution) if has_exec_id(execution.exec_id) else named_as(state, execution)
    rows = {row.execution.exec_id: row for row in found}
    for row in found:
        for other in (*_under_other_name(state, row), *_claimed_by(state, row)):
            rows.setdefault(other.execution.exec_id, other)
    rows.pop(execution.exec_id, None)
    return list(rows.values())


def unnamed_as(state: LedgerState, execution: Execution) -> list[BookedExecution]:
    """Return the versions of the trade without execId that has an execution's details, if there is one."""
    for row in _alike_unnamed(state, execution):
        if _is_free(row) and _may_be_same_order(row.execution, execution):
            return [row, *_of_root(state, row.execution, beside=row)]
    return []


def named_as(state: LedgerState, unnamed: Execution, beside: Sequence[str] = ()) -> list[BookedExecution]:
    """Return the versions of the execution that has the details of a trade without execId, if there is one.

    An execution that already has such a trade is another one, and so are those with execIds in `beside`.
    """
    key = f"{unnamed.account} {unnamed.contract.con_id}"
    for row in state.find(EXECUTIONS, "contract", key):
        execution = row.execution
        same = execution.time == unnamed.time and execution.signed == unnamed.signed
        if not same or execution.price != unnamed.price or not has_exec_id(execution.exec_id):
            continue
        if execution.exec_id in beside or not _may_be_same_order(execution, unnamed):
            continue
        if not any(True for _ in _claimed_by(state, row)):
            return [row, *_of_root(state, execution, beside=row)]
    return []


def _of_root(
    state: LedgerState, execution: Execution, *, beside: BookedExecution | None = None
) -> list[BookedExecution]:
    root = root_text(execution.account, execution.exec_id)
    if root is None:
        return []
    return [
        row
        for row in state.find(EXECUTIONS, "root", root)
        if _may_be_same_order(row.execution, execution)
        and row.execution.contract.con_id == execution.contract.con_id
        and row.execution.side is execution.side
        and (beside is None or row.key != beside.key)
    ]


def _alike_unnamed(state: LedgerState, execution: Execution) -> Iterator[BookedExecution]:
    """Yield the trades without execId that have an execution's details, in the order of their numbers."""
    number = 1
    while row := state.get(EXECUTIONS, f"{execution.account} {without_exec_id(execution, number)}"):
        yield row
        number += 1


def _in_place_of(state: LedgerState, row: BookedExecution) -> BookedExecution | None:
    """Return the execution with an execId that took the place of a trade without one."""
    return None if _is_free(row) else state.get(EXECUTIONS, f"{row.execution.account} {row.superseded_by}")


def _claimed_by(state: LedgerState, row: BookedExecution) -> Iterator[BookedExecution]:
    """Yield the trade without execId whose place an execution took, with its versions."""
    if not has_exec_id(row.execution.exec_id):
        return
    for other in _alike_unnamed(state, row.execution):
        named = _in_place_of(state, other)
        if named is not None and _root(named) == _root(row):
            yield other
            yield from _of_root(state, other.execution, beside=other)


def _under_other_name(state: LedgerState, row: BookedExecution) -> Iterator[BookedExecution]:
    """Yield the execution that took the place of a trade without execId, with its versions."""
    if has_exec_id(row.execution.exec_id):
        return
    named = _in_place_of(state, row)
    if named is not None:
        yield named
        yield from _of_root(state, named.execution, beside=named)


def _is_free(row: BookedExecution) -> bool:
    """Return whether no execution took the place of a trade without execId."""
    return not row.superseded_by or not has_exec_id(row.superseded_by)


def _root(row: BookedExecution) -> str:
    return root_text(row.execution.account, row.execution.exec_id) or row.execution.exec_id


def _may_be_same_order(one: Execution, other: Execution) -> bool:
    return one.perm_id == other.perm_id or not (one.perm_id and other.perm_id)


def put_in_force(
    state: LedgerState, booked: BookedExecution, versions: Sequence[BookedExecution]
) -> tuple[BookedExecution, BookedExecution]:
    """Put the highest version in force; return the one that was, and the one that is."""
    everyone = [*versions, booked]
    newest = max(everyone, key=_rank)
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


def _rank(row: BookedExecution) -> tuple[int, bool]:
    """Order versions: the gateway's first version ranks above a report's trade without execId."""
    exec_id = row.execution.exec_id
    version, named = correction_version(exec_id), has_exec_id(exec_id)
    return (version if named or version > 1 else 0, named)
