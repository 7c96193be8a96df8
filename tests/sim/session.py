"""The tracker's side of the link, as `tracker.gateway.connection` behaves, without sockets and tasks.

Owns the order of the journalled notes: `up`, then positions (again while live executions come in between),
the executions of each account, `first_sweep`, the open orders; timeouts and quiet answers; `down`. Every
packet is one append, without the repeats that capture leaves out.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from typing import Final

from tests.sim.clock import SimClock
from tests.sim.gateway import SimGateway
from tracker.core.journal_entries import Fields
from tracker.core.model import Source
from tracker.gateway.capture_sink import Sink
from tracker.gateway.dedup import Deduplicator

POSITIONS: Final = "positions"
EXECUTIONS: Final = "executions"
OPEN_ORDERS: Final = "open_orders"
COMPLETED_ORDERS: Final = "completed_orders"
FIRST_SWEEP: Final = "first_sweep"
_SNAPSHOTS_AT_START: Final = 4
_ENDS: Final = {"62": POSITIONS, "55": EXECUTIONS, "53": OPEN_ORDERS, "102": COMPLETED_ORDERS}
_TIMEOUT: Final = timedelta(seconds=20)
_QUIET: Final = timedelta(seconds=2)
_LATEST_END: Final = 3 * _TIMEOUT
_SILENCE: Final = timedelta(seconds=40)


class SimSession:
    """Hold one connection; a new one for each.

    `whole` has it ask for all that the tracker asks for today: the broker's time with each request for
    positions, positions once more behind the first sweep, and completed orders; and note what a sweep proves.
    """

    def __init__(
        self,
        number: int,
        sink: Sink,
        gateway: SimGateway,
        clock: SimClock,
        accounts: tuple[str, ...],
        *,
        whole: bool = False,
        completed: bool = True,
    ) -> None:
        self._whole = whole
        self._sink = sink
        self._gateway = gateway
        self._clock = clock
        self._accounts = accounts
        self._number = number
        self._repeats = Deduplicator(sink.contains, sink.newest_fee)
        self._plan: deque[tuple[str, str]] = deque([(POSITIONS, "")])
        self._pending: tuple[str, str] | None = None
        self._asked_at = clock.now()
        self._answered_at = clock.now()
        self._heard_at = clock.now()
        self._quiet_noted = False
        self._live_executions = 0
        self._live_before = 0
        self._snapshots_left = _SNAPSHOTS_AT_START
        self._position_ends_owed = 0
        self._positions_barred_until: datetime | None = None
        self._next_request = 900_000_000
        self.started = False
        """Whether the first sweep is over."""
        self._plan_sweep()
        self._plan.append((FIRST_SWEEP, ""))
        self._plan.append((OPEN_ORDERS, ""))
        if whole:
            self._plan.append((POSITIONS, ""))
            if completed:
                self._plan.append((COMPLETED_ORDERS, ""))
        gateway.connect()
        self._note(Source.LINK, "up", ",".join(accounts), "176")

    @property
    def idle(self) -> bool:
        """Return whether nothing is asked or about to be."""
        return self._pending is None and not self._plan

    @property
    def sweeping(self) -> bool:
        """Return whether an answer about executions is awaited."""
        return self._pending is not None and self._pending[0] == EXECUTIONS

    def receive(self, count: int) -> None:
        """Take up to `count` frames off the socket as one packet."""
        packet = [self._gateway.queue.popleft() for _ in range(min(count, len(self._gateway.queue)))]
        if not packet:
            return
        self._heard_at = self._clock.now()
        news = [(Source.BROKER, fields) for fields in packet if self._repeats.is_new(fields)]
        if news:
            self._sink.append(self._number, self._clock.host(), news)
        for fields in packet:
            self._saw(fields)

    def tick(self) -> bool:
        """Ask what is next, or give up waiting; False when the link was given up for its silence."""
        now = self._clock.now()
        if self._pending is not None:
            if now - self._asked_at >= _TIMEOUT:
                self._timeout()
            elif self.sweeping and not self._quiet_noted and now - self._answered_at >= _QUIET:
                self._note(Source.LINK, "quiet", self._pending[1])
                self._quiet_noted = True
        if now - self._heard_at >= _SILENCE and self._gateway.silent:
            self.down()
            return False
        if self._pending is None and self._plan:
            self._ask()
        return True

    @property
    def _barred(self) -> bool:
        """Return whether a late End could be taken for that of a new request for positions."""
        until = self._positions_barred_until
        return until is not None and self._clock.now() < until

    def want_sweep(self) -> None:
        """Plan the whole day once more."""
        if not any(kind == EXECUTIONS for kind, _ in self._plan):
            self._plan_sweep()

    def want_positions(self) -> None:
        """Plan another snapshot, once the first sweep is over."""
        if self.started and not self._barred and (POSITIONS, "") not in self._plan:
            self._plan.append((POSITIONS, ""))

    def ask_time(self) -> None:
        """Ask for the broker's time at once, as the tracker does when its machine's clock was set."""
        self._note(Source.BROKER, *self._gateway.current_time())

    def down(self) -> None:
        """End the link as one that noticed."""
        self._gateway.disconnect()
        self._note(Source.LINK, "down", "the gateway closed the connection")

    def _plan_sweep(self) -> None:
        self._plan.extend((EXECUTIONS, account) for account in self._accounts)

    def _ask(self) -> None:
        kind, account = self._plan.popleft()
        if kind == POSITIONS and self._barred:
            # A late End of an earlier request must not be taken for this one's.
            self._plan.append((kind, account))
            return
        self._asked_at = self._answered_at = self._clock.now()
        if kind == FIRST_SWEEP:
            self.started = True
            self._note(Source.LINK, FIRST_SWEEP)
        elif kind == POSITIONS:
            self._pending = (kind, "-1")
            if self._positions_barred_until is not None:
                self._positions_barred_until = None
                self._position_ends_owed = 0
            self._position_ends_owed += 1
            self._live_before = self._live_executions
            self._note(Source.SENT, POSITIONS)
            if self._whole:
                # The gateway answers at once, whatever else is on its way.
                self._note(Source.BROKER, *self._gateway.current_time())
            self._gateway.answer_positions()
        elif kind == EXECUTIONS:
            request = self._next_request
            self._next_request += 1
            self._pending = (kind, str(request))
            self._quiet_noted = False
            self._note(Source.SENT, EXECUTIONS, str(request), account)
            self._gateway.answer_executions(request, account)
        elif kind == COMPLETED_ORDERS:
            self._pending = (kind, "-1")
            self._note(Source.SENT, COMPLETED_ORDERS)
            self._gateway.answer_completed_orders()
        else:
            self._pending = (kind, "-1")
            self._repeats.forget_orders()
            self._note(Source.SENT, OPEN_ORDERS)
            self._gateway.answer_open_orders()

    def _timeout(self) -> None:
        assert self._pending is not None
        kind, request = self._pending
        self._pending = None
        self._note(Source.LINK, "timeout", kind, request)

    def _saw(self, fields: Fields) -> None:
        message = fields[0]
        if message == "11" and fields[1] == "-1":
            self._live_executions += 1
        elif message in ("11", "59"):
            self._answered_at = self._clock.now()
        elif message == "4" and fields[3] in ("1101", "1102"):
            self.want_sweep()
            self.want_positions()
            if self._whole and (OPEN_ORDERS, "") not in self._plan:
                self._plan.append((OPEN_ORDERS, ""))
        if _ENDS.get(message) == POSITIONS:
            self._position_ends_owed = max(0, self._position_ends_owed - 1)
            owed = self._position_ends_owed > 0
            self._positions_barred_until = self._clock.now() + _LATEST_END if owed else None
        if message in _ENDS and self._pending is not None:
            kind, request = self._pending
            if _ENDS[message] == kind and (kind != EXECUTIONS or fields[2] == request):
                self._ended(kind, request)

    def _ended(self, kind: str, request: str) -> None:
        self._pending = None
        if kind == EXECUTIONS and self._whole:
            self._note(Source.LINK, "proof", request, "complete")
        disturbed = kind == POSITIONS and self._live_executions != self._live_before
        if disturbed and not self.started and self._snapshots_left > 1:
            self._snapshots_left -= 1
            self._plan.appendleft((POSITIONS, ""))

    def _note(self, source: Source, *fields: str) -> None:
        self._sink.append(self._number, self._clock.host(), [(source, fields)])
