"""Sum the known fills of each order, and keep what the broker reports about it.

Owns totals, sizes, states and fees of orders. It changes no position: an orderStatus opens and closes
nothing, is not guaranteed and may be repeated. Like cumQty, it only shows that a fill was missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from tracker.core.alert_updates import order_shown
from tracker.core.corrections import Corrected, is_named_as
from tracker.core.model import (
    LIVE,
    ZERO,
    AlertId,
    CommissionReport,
    CompletedOrder,
    Execution,
    OpenOrder,
    OrderKey,
    OrderStatus,
    Source,
    Totals,
)
from tracker.core.state import ALERTS, EXECUTIONS, FEES, ORDERS, TOTALS, LedgerState
from tracker.core.state_rows import BookedExecution, OrderState, OrderTotals, broker_order_text

_NOTHING: Final = Totals()


class Orders:
    """Keep the orders of a state; `touched` receives the alerts that show a changed one."""

    def __init__(self, state: LedgerState, touched: Callable[[Iterable[AlertId]], None]) -> None:
        self._state = state
        self._touched = touched
        self._changed: dict[str, None] = {}
        """The values that alerts show of the orders that this batch changed, see `order_shown`."""
        self._told: dict[str, Decimal] = {}
        """Row key of totals -> the broker's filled quantity by this batch."""
        self._asked: dict[str, Decimal] = {}
        """Row key of totals -> the missing quantity for which a sweep was requested."""
        self._answer: set[str] | None = None
        """Row keys of the orders reported since all open orders were requested; None if none are awaited."""
        self._answers_owed = 0
        """How many requests for open orders of this connection are unanswered."""
        self._upstream = True
        """Whether the gateway is connected to IBKR, by its last notice."""
        self._began = False
        """Whether this process saw the connection begin, and so what it told and was asked since."""

    def settle(self) -> None:
        """End a batch: touch the alerts that show a changed order."""
        for shown in self._changed:
            self._touched(state.alert for state in self._state.find(ALERTS, "orders", shown))
        self._changed.clear()

    # Executions and fees

    def add(self, booked: BookedExecution) -> None:
        """Add a new execution to the sums of its order, and note how much the broker counts."""
        execution, order = booked.execution, booked.order
        row = self._state.get(TOTALS, order)
        totals = row.totals if row is not None else _NOTHING
        fee = self._state.get(FEES, execution.exec_id)
        self._state.put(TOTALS, OrderTotals(order, _added(totals, execution, fee)))
        # A fill need not touch every alert that shows its order: the sale of several alerts' positions.
        self._changed[order_shown(execution)] = None
        key = execution.order_key
        if key is None:
            return
        if execution.request_id == LIVE:
            self._works(key)
        if booked.source is Source.BROKER:
            self._compare(order, execution.cum_qty)

    def sum_again(self, booked: BookedExecution) -> None:
        """Sum the order of an execution again, after a correction or a changed fee."""
        rows = [row for row in self._state.find(EXECUTIONS, "orders", booked.order) if row.counted]
        rows.sort(key=lambda row: row.moment)
        before = self._state.get(TOTALS, booked.order)
        totals = Totals() if before is None else Totals(most=max(before.totals.most, before.totals.filled))
        for row in rows:
            totals = _added(totals, row.execution, self._state.get(FEES, row.execution.exec_id))
        self._state.put(TOTALS, OrderTotals(booked.order, totals))
        self._changed[order_shown(booked.execution)] = None

    def correct(self, corrected: Corrected) -> None:
        """Sum the orders of a correction again.

        What the broker counted until now counts what was in force before, so it is no evidence that a fill is
        missing.
        """
        was, booked = corrected.were[0].execution, corrected.now
        for row in corrected.were:
            if is_named_as(row, booked):
                self._take_fee(row, booked)
        if booked.counted:
            self.sum_again(booked)
        for row in corrected.of_other_orders:
            self.sum_again(row)
        change = booked.execution.quantity - was.quantity
        if not change:
            return
        if booked.order in self._told:
            self._told[booked.order] += change
        key = booked.execution.order_key
        order = self._state.get(ORDERS, broker_order_text(key)) if key is not None else None
        if order is not None:
            self._state.put(ORDERS, replace(order, broker_filled=None))

    def fee(self, fee: CommissionReport) -> list[BookedExecution]:
        """Keep a fee; return the executions whose order it changed."""
        before = self._state.get(FEES, fee.exec_id)
        # "Not known yet" takes nothing back that was known.
        if before is not None and (
            before == fee or (fee.commission is None and before.commission is not None)
        ):
            return []
        self._state.put(FEES, fee)
        rows = self._state.find(EXECUTIONS, "exec_id", fee.exec_id)
        for row in (each for each in rows if each.superseded_by):
            newer = self._state.get(EXECUTIONS, f"{row.execution.account} {row.superseded_by}")
            if newer is not None and is_named_as(row, newer) and self._take_fee(row, newer):
                self.sum_again(newer)
        changed = [row for row in rows if row.counted]
        for booked in changed:
            if before is None:
                self._add_fee(booked, fee)
            else:
                self.sum_again(booked)
        return changed

    def _take_fee(self, row: BookedExecution, named: BookedExecution) -> bool:
        """Take the fee of a trade without execId for the execution in its place until the broker tells that;
        return whether it was taken.
        """
        fee = self._state.get(FEES, row.execution.exec_id)
        if fee is None or self._state.get(FEES, named.execution.exec_id) is not None:
            return False
        self._state.put(FEES, replace(fee, exec_id=named.execution.exec_id))
        return True

    def _add_fee(self, booked: BookedExecution, fee: CommissionReport) -> None:
        """Add the first report of an execution that was summed without one."""
        order = booked.order
        row = self._state.get(TOTALS, order)
        assert row is not None, "a counted execution is in the sums of its order"
        self._state.put(TOTALS, OrderTotals(order, _with_fee(row.totals, fee)))
        self._changed[order_shown(booked.execution)] = None

    # What the broker reports of an order

    def status(self, status: OrderStatus) -> None:
        """Process an orderStatus: what works at the broker."""
        key = status.order_key
        if key is None:
            return
        self._heard(key)
        name = broker_order_text(key)
        before = self._state.get(ORDERS, name) or OrderState(key)
        size = _total_of(status, before.total)
        self._put(
            before,
            replace(
                before,
                total=size or before.total,
                status=status.status,
                broker_filled=status.filled,
                ended=False,
            ),
        )
        # A combo's filled counts combos, and an order of an FA group spans accounts.
        if before.account and before.con_id and not before.legs:
            self._compare(f"{before.account} {before.con_id} {name}", status.filled)

    def open_order(self, order: OpenOrder) -> None:
        """Process an openOrder: what an order asks for."""
        key = order.order_key
        if key is None:
            return
        self._heard(key)
        before = self._state.get(ORDERS, broker_order_text(key)) or OrderState(key)
        self._put(
            before,
            replace(
                before,
                account=order.account or before.account,
                con_id=order.contract.con_id,
                total=order.total or before.total,
                status=order.status or before.status,
                legs=order.legs or before.legs,
                ended=False,
            ),
        )

    def completed(self, order: CompletedOrder) -> None:
        """Process a completed order: its last status and what it filled, also if it was unknown until now."""
        key = order.order_key
        if key is None:
            return
        before = self._state.get(ORDERS, broker_order_text(key)) or OrderState(key)
        account, con_id = order.account or before.account, order.con_id or before.con_id
        legs = order.legs or before.legs
        self._put(
            before,
            OrderState(
                key,
                account,
                con_id,
                order.total or before.total,
                order.status,
                order.filled or before.broker_filled,
                legs,
                completed=True,
                listed=order.filled or None if order.status == "Filled" else None,
            ),
        )
        # A combo's filled counts combos, and an order of an FA group spans accounts.
        if account and con_id and not legs:
            self._compare(f"{account} {con_id} {broker_order_text(key)}", order.filled)

    # Which orders work

    def open_orders_asked(self) -> None:
        """Begin to gather the answer about all open orders."""
        self._answer = set() if self._upstream and self._began else None
        self._answers_owed += 1

    def open_orders_ended(self) -> None:
        """Treat the orders that a complete answer lacks as ended: nothing of them works any more.

        An End may be that of an earlier request that timed out; then the answer proves nothing.
        """
        heard, owed = self._answer, self._answers_owed
        self._answer, self._answers_owed = None, max(0, owed - 1)
        if heard is None or owed != 1:
            return
        for order in self._state.find(ORDERS, "working", "1"):
            if broker_order_text(order.key) not in heard:
                self._put(order, replace(order, ended=True))

    def open_orders_failed(self) -> None:
        """Continue without an answer that timed out; its End may still come, and is not the next one's."""
        self._answer = None

    def upstream(self, *, connected: bool) -> None:
        """Trust no answer about open orders that was requested or given while the gateway had lost IBKR."""
        self._upstream = connected
        self._answer = None

    def new_link(self) -> None:
        """Forget the old connection's unanswered requests."""
        self._upstream = self._began = True
        self._answer = None
        self._answers_owed = 0

    def _heard(self, key: OrderKey) -> None:
        if self._answer is not None:
            self._answer.add(broker_order_text(key))

    def _works(self, key: OrderKey) -> None:
        """Treat a live execution as newer than the answer that lacked its order."""
        self._heard(key)
        order = self._state.get(ORDERS, broker_order_text(key))
        if order is not None and order.ended:
            self._put(order, replace(order, ended=False))

    def take_shortfalls(self) -> list[str]:
        """Return, once each, why fills must be missing, so that a sweep is due.

        Called at the end of a batch, since an orderStatus often comes just before its execution. A shortfall
        that stays the same is reported once: what was filled before today cannot be swept.
        """
        reasons: list[str] = []
        for order, told in self._told.items():
            row = self._state.get(TOTALS, order)
            have = row.totals.filled if row is not None else ZERO
            if told <= have:
                self._asked.pop(order, None)
            elif self._asked.get(order) != told - have:
                self._asked[order] = told - have
                reasons.append(_shortfall(order, told, have))
        self._told.clear()
        return reasons

    def _compare(self, order: str, filled: Decimal | None) -> None:
        if filled is not None:
            self._told[order] = max(filled, self._told.get(order, ZERO))

    def _put(self, before: OrderState, after: OrderState) -> None:
        if after != before:
            self._state.put(ORDERS, after)
            self._changed[broker_order_text(after.key)] = None


