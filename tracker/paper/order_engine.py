"""The order engine: placing, filling, correcting and cancelling orders.

Owns each change of the book together with the messages pushed for it, and the policy by which orders of
clients fill by themselves. It parses no request and reads no socket.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_CEILING, Decimal
from typing import Final

from tracker.paper import activity_text, triggers
from tracker.paper.broadcast import Broadcaster
from tracker.paper.contracts import PaperContract, made_up_leg_prices
from tracker.paper.model import Fee, PaperExecution, PaperOrder, PaperPosition, Status

MOST_PARTIALS: Final = 1000


@dataclass(frozen=True, slots=True)
class FillPolicy:
    """Hold how orders of clients fill; those of the Python API or a scenario fill only on command."""

    latency_seconds: float = 0.05
    """How long a limit order rests before its first piece fills, and between pieces."""
    partials: int = 2
    """In how many pieces a limit order fills."""
    rest: bool = False
    """Leave limit orders resting until something fills them."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.latency_seconds) and self.latency_seconds >= 0):
            raise ValueError(f"latency must be 0 or more seconds, not {self.latency_seconds}")
        if not 1 <= self.partials <= MOST_PARTIALS:
            raise ValueError(f"partials must be 1 to {MOST_PARTIALS}, not {self.partials}")


@dataclass(frozen=True, slots=True)
class Audience:
    """Hold which clients a change is pushed to."""

    push: bool = True
    """False: to none, as if the messages were lost; answers to requests still contain the change."""
    to: Collection[int] | None = None
    """Only these client ids."""


EVERYBODY: Final = Audience()


