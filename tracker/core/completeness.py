"""Prove, day by day, that no fill was missed, and name the days for which that is not proven.

Owns proofs and gaps. It follows what was requested from the broker, which answers ended and when the link to
IBKR broke. It changes no quantity, and never treats a missing answer as an empty one.

Rules
- A sweep of an account is proof up to the moment of its request, when it ended, contained every execution
  already journalled for that day (the note `proof`, before or after the End), and neither the connection
  nor the link to IBKR broke between request and end, nor was that link broken when it was requested.
- A sweep reaches back to midnight only, so a day is proven when, for every managed account, its last proof
  lies at most `REACH` before the day's end and nothing broke between the two. Else the day is a gap.
- A gap closes by a sweep requested before the day's end that ended after it; by positions, when a complete
  snapshot equals the ledger everywhere; by a Flex report that covers the day; or by a person.
- Days count from the journal's first connection on.
- An account that a login manages again is unproven since its last proof: days that ended meanwhile are gaps.
- The present time is the broker's: the receipt of a frame, less how far our clock is ahead.
- A day that was judged too early, since our clock had been set and the broker's time was not known yet, is
  judged again at its end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from tracker.core.alert_updates import EventKind, TrackerEvent
from tracker.core.journal_entries import (
    DayCovered,
    Entry,
    ExecutionsAsked,
    GapAccepted,
    GapReopened,
    LinkDown,
    LinkUp,
    RequestTimedOut,
    SweepChecked,
)
from tracker.core.model import ZERO, BrokerFact, BrokerTime, End, EndOf, Frame, Moment, Notice
from tracker.core.state import GAPS, HOLDINGS, LINKS, POSITIONS, PROOFS, SNAPSHOTS, LedgerState
from tracker.core.state_rows import ContractKey, Gap, GapEnd, LoginState, Snapshot, VerifiedUntil

_PROVE_NOTHING: Final = (GapEnd.CLOCK, GapEnd.SWEEP)
REACH: Final = timedelta(minutes=5)
"""How long before a day's end its last proof may lie: the link was up since, and sweeps come on a timer."""

LONGEST_PAUSE: Final = timedelta(days=400)
"""The most days that become gaps at once; a Flex report reaches no further back."""

BROKEN: Final = frozenset({1100, 2110})
RESTORED: Final = frozenset({1101, 1102})


@dataclass(slots=True)
class _Sweep:
    """Follow one request for an account's executions, as long as it may still prove something."""

    request: int
    asked: Moment
    ended: bool = False
    contained: bool = False


