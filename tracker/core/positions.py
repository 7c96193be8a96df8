"""Keep what is held of each contract: when its executions are folded, and from which opening balance.

Owns when entries are folded, and onto which state. It never decides which alert a fill belongs to.

- **Opening balance**: what the broker held before our first execution of a contract, see `certainty`. While
  it is unconfirmed it is taken again from each answer. After a break of the connection, or of the gateway's
  link to IBKR, that waits until a sweep requested since then is over, since the answer contains executions
  that were missed.
- **Waiting**: an execution that answers a sweep is folded when that answer ended, went quiet or timed out,
  since executions close to it in time may still come. Nothing waits longer than the connection.
- **Late**: a correction, or an entry that belongs before an entry already folded, is folded in its place. The
  state before the last entries is kept with their names (a run), so that only those are folded again. An
  entry that belongs before the run, or changes the opening balance, makes the contract be folded from its
  opening balance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from tracker.core.adjustment_rows import Adjustment
from tracker.core.alerters import AlerterNames
from tracker.core.certainty import Certainty
from tracker.core.entries import ContractEntries
from tracker.core.fold_ahead import FoldAhead
from tracker.core.fold_failure import FoldFailed, names_contract
from tracker.core.fold_runs import FoldRuns
from tracker.core.lot_changes import Movement, second_of, stand_of
from tracker.core.lots import Folded, apply_decision, fold, split_as, stands_behind, step
from tracker.core.model import AlertId, Execution, Moment
from tracker.core.opening_balance import touches_baseline
from tracker.core.ownership_rows import OwnershipDecision
from tracker.core.position_snapshots import PositionSnapshots
from tracker.core.state import ADJUSTMENTS, EXECUTIONS, HOLDINGS, SNAPSHOTS, LedgerState
from tracker.core.state_rows import Baseline, BookedExecution, ContractKey, Holding, Snapshot
from tracker.core.sweeps import Sweeps
from tracker.core.whole_past import WholePast

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_NO_CONNECTION: Final = 0
"""Older than every connection, so that no execution is as old as what is of it."""


class Positions:
    """Fold booked executions, and the decisions about their lots, into the holdings of a ledger's state.

    `touched` receives each alert whose position may have changed, with the contract; `needs_person` each fill
    that did not need one before.
    """

    def __init__(
        self,
        state: LedgerState,
        touched: Callable[[Iterable[AlertId], ContractKey], None],
        needs_person: Callable[[BookedExecution], None],
        names: AlerterNames,
        zone: tzinfo = UTC,
    ) -> None:
        self._state = state
        self._touched = touched
        self._needs_person = needs_person
        self._entries = ContractEntries(state, names)
        self._snapshots = PositionSnapshots()
        self._certainty = Certainty(state, zone)
        self._sweeps = Sweeps()
        self._past = WholePast(state, self._entries, self._certainty, self._sweeps)
        self._ahead = FoldAhead(self._entries, self._past.folded)
        self._stale: dict[ContractKey, None] = {}
        """Contracts to be folded from their opening balance, once for all that changed."""
        self._runs = FoldRuns(self._sweeps.due)
        self._late: dict[ContractKey, None] = {}
        """Contracts with an unfolded entry that belongs before the last folded one."""
        self._waiting: dict[ContractKey, None] = {}
        self.aside: dict[ContractKey, None] = {}
        """Contracts whose fold failed: their executions wait, so that no other contract's do."""
        self._newest: dict[ContractKey, datetime] = {}
        """The second of the newest entry of each contract that has some that are not folded yet."""
        for row in state.find(EXECUTIONS, "waiting", "1"):
            key = row.contract_key
            self._waiting[key] = None
            self._note_newest(key, row.moment.time)
        for key in self._waiting:
            for one in self._entries.decisions(key):
                self._note_newest(key, one.place.time)

    # What the broker is asked, and answers

    def awaits_sweep(self, accounts: Iterable[str]) -> bool:
        """Return whether an answer about the day is under way, or will be asked for since the last break."""
        return self._sweeps.awaited(accounts)

    def new_link(self, began: int, *, snapshot_due: bool, fold: bool = True) -> None:
        """Forget the old connection's unanswered requests; fold what waited for them, or keep it waiting."""
        self._snapshots.new_link(began, due=False)
        self._sweeps.forget()
        if fold:
            self._release(all_of_them=True)
        self._snapshots.due = snapshot_due

    def sweep_asked(self, request_id: int, account: str) -> None:
        """Have the executions of this answer wait for its end."""
        self._sweeps.asked(request_id, account)

    def sweep_over(self, request_id: int, *, ended: bool = False, may_end: bool = False) -> None:
        """Fold what waited for this answer: it ended, timed out, or went quiet and may end still."""
        first = self._sweeps.over(request_id, ended=ended, may_end=may_end)
        if not self._sweeps.under_way:
            self._release(all_of_them=False)
            self._runs.sweep_over()
        if first:
            self._fold_unconfirmed()

    def sweep_proven(self, account: str, asked: int) -> None:
        """Note that a sweep asked with that frame ended and was complete."""
        self._certainty.proven(account, asked)

    def snapshot_asked(self, asked: Moment, connection_no: int) -> None:
        """Begin to gather an answer to a request for positions, or continue with that of an earlier one."""
        self._snapshots.asked(asked, connection_no, self._sweeps.ended)

    def snapshot_dated(self, asked: Moment) -> None:
        """Date the request under way by the broker's clock."""
        self._snapshots.dated(asked)

    @property
    def asks_again(self) -> bool:
        """Whether positions must be requested again, since the last answer lags behind the executions."""
        return self._certainty.asks_again

    def upstream_lost(self) -> None:
        """Trust no positions from now on: the gateway tells what it knew before it lost IBKR."""
        self._snapshots.upstream_lost()

    def upstream_back(self) -> None:
        """Trust the next answer again; the link asks for one, and for a sweep."""
        unnoticed = self._snapshots.upstream_back()
        if unnoticed is not None:
            self._mistrust(unnoticed)
        self._sweeps.broke()

    def _mistrust(self, began: int) -> None:
        """Take what was answered since the connection began for a guess."""
        snapshot = self._state.get(SNAPSHOTS, "last")
        if snapshot is not None and snapshot.asked.seq > began:
            self._state.put(SNAPSHOTS, replace(snapshot, connection_no=_NO_CONNECTION))
        for holding in list(self._state.every(HOLDINGS)):
            if holding.began is not None and holding.began.asked.seq > began:
                holding = replace(holding, began=None)
            if holding.asked is not None and holding.asked.seq > began:
                self._state.put(HOLDINGS, replace(holding, baseline=Baseline.UNCONFIRMED))
        self._certainty.mistrust(began)

    def listed(self, contract: str, quantity: Decimal | None) -> None:
        """Take one row of the answer under way, as `PositionSnapshots.listed`."""
        self._snapshots.listed(contract, quantity)

    def snapshot_ended(self, ended: Moment) -> bool:
        """Use the answer for what waits, if it can be used; True when it was taken."""
        taken = self._snapshots.ended(ended)
        return taken is not None and self._use(taken)

    def snapshot_failed(self) -> None:
        """Continue without an answer that never ended."""
        self._go_on(self._snapshots.failed())

    def no_more_snapshots(self) -> None:
        """Stop waiting for opening balances."""
        self._go_on(self._snapshots.no_more())

    def _go_on(self, taken: Snapshot | None) -> None:
        if taken is not None:
            self._use(taken)
        self._release(all_of_them=False)

    def _use(self, snapshot: Snapshot) -> bool:
        """Use an answer, unless it lags and is requested again."""
        lags = self._certainty.lags(snapshot)
        if lags and self._certainty.asks_again:
            return False
        if lags:
            snapshot = replace(snapshot, certain=())
        self._state.put(SNAPSHOTS, snapshot)
        self._certainty.remember(snapshot)
        self._fold_unconfirmed()
        self._release(all_of_them=False)
        return True

    # Folding

    def add(self, booked: BookedExecution, change: Decimal) -> None:
        """Put a newly booked execution into the state, folded or waiting to be folded.

        `change`: by how much it changes what we hold.
        """
        self._snapshots.disturb(booked)
        self._add(booked, change)

    def _add(self, booked: BookedExecution, change: Decimal) -> None:
        key = booked.contract_key
        self._certainty.booked(booked, change)
        holding = self._state.get(HOLDINGS, key.text())
        swept = self._sweeps.answers(booked.execution.request_id)
        if swept or key in self._waiting or (holding is None and self._snapshots.due):
            self._waiting[key] = None
        self._fold_on(booked, key, holding)
        if self._is_ahead(key):
            self._ahead.booked(booked)
        else:
            self._ahead.forget(key)

    def _fold_on(self, booked: BookedExecution, key: ContractKey, holding: Holding | None) -> None:
        """Fold an execution onto the holding, or note that it is folded in its place later."""
        known = key not in self._waiting and key not in self._stale
        weighed = self._entries.is_before_difference(booked, key)
        if known and holding and not (holding.expired or weighed or touches_baseline(booked, holding)):
            movement = self._entries.movement(booked)
            if key not in self._late and stands_behind(movement, holding):
                self._runs.note(booked, key, holding)
                folded = Folded(holding)
                step(folded, movement, self._entries.name_of(holding))
                self._state.put(HOLDINGS, folded.holding)
                self._keep(booked, split_as(booked, folded.splits[movement.exec_id]))
                self._touched(folded.touched, key)
                return
            self._late[key] = None
            if not self._runs.note_late(booked, key):
                self._fold_anew(key)
        elif known:
            self._fold_anew(key)
        self._state.put(EXECUTIONS, booked)
        self._note_newest(key, booked.moment.time)
        if known and holding is None:
            self.refold(key)  # It has no past to read.

    def _note_newest(self, key: ContractKey, time: datetime) -> None:
        self._newest[key] = max(second_of(time), self._newest.get(key, _LONG_AGO))

    def newest(self, key: ContractKey) -> datetime:
        """Return the second of the last booked execution of a contract, or of a later decision or expiration.

        A new decision gets its place after them.
        """
        holding = self._state.get(HOLDINGS, key.text())
        times = [self._newest[key]] if key in self._newest else []
        if holding is not None and holding.newest is not None:
            times.append(holding.newest)
        if holding is not None and holding.last is not None:
            times.append(second_of(holding.last.time))
        return max(times)

    def decide(self, decision: OwnershipDecision) -> None:
        """Apply a decision that was just put into the state."""
        key = ContractKey(decision.account, decision.con_id)
        self._ahead.forget(key)
        holding = self._state.get(HOLDINGS, key.text())
        if holding is None or key in self._stale:
            # The executions that it is about wait; it is folded with them.
            self._note_newest(key, decision.place.time)
            return
        behind = holding.last is not None and stand_of(holding.last) <= stand_of(decision.place)
        if decision.whole:
            # What the alert owned under its former name changes from the start.
            self.refold(key)
            return
        if not behind or key in self._late or not holding.by_execution:
            self._note_newest(key, decision.place.time)
            self.changed(key)
            return
        folded = Folded(holding)
        apply_decision(folded, 0, decision)
        self._state.put(HOLDINGS, folded.holding)
        self._add_owners(key.account, folded, [decision])
        self._touched(folded.touched, key)

    def correct(self, booked: BookedExecution, change: Decimal, *, folded: bool) -> None:
        """Have a contract folded again, since one of its executions, `folded` or not, has a new version.

        Another price, or an old version that comes late, changes nothing that positions list.
        """
        if change:
            self._snapshots.disturb(booked)
        if not folded and booked.contract_key not in self.aside:
            self._add(booked, change)
            return
        self._certainty.booked(booked, change)
        self.aside.pop(booked.contract_key, None)
        self.changed(booked.contract_key)

    def set_aside(self, key: ContractKey) -> None:
        """Let a contract's executions wait until one of them is corrected, or until the next start."""
        self.aside[key] = self._waiting[key] = None

    def changed(self, key: ContractKey) -> None:
        """Have a contract folded from its opening balance before it is read."""
        self._ahead.forget(key)
        self._stale[key] = None

    def _fold_anew(self, key: ContractKey) -> None:
        """Have a contract folded from its opening balance, since an execution was booked."""
        self._ahead.drop(key)
        self._stale[key] = None

    def settle(self) -> None:
        """Fold late executions, and the contracts whose past has changed, before they are read."""
        for key in list(self._stale):
            self.refold(key)
        for key in list(self._late):
            self._fold_late(key)
        self._newest = {key: at for key, at in self._newest.items() if key in self._waiting}

    @names_contract
    def _fold_late(self, key: ContractKey) -> None:
        """Fold late executions in their places: with their run, else from the opening balance."""
        run = self._runs.get(key)
        now = self._state.get(HOLDINGS, key.text())
        assert now is not None, "late is what something was folded before"
        unconfirmed = now.baseline is Baseline.UNCONFIRMED
        unusual = unconfirmed or not now.by_execution or self._entries.adjustments(key)
        if run is None or unusual or key in self.aside:
            self.refold(key)
            return
        del self._late[key]
        self._ahead.forget(key)
        # Their present versions: one may have been corrected or decided again since it came.
        rows = [row for name in run.names if (row := self._state.get(EXECUTIONS, name)) and row.counted]
        last = run.before.last
        decisions = [
            one
            for one in self._entries.decisions(key)
            if last is None or stand_of(one.place) > stand_of(last)
        ]
        self._fold_onto(run.before, rows, decisions, (), now)

    def with_all_booked(self, key: ContractKey) -> Holding | None:
        """Return the holding of a contract with all its booked executions, also those not folded yet."""
        if self._is_ahead(key):
            return self._ahead.holding(key)
        return self._state.get(HOLDINGS, key.text())

    def waiting(self) -> list[Holding]:
        """Return the holding of each contract with waiting executions, if it could be folded now."""
        found: list[Holding] = []
        for key in (key for key in self._waiting if key not in self.aside):
            # Such a contract is set aside when it is folded.
            with suppress(FoldFailed):
                found.append(self._ahead.holding(key))
        return found

    def owns(self, key: ContractKey, alert: AlertId, arriving: tuple[Execution, int] | None = None) -> bool:
        """Return whether an alert owns a part of a contract once an arriving execution has closed its part.

        `arriving`: the execution with the number of its frame.
        """
        if self._is_ahead(key) and not self._ahead.may_own(key, alert):
            return False
        holding = self.with_all_booked(key)
        if holding is None or arriving is None:
            return holding is not None and alert in holding.owners
        execution, seq = arriving
        movement = self._entries.moved_by(execution, Moment(execution.time, seq))
        return self._ahead.owns_after(movement, key, alert, holding)

    def _is_ahead(self, key: ContractKey) -> bool:
        """Return whether booked executions of a contract are missing from its holding."""
        return key not in self.aside and (key in self._waiting or key in self._late or key in self._stale)

    def waits(self, key: ContractKey) -> bool:
        """Return whether executions of a contract wait to be folded."""
        return key in self._waiting

    @property
    def answering(self) -> bool:
        """Whether an answer about positions is being received."""
        return self._snapshots.under_way

    @names_contract
    def refold(self, key: ContractKey) -> None:
        """Fold a contract from its opening balance, unless it was set aside."""
        self._stale.pop(key, None)
        self._late.pop(key, None)
        self._runs.forget(key)
        self._ahead.forget(key)
        if key in self.aside:
            return
        start, rows, expired = self._past.of(key)
        before = self._state.get(HOLDINGS, key.text())
        folded = self._fold_onto(start, rows, self._entries.decisions(key), expired, before)
        for one, moved in folded.moved:
            self._move_on(one, moved)

    def _move_on(self, one: Adjustment, moved: Holding) -> None:
        """Fold the contract into which another one was moved again, if what was moved has changed."""
        row = self._state.get(ADJUSTMENTS, f"{one.into} {one.seq}")
        assert row is not None, "both sides of a move are made together"
        elsewhere = moved.account if moved.account != row.account else ""
        alerts = tuple(
            replace(mine, last_account=mine.last_account or elsewhere)
            for mine in moved.alerts
            if mine.quantity
        )
        after = replace(row, moved=moved.held, lots=tuple(moved.lots), alerts=alerts)
        if after != row:
            self._state.put(ADJUSTMENTS, after)
            self.refold(ContractKey(row.account, row.con_id))

    def _fold_onto(
        self,
        start: Holding,
        rows: Sequence[BookedExecution],
        decisions: Sequence[OwnershipDecision],
        expired: Sequence[Movement],
        before: Holding | None,
    ) -> Folded:
        """Fold the entries that are not in `start`, and replace the holding `before` by the result."""
        movements = [*(self._entries.movement(row) for row in rows), *expired]
        adjustments = () if start.last is not None else self._entries.adjustments(start.key)
        folded = fold(start, movements, decisions, self._entries.name_of(start), adjustments)
        self._state.put(HOLDINGS, folded.holding)
        for row in rows:
            after = split_as(row, folded.splits[row.execution.exec_id])
            if after != row:
                self._keep(row, after)
        self._add_owners(start.account, folded, decisions)
        alerts = [each.alert for one in (before, folded.holding) if one is not None for each in one.alerts]
        self._touched((*alerts, *folded.touched), folded.holding.key)
        return folded

    def _keep(self, before: BookedExecution, after: BookedExecution) -> None:
        self._state.put(EXECUTIONS, after)
        if after.attention is not before.attention:
            self._needs_person(after)

    def _add_owners(self, account: str, folded: Folded, decisions: Sequence[OwnershipDecision]) -> None:
        """Add the alerts that a decision gave lots to, to the owners of the lots' executions."""
        for number, exec_ids in folded.given.items():
            alerts = [one.alert for one in decisions[number].alerts]
            for exec_id in exec_ids:
                row = self._state.get(EXECUTIONS, f"{account} {exec_id}")
                if row is not None and not row.owners_include(alerts):
                    owners = tuple(dict.fromkeys((*row.owners, *alerts)))
                    self._state.put(EXECUTIONS, replace(row, owners=owners))

    def _release(self, *, all_of_them: bool) -> None:
        """Fold what waited; without `all_of_them` only what no longer has a reason to wait.

        A contract is folded from its opening balance only if necessary, since that is long on a busy day.
        """
        known: list[ContractKey] = []
        for key in [key for key in self._waiting if key not in self.aside]:
            self._ahead.forget(key)
            holding = self._state.get(HOLDINGS, key.text())
            if not all_of_them and (self._sweeps.under_way or (holding is None and self._snapshots.due)):
                continue
            del self._waiting[key]
            if holding is None or holding.baseline is Baseline.UNCONFIRMED or key in self._stale:
                self.refold(key)
            else:
                known.append(key)
        if not known:
            # So it is at a first start, which folds the whole day at once.
            return
        waited: dict[ContractKey, list[BookedExecution]] = {key: [] for key in known}
        for row in self._state.find(EXECUTIONS, "waiting", "1"):
            waited.setdefault(row.contract_key, []).append(row)
        for key in known:
            self._fold_waited(key, waited[key])
        self.settle()

    @names_contract
    def _fold_waited(self, key: ContractKey, rows: Sequence[BookedExecution]) -> None:
        """Fold the waiting executions of a contract onto its holding."""
        for row in sorted(rows, key=lambda row: (row.moment, row.execution.exec_id)):
            self._fold_on(row, key, self._state.get(HOLDINGS, key.text()))

    def _fold_unconfirmed(self) -> None:
        for holding in self._state.find(HOLDINGS, "doubt", "1"):
            if not self._confirm(holding):
                self.refold(holding.key)

    def _confirm(self, holding: Holding) -> bool:
        """Keep what was folded if the confirmed opening balance equals the assumed one; return whether."""
        key = holding.key
        unfolded = key in self._stale or key in self._late or key in self._waiting
        if unfolded or holding.expired or not holding.by_execution or self._entries.adjustments(key):
            return False
        executions = self._state.find(EXECUTIONS, "contract", key.text())
        start = self._past.with_opening_balance(key, executions, holding)
        if start.base != holding.base:
            return False
        self._runs.forget(key)
        self._state.put(HOLDINGS, start)
        return True
