"""Gather the broker's answers about positions, and decide which of them can be a contract's opening balance.

Owns the answer in progress. It folds nothing. Of executions it only knows whether one came meanwhile.

A contract's opening balance goes through these states:

| state | means | next state |
|---|---|---|
| waiting | no answer of this connection yet | confirmed or unconfirmed |
| unconfirmed | from an answer that is not certain, or may or may not contain an execution | confirmed |
| confirmed | from a certain answer, see `certainty` | unconfirmed |

Nothing of a new contract is folded while it waits. An unconfirmed balance is replaced by the next usable
answer; after a break that needs a sweep first. A confirmed balance becomes unconfirmed again if an execution
comes that the answer may or may not contain, or if the link to IBKR turns out to have been broken before the
answer.

An answer is used if no live execution, and no correction of a quantity, came between request and end; if one
did, the link requests positions again. Such a disturbed answer is used when there is no better one. An answer
that came while the gateway had lost IBKR, or after its time-out, is never used. A row that cannot be read
says nothing of its contract; if it is unknown which contract it was, the answer is not certain.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from decimal import Decimal

from tracker.core.model import LIVE, Moment
from tracker.core.state_rows import BookedExecution, Snapshot


@dataclass(slots=True)
class _Draft:
    """Gather the answer to a request for positions."""

    asked: Moment
    connection_no: int
    stale: bool
    """Whether the gateway had lost IBKR meanwhile, so that it answered from old data."""
    swept: frozenset[str]
    """The accounts of which a sweep had ended, since the last break, when it was asked for."""
    overdue: bool = False
    """Whether it is no longer waited for."""
    rows: dict[str, Decimal] = field(default_factory=dict)
    disturbed: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    """The contracts of rows that could not be read; an empty text where the contract could not either."""


class PositionSnapshots:
    """Gather one answer at a time."""

    def __init__(self) -> None:
        self._draft: _Draft | None = None
        self._disturbed: tuple[_Draft, Moment] | None = None
        self._upstream = True
        """Whether the gateway is connected to IBKR, by its last notice."""
        self.began: int | None = None
        """The frame with which the connection began, where this process saw it; else what was asked on it
        is not known."""
        self.due = False
        """Whether no snapshot of this connection could be used yet; new contracts wait for one."""

    @property
    def under_way(self) -> bool:
        return self._draft is not None

    def new_link(self, began: int, *, due: bool) -> None:
        """Forget the old connection's unanswered requests."""
        self._draft = None
        self._disturbed = None
        self.began = began
        self._upstream = True
        self.due = due

    def asked(self, asked: Moment, connection_no: int, swept: Collection[str] = ()) -> None:
        """Begin to gather an answer, or continue with that of an earlier request.

        Answers have no numbers. While an earlier request is unanswered the next end may be its own, so the
        rows since that request are gathered, which are a whole answer in any case.
        """
        stale = not (self._upstream and self.began is not None)
        if self._draft is None:
            self._draft = _Draft(asked, connection_no, stale, frozenset(swept))
        self._draft.stale |= stale
        self._draft.overdue = False

    def dated(self, asked: Moment) -> None:
        """Date the request by the broker's time, which was requested just before the positions."""
        if self._draft is not None and not self._draft.rows:
            self._draft.asked = self._draft.asked._replace(time=asked.time)

    def upstream_lost(self) -> None:
        """Trust no positions from now on, since the gateway lost IBKR and answers from old data."""
        self._upstream = False
        self.mistrust()

    def upstream_back(self) -> int | None:
        """Trust the next answer again; returns the frame since which no answer can be trusted.

        Without a notice of the loss it was before this connection, so that all its answers are old.
        """
        unnoticed = self.began if self._upstream else None
        self._upstream = True
        if unnoticed is not None:
            self.mistrust()
        return unnoticed

    def mistrust(self) -> None:
        """Do not use the answer in progress."""
        if self._draft is not None:
            self._draft.stale = True

    def listed(self, contract: str, quantity: Decimal | None) -> None:
        """Add one row of the answer, without a quantity where it could not be read; ignore a row that is
        pushed outside an answer.
        """
        if self._draft is None:
            return
        if quantity is None:
            self._draft.unread.add(contract)
        else:
            self._draft.rows[contract] = quantity

    def disturb(self, booked: BookedExecution) -> None:
        """Note a live execution while positions are being listed: which of them contain it is unknown."""
        if self._draft is not None and booked.execution.request_id == LIVE:
            self._draft.disturbed.add(booked.contract_key.text())

    def ended(self, ended: Moment) -> Snapshot | None:
        """End the answer; returns it if it can be used at once."""
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
        """Continue without an answer that never ended; it is unknown, not empty."""
        if self._draft is not None:
            self._draft.overdue = True
        return self.no_more()

    def no_more(self) -> Snapshot | None:
        """Stop waiting for answers; returns the disturbed answer if there is no better one."""
        found = None
        if self.due and self._disturbed is not None:
            found = self._complete(*self._disturbed)
        self.due = False
        return found

    def _complete(self, draft: _Draft, ended: Moment) -> Snapshot:
        self.due = False
        self._disturbed = None
        disturbed = tuple(sorted((draft.disturbed | draft.unread) - {""}))
        told = {key.split(" ")[0] for key in draft.rows}
        swept = () if "" in draft.unread else draft.swept
        certain = tuple(sorted(account for account in swept if account in told))
        return Snapshot(draft.asked, ended, dict(draft.rows), disturbed, draft.connection_no, certain)