class Completeness:
    """Fold frames into the proofs and gaps of a state; `zone` says where the accounts' midnight is."""

    def __init__(self, state: LedgerState, zone: tzinfo) -> None:
        self._state = state
        self._zone = zone
        self._link = state.get(LINKS, "last") or LoginState()
        self._judge_again = datetime.min.replace(tzinfo=UTC)
        """When the day after the last judged one ends; there is nothing to judge before."""
        self._sweeps: dict[str, _Sweep] = {}
        """account -> its newest request, of which there is one at a time; empty for all accounts at once"""
        self.skew = timedelta(0)
        """How far our clock is ahead of the broker's."""

    @property
    def link(self) -> LoginState:
        """What is known of the connection."""
        return self._link

    def apply(self, frame: Frame, fact: BrokerFact | None, entry: Entry | None) -> list[TrackerEvent]:
        """Take one frame, a fact or a note of our own; return the gaps that it opened or closed."""
        if isinstance(entry, LinkUp | LinkDown):
            # It is unknown since when, so this must precede judging the days before.
            self._broke()
        # The present time is known only once the broker's answer is taken in.
        events = [] if isinstance(fact, BrokerTime) else self.judge(frame)
        match fact:
            case End(EndOf.EXECUTIONS, request):
                events += self._end(frame, request, ended=True)
            case Notice(_, code, _) if code in BROKEN:
                self._broke()
                self._put(replace(self._link, severed=True))
            case Notice(_, code, _) if code in RESTORED:
                if not self._link.severed:
                    # It was lost without a notice before this connection began: all answers so far are old.
                    self._broke()
                self._put(replace(self._link, severed=False))
            case None:
                events += self._note(frame, entry)
            case _:
                pass
        return events

    def last_swept(self, account: str) -> int:
        """Return the request, by its frame, of an account's last sweep that ended; 0 before the first."""
        proof = self._state.get(PROOFS, account)
        return proof.swept.seq if proof is not None and proof.swept is not None else 0

    def swept_until(self, account: str) -> int:
        """Return the request, by its frame, of the last complete sweep of an account; 0 before the first."""
        proof = self._state.get(PROOFS, account)
        return proof.until.seq if proof is not None and proof.until is not None else 0

    def snapshot(self, frame: Frame) -> list[TrackerEvent]:
        """Compare the snapshot just taken with the ledger; return the gaps that closes."""
        snapshot = self._state.get(SNAPSHOTS, "last")
        assert snapshot is not None, "a snapshot was just taken"
        gaps = self._state.find(GAPS, "open", "1")
        equal = [gap for gap in gaps if _equals(self._state, snapshot, gap, self._day(self._at(frame)))]
        return [self._close(gap, GapEnd.POSITIONS, frame) for gap in equal]

    # Requests and answers

    def _note(self, frame: Frame, entry: Entry | None) -> list[TrackerEvent]:
        match entry:
            case LinkUp(accounts):
                return self._up(frame, accounts)
            case ExecutionsAsked(request, account) if not self._link.severed:
                self._sweeps[account] = _Sweep(request, Moment(self._at(frame), frame.seq))
            case RequestTimedOut(EndOf.EXECUTIONS, request):
                self._forget(request)
            case SweepChecked(request) if entry.complete:
                return self._end(frame, request, contained=True)
            case GapAccepted(day):
                return self._closed_by_hand(frame, day, GapEnd.PERSON)
            case GapReopened(seq, day):
                return self._reopen(frame, seq, day)
            case DayCovered(day):
                return self._closed_by_hand(frame, day, GapEnd.FLEX)
            case _:
                pass
        return []

    def _up(self, frame: Frame, accounts: tuple[str, ...]) -> list[TrackerEvent]:
        """Begin a connection; the first one of a journal begins the count of days.

        Return the gaps of accounts that the login before did not manage.
        """
        judged = self._link.judged or self._day(self._at(frame)) - timedelta(days=1)
        back = [account for account in accounts if not self._link.manages(account)]
        self._put(replace(self._link, accounts=accounts, severed=False, judged=judged))
        return [event for account in back for event in self._missed(frame, account, judged)]

    def _missed(self, frame: Frame, account: str, judged: date) -> list[TrackerEvent]:
        """Open a gap for each day that was judged without an account, since its last proof."""
        proof = self._state.get(PROOFS, account)
        if proof is None or proof.until is None:
            return []
        rows = [row.position for row in self._state.every(POSITIONS) if row.position.account == account]
        listed = {ContractKey(account, row.contract.con_id).text(): row.quantity for row in rows}
        first = max(self._day(proof.until.time + REACH), judged - LONGEST_PAUSE)
        days = [first + timedelta(days=number) for number in range((judged - first).days + 1)]
        gaps = {day: self._state.get(GAPS, day.isoformat()) for day in days}
        # Sweeps of the other accounts, and a clock that ran ahead, prove nothing of this one.
        unproven = [day for day, gap in gaps.items() if gap is None or gap.closed_how in _PROVE_NOTHING]
        return [self._open(day, frame, listed) for day in unproven]

    def _end(
        self, frame: Frame, request: int, *, ended: bool = False, contained: bool = False
    ) -> list[TrackerEvent]:
        """Note one of the two halves of a proof, its end or its content."""
        account = self._account(request)
        if account is None:
            return []
        sweep = self._sweeps[account]
        sweep.ended |= ended
        sweep.contained |= contained
        proven = sweep.ended and sweep.contained
        for name in (account,) if account else self._link.accounts:
            proof = self._state.get(PROOFS, name) or VerifiedUntil(name)
            if ended:
                proof = replace(proof, swept=sweep.asked)
            if proven:
                proof = replace(proof, until=sweep.asked, whole=True)
            self._state.put(PROOFS, proof)
        if not proven:
            return []
        del self._sweeps[account]
        closed = [gap for gap in self._state.find(GAPS, "open", "1") if self._covers(gap.day)]
        return [self._close(gap, GapEnd.SWEEP, frame) for gap in closed]

    def _account(self, request: int) -> str | None:
        return next((name for name, sweep in self._sweeps.items() if sweep.request == request), None)

    def _forget(self, request: int) -> None:
        account = self._account(request)
        if account is not None:
            del self._sweeps[account]

    def _broke(self) -> None:
        """Let no request in progress prove anything."""
        self._sweeps.clear()
        for proof in self._state.find(PROOFS, "whole", "1"):
            self._state.put(PROOFS, replace(proof, whole=False))

    # Days

    def judge(self, frame: Frame) -> list[TrackerEvent]:
        """Open a gap for each day that ended unproven since the last frame.

        That is all that an execution, a fee or an order's status does here.
        """
        judged = self._link.judged
        now = self._at(frame)
        if judged is None or now < self._judge_again:
            return []
        if self._day(now) - judged > LONGEST_PAUSE:
            if self._day(frame.received_at) - judged <= LONGEST_PAUSE:
                # The broker's clock is years ahead of ours: its answer is wrong, until the next one.
                return []
            judged = self._day(now) - timedelta(days=1) - LONGEST_PAUSE
        events: list[TrackerEvent] = []
        while (day := judged + timedelta(days=1)) < self._day(now):
            judged = day
            attended = now - self._end_of(day) <= REACH
            if not (attended and self._covers(day)):
                events.append(self._open(day, frame))
        self._judge_again = self._end_of(judged + timedelta(days=1))
        if judged != self._link.judged:
            self._put(replace(self._link, judged=judged))
        return events

    def set_skew(self, frame: Frame, skew: timedelta) -> list[TrackerEvent]:
        """Take how far our clock is ahead by the broker's word, and take back what was judged too early."""
        self.skew = skew
        judged, ended = self._link.judged, self._link.ended
        if judged is None:
            return []
        before = self._day(self._at(frame)) - timedelta(days=1)
        if before >= judged:
            if ended != judged:
                self._put(replace(self._link, ended=judged))
            return self.judge(frame)
        right = max(before, judged - timedelta(days=1) if ended is None else ended)
        self._judge_again = datetime.min.replace(tzinfo=UTC)
        self._put(replace(self._link, judged=right, ended=right))
        early = [gap for gap in self._state.find(GAPS, "open", "1") if gap.day > right]
        return [self._close(gap, GapEnd.CLOCK, frame) for gap in early]

    def _covers(self, day: date) -> bool:
        end = self._end_of(day)
        proofs = [self._state.get(PROOFS, account) for account in self._link.accounts]
        return bool(proofs) and all(
            proof is not None
            and proof.whole
            and proof.until is not None
            and end - REACH <= proof.until.time < end
            for proof in proofs
        )

    def _open(self, day: date, frame: Frame, listed: Mapping[str, Decimal] | None = None) -> TrackerEvent:
        """Open a gap; `listed` is what was listed of an account that the last snapshot does not contain."""
        snapshot = self._state.get(SNAPSHOTS, "last")
        baseline = {**(snapshot.rows if snapshot is not None else {}), **(listed or {})}
        self._state.put(GAPS, Gap(day, Moment(frame.received_at, frame.seq), baseline))
        return TrackerEvent(EventKind.GAP, frame.received_at, {"day": day.isoformat(), "state": "open"})

    def _closed_by_hand(self, frame: Frame, day: date, how: GapEnd) -> list[TrackerEvent]:
        """Close a gap; that a person accepted it does not prove it, a report does."""
        gap = self._state.get(GAPS, day.isoformat())
        accepted = gap is not None and gap.closed_how == GapEnd.PERSON and how is GapEnd.FLEX
        if gap is None or (gap.closed_how and not accepted):
            return []
        return [self._close(gap, how, frame)]

    def _close(self, gap: Gap, how: GapEnd, frame: Frame) -> TrackerEvent:
        # A person may undo that; then the day is judged as before.
        baseline = gap.baseline if how is GapEnd.PERSON else {}
        closed = {"closed_at": frame.received_at, "closed_how": how.value, "closed_seq": frame.seq}
        self._state.put(GAPS, replace(gap, baseline=baseline, **closed))
        what = {"day": gap.day.isoformat(), "state": "closed", "how": how.value}
        return TrackerEvent(EventKind.GAP, frame.received_at, what)

    def _reopen(self, frame: Frame, seq: int, day: date) -> list[TrackerEvent]:
        """Open a gap again that a person closed with a frame."""
        gap = self._state.get(GAPS, day.isoformat())
        if gap is None or gap.closed_seq != seq:
            return []
        self._state.put(GAPS, replace(gap, closed_at=None, closed_how="", closed_seq=0))
        return [TrackerEvent(EventKind.GAP, frame.received_at, {"day": day.isoformat(), "state": "open"})]

    def _at(self, frame: Frame) -> datetime:
        return frame.received_at - self.skew

    def _day(self, moment: datetime) -> date:
        return moment.astimezone(self._zone).date()

    def _end_of(self, day: date) -> datetime:
        return datetime.combine(day + timedelta(days=1), time(), self._zone).astimezone(UTC)

    def _put(self, link: LoginState) -> None:
        self._link = link
        self._state.put(LINKS, link)


