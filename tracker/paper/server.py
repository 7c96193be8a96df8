"""The paper gateway: a TWS-protocol server that a test, a scenario or a person can trade on.

Owns the listening socket and the Python API that makes orders, fills and faults. It speaks the real protocol
and imports no client library. Everything happens on the event loop that started it. The methods are plain
functions, and write what they push before they return.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Final, Literal
from zoneinfo import ZoneInfo

from tracker.paper import framing, notices
from tracker.paper.book import Book
from tracker.paper.broadcast import Broadcaster, Rules
from tracker.paper.connection import Connection
from tracker.paper.contracts import PaperContract
from tracker.paper.faults import Faults
from tracker.paper.formats import TIME_FORMS, TimeForm
from tracker.paper.framing import Fields
from tracker.paper.model import ZERO, Fee, PaperExecution, PaperOrder, PaperPosition, Status
from tracker.paper.order_engine import Audience, FillPolicy, OrderEngine
from tracker.paper.responses import answer

MAX_CONNECTIONS: Final = 64
"""The most clients; a further one is refused. The real gateway takes 32."""

_log = logging.getLogger(__name__)

FeeChoice = Literal[True, False] | Decimal
"""True: the usual fee; False: none yet (see `PaperGateway.fee`); a number: this one."""
Amount = Decimal | int | str


class PaperGateway:
    """Serve the TWS protocol on a socket; only this object's caller and its clients change the book."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        accounts: Sequence[str] = ("DU1234567",),
        seed: int = 1,
        now: Callable[[], datetime],
        master_client_id: int | None = 0,
        read_only: bool = False,
        time_form: TimeForm = "zone",
        zone: str = "US/Eastern",
        max_version: int = framing.MAX_VERSION,
        fills: FillPolicy | None = None,
    ) -> None:
        """Prepare a gateway; `port` 0 takes a free one at start.

        `now` returns the aware UTC time. `master_client_id` is the Master API client of the gateway's
        settings: unlike a real one's it is 0 by default, so that a tracker sees everything; None for none.
        `zone` is the login's, in which days begin and times without a zone are meant. `fills` says how orders
        of clients fill. ValueError for an unknown time form or version.
        """
        if isinstance(time_form, str) and time_form not in TIME_FORMS:
            raise ValueError(f"time_form {time_form!r} is not one of {', '.join(TIME_FORMS)}")
        if not framing.MIN_VERSION <= max_version <= framing.MAX_VERSION:
            raise ValueError(
                f"server version {max_version} is not within {framing.MIN_VERSION} to {framing.MAX_VERSION}"
            )
        self.host = host
        self.faults = Faults()
        self.book = Book(accounts, seed, ZoneInfo(zone))
        self.broadcast = Broadcaster(
            self.book, self.faults, Rules(master_client_id, read_only, time_form), now
        )
        self.engine = OrderEngine(self.broadcast, fills or FillPolicy())
        self._now = now
        self._port = port
        self._max_version = max_version
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # The socket.

    async def start(self) -> None:
        """Listen; OSError where the port is taken."""
        self._server = await asyncio.start_server(self._serve, self.host, self._port, backlog=128)
        self._port = int(self._server.sockets[0].getsockname()[1])
        self.engine.resume()

    async def stop(self) -> None:
        """Close every connection and stop listening; the port stays the same for a later start."""
        self.engine.pause()
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in tuple(self.broadcast.connections):
            connection.close(at_once=True)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def __aenter__(self) -> PaperGateway:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """The port listened on; known once started."""
        return self._port

    @property
    def clients(self) -> tuple[int, ...]:
        """The ids of the clients that are logged in, in the order they came."""
        return tuple(c.client_id for c in self.broadcast.ready() if c.client_id is not None)

    @property
    def received(self) -> list[tuple[int, Fields]]:
        """The latest requests as (client id, fields), oldest first; client id -1 before startApi."""
        return list(self.broadcast.received)

    # Orders and fills.

    def order(
        self,
        contract: PaperContract,
        side: str,
        quantity: Amount,
        order_type: str = "LMT",
        limit: Amount | None = None,
        *,
        client_id: int = 7,
        order_ref: str = "",
        account: str | None = None,
        manual: bool = False,
        announce: bool = True,
        order_id: int | None = None,
        tif: str = "DAY",
        parent_id: int = 0,
        push: bool = True,
        to: Collection[int] | None = None,
    ) -> PaperOrder:
        """Place an order as another client or, with `manual`, by hand in TWS (orderId 0, client 0).

        `announce` False: its openOrder is never sent, not even in an answer. `push` False: nothing is pushed
        now. `to` names the only client ids that receive it. ValueError for an order no broker takes.
        """
        order = PaperOrder(
            client_id,
            account or self.book.accounts[0],
            contract,
            side.upper(),
            Decimal(quantity),
            order_id=order_id or 0,
            order_type=order_type,
            limit=None if limit is None else Decimal(limit),
            tif=tif,
            order_ref=order_ref,
            manual=manual,
            announced=announce,
            parent_id=parent_id,
            status=Status.PRE_SUBMITTED if order_type == "MKT" else Status.SUBMITTED,
        )
        return self.engine.place(order, Audience(push, to))

    def fill(
        self,
        order: PaperOrder,
        quantity: Amount | None = None,
        price: Amount | None = None,
        *,
        push: bool = True,
        fee: FeeChoice = True,
        to: Collection[int] | None = None,
        exec_id: str | None = None,
        time: datetime | str | None = None,
        leg_prices: Sequence[Amount] | None = None,
    ) -> PaperExecution:
        """Fill what is left of an order, or `quantity` of it, at its limit or `price`; return the execution.

        `push` False: no message now, only an answer to executions carries it. `to` names the only client ids
        that receive it. `time` is the execution's time, or the text to write for it. A combo also executes
        its legs, at `leg_prices` or at prices made to add up.
        """
        return self.engine.fill(
            order,
            _decimal(quantity),
            _decimal(price),
            audience=Audience(push, to),
            charge=fee is not False,
            commission=None if isinstance(fee, bool) else fee,
            exec_id=exec_id,
            time=time if isinstance(time, datetime) else None,
            time_text=time if isinstance(time, str) else None,
            leg_prices=None if leg_prices is None else [Decimal(leg) for leg in leg_prices],
        )

    def execute(
        self,
        contract: PaperContract,
        side: str,
        quantity: Amount,
        price: Amount,
        *,
        account: str | None = None,
        client_id: int = 0,
        order_id: int = 0,
        perm_id: int = 0,
        order_ref: str = "",
        exec_id: str | None = None,
        time: datetime | str | None = None,
        push: bool = True,
        fee: FeeChoice = True,
        to: Collection[int] | None = None,
    ) -> PaperExecution:
        """Make an execution whose order is shown to no client; by default one placed by hand."""
        amount, paid = Decimal(quantity), Decimal(price)
        execution = PaperExecution(
            exec_id or f"{self.book.next_exec_root()}.01.01",
            perm_id or self.book.next_perm_id(),
            order_id,
            client_id,
            account or self.book.accounts[0],
            self.book.learn(contract),
            "BOT" if side.upper() in ("BUY", "BOT") else "SLD",
            amount,
            paid,
            time if isinstance(time, datetime) else self._now(),
            contract.venue,
            amount,
            paid,
            order_ref,
            time_text=time if isinstance(time, str) else None,
            manual=not client_id and not order_id,
        )
        return self.engine.execute(
            execution,
            audience=Audience(push, to),
            charge=fee is not False,
            commission=None if isinstance(fee, bool) else fee,
        )

    def correct(
        self,
        execution: PaperExecution,
        quantity: Amount | None = None,
        price: Amount | None = None,
        *,
        push: bool = True,
        to: Collection[int] | None = None,
    ) -> PaperExecution:
        """Correct an execution: the next version of its execId says what it should have said."""
        return self.engine.correct(
            execution,
            execution.quantity if quantity is None else Decimal(quantity),
            execution.price if price is None else Decimal(price),
            Audience(push, to),
        )

    def repeat(self, execution: PaperExecution, to: Collection[int] | None = None) -> None:
        """Push an execution once more."""
        self.broadcast.push_executions([execution], to)

    def fee(
        self,
        execution: PaperExecution,
        commission: Amount | None = None,
        realized_pnl: Amount | None = None,
        *,
        push: bool = True,
        to: Collection[int] | None = None,
    ) -> Fee:
        """Set an execution's fee, the usual one unless given, and report it."""
        return self.engine.charge(execution, _decimal(commission), _decimal(realized_pnl), Audience(push, to))

    def cancel(self, order: PaperOrder, *, push: bool = True, reason: str = "Cancelled by Trader") -> None:
        """Cancel what is left of an order; its owner also gets 202."""
        self.engine.cancel(order, Audience(push), reason)

    def change(self, order: PaperOrder, quantity: Amount | None = None, limit: Amount | None = None) -> None:
        """Change an order's size or limit and push the change."""
        self.engine.change(order, _decimal(quantity), _decimal(limit))

    def set_position(
        self,
        account: str,
        contract: PaperContract,
        quantity: Amount,
        cost: Amount = ZERO,
        *,
        push: bool = True,
    ) -> PaperPosition:
        """Set what an account holds, without any execution: an opening balance, an expiry, an assignment."""
        return self.engine.set_position(account, contract, Decimal(quantity), Decimal(cost), push=push)

    # The link.

    def notice(self, code: int, text: str | None = None, *, to: Collection[int] | None = None) -> None:
        """Send a system notice (request id -1), in its usual text unless given."""
        self.broadcast.push_notice(code, notices.text_of(code, self.port) if text is None else text, to)

    def drop_connections(self, to: Collection[int] | None = None, *, reset: bool = False) -> None:
        """Close connections, also those still in the handshake unless `to` names client ids.

        With `reset` they end by RST, and messages on their way are lost, as where a router dropped them.
        """
        for connection in tuple(self.broadcast.connections):
            if to is None or connection.client_id in to:
                if reset:
                    connection.reset()
                else:
                    connection.close()

    def push_raw(self, *fields: str | int, to: Collection[int] | None = None) -> None:
        """Send one well-framed message of these fields."""
        self.push_bytes(framing.frame(str(field) for field in fields), to=to)

    def push_bytes(self, data: bytes, *, to: Collection[int] | None = None) -> None:
        """Send bytes as they are."""
        for connection in self.broadcast.ready(to):
            connection.push_bytes(data)

    @contextmanager
    def one_packet(self) -> Iterator[None]:
        """Gather all pushes made inside into a single write to each client."""
        gathering = list(self.broadcast.ready())
        for connection in gathering:
            connection.gather()
        try:
            yield
        finally:
            for connection in gathering:
                connection.release()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.faults.drop_on_connect or len(self.broadcast.connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        connection = Connection(reader, writer, self.faults, self._answer, self._max_version)
        task = asyncio.current_task()
        assert task is not None, "a stream server runs its callback in a task"
        self._tasks.add(task)
        self.broadcast.connections.append(connection)
        local = self._now().astimezone(self.book.zone)
        try:
            await connection.run(f"{local:%Y%m%d %H:%M:%S} {local.tzname()}")
        finally:
            self.broadcast.connections.remove(connection)
            if connection.client_id is not None:
                self.broadcast.tell(f"client {connection.client_id} is gone")
            self._tasks.discard(task)

    def _answer(self, connection: Connection, fields: Fields) -> Iterator[Fields]:
        return answer(self.engine, connection, fields)


def _decimal(amount: Amount | None) -> Decimal | None:
    return None if amount is None else Decimal(amount)
