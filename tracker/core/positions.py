"""Keep what is held of each contract: when its executions are folded, and from which base.

Owns seeding and waiting. It never decides what a fill belongs to.

Seeding. A contract's base is what the broker held before our first execution of it. The snapshot asked for
before the first sweep lists it; executions from before that request are contained in what it lists, so the
base is the listed quantity less theirs. A contract that the snapshot does not name has base zero: IBKR lists
a position closed today with quantity zero, so one that is absent was not traded as far as the snapshot knew,
and in doubt a fill is an opening. A live execution between request and end makes that contract wait for the
next snapshot. Positions told while the gateway had lost IBKR seed nothing: executions of that time come later
with times from before the request.

Doubt. A base in doubt is taken anew from a later snapshot, but after a break of the connection or of its
link to IBKR only once a sweep asked since then is over: the snapshot contains what was missed, and until the
sweep tells that, the base would be off by it. A snapshot that is in doubt itself, since the contract traded
in its very second, takes the place of an earlier one only where it contradicts that.

Waiting. An execution that answers a sweep is folded when that answer ended, went quiet or timed out, since
its neighbours in time may still be on the way. Nothing waits longer than the connection.

Lateness. What a break withheld comes with the sweep behind it, after younger live executions of the same
contract. So while a sweep is due, what was held before the first of these is kept with their names: a late
execution has only them folded again. One that belongs before them, or that changes the base, has the contract
folded from its base.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from msgspec.structs import replace

from tracker.core.lots import Movement, Split, at_base, fold, step
from tracker.core.model import LIVE, ZERO, AlertId, Moment
from tracker.core.opening_balance import base_of, is_doubtful, is_in_seed, may_begin_at
from tracker.core.state import ALERTS, DEPARTURES, EXECUTIONS, HOLDINGS, SNAPSHOTS, LedgerState
from tracker.core.state_rows import (
    Attention,
    Baseline,
    BookedExecution,
    ContractKey,
    Holding,
    Snapshot,
    alert_text,
    attention_of,
    owners_of,
)

_RUN: Final = 1_000
"""Executions of one contract that are folded again for a late one, at most."""
_NO_SESSION: Final = 0
"""Older than every connection, so that no execution is as old as what is of it."""


@dataclass(slots=True)
class _Draft:
    """Gather the answer to a request for positions."""

    asked: Moment
    session: int
    stale: bool
    """The gateway had lost IBKR meanwhile, so it told what it knew before."""
    overdue: bool = False
    """Nobody waits for it any longer."""
    rows: dict[str, Decimal] = field(default_factory=dict)
    disturbed: set[str] = field(default_factory=set)


class _Run(NamedTuple):
    """Hold what a contract's latest executions were folded onto, one upon the other."""

    before: Holding
    names: dict[str, None]
    """Their row keys."""


