"""The gateway between the broker and the tracker: what it knows, what it answers, what it loses.

Owns the gateway's view of the day, which stands still while its link to the broker is down, and the frames on
their way to the tracker. Everything goes over one socket, so an answer never overtakes what was pushed before
it; the one exception are executions that a fault holds back, and those are let go before positions are told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from random import Random

from tests.sim.broker import VERSION, AccountContract, Event, SimBroker
from tests.sim.clock import NEW_YORK, SimClock
from tests.sim.first_answers import FirstAnswers
from tests.sim.late_reports import LateReports
from tests.sim.options import Options
from tracker.paper import encode_messages
from tracker.paper.framing import Fields
from tracker.paper.model import Fee, PaperExecution


@dataclass(frozen=True, slots=True)
class Listing:
    """Hold what one answer to a positions request listed, and the executions that this contains."""

    at: datetime
    positions: dict[AccountContract, Decimal]
    contained: frozenset[str]


class SimGateway:
    """Pass on what happens, with faults; answer what is asked."""

    def __init__(self, rng: Random, clock: SimClock, broker: SimBroker, options: Options) -> None:
        self._rng = rng
        self._clock = clock
        self._broker = broker
        self._options = options
        self.faults = True
        self.upstream = True
        self.connected = False
        self.silent = False
        self.queue: deque[Fields] = deque()
        """What is on its way to the tracker."""
        self.garbled: set[Fields] = set()
        """Frames that nobody can decode."""
        self.refused: set[Fields] = set()
        """Frames on which the core fails."""
        self.listings: list[Listing] = []
        """The answers to positions requests."""
        self.first_answers: FirstAnswers | None = None
        """What its answers about positions are like at first; None where they are always right."""
        self.late_reports: LateReports | None = None
        """Executions that it learns of behind their positions; None where there are none."""
        self._held_back: list[Fields] = []
        self._backlog: list[Event] = []
        self._subscribed = False
        self._executions: dict[str, PaperExecution] = {}
        self._fees: dict[str, Fee] = {}
        self._foreign_fees: set[str] = set()
        self._positions = dict(broker.positions)

    # The link

    def connect(self) -> None:
        """Begin a connection; nothing of an earlier one comes any more."""
        self.disconnect()
        self.connected = True
        if self.first_answers is not None:
            self.first_answers.connected(self._positions)
        if not self.upstream:
            text = "Connectivity between TWS and server is broken. It will be restored automatically."
            self._send(encode_messages.error(-1, 2110, text, VERSION))

    def disconnect(self) -> None:
        """Lose the connection with everything that is on its way."""
        if self.connected and self.first_answers is not None:
            self.first_answers.disconnected(self._positions)
        self.connected = self.silent = self._subscribed = False
        self.queue.clear()
        self._held_back.clear()

    def lose_upstream(self) -> None:
        """Lose the broker: 1100 is told, and from now on nothing is known."""
        self.upstream = False
        self._send(
            encode_messages.error(
                -1, 1100, "Connectivity between IBKR and Trader Workstation has been lost.", VERSION
            )
        )

    def regain_upstream(self) -> None:
        """Have the broker back: 1101 or 1102; what was missed is known, but pushed only perhaps."""
        self.upstream = True
        backlog, self._backlog = self._backlog, []
        code = self._rng.choice((1101, 1102))
        self._send(
            encode_messages.error(-1, code, "Connectivity between IBKR and TWS has been restored.", VERSION)
        )
        for event in backlog:
            self._learn(event)
            if not self._happens(self._options.lost_in_storm):
                self._push(event)

    # What happens at the broker

    def hear(self, events: Sequence[Event]) -> None:
        """Learn what happened, and push it."""
        events = list(events)
        if self._happens(self._options.shuffles):
            # IBKR promises no order among executions, openOrder and orderStatus.
            self._rng.shuffle(events)
        if self.late_reports is not None and self.faults:
            events = [self.late_reports.split(event) for event in events]
        for event in events:
            if self.upstream:
                self._learn(event)
                self._push(event)
            else:
                self._backlog.append(event)

    def release(self) -> None:
        """Let go of one frame that was held back, and report what is due."""
        if self.late_reports is not None and self.upstream:
            for event in self.late_reports.due():
                self._learn(event)
                self._push(event)
        if self._held_back:
            self._send(self._held_back.pop(self._rng.randrange(len(self._held_back))))

    def _learn(self, event: Event) -> None:
        if event.execution is not None:
            self._executions[event.execution.exec_id] = event.execution
        if event.fee is not None:
            self._fees[event.fee.exec_id] = event.fee
            if event.foreign:
                self._foreign_fees.add(event.fee.exec_id)
        if event.position is not None:
            key, quantity = event.position
            self._positions[key] = quantity

    def _push(self, event: Event) -> None:
        if event.foreign and self._happens(self._options.silent_foreign):
            return
        for fields in event.frames:
            if fields[0] == "11" and self._happens(self._options.garbled):
                fields = (*fields[:19], "?", *fields[20:])
                self.garbled.add(fields)
            elif fields[0] == "11" and self._happens(self._options.refused):
                self.refused.add(fields)
            if self._happens(self._options.delays) and fields[0] in ("11", "59", "3"):
                self._held_back.append(fields)
                continue
            for _ in range(1 + self._happens(self._options.duplicates)):
                self._send(fields)
        if event.position is not None and self._subscribed:
            frame = self._broker.position_frame(*event.position)
            if self._happens(self._options.late_positions):
                self._held_back.append(frame)
            else:
                self._send(frame)

    # What is asked

    def answer_positions(self) -> None:
        """Answer reqPositions: what is held, zeros of today included, and every change from now on."""
        held, self._held_back = self._held_back, []
        for fields in held:
            if fields[0] != "61":
                self._send(fields)
        self._subscribed = True
        at = self._clock.now()
        self.listings.append(Listing(at, dict(self._positions), frozenset(self._executions)))
        listed = self._positions
        if self.first_answers is not None and self.faults:
            listed = self.first_answers.listed(listed)
        frames = [self._broker.position_frame(key, quantity) for key, quantity in listed.items()]
        self._answer(frames, encode_messages.position_end())

    def answer_executions(self, request_id: int, account: str) -> None:
        """Answer reqExecutions for one account: the whole day, with the fees that are known."""
        frames: list[Fields] = []
        for exec_id, execution in self._executions.items():
            if execution.account != account or self._left_out(exec_id) or not self._of_today(exec_id):
                continue
            frames.append(self._broker.execution_frame(execution, request_id))
        for exec_id, fee in self._fees.items():
            known = exec_id in self._executions and exec_id not in self._foreign_fees
            if known and self._executions[exec_id].account == account and self._of_today(exec_id):
                frames.append(encode_messages.commission_report(fee))
        self._answer(frames, encode_messages.executions_end(request_id))

    def answer_open_orders(self) -> None:
        """Answer reqAllOpenOrders."""
        self._answer(self._broker.open_order_frames(), encode_messages.open_order_end())

    def answer_completed_orders(self) -> None:
        """Answer reqCompletedOrders: the orders that ended today, of all clients."""
        self._answer(self._broker.completed_order_frames(), encode_messages.completed_orders_end())

    def current_time(self) -> Fields:
        """Return what the broker's clock shows."""
        return encode_messages.current_time(int(self._clock.now().timestamp()))

    def _of_today(self, exec_id: str) -> bool:
        """Return whether an execution is of this day of the login, which is all that a sweep reaches."""
        zone = NEW_YORK
        made = self._executions[exec_id].time.astimezone(zone).date()
        return made == self._clock.now().astimezone(zone).date()

    def _left_out(self, exec_id: str) -> bool:
        """Return whether a sweep leaves out a version that this gateway knows to be replaced."""
        if not self._options.corrections_only_latest or exec_id.count(".") != 3:
            return False
        root, _, version = exec_id.rpartition(".")
        return f"{root}.{int(version) + 1:02d}" in self._executions

    def _answer(self, frames: list[Fields], end: Fields) -> None:
        """Send an answer; its end may be missing, or all of it."""
        if not self._happens(self._options.missing_ends):
            frames.append(end)
        elif self._rng.random() < 0.5:
            del frames[self._rng.randint(0, len(frames)) :]
        for fields in frames:
            self._send(fields)

    def _send(self, fields: Fields) -> None:
        if self.connected and not self.silent:
            self.queue.append(fields)

    def _happens(self, rate: float) -> bool:
        return self.faults and rate > 0 and self._rng.random() < rate
