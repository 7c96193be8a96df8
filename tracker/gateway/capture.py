"""Journal frames from the socket before anything can fail on them.

Owns the taps on one ib_insync connection: the raw fields of every message, the packet boundary (one commit
per network packet), the check of what leaves, and the cross-check that ib_insync's own events report nothing
that was not captured here first. It never decides what a frame means, and passes a frame on (also to
ib_insync) only once it is durable.

It does not use ib_insync's events: they are silent for a fill before its openOrder, for every answer to
reqExecutions and for messages that its decoder cannot read, and they swallow the exceptions of their
listeners.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol

from loguru import logger

from tracker.core.journal_entries import Fields, LinkUp, execution_key
from tracker.core.message_fields import ExecutionAt, Message, OpenOrderAt
from tracker.core.model import Source
from tracker.gateway.allowlist import AllowList
from tracker.gateway.capture_sink import CaptureFailed, CaptureSink
from tracker.gateway.dedup import Deduplicator
from tracker.gateway.framing import Framing, announced, objection
from tracker.gateway.ib_insync_compat import IB, Contract, Execution, Fill, Order, OrderStatus, Trade
from tracker.gateway.normalise import EXECUTION_FIELDS

ORDER_IDENTITY_FIELDS: Final = 26
"""The number of fields of an openOrder up to its permId."""

PEER_CLOSED: Final = "the gateway closed the connection"

_UNUSED_BY_LIBRARY: Final = frozenset(
    {
        *(Message.OPEN_ORDERS_END, Message.EXECUTIONS_END, Message.FEE, Message.POSITION),
        *(Message.POSITIONS_END, Message.COMPLETED_ORDER, Message.COMPLETED_ORDERS_END),
    }
)
"""Journalled messages that ib_insync need not see: none of its events that we use depends on them."""
_UNUSED_DUPLICATES: Final = frozenset(
    {*_UNUSED_BY_LIBRARY, Message.ORDER_STATUS, Message.OPEN_ORDER, Message.EXECUTION}
)
"""Messages of which ib_insync needs no duplicate: leaving these out makes a sweep of known fills cheap."""

_SHOWN: Final = 40
"""How many bytes of an unreadable login the reason shows."""
_LONGEST_REASON: Final = 250
"""The longest reason in characters: those bytes, each escaped, and the error."""

_PRUNE_EVERY: Final = 2_000
"""How many messages are passed to ib_insync between two prunings of what it keeps."""


class Listener(Protocol):
    """Receive the messages of a connection; called on the loop's thread, and only with durable ones."""

    def on_login(self, accounts: tuple[str, ...], server_version: int) -> str | None:
        """Check the login before its first frame is journalled; a text refuses it."""
        ...

    def on_packet(self, frames: Sequence[Fields]) -> None:
        """Process the messages of one packet, including those that were not journalled."""
        ...


