"""Compute a contract's opening balance: what was held of it before its first execution known to us.

Owns the arithmetic of the opening balance: pure functions of booked executions and of the holding that a
snapshot of positions is the baseline of. When a contract gets its baseline, and from which snapshot,
`positions` decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Final

from tracker.core.model import LIVE, ZERO, correction_version
from tracker.core.state_rows import BookedExecution, Holding

_CLOCKS_APART: Final = timedelta(seconds=2)
"""How far the broker's clock, cut to the second, may be from ours around a request."""


def base_of(rows: Iterable[BookedExecution], holding: Holding) -> Decimal:
    """Return what the broker held before all of these, as the baseline's snapshot tells it."""
    families = _families(rows)
    return (holding.listed or ZERO) - sum((_contained(family, holding) for family in families), ZERO)


def may_begin_at(base: Decimal, rows: Iterable[BookedExecution], holding: Holding) -> bool:
    """Tell whether the baseline's snapshot allows for this base, whatever of the uncertain it contained."""
    least = most = holding.listed or ZERO
    for family in _families(rows):
        known = _contained(family, holding)
        options = [known, *(row.execution.signed for row in family if may_be_in_baseline(row, holding))]
        if not any(is_in_baseline(row, holding) for row in family):
            options.append(ZERO)
        least -= max(options)
        most -= min(options)
    return least <= base <= most


def _families(rows: Iterable[BookedExecution]) -> Iterable[list[BookedExecution]]:
    """Gather the versions of each execution."""
    families: dict[str, list[BookedExecution]] = {}
    for row in [row for row in rows if not row.execution.contract.is_combo]:
        families.setdefault(row.superseded_by or row.execution.exec_id, []).append(row)
    return families.values()


def _contained(versions: Iterable[BookedExecution], holding: Holding) -> Decimal:
    """Return what the baseline's snapshot contained of an execution, in the version in force at that time."""
    contained = [row for row in versions if is_in_baseline(row, holding)]
    return _in_force(contained, holding).execution.signed if contained else ZERO


def _in_force(versions: Sequence[BookedExecution], holding: Holding) -> BookedExecution:
    """Return the version that a snapshot contained.

    A version that came with another answer than the first known one was made after that, hence after the
    snapshot, unless both were known when it was asked for.
    """
    asked = holding.asked
    assert asked is not None, "only a snapshot contains executions"
    first = min(versions, key=lambda row: row.seq)
    if first.seq > asked.seq:
        answer = (first.session, first.execution.request_id)
        versions = [row for row in versions if (row.session, row.execution.request_id) == answer]
    return max(versions, key=lambda row: correction_version(row.execution.exec_id))


def may_be_in_baseline(booked: BookedExecution, holding: Holding) -> bool:
    """Tell whether an execution may be on either side of the snapshot behind a holding's baseline.

    So is one swept whose time is between request and end, or near them, or cannot be read, one that was
    pushed after the request though it is not younger, and a version that came after it: it has the time of
    what it corrects.
    """
    asked = holding.asked
    if holding.listed is None or asked is None or booked.seq < asked.seq:
        return False
    execution = booked.execution
    version = bool(booked.superseded_by) or correction_version(execution.exec_id) > 1
    if not execution.time_known:
        return version or execution.request_id != LIVE
    if execution.time >= (holding.ended or asked).time + _CLOCKS_APART:
        return False
    near = execution.time > asked.time - _CLOCKS_APART
    return near or version or execution.request_id == LIVE


def is_in_baseline(booked: BookedExecution, holding: Holding) -> bool:
    """Tell whether the snapshot behind a holding's baseline already contained an execution.

    Live executions count by arrival, swept ones by their own time, since they arrive after the snapshot
    that contains them. One of the last moments before the request, or of no readable time, is taken for not
    contained: times are cut to the second, the broker's clock is not ours, and an uncertain fill opens.
    """
    asked = holding.asked
    if holding.listed is None or asked is None:
        return False
    if booked.seq < asked.seq:
        return True
    execution = booked.execution
    if execution.request_id == LIVE:
        return False
    return execution.time_known and execution.time <= asked.time - _CLOCKS_APART
