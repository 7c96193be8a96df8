"""Gather the fills that the first sweep of a start brings, and log one line for each contract.

Owns which fills count as past ones, and when the sweep has ended. A day may have thousands of fills; each is
in the journal, and `tracker fills` lists them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tracker.core.alert_updates import EventKind, TrackerEvent, number
from tracker.core.model import LIVE, ZERO, Execution, Side
from tracker.core.state_rows import BookedExecution
from tracker.progress import Progress
from tracker.queries.as_json import contract_words
from tracker.terminal import counted

_LOOK_SECONDS: Final = 0.25


@dataclass(slots=True)
class _Sums:
    """Sum up the past fills of one contract in one account."""

    example: Execution
    fills: int = 0
    bought: Decimal = ZERO
    sold: Decimal = ZERO
    paid: Decimal = ZERO
    got: Decimal = ZERO
    fees: Decimal = ZERO

    def in_words(self) -> str:
        sides = (("bought", self.bought, self.paid), ("sold", self.sold, self.got))
        traded = ", ".join(
            f"{number(quantity)} {verb} at {float(cost / quantity):.8g}"
            for verb, quantity, cost in sides
            if quantity
        )
        fees = f"; fees {number(self.fees)}" if self.fees else ""
        contract = contract_words(self.example.contract)
        return f"{counted(self.fills, 'fill')} of {contract} in {self.example.account}: {traded}{fees}"


class FirstSweep:
    """Gather for one daemon; `say` writes a line into the log."""

    def __init__(self, progress: Progress, say: Callable[[str], None]) -> None:
        self._progress = progress
        self._say = say
        self._sums: dict[tuple[str, int], _Sums] = {}
        self._fills = 0
        self._over = False

    def gathers(self, event: TrackerEvent) -> bool:
        """Gather an event about a past fill, to be logged with the others of its contract; False for any
        other event.
        """
        booked = event.about
        if self._over or not isinstance(booked, BookedExecution) or booked.execution.request_id == LIVE:
            return False
        execution = booked.execution
        key = (execution.account, execution.contract.con_id)
        if event.kind is EventKind.FILL:
            sums = self._sums.setdefault(key, _Sums(execution))
            self._fills += 1
            sums.fills += 1
            cost = execution.quantity * execution.price
            if execution.side is Side.BUY:
                sums.bought += execution.quantity
                sums.paid += cost
            else:
                sums.sold += execution.quantity
                sums.got += cost
            self._progress.at("first sweep", self._fills, None, "fill")
            return True
        if event.kind is EventKind.FEE and event.fee is not None and key in self._sums:
            self._sums[key].fees += event.fee.commission or ZERO
            return True
        return False

    async def run(self, is_over: Callable[[], bool], login: Callable[[], str]) -> None:
        """Log what the first sweep brought, once it was answered and decided; never returns."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if not self._over and is_over():
                self.close(login())

    def close(self, login: str = "") -> None:
        """Log what was gathered; later fills are logged one by one."""
        if self._over:
            return
        self._over = True
        self._progress.over()
        for line in self._lines():
            self._say(line)
        if login:
            brought = f"{counted(self._fills, 'fill')} of {counted(len(self._sums), 'contract')}"
            found = f"{brought} from before the start" if self._fills else "no fill from before the start"
            self._say(f"first sweep: {found}, {login}; later fills are logged one by one")
        self._sums.clear()

    def _lines(self) -> Iterator[str]:
        for sums in self._sums.values():
            yield f"first sweep: {sums.in_words()}"
