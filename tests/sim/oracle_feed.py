"""From what the tracker took in to the oracle's events, in the order in which the tracker handled them.

Owns that translation and nothing else. What an execution says is looked up at the broker, never read from the
tracker's own reading; what the stores say is the text that the tracker had before it. It calls no rule of the
core. What was held before the first execution is told to the oracle as the tracker has it, since position
answers are another subject: at the end it must be the broker's own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from tests.sim.broker import AccountContract, SimBroker
from tests.sim.broker_feed import BrokerFeed
from tests.sim.gateway import SimGateway
from tests.sim.looks import Journalled, Looks
from tests.sim.rules_oracle import facts
from tests.sim.rules_oracle.entries import Kind
from tests.sim.rules_oracle.facts import (
    Contract,
    Executed,
    LookedAgain,
    StoreRead,
)
from tests.sim.rules_oracle.oracle import Expected, Oracle
from tests.sim.rules_oracle.settings import Settings
from tests.sim.stores import OUR_FIELDS
from tests.support.fakes import Records
from tracker.core.journal_entries import Assigned, Dismissed, GapAccepted, GapReopened, Undone, read_entry
from tracker.core.message_fields import ExecutionAt, FeeAt, Message
from tracker.core.model import Frame, Source
from tracker.core.ports import AlertStore
from tracker.paper.contracts import PaperContract
from tracker.paper.model import PaperExecution

EARLY_FILL: Final = timedelta(seconds=120)
RETRY_FOR: Final = timedelta(minutes=15)
_NAMES: Final = {
    Kind.PART: "match at the booking",
    Kind.CREATION: "younger alert of a swept fill",
    Kind.LATE: "late match",
    Kind.ASSIGN: "assignment",
    Kind.DISMISS: "dismissal",
    Kind.TAKEOVER: "successor",
}
ZONE: Final = "America/New_York"
"""The stores' zone."""


