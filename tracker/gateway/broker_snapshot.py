"""Collect what the gateway answers about its accounts at one moment, for an audit.

Owns what is collected while positions, the day's executions and orders are requested, including repeats of
journalled messages, and reads it into a `BrokerView`. It sends nothing and journals nothing: every message is
also captured as usual.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from tracker.core.audit.inputs import BrokerView
from tracker.core.journal_entries import Fields
from tracker.core.message_fields import PUSHED, ExecutionAt, Message, field_at
from tracker.core.model import (
    BrokerFact,
    CompletedOrder,
    Execution,
    Frame,
    OpenOrder,
    Position,
    Source,
    Undecodable,
)
from tracker.gateway.ib_insync_compat import IB
from tracker.gateway.link import LinkOptions
from tracker.gateway.normalise import normalise
from tracker.gateway.requests import COMPLETED_ORDERS, EXECUTIONS, OPEN_ORDERS, POSITIONS

_WANTED: Final = {
    Message.OPEN_ORDER: OPEN_ORDERS,
    Message.POSITION: POSITIONS,
    Message.COMPLETED_ORDER: COMPLETED_ORDERS,
}
"""Message -> the request that it answers; outside of such an answer it is a push and not part of a list."""

Fact = TypeVar("Fact", bound=BrokerFact)


@dataclass(frozen=True, slots=True)
class BrokerSnapshot:
    """Hold the answers."""

    view: BrokerView
    orders: frozenset[int]
    """permIds of every order that any answer, or `ib.trades()`, named."""
    fills: int
    """Executions in the answers and in `ib.fills()`, each once."""
    refused: tuple[str, ...] = ()
    """Requests that the gateway's settings forbid; that is not a fault, and nothing is concluded from it."""


class SnapshotReader:
    """Collect the answers to one round of requests; `begin_answer` and `end_answer` enclose each of them."""

    def __init__(self, asked_at: datetime, options: LinkOptions, *, silent: bool = False) -> None:
        """Begin a round; `silent` says that the gateway did not answer the last request before."""
        self._asked_at = asked_at
        self._options = options
        self._silent = int(silent)
        """How many requests in a row were not answered."""
        self._kind = ""
        self._rows: dict[str, list[Fields]] = {POSITIONS: [], OPEN_ORDERS: [], COMPLETED_ORDERS: []}
        self._listed: list[Fields] = []
        self._live_between: list[Fields] = []
        self._ended: dict[str, bool] = {}
        self._refused: list[str] = []
        self._since: dict[str, datetime] = {}
        self._silent_accounts: list[str] = []

    @property
    def patience(self) -> float:
        """Return how many seconds to wait for the next answer; 0 where asking is no longer useful.

        After one answer that never ended the others are still requested, but with a shorter time limit.
        """
        full = self._options.request_timeout
        return (full, min(full, self._options.silent_timeout), 0.0)[min(self._silent, 2)]

    def begin_answer(self, kind: str) -> None:
        """Collect the answer to a request of this kind (see `requests.py`)."""
        self._kind = kind

    def end_answer(self, *, ended: bool, refused: bool = False) -> None:
        """End it; `refused` says that the gateway does not allow the request."""
        if refused:
            self._refused.append(self._kind)
        self._count_silence(answered=ended or refused)
        self._ended[self._kind] = ended
        self._kind = ""

    def end_sweep(self, account: str, since: datetime, *, ended: bool) -> None:
        """Add the result of one account's sweep; `since` is how far back it reaches."""
        self._count_silence(answered=ended)
        if ended:
            self._since[account] = since
        else:
            self._silent_accounts.append(account)

    def _count_silence(self, *, answered: bool) -> None:
        self._silent = 0 if answered else self._silent + 1

    def on_message(self, fields: Fields) -> None:
        """Process one message."""
        message = fields[0] if fields else ""
        if message == Message.EXECUTION:
            if field_at(fields, ExecutionAt.REQUEST) != PUSHED:
                self._listed.append(fields)
            elif self._kind == POSITIONS:
                self._live_between.append(fields)
        elif message in _WANTED and _WANTED[message] == self._kind:
            self._rows[self._kind].append(fields)

    def result(self, ib: IB, *, severed: bool) -> BrokerSnapshot:
        """Return what was collected, together with the trades and fills that ib_insync has gathered by
        itself.

        `severed`: the gateway had lost IBKR meanwhile and answered from what it knew before, so nothing
        counts as answered.
        """
        executions = list({each.key: each for each in self._facts(self._listed, Execution)}.values())
        positions = self._facts_of(POSITIONS, Position)
        open_orders = self._facts_of(OPEN_ORDERS, OpenOrder)
        completed = self._facts_of(COMPLETED_ORDERS, CompletedOrder)
        disturbed = {
            (each.account, each.contract.con_id) for each in self._facts(self._live_between, Execution)
        }
        for each in self._facts(self._rows[POSITIONS], Undecodable):
            account, _, con_id = each.contract.partition(" ")
            disturbed |= {(account, int(con_id))} if con_id else set()
        view = BrokerView(
            self._asked_at,
            None if positions is None else _last_of_each(positions),
            frozenset(disturbed),
            tuple(executions),
            dict(self._since),
            open_orders,
            completed,
            tuple(self._unanswered()),
        )
        if severed:
            view = BrokerView(self._asked_at, unanswered=("IBKR, which the gateway has lost",))
        known = {(fill.execution.acctNumber, fill.execution.execId) for fill in ib.fills()}
        orders = {
            *(trade.order.permId for trade in ib.trades()),
            *(execution.perm_id for execution in executions),
            *(order.perm_id for order in open_orders or ()),
            *(order.perm_id for order in completed or ()),
        }
        return BrokerSnapshot(
            view,
            frozenset(perm_id for perm_id in orders if perm_id > 0),
            len(known | {(each.account, each.exec_id) for each in executions}),
            tuple(_words(kind) for kind in self._refused),
        )

    def _unanswered(self) -> Iterator[str]:
        for kind in (POSITIONS, OPEN_ORDERS, COMPLETED_ORDERS):
            if not self._ended.get(kind) and kind not in self._refused:
                yield _words(kind)
        for account in self._silent_accounts:
            yield f"{EXECUTIONS} of {account}"

    def _facts_of(self, request: str, kind: type[Fact]) -> tuple[Fact, ...] | None:
        """Return the facts of an answer that ended; None where it did not, since a failed answer is not an
        empty one.
        """
        return tuple(self._facts(self._rows[request], kind)) if self._ended.get(request) else None

    def _facts(self, rows: Collection[Fields], kind: type[Fact]) -> Iterator[Fact]:
        for fields in rows:
            fact = normalise(Frame(0, self._asked_at, 0, Source.BROKER, fields), self._options.login_zone)
            # An unreadable message is in the journal, counted and shown; here it counts as not listed.
            if isinstance(fact, kind):
                yield fact


def _last_of_each(positions: Collection[Position]) -> tuple[Position, ...]:
    """Return the last row for each contract: a push during the answer comes after the row that it
    replaces.
    """
    return tuple({(row.account, row.contract.con_id): row for row in positions}.values())


def _words(kind: str) -> str:
    return kind.replace("_", " ")