class Positions:
    """Fold booked executions into the holdings of a book.

    `touched` is told each alert whose stake may have changed, with the contract; `needs_person` each fill
    that did not need one before.
    """

    def __init__(
        self,
        book: LedgerState,
        touched: Callable[[Iterable[AlertId], ContractKey], None],
        needs_person: Callable[[BookedExecution], None],
    ) -> None:
        self._book = book
        self._touched = touched
        self._needs_person = needs_person
        self._draft: _Draft | None = None
        self._disturbed: tuple[_Draft, Moment] | None = None
        self._upstream = True
        """Whether the gateway has IBKR, as far as it told."""
        self._began: int | None = None
        """The frame with which the connection began, where this process saw it; else what was asked on it
        is not known."""
        self._snapshot_due = False
        """From a connection's start until a snapshot of it can seed; contracts never seen wait for that."""
        self._open_sweeps: dict[int, str] = {}
        """request -> account; empty where it was asked before the last break, so that it tells too little."""
        self._caught_up: set[str] = set()
        """Accounts of which a sweep asked since the last break is over."""
        self._stale: dict[ContractKey, None] = {}
        """Contracts to be folded from their base, once for all that changed."""
        self._runs: dict[ContractKey, _Run] = {}
        """What was folded since a sweep is due, which may bring something older."""
        self._late: dict[ContractKey, list[BookedExecution]] = {}
        """What is older than the last that was folded of its contract, and not folded yet."""
        self._waiting = {row.contract_key: None for row in book.find(EXECUTIONS, "waiting", "1")}

    # What the broker is asked, and answers

    def awaits_sweep(self, accounts: Iterable[str]) -> bool:
        """Tell whether an answer about the day is under way, or will be asked for since the last break."""
        return bool(self._open_sweeps) or not self._caught_up.issuperset(accounts)

    def new_link(self, began: int, *, snapshot_due: bool) -> None:
        """Forget what the old connection still owed; fold what waited for it."""
        self._draft = None
        self._disturbed = None
        self._began = began
        self._upstream = True
        self._snapshot_due = False
        self._open_sweeps.clear()
        self._caught_up.clear()
        self._release(all_of_them=True)
        self._snapshot_due = snapshot_due

    def sweep_asked(self, request_id: int, account: str) -> None:
        """Have the executions of this answer wait for its end."""
        self._open_sweeps[request_id] = account

    def sweep_over(self, request_id: int) -> None:
        """Fold what waited for this answer: it ended, went quiet or timed out."""
        account = self._open_sweeps.pop(request_id, "")
        behind = bool(account) and account not in self._caught_up
        if behind:
            self._caught_up.add(account)
        if not self._open_sweeps:
            self._release(all_of_them=False)
            self._runs = {key: run for key, run in self._runs.items() if self._sweep_due(key)}
        if behind:
            self._fold_doubts()

    def snapshot_asked(self, asked: Moment, session: int) -> None:
        """Begin to gather an answer to a request for positions, or go on with an earlier one's.

        Neither has a number. While an earlier request is unanswered the next end may be that one's, so the
        rows since then are gathered: a whole answer in any case.
        """
        stale = not (self._upstream and self._began is not None)
        if self._draft is None:
            self._draft = _Draft(asked, session, stale)
        self._draft.stale |= stale
        self._draft.overdue = False

    def upstream_lost(self) -> None:
        """Trust no positions from now on: the gateway tells what it knew before it lost IBKR."""
        self._upstream = False
        if self._draft is not None:
            self._draft.stale = True

    def upstream_back(self) -> None:
        """Trust the next answer again; the session asks for one, and for a sweep.

        Where nobody told of the loss it was before this connection, all of whose answers are old then.
        """
        if self._upstream and self._began is not None:
            self._mistrust(self._began)
        self._upstream = True
        self._caught_up.clear()
        self._open_sweeps = dict.fromkeys(self._open_sweeps, "")

    def _mistrust(self, began: int) -> None:
        """Take what was told since the connection began for a guess."""
        if self._draft is not None:
            self._draft.stale = True
        snapshot = self._book.get(SNAPSHOTS, "last")
        if snapshot is not None and snapshot.asked.seq > began:
            self._book.put(SNAPSHOTS, replace(snapshot, session=_NO_SESSION))
        for holding in list(self._book.every(HOLDINGS)):
            if holding.asked is not None and holding.asked.seq > began:
                self._book.put(HOLDINGS, replace(holding, seed=Baseline.DOUBT))

    def listed(self, key: ContractKey, quantity: Decimal) -> None:
        """Take one row of that answer; a push outside an answer seeds nothing."""
        if self._draft is not None:
            self._draft.rows[key.text()] = quantity

    def snapshot_ended(self, ended: Moment) -> bool:
        """Seed what waits, if no live execution came in between; the session asks again if one did.

        True when the snapshot was taken.
        """
        if self._draft is None:
            return False
        draft, self._draft = self._draft, None
        if draft.stale or draft.overdue:
            return False
        if not draft.disturbed:
            self._seed_from(draft, ended)
            return True
        if self._snapshot_due:
            self._disturbed = (draft, ended)
        return False

    def snapshot_failed(self) -> None:
        """Go on without an answer that never ended: unknown is not empty."""
        if self._draft is not None:
            self._draft.overdue = True
        self.no_more_snapshots()

    def no_more_snapshots(self) -> None:
        """Let nothing wait for a seed any longer: take the disturbed snapshot, or go on in doubt."""
        if self._snapshot_due and self._disturbed is not None:
            self._seed_from(*self._disturbed)
        self._snapshot_due = False
        self._release(all_of_them=False)

    # Folding

    def add(self, booked: BookedExecution) -> None:
        """Fold a newly booked execution, or have it wait."""
        key = booked.contract_key
        self._disturb(booked)
        holding = self._book.get(HOLDINGS, key.text())
        swept = booked.execution.request_id in self._open_sweeps
        if swept or key in self._waiting or (holding is None and self._snapshot_due):
            self._waiting[key] = None
            return
        self._fold_on(booked, holding)

    def _fold_on(self, booked: BookedExecution, holding: Holding | None) -> None:
        """Fold an execution on top of what is held, or have it folded in its place when the batch ends."""
        key = booked.contract_key
        if key in self._stale:
            return
        if holding is None:
            # It has no past that would have to be read.
            self.refold(key)
        elif holding.departed or is_in_seed(booked, holding) or is_doubtful(booked, holding):
            self.changed(key)
        elif not _is_later(booked, holding):
            self._late.setdefault(key, []).append(booked)
        else:
            if key in self._runs or self._sweep_due(key):
                self._note_run(booked, holding)
            after, parts = step(holding, self._entry(booked))
            self._book.put(HOLDINGS, after)
            self._keep(booked, parts)
            self._touched(parts.touched, key)

    def _sweep_due(self, key: ContractKey) -> bool:
        """Tell whether an answer about the day may still bring something of this contract."""
        return bool(self._open_sweeps) or key.account not in self._caught_up

    def _note_run(self, booked: BookedExecution, holding: Holding) -> None:
        run = self._runs.get(booked.contract_key)
        if run is None or len(run.names) >= _RUN:
            run = self._runs[booked.contract_key] = _Run(holding, {})
        run.names[EXECUTIONS.key(booked)] = None

    def correct(self, booked: BookedExecution) -> None:
        """Have a contract folded again, one execution of which has a new version in force."""
        self._disturb(booked)
        self.changed(booked.contract_key)

    def changed(self, key: ContractKey) -> None:
        """Have a contract folded from its base before anything looks at it."""
        self._stale[key] = None

    def settle(self) -> None:
        """Fold what is late, and the contracts whose past has changed, before anything looks at them."""
        for key in list(self._stale):
            self.refold(key)
        for key in list(self._late):
            self._fold_late(key)

    def _fold_late(self, key: ContractKey) -> None:
        """Fold late executions in their places: with the run that they belong to, else from the base."""
        run = self._runs.get(key)
        now = self._book.get(HOLDINGS, key.text())
        assert now is not None, "late is what something was folded before"
        late = self._late[key]
        if run is None or now.seed is Baseline.DOUBT or not all(_is_later(row, run.before) for row in late):
            self.refold(key)
            return
        del self._late[key]
        run.names.update((EXECUTIONS.key(row), None) for row in late)
        # As they are now: one may have been corrected or decided anew since it came.
        rows = [row for name in run.names if (row := self._book.get(EXECUTIONS, name)) and row.counted]
        self._fold_onto(run.before, [(self._entry(row), row) for row in rows], now)

    def _disturb(self, booked: BookedExecution) -> None:
        """Note a live execution while positions are being told: which of them contain it is unknown."""
        if booked.execution.request_id == LIVE and self._draft is not None:
            self._draft.disturbed.add(booked.contract_key.text())

    def refold(self, key: ContractKey) -> None:
        """Fold a contract from its base."""
        self._stale.pop(key, None)
        self._late.pop(key, None)
        self._runs.pop(key, None)
        everything = self._book.find(EXECUTIONS, "contract", key.text())
        rows = [row for row in everything if row.counted]
        rows.sort(key=lambda row: row.moment)
        before = self._book.get(HOLDINGS, key.text())
        start = self._seeded(key, everything, before)
        entries: list[tuple[Movement, BookedExecution | None]] = [(self._entry(row), row) for row in rows]
        entries += [
            (Movement(gone.moment, "", ZERO, ZERO, departed=gone.cause), None)
            for gone in self._book.find(DEPARTURES, "contract", key.text())
            # What traded later had not gone.
            if gone.moment > rows[-1].moment
        ]
        self._fold_onto(at_base(start), entries, before)

    def _fold_onto(
        self, start: Holding, entries: list[tuple[Movement, BookedExecution | None]], before: Holding | None
    ) -> None:
        """Fold what is not in `start`, in its order, in the place of what was held `before`."""
        entries.sort(key=lambda pair: pair[0].moment)
        after, parts = fold(start, (entry for entry, _ in entries))
        self._book.put(HOLDINGS, after)
        for (_, row), split in zip(entries, parts, strict=True):
            if row is not None:
                self._keep(row, split)
        stakes = (*(before.stakes if before is not None else ()), *after.stakes)
        self._touched((stake.alert for stake in stakes), after.key)

    def _keep(self, booked: BookedExecution, parts: Split) -> None:
        """Keep how an execution was split, for `why`, and whether it wants a person."""
        attention = booked.attention
        if attention is not Attention.REOPENED:
            attention = attention_of(booked.match) if parts.opening else Attention.NONE
        before = (booked.folded, booked.opening, booked.closing, booked.owners, booked.attention)
        if before == (True, parts.opening, parts.closing, parts.touched, attention):
            return
        after = replace(
            booked,
            folded=True,
            opening=parts.opening,
            closing=parts.closing,
            owners=parts.touched,
            attention=attention,
        )
        self._book.put(EXECUTIONS, after)
        if attention is not booked.attention:
            self._needs_person(after)

    def _seeded(self, key: ContractKey, rows: Sequence[BookedExecution], holding: Holding | None) -> Holding:
        """Return the contract's holding at its base."""
        anew = holding is None or key.account in self._caught_up
        if holding is None:
            contract = rows[0].execution.contract
            holding = Holding(key.account, contract, base=ZERO, held=ZERO, seed=Baseline.DOUBT)
        elif any(is_doubtful(row, holding) for row in rows):
            holding = replace(holding, seed=Baseline.DOUBT)
        snapshot = self._book.get(SNAPSHOTS, "last")
        told = snapshot is not None and key.text() not in snapshot.disturbed
        if snapshot is not None and told and anew and holding.seed is Baseline.DOUBT:
            listed = snapshot.rows.get(key.text())
            seeded = replace(holding, listed=listed, asked=snapshot.asked, ended=snapshot.ended)
            doubtful = any(is_doubtful(row, seeded) for row in rows)
            if holding.asked is None or not (doubtful and may_begin_at(base_of(rows, holding), rows, seeded)):
                holding = seeded
            # What happened between an earlier link's snapshot and now is not known.
            if not doubtful and all(row.session <= snapshot.session for row in rows):
                holding = replace(holding, seed=Baseline.SNAPSHOT)
        return replace(holding, base=base_of(rows, holding))

    def _entry(self, booked: BookedExecution) -> Movement:
        execution = booked.execution
        owners = sorted({self.current(alert) for alert in owners_of(booked.match)}, key=alert_text)
        named = execution.order_ref.removeprefix("tracker:").casefold()
        moved = (execution.signed, execution.price)
        return Movement(booked.moment, execution.exec_id, *moved, tuple(owners), named)

    def current(self, alert: AlertId) -> AlertId:
        """Follow a record to the newer one that took over what it owned."""
        seen = {alert}
        while True:
            state = self._book.get(ALERTS, alert_text(alert))
            if state is None or state.successor is None:
                return alert
            alert = state.successor
            assert alert not in seen, "successors form a chain"
            seen.add(alert)

    def _release(self, *, all_of_them: bool) -> None:
        """Fold what waited; without `all_of_them` only what no longer has a reason to wait.

        With all its past, which a busy day makes long, a contract is folded only where it must be.
        """
        seeded: list[ContractKey] = []
        for key in list(self._waiting):
            holding = self._book.get(HOLDINGS, key.text())
            if not all_of_them and (self._open_sweeps or (holding is None and self._snapshot_due)):
                continue
            del self._waiting[key]
            if holding is None or holding.seed is Baseline.DOUBT or key in self._stale:
                self.refold(key)
            else:
                seeded.append(key)
        if not seeded:
            # A first start meets the whole day at once, and has none.
            return
        waited: dict[ContractKey, list[BookedExecution]] = {key: [] for key in seeded}
        for row in self._book.find(EXECUTIONS, "waiting", "1"):
            waited.setdefault(row.contract_key, []).append(row)
        for key in seeded:
            for row in sorted(waited[key], key=lambda row: row.moment):
                self._fold_on(row, self._book.get(HOLDINGS, key.text()))
        self.settle()

    def _seed_from(self, draft: _Draft, ended: Moment) -> None:
        self._snapshot_due = False
        self._disturbed = None
        disturbed = tuple(sorted(draft.disturbed))
        self._book.put(SNAPSHOTS, Snapshot(draft.asked, ended, dict(draft.rows), disturbed, draft.session))
        self._fold_doubts()
        self._release(all_of_them=False)

    def _fold_doubts(self) -> None:
        for holding in self._book.find(HOLDINGS, "doubt", "1"):
            self.refold(holding.key)


def _is_later(booked: BookedExecution, holding: Holding) -> bool:
    return holding.last is None or holding.last < booked.moment
