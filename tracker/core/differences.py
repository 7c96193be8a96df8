"""Compare what the broker holds with our holdings, and find differences that no execution explains.

Owns unexplained differences, and when one becomes a position adjustment: when a second certain answer, at
least `WITNESS` later with a sweep between, shows the same; `VANISHED` later if a whole position is gone. From
its expiry day on, an option that disappears is left to `expirations`. It folds nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from tracker.core.adjustment_rows import ADJUSTED, Adjustment, Difference
from tracker.core.alert_updates import EventKind, TrackerEvent
from tracker.core.contracts import is_expiring
from tracker.core.expirations import ASSIGNED, EXERCISED, expiry_of
from tracker.core.journal_entries import AdjustmentTold, PositionChanged
from tracker.core.lot_changes import second_of, stand_of
from tracker.core.model import ZERO, Contract, Frame, Moment
from tracker.core.opening_balance import is_contained
from tracker.core.position_history import PositionHistory
from tracker.core.positions import Positions
from tracker.core.scaling import scaled
from tracker.core.state import (
    ADJUSTMENTS,
    ANSWERS,
    DEPARTURES,
    DIFFERENCES,
    EXECUTIONS,
    GAPS,
    HOLDINGS,
    LINKS,
    POSITIONS,
    SNAPSHOTS,
    LedgerState,
)
from tracker.core.state_rows import Baseline, ContractKey, Holding, Snapshot
from tracker.core.untraded import held_before, listed_first, on_side_of

WITNESS: Final = timedelta(minutes=1)
VANISHED: Final = timedelta(minutes=5)
ASK_AFTER: Final = timedelta(seconds=5)
"""A pushed position may lack executions that are younger than this."""


class Differences:
    """Compare answers with one ledger's state.

    `zone` is the one in which an expiry day begins; `positions` folds again what changed.
    """

    def __init__(
        self,
        state: LedgerState,
        zone: tzinfo,
        positions: Positions,
    ) -> None:
        self._state = state
        self._zone = zone
        self._positions = positions
        self._pushed: dict[ContractKey, tuple[Decimal, datetime]] = {}
        """Positions that were pushed since the last answer and are not judged yet."""
        self._reasons: list[str] = []

    def take_reasons(self) -> list[str]:
        """Return once why the positions should be requested."""
        reasons, self._reasons = self._reasons, []
        return reasons

    def compare(self, frame: Frame, swept: Callable[[str], int]) -> list[TrackerEvent]:
        """Compare the answer just taken; return the events to report.

        `swept` returns the request, by its frame, of an account's last sweep that ended.
        """
        snapshot = self._state.get(SNAPSHOTS, "last")
        assert snapshot is not None, "a snapshot was just taken"
        self._pushed.clear()
        changed: list[ContractKey] = []
        events: list[TrackerEvent] = []
        for holding in list(self._compared(snapshot)):
            key = holding.key
            listed = snapshot.rows.get(key.text(), ZERO)
            amount = listed - (holding.held - holding.pending)
            before = self._state.get(DIFFERENCES, key.text())
            if before is not None and before.over:
                before = None
            if before is None and not amount:
                continue
            if before is not None and before.amount == amount:
                settled = self._settles(before, holding, snapshot, swept(holding.account))
                if settled:
                    events.append(self._settle(frame, before, holding))
                    changed.append(key)
                continue
            if before is not None:
                self._state.put(DIFFERENCES, replace(before, over=True))
                changed.append(key)
            if amount:
                found = self._found(holding, listed, amount, snapshot)
                self._state.put(DIFFERENCES, found)
                changed.append(key)
                events.append(_told(frame, holding, found, "open"))
            else:
                assert before is not None, "a difference that is gone was there before"
                events.append(_told(frame, holding, before, "gone"))
        for key in changed:
            self._positions.refold(key)
        return events

    def adjust(self, frame: Frame, entry: AdjustmentTold, now: Moment) -> None:
        """Make the adjustment that a person entered, if there is something to adjust.

        Its place is that of the unexplained difference, else after everything that is known.
        """
        holding = self._state.get(HOLDINGS, entry.contract)
        waiting = self._state.get(DIFFERENCES, entry.contract)
        waiting = None if waiting is None or waiting.over else waiting
        ratio = Decimal(entry.ratio) if entry.ratio else None
        if holding is None:
            return
        self._reasons.append("a person entered why a position changed")
        settled = None if waiting is not None else self._settled_as(entry, ratio)
        seen = waiting or (settled.as_difference if settled is not None else None)
        if seen is None and (ratio is None or entry.into):
            # A split makes nothing of no position.
            seen = not_listed(self._state, holding)
        if ratio is None and seen is None and not entry.into:
            return
        one = Adjustment(
            *holding.key,
            frame.seq,
            seen.place if seen is not None else self._behind_all(holding, frame, now),
            entry.cause,
            held=seen.listed if seen is not None and ratio is None else None,
            ratio=ratio,
            note=entry.text,
            at=frame.received_at,
            told=True,
        )
        if settled is not None:
            self._replace(settled, one)
        if entry.into:
            there = PositionHistory(self._state, entry.contract).held_behind(one.place)
            moved = there if settled is None else -settled.as_difference.amount
            contract = contract_of(self._state, entry.into, holding)
            self._move(holding, one, entry.into, moved, contract, lambda asked: asked.seq >= one.place.seq)
            return
        self._state.put(ADJUSTMENTS, one)
        self._fold_again(holding.key)

    def _behind_all(self, holding: Holding, frame: Frame, now: Moment) -> Moment:
        """Return the place of a cause that is entered now for a change that no answer showed.

        An account that the login no longer manages has not changed since. Its place is that of its last
        entry, since the first answers about its new number already contain what was moved there.
        """
        link = self._state.get(LINKS, "last")
        if link is not None and holding.account not in link.accounts and holding.last is not None:
            return holding.last
        second = second_of(now.time)
        return Moment(second if holding.newest is None else max(second, holding.newest), frame.seq)

    def reported(self, frame: Frame, entry: PositionChanged) -> None:
        """Make the adjustment of a report, at its time, if it fits what was held then."""
        self._positions.settle()
        at, amount = datetime.fromisoformat(entry.at), Decimal(entry.amount)
        holding, into = self._state.get(HOLDINGS, entry.contract), entry.into
        if entry.begins and into is not None:
            key = ContractKey(entry.contract.partition(" ")[0], into.con_id)
            holding = holding or self._begun(key, into, amount, lambda asked: asked.time >= at)
            into = None
        if holding is None:
            return
        if entry.cause in (EXERCISED, ASSIGNED):
            past = PositionHistory(self._state, entry.contract)
            expiry = expiry_of(self._state, past, amount, at)
            if expiry is not None:
                self._state.put(DEPARTURES, replace(expiry, cause=entry.cause))
                self._fold_again(holding.key)
            return
        ratio = Decimal(entry.ratio) if entry.ratio else None
        fit = PositionHistory(self._state, entry.contract).fit(at, amount, ratio=ratio, leaves=bool(into))
        if fit is None:
            return
        # Ratio and change together imply what was held before; a change alone does not.
        confirmed = into is not None or ratio is not None
        baseline = Baseline.SNAPSHOT if confirmed else holding.baseline
        holding = replace(holding, base=fit.base, baseline=baseline)
        self._state.put(HOLDINGS, holding)
        one = Adjustment(
            *holding.key,
            frame.seq,
            Moment(at, frame.seq),
            entry.cause,
            ratio=ratio,
            note=entry.text,
            at=frame.received_at,
            told=True,
            change=amount if ratio is None and into is None else None,
        )
        if into is not None:
            there = f"{holding.account} {into.con_id}"
            self._move(holding, one, there, fit.before, into, lambda asked: asked.time >= at)
            self._measure_again(there)
        else:
            self._state.put(ADJUSTMENTS, one)
            self._fold_again(holding.key)
        self._measure_again(entry.contract)

    def _measure_again(self, key: str) -> None:
        """Compare an answer anew with what is known by now of the time up to its place."""
        waiting = self._state.get(DIFFERENCES, key)
        if waiting is None or waiting.over:
            return
        amount = waiting.listed - PositionHistory(self._state, key).held_behind(waiting.place)
        self._state.put(DIFFERENCES, replace(waiting, amount=amount, over=not amount))
        self._positions.refold(ContractKey(waiting.account, waiting.con_id))

    def _settled_as(self, entry: AdjustmentTold, ratio: Decimal | None) -> Adjustment | None:
        """Return the adjustment that two answers made and this one explains, if it came before its cause."""
        settled = settled_of(self._state, entry.contract)
        if settled is None:
            return None
        seen = settled.as_difference
        before = seen.listed - seen.amount
        # Parts of a share are paid out.
        by_ratio = ratio is None or abs(seen.listed - before * ratio) < 1
        fits = not seen.listed if entry.into else by_ratio
        return settled if fits else None

    def _replace(self, settled: Adjustment, one: Adjustment) -> None:
        self._state.put(ADJUSTMENTS, replace(settled, undone=True, replaced_by=one.name))

    def _move(
        self,
        holding: Holding,
        one: Adjustment,
        into: str,
        moved: Decimal,
        contract: Contract | None,
        contains: Callable[[Moment], bool],
    ) -> None:
        """Move everything of a contract into another contract or account.

        `contract` is the other one, None if nothing tells it; `contains` decides by when an answer was
        requested whether it contains the move.
        """
        if contract is None or leads_to(self._state, into, holding.key.text()):
            return
        account, _, con_id = into.rpartition(" ")
        key = ContractKey(account, int(con_id))
        goes = replace(one, held=ZERO, ratio=None, into=into)
        comes = replace(
            one, account=account, con_id=key.con_id, held=None, came_from=holding.key.text(), moved=ZERO
        )
        target, brought = self._state.get(HOLDINGS, into), scaled(moved, one.ratio or Decimal(1))
        if target is None:
            target = self._begun(key, contract, brought, contains)
        else:
            target = replace(target, base=self._base_before(target, one, brought))
        came = settled_of(self._state, into)
        if came is not None and came.amount == brought:
            self._replace(came, one)
        self._state.put(HOLDINGS, target)
        self._state.put(ADJUSTMENTS, comes)
        self._state.put(ADJUSTMENTS, goes)
        self._fold_again(holding.key)  # This folds the target too, without its difference.
        self._fold_again(target.key)

    def _base_before(self, target: Holding, one: Adjustment, comes: Decimal) -> Decimal:
        """Return the opening balance of a contract with executions that something is moved into.

        If that happens before its first execution, or before all that arrived after the answer that it began
        with, the balance is what the last certain answer before it listed.
        """
        key = target.key.text()
        history = PositionHistory(self._state, key)
        base = history.base_without(one.place.time, comes)
        if not history.is_answered_behind(one.place.time):
            return base
        if history.begins_before(one.place) and not self._begins_behind_answer(target):
            return base
        row = self._state.get(ANSWERS, target.account)
        before = held_before(row, key, lambda asked: asked.time >= one.place.time, target.listed)
        return base if before is None else before

    def _begins_behind_answer(self, holding: Holding) -> bool:
        """Return whether all executions arrived after the answer that a holding began with."""
        asked, ended = holding.asked, holding.ended
        rows = self._state.find(EXECUTIONS, "contract", holding.key.text())
        return asked is not None and all(is_contained(row, asked, ended or asked) is False for row in rows)

    def _begun(
        self, key: ContractKey, contract: Contract, comes: Decimal, contains: Callable[[Moment], bool]
    ) -> Holding:
        """Return what was held of a contract without any execution before something was moved into it.

        That is what the last certain answer before it listed, else the first one less what was moved. Where
        none was certain yet, the next one tells.
        """
        row = self._state.get(ANSWERS, key.account)
        newest = row.newest if row is not None else None
        if newest is None:
            return Holding(key.account, contract, ZERO, ZERO, Baseline.UNCONFIRMED)
        base = held_before(row, key.text(), contains)
        if base is None:
            first = listed_first(row, key.text())
            base = on_side_of(first - comes, first)
        asked, ended = newest.asked, newest.ended
        return Holding(key.account, contract, base, base, Baseline.SNAPSHOT, asked=asked, ended=ended)

    def undo(self, seq: int) -> None:
        """Take an adjustment back in its place."""
        rows = self._state.find(ADJUSTMENTS, "name", str(seq))
        if rows:
            self._reasons.append("a person took an adjustment back")
        for row in rows:
            for other in self._state.find(ADJUSTMENTS, "contract", f"{row.account} {row.con_id}"):
                if other.replaced_by == row.name:
                    self._state.put(ADJUSTMENTS, replace(other, undone=False, replaced_by=""))
        self._take_back(rows)

    def cancelled(self, seq: int) -> None:
        """Take back in its place the change that a report cancels.

        The adjustment that it replaced stays replaced: the broker had shown the same mistake.
        """
        rows = self._state.find(ADJUSTMENTS, "name", str(seq))
        if rows:
            self._reasons.append("a report cancelled why a position changed")
        self._take_back(rows)

    def _take_back(self, rows: Iterable[Adjustment]) -> None:
        for row in rows:
            self._state.put(ADJUSTMENTS, replace(row, undone=True))
        for row in rows:
            holding = self._state.get(HOLDINGS, f"{row.account} {row.con_id}")
            assert holding is not None, "what was adjusted was folded"
            self._fold_again(holding.key)

    def _fold_again(self, key: ContractKey) -> None:
        """Fold a contract with other adjustments, and keep what they leave of an open difference."""
        self._positions.refold(key)
        self._measure_again(key.text())

    def pushed(self, key: ContractKey, quantity: Decimal, now: Moment) -> None:
        """Note a position that was pushed outside an answer, and have all requested if nothing explains it.

        One that may lack the newest execution is judged after a sweep.
        """
        self._pushed[key] = (quantity, now.time)
        self._judge_pushed(key, now)

    def judge_pushed(self, now: Moment) -> None:
        """Judge the positions that were pushed and may have lacked the newest execution."""
        for key in list(self._pushed):
            self._judge_pushed(key, now)

    def _judge_pushed(self, key: ContractKey, now: Moment) -> None:
        quantity, at = self._pushed[key]
        holding = self._state.get(HOLDINGS, key.text())
        # Of a contract that was never traded the first execution may be under way.
        new = now.time - at < ASK_AFTER if holding is None else self._may_lack_newest(holding, now)
        if new:
            return
        del self._pushed[key]
        if quantity != (self._listed_last(key) if holding is None else holding.held):
            self._reasons.append("a position was pushed that no execution explains")

    def _listed_last(self, key: ContractKey) -> Decimal:
        """Return what the last certain answer listed of a contract."""
        row = self._state.get(ANSWERS, key.account)
        return ZERO if row is None or row.newest is None else row.newest.rows.get(key.text(), ZERO)

    def _may_lack_newest(self, holding: Holding, now: Moment) -> bool:
        if self._positions.waits(holding.key):
            return True
        return holding.newest is not None and now.time - holding.newest < ASK_AFTER

    def _compared(self, snapshot: Snapshot) -> Iterable[Holding]:
        """Yield the holdings for which the answer is certain and whose opening balance was confirmed."""
        keys = {holding.key.text(): holding for holding in self._state.find(HOLDINGS, "held", "1")}
        # What is sold since is not listed, and may have a difference that waits.
        waiting = (f"{row.account} {row.con_id}" for row in self._state.find(DIFFERENCES, "open", "1"))
        for text in (*snapshot.rows, *waiting):
            if text not in keys and (holding := self._state.get(HOLDINGS, text)) is not None:
                keys[text] = holding
        for text, holding in keys.items():
            known = holding.baseline is Baseline.SNAPSHOT and not self._positions.waits(holding.key)
            if known and holding.account in snapshot.certain and text not in snapshot.disturbed:
                yield holding

    def _found(self, holding: Holding, listed: Decimal, amount: Decimal, snapshot: Snapshot) -> Difference:
        newest = holding.newest
        asked = second_of(snapshot.asked.time)
        at = asked if newest is None else max(asked, newest)
        # A cause that a person entered while the answer was in progress is compared with it too, and so is an
        # execution that arrived then.
        rows = self._state.find(ADJUSTMENTS, "contract", holding.key.text())
        places = [Moment(at, snapshot.asked.seq), *(row.place for row in rows if not row.undone)]
        fills = self._state.find(EXECUTIONS, "contract", holding.key.text())
        if any(row.seq > snapshot.asked.seq and second_of(row.moment.time) == at for row in fills):
            places.append(Moment(at, snapshot.ended.seq))
        return Difference(
            *holding.key,
            listed,
            amount,
            max(places, key=stand_of),
            snapshot.ended,
            vanished=not listed,
            after_gap=bool(self._state.find(GAPS, "open", "1")),
        )

    def _settles(self, seen: Difference, holding: Holding, snapshot: Snapshot, swept: int) -> bool:
        if is_expiring(holding.contract, snapshot.asked.time.astimezone(self._zone).date()):
            return False
        wait = VANISHED if seen.vanished else WITNESS
        return swept > seen.seen.seq and snapshot.ended.time - seen.seen.time >= wait

    def _settle(self, frame: Frame, seen: Difference, holding: Holding) -> TrackerEvent:
        one = Adjustment(
            *holding.key,
            frame.seq,
            seen.place,
            ADJUSTED,
            held=seen.listed,
            at=frame.received_at,
            amount=seen.amount,
        )
        self._state.put(ADJUSTMENTS, one)
        self._state.put(DIFFERENCES, replace(seen, over=True))
        return _told(frame, holding, seen, "adjusted", one.name)


def not_listed(state: LedgerState, holding: Holding) -> Difference | None:
    """Return the last answer's zero for a holding of an account of which it lists nothing; else None.

    Such an answer is never certain and changes nothing by itself; a person may confirm it.
    """
    last = state.get(SNAPSHOTS, "last")
    link = state.get(LINKS, "last")
    if last is None or link is None or holding.account not in link.accounts or not holding.held:
        return None
    if any(key.startswith(f"{holding.account} ") for key in last.rows):
        return None
    if any(row.seq > last.asked.seq for row in state.find(EXECUTIONS, "contract", holding.key.text())):
        return None
    at = second_of(last.asked.time)
    at = at if holding.newest is None else max(at, holding.newest)
    place = Moment(at, last.asked.seq)
    return Difference(*holding.key, ZERO, -holding.held, place, last.ended, vanished=True)


def settled_of(state: LedgerState, key: str) -> Adjustment | None:
    """Return the last adjustment of a contract that two answers agreed on."""
    rows = state.find(ADJUSTMENTS, "contract", key)
    found = [row for row in rows if row.amount is not None and not row.undone]
    return max(found, key=lambda row: row.seq, default=None)


def contract_of(state: LedgerState, key: str, source: Holding) -> Contract | None:
    """Return the contract of a key, as its fills or the broker's positions tell it; None where neither does.

    In another account it is the one of `source`.
    """
    holding, listed = state.get(HOLDINGS, key), state.get(POSITIONS, key)
    if holding is not None:
        return holding.contract
    if listed is not None:
        return listed.position.contract
    same = key.endswith(f" {source.contract.con_id}")
    return source.contract if same else None


def leads_to(state: LedgerState, key: str, goal: str) -> bool:
    """Return whether a contract is another one, or was moved into it."""
    if key == goal:
        return True
    rows = state.find(ADJUSTMENTS, "contract", key)
    return any(leads_to(state, row.into, goal) for row in rows if row.into and not row.undone)


def _told(frame: Frame, holding: Holding, one: Difference, state: str, name: str = "") -> TrackerEvent:
    what: dict[str, str | int | float | None] = {
        "account": holding.account,
        "symbol": holding.contract.symbol,
        "con_id": holding.contract.con_id,
        "listed": str(one.listed),
        "difference": str(one.amount),
        "state": state,
    }
    if name:
        what["id"] = name
    if one.after_gap and state == "open":
        what["note"] = "a day is unproven: missed fills are the likely cause"
    return TrackerEvent(EventKind.UNEXPLAINED, frame.received_at, what)
