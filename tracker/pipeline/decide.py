"""Have the core decide frames in the transaction that commits the result; a frame that fails stops no other.

Owns what happens when deciding fails: all changes are rolled back, in the rows and in memory; the frames are
decided again one by one; and the frame that fails is kept as undecodable, with the reason, and decided again
at the next start. If a contract fails because of earlier executions, only that contract waits. A frame is
never skipped silently, and nothing is half applied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from typing import Final, NamedTuple

from loguru import logger

from tracker.core.alert_updates import ClosingPolicy, TrackerEvent
from tracker.core.alerters import AlerterNames
from tracker.core.fold_failure import FoldFailed
from tracker.core.journal_entries import Arriving, DecidedAgain, read_entry
from tracker.core.ledger import Ledger
from tracker.core.limits import clean_text
from tracker.core.model import (
    LIVE,
    Alert,
    BrokerFact,
    CommissionReport,
    End,
    Execution,
    ExecutionKey,
    Frame,
    Match,
    OpenOrder,
    OrderStatus,
    Position,
    Source,
    Undecodable,
)
from tracker.core.ownership import Circumstances
from tracker.core.present_records import Candidates
from tracker.core.state import UNDECODED
from tracker.core.state_rows import ContractKey
from tracker.journal.journal import Journal, JournalFailed
from tracker.pipeline.careful_match import CarefulMatch
from tracker.pipeline.rollback import LedgerMemory

Normalise = Callable[[Frame], BrokerFact | None]

_AGAIN: Final = 1000
"""The most frames that are decided again at a start."""
_KINDS: Final = (
    (Execution, "execution"),
    (CommissionReport, "commission"),
    (OrderStatus, "order"),
    (OpenOrder, "order"),
    (Position, "position"),
)


class LedgerRules(NamedTuple):
    """Say when an alert closes, which accounts count (empty: all), and in which zone their days end."""

    policy: ClosingPolicy
    accounts: Sequence[str]
    zone: tzinfo


class FrameDecider:
    """Decide frames of one journal against the records of one store.

    `before_commit` is called with the number of frames after their rows are written and before the commit.
    """

    def __init__(
        self,
        journal: Journal,
        candidates: Candidates,
        normalise: Normalise,
        match: CarefulMatch,
        rules: LedgerRules,
        *,
        before_commit: Callable[[int], None],
        names: AlerterNames | None = None,
        ran: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._journal = journal
        self._normalise = normalise
        self._match = match
        self._before_commit = before_commit
        self._deciding = 0
        self._suspicious = False
        """Whether each record is tried by itself before it is used."""
        self._find_candidates = candidates
        self._found: tuple[Execution, Sequence[Alert]] | None = None
        """The last execution that was looked for, and what the store has for it while a frame is decided."""
        self._looked_for: set[ExecutionKey] = set()
        """The executions for which it is journalled what the frame being decided looked at."""
        self.ledger = Ledger(
            journal.state,
            self._decide,
            **rules._asdict(),
            names=names,
            candidates=self._looked_at,
            ran=ran,
        )
        self._memory = LedgerMemory(self.ledger, journal.state)

    def append(
        self, connection_no: int, received_at: datetime, frames: Sequence[Arriving]
    ) -> list[TrackerEvent] | None:
        """Journal frames and decide them in the same commit; returns the events.

        None where deciding failed: the frames are durable then, and wait for `step`. Raises JournalFailed.
        """
        self._memory.keep()
        durable = False
        try:
            with self._journal.append_and_step(connection_no, received_at, frames) as (arrived, advance):
                durable = True
                return self._decide_all(arrived, advance)
        except Exception as error:
            self._memory.put_back()
            if not durable or isinstance(error, JournalFailed):
                raise
            logger.debug("deciding frames as they came failed ({}); each is decided alone", error)
            return None

    def step(self, frames: Sequence[Frame]) -> list[TrackerEvent]:
        """Decide journalled frames in one transaction, else one by one; returns the events.

        Raises JournalFailed; frames whose commit failed are as if they had never been decided.
        """
        try:
            return self._step(frames)
        except JournalFailed:
            raise
        except Exception as error:
            logger.debug("deciding {} frames failed ({}); each is decided alone", len(frames), error)
        return [event for frame in frames for event in self._alone(frame)]

    def _alone(self, frame: Frame) -> list[TrackerEvent]:
        """Decide one frame, trying each record by itself before it is used; a frame that fails is kept."""
        self._suspicious = True
        try:
            return self._without_failing_contracts(frame)
        except JournalFailed:
            raise
        except FoldFailed as failed:
            return self._refuse(frame, failed.cause)
        except Exception as error:
            return self._refuse(frame, error)
        finally:
            self._suspicious = False

    def _without_failing_contracts(self, frame: Frame) -> list[TrackerEvent]:
        """Decide one frame; if it concerns several contracts, those that cannot be folded are set aside."""
        aside: list[FoldFailed] = []
        while True:
            try:
                events = self._step([frame])
            except FoldFailed as failed:
                if self._is_about(frame, failed.key) or any(failed.key == one.key for one in aside):
                    raise
                self.ledger.set_aside(failed.key)
                aside.append(failed)
            else:
                return events + (self._say_aside(frame, aside) if aside else [])

    def _is_about(self, frame: Frame, key: ContractKey) -> bool:
        """Return whether a frame concerns only that contract, so that nothing else waits if the frame is
        refused.
        """
        if frame.source not in (Source.BROKER, Source.LINK, Source.SENT):
            return True
        if self.ledger.waits(key):
            # The cause of the failure came before this frame.
            return False
        fact = self._fact(frame)
        return isinstance(fact, Execution) and (fact.account, fact.contract.con_id) == key

    def _say_aside(self, frame: Frame, aside: Sequence[FoldFailed]) -> list[TrackerEvent]:
        """Record that the executions of these contracts wait, and why; returns the events."""
        reason = clean_text("; ".join(f"{failed}; its executions wait" for failed in aside))
        logger.error("frame {}: {}", frame.seq, reason)
        with self._journal.step() as advance:
            self.ledger.refuse(frame, Undecodable("contract", reason))
            events = self.ledger.settle(frame)
            advance(frame.seq)
            self._keep_events(events, frame)
        return events

    def decide_again(self, now: datetime) -> None:
        """Journal that undecodable frames are to be decided again: this version may be able to."""
        for row in self._journal.state.find(UNDECODED, "open", "1")[:_AGAIN]:
            frame = self._journal.frame(row.seq)
            if frame is not None and not isinstance(self._fact(frame), Undecodable):
                self._journal.append(self._journal.last_connection_no, now, [DecidedAgain(row.seq).arriving])

    def _step(self, frames: Sequence[Frame]) -> list[TrackerEvent]:
        self._memory.keep()
        try:
            with self._journal.step() as advance:
                return self._decide_all(frames, advance)
        except BaseException:
            self._memory.put_back()
            raise

    def _decide_all(self, frames: Sequence[Frame], advance: Callable[[int], None]) -> list[TrackerEvent]:
        """Apply frames in an open step; returns the events to publish after the commit."""
        for frame in frames:
            self._apply(frame)
        self._found = None
        events = self.ledger.settle(frames[-1])
        self._found = None
        advance(frames[-1].seq)
        self._keep_events(events, frames[-1])
        self._before_commit(len(frames))
        return events

    def _keep_events(self, events: Sequence[TrackerEvent], frame: Frame) -> None:
        self._journal.events.keep([event.as_json() for event in events], frame.received_at)

    def _apply(self, frame: Frame) -> None:
        if _says_again(frame):
            again = self._decided_again(frame)
            if again is None:
                return
            self.ledger.heal(again.seq)
            frame = again
        self._deciding = frame.seq
        self._looked_for.clear()
        self._found = None
        self.ledger.apply(frame, self._fact(frame))

    def _decided_again(self, frame: Frame) -> Frame | None:
        """Return the frame that is to be decided again, None where this frame does not say so."""
        entry = read_entry(frame)
        return self._journal.frame(entry.frame) if isinstance(entry, DecidedAgain) else None

    def _refuse(self, frame: Frame, error: Exception) -> list[TrackerEvent]:
        """Keep a frame that cannot be decided, and continue after it."""
        logger.opt(exception=error).error("frame {} could not be decided; it is kept", frame.seq)
        try:
            return self._kept(frame, error, pass_over=True)
        except JournalFailed:
            raise
        except Exception as further:
            self._memory.put_back()
            logger.opt(exception=further).error("frame {} could not be passed over either", frame.seq)
            return self._kept(frame, error, pass_over=False)

    def _kept(self, frame: Frame, error: Exception, *, pass_over: bool) -> list[TrackerEvent]:
        """Keep the frame; with `pass_over` a connection that it begins or ends still begins or ends."""
        fact = self._fact(frame)
        with self._journal.step() as advance:
            # A frame that fails again stays as it was.
            if self._decided_again(frame) is None:
                if pass_over:
                    self.ledger.pass_over(frame)
                refusal = _refusal(fact, frame, error)
                if not (fact is None or isinstance(fact, End)) or self._is_new(refusal):
                    self.ledger.refuse(frame, refusal)
            events = self.ledger.settle(frame)
            advance(frame.seq)
            self._keep_events(events, frame)
        return events

    def _is_new(self, refusal: Undecodable) -> bool:
        """Return whether no frame was kept for this reason yet; ends of answers and our own notes come every
        few seconds.
        """
        kept = self._journal.state.find(UNDECODED, "open", "1")
        return all((row.kind, row.reason) != (refusal.kind, refusal.reason) for row in kept)

    def _fact(self, frame: Frame) -> BrokerFact | None:
        if frame.source is not Source.BROKER and frame.source is not Source.FLEX:
            return None
        try:
            return self._normalise(frame)
        except Exception as error:
            # A frame that breaks the decoder must not stop later ones; it is kept, counted and shown.
            logger.exception("frame {} could not be decoded", frame.seq)
            return Undecodable("message " + frame.fields[0], f"{type(error).__name__}: {error}")

    def _decide(self, execution: Execution, now: Circumstances) -> Match:
        candidates = self._candidates(execution)
        if not self._suspicious:
            match = self._match(execution, candidates, now)
        else:
            candidates, rejected = self._match.tried(execution, candidates)
            match = self._match.without(execution, candidates, rejected, now)
        self._keep_looked_at(execution.key, candidates)
        return match

    def _looked_at(self, execution: Execution) -> Sequence[Alert]:
        """Return the records that an execution may belong to, for what is decided without a match.

        A fill that follows its order's owners, for example, goes to whoever took over from them and is there.
        """
        candidates = self._candidates(execution)
        if execution.key not in self._looked_for:
            self._keep_looked_at(execution.key, candidates)
        return candidates

    def _candidates(self, execution: Execution) -> Sequence[Alert]:
        if self._found is None or self._found[0] is not execution:
            self._found = execution, self._find_candidates(execution)
        return self._found[1]

    def _keep_looked_at(self, key: ExecutionKey, candidates: Sequence[Alert]) -> None:
        self._looked_for.add(key)
        self._journal.considered(self._deciding, key, candidates)


def _says_again(frame: Frame) -> bool:
    return frame.source is DecidedAgain.SOURCE and frame.fields[:1] == (DecidedAgain.NAME,)


def _refusal(fact: BrokerFact | None, frame: Frame, error: Exception) -> Undecodable:
    """Say what could not be decided, and why."""
    reason = clean_text(f"it could not be decided: {type(error).__name__}: {error}")
    kind = next((name for of, name in _KINDS if isinstance(fact, of)), f"message {frame.fields[0]}")
    exec_id = fact.exec_id if isinstance(fact, Execution | CommissionReport) else ""
    live = isinstance(fact, Execution) and fact.request_id == LIVE
    return Undecodable(kind, reason, exec_id, live)