class OracleFeed:
    """Follow one life, and say what is right by then."""

    def __init__(
        self,
        broker: SimBroker,
        gateway: SimGateway,
        watched: tuple[str, ...],
        policy: str,
        retry_for: timedelta,
        stored: Mapping[str, Mapping[str, str]],
        *,
        answers: bool = False,
    ) -> None:
        """`answers` has the oracle take opening balances and what changed without fills from the broker's
        answers itself."""
        self._answers = BrokerFeed(broker, self._tell, contract_of) if answers else None
        self._stored = stored
        self.broker = broker
        self.watched = watched
        self.known: dict[str, PaperExecution] = {}
        """execId -> what was taken in so far, every version."""
        self.known_at: dict[str, datetime] = {}
        self._gateway = gateway
        self._oracle = Oracle(
            Settings(
                early_fill=EARLY_FILL,
                retry_for=retry_for,
                policy=_policy(policy),
                accounts=frozenset(watched),
                looks_are_told=True,
            )
        )
        self.events: list[facts.Event] = []
        self.sometimes: Counter[str] = Counter()
        """How often what happens only sometimes did."""
        self._counted = 0
        self._decided: set[AccountContract] = set()
        """Of which executions were taken in by an earlier commit."""
        self._closed: set[tuple[str, str | None]] = set()
        self._wrong: set[str] = set()
        """Symbols of which the tracker's opening balance changed after it had decided with another one, or
        of which the broker held what no execution explained."""
        self._guessed: dict[AccountContract, set[Decimal]] = {}
        """Opening balances with which something was decided before they were confirmed."""
        self._doubted: set[AccountContract] = set()
        """Of which one of them waits to be confirmed."""
        self._openings: dict[AccountContract, Decimal] = {}
        self._skew: timedelta | None = None
        """What was measured last; None before."""
        self._unproven: frozenset[date] = frozenset()
        self._read: Records | None = None
        """What was read last; None while the store cannot be read."""
        self._served: Records | None = None
        """What fills are matched against, also while it cannot; None until a process has read the store."""
        self._looks = Looks(self._tell, self._oracle.known, self._order_of)
        self._now: Expected | None = None

    # What the tracker does

    def started(self, at: datetime) -> None:
        """Begin a process, which has read nothing yet."""
        self._read = self._served = None
        self._tell(facts.Started(at))

    def stopped(self, at: datetime, noted: int) -> None:
        """End a process; what it found by looking through the stores lasts only if it was `noted`."""
        self._looks.stopped(at, noted)
        if self._answers is not None:
            self._answers.stopped()
        self._tell(facts.Stopped(at, killed=True))

    def read(self, store: AlertStore, at: datetime, changed: bool, journalled: Journalled) -> None:
        """Take in a reading of the store; what it changes is found behind the frames `journalled` by then."""
        records = _own_text(store)
        if not changed and records == self._read:
            self._tell(facts.StoreUnchanged(at))
            return
        self._read = self._served = records
        if not journalled.noted:
            # What an earlier process noted is decided by what stands there now.
            self._looks.decided(at, journalled.decided)
        self._looks.note(at, journalled.noted)
        self._looks.keep_what_is_known()
        self._tell(StoreRead(at, records, self._stored, zone=ZONE, looked=False))
        self._looks.begin(journalled)

    def compared(self, journalled: Journalled) -> None:
        """Take in that the tracker looks through what it read, once more."""
        self._looks.begin(journalled)

    def clock_set(self, at: datetime, by: timedelta) -> None:
        """Take in that the clock of the tracker's machine was set, and shows `at` now."""
        self._tell(facts.ClockJumped(at, by))
        self.sometimes["clock set"] += 1

    def kept(self, at: datetime) -> None:
        """Take in that the tracker kept how long it ran."""
        self._tell(facts.RunTimeKept(at))

    def seen_kept(self, at: datetime) -> None:
        """Take in that the tracker kept when it first saw records that name no time."""
        self._tell(facts.FirstSeenKept(at))

    def lost(self, store: AlertStore, at: datetime) -> None:
        """Take in that the store cannot be read; what was last read still serves.

        So does what was seen since, as our own fields were written.
        """
        if self._served is not None and (records := _own_text(store)) != self._served:
            self._served = records
            self._tell(StoreRead(at, records, self._stored, zone=ZONE, looked=False))
        self._read = None
        self._tell(StoreRead(at, None, zone=ZONE))

    def rested(self, at: datetime, journalled: Journalled, *, waits: bool) -> None:
        """Take in that nothing is left to do: what was read is looked through, and what came since.

        What an earlier process noted waits until the store can be read. While executions wait for the end of
        their sweep, nobody looks whose they are by now unless the stores have changed.
        """
        if self._looks.open or self._looks.early:
            if not journalled.noted:
                self._looks.rested(at, journalled.decided)
        elif not waits:
            self._tell(LookedAgain(at))

    def commit(
        self,
        taken: Sequence[Frame],
        rest: Sequence[Frame],
        openings: Mapping[AccountContract, Decimal],
        unproven: frozenset[date],
        at: datetime,
    ) -> None:
        """Take in the frames of one transaction, and what the tracker takes for the opening balances now.

        `rest` are those behind them, which are not decided yet. `unproven` days ended unseen and were not
        proved by positions, see `checks.check_gaps`.
        """
        self._days_unproven(self._unproven | unproven, at)
        # A window begins as its fill is booked, however long that was on its way.
        self._tell(facts.TimePassed(at))
        unfinished = self._looks.unfinished(taken, rest)
        for frame in taken:
            if self._looks.is_behind_one(frame):
                # What was held is known from messages that came before the stores are looked through.
                self._open(openings, at)
            before = frame.seq if unfinished is None else min(frame.seq, unfinished)
            self._looks.decided(at, before - 1, taken)
            self._frame(frame)
        if unfinished is not None:
            self._looks.decided_partly(at, unfinished, taken)
        self._days_unproven(unproven, at)
        self._open(openings, at)
        # What is held of a contract is an open question until its first commit is over.
        self._decided = {(one.account, one.contract.con_id) for one in self.known.values()}

    # What is right

    def now(self) -> Expected:
        """Return what is right by what was taken in."""
        if self._now is None:
            self._now = self._oracle.now()
        return self._now

    def story(self) -> Iterable[str]:
        """Return what the oracle was told, what it decided and who owns what by it."""
        for event in self.events:
            if isinstance(event, Executed):
                what = f"{event.side} {event.quantity} {event.contract.local_symbol} @ {event.price}"
                order = f"{event.account} {event.exec_id} perm {event.perm_id} {event.order_ref}"
                yield f"told {event.at:%H:%M:%S} {event.time:%H:%M:%S} {what} {order} live={event.live}"
            elif isinstance(event, StoreRead):
                names = [
                    f"{alerter}/{ticker} {raw['created_at']} {raw['option_conid']} "
                    f"{list(raw['alert_details'].values())}"
                    for alerter, tickers in (event.alerts or {}).items()
                    for ticker, raw in tickers.items()
                ]
                yield f"told {event.at:%H:%M:%S} read {names if event.alerts is not None else 'nothing'}"
            else:
                yield f"told {event}"
        right = self.now()
        yield from right.decisions
        for key, lots in right.lots.items():
            yield f"{key} opening {right.opening_left[key]} position {right.positions[key]}"
            for lot in lots:
                yield f"    {lot.quantity} @ {lot.price} {lot.time:%H:%M:%S} {lot.order} {lot.owners}"

    def count(self) -> None:
        """Count what happened since the last call."""
        decisions = self._oracle.decisions
        for decision in decisions[self._counted :]:
            kind = decision.kind
            if kind is Kind.LATE and decision.closed_at:
                self.sometimes["late match behind a close"] += 1
            elif kind is Kind.UNDO:
                self.sometimes["undo"] += 1
            else:
                self.sometimes[_NAMES[kind]] += 1
        self._counted = len(decisions)
        open_now = {(one.name, one.created_at) for one in self.now().alerts if one.quantities}
        self.sometimes["reopening"] += len(self._closed & open_now)
        over = {(one.name, one.created_at) for one in self.now().alerts if one.closed_at is not None}
        self._closed = (self._closed | over) - open_now
        for entry in self.now().inbox:
            self.sometimes[entry.kind] += 1

    @property
    def loose(self) -> set[str]:
        """Symbols of which what was decided hangs on an opening balance that is in doubt, or was wrong."""
        return self._wrong | {self.broker.contract(con_id).symbol for _, con_id in self._doubted}

    @property
    def guessed(self) -> set[AccountContract]:
        """Of which something was decided with an opening balance that was not confirmed yet."""
        return {key for key, quantities in self._guessed.items() if quantities}

    def leave_out(self, symbol: str) -> None:
        """Compare only the quantities held of a symbol from now on."""
        self._wrong.add(symbol)

    @property
    def settled(self) -> bool:
        """Whether all that was read of the stores is looked through."""
        return not self._looks.open

    def complete(self) -> bool:
        """Return whether all that the broker ever executed was taken in, the replaced versions apart."""
        return {self.broker.latest(exec_id) for exec_id in self.broker.executions} <= self.known.keys()

    # How

    @property
    def hears_answers(self) -> bool:
        """Whether the oracle follows the broker's answers itself."""
        return self._answers is not None

    @property
    def reported_late(self) -> set[AccountContract]:
        """Of which an execution was reported minutes after the broker's answers contained it."""
        late = self._gateway.late_reports
        return late.contracts if late is not None else set()

    @property
    def lagged(self) -> int:
        """How many answers about positions lagged."""
        return self._oracle.lagged

    def _days_unproven(self, days: frozenset[date], at: datetime) -> None:
        if self._answers is not None and days != self._unproven:
            self._unproven = days
            self._tell(facts.DaysUnproven(at, days))

    def _open(self, openings: Mapping[AccountContract, Decimal], at: datetime) -> None:
        if self._answers is not None:
            self._compare_openings(openings)
            return
        for key, quantity in openings.items():
            if self._openings.get(key, Decimal(0)) != quantity:
                if key in self._decided:
                    self.leave_out(self.broker.contract(key[1]).symbol)
                self._openings[key] = quantity
                self._tell(facts.OpeningTold(at, *key, quantity))

    def _compare_openings(self, openings: Mapping[AccountContract, Decimal]) -> None:
        """Leave out what was decided with an opening balance that is in doubt, or was wrong."""
        for key, quantity in openings.items():
            right, guessed = self._oracle.opening(key), self._guessed.setdefault(key, set())
            if not right.confirmed and key in self._decided:
                guessed.add(quantity)
            if right.quantity != quantity or (right.confirmed and not guessed <= {quantity}):
                self.leave_out(self.broker.contract(key[1]).symbol)
            doubted = guessed and not right.confirmed
            (self._doubted.add if doubted else self._doubted.discard)(key)

    def _tell(self, event: facts.Event) -> None:
        self._now = None
        self.events.append(event)
        self._oracle.handle(event)

    def _frame(self, frame: Frame) -> None:
        if self._answers is not None:
            self._answers.frame(frame)
        if frame.source is Source.BROKER and frame.fields[0] == Message.EXECUTION:
            self._execution(frame)
            return
        if frame.source is Source.BROKER and frame.fields[0] == Message.CURRENT_TIME:
            self._broker_time(frame)
            return
        if frame.source is Source.BROKER and frame.fields[0] == Message.FEE:
            late = self.known_at.get(frame.fields[FeeAt.EXEC_ID], frame.received_at) < frame.received_at
            self.sometimes["late fee"] += late
            return
        entry = read_entry(frame)
        if isinstance(entry, Assigned):
            exec_id, alert = entry.execution.exec_id, entry.alert
            if (alert.name, alert.created_at or None) not in self._present():
                # The tracker keeps no record that it never matched: it cannot tell what this one was about.
                self.leave_out(self.broker.executions[exec_id].contract.symbol)
            self._decide(frame.received_at, "assign", exec_id, frame.seq, alert.name, alert.created_at)
        elif isinstance(entry, Dismissed):
            self._decide(frame.received_at, "dismiss", entry.execution.exec_id, frame.seq)
        elif isinstance(entry, Undone) and entry.execution.exec_id:
            self._decide(frame.received_at, "undo", entry.execution.exec_id, entry.frame)
        elif isinstance(entry, GapAccepted | GapReopened):
            self.sometimes["gap accepted" if isinstance(entry, GapAccepted) else "gap reopened"] += 1

    def _broker_time(self, frame: Frame) -> None:
        """Take in how far the two clocks differ, as far as whole seconds say it."""
        told = datetime.fromtimestamp(int(frame.fields[2]), UTC)
        ahead = frame.received_at - told - timedelta(seconds=0.5)
        skew = ahead if abs(ahead) >= timedelta(seconds=2) else timedelta(0)
        if skew != self._skew:
            self._skew = skew
            self._tell(facts.SkewMeasured(frame.received_at, skew))

    def _decide(
        self, at: datetime, action: Any, exec_id: str, number: int, alert: str = "", created_at: str = ""
    ) -> None:
        """Take in what a person decided with a frame, or takes back of it."""
        self._tell(facts.PersonDecided(at, action, exec_id, alert, created_at, number))

    def _order_of(self, exec_id: str) -> facts.OrderKey:
        truth, (root, _) = self.known[exec_id], facts.root_and_version(exec_id)
        alone = "" if truth.perm_id else root
        return facts.OrderKey(truth.account, truth.contract.con_id, truth.perm_id, alone)

    def _present(self) -> set[tuple[str, str | None]]:
        return {(one.name, one.created_at) for one in self.now().alerts if one.present}

    def _execution(self, frame: Frame) -> None:
        exec_id = frame.fields[ExecutionAt.EXEC_ID]
        truth = self.broker.executions[exec_id]
        combo, live = truth.contract.sec_type == "BAG", frame.fields[ExecutionAt.REQUEST] == "-1"
        # A combo's own line repeats what its legs say, so the core never adds it up.
        if frame.fields in self._gateway.garbled or (frame.fields in self._gateway.refused and not combo):
            self._tell(facts.UndecodableArrived(frame.received_at, exec_id, live))
            return
        if combo:
            self.known[exec_id] = truth
            return
        if exec_id in self.known:
            return
        self.known[exec_id] = truth
        self.known_at[exec_id] = frame.received_at
        strange = "Olympus" in self.broker.texts[exec_id]
        self._tell(
            Executed(
                at=frame.received_at,
                exec_id=exec_id,
                account=truth.account,
                contract=contract_of(truth.contract),
                side="BOT" if truth.side == "BOT" else "SLD",
                quantity=truth.quantity,
                price=truth.price,
                time=frame.received_at - (self._skew or timedelta(0)) if strange else truth.time,
                live=live,
                perm_id=truth.perm_id,
                client_id=truth.client_id,
                order_id=truth.order_id,
                order_ref=truth.order_ref,
                time_known=not strange,
            )
        )


def contract_of(contract: PaperContract) -> Contract:
    """Return what the wire says of a contract."""
    return Contract(
        contract.con_id,
        contract.symbol,
        contract.sec_type,
        contract.right,
        contract.strike if contract.sec_type == "OPT" else None,
        contract.expiry,
        contract.local_symbol,
        contract.trading_class,
        contract.multiplier,
    )


def _own_text(store: AlertStore) -> Records:
    """Return every record as its writer wrote it, without the tracker's fields."""
    records: Records = {}
    for alert in store.alerts():
        text = store.record(alert.id)
        assert text is not None, "what can be seen has a text"
        fields: dict[str, Any] = json.loads(text)
        own = {name: value for name, value in fields.items() if name not in OUR_FIELDS}
        records.setdefault(alert.id.alerter, {})[alert.id.ticker] = own
    return records


def _policy(text: str) -> Any:
    assert text in ("mark", "remove", "keep")
    return text
