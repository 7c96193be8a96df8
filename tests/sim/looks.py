"""Looks through the stores: what each found waits in the journal until its notes are decided.

Owns which looks are open, and tells the oracle of each when the tracker decides what it found. A process may
end before, and the next one decides by what stands in the stores then. It may end amid a look's notes, too:
those that are not decided yet are decided by what the next process reads. So is what it noted of an order for
which the oracle knows of no find: the rules page leaves open which near misses are told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import takewhile
from typing import NamedTuple

from tests.sim.rules_oracle.facts import Event, Known, LookedAgain, LookNoted, OrderKey
from tracker.core.journal_entries import Rematched, read_entry
from tracker.core.model import Frame, Source


class Journalled(NamedTuple):
    """Hold numbers of frames of the journal."""

    decided: int
    """The last that is decided."""
    last: int
    noted: int
    """The last of those not decided yet that tells what was found in the store; 0 if there is none."""


class Look(NamedTuple):
    """Hold a look through the stores of which not all is decided yet."""

    behind: int
    """The last frame that was journalled by then."""
    known: Known | None
    """What it could find something for; None while that is what is known now."""


class Looks:
    """Follow one life's looks; `tell` takes each event, `known` says what the oracle knows now.

    `order_of` returns the order of an execution that was taken in, by its execId.
    """

    def __init__(
        self,
        tell: Callable[[Event], None],
        known: Callable[[], Known],
        order_of: Callable[[str], OrderKey],
    ) -> None:
        self._tell = tell
        self._known = known
        self._order_of = order_of
        self._open: list[Look] = []
        self._before = 0
        """How many of these are an earlier process's, which noted what it found."""
        self.early = False
        """Whether frames waited as what was told last was looked for, and no look behind them is told yet."""
        self._noted_behind = -1
        """Of the look that was last told so: what a lost look reads behind it is none of its finds."""

    @property
    def open(self) -> bool:
        return bool(self._open)

    def begin(self, journalled: Journalled) -> None:
        """Take in that the tracker looks through what it read."""
        self._open.append(Look(journalled.last, None))
        if journalled.last > journalled.decided:
            self.keep_what_is_known()

    def keep_what_is_known(self) -> None:
        """Keep for each open look what it could find something for, before that changes."""
        if any(look.known is None for look in self._open):
            known = self._known()
            self._open = [Look(look.behind, look.known or known) for look in self._open]

    def note(self, at: datetime, noted: int) -> None:
        """Take in once what the last look found, where it is written down and waits to be decided."""
        behind = self._open[-1].behind if self._open else noted
        if noted > behind != self._noted_behind:
            self._noted_behind = behind
            self._tell(LookNoted(at, behind))

    def stopped(self, at: datetime, noted: int) -> None:
        """End a process; what it found lasts only if it was `noted`."""
        self.note(at, noted)
        self.keep_what_is_known()
        self._open = [look for look in self._open if look.behind < noted]
        self._before, self.early = len(self._open), False

    def is_behind_one(self, frame: Frame) -> bool:
        """Return whether a frame came after a look that is still open."""
        return bool(self._open) and frame.seq > self._open[0].behind

    def unfinished(self, taken: Sequence[Frame], rest: Sequence[Frame]) -> int | None:
        """Return behind which frame the look came of whose notes a transaction decides only the first."""
        if not taken or not rest or rest[0].source is not Source.STORE:
            return None
        last = taken[-1].seq
        behind = max((look.behind for look in self._open if look.behind <= last), default=last)
        return None if behind == last else behind

    def decided(self, at: datetime, cursor: int, taken: Sequence[Frame] = ()) -> None:
        """Take in that all up to a frame is decided, and so what each look behind an earlier one found.

        `taken` are the frames of the transaction that decides it.
        """
        due = self._due(cursor)
        if not due:
            return
        noted, known = self._before > 0, _known_by(due)
        if noted and known is not None:
            known = Known(_each_once(*known.orders, *self._noted_orders(due, taken)), known.alerts)
        self._open = self._open[len(due) :]
        self._before = max(self._before - len(due), 0)
        self.early = known is not None
        self._tell(LookedAgain(at, rematch=True, noted=noted, until=cursor, known=known))

    def rested(self, at: datetime, cursor: int) -> None:
        """Take in that nothing is left to do, so that the tracker looked again behind frames that waited.

        Where nothing was ever written into a record, no question about one shows that look.
        """
        self.decided(at, cursor)
        if self.early and not self._open:
            self.early = False
            self._tell(LookedAgain(at, rematch=True, until=cursor))

    def decided_partly(self, at: datetime, behind: int, taken: Sequence[Frame]) -> None:
        """Take in that only the first notes of what was found behind a frame are decided.

        They tell which orders are decided by now; which had to be found, the oracle says.
        """
        due = self._due(behind)
        known = _known_by(due) or self._known()
        orders = self._noted_orders(due, taken)
        noted, until = self._before > 0, taken[-1].seq
        now = Known(orders if noted else tuple(filter(orders.__contains__, known.orders)), known.alerts)
        self._tell(LookedAgain(at, rematch=True, noted=noted, until=until, known=now, partly=True))
        left = Known(tuple(order for order in known.orders if order not in orders), frozenset())
        self._open[: len(due)] = [Look(look.behind, left) for look in due]

    def _noted_orders(self, due: Sequence[Look], taken: Sequence[Frame]) -> tuple[OrderKey, ...]:
        """Return the orders of which these frames note what the last of the looks found."""
        later = (look.behind for look in self._open[len(due) :])
        last = next(later, taken[-1].seq if taken else 0)
        behind = [frame for frame in taken if due[-1].behind < frame.seq <= last]
        notes = [read_entry(frame) for frame in takewhile(lambda frame: frame.source is Source.STORE, behind)]
        rematched = (note.execution.exec_id for note in notes if isinstance(note, Rematched))
        return _each_once(*map(self._order_of, rematched))

    def _due(self, cursor: int) -> list[Look]:
        return [look for look in self._open if look.behind <= cursor]


def _known_by(looks: Sequence[Look]) -> Known | None:
    """Return what these looks could find something for, None where that is what is known now."""
    seen = [look.known for look in looks if look.known is not None]
    if len(seen) < len(looks):
        return None
    orders = _each_once(*(order for each in seen for order in each.orders))
    return Known(orders, frozenset[int]().union(*(each.alerts for each in seen)))


def _each_once(*orders: OrderKey) -> tuple[OrderKey, ...]:
    return tuple(dict.fromkeys(orders))
