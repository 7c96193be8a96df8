"""Compute a contract's opening balance: what was held of it before its first execution known to us.

Owns which executions an answer about positions contains, judged by the order in which both arrived, and the
arithmetic that follows: pure functions of booked executions and of an answer. `certainty` decides which
answer is used, and when.

| an execution | the answer contains it |
|---|---|
| arrived before the answer was requested | yes |
| was pushed after the answer's end | no |
| came with a sweep, and a sweep requested after the answer's end had ended without it | no |
| came with any other sweep, and is younger than the answer's end | no |
| came with any other sweep, or was pushed between request and end | not known |
| was pushed after the answer's end, and could not be read | no |
| had come otherwise before and could not be read | not known |
| comes from a report, or from an older version's journal | if it is no younger than the request |

No rule compares our clock with the broker's: request and end are dated by the broker's clock, see
`broker_clock`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal

from tracker.core.corrections import newest_of
from tracker.core.model import LIVE, ZERO, Moment, Source, correction_version
from tracker.core.state_rows import UNREAD, BookedExecution, Holding


def is_contained(booked: BookedExecution, asked: Moment, ended: Moment) -> bool | None:
    """Return whether an answer contains an execution; None where the order of arrival does not decide it."""
    if booked.seq < asked.seq:
        return True
    if booked.unread_push > ended.seq:
        return False
    if booked.source is Source.FLEX:
        return _is_no_younger(booked, asked)
    if booked.execution.request_id == LIVE:
        return False if booked.seq > ended.seq else None
    if booked.swept_before is None:
        return _is_no_younger(booked, asked)
    if booked.swept_before == UNREAD:
        return None
    execution = booked.execution
    younger = execution.time_known and execution.time > ended.time
    return False if booked.swept_before > ended.seq or younger else None


def are_behind(rows: Collection[BookedExecution], asked: Moment, ended: Moment) -> bool:
    """Return whether an answer contains none of these executions.

    One whose first version came later was made later, and so were its corrections.
    """
    if all(is_contained(row, asked, ended) is False for row in rows):
        return True
    return all(
        _is_behind(versions, asked, ended)
        or all(is_contained(row, asked, ended) is False for row in versions)
        for versions in _families(rows)
    )


def touches_baseline(booked: BookedExecution, holding: Holding) -> bool:
    """Return whether a holding's answer may contain an execution, or the execution that it corrects."""
    if holding.asked is None:
        return False
    ended = holding.ended or holding.asked
    return (
        booked.place is not None
        or is_contained(booked, holding.asked, ended) is not False
        or _corrects_unseen(booked)
    )


def is_uncertain(rows: Iterable[BookedExecution], holding: Holding) -> bool:
    """Return whether it is unknown of one of these if a holding's answer contains it.

    A pushed correction may correct an execution that was never received, long before it.
    """
    asked, ended = holding.asked, holding.ended or holding.asked
    assert asked is not None, "a balance is in doubt as to what an answer contains"
    assert ended is not None, "an answer that was asked for ended"
    for versions in _families(rows):
        if _is_behind(versions, asked, ended):
            continue
        contained = _versions_contained(versions, asked, ended)
        # A first version that is pushed only after its correction does not show when it was executed.
        first = min(versions, key=lambda row: row.seq)
        missed = _corrects_unseen(first) and first.unread_push <= ended.seq
        if True not in contained and (None in contained or missed):
            return True
        if None in contained and _differ(versions, asked, ended):
            return True  # Which version is in the answer is not known.
    return False


def _versions_contained(
    versions: Sequence[BookedExecution], asked: Moment, ended: Moment
) -> list[bool | None]:
    """Return of each version if an answer contains it; what corrects one that was made later was so, too."""
    numbers = [correction_version(row.execution.exec_id) for row in versions]
    contained = [is_contained(row, asked, ended) for row in versions]
    later = [
        number
        for row, number, known in zip(versions, numbers, contained, strict=True)
        if known is False and row.source is Source.BROKER and row.execution.request_id != LIVE
    ]
    first = min(later, default=None)
    return [
        False if known is None and first is not None and number > first else known
        for number, known in zip(numbers, contained, strict=True)
    ]


