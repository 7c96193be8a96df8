"""The rows of state about the broker's answers on positions.

Owns the last certain answers about each account, and what they listed for contracts that were never traded.
Rows are frozen, like those of `state_rows`; they decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct, field

from tracker.core.model import Moment


class PositionAnswer(Struct, frozen=True):
    """Hold what an answer lists for one account."""

    asked: Moment
    ended: Moment
    rows: Mapping[str, Decimal] = field(default_factory=dict)
    """ContractKey text -> quantity, zeros included."""
    disturbed: tuple[str, ...] = ()

    def confirms(self, contract: str) -> bool:
        return contract not in self.disturbed


class ListedChange(Struct, frozen=True):
    """Hold the quantity listed for a contract before an answer that lists another one."""

    contract: str
    """As `ContractKey.text`."""
    before: Decimal
    asked: Moment
    """When the answer with the other quantity was requested."""


class CertainAnswers(Struct, frozen=True):
    """Hold an account's last certain answer, and the last one after which a complete sweep was requested.

    `between` are the last different answers between `earlier` and the newest, oldest first.
    """

    account: str
    newest: PositionAnswer | None = None
    swept: PositionAnswer | None = None
    between: tuple[PositionAnswer, ...] = ()
    news: dict[str, Decimal] = {}
    """ContractKey text -> the quantity that sweeps brought since the last answer requested after a sweep."""
    began: Moment | None = None
    """When the first certain answer was requested; None in a journal of an older version."""
    changes: tuple[ListedChange, ...] = ()
    """The last changes of contracts that were never traded, oldest first."""
    guess: PositionAnswer | None = None
    """The last answer that listed something of the account and was not certain."""
    earlier: PositionAnswer | None = None
    """The previous `swept`: what the last complete sweep brought was executed after this answer."""
    unread: tuple[PositionAnswer, ...] = ()
    """The last answers before pushes of executions that could not be read: what was held before those."""

    @property
    def all(self) -> list[PositionAnswer]:
        """Return the answers, newest first."""
        known = (*self.unread, self.earlier, self.swept, *self.between, self.newest)
        answers = {one.ended.seq: one for one in known if one is not None}
        return [answers[ended] for ended in sorted(answers, reverse=True)]
