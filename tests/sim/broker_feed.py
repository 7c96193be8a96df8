"""From what the broker was asked and answered to the oracle's events, about positions and orders.

Owns that translation: the messages are read as text here, never by the tracker's own decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from tests.sim.broker import AccountContract, SimBroker
from tests.sim.rules_oracle import facts
from tracker.core.journal_entries import (
    AdjustmentTold,
    ExecutionsAsked,
    LinkDown,
    LinkUp,
    OpenOrdersAsked,
    PositionsAsked,
    RequestTimedOut,
    SweepChecked,
    SweepQuiet,
    read_entry,
)
from tracker.core.message_fields import ExecutionsEndAt, Message, NoticeAt, OpenOrderAt, OrderStatusAt
from tracker.core.model import EndOf, Frame, Source
from tracker.paper.contracts import PaperContract

_LOST: Final = frozenset({"1100", "2110"})
_BACK: Final = frozenset({"1101", "1102"})
_CAUSES: Final[Mapping[str, facts.Cause]] = {
    "split": "split",
    "transferred": "transferred",
    "adjusted": "adjusted",
}
"""What a person may say."""
_ACCOUNT, _CON_ID, _QUANTITY = 2, 3, 14
"""Where a position (61) says what is held."""
_STATUSES: Final = frozenset(
    (
        *("PendingSubmit", "PendingCancel", "PreSubmitted", "Submitted", "ApiPending"),
        *("ApiCancelled", "Cancelled", "Filled", "Inactive"),
    )
)
_TOTAL: Final = 14
"""Where an open order (5) says its size."""
_COMPLETED_TOTAL, _COMPLETED_PERM, _COMPLETED_STATUS, _COMPLETED_FILLED = 13, 23, -24, -14
"""Where a completed order (101) says its size, its permId, and how it ended, behind what a combo has more."""


class BrokerFeed:
    """Follow the frames of one life; `tell` takes each event, `read` is what the wire says of a contract."""

    def __init__(
        self,
        broker: SimBroker,
        tell: Callable[[facts.Event], None],
        read: Callable[[PaperContract], facts.Contract],
    ) -> None:
        self._broker = broker
        self._tell = tell
        self._read = read
        self._sweeps: dict[str, str] = {}
        """request -> account, of those under way."""
        self._ended: dict[int, str] = {}
        """The same of those that ended and are not checked yet."""
        self._rows: dict[AccountContract, Decimal] | None = None
        """What the answer under way listed so far; None while none is asked for."""
        self._stale = self._overdue = False
        self._lost = False
        self._listed: set[int] | None = None
        """The orders that the answer under way about all open orders told; None while none is."""
        self._orders_owed = 0
        self._began = False
        """Whether this process saw the connection begin; else it does not know what was asked on it."""
        self._time: datetime | None = None

    def stopped(self) -> None:
        """Take in that the process is over: half an answer, and half a proof, are forgotten with it."""
        self._rows, self._began, self._listed, self._orders_owed = None, False, None, 0
        self._sweeps.clear()
        self._ended.clear()

    def frame(self, frame: Frame) -> None:
        """Take in one frame, in the order of the journal."""
        if frame.source is Source.BROKER:
            self._message(frame)
            return
        at, connection, entry = frame.received_at, frame.connection_no, read_entry(frame)
        if isinstance(entry, LinkUp | LinkDown):
            self._rows, self._lost, self._listed, self._orders_owed = None, False, None, 0
            self._sweeps.clear()
        if isinstance(entry, LinkUp):
            self._began = True
            self._tell(facts.Connected(at, connection, frozenset(entry.accounts)))
        elif not self._began and isinstance(entry, PositionsAsked):
            pass
        elif isinstance(entry, ExecutionsAsked):
            self._sweeps = {one: of for one, of in self._sweeps.items() if of != entry.account}
            self._sweeps[str(entry.request)] = entry.account
            self._tell(facts.SweepAsked(at, connection, entry.account))
        elif isinstance(entry, OpenOrdersAsked):
            self._listed = set() if self._began and not self._lost else None
            self._orders_owed += 1
            self._tell(facts.OpenOrdersAsked(at))
        elif isinstance(entry, PositionsAsked):
            if self._rows is None:
                # An answer that is still owed may be the next to end: all that is listed since counts.
                self._rows, self._stale = {}, False
                self._tell(facts.PositionsAsked(at, connection))
                self._time = at
            self._stale |= self._lost
            self._overdue = False
        elif isinstance(entry, RequestTimedOut):
            self._give_up(frame, entry.request)
            self._overdue = self._overdue or entry.of == EndOf.POSITIONS
            if entry.of == EndOf.OPEN_ORDERS:
                self._listed = None
        elif isinstance(entry, SweepQuiet):
            # Its end may come still.
            self._tell(facts.SweepGivenUp(at, connection, self._sweeps.get(str(entry.request), "")))
        elif isinstance(entry, SweepChecked):
            account = self._ended.pop(entry.request, None)
            if account is not None and entry.complete:
                self._tell(facts.SweepChecked(at, connection, account))
        elif isinstance(entry, AdjustmentTold):
            self._adjustment(at, entry)

    def _message(self, frame: Frame) -> None:
        fields, at, connection = frame.fields, frame.received_at, frame.connection_no
        message = fields[0]
        if message == Message.NOTICE and fields[NoticeAt.CODE] in _LOST | _BACK:
            self._lost = fields[NoticeAt.CODE] in _LOST
            self._stale = self._stale or self._lost
            self._sweeps.clear()
            self._listed = None
            self._tell((facts.BrokerLost if self._lost else facts.BrokerBack)(at, connection))
        elif message == Message.CURRENT_TIME:
            if not self._rows:
                self._time = datetime.fromtimestamp(int(fields[2]), UTC)
        elif message == Message.POSITION and self._rows is not None:
            self._rows[fields[_ACCOUNT], int(fields[_CON_ID])] = Decimal(fields[_QUANTITY])
        elif message == Message.POSITIONS_END and self._rows is not None:
            rows, self._rows = self._rows, None
            complete = not (self._stale or self._overdue)
            self._tell(facts.PositionsAnswered(at, connection, rows, complete, self._time))
        elif message == Message.EXECUTIONS_END:
            account = self._sweeps.pop(fields[ExecutionsEndAt.REQUEST], None)
            if account is not None:
                self._ended[int(fields[ExecutionsEndAt.REQUEST])] = account
                self._tell(facts.SweepEnded(at, connection, account))

        elif message in (Message.OPEN_ORDER, Message.ORDER_STATUS, Message.COMPLETED_ORDER):
            self._order(fields, at)
        elif message == Message.OPEN_ORDERS_END:
            listed, owed = self._listed, self._orders_owed
            self._listed, self._orders_owed = None, max(0, owed - 1)
            # An end may be that of an earlier request, which proves nothing.
            complete = listed is not None and owed == 1
            self._tell(facts.OpenOrdersAnswered(at, frozenset(listed or ()), complete))

    def _order(self, fields: tuple[str, ...], at: datetime) -> None:
        """Pass on what a message says of an order: its size, its state, or how it ended."""
        if fields[0] == Message.COMPLETED_ORDER:
            perm = int(fields[_COMPLETED_PERM])
            self._tell(
                facts.CompletedOrderTold(
                    at,
                    perm,
                    fields[_COMPLETED_STATUS],
                    Decimal(fields[_COMPLETED_FILLED]),
                    Decimal(fields[_COMPLETED_TOTAL]) or None,
                )
            )
            return
        if fields[0] == Message.OPEN_ORDER:
            client, order, perm = (
                int(fields[place])
                for place in (OpenOrderAt.CLIENT_ID, OpenOrderAt.ORDER_ID, OpenOrderAt.PERM_ID)
            )
            ratios = self._ratios(perm, client, order)
            status = next(text for text in fields[OpenOrderAt.PERM_ID :] if text in _STATUSES)
            self._tell(facts.OrderTold(at, Decimal(fields[_TOTAL]), perm, client, order, ratios, status))
        else:
            client, order, perm = (
                int(fields[place])
                for place in (OrderStatusAt.CLIENT_ID, OrderStatusAt.ORDER_ID, OrderStatusAt.PERM_ID)
            )
            status, filled, remaining = fields[2], Decimal(fields[3]), Decimal(fields[4])
            self._tell(facts.StatusTold(at, status, filled, remaining, perm, client, order))
        if self._listed is not None and perm:
            self._listed.add(perm)

    def _ratios(self, perm: int, client: int, order_id: int) -> dict[int, Decimal]:
        """Return each leg's conId with its ratio, where the order is one of a combo."""
        order = next(
            one
            for one in reversed(self._broker.orders)
            if (
                one.perm_id == perm
                if perm
                else (one.paper.client_id, one.paper.order_id) == (client, order_id)
            )
        )
        return {leg.con_id: Decimal(leg.ratio) for leg in order.paper.contract.legs}

    def _give_up(self, frame: Frame, request: int) -> None:
        account = self._sweeps.pop(str(request), None)
        if account is not None:
            self._tell(facts.SweepGivenUp(frame.received_at, frame.connection_no, account))

    def _adjustment(self, at: datetime, entry: AdjustmentTold) -> None:
        account, _, con_id = entry.contract.rpartition(" ")
        into_account, _, into = entry.into.rpartition(" ")
        becomes = self._read(self._broker.contract(int(into))) if into and into != con_id else None
        self._tell(
            facts.AdjustmentTold(
                at,
                account,
                int(con_id),
                _CAUSES[entry.cause],
                None,
                ratio=Decimal(entry.ratio) if entry.ratio else None,
                becomes=becomes,
                moved_to=into_account if into_account != account else "",
            )
        )
