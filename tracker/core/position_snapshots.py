"""Gather the broker's answers about positions, and decide which of them can be a contract's opening balance.

Owns the answer in progress. It folds nothing, and knows of executions only whether one came in between.

A contract's opening balance goes through these states:

| state | means | next state |
|---|---|---|
| waiting | no answer of this connection yet | confirmed or unconfirmed |
| unconfirmed | from an answer that is not certain, or may contain an execution or not | confirmed |
| confirmed | from a certain answer, see `certainty` | unconfirmed |

Nothing of a contract never seen is folded while it waits. An unconfirmed balance is taken from the next
answer that can be used, after a break once swept. A confirmed one is unconfirmed again if an execution
comes of which it is not known whether the answer contains it, or if the link to IBKR turns out to have been
broken before that answer.

An answer is taken if no live execution came between request and end; the link asks again if one did. A
disturbed answer is used when no better one is to be had. What was answered while the gateway had lost IBKR,
or after nobody waited for it any longer, is never used.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from decimal import Decimal

from tracker.core.model import Moment
from tracker.core.state_rows import Snapshot


@dataclass(slots=True)
class _Draft:
    """Gather the answer to a request for positions."""

    asked: Moment
    connection_no: int
    stale: bool
    """The gateway had lost IBKR meanwhile, so it answered from what it knew before."""
    swept: frozenset[str]
    """The accounts of which a sweep had ended, since the last break, when it was asked for."""
    overdue: bool = False
    """Nobody waits for it any longer."""
    rows: dict[str, Decimal] = field(default_factory=dict)
    disturbed: set[str] = field(default_factory=set)


class PositionSnapshots:
    """Gather one answer at a time."""

    def __init__(self) -> None:
        self._draft: _Draft | None = None
        self._disturbed: tuple[_Draft, Moment] | None = None
        self._upstream = True
        """Whether the gateway has IBKR, as far as it said."""
        self.began: int | None = None
        """The frame with which the connection began, where this process saw it; else what was asked on it
        is not known."""
        self.due = False
        """From a connection's start until a snapshot of it can be used; new contracts wait for that."""

    @property
    def under_way(self) -> bool:
        return self._draft is not None

    def new_link(self, began: int, *, due: bool) -> None:
        """Forget what the old connection still owed."""
        self._draft = None
        self._disturbed = None
        self.began = began
        self._upstream = True
        self.due = due

    def asked(self, asked: Moment, connection_no: int, swept: Collection[str] = ()) -> None:
        """Begin to gather an answer, or go on with an earlier request's.

        Neither has a number. While an earlier request is unanswered the next end may be that one's, so the
        rows since then are gathered: a whole answer in any case.
        """
        stale = not (self._upstream and self.began is not None)
        if self._draft is None:
            self._draft = _Draft(asked, connection_no, stale, frozenset(swept))
        self._draft.stale |= stale
        self._draft.overdue = False

    def dated(self, asked: Moment) -> None:
        """Date the request by the broker's time, which was asked for just before the positions."""
        if self._draft is not None and not self._draft.rows:
            self._draft.asked = self._draft.asked._replace(time=asked.time)

    def upstream_lost(self) -> None:
        """Trust no positions from now on: the gateway tells what it knew before it lost IBKR."""
        self._upstream = False
        self.mistrust()

    def upstream_back(self) -> int | None:
        """Trust the next answer again; returns since which frame no answer is to be trusted.

        Where no notice named the loss it was before this connection, all of whose answers are old then.
        """
        unnoticed = self.began if self._upstream else None
        self._upstream = True
        if unnoticed is not None:
            self.mistrust()
        return unnoticed

    def mistrust(self) -> None:
        """Let the answer under way be used for nothing."""
        if self._draft is not None:
            self._draft.stale = True

    def listed(self, contract: str, quantity: Decimal) -> None:
        """Take one row of that answer; a push outside an answer is none."""
        if self._draft is not None:
            self._draft.rows[contract] = quantity

    def disturb(self, contract: str) -> None:
        """Note a live execution while positions are being listed: which of them contain it is unknown."""
        if self._draft is not None:
            self._draft.disturbed.add(contract)

    def ended(self, ended: Moment) -> Snapshot | None:
        """End the answer; returns it where it can be used at once."""
        if self._draft is None:
            return None
        draft, self._draft = self._draft, None
        if draft.stale or draft.overdue:
            return None
        if not draft.disturbed:
            return self._complete(draft, ended)
        if self.due:
            self._disturbed = (draft, ended)
        return None

    def failed(self) -> Snapshot | None:
        """Go on without an answer that never ended: unknown is not empty."""
        if self._draft is not None:
            self._draft.overdue = True
        return self.no_more()

    def no_more(self) -> Snapshot | None:
        """Let nothing wait any longer; returns the disturbed answer, where it is the best to be had."""
        found = None
        if self.due and self._disturbed is not None:
            found = self._complete(*self._disturbed)
        self.due = False
        return found

    def _complete(self, draft: _Draft, ended: Moment) -> Snapshot:
        self.due = False
        self._disturbed = None
        disturbed = tuple(sorted(draft.disturbed))
        told = {key.split(" ")[0] for key in draft.rows}
        certain = tuple(sorted(account for account in draft.swept if account in told))
        return Snapshot(draft.asked, ended, dict(draft.rows), disturbed, draft.connection_no, certain)
