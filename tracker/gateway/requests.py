"""Send the requests of one connection with ib_insync's client, and end them by the messages that capture
sees.

Owns the pending requests of a connection and the journal's notes about them. `request_schedule.py` decides
when to send them. ib_insync's own futures are never used: a request that times out there stays pending and
silences an event until the connection ends, and of two simultaneous requests one never ends.

- A note about a request is durable before the request leaves.
- Each request waits for its End at most `within` seconds, `request_timeout` by default; a timeout is noted,
  and proves nothing.
- An End that comes later than that finds no request here, and is ignored.
- At most one request of each kind is outstanding.
- An error that names a request ends it without an answer.

Messages about positions carry no request number, so an End may belong to an earlier request:

- After one request without an End the next may be sent at once: whichever of the two ends first, the rows
  since the first one form a whole answer.
- Once one of two has ended, the next waits until the other's End came too, or three timeouts passed: it would
  end a third request before its rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeAlias

from tracker.core.journal_entries import (
    CompletedOrdersAsked,
    Entry,
    ExecutionsAsked,
    Fields,
    OpenOrdersAsked,
    PositionsAsked,
    RequestTimedOut,
    SweepChecked,
    SweepQuiet,
)
from tracker.core.message_fields import PUSHED, ExecutionAt, ExecutionsEndAt, Message, field_at
from tracker.core.model import EndOf, Notice
from tracker.gateway.capture_sink import CaptureSink
from tracker.gateway.ib_insync_compat import ExecutionFilter
from tracker.gateway.link import LinkOptions

POSITIONS: Final = EndOf.POSITIONS.value
EXECUTIONS: Final = EndOf.EXECUTIONS.value
OPEN_ORDERS: Final = EndOf.OPEN_ORDERS.value
COMPLETED_ORDERS: Final = EndOf.COMPLETED_ORDERS.value

_ENDS: Final = {
    Message.OPEN_ORDERS_END: OPEN_ORDERS,
    Message.POSITIONS_END: POSITIONS,
    Message.COMPLETED_ORDERS_END: COMPLETED_ORDERS,
}
IN_ANSWERS: Final = frozenset({Message.EXECUTION, Message.FEE, Message.EXECUTIONS_END, *_ENDS})
"""The messages that show the progress of an answer."""
_FIRST_REQUEST: Final = 900_000_000
"""Far from order ids, since a notice names either kind of id in one field."""
_NO_REQUEST: Final = -1
_LATEST_END: Final = 3
"""The number of timeouts after which a missing End is no longer expected."""

_RequestKey: TypeAlias = tuple[str, int]


class Requests:
    """Ask for positions, executions and orders over one connection; one of each kind at a time.

    `ask_time` asks for the broker's time.
    """

    def __init__(
        self,
        client: Any,
        sink: CaptureSink,
        options: LinkOptions,
        ask_time: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._ask_time = ask_time
        self._sink = sink
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._pending: dict[_RequestKey, asyncio.Future[bool]] = {}
        self._next_request = _FIRST_REQUEST
        self._answered_at: float | None = None
        """Loop time of the last message that answered the pending executions request."""
        self._named: set[str] = set()
        """The execIds that the current answer about executions has named."""
        self.listed = 0
        """How many executions the last answer listed."""
        self.forbidden: set[str] = set()
        """Kinds of request that the gateway's Read-Only API refuses; asking again changes nothing."""
        self._ends_owed = 0
        """How many position requests are still without an End."""
        self._ambiguous_at: float | None = None
        """Loop time of the last End after which others are still missing."""
        self.skew = timedelta(0)
        """How far our clock is ahead of the broker's."""
        self.live_executions = 0
        """Executions pushed by the gateway so far, repeats included."""

    async def positions(self, within: float | None = None) -> bool:
        """Ask for the positions; True when the answer ended, False when it timed out."""
        assert not self.positions_barred, "an earlier End would be taken for this one's"
        if self._ambiguous_at is not None:
            self._ambiguous_at = None
            self._ends_owed = 0
        self._ends_owed += 1
        return await self._ask((POSITIONS, _NO_REQUEST), PositionsAsked(), self._send_positions, within)

    def _send_positions(self) -> None:
        """Ask for the broker's time just before the positions, since it dates the answer."""
        self._ask_time()
        self._client.reqPositions()

    @property
    def positions_barred(self) -> float:
        """Return for how many more seconds a late End could be mistaken for that of a new request for
        positions.
        """
        if self._ambiguous_at is None:
            return 0.0
        return max(0.0, self._ambiguous_at + _LATEST_END * self._options.request_timeout - self._loop.time())

    async def open_orders(self, within: float | None = None) -> bool:
        """Ask for the open orders of all clients, which binds no order; True when the answer ended."""
        key = (OPEN_ORDERS, _NO_REQUEST)
        return await self._ask(key, OpenOrdersAsked(), self._client.reqAllOpenOrders, within)

    async def completed_orders(self, within: float | None = None) -> bool:
        """Ask for the day's completed orders; True when the answer ended."""
        key = (COMPLETED_ORDERS, _NO_REQUEST)
        ask = partial(self._client.reqCompletedOrders, False)
        return await self._ask(key, CompletedOrdersAsked(), ask, within)

    async def executions(self, account: str, within: float | None = None) -> bool:
        """Ask for one account's executions of the whole day; True when the answer ended.

        It uses no time filter: a filter without a zone is read in TWS's zone and could lead to a wrong proof.
        An answer that ended is proof up to its request if it lists everything journalled for that day; a note
        says whether it does.
        """
        request = self._next_request
        self._next_request += 1
        self._answered_at = None
        self._named = set()
        query = ExecutionFilter(acctCode=account)
        midnight, asked = self.midnight(), self._sink.now()
        ended = await self._ask(
            (EXECUTIONS, request),
            ExecutionsAsked(request, account),
            partial(self._client.reqExecutions, request, query),
            within,
        )
        # On a busy day they are megabytes.
        named, self._named = self._named, set()
        self.listed = len(named)
        if ended:
            missing = self._sink.journal.count_missing(account, named, midnight, asked)
            self._sink.append_entry(SweepChecked.of(request, missing))
        return ended

    def midnight(self) -> datetime:
        """Return when the account's day began by the broker's clock, which is how far back an answer
        reaches.
        """
        local = (self._sink.now() - self.skew).astimezone(self._options.login_zone)
        return local.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)

    def on_message(self, fields: Fields) -> None:
        """Process a message of the connection; an End ends its request."""
        message = fields[0] if fields else ""
        if message == Message.EXECUTION:
            request = field_at(fields, ExecutionAt.REQUEST)
            if request == PUSHED:
                self.live_executions += 1
            elif self._waits_for(EXECUTIONS, request):
                self._answered_at = self._loop.time()
                if (exec_id := field_at(fields, ExecutionAt.EXEC_ID)) is not None:
                    self._named.add(exec_id)
        elif message == Message.FEE:
            if self._answered_at is not None:
                self._answered_at = self._loop.time()
        elif message == Message.EXECUTIONS_END:
            self._end(EXECUTIONS, field_at(fields, ExecutionsEndAt.REQUEST), ended=True)
        elif message in _ENDS:
            if _ENDS[message] == POSITIONS:
                self._ends_owed = max(0, self._ends_owed - 1)
                self._ambiguous_at = self._loop.time() if self._ends_owed else None
            self._end(_ENDS[message], str(_NO_REQUEST), ended=True)

    def on_error(self, notice: Notice) -> None:
        """Process an error; one that names a pending request ends it without an answer."""
        if 2100 <= notice.code < 2200:
            return
        self._end(EXECUTIONS, str(notice.request_id), ended=False)
        if notice.code == 321 and notice.request_id == _NO_REQUEST:
            # With the Read-Only API on, the error about completed orders names no request.
            if any(of == COMPLETED_ORDERS for of, _ in self._pending):
                self.forbidden.add(COMPLETED_ORDERS)
            self._end(COMPLETED_ORDERS, str(_NO_REQUEST), ended=False)

    def _waits_for(self, kind: str, request: str | None) -> bool:
        return any((kind, str(number)) == (of, request) for of, number in self._pending)

    def _end(self, kind: str, request: str | None, *, ended: bool) -> None:
        for (of, number), future in self._pending.items():
            if (of, str(number)) == (kind, request) and not future.done():
                future.set_result(ended)

    async def _ask(
        self, key: _RequestKey, sent: Entry, send: Callable[[], None], within: float | None
    ) -> bool:
        answer: asyncio.Future[bool] = self._loop.create_future()
        assert key[0] not in {kind for kind, _ in self._pending}, f"two {key[0]} requests at once"
        self._pending[key] = answer
        try:
            self._sink.append_entry(sent)
            send()
            ended = await self._answer(
                key, answer, self._options.request_timeout if within is None else within
            )
        finally:
            del self._pending[key]
        if not ended:
            self._sink.append_entry(RequestTimedOut(*key))
        return ended

    async def _answer(self, key: _RequestKey, answer: asyncio.Future[bool], within: float) -> bool:
        """Wait for the End, at most `within` seconds; note a sweep that became quiet without one."""
        deadline = self._loop.time() + within
        quiet = self._options.quiet_seconds
        may_be_quiet = key[0] == EXECUTIONS
        while not answer.done():
            now = self._loop.time()
            if now >= deadline:
                return False
            left = deadline - now
            if may_be_quiet:
                since = now if self._answered_at is None else self._answered_at
                if now - since >= quiet:
                    self._sink.append_entry(SweepQuiet(key[1]))
                    may_be_quiet = False
                else:
                    left = min(left, since + quiet - now)
            await asyncio.wait({answer}, timeout=left)
        return answer.result()