class Capture:
    """Tap one IB object that is about to be connected, for the life of its connection."""

    def __init__(self, ib: IB, sink: CaptureSink, listener: Listener, *, may_bind: bool = False) -> None:
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Done, with the reason, when the connection has ended for any cause."""
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the socket is closed."""
        self.refusal = ""
        """Why the login was refused; empty where it was not."""
        self.unfinished_since: float | None = None
        """Loop time at which the beginning of a still unfinished message came."""
        self._ib = ib
        self._client: Any = (
            ib.client
        )  # The library is only partly typed, and some of its methods are replaced below.
        self._wrapper: Any = ib.wrapper
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._dedup = Deduplicator(sink.journal.contains, sink.journal.newest_fee)
        self._received_at = sink.now()
        self._packet: list[Fields] = []
        self._to_append: list[tuple[Source, Fields]] = []
        self._early: list[tuple[Source, Fields]] = []
        """Messages from before the end of the login; they are journalled after the entry `LinkUp`."""
        self._to_decode: list[Fields] = []
        self._current: Fields = ()
        """The message that ib_insync is decoding right now."""
        self._logged_in = False
        self._stopped = False
        self._in_packet = False
        self._failure = ""
        self._until_prune = _PRUNE_EVERY
        self._framing: Framing | None = None
        """Reads the socket once ib_insync is logged in."""
        self._install(may_bind)

    def forget_orders(self) -> None:
        """Journal the next answer about open orders as a whole, without deduplication."""
        self._dedup.forget_orders()

    def close(self, reason: str) -> None:
        """Close the connection; later messages are dropped."""
        self._stopped = True
        if not self.closed.done():
            self.closed.set_result(reason)
        try:
            # Not `ib.disconnect`, which raises while the login is not finished.
            self._client.disconnect()
        except OSError:
            # `write_eof` found the socket broken, which nobody had noticed yet.
            self.abort()

    def abort(self) -> None:
        """Drop the socket without waiting for a peer that no longer reads."""
        transport = self._client.conn.transport
        if transport is not None:
            transport.abort()

    def _install(self, may_bind: bool) -> None:
        client, decoder = self._client, self._client.decoder
        self._decode = decoder.interpret
        self._kinds = frozenset(map(str, decoder.handlers))
        """The message numbers of the protocol; for any other ib_insync would only write to the log."""
        decoder.interpret = self._on_message
        decoder.handlers[11] = self._pass_execution
        decoder.handlers[5] = self._pass_order
        client.conn.sendMsg = AllowList(client.conn.sendMsg, self._refused_message, may_bind)
        client.conn.hasData.clear()
        # keep_ref: eventkit holds a bound method only weakly.
        client.conn.hasData.connect(self._on_data, keep_ref=True)
        client.conn.disconnected.connect(self._on_disconnected, keep_ref=True)
        client.apiError.connect(self._on_api_error, keep_ref=True)
        # On 1102 this handler would send an account-summary request by itself.
        self._ib.errorEvent.disconnect(self._ib._onError)
        self._ib.execDetailsEvent.connect(self._check_execution, keep_ref=True)
        self._ib.orderStatusEvent.connect(self._check_order_status, keep_ref=True)

    # From the socket

    def _on_data(self, data: bytes) -> None:
        if self._stopped:
            return
        self._received_at = self._sink.now()
        self._in_packet = True
        try:
            if self._framing is None:
                self._log_in(data)
            else:
                self._read(self._framing, data)
        except Exception as error:
            # After any error, this packet is not journalled as a whole.
            self._fail_by_mistake(error)
        finally:
            self._finish_packet()

    def _log_in(self, data: bytes) -> None:
        """Let ib_insync read the handshake, and the messages that it needs for the login."""
        client = self._client
        try:
            client._onSocketHasData(data)
        except Exception as error:
            # ib_insync reads the handshake without checks. An error there is the peer's fault, not a fault of
            # capture: the link ends with the error as its reason, and is made again.
            cause = f"{type(error).__name__}: {error}"
            self._unreadable(f"its login cannot be read: {data[:_SHOWN]!r}, {cause}")
            return
        if wrong := objection(announced(client._data)):
            self._unreadable(wrong)
        elif client.isReady():
            self._framing, client._data = Framing(client._data), b""
            self._time_unfinished(self._framing, messages=0)

    def _read(self, framing: Framing, data: bytes) -> None:
        """Process each message of a connection that is logged in."""
        messages = framing.feed(data)
        self._time_unfinished(framing, len(messages))
        self._sink.journal.prefetch(messages)
        self._sort(messages)
        if framing.broken:
            self._unreadable(framing.broken)

    def _time_unfinished(self, framing: Framing, messages: int) -> None:
        if not framing.unfinished:
            self.unfinished_since = None
        elif messages or self.unfinished_since is None:
            self.unfinished_since = self._loop.time()

    def _fail_by_mistake(self, error: Exception) -> None:
        """End capture because of a bug of ours, with this reason, rather than go on without a frame."""
        logger.exception("the capture ends because of a bug; every message before it is in the journal")
        self._fail(f"{type(error).__name__}: {error}")

    def _unreadable(self, what: str) -> None:
        self._stopped = True
        if not self.closed.done():
            self.closed.set_result(f"the peer does not speak the TWS protocol ({what[:_LONGEST_REASON]})")

    def _finish_packet(self) -> None:
        """Append the messages of this packet, then pass them on; close the connection if something failed."""
        packet, self._packet = self._packet, []
        to_append, self._to_append = self._to_append, []
        if self._stopped:
            to_append, self._early = self._early + to_append, []
        try:
            self._sink.append(self._received_at, to_append)
            self._pass_on()
            self._prune()
            self._listener.on_packet(packet)
        except Exception as error:
            # Any error ends capture for good, with this reason; the next start asks for the day again.
            if not isinstance(error, CaptureFailed):
                logger.exception("the capture ends because of a bug; its packet is in the journal")
            self._failure = self._failure or f"{type(error).__name__}: {error}"
        self._in_packet = False
        if self._failure:
            reason = str(self._sink.fail(self._failure))
            self.close(reason)
        elif self._stopped:
            self.close(self.refusal or "closed")

    def _on_message(self, fields: Sequence[str]) -> None:
        """Take a message of the login, instead of `decoder.interpret`."""
        self._sort((tuple(fields),))

    def _sort(self, messages: Sequence[Fields]) -> None:
        """Decide for each message whether it is journalled, and whether ib_insync decodes it."""
        if self._stopped:
            return
        try:
            if messages and not self._logged_in and self._client.isReady() and not self._begin_link():
                return
            kinds, is_new = self._kinds, self._dedup.is_new
            to_append = self._to_append if self._logged_in else self._early
            for frame in messages:
                message = frame[0] if frame else ""
                if message not in kinds:
                    continue
                self._packet.append(frame)
                unused = _UNUSED_DUPLICATES
                if is_new(frame):
                    to_append.append((Source.BROKER, frame))
                    unused = _UNUSED_BY_LIBRARY
                if message not in unused:
                    self._to_decode.append(frame)
        except Exception as error:
            # After any error the frame is not journalled.
            self._fail_by_mistake(error)

    def _pass_on(self) -> None:
        """Let ib_insync decode the messages that are durable now."""
        to_decode, self._to_decode = self._to_decode, []
        self._until_prune -= len(to_decode)
        # The receipt time of the messages that ib_insync decodes now.
        self._wrapper.tcpDataArrived()
        for frame in to_decode:
            if self._stopped:
                break
            self._current = frame
            self._decode(list(frame))
        self._current = ()

    def _begin_link(self) -> bool:
        """Check the login and journal that the link is up, ahead of its first message; False if refused."""
        self._logged_in = True
        accounts = tuple(self._client.getAccounts())
        version = self._client.serverVersion()
        self.refusal = self._listener.on_login(accounts, version) or ""
        early, self._early = self._early, []
        if self.refusal:
            self._stopped = True
            return False
        # Otherwise a notice of a lost IBKR that came first would count for an earlier link.
        self._to_append += [LinkUp(accounts, str(version)).arriving, *early]
        return True

    def _pass_execution(self, fields: list[str]) -> None:
        """Make an execution known to ib_insync by its identity, without its decoder, which fails on some
        times.

        ib_insync itself would read all fields into two objects, and drop an execution with an unexpected
        field.
        """
        if len(fields) < EXECUTION_FIELDS:
            return  # The frame is journalled unchanged; `normalise` says what is wrong with it.
        perm_id = int(fields[ExecutionAt.PERM_ID] or 0)
        execution = Execution(
            execId=fields[ExecutionAt.EXEC_ID],
            time=self._received_at,
            acctNumber=fields[ExecutionAt.ACCOUNT],
            permId=perm_id,
            clientId=int(fields[ExecutionAt.CLIENT_ID] or 0),
            orderId=int(fields[ExecutionAt.ORDER_ID] or 0),
        )
        trade = self._wrapper.permId2Trade.get(perm_id)
        of_order = trade is not None and str(trade.contract.conId) == fields[ExecutionAt.CON_ID]
        instrument = trade.contract if of_order else _instrument(fields, ExecutionAt.CON_ID)
        self._wrapper.execDetails(int(fields[ExecutionAt.REQUEST]), instrument, execution)

    def _pass_order(self, fields: list[str]) -> None:
        """Make an order known to ib_insync, which is all that its events need of an openOrder.

        ib_insync itself would read 136 fields into objects and copy them twice, which is most of the cost of
        a fill.
        """
        if len(fields) < ORDER_IDENTITY_FIELDS:
            return  # The frame is journalled unchanged.
        order_id = int(fields[OpenOrderAt.ORDER_ID])
        client_id = int(fields[OpenOrderAt.CLIENT_ID] or 0)
        perm_id = int(fields[OpenOrderAt.PERM_ID] or 0)
        wrapper = self._wrapper
        trade = wrapper.trades.get(key := wrapper.orderKey(client_id, order_id, perm_id))
        if trade is None:
            order = Order(orderId=order_id, clientId=client_id, permId=perm_id)
            status = OrderStatus(orderId=order_id)
            trade = wrapper.trades[key] = Trade(_instrument(fields, OpenOrderAt.CON_ID), order, status)
        trade.order.permId = perm_id
        if perm_id > 0:
            # ib_insync itself uses 0 as a key, and so confuses the fills of different orders.
            wrapper.permId2Trade.setdefault(perm_id, trade)

    # Failures

    def _fail(self, reason: str) -> None:
        """Stop for good; inside a packet only after the earlier messages are committed."""
        self._stopped = True
        self._failure = self._failure or reason
        if not self._in_packet:
            self.close(str(self._sink.fail(self._failure)))

    def _refused_message(self, error: Exception) -> None:
        self._fail(str(error))

    def _on_disconnected(self, message: str) -> None:
        self._stopped = True
        if not self.closed.done():
            self.closed.set_result(f"{PEER_CLOSED} ({message})" if message else PEER_CLOSED)
        if self._early and not self._in_packet:
            self._finish_packet()
        if not self.gone.done():
            self.gone.set_result(None)

    def _on_api_error(self, message: str) -> None:
        if not self.closed.done() and message.startswith("TWS/gateway version"):
            self.closed.set_result("the gateway is too old: its API must be of version 972 (157) or later")

    # Cross-check: what ib_insync's events report must come from a message that was captured

    def _check_execution(self, trade: Trade, fill: Fill) -> None:
        execution = fill.execution
        message = self._current
        if message[:1] == (Message.EXECUTION,) and execution_key(message) == (
            execution.acctNumber,
            execution.execId,
        ):
            return
        self._fail(f"cross-check: ib_insync reports execution {execution.execId}, which was never captured")

    def _check_order_status(self, trade: Trade) -> None:
        # Message 4: an error about an order makes ib_insync cancel it locally.
        if self._current[:1] in ((Message.ORDER_STATUS,), (Message.NOTICE,)):
            return
        self._fail(
            f"cross-check: ib_insync reports order {trade.order.permId} as {trade.orderStatus.status} "
            "without a message from the gateway"
        )

    def _prune(self) -> None:
        """Drop the past messages that ib_insync keeps, which would grow until the connection ends.

        We never read them. For a dropped order ib_insync only stops sending events.
        """
        if self._until_prune > 0:
            return
        self._until_prune = _PRUNE_EVERY
        wrapper = self._wrapper
        wrapper.fills.clear()
        live = {key: trade for key, trade in wrapper.trades.items() if not trade.isDone()}
        if len(live) > _PRUNE_EVERY:
            live = {}
        wrapper.trades = live
        wrapper.permId2Trade = {trade.order.permId: trade for trade in live.values()}
        for trade in live.values():
            trade.fills.clear()
            trade.log.clear()


def _instrument(fields: list[str], first: int) -> Contract:
    """Name a contract for ib_insync, which only compares the contract of an execution with that of its
    order.
    """
    return Contract(conId=int(fields[first] or 0), symbol=fields[first + 1], secType=fields[first + 2])
