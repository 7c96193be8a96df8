"""The rows of state about the broker's answers on positions.

Owns the last certain answers about each account, and what they listed for contracts that were never traded.
Rows are frozen, as those of `state_rows`; they decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct, field

from tracker.core.model import Moment


class PositionAnswer(Struct, frozen=True):
    """Hold what a certain answer says of one account."""

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
    """When the answer with the other quantity was asked for."""


class CertainAnswers(Struct, frozen=True):
    """Hold an account's last certain answer, and the last one behind which a complete sweep was asked.

    `between` are the last of those between the two that say something else each, oldest first.
    """

    account: str
    newest: PositionAnswer | None = None
    swept: PositionAnswer | None = None
    between: tuple[PositionAnswer, ...] = ()
    news: dict[str, Decimal] = {}
    """What sweeps brought of each contract since the last answer that was asked for behind one."""
    began: Moment | None = None
    """When the first certain answer was asked for; None in a journal from before this was kept."""
    changes: tuple[ListedChange, ...] = ()
    """The last of contracts that were never traded, oldest first."""
    guess: PositionAnswer | None = None
    """The last answer that listed something of it and was not certain."""

    @property
    def all(self) -> list[PositionAnswer]:
        """Return the answers, newest first."""
        known = (self.swept, *self.between, self.newest)
        return list({one.ended.seq: one for one in known if one is not None}.values())[::-1]
