"""Who is connected to the paper gateway, who sees what, and the order of the messages of a fill.

Owns the list of connections and every push. It reads no socket and parses no request. Who sees an order's
openOrder, orderStatus, execDetails and commissionReport live: the client that placed it; the Master API
client, all of them; client 0 those manual orders that it has bound. Positions go to whoever asked for them.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from tracker.paper import encode_messages, encode_orders, formats
from tracker.paper.book import Book
from tracker.paper.connection import Connection
from tracker.paper.faults import Faults
from tracker.paper.formats import TimeForm
from tracker.paper.framing import Fields
from tracker.paper.model import Fee, PaperExecution, PaperOrder, PaperPosition

MAX_RECEIVED: Final = 20_000
"""How many requests are kept as they came; all are counted."""


@dataclass(slots=True)
class Rules:
    """Hold the settings of a gateway that a person could change in its configuration."""

    master_client_id: int | None = 0
    read_only: bool = False
    time_form: TimeForm = "zone"


class Broadcaster:
    """Hold the connections and push what happens to them."""

    def __init__(self, book: Book, faults: Faults, rules: Rules, now: Callable[[], datetime]) -> None:
        self.book = book
        self.faults = faults
        self.rules = rules
        self.now = now
        self.connections: list[Connection] = []
        self.received: deque[tuple[int, Fields]] = deque(maxlen=MAX_RECEIVED)
        self.received_counts: Counter[tuple[int, str]] = Counter()
        """(client id, message id) -> how often; client id -1 before startApi."""
        self.refused: Counter[str] = Counter()
        """Message id -> how many requests could not be served."""
        self.arrived = asyncio.Event()
        """Set once a client was let in."""
        self.tell: Callable[[str], object] = lambda line: None
        """Called with a line for people about what clients do."""
        self._old_positions: dict[tuple[str, int], PaperPosition] | None = None
        """What is shown in place of the book's positions while they are held back."""
        self._timers: set[asyncio.TimerHandle] = set()
        self._held_back: set[int] = set()
        """permIds of orders whose first openOrder waits for an execution (faults.reorder)."""

    # Connections.

    def ready(self, to: Collection[int] | None = None) -> Iterator[Connection]:
        """Return the clients that are logged in, only those with an id in `to` where it is given."""
        for connection in tuple(self.connections):
            if connection.ready and (to is None or connection.client_id in to):
                yield connection

    def on_request(self, connection: Connection, fields: Fields) -> None:
        """Remember a request."""
        client_id = -1 if connection.client_id is None else connection.client_id
        self.received.append((client_id, fields))
        # A made-up id is counted with all others of its kind, so that garbage cannot fill the memory.
        kind = fields[0] if fields[0].isdecimal() and len(fields[0]) < 4 else "?"
        self.received_counts[client_id if abs(client_id) < 10_000 else -2, kind] += 1

    def is_master(self, connection: Connection) -> bool:
        """Return whether this client is the Master API client."""
        master = self.rules.master_client_id
        return master is not None and connection.client_id == master

    def may_see(self, connection: Connection, fact: PaperOrder | PaperExecution) -> bool:
        """Return whether a client receives this order's events as they come."""
        if self.is_master(connection):
            return True
        if fact.manual:
            return connection.client_id == 0 and (connection.binds or fact.order_id != 0)
        return connection.client_id == fact.client_id

    def owns(self, connection: Connection, fact: PaperOrder | PaperExecution) -> bool:
        """Return whether a client placed the order, or is client 0 and has bound it."""
        return connection.client_id == fact.client_id and (not fact.manual or fact.order_id != 0)

    def call_later(self, seconds: float, act: Callable[[], None]) -> None:
        """Act after a delay, unless the gateway stops before."""
        handle: asyncio.TimerHandle

        def run() -> None:
            self._timers.discard(handle)
            act()

        handle = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(handle)

    def cancel_timers(self) -> None:
        """Cancel everything that was to happen later."""
        for handle in self._timers:
            handle.cancel()
        self._timers.clear()

    # What is pushed.

    def push_order(self, order: PaperOrder, to: Collection[int] | None = None) -> None:
        """Push an order or its change: openOrder, then orderStatus."""
        if not order.announced:
            return
        if self.faults.reorder and not order.filled and not order.done:
            self._held_back.add(order.perm_id)
            return
        for connection in self.ready(to):
            if self.may_see(connection, order):
                for fields in self.messages_of_order(order, connection.version):
                    connection.push(fields)

    def push_status(self, order: PaperOrder, to: Collection[int] | None = None) -> None:
        """Push the status of an order alone."""
        for connection in self.ready(to):
            if self.may_see(connection, order):
                connection.push(encode_messages.order_status(self._with_faults(order)))

    def push_executions(
        self, executions: Sequence[PaperExecution], to: Collection[int] | None = None
    ) -> None:
        """Push executions as they happen, each as often as the fault `duplicate` says."""
        for connection in self.ready(to):
            for execution in executions:
                if self.may_see(connection, execution):
                    for fields in self.execution_messages(
                        execution, encode_messages.LIVE, connection.version
                    ):
                        connection.push(fields)

    def push_fill(
        self, order: PaperOrder, executions: Sequence[PaperExecution], to: Collection[int] | None = None
    ) -> None:
        """Push a fill in the recorded order: execDetails, then openOrder and orderStatus."""
        self.push_executions(executions, to)
        if order.perm_id in self._held_back:
            self._held_back.discard(order.perm_id)
        if order.announced:
            self.push_order(order, to)
        else:
            self.push_status(order, to)

    def push_cancelled(self, order: PaperOrder, to: Collection[int] | None = None) -> None:
        """Push the end of an order: orderStatus Cancelled, then 202 to whoever may cancel it."""
        self.push_status(order, to)
        for connection in self.ready(to):
            if self.owns(connection, order):
                connection.push(
                    encode_messages.error(order.order_id, 202, "Order Canceled - reason:", connection.version)
                )

    def push_fee(self, execution: PaperExecution, fee: Fee, to: Collection[int] | None = None) -> None:
        """Push a fee; of a filled order the last openOrder and orderStatus come again with it."""
        order = self.book.orders.get(execution.perm_id)
        for connection in self.ready(to):
            if not self.may_see(connection, execution):
                continue
            if order is not None and order.announced and order.status == "Filled":
                for fields in self.messages_of_order(order, connection.version):
                    connection.push(fields)
            connection.push(encode_messages.commission_report(fee))

    def positions(self) -> tuple[PaperPosition, ...]:
        """Return the positions that clients are shown, including those of quantity 0."""
        shown = self.book.positions if self._old_positions is None else self._old_positions
        missing = self.faults.missing_positions
        return tuple(held for held in shown.values() if held.contract.con_id not in missing)

    def hold_positions(self) -> None:
        """Show positions as they are now from here on, like a Gateway whose account data lag behind fills."""
        self._old_positions = {key: replace(held) for key, held in self.book.positions.items()}

    def release_positions(self) -> None:
        """Show the current positions again, and push those that changed meanwhile."""
        old, self._old_positions = self._old_positions or {}, None
        for key, held in tuple(self.book.positions.items()):
            if key not in old or old[key].quantity != held.quantity:
                self.push_position(*key)

    def push_position(self, account: str, con_id: int) -> None:
        """Push one position to each client that asked for positions."""
        held = self.book.positions[account, con_id]
        if self._old_positions is not None or con_id in self.faults.missing_positions:
            return
        for connection in self.ready():
            if connection.wants_positions:
                connection.push(encode_messages.position(held))
            for request_id, wanted in connection.position_requests.items():
                if wanted in ("", account):
                    connection.push(encode_messages.position_multi(held, request_id))
            if connection.account_updates == account:
                connection.push(encode_messages.portfolio_value(held, held.last_price))

    def push_notice(self, code: int, text: str, to: Collection[int] | None = None) -> None:
        """Push a system notice to every client."""
        for connection in self.ready(to):
            connection.push(encode_messages.error(-1, code, text, connection.version))

    def bind(self, order: PaperOrder) -> None:
        """Give a manual order a number and push it to client 0."""
        self.book.bind(order)
        for connection in self.ready((0,)):
            connection.push(encode_messages.order_bound(order.perm_id, 0, order.order_id))

    def messages_of_order(self, order: PaperOrder, version: int) -> tuple[Fields, Fields]:
        """Return an order's openOrder and orderStatus."""
        shown = self._with_faults(order)
        return encode_orders.open_order(shown, version), encode_messages.order_status(shown)

    def execution_messages(
        self, execution: PaperExecution, request_id: int, version: int
    ) -> Iterator[Fields]:
        """Return an execution's message as often as the fault `duplicate` says."""
        if self.faults.no_perm_ids:
            execution = replace(execution, perm_id=0)
        fields = encode_messages.execution_details(
            execution, request_id, self._time_text(execution, version), version
        )
        for _ in range(self.faults.duplicate):
            yield fields

    def completed_time(self, order: PaperOrder) -> str:
        """Return when an order ended, as message 101 writes it."""
        if order.completed_at is None:
            return ""
        return f"{order.completed_at.astimezone(self.book.zone):%Y%m%d %H:%M:%S} {self.book.zone.key}"

    def _with_faults(self, order: PaperOrder) -> PaperOrder:
        return replace(order, perm_id=0) if self.faults.no_perm_ids else order

    def _time_text(self, execution: PaperExecution, version: int) -> str:
        if execution.time_text is not None:
            return execution.time_text
        if self.faults.bad_zone:
            return formats.named_time(execution.time, self.faults.bad_zone, self.book.zone)
        return formats.execution_time(execution.time, self.rules.time_form, self.book.zone, version)
