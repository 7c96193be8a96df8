"""Keep the lots of one contract in runs, of which all but the newest can be compressed.

Owns how thousands of lots are held in memory, and what is known of packed ones without unpacking them. Such a
sequence holds the same lots as a tuple would, and never changes: a change makes a new sequence, which shares
the unchanged runs. It decides nothing.
"""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, compress, count
from operator import is_not
from typing import Final, TypeAlias, overload

import msgspec

from tracker.core.lot_rows import Lot
from tracker.core.model import AlertId

RUN: Final = 32
"""How many lots are packed together. The older ones are packed once there are twice as many unpacked."""
_UNPACKED: Final = 64
"""How many packed runs keep their unpacked lots too: the oldest lots are sold one after the other."""
_LEVEL: Final = 1
_ENCODE: Final = msgspec.json.Encoder().encode
_DECODE: Final = msgspec.json.Decoder(tuple[Lot, ...]).decode


class PackedRun:
    """Hold lots as compressed text; `owners` are their different sets of owners."""

    __slots__ = ("_body", "_count", "_orders", "owners")

    def __init__(self, lots: tuple[Lot, ...]) -> None:
        self._count = len(lots)
        self._body = zlib.compress(_ENCODE(lots), _LEVEL)
        self._orders = array("q", {hash(lot.order) for lot in lots})
        self.owners = tuple(dict.fromkeys(lot.owners for lot in lots))

    def __len__(self) -> int:
        return self._count

    @property
    def order_hashes(self) -> Collection[int]:
        """The different hashes of its lots' orders."""
        return self._orders

    def may_hold(self, order: str) -> bool:
        """Return whether a lot may be of that order; False is certain."""
        return hash(order) in self._orders

    @property
    def lots(self) -> tuple[Lot, ...]:
        return _unpacked(self)

    def unpack(self) -> tuple[Lot, ...]:
        return _DECODE(zlib.decompress(self._body))


@lru_cache(_UNPACKED)
def _unpacked(run: PackedRun) -> tuple[Lot, ...]:
    return run.unpack()


Run: TypeAlias = tuple[Lot, ...] | PackedRun


class LotRuns(Sequence[Lot]):
    """Hold the lots of these runs, one run after the other; the newest lots are a tuple of their own."""

    __slots__ = ("_ends", "_older", "newest")

    def __init__(self, older: Sequence[Run], newest: tuple[Lot, ...]) -> None:
        self._older = tuple(older)
        self._ends = list(accumulate(map(len, self._older)))
        self.newest = newest

    def with_newest(self, newest: tuple[Lot, ...]) -> LotRuns:
        """Return the same older lots followed by other ones; each purchase does this, so it must be cheap."""
        other = LotRuns.__new__(LotRuns)
        other._older, other._ends, other.newest = self._older, self._ends, newest
        return other

    @property
    def runs(self) -> tuple[Run, ...]:
        """Return all runs."""
        return (*self._older, self.newest)

    def __len__(self) -> int:
        return self._older_count + len(self.newest)

    @property
    def _older_count(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Lot]:
        for run in self.runs:
            yield from _lots_of(run)

    @overload
    def __getitem__(self, at: int) -> Lot: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Lot, ...]: ...
    def __getitem__(self, at: int | slice) -> Lot | tuple[Lot, ...]:
        if isinstance(at, slice):
            begin, end, step = at.indices(len(self))
            return tuple(self._between(begin, end)) if step == 1 else tuple(self)[at]
        place = range(len(self))[at]
        if place >= self._older_count:
            return self.newest[place - self._older_count]
        number = bisect_right(self._ends, place)
        return _lots_of(self._older[number])[place - self._ends[number]]

    def _between(self, begin: int, end: int) -> Iterator[Lot]:
        """Yield the lots from one place to before another; runs that hold none of them stay packed."""
        first = bisect_right(self._ends, begin)
        starts = (0, *self._ends)
        for run, start in zip(self.runs[first:], starts[first:], strict=True):
            if start >= end:
                return
            yield from _lots_of(run)[max(begin - start, 0) : end - start]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LotRuns | tuple):
            return NotImplemented
        return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as that of a list: nobody needs it


