"""Turn facts, in the order of the journal, into orders, fills, positions and ownership.

Owns every rule by which a fact changes a row of the state. It is a function of the frames and of the alerts
that `candidates` answers: the same frames give the same rows. It never invents a fill, never reads a clock,
and writes nowhere but into the state.

Rules
| fact | what it changes |
|---|---|
| execution, new | booked with its match; folded into its contract |
| execution, known | nothing, by whatever message and however often it comes |
| correction: another version of a known execution | the highest is in force, in the first one's place |
| execution of a combo (BAG) | booked, never folded: its legs are |
| execution of an account that is not watched | booked and folded, matched to nothing |
| fee | the sums of its order; never holds a fill |
| orderStatus, openOrder | total, status and remaining; no quantity, no opening, no closing |
| position | compared; gives a contract its baseline only in a complete snapshot |
| end of positions | gives a baseline to contracts that wait or are unconfirmed (after a break once swept) |
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, timedelta, tzinfo
from typing import Final

from tracker.core.alert_updates import (
    ClosingPolicy,
    EventKind,
    TrackerEvent,
    queue_update,
)
from tracker.core.alerters import AlerterNames
from tracker.core.broker_clock import BrokerTimes
from tracker.core.completeness import BROKEN, RESTORED, Completeness
from tracker.core.corrections import Unnamed, put_in_force, swept_before_newer, versions_of
from tracker.core.differences import Differences
from tracker.core.expirations import Expirations
from tracker.core.journal_entries import (
    AdjustmentTold,
    Assigned,
    Dismissed,
    Entry,
    EventCancelled,
    ExecutionsAsked,
    FirstSweepOver,
    LinkDown,
    LinkUp,
    OpenOrdersAsked,
    PartAssigned,
    PositionChanged,
    PositionsAsked,
    RecordBack,
    RecordCopied,
    RecordGone,
    RecordReplaced,
    Rematched,
    RequestTimedOut,
    SweepChecked,
    SweepQuiet,
    Undone,
    read_entry,
)
from tracker.core.model import (
    AlertId,
    BrokerFact,
    BrokerTime,
    CommissionReport,
    CompletedOrder,
    End,
    EndOf,
    Execution,
    ExecutionKey,
    Frame,
    Notice,
    OpenOrder,
    OrderStatus,
    Position,
    Undecodable,
    Unmatched,
)
from tracker.core.orders import Orders
from tracker.core.ownership import BookingVerdict, Decide, Ownership
from tracker.core.positions import Positions
from tracker.core.present_records import Candidates
from tracker.core.record_changes import RecordChanges
from tracker.core.state import ALERTS, EXECUTIONS, POSITIONS, LedgerState
from tracker.core.state_rows import (
    UNREAD,
    BookedExecution,
    BrokerPosition,
    ContractKey,
    Holding,
)
from tracker.core.undecodables import Undecodables

_IN_RUNS: Final = (Execution, CommissionReport, OrderStatus, OpenOrder)
"""The facts of which a stream of fills is made."""


class Ledger:
    """Apply facts to the ledger's state.

    `accounts` empty watches every account; `zone` is that of the accounts' midnight. `decide` matches an
    execution against the alerts that the store has now, `candidates` returns those that it may belong to.
    `ran` says for how many seconds we ran with a readable store. `settle` ends a batch: it puts the updates
    into the outbox.
    """

    def __init__(
        self,
        state: LedgerState,
        decide: Decide,
        *,
        policy: ClosingPolicy = ClosingPolicy.MARK,
        accounts: Collection[str] = (),
        zone: tzinfo = UTC,
        names: AlerterNames | None = None,
        candidates: Candidates = lambda execution: (),
        ran: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._state = state
        self._policy = policy
        self._accounts = frozenset(accounts)
        names = names or AlerterNames()
        self._positions = Positions(state, self._touch, self._needs_person, names, zone)
        self._ownership = Ownership(
            state,
            self._positions,
            decide,
            candidates,
            self._needs_person,
            ran,
            names,
            self._folded,
        )
        self._orders = Orders(state, self._touch)
        self._completeness = Completeness(state, zone)
        self._expirations = Expirations(state, zone)
        self._differences = Differences(state, zone, self._positions)
        self._undecodables = Undecodables(state)
        self._unnamed = Unnamed(state)
        self._times = BrokerTimes(state)
        self._ownership.skew = self._completeness.skew = self._times.skew
        self._undecided: dict[ExecutionKey, None] = {}
        """The fills of this batch that need a person."""
        self._dirty: dict[AlertId, dict[ContractKey, None]] = {}
        self._records = RecordChanges(state, self._ownership, self._touch, self._folded)
        self._events: list[TrackerEvent] = []
        self._sweep_reasons: list[str] = []
        self._position_reasons: list[str] = []

    @property
    def skew(self) -> timedelta:
        """How far our clock is ahead of the broker's."""
        return self._times.skew

    # Facts

    def apply(self, frame: Frame, fact: BrokerFact | None) -> None:
        """Apply one frame; `fact` is what a broker frame says, None for the other sources."""
        entry = None
        if isinstance(fact, _IN_RUNS):
            # These facts depend neither on positions nor on completeness.
            self._events += self._completeness.judge(frame)
        else:
            entry = read_entry(frame)
            self._positions.settle()
            self._events += self._completeness.apply(frame, fact, entry)
            self._expirations.apply(fact)
        match fact:
            case Execution():
                self._execution(frame, fact)
            case CommissionReport():
                self._fee(frame, fact)
            case OrderStatus():
                self._orders.status(fact)
            case OpenOrder():
                self._orders.open_order(fact)
            case None:
                self._note(frame, entry)
            case Position():
                self._position(frame, fact)
            case End():
                self._end(frame, fact)
            case Undecodable():
                self.refuse(frame, fact)
            case BrokerTime():
                self._broker_time(frame, fact)
            case CompletedOrder():
                self._orders.completed(fact)
            case Notice(_, code, _) if code in BROKEN:
                self._positions.upstream_lost()
                self._orders.upstream(connected=False)
            case Notice(_, code, _) if code in RESTORED:
                self._positions.upstream_back()
                self._orders.upstream(connected=True)
            case _:
                pass  # Other notices say nothing of a fill.

    def settle(self, frame: Frame) -> list[TrackerEvent]:
        """End a batch with its last frame: put what the touched alerts must show into the outbox."""
        self._positions.settle()
        self._orders.settle()
        for key in self._undecided:
            booked = self._booked(key)
            if booked is not None and booked.wants_person:
                self._emit(EventKind.NEEDS_YOU, frame, booked, booked.attention.value)
        self._undecided.clear()
        for alert, contracts in list(self._dirty.items()):
            self._records.hand_on(frame, alert, list(contracts))
        self._positions.settle()
        for alert, contracts in self._dirty.items():
            self._events += queue_update(self._state, alert, contracts, self._policy, frame)
        self._dirty.clear()
        self._events += self._records.take_orphans(frame)
        events, self._events = self._events, []
        return events

    def take_sweep_reasons(self) -> list[str]:
        """Return once why the day's executions should be requested.

        An order that lacks fills is no reason while an answer is awaited, which may bring them.
        """
        reasons, self._sweep_reasons = self._sweep_reasons, []
        if self._positions.awaits_sweep(self._completeness.link.accounts):
            return reasons
        return reasons + self._orders.take_shortfalls()

    def take_position_reasons(self) -> list[str]:
        """Return once why the positions should be requested."""
        reasons, self._position_reasons = self._position_reasons, []
        return reasons + self._differences.take_reasons()

    # Executions

    def _execution(self, frame: Frame, execution: Execution) -> None:
        execution = self._times.dated(frame, execution)
        known = self._booked(execution.key)
        if known is not None:
            self._repeat(frame, known, execution)
            return
        unread = self._undecodables.came(execution.exec_id)
        self._undecodables.heal_execution(execution.exec_id)
        versions = versions_of(self._state, execution, self._unnamed)
        passed_over = self.passes_over(execution)
        if versions or passed_over:
            verdict = BookingVerdict(Unmatched(passed_over))
        else:
            verdict = self._ownership.judge(frame, execution)
        # A sweep may have contained what could not be read, since duplicates are not journalled.
        swept_until = UNREAD if unread else self._completeness.swept_until(execution.account)
        booked = BookedExecution(
            execution,
            frame.seq,
            frame.received_at,
            frame.connection_no,
            verdict.match,
            source=frame.source,
            swept_before=min((swept_until, *swept_before_newer(execution, versions))),
            unread_push=self._undecodables.push_of(execution.exec_id),
            folded=execution.contract.is_combo,
            at_booking=verdict.at_booking,
            dismissed=verdict.dismissed,
        )
        if versions:
            self._correct(frame, booked, versions)
            return
        self._emit(EventKind.FILL, frame, booked)
        self._events += self._times.far_from_receipt(booked)
        if booked.counted:
            self._orders.add(booked)
            self._positions.add(booked, execution.signed)
        else:
            self._state.put(EXECUTIONS, booked)
        if not execution.contract.is_combo:
            # Its account may be watched later.
            self._ownership.booked(frame, booked, verdict)

    def passes_over(self, execution: Execution) -> str:
        """Return why an execution is never matched, whatever the alerts are; empty if it is matched."""
        if execution.contract.is_combo:
            return "a combo's own line; its legs are counted"
        if self._accounts and execution.account not in self._accounts:
            return f"account {execution.account} is not watched"
        return ""

    def _repeat(self, frame: Frame, known: BookedExecution, execution: Execution) -> None:
        was = known.execution
        if (was.quantity, was.price, was.side, was.contract.con_id) != (
            execution.quantity,
            execution.price,
            execution.side,
            execution.contract.con_id,
        ):
            self._emit(EventKind.CONFLICT, frame, known, note="the broker repeats it with other values")

    def _correct(self, frame: Frame, booked: BookedExecution, versions: Sequence[BookedExecution]) -> None:
        """Put the highest correction in force, in the place of the first version, with its decision."""
        corrected = put_in_force(self._state, booked, versions)
        decided, in_force = corrected.were[0], corrected.now
        if decided.execution.signed != in_force.execution.signed or booked.key == in_force.key:
            self._emit(EventKind.CORRECTION, frame, in_force)
        self._orders.correct(corrected)
        if not in_force.counted:
            return
        self._positions.correct(in_force, corrected.change, folded=corrected.folded)

    def _booked(self, key: ExecutionKey) -> BookedExecution | None:
        return self._state.get(EXECUTIONS, f"{key.account} {key.exec_id}")

    def _touch(self, alerts: Iterable[AlertId], key: ContractKey | None = None) -> None:
        """Note that these alerts must be shown again when the batch ends."""
        for alert in alerts:
            contracts = self._dirty.setdefault(alert, {})
            if key is not None:
                contracts[key] = None

    def _folded(self, alert: AlertId) -> Iterable[ContractKey]:
        """Return the contracts that this batch folded for an alert so far."""
        return self._dirty.get(alert, ())

    def _fee(self, frame: Frame, fee: CommissionReport) -> None:
        for booked in self._orders.fee(fee):
            self._events.append(TrackerEvent(EventKind.FEE, frame.received_at, booked, fee=fee))

    # Positions

    def _position(self, frame: Frame, position: Position) -> None:
        self._state.put(POSITIONS, BrokerPosition(position, frame.seq, frame.received_at))
        key = ContractKey(position.account, position.contract.con_id)
        self._positions.listed(key.text(), position.quantity)
        if not self._positions.answering:
            self._differences.pushed(key, position.quantity, self._times.moment(frame))
        self._ask_again()

    def _end(self, frame: Frame, end: End) -> None:
        if end.of is EndOf.EXECUTIONS:
            self._positions.sweep_over(end.request_id, ended=True)
            self._differences.judge_pushed(self._times.moment(frame))
            self._proven()
        elif end.of is EndOf.POSITIONS:
            if not self._positions.snapshot_ended(self._times.moment(frame)):
                if self._positions.asks_again:
                    self._position_reasons.append("the last answer lags behind the executions")
                return
            for key in self._expirations.snapshot(self._completeness.link):
                self._positions.refold(key)
            self._events += self._differences.compare(frame, self._completeness.last_swept)
            self._events += self._completeness.snapshot(frame)
            self._ask_again()
        elif end.of is EndOf.OPEN_ORDERS:
            self._orders.open_orders_ended()

    def _proven(self) -> None:
        """Note after which certain answers about positions a complete sweep was requested."""
        for account in self._completeness.link.accounts:
            if until := self._completeness.swept_until(account):
                self._positions.sweep_proven(account, until)

    def _broker_time(self, frame: Frame, time: BrokerTime) -> None:
        self._events += self._times.set_clock(frame, time)
        self._ownership.skew = self._times.skew
        self._events += self._completeness.set_skew(frame, self._times.skew)
        self._positions.snapshot_dated(self._times.moment(frame))

    def _ask_again(self) -> None:
        """Check again the closed alerts that the broker's positions contradicted so far."""
        self._touch(row.alert for row in self._state.find(ALERTS, "doubted", "1"))

    # What could not be read

    def refuse(self, frame: Frame, fact: Undecodable) -> None:
        """Keep a frame that cannot be read or decided; frames of the same execution are kept once."""
        if fact.kind == "position":
            self._positions.listed(fact.contract, None)
        if not self._undecodables.keep(frame.seq, fact):
            return
        what = {"kind": fact.kind, "reason": fact.reason}
        self._events.append(TrackerEvent(EventKind.UNDECODABLE, frame.received_at, what))
        if self._undecodables.asks_for(frame.seq, fact):
            self._sweep_reasons.append(f"execution {fact.exec_id} could not be read")

    def pass_over(self, frame: Frame) -> None:
        """Begin or end a connection whose own frame could not be decided; waiting executions still wait."""
        entry = read_entry(frame)
        if isinstance(entry, LinkUp | LinkDown):
            self._events += self._completeness.apply(frame, None, entry)
            self._positions.new_link(frame.seq, snapshot_due=isinstance(entry, LinkUp), fold=False)
            self._orders.new_link()

    def waits(self, key: ContractKey) -> bool:
        """Return whether executions of a contract are booked and not folded yet."""
        return self._positions.waits(key)

    def waiting(self) -> list[Holding]:
        """Return the holding of each contract with waiting executions, if it could be folded now."""
        return self._positions.waiting()

    def set_aside(self, key: ContractKey) -> None:
        """Let the executions of a contract wait whose fold failed; those of others need not."""
        self._positions.set_aside(key)

    def heal(self, seq: int) -> None:
        """Mark a kept frame as settled, since it is about to be applied again."""
        self._undecodables.heal(seq)

    # Notes of our own

    def _note(self, frame: Frame, entry: Entry | None) -> None:
        match entry:
            case PositionsAsked():
                self._positions.snapshot_asked(self._times.moment(frame), frame.connection_no)
            case ExecutionsAsked(request, account):
                self._positions.sweep_asked(request, account)
            case LinkUp():
                self._positions.new_link(frame.seq, snapshot_due=True)
                self._orders.new_link()
            case LinkDown():
                self._positions.new_link(frame.seq, snapshot_due=False)
                self._orders.new_link()
            case SweepChecked():
                self._proven()
            case OpenOrdersAsked():
                self._orders.open_orders_asked()
            case RequestTimedOut(EndOf.OPEN_ORDERS, _):
                self._orders.open_orders_failed()
            case RequestTimedOut(EndOf.POSITIONS, _):
                self._positions.snapshot_failed()
            case RequestTimedOut(EndOf.EXECUTIONS, request):
                self._positions.sweep_over(request)
            case SweepQuiet(request):
                self._positions.sweep_over(request, may_end=True)
            case FirstSweepOver():
                self._positions.no_more_snapshots()
            case Rematched(execution):
                self._rematch(frame, execution)
            case RecordReplaced():
                self._events += self._records.replaced(frame, entry)
            case RecordGone(alert):
                self._records.gone(alert)
            case RecordBack(alert):
                self._records.back(alert)
            case RecordCopied(alert):
                self._records.copied(frame, alert)
            case Assigned(execution, alert):
                self._assign(frame, execution, alert)
            case PartAssigned():
                self._assign_part(frame, entry)
            case Dismissed(execution):
                self._dismiss(frame, execution)
            case AdjustmentTold():
                self._differences.adjust(frame, entry, self._times.moment(frame))
            case PositionChanged():
                self._differences.reported(frame, entry)
            case EventCancelled():
                self._differences.cancelled(entry.frame)
            case Undone(seq, execution):
                self._undo(frame, seq, execution)
            case _:
                pass

    def _needs_person(self, booked: BookedExecution) -> None:
        self._undecided[booked.key] = None

    # Alerts

    def _rematch(self, frame: Frame, execution: ExecutionKey) -> None:
        """Match an execution's order again, since the store has changed."""
        booked = self._booked(execution)
        if booked is not None and not self.passes_over(booked.execution):
            self._ownership.rematch(frame, execution)

    def _assign(self, frame: Frame, execution: ExecutionKey, alert: AlertId) -> None:
        booked = self._ownership.assign(frame, execution, alert)
        if booked is not None:
            self._emit(EventKind.SETTLED, frame, booked, f"assigned to {alert.name}")

    def _assign_part(self, frame: Frame, entry: PartAssigned) -> None:
        booked = self._ownership.assign_part(frame, entry)
        if booked is not None:
            self._emit(EventKind.SETTLED, frame, booked, f"{entry.quantity} assigned to {entry.alert.name}")

    def _dismiss(self, frame: Frame, execution: ExecutionKey) -> None:
        booked = self._ownership.dismiss(execution)
        if booked is not None:
            self._emit(EventKind.SETTLED, frame, booked, "dismissed")

    def _undo(self, frame: Frame, seq: int, execution: ExecutionKey) -> None:
        self._differences.undo(seq)
        booked = self._ownership.undo(frame, execution, seq)
        if booked is not None:
            self._emit(EventKind.SETTLED, frame, booked, "a person took a decision back")

    def _emit(self, kind: EventKind, frame: Frame, booked: BookedExecution, note: str = "") -> None:
        self._events.append(TrackerEvent(kind, frame.received_at, booked, note))