class OrderEngine:
    """Change the book and push the change."""

    def __init__(self, broadcast: Broadcaster, policy: FillPolicy) -> None:
        self.broadcast = broadcast
        self.book = broadcast.book
        self.policy = policy
        self._waiting_for_executions: dict[int, PaperOrder] = {}
        """permId -> order with a condition about executions, so that a fill looks at these alone."""
        self._filling: set[tuple[int, int]] = set()
        """(permId, modifications) of the orders whose next piece is under way."""

    def today(self) -> date:
        """Return the day in the login's zone."""
        return self.broadcast.now().astimezone(self.book.zone).date()

    def place(self, order: PaperOrder, audience: Audience = EVERYBODY) -> PaperOrder:
        """Place an order; ValueError for one that no broker accepts."""
        self.book.roll(self.broadcast.now())
        self.book.add_order(order)
        if order.manual and any(connection.binds for connection in self.broadcast.ready((0,))):
            self.broadcast.bind(order)
        if audience.push:
            self.broadcast.push_order(order, audience.to)
        return order

    def change(self, order: PaperOrder, quantity: Decimal | None, limit: Decimal | None) -> None:
        """Change an order's size or limit; ValueError for a size that is filled already."""
        if quantity is not None:
            if quantity <= order.filled:
                raise ValueError(
                    f"order {order.perm_id} cannot shrink to {quantity}: {order.filled} is filled"
                )
            order.quantity = quantity
        if limit is not None:
            order.limit = limit
        order.modifications += 1
        self.broadcast.push_order(order)
        self._announce(order, f"is now {activity_text.order_text(order)}")

    def fill(
        self,
        order: PaperOrder,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        *,
        audience: Audience = EVERYBODY,
        charge: bool = True,
        commission: Decimal | None = None,
        exec_id: str | None = None,
        time: datetime | None = None,
        time_text: str | None = None,
        leg_prices: Sequence[Decimal] | None = None,
    ) -> PaperExecution:
        """Fill what is left of an order, or part of it; a combo also executes its legs, which bear fees."""
        amount = order.remaining if quantity is None else quantity
        paid = self.price_of(order) if price is None else price
        moment = self.broadcast.now() if time is None else time
        executions = [self.book.fill(order, amount, paid, moment, exec_id, time_text)]
        if order.contract.legs:
            prices = made_up_leg_prices(order.contract, paid) if leg_prices is None else leg_prices
            executions += self.book.fill_legs(order, executions[0], prices)
        self._announce(order, activity_text.fill_text(order, amount, paid))
        if audience.push:
            self.broadcast.push_fill(order, executions, audience.to)
            self._push_positions(executions)
        if charge:
            for execution in executions[1:] or executions:
                self._charge(execution, commission, audience)
        self._settle_relatives(order)
        self._settle_group(order, amount)
        self._work_all(self._waiting_for_executions)
        return executions[0]

    def execute(
        self, execution: PaperExecution, *, audience: Audience, charge: bool, commission: Decimal | None
    ) -> PaperExecution:
        """Add an execution of an order that is shown to no client."""
        self.book.record(execution)
        if audience.push:
            self.broadcast.push_executions([execution], audience.to)
            self._push_positions([execution])
        if charge:
            self._charge(execution, commission, audience)
        return execution

    def correct(
        self, execution: PaperExecution, quantity: Decimal, price: Decimal, audience: Audience = EVERYBODY
    ) -> PaperExecution:
        """Correct an execution by the next version of its execId."""
        corrected = self.book.correct(execution, quantity, price)
        if audience.push:
            self.broadcast.push_executions([corrected], audience.to)
            self._push_positions([corrected])
        return corrected

    def charge(
        self,
        execution: PaperExecution,
        commission: Decimal | None = None,
        realized: Decimal | None = None,
        audience: Audience = EVERYBODY,
    ) -> Fee:
        """Set an execution's fee, the usual one unless given, and report it."""
        fee = self.book.charge(execution, commission, realized)
        if audience.push:
            self.broadcast.push_fee(execution, fee, audience.to)
        return fee

    def cancel(
        self, order: PaperOrder, audience: Audience = EVERYBODY, reason: str = "Cancelled by Trader"
    ) -> None:
        """Cancel what is left of an order and its children; their owner also gets 202."""
        if order.done:
            raise ValueError(f"order {order.perm_id} cannot be cancelled, it is {order.status}")
        self.book.finish(order, Status.CANCELLED, self.broadcast.now(), reason)
        self._announce(order, activity_text.end_text(order))
        if audience.push:
            self.broadcast.push_cancelled(order, audience.to)
        for child in self._children(order):
            self.cancel(child, audience, reason)

    def set_position(
        self, account: str, contract: PaperContract, quantity: Decimal, cost: Decimal, *, push: bool
    ) -> PaperPosition:
        """Set what an account holds, without any execution."""
        held = self.book.set_position(account, contract, quantity, cost, self.broadcast.now())
        self.push_positions([held] if push else [])
        return held

    def push_positions(self, changed: Sequence[PaperPosition]) -> None:
        """Push positions that an event other than an execution changed."""
        for held in changed:
            self.broadcast.push_position(held.account, held.contract.con_id)

    # Orders of clients fill by themselves.

    def accept(self, order: PaperOrder) -> None:
        """Place a client's order, which fills by itself from now on; ValueError as `place`."""
        order.follows_market = True
        order.status = self._status_at_rest(order)
        self.place(order)
        self._announce(order, activity_text.order_text(order))
        self.wake_in_time(order)

    def wake_in_time(self, order: PaperOrder) -> None:
        """Check an order again at each time that it names, and after executions if it waits for one."""
        if any(fields[0] == triggers.EXECUTION for fields in order.conditions):
            self._waiting_for_executions[order.perm_id] = order
        now = self.broadcast.now()
        for moment in triggers.times_of(order, self.book.zone):
            self.broadcast.call_later(max((moment - now).total_seconds(), 0), lambda: self.work(order))

    def pause(self) -> None:
        """Cancel what was to happen later, since the gateway stops."""
        self.broadcast.cancel_timers()
        self._filling.clear()

    def resume(self) -> None:
        """Continue clients' orders, since the gateway starts again."""
        for order in self.book.open_orders():
            if order.follows_market:
                self.wake_in_time(order)
                self.work(order)

    def set_price(self, contract: PaperContract, price: Decimal) -> None:
        """Set an instrument's price, and fill or trigger each order that follows it."""
        self.book.prices[contract.con_id] = price
        for held in self.book.positions.values():
            if held.contract.con_id == contract.con_id:
                held.last_price = price
        con_id = contract.con_id
        concerned = (
            order for order in self.book.open_orders() if order.conditions or order.contract.con_id == con_id
        )
        self._work_all({order.perm_id: order for order in concerned})

    def work(self, order: PaperOrder) -> None:
        """Let a client's order start to fill, unless something keeps it waiting."""
        if order.done or order.held or not order.follows_market:
            return
        end = triggers.ends_at(order, self.book.zone)
        if end is not None and self.broadcast.now() >= end:
            self.cancel(order)
            return
        price = self.book.prices.get(order.contract.con_id)
        if not self._may_start(order) or not triggers.is_touched(order, price):
            return
        if not order.triggered and order.order_type in triggers.STOPS | triggers.TOUCHES:
            order.triggered = True
            order.limit = triggers.limit_of(order)
        elif not order.triggered and order.order_type not in triggers.UNTRIGGERED:
            return
        if order.status == Status.PRE_SUBMITTED and (order.triggered or order.order_type == "LMT"):
            order.status = Status.SUBMITTED
            self.broadcast.push_order(order)
        self._trade(order, price)

    def release(self, order: PaperOrder) -> None:
        """Let an order that was held start to fill."""
        if order.held and not order.done:
            order.held = False
            order.status = self._status_at_rest(order)
            self.broadcast.push_order(order)
            self.work(order)

    def _status_at_rest(self, order: PaperOrder) -> Status:
        works = order.order_type == "LMT" and not order.held and self._may_start(order)
        return Status.SUBMITTED if works else Status.PRE_SUBMITTED

    def _may_start(self, order: PaperOrder) -> bool:
        """Return whether the order's time has come and its conditions hold; cancel it where they say so."""
        start = triggers.starts_at(order, self.book.zone)
        if start is not None and self.broadcast.now() < start:
            return False
        if not order.conditions:
            return True
        now, zone = self.broadcast.now(), self.book.zone
        met = triggers.conditions_met(order, self.book.prices, self.book.today(now), now, zone)
        if order.terms.get("conditions_cancel") == "1":
            if met and order.perm_id and not order.done:
                self.cancel(order)
            return not met
        return met

    def _trade(self, order: PaperOrder, price: Decimal | None) -> None:
        """Fill an order that works: a market order whole, a limit order by the policy or at the price."""
        limit = order.limit if order.order_type in triggers.LIMITED else None
        marketable = triggers.is_marketable(order, limit, price)
        if marketable is None:
            # Without a price a limit order fills by the policy, but no take-profit does.
            marketable = limit is None or not (self.policy.rest or order.parent_id)
        if order.tif in ("FOK", "IOC"):
            self._fill_or_end(order, price, marketable)
        elif marketable and limit is None:
            self.fill(order, None, price)
        elif marketable and (order.perm_id, order.modifications) not in self._filling:
            self._piece_later(order, self.policy.partials, order.modifications)

    def _fill_or_end(self, order: PaperOrder, price: Decimal | None, marketable: bool) -> None:
        """Fill a fill-or-kill order whole or end it; of an immediate-or-cancel one the first piece fills."""
        whole = order.tif == "FOK" or order.limit is None
        if marketable:
            self.fill(order, piece_of(order.remaining, 1 if whole else self.policy.partials), price)
        if order.done:
            return
        if whole and order.tif == "FOK":
            self.book.finish(order, Status.INACTIVE, self.broadcast.now(), "Fill or kill: not filled")
            self._announce(order, activity_text.end_text(order))
            self.broadcast.push_order(order)
        else:
            order.status = Status.PENDING_CANCEL
            self.broadcast.push_status(order)
            self.cancel(order)

    def _work_all(self, orders: dict[int, PaperOrder]) -> None:
        for order in tuple(orders.values()):
            if order.done:
                orders.pop(order.perm_id, None)
            else:
                self.work(order)

    def price_of(self, order: PaperOrder) -> Decimal:
        """Return the price at which an order fills: its limit, else the last known, else a made-up one."""
        if order.limit is not None:
            return order.limit
        held = self.book.positions.get((order.account, order.contract.con_id))
        if held is not None and held.last_price > 0:
            return held.last_price
        return _made_up_price(order.contract)

    def _piece_later(self, order: PaperOrder, pieces: int, modifications: int) -> None:
        def fill_piece() -> None:
            self._filling.discard((order.perm_id, modifications))
            price = self.book.prices.get(order.contract.con_id)
            # A change of the order starts its filling again, with timers of its own; prices may have moved.
            if order.done or order.modifications != modifications:
                return
            if triggers.is_marketable(order, order.limit, price) is False:
                return
            self.fill(order, piece_of(order.remaining, pieces), price)
            if not order.done:
                self._piece_later(order, max(pieces - 1, 1), modifications)

        self._filling.add((order.perm_id, modifications))
        self.broadcast.call_later(self.policy.latency_seconds, fill_piece)

    def _children(self, order: PaperOrder) -> list[PaperOrder]:
        if not order.parent_of_others:
            return []
        return [
            child
            for child in self.book.open_orders_of(order.client_id)
            if child.parent_id == order.order_id and child.order_id != order.order_id
        ]

    def _settle_relatives(self, order: PaperOrder) -> None:
        if order.remaining:
            return
        for child in self._children(order):
            self.release(child)
        parent = self.book.find_order(order.client_id, order.parent_id) if order.parent_id else None
        if parent is not None:
            # The children of one order cancel each other, as in a bracket.
            for sibling in self._children(parent):
                self.cancel(sibling)

    def _settle_group(self, order: PaperOrder, filled: Decimal) -> None:
        """Cancel the other orders of a one-cancels-all group (type 1), or reduce them by what filled."""
        group = order.terms.get("oca_group", "")
        if not group:
            return
        for other in self.book.open_orders():
            same = other.terms.get("oca_group") == group and other.account == order.account
            if not same or other is order or other.done:
                continue
            if order.terms.get("oca_type", "3") == "1" or other.remaining <= filled:
                self.cancel(other)
            else:
                self.change(other, other.quantity - filled, None)

    def _announce(self, order: PaperOrder, text: str) -> None:
        """Announce what becomes of a client's order; whoever makes others announces them."""
        if order.follows_market:
            self.broadcast.tell(f"client {order.client_id}, order {order.order_id}: {text}")

    def _charge(self, execution: PaperExecution, commission: Decimal | None, audience: Audience) -> None:
        seconds = self.broadcast.faults.late_fee_seconds
        if seconds > 0 and audience.push:
            self.broadcast.call_later(seconds, lambda: self._charge_now(execution, commission, audience))
        else:
            self._charge_now(execution, commission, audience)

    def _charge_now(self, execution: PaperExecution, commission: Decimal | None, audience: Audience) -> None:
        self.charge(execution, commission, None, audience)

    def _push_positions(self, executions: Sequence[PaperExecution]) -> None:
        for execution in executions:
            if execution.contract.sec_type != "BAG":
                self.broadcast.push_position(execution.account, execution.contract.con_id)


def piece_of(remaining: Decimal, pieces: int) -> Decimal:
    """Return the size of the next of so many pieces, whole where what remains is whole."""
    if pieces <= 1:
        return remaining
    piece = remaining / pieces
    if remaining == remaining.to_integral_value():
        return piece.to_integral_value(ROUND_CEILING)
    return min(piece.quantize(Decimal("0.0001"), ROUND_CEILING), remaining)


def _made_up_price(contract: PaperContract) -> Decimal:
    """Return a price for an instrument that nobody traded yet; it is always the same."""
    cents = zlib.crc32(str(contract.con_id).encode()) % 10_000
    base = Decimal(50) if contract.sec_type == "STK" else Decimal(1)
    scale = Decimal("0.01") if contract.sec_type == "STK" else Decimal("0.001")
    return (base + cents * scale).quantize(Decimal("0.01"))
