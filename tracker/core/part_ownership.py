"""Assign parts of fills to alerts by a person's decision, and take them back.

Owns the choice of the fills that a quantity is taken from, and the parts noted with each fill. `lot_parts`
divides the lots. The rest of a fill stays with its order, which is not matched again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from msgspec.structs import replace

from tracker.core.decision_log import DecisionLog, Ruling
from tracker.core.lot_parts import fill_name
from tracker.core.model import ZERO, AlertId, Execution, Frame, Rule
from tracker.core.order_owners import PERSON, OrderOwnership
from tracker.core.ownership_rows import OrderOwners, OwnershipKind
from tracker.core.packed_lots import of_order
from tracker.core.part_rows import FillPart
from tracker.core.state import EXECUTIONS, OWNERS, LedgerState
from tracker.core.state_rows import BookedExecution, Holding


def left_of_fills(holding: Holding | None, order: str) -> dict[str, Decimal]:
    """Return execId -> the quantity left of each fill of an order that is in no part, the oldest first."""
    left: dict[str, Decimal] = {}
    for lot in of_order(holding.lots, order) if holding is not None else ():
        if lot.part is None:
            left[lot.exec_id] = left.get(lot.exec_id, ZERO) + abs(lot.quantity)
    return left


class PartOwnership:
    """Decide about parts of fills for one ledger's state.

    `remember` keeps the record of an alert that gets a part; `needs_person` receives each fill that needs a
    person again.
    """

    def __init__(
        self,
        state: LedgerState,
        orders: OrderOwnership,
        log: DecisionLog,
        remember: Callable[[Execution, AlertId], None],
        needs_person: Callable[[BookedExecution], None],
    ) -> None:
        self._state = state
        self._orders = orders
        self._log = log
        self._remember = remember
        self._needs_person = needs_person

    def assign(
        self,
        frame: Frame,
        booked: BookedExecution,
        held: Holding | None,
        given: FillPart,
        skew: timedelta,
        *,
        whole: bool,
    ) -> bool:
        """Give a part of a fill, or of what its whole order filled, to an alert; False if nothing is left.

        `held` is the holding with all booked executions.
        """
        order = self._orders.of(booked)
        taken: dict[str, Decimal] = {}
        left = given.quantity
        for exec_id, quantity in left_of_fills(held, order.order).items():
            if left and (whole or exec_id == booked.execution.exec_id):
                taken[exec_id] = min(left, quantity)
                left -= taken[exec_id]
        if not taken:
            return False
        self._remember(booked.execution, given.alert)
        self._state.put(OWNERS, replace(order, settled=PERSON))
        for exec_id, quantity in taken.items():
            row = self._state.get(EXECUTIONS, f"{booked.execution.account} {exec_id}")
            assert row is not None, "a lot names an execution of the state"
            part = replace(given, quantity=quantity)
            self._state.put(EXECUTIONS, replace(row, parts=(*row.parts, part)))
            self._log.make(frame, _ruling(order, part, exec_id), skew)
        return True

    def undo(self, frame: Frame, booked: BookedExecution, seq: int, skew: timedelta) -> bool:
        """Take back the parts of an order that were given with a frame; False if there are none."""
        order = self._orders.of(booked)
        divided = [row for row in self._orders.rows(booked) if any(part.seq == seq for part in row.parts)]
        if not divided:
            return False
        for row in divided:
            parts = tuple(part for part in row.parts if part.seq != seq)
            self._state.put(EXECUTIONS, replace(row, parts=parts))
        ruling = Ruling(order.contract, OwnershipKind.REJOINED, (), order.order, undone=seq)
        self._log.make(frame, ruling, skew)
        for row in divided:
            self._needs_person(row)
        return True


def _ruling(order: OrderOwners, part: FillPart, exec_id: str) -> Ruling:
    return Ruling(
        order.contract,
        OwnershipKind.PART,
        [(part.alert, Rule.PERSON)],
        order.order,
        fill=fill_name(exec_id),
        quantity=part.quantity,
    )