def _lots_of(run: Run) -> tuple[Lot, ...]:
    return run if isinstance(run, tuple) else run.lots


def runs_of(lots: Sequence[Lot]) -> Sequence[Run]:
    """Return the runs of which lots consist; lots that are no `LotRuns` are one run."""
    return lots.runs if isinstance(lots, LotRuns) else (tuple(lots),)


def packed(lots: Sequence[Lot]) -> Sequence[Lot]:
    """Return the same lots, the older ones packed if there are many."""
    newest = lots.newest if isinstance(lots, LotRuns) else lots
    if len(newest) < 2 * RUN:
        return lots
    *older, last = runs_of(lots)
    newest = _lots_of(last)
    full = len(newest) // RUN - 1
    older += [PackedRun(newest[at * RUN : (at + 1) * RUN]) for at in range(full)]
    return LotRuns(older, newest[full * RUN :])


def appended(lots: Sequence[Lot], lot: Lot) -> Sequence[Lot]:
    """Return the lots followed by one more."""
    if isinstance(lots, LotRuns):
        return lots.with_newest((*lots.newest, lot))
    return (*lots, lot)


def changed(lots: Sequence[Lot], changes: Mapping[int, Lot]) -> Sequence[Lot]:
    """Return the lots with those at these places replaced; a lot without quantity is left out."""
    places = sorted(changes)
    runs: list[Run] = []
    begin = 0
    for run in runs_of(lots):
        end = begin + len(run)
        of_run = places[bisect_left(places, begin) : bisect_left(places, end)]
        runs.append(_changed(run, begin, of_run, changes) if of_run else run)
        begin = end
    if not isinstance(lots, LotRuns):
        return _lots_of(runs[0])
    *older, newest = runs
    return LotRuns([run for run in older if len(run)], _lots_of(newest))


def _changed(run: Run, begin: int, places: Sequence[int], changes: Mapping[int, Lot]) -> tuple[Lot, ...]:
    lots = list(_lots_of(run))
    for at in reversed(places):
        if changes[at].quantity:
            lots[at - begin] = changes[at]
        else:
            del lots[at - begin]
    return tuple(lots)


def of_order(lots: Sequence[Lot], order: str) -> Iterator[Lot]:
    """Yield the lots of one order."""
    for run in runs_of(lots):
        if isinstance(run, tuple) or run.may_hold(order):
            yield from (lot for lot in _lots_of(run) if lot.order == order)


class LotsByOrder:
    """Find the lots of an order, for callers that ask about many orders."""

    __slots__ = ("_runs",)

    def __init__(self, lots: Sequence[Lot]) -> None:
        self._runs: dict[int, list[Run]] = {}
        """Hash of an order -> the runs that may hold lots of it."""
        for run in runs_of(lots):
            hashes = {hash(lot.order) for lot in run} if isinstance(run, tuple) else run.order_hashes
            for number in hashes:
                self._runs.setdefault(number, []).append(run)

    def of(self, order: str) -> list[Lot]:
        """Return the lots of one order."""
        runs = self._runs.get(hash(order), ())
        return [lot for run in runs for lot in _lots_of(run) if lot.order == order]


def owner_sets(lots: Sequence[Lot]) -> Iterator[tuple[AlertId, ...]]:
    """Yield the owners of lots, those of a packed run once each."""
    for run in runs_of(lots):
        yield from (lot.owners for lot in run) if isinstance(run, tuple) else run.owners


def alike_at_start(one: Sequence[Lot], other: Sequence[Lot]) -> int:
    """Return how many lots at the beginning are the same objects, or in the same run."""
    return _alike(runs_of(one), runs_of(other), 1)


def alike_at_end(one: Sequence[Lot], other: Sequence[Lot]) -> int:
    """Return how many lots at the end are the same objects, or in the same run."""
    return _alike(runs_of(one)[::-1], runs_of(other)[::-1], -1)


def _alike(one: Sequence[Run], other: Sequence[Run], way: int) -> int:
    found = 0
    for mine, its in zip(one, other, strict=False):
        if mine is not its:
            pairs = map(is_not, _lots_of(mine)[::way], _lots_of(its)[::way])
            return found + next(compress(count(), pairs), min(len(mine), len(its)))
        found += len(mine)
    return found
