"""Handle corrections: find the versions of an execution, and put the highest in force, in the first's place.

Owns which rows are versions of one execution: their execIds have four segments that differ in the last only,
and order (where both name one), contract and side are the same. The ledger decides what follows for positions
and sums.

A report may list a trade without its execId. Such a trade gets a name made of its details
(`without_exec_id`). The execution with the same details is another version of it, whichever comes first, and
is in force in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from msgspec.structs import replace

from tracker.core.model import ZERO, Execution, Moment, correction_version
from tracker.core.state import EXECUTIONS, LedgerState
from tracker.core.state_rows import BookedExecution, root_text

_UNNAMED: Final = "flex-trade-"
MOST_VERSIONS: Final = 999
"""The gateway numbers versions with two digits; what a report makes has the number of its transaction."""


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
    if not has_exec_id(execution.exec_id):
        found = found or named_as(state, execution)
    elif not any(_same_details(row.execution, execution) and _claims(state, row) for row in found):
        # A report may have told a correction, too, as a cancelled trade and another one.
        found = [*found, *unnamed_as(state, execution)]
    rows = {row.execution.exec_id: row for row in found}
    for row in found:
        for other in (*_under_other_name(state, row), *_claimed_by(state, row)):
            rows.setdefault(other.execution.exec_id, other)
    rows.pop(execution.exec_id, None)
    return list(rows.values())


def swept_before_newer(execution: Execution, versions: Iterable[BookedExecution]) -> list[int]:
    """Return `swept_before` of each newer version.

    A sweep that lists a correction leaves out what that replaced, so only one that ended before it came tells
    that the execution was made later.
    """
    version = correction_version(execution.exec_id)
    return [row.swept_before or 0 for row in versions if correction_version(row.execution.exec_id) > version]


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
        if not _same_details(execution, unnamed) or not has_exec_id(execution.exec_id):
            continue
        if execution.exec_id in beside or not _may_be_same_order(execution, unnamed):
            continue
        if not _claims(state, row):
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
    """Yield the trade without execId whose place an execution took, or which voids it, with its versions."""
    if not has_exec_id(row.execution.exec_id):
        return
    if row.superseded_by and not has_exec_id(row.superseded_by):
        void = state.get(EXECUTIONS, f"{row.execution.account} {row.superseded_by}")
        assert void is not None, "what took a place is kept"
        yield void
        yield from _of_root(state, void.execution, beside=void)
    for other in _alike_unnamed(state, row.execution):
        named = _in_place_of(state, other)
        if named is not None and _root(named) == _root(row):
            yield other
            yield from _of_root(state, other.execution, beside=other)


def is_named_as(row: BookedExecution, named: BookedExecution) -> bool:
    """Return whether a trade without execId is the one that an execution with one has the details of."""
    unnamed = not has_exec_id(row.execution.exec_id) and has_exec_id(named.execution.exec_id)
    return unnamed and _same_details(row.execution, named.execution)


def _claims(state: LedgerState, row: BookedExecution) -> bool:
    """Return whether an execution took the place of a trade without execId that has its details."""
    return any(True for _ in _claimed_by(state, row))


def _same_details(one: Execution, other: Execution) -> bool:
    return (one.time, one.signed, one.price) == (other.time, other.signed, other.price)


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


class Corrected(NamedTuple):
    """Say what a new version of an execution takes the place of."""

    were: tuple[BookedExecution, ...]
    """The versions that were in force: several where a report told a correction as another trade."""
    now: BookedExecution
    """The version that is in force."""

    @property
    def change(self) -> Decimal:
        """By how much it changes what is held."""
        return self.now.execution.signed - sum((row.execution.signed for row in self.were), ZERO)

    @property
    def folded(self) -> bool:
        """Whether what was in force was folded already."""
        return any(row.folded for row in self.were)

    @property
    def of_other_orders(self) -> list[BookedExecution]:
        """Those that were in force under another order, or none."""
        return [row for row in self.were if row.order != self.now.order]


def put_in_force(
    state: LedgerState, booked: BookedExecution, versions: Sequence[BookedExecution]
) -> Corrected:
    """Put the highest version in force; return those that were, and the one that is."""
    everyone = [*versions, booked]
    newest = newest_of(everyone)
    place = min(Moment(row.execution.time, row.seq) for row in everyone)
    were = tuple([row for row in versions if not row.superseded_by]) or (versions[0],)
    decided = were[0]
    for row in everyone:
        superseded_by = "" if row is newest else newest.execution.exec_id
        after = replace(
            row,
            match=decided.match,
            at_booking=decided.at_booking,
            place=place,
            superseded_by=superseded_by,
            folded=bool(superseded_by) or any(each.folded for each in were),
            attention=decided.attention,
            dismissed=decided.dismissed,
            parts=decided.parts,
        )
        state.put(EXECUTIONS, after)
        if row is newest:
            in_force = after
    return Corrected(were, in_force)


def newest_of(versions: Sequence[BookedExecution]) -> BookedExecution:
    """Return the version that is in force, of these."""
    return max(versions, key=lambda row: _rank(row, versions))


def _rank(row: BookedExecution, everyone: Sequence[BookedExecution]) -> tuple[int, int, int]:
    """Order versions: what a report made of a trade, a void say, ranks just above the gateway's version that
    it is of, and a trade without execId just below the one that has its details.

    So a cancellation of a trade that the gateway corrects takes nothing from the correction, whichever comes
    first.
    """
    version = correction_version(row.execution.exec_id)
    if has_exec_id(row.execution.exec_id):
        of = _made_of(row, everyone)
        return of, int(of != version), version
    root = _root(row)
    trade = next(
        (each.execution for each in everyone if _root(each) == root and each.execution.quantity), None
    )
    alike = [
        _made_of(each, everyone)
        for each in everyone
        if trade is not None and has_exec_id(each.execution.exec_id) and _same_details(each.execution, trade)
    ]
    return max(alike, default=0), int(version > 1), version if version > 1 else 0


def _made_of(row: BookedExecution, everyone: Sequence[BookedExecution]) -> int:
    """Return the version of the gateway that an execution is, or is made of: the newest one before it, and
    each that repeats that one's values.
    """
    version = correction_version(row.execution.exec_id)
    if version <= MOST_VERSIONS:
        return version
    told = [each for each in everyone if 0 < correction_version(each.execution.exec_id) <= MOST_VERSIONS]
    told = [each for each in told if has_exec_id(each.execution.exec_id)]
    before = [each for each in told if each.seq < row.seq]
    if not before:
        return version
    newest = max(before, key=lambda each: correction_version(each.execution.exec_id))
    return max(
        correction_version(each.execution.exec_id)
        for each in told
        if each in before or _same_details(each.execution, newest.execution)
    )