def proven_until(state: LedgerState, accounts: Collection[str] = ()) -> datetime | None:
    """Return the time up to which every managed account is proven; None if one of them never was.

    `accounts` empty means those of the newest connection.
    """
    link = state.get(LINKS, "last")
    wanted = accounts or (link.accounts if link is not None else ())
    times = [
        proof.until.time
        for account in wanted
        if (proof := state.get(PROOFS, account)) is not None and proof.until is not None
    ]
    return min(times) if times and len(times) == len(wanted) else None


def _equals(state: LedgerState, snapshot: Snapshot, gap: Gap, today: date) -> bool:
    """Return whether the broker holds exactly what the ledger has, so that a gap missed nothing.

    Opening balances must be from before the gap, since one from after it contains what was missed. An expired
    contract that is no longer held proves nothing.
    """
    expected: dict[str, Decimal] = dict(gap.baseline)
    expired: set[str] = set()
    for row in state.every(POSITIONS):
        if row.position.contract.expiry is not None and row.position.contract.expiry < today:
            expired.add(POSITIONS.key(row))
    for holding in state.every(HOLDINGS):
        key = holding.key.text()
        baseline_later = holding.asked is None or holding.asked.seq > gap.opened.seq
        # What no execution explains is no proof that none was missed.
        ours = holding.held - holding.pending
        expected[key] = ours - holding.base + gap.baseline.get(key, ZERO) if baseline_later else ours
        if holding.contract.expiry is not None and holding.contract.expiry < today:
            expired.add(key)
    return _same(expected, snapshot.rows, expired)


def _same(expected: Mapping[str, Decimal], listed: Mapping[str, Decimal], expired: Collection[str]) -> bool:
    return all(
        listed.get(key, ZERO) == expected.get(key, ZERO) or (key in expired and not listed.get(key))
        for key in {*expected, *listed}
    )