def _shortfall(order: str, told: Decimal, have: Decimal) -> str:
    """Return a sentence on the difference between the broker's count of an order's fills and ours."""
    _, con_id, key = order.rsplit(" ", 2)
    return f"order {key.partition('/')[0]} (conid {con_id}): {told} filled, {have} known here"


def _added(totals: Totals, execution: Execution, fee: CommissionReport | None) -> Totals:
    """Add an execution and its fee, if known, to the sums of its order."""
    without = Totals(
        totals.filled + execution.quantity,
        totals.cost + execution.quantity * execution.price,
        execution.price,
        totals.commission,
        totals.realized_pnl,
        totals.fees_pending + 1,
        most=totals.most,
    )
    return without if fee is None else _with_fee(without, fee)


def _with_fee(totals: Totals, fee: CommissionReport) -> Totals:
    """Add the fee of an execution whose fee was pending."""
    commission, realized, pending = totals.commission, totals.realized_pnl, totals.fees_pending
    if fee.commission is not None:
        commission = (commission or ZERO) + fee.commission
        pending -= 1
    if fee.realized_pnl is not None:
        realized = (realized or ZERO) + fee.realized_pnl
    return Totals(
        totals.filled,
        totals.cost,
        totals.last_price,
        commission,
        realized,
        pending,
        totals.most,
    )


def _total_of(status: OrderStatus, known: Decimal | None) -> Decimal | None:
    """Return an order's size; an inactive order reports an unreliable remaining quantity.

    So does a cancelled one, but what it reports beyond the known size was ordered since.
    """
    if status.filled is None or status.remaining is None:
        return None
    whole = status.filled + status.remaining
    if status.status in ("PreSubmitted", "Submitted", "Filled"):
        return whole or None
    larger = known is not None and whole > known
    return whole if larger and status.status in ("Cancelled", "ApiCancelled") else None
