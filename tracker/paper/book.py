"""The paper broker's state, and the only place where it changes.

Owns the orders, executions and positions that every answer is made from, and their ids, which follow from one
seed. It never reads a clock (the time is passed in), never touches a socket and writes no message. An order
takes a bounded amount of memory. Executions and finished orders of an earlier day are dropped, as the real
gateway drops them at midnight.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

from tracker.paper import formats
from tracker.paper.contracts import PaperContract, PaperLeg, bag, future, numbered, option, stock
from tracker.paper.model import ZERO, Adjustment, Fee, PaperExecution, PaperOrder, PaperPosition, Status

__all__ = [
    "Book", "Fee", "PaperContract", "PaperExecution", "PaperLeg", "PaperOrder", "PaperPosition", "Status",
    "bag", "future", "numbered", "option", "stock",
]  # fmt: skip


class Book:
    """Hold the state of the paper broker."""

    def __init__(self, accounts: Sequence[str], seed: int, zone: ZoneInfo) -> None:
        if not accounts:
            raise ValueError("a paper gateway needs at least one account")
        self.accounts = tuple(accounts)
        self.zone = zone
        self.orders: dict[int, PaperOrder] = {}
        """permId -> order, oldest first."""
        self.executions: dict[str, PaperExecution] = {}
        """execId -> execution of today, oldest first; a corrected one stays."""
        self.fees: dict[str, Fee] = {}
        self.positions: dict[tuple[str, int], PaperPosition] = {}
        self.adjustments: list[Adjustment] = []
        """Today's changes of positions that no execution caused, oldest first."""
        self.prices: dict[int, Decimal] = {}
        """conId -> the price that a scenario or a command set; orders in it follow that price."""
        self.contracts: dict[int, PaperContract] = {}
        self.cash: dict[str, Decimal] = dict.fromkeys(self.accounts, Decimal(1_000_000))
        self._by_id: dict[tuple[int, int], int] = {}
        self._open: dict[int, PaperOrder] = {}
        self._next_id: dict[int, int] = {}
        self._realized: dict[str, Decimal] = {}
        """execId -> what it realized before its fee, only where it closed something."""
        self._day: date | None = None
        random_numbers = random.Random(seed)
        self._perm_id = random_numbers.randrange(400_000_000, 1_900_000_000)
        self._exec_prefix = f"{random_numbers.randrange(0x8000, 0xFFFFF):08x}"
        self._exec_counter = random_numbers.randrange(0x60000000, 0x6FFFFFFF)
        self._bound_id = 0

    # Ids.

    def next_order_id(self, client_id: int) -> int:
        """Return the lowest number this client has not used."""
        return self._next_id.get(client_id, 1)

    def restart_order_ids(self) -> None:
        """Forget the order numbers used, so that they are used again, as after some Gateway restarts."""
        self._next_id.clear()

    def next_perm_id(self) -> int:
        """Return an account-wide number for an order."""
        self._perm_id += 1 + self._perm_id % 7
        return self._perm_id

    def next_exec_root(self) -> str:
        """Return the two hex groups that a new execution's id begins with."""
        self._exec_counter += 1
        return f"{self._exec_prefix}.{self._exec_counter:08x}"

    def note_order_id(self, client_id: int, order_id: int) -> None:
        """Remember that a client used this number."""
        self._next_id[client_id] = max(self.next_order_id(client_id), order_id + 1)

    # Contracts.

    def learn(self, contract: PaperContract) -> PaperContract:
        """Remember an instrument and a combo's legs; return the known one where its conId is known."""
        for leg in contract.leg_contracts:
            self.contracts.setdefault(leg.con_id, leg)
        if contract.sec_type == "BAG":
            return contract
        return self.contracts.setdefault(contract.con_id, contract)

    # Orders.

    def add_order(self, order: PaperOrder) -> PaperOrder:
        """Add an order, and number it where it has no number; ValueError for an order no broker accepts."""
        if order.quantity <= 0:
            raise ValueError(f"an order's quantity must be above 0, not {order.quantity}")
        if order.account not in self.accounts:
            raise ValueError(f"{order.account} is not one of the accounts {', '.join(self.accounts)}")
        order.perm_id = self.next_perm_id()
        order.contract = self.learn(order.contract)
        if order.manual:
            order.client_id, order.order_id = 0, 0
        else:
            order.order_id = order.order_id or self.next_order_id(order.client_id)
            self._by_id[order.client_id, order.order_id] = order.perm_id
            self.note_order_id(order.client_id, order.order_id)
        self.orders[order.perm_id] = order
        self._open[order.perm_id] = order
        return order

    def bind(self, order: PaperOrder) -> None:
        """Give a manual order the negative number that client 0 knows it by."""
        self._bound_id -= 1
        order.order_id = self._bound_id
        self._by_id[0, order.order_id] = order.perm_id

    def find_order(self, client_id: int, order_id: int) -> PaperOrder | None:
        """Return the client's latest order of this number."""
        perm_id = self._by_id.get((client_id, order_id))
        return None if perm_id is None else self.orders.get(perm_id)

    def open_orders(self) -> tuple[PaperOrder, ...]:
        """Return the orders that work, oldest first."""
        return tuple(self._open.values())

    def open_orders_of(self, client_id: int) -> tuple[PaperOrder, ...]:
        """Return a client's orders that work or wait."""
        return tuple(order for order in self._open.values() if order.client_id == client_id)

    def completed_orders(self) -> tuple[PaperOrder, ...]:
        """Return today's finished orders, oldest first."""
        return tuple(order for order in self.orders.values() if order.done)

    def finish(self, order: PaperOrder, status: str, now: datetime, reason: str) -> None:
        """End an order with a status."""
        order.status = status
        order.completed_at = now
        order.completed_status = reason
        self._open.pop(order.perm_id, None)

    # Executions.

    def fill(
        self,
        order: PaperOrder,
        quantity: Decimal,
        price: Decimal,
        now: datetime,
        exec_id: str | None = None,
        time_text: str | None = None,
    ) -> PaperExecution:
        """Fill part of an order and move its position; of a combo only the positions of its legs move.

        ValueError for more than is left.
        """
        if not ZERO < quantity <= order.remaining:
            raise ValueError(f"cannot fill {quantity} of order {order.perm_id}: {order.remaining} is left")
        order.filled += quantity
        order.cost += quantity * price
        order.last_price = price
        if not order.remaining:
            self.finish(order, Status.FILLED, now, f"Filled Size: {formats.plain(order.filled)}")
        elif order.status == Status.PRE_SUBMITTED:
            order.status = Status.SUBMITTED
        execution = PaperExecution(
            exec_id or f"{self.next_exec_root()}.01.01",
            order.perm_id,
            order.order_id,
            order.client_id,
            order.account,
            order.contract,
            "BOT" if order.buys else "SLD",
            quantity,
            price,
            now,
            order.contract.venue,
            order.filled,
            order.average_price,
            order.order_ref,
            time_text=time_text,
            manual=order.manual,
        )
        self.record(execution)
        return execution

    def fill_legs(
        self, order: PaperOrder, parent: PaperExecution, prices: Sequence[Decimal]
    ) -> list[PaperExecution]:
        """Execute a combo's legs for one fill of the combo; `prices` are the legs', in their order."""
        root = parent.exec_id.rsplit(".", 2)[0]
        executions = []
        legs = zip(order.contract.legs, order.contract.leg_contracts, prices, strict=True)
        for number, (leg, contract, price) in enumerate(legs, start=2):
            bought = (leg.action == "BUY") is order.buys
            execution = replace(
                parent,
                exec_id=f"{root}.{number:02d}.01",
                contract=contract,
                side="BOT" if bought else "SLD",
                quantity=parent.quantity * leg.ratio,
                price=price,
                exchange=contract.venue,
                cum_qty=order.filled * leg.ratio,
                avg_price=price,
            )
            self.record(execution)
            executions.append(execution)
        return executions

    def record(self, execution: PaperExecution) -> None:
        """Add an execution and move its position; ValueError where its execId is known."""
        if execution.exec_id in self.executions:
            raise ValueError(f"execution {execution.exec_id} is known already")
        self.roll(execution.time)
        self.executions[execution.exec_id] = execution
        self.learn(execution.contract)
        if execution.contract.sec_type != "BAG":
            self._move(execution, execution.signed)

    def correct(self, execution: PaperExecution, quantity: Decimal, price: Decimal) -> PaperExecution:
        """Replace an execution by its next version; the old one stays in the day's list."""
        root, version = execution.exec_id.rsplit(".", 1)
        corrected_id = f"{root}.{int(version) + 1:02d}"
        if corrected_id in self.executions:
            raise ValueError(f"execution {execution.exec_id} was corrected before; correct the later one")
        order = self.orders.get(execution.perm_id)
        average = price
        if order is not None and order.contract.con_id == execution.contract.con_id:
            order.filled += quantity - execution.quantity
            order.cost += quantity * price - execution.quantity * execution.price
            if order.last_price == execution.price:
                order.last_price = price
            average = order.average_price
        corrected = replace(
            execution,
            exec_id=corrected_id,
            quantity=quantity,
            price=price,
            cum_qty=execution.cum_qty - execution.quantity + quantity,
            avg_price=average,
        )
        self.executions[corrected_id] = corrected
        if execution.contract.sec_type != "BAG" and corrected.signed != execution.signed:
            self._move(corrected, corrected.signed - execution.signed)
        return corrected

    def charge(self, execution: PaperExecution, commission: Decimal | None, realized: Decimal | None) -> Fee:
        """Set an execution's fee and realized profit; each is computed where it is not given."""
        amount = usual_fee(execution.contract, execution.quantity) if commission is None else commission
        gain = self._realized.get(execution.exec_id)
        if realized is None and gain is not None:
            realized = gain - amount
        fee = Fee(execution.exec_id, amount, execution.contract.currency, realized)
        earlier = self.fees.get(execution.exec_id)
        more = amount - (earlier.commission if earlier is not None else ZERO)
        order = self.orders.get(execution.perm_id)
        if order is not None:
            order.commission = (order.commission or ZERO) + more
        self._pay(execution.account, more)
        self.fees[execution.exec_id] = fee
        return fee

    def today(self, now: datetime) -> tuple[PaperExecution, ...]:
        """Return the day's executions, oldest first."""
        self.roll(now)
        midnight = self._midnight(now)
        return tuple(execution for execution in self.executions.values() if execution.time >= midnight)

    def roll(self, now: datetime) -> None:
        """Forget executions and finished orders of the days before this moment's, in the login's zone."""
        day = now.astimezone(self.zone).date()
        if self._day is None:
            self._day = day
        if day <= self._day:
            return
        self._day = day
        midnight = self._midnight(now)
        self.executions = {key: value for key, value in self.executions.items() if value.time >= midnight}
        self.fees = {key: value for key, value in self.fees.items() if key in self.executions}
        self._realized = {key: value for key, value in self._realized.items() if key in self.executions}
        self.orders = {
            key: value
            for key, value in self.orders.items()
            if value.completed_at is None or value.completed_at >= midnight
        }
        self._by_id = {key: perm_id for key, perm_id in self._by_id.items() if perm_id in self.orders}
        self.adjustments = [one for one in self.adjustments if one.time >= midnight]

    def _midnight(self, now: datetime) -> datetime:
        return datetime.combine(now.astimezone(self.zone).date(), time(), self.zone)

    # Positions.

    def set_position(
        self, account: str, contract: PaperContract, quantity: Decimal, cost: Decimal, now: datetime
    ) -> PaperPosition:
        """Set what an account holds, without any execution."""
        position = self.position(account, self.learn(contract))
        self.adjustments.append(Adjustment("set", account, contract.con_id, position.quantity, quantity, now))
        position.quantity = quantity
        position.average_cost = cost if quantity else ZERO
        return position

    def position(self, account: str, contract: PaperContract) -> PaperPosition:
        """Return the account's position in the contract, made empty where there was none."""
        key = (account, contract.con_id)
        if key not in self.positions:
            self.positions[key] = PaperPosition(account, contract)
        return self.positions[key]

    def _move(self, execution: PaperExecution, signed: Decimal) -> None:
        contract = execution.contract
        gain = self.position(execution.account, contract).add(signed, execution.price)
        if gain is not None:
            self._realized[execution.exec_id] = gain
        self._pay(execution.account, signed * execution.price * contract.factor)

    def _pay(self, account: str, amount: Decimal) -> None:
        self.cash[account] = self.cash.get(account, ZERO) - amount


def usual_fee(contract: PaperContract, quantity: Decimal) -> Decimal:
    """Return the fee of a fill: 0.65 an option, else 0.005 a share and at least 1."""
    if contract.sec_type in ("OPT", "FOP"):
        return (quantity * Decimal("0.65")).quantize(Decimal("0.000001")).normalize()
    return max(Decimal("1.0"), (quantity * Decimal("0.005")).quantize(Decimal("0.000001")))
