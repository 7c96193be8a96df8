"""Find what other programs did to the alert store, by comparing it with the ledger's state.

Owns what each comparison looks for: records that no longer show what was decided, records that are gone, came
back or have a successor, and orders whose alert has appeared since. It writes nothing and decides nothing:
what it finds is journalled and applied by the pump.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from tracker.core.alert_updates import positions_of
from tracker.core.alerters import AlerterNames, symbol_key
from tracker.core.entries import contracts_named, in_every_account
from tracker.core.journal_entries import (
    WHOLE,
    Entry,
    RecordBack,
    RecordCopied,
    RecordGone,
    RecordReplaced,
    Rematched,
)
from tracker.core.ledger import Ledger
from tracker.core.lot_changes import second_of
from tracker.core.matching import same_contract
from tracker.core.model import Alert, AlertId, Contract, Execution, ExecutionKey, Match, Matched
from tracker.core.order_owners import owners_so_far, settle
from tracker.core.ownership import Circumstances
from tracker.core.packed_lots import LotsByOrder
from tracker.core.ports import AlertStore
from tracker.core.state import ALERTS, EXECUTIONS, HOLDINGS, OWNERS, LedgerState
from tracker.core.state_rows import (
    AlertPosition,
    AlertState,
    BookedExecution,
    ContractKey,
    Holding,
    alert_text,
    owners_of,
)
from tracker.core.succession import former_name, is_dated, records_like, same_alert_among, takes_over
from tracker.pipeline.careful_match import CarefulMatch
from tracker.pipeline.retry_clock import RetryClock


class StoreDifferences(NamedTuple):
    """Hold the result of a comparison."""

    notes: list[Entry]
    undone: list[AlertState]
    """The records that do not show what was decided."""


class _ContractLots(NamedTuple):
    """Hold what the look at an order asks about its contract, which is the same for all of its orders."""

    orders: LotsByOrder
    owners: frozenset[AlertId]
    """In every account of the login."""


class StoreChanges:
    """Compare one store with one ledger's state, each time it changed.

    `ledger` says which executions are never matched, and what waits to be folded; `candidates` returns the
    records that an execution may belong to.
    """

    def __init__(
        self,
        state: LedgerState,
        store: AlertStore,
        candidates: Callable[[Execution], Sequence[Alert]],
        match: CarefulMatch,
        ledger: Ledger,
        *,
        names: AlerterNames,
        clock: RetryClock,
    ) -> None:
        self._state = state
        self._store = store
        self._candidates = candidates
        self._match = match
        self._ledger = ledger
        self._names = names
        self._clock = clock
        self._noted: dict[str, tuple[Match, bool]] = {}
        """Order -> the verdict that was last noted for it, and whether something of it was left."""
        self._waiting: list[Holding] = []
        """What would be held after folding, for each contract with executions that wait to be folded."""
        self._contract_lots: dict[ContractKey, _ContractLots] = {}
        """Contract -> what its orders have in common, kept for the comparison in progress."""
        self._there: set[tuple[str, datetime | None]] = set()
        """Alerters and creation times of the records that the store has, None for no time to the second."""
        self._successions: dict[AlertId, object] = {}
        """Deleted record -> the succession that was last noted, and what the record owned then."""

    def find(self, *, early: bool = False) -> StoreDifferences:
        """Compare every record that was ever written, and match again the orders that may have found their
        alert.

        `early`: frames wait that are decided before what is found.
        """
        back: list[Entry] = []
        left: list[Entry] = []
        undone: list[AlertState] = []
        self._waiting = self._ledger.waiting()
        if early:
            # Of an order of which nothing was left something may be left behind those frames.
            self._noted = {order: noted for order, noted in self._noted.items() if noted[1]}
        self._there = {self._creation(each.id, each) for each in self._store.alerts()}
        kept, gone = self._state.find(ALERTS, "kept", "1"), self._state.find(ALERTS, "gone", "1")
        for alert_state in kept:
            shown = self._store.shown(alert_state.alert)
            assert alert_state.shown is not None, "only records with a decided state are kept"
            if shown is not None:
                self._successions.pop(alert_state.alert, None)
            if shown is None:
                left += self._missing(alert_state)
            elif self._former(alert_state) is not None:
                back += self._back(alert_state)
            elif not shown.agrees(alert_state.shown):
                undone.append(alert_state)
        for alert_state in gone:
            shown = self._store.shown(alert_state.alert)
            if shown is not None:
                self._successions.pop(alert_state.alert, None)
            if shown is not None and alert_state.gone:
                back += self._back(alert_state)
            elif shown is not None and alert_state.shown is not None and not shown.agrees(alert_state.shown):
                # The record had been removed, and another program's stale copy put it back.
                undone.append(alert_state)
            elif shown is None and (alert_state.successor is None or self._may_be_back(alert_state)):
                left += self._new_succession(alert_state)
        for alert_state in self._awaited():
            if self._store.shown(alert_state.alert) is None:
                left += self._new_succession(alert_state)
            else:
                self._successions.pop(alert_state.alert, None)
        written = {each.alert for each in (*kept, *gone) if each.shown is not None}
        notes = [*back, *sorted(left, key=self._turn), *self._copies(written), *self._rematches(early)]
        return StoreDifferences(notes, undone)

    def _turn(self, entry: Entry) -> tuple[int, float]:
        """Return the sort key of a deleted record: where several have the same successor, they hand over in
        this order.

        First the one with the same spelling, then the oldest.
        """
        if not isinstance(entry, RecordReplaced):
            return 2, 0.0
        row = self._state.get(ALERTS, alert_text(entry.old))
        began = None if row is None or row.record is None else row.record.began_at
        return int(entry.old[:2] != entry.new[:2]), began.timestamp() if began is not None else 0.0

    def _awaited(self) -> Iterator[AlertState]:
        """Yield the records that own executions which wait to be folded, and that never showed anything."""
        for alert in dict.fromkeys(owner for holding in self._waiting for owner in holding.owners):
            row = self._state.get(ALERTS, alert_text(alert))
            if row is not None and row.shown is None and not row.gone and row.successor is None:
                yield row

    def _owned(self, alert_state: AlertState) -> list[tuple[Holding, AlertPosition]]:
        """Return what a record owns or owned, contract by contract, including executions that wait to be
        folded.
        """
        ahead = {holding.key for holding in self._waiting}
        found = [each for each in positions_of(self._state, alert_state) if each[0].key not in ahead]
        for holding in self._waiting:
            found += [(holding, mine) for mine in holding.alerts if mine.alert == alert_state.alert]
        return found

    # Records that are gone

    def _missing(self, alert_state: AlertState) -> list[Entry]:
        """Return the note about a record that is no longer there: it has a successor, or is gone."""
        return self._new_succession(alert_state) or [RecordGone(alert_state.alert)]

    def _new_succession(self, alert_state: AlertState) -> list[Entry]:
        """Return a succession only once: one that took nothing over is not noted again while nothing has
        changed.
        """
        notes = self._succession(alert_state)
        # What it owns may be as it was because a person's word came and was taken back; that shows it anew.
        owned = [(holding.key, mine) for holding, mine in self._owned(alert_state)]
        seen = (notes, owned, alert_state.shown)
        if self._successions.get(alert_state.alert) == seen:
            return []
        self._successions[alert_state.alert] = seen
        return notes

    def _succession(self, alert_state: AlertState) -> list[Entry]:
        """Return the records that take over what a record owns: all of it, or contract by contract."""
        owned = self._owned(alert_state)
        live = [holding for holding, mine in owned if mine.quantity]
        last = [each for holding, _ in owned for each in self._last_executions(alert_state, holding)]
        executions = last or self._last_shown(alert_state)
        there = self._records_like(alert_state, executions)
        accounts = [each.account for each in executions[:1]]
        named = [each for one in accounts for each in contracts_named(self._state, one, alert_state, there)]
        contracts = [*(each.contract for each in executions), *named]
        same = same_alert_among(there, alert_state, contracts)
        if alert_state.successor is not None and not (
            same and (owned or not self._went_on(alert_state, contracts))
        ):
            # What it had itself it has by another name, or it handed on all that it had and is not back.
            return []
        if same is not None:
            return [RecordReplaced(alert_state.alert, same.id, (), WHOLE, _as_text(same))]
        if (newer := self._newer_conid(alert_state)) is not None:
            return [RecordReplaced(alert_state.alert, newer, (), WHOLE), RecordGone(newer)]
        notes: list[Entry] = []
        for alert in there:
            mine = [each for each in live if takes_over(alert, alert_state, each.contract, named)]
            if mine:
                live = [each for each in live if each not in mine]
                names = () if not live and not notes else tuple(each.key.text() for each in mine)
                notes.append(RecordReplaced(alert_state.alert, alert.id, names, "", _as_text(alert)))
        return notes

    def _may_be_back(self, alert_state: AlertState) -> bool:
        """Return whether an alert that handed all on may be there again, in another spelling."""
        return self._creation(alert_state.alert, alert_state.record) in self._there

    def _creation(self, alert: AlertId, record: Alert | None) -> tuple[str, datetime | None]:
        created = record.created_at if record is not None and is_dated(alert) else None
        return self._names.key(alert.alerter), created

    def _went_on(self, alert_state: AlertState, contracts: Collection[Contract]) -> bool:
        """Return whether an alert goes on by the name of its successor, which is the same alert."""
        successor = alert_state.successor
        after = None if successor is None else self._state.get(ALERTS, alert_text(successor))
        record = None if after is None else after.record
        return record is None or same_alert_among([record], alert_state, contracts) is not None

    def _newer_conid(self, alert_state: AlertState) -> AlertId | None:
        """Return the newer identity of the same alert, where that record is gone as well.

        Fills were matched by the newer conid, and the record was gone before the store could be compared.
        """
        if not is_dated(alert_state.alert):
            return None
        known = self._state.find(ALERTS, "name", alert_state.alert.name)
        same = [each for each in known if each.alert[:3] == alert_state.alert[:3] and not each.successor]
        newest = max(same, key=lambda each: max((mine.last.seq for _, mine in self._owned(each)), default=0))
        return newest.alert if newest.alert != alert_state.alert else None

    def _back(self, alert_state: AlertState) -> list[Entry]:
        """Return the note that a record is there again; a record of another contract does not count as the
        same.
        """
        former = self._former(alert_state)
        if former is None:
            return [RecordBack(alert_state.alert)]
        # Without a creation time the contract is part of the identity, and the contract is another now.
        there = RecordCopied if positions_of(self._state, alert_state) else RecordBack
        was = "" if alert_state.record is None else _as_text(alert_state.record)
        replaced = RecordReplaced(alert_state.alert, former, (), WHOLE, was)
        return [replaced, RecordGone(former), there(alert_state.alert)]

    def _former(self, alert_state: AlertState) -> AlertId | None:
        """Return the name of a former record whose identity another contract's record has now."""
        if alert_state.record is None or is_dated(alert_state.alert):
            return None
        owned = positions_of(self._state, alert_state)
        last = [each for holding, _ in owned for each in self._last_executions(alert_state, holding)]
        found = [alert for execution in last for alert in self._candidates(execution)]
        there = found if last else self._store.alerts()
        now = next((alert for alert in there if alert.id == alert_state.alert), None)
        if now is None or same_contract(alert_state.record, now):
            return None
        if any(takes_over(now, alert_state, holding.contract) for holding, _ in owned):
            return None
        newest = max((mine.last.seq for _, mine in owned), default=0)
        return former_name(alert_state.alert, newest)

    def _records_like(self, alert_state: AlertState, executions: Sequence[Execution]) -> list[Alert]:
        """Return the other records of the alerter and ticker, in the order in which they take over."""
        there = [alert for execution in executions for alert in self._candidates(execution)]
        return records_like(there, alert_state.alert, [each.contract for each in executions], self._names)

    def _last_executions(self, alert_state: AlertState, holding: Holding) -> list[Execution]:
        """Return an execution of a contract, by which the store finds the records about it."""
        mine = next(each for each in holding.alerts if each.alert == alert_state.alert)
        booked = self._state.get(EXECUTIONS, holding.last_execution(mine))
        return [] if booked is None else [booked.execution]

    def _last_shown(self, alert_state: AlertState) -> list[Execution]:
        """Return the execution that a record shows although it owns nothing any longer."""
        last = alert_state.shown.last_order_update if alert_state.shown is not None else None
        booked = self._state.get(EXECUTIONS, f"{last['account']} {last['exec_id']}") if last else None
        return [] if booked is None else [booked.execution]

    # Records that show what is another's

    def _copies(self, known: Collection[AlertId]) -> Iterator[Entry]:
        """Yield the new records that another program wrote with the position of a former record.

        The former record has the same name, or the same alerter and creation time and another ticker. `known`
        are the records that we ever wrote to.
        """
        names = {self._name_key(*alert[:2]) for alert in known}
        times = {(self._names.key(alert.alerter), alert.created_at) for alert in known if is_dated(alert)}
        for alert in self._store.alerts() if known else ():
            name = self._name_key(*alert.id[:2])
            former = name in names or (name[0], alert.id.created_at) in times
            if former and alert.id not in known:
                shown = self._store.shown(alert.id)
                position = (shown.position if shown is not None else None) or {}
                if position.get("quantity") or position.get("opened_at"):
                    yield RecordCopied(alert.id)

    def _name_key(self, alerter: str, ticker: str) -> tuple[str, str]:
        return self._names.key(alerter), symbol_key(ticker)

    # Orders that may have found their alert

    def _rematches(self, early: bool) -> list[Entry]:
        """Return the orders with something new to decide, the oldest first.

        An order older than a record's close must be decided before one that opens the record again.
        """
        self._contract_lots.clear()
        orders = dict.fromkeys(self._clock.open_orders())
        if self._clock.take_full_look(early=early):
            orders.update(dict.fromkeys(self._unowned()))
        found = [first for order in orders if (first := self._look_at(order)) is not None]
        found.sort(key=lambda first: (second_of(first.moment.time), first.execution.exec_id))
        return [Rematched(first.key) for first in found]

    def _unowned(self) -> Iterator[str]:
        """Yield every order that has lots left and no owner."""
        for holding in (*self._waiting, *self._state.find(HOLDINGS, "unowned", "1")):
            yield from dict.fromkeys(lot.order for lot in holding.lots if not lot.owners and lot.order)

    def _look_at(self, order: str) -> BookedExecution | None:
        """Return an order's first fill, if there is something new to decide about the order."""
        known = self._state.get(OWNERS, order)
        if known is None or known.settled:
            return None
        first = self._booked(known.first)
        if first is None or self._ledger.passes_over(first.execution):
            return None
        there = self._lots_of(known.contract)
        left = there.orders.of(known.order)
        if owners_of(known.match) and not left:
            # After a late fill or a bust something of the order may be left again.
            self._noted.pop(order, None)
            return None
        candidates = self._candidates(first.execution)
        now = Circumstances(there.owners.__contains__, self._clock.skew())
        match = self._match(first.dated, candidates, now)
        before = known.match
        if isinstance(before, Matched):
            before = owners_so_far(self._state, before, left)
        verdict = settle(before, match)
        if verdict is None:
            # A later look may lead to the verdict that was noted last, and it is new again then.
            self._noted.pop(order, None)
            return None
        if not left and not isinstance(verdict, Matched):
            return None
        # The same verdict is noted only once, whatever the ledger decided.
        if self._noted.get(order) == (verdict, bool(left)):
            return None
        self._noted[order] = verdict, bool(left)
        return first

    def _lots_of(self, key: ContractKey) -> _ContractLots:
        found = self._contract_lots.get(key)
        if found is None:
            held = self._held(key)
            every = [self._held(each) for each in in_every_account(self._state, key)]
            owners = [owner for holding in every if holding is not None for owner in holding.owners]
            found = self._contract_lots[key] = _ContractLots(
                LotsByOrder(held.lots if held else ()), frozenset(owners)
            )
        return found

    def _held(self, key: ContractKey) -> Holding | None:
        """Return what is held of a contract, including executions that wait to be folded."""
        waiting = (holding for holding in self._waiting if holding.key == key)
        return next(waiting, None) or self._state.get(HOLDINGS, key.text())

    def _booked(self, key: ExecutionKey) -> BookedExecution | None:
        booked = self._state.get(EXECUTIONS, f"{key.account} {key.exec_id}")
        if booked is not None and booked.superseded_by:
            return self._state.get(EXECUTIONS, f"{key.account} {booked.superseded_by}")
        return booked


def _as_text(record: Alert) -> str:
    return msgspec.json.encode(record).decode()