def _differ(versions: Sequence[BookedExecution], asked: Moment, ended: Moment) -> bool:
    """Return whether the versions that an answer may contain differ in size.

    Of those that were known when it was asked only the last one counts: the others were replaced by then.
    """
    ordered = sorted(versions, key=lambda row: correction_version(row.execution.exec_id))
    known = [at for at, row in enumerate(ordered) if row.seq < asked.seq]
    possible = [
        row
        for at, row in enumerate(ordered)
        if not known or at == known[-1] or (at > known[-1] and is_contained(row, asked, ended) is None)
    ]
    return len({row.execution.signed for row in possible}) > 1


def _corrects_unseen(booked: BookedExecution) -> bool:
    """Return whether it is a pushed correction of an execution that was perhaps missed long before."""
    return booked.execution.request_id == LIVE and correction_version(booked.execution.exec_id) > 1


def is_in_baseline(booked: BookedExecution, holding: Holding) -> bool:
    """Return whether a holding's answer contains an execution; where that is unknown, what is most likely.

    Then a swept execution is contained if it is no younger than the request by the broker's clock, or if its
    time cannot be read; a pushed one is not contained.
    """
    if holding.listed is None or holding.asked is None:
        return False
    known = is_contained(booked, holding.asked, holding.ended or holding.asked)
    if known is not None:
        return known
    return booked.execution.request_id != LIVE and _is_no_younger(booked, holding.asked)


def _is_behind(versions: Iterable[BookedExecution], asked: Moment, ended: Moment) -> bool:
    """Return whether an execution was made after an answer; then its corrections were made after it too.

    A first version that is pushed after its correction proves nothing, and a report's version has no arrival
    of its own where the gateway reported the execution.
    """
    rows = list(versions)
    rows = [row for row in rows if row.source is not Source.FLEX] or rows
    first = min(row.seq for row in rows)
    contained = [is_contained(row, asked, ended) for row in rows]
    return True not in contained and any(
        known is False
        and correction_version(row.execution.exec_id) <= 1
        and (row.execution.request_id != LIVE or row.seq == first)
        for row, known in zip(rows, contained, strict=True)
    )


def base_of(rows: Iterable[BookedExecution], holding: Holding) -> Decimal:
    """Return what the broker held before all of these, by the holding's answer."""
    families = _families(rows)
    return (holding.listed or ZERO) - sum((_contained(family, holding) for family in families), ZERO)


def bases_between(rows: Iterable[BookedExecution], holding: Holding) -> tuple[Decimal, Decimal]:
    """Return what was held before all of these: if the answer contains no unknown one, and if all."""
    none = every = holding.listed or ZERO
    asked, ended = holding.asked, holding.ended
    assert asked is not None, "only an answer leaves something undecided"
    for family in _families(rows):
        if _is_behind(family, asked, ended or asked):
            continue
        contained = [is_contained(row, asked, ended or asked) for row in family]
        if None in contained and True not in contained:
            every -= newest_of(family).execution.signed
        else:
            none, every = none - _contained(family, holding), every - _contained(family, holding)
    return none, every


def _is_no_younger(booked: BookedExecution, asked: Moment) -> bool:
    execution = booked.execution
    return not execution.time_known or execution.time <= asked.time


def _families(rows: Iterable[BookedExecution]) -> Iterable[list[BookedExecution]]:
    """Gather the versions of each execution."""
    families: dict[str, list[BookedExecution]] = {}
    for row in [row for row in rows if not row.execution.contract.is_combo]:
        families.setdefault(row.superseded_by or row.execution.exec_id, []).append(row)
    return families.values()


def _contained(versions: Sequence[BookedExecution], holding: Holding) -> Decimal:
    """Return the quantity of an execution in the answer, by the version in force at that time."""
    asked, ended = holding.asked, holding.ended
    if asked is not None and _is_behind(versions, asked, ended or asked):
        return ZERO
    contained = [row for row in versions if is_in_baseline(row, holding)]
    return _in_force(contained, holding).execution.signed if contained else ZERO


def _in_force(versions: Sequence[BookedExecution], holding: Holding) -> BookedExecution:
    """Return the version that an answer contained.

    A version that came with another answer than the first known one was made after that, hence after the
    positions, unless both were known when they were asked for.
    """
    asked = holding.asked
    assert asked is not None, "only an answer contains executions"
    first = min(versions, key=lambda row: row.seq)
    if first.seq > asked.seq:
        answer = (first.connection_no, first.execution.request_id)
        versions = [row for row in versions if (row.connection_no, row.execution.request_id) == answer]
    return newest_of(versions)
