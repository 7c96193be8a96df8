"""A stock that an alert holds, and what the broker answers about positions since."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from msgspec.structs import replace

from tests.support.facts import ACCOUNT, NVDA, START, Decide, Story, exec_id, execution, position
from tracker.core.adjustment_rows import Adjustment
from tracker.core.model import Position
from tracker.core.state import ADJUSTMENTS, DIFFERENCES

STOCK = replace(NVDA, sec_type="STK", expiry=None, strike=None, right="")
KEY = f"{ACCOUNT} {NVDA.con_id}"


class Held(Story):
    """Hold some of a stock for an alert, with the answers about positions a minute and a half apart."""

    def __init__(self, quantity: int = 10, decide: Decide | None = None, *, before: int = 0) -> None:
        """Buy so many; `before` were held already."""
        super().__init__(decide)
        self.number = 100
        if before:
            self.snapshot(position(before, contract=STOCK))
        self.trade(quantity)
        self.answer(before + quantity)

    def trade(self, signed: int, *, ago: float = 0) -> None:
        """Have an order of its own filled; one that lies back is reported by a sweep."""
        self.number += 1
        at = (self.now - START).total_seconds() - ago
        fill = execution(exec_id(self.number), signed, at=int(at), contract=STOCK, perm_id=self.number)
        if ago:
            self.sweep(replace(fill, request_id=self.number), request=self.number)
        else:
            self.tell(fill)

    def answer(self, quantity: int, *, after: float = 90) -> None:
        """Let time pass, sweep, and have a certain answer list so many."""
        self.answer_with(position(quantity, contract=STOCK), after=after)

    def answer_with(self, *positions: Position, after: float = 90) -> None:
        """Let time pass, sweep, and have a certain answer list these."""
        self.now += timedelta(seconds=after)
        self.number += 1
        self.sweep(request=self.number)
        self.snapshot(*positions)

    def waiting(self) -> list[Decimal]:
        """Return the difference that is not settled yet, if there is one."""
        return [row.amount for row in self.state.find(DIFFERENCES, "open", "1")]

    @property
    def adjustments(self) -> list[Adjustment]:
        return self.state.find(ADJUSTMENTS, "contract", KEY)
