"""Decide which alerts own an order's lots: when its fills are booked, later, by a person, and by succession.

Owns which decisions about ownership are made. `lots` applies a decision to lots, `positions` decides when,
`decision_log` gives it its place.

- Fills of one order stay together: a fill follows its order's owners, or a person's decision, else the order
  is matched by its first fill. An execution without a permId is matched alone.
- A match found as an execution is booked belongs to the execution, if the alert was in the store before a
  live execution came, or was created no later than the execution's second. An alert younger than a swept
  execution gets what is left at the alert's creation.
- A match found later is a decision. Its place is after the last execution of the contract that was booked
  when it was made. The place is written down then, and what was closed before it stays closed.
- An order that has owners also gets the alerts that a conid or a contract names; an ambiguous order is
  settled by a strong rule only. An order that a reference matched or a person decided is not matched again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, TypeAlias

from msgspec.structs import replace

from tracker.core.alerters import AlerterNames
from tracker.core.decision_log import DecisionLog, Ruling
from tracker.core.entries import in_every_account
from tracker.core.journal_entries import WHOLE, PartAssigned
from tracker.core.lot_changes import second_of
from tracker.core.lot_rows import Lot
from tracker.core.matching import nothing_owned_by
from tracker.core.model import (
    LIVE,
    Alert,
    AlertId,
    Execution,
    ExecutionKey,
    Frame,
    Match,
    Matched,
    Moment,
    Rule,
    Unmatched,
)
from tracker.core.order_owners import (
    DISMISSED,
    PERSON,
    OrderOwnership,
    owners_so_far,
    settle,
    settled_by,
)
from tracker.core.ownership_rows import Decided, OrderOwners, OwnershipDecision, OwnershipKind, RetryWindow
from tracker.core.packed_lots import of_order
from tracker.core.part_ownership import PartOwnership
from tracker.core.part_rows import FillPart
from tracker.core.positions import Positions
from tracker.core.present_records import Candidates, PresentRecords
from tracker.core.state import ALERTS, DECISIONS, EXECUTIONS, OWNERS, WINDOWS, LedgerState
from tracker.core.state_rows import (
    AlertState,
    BookedExecution,
    ContractKey,
    alert_text,
    owners_key,
    owners_of,
)
from tracker.core.succession import is_dated, without_namesake


class Circumstances(NamedTuple):
    """Hold what a match depends on, other than the execution and the alerts."""

    owns: Callable[[AlertId], bool] = nothing_owned_by
    """Return whether a record owns a part of the contract."""
    skew: timedelta = timedelta(0)
    """How far the stores' clock, which is ours, is ahead of the broker's."""


Decide: TypeAlias = Callable[[Execution, Circumstances], Match]
"""Match an execution against the alerts that the store has now."""


class BookingVerdict(NamedTuple):
    """Hold what was decided about an execution as it is booked."""

    match: Match
    at_booking: tuple[AlertId, ...] = ()
    """The owners of its opening part."""
    younger: tuple[tuple[AlertId, Rule, datetime], ...] = ()
    """Alerts that own what is left at their creation."""
    dismissed: bool = False


class Ownership:
    """Decide for one ledger's state; `needs_person` receives each fill that did not need a person before.

    `folded` is passed to `DecisionLog`.
    """

    def __init__(
        self,
        state: LedgerState,
        positions: Positions,
        decide: Decide,
        candidates: Candidates,
        needs_person: Callable[[BookedExecution], None],
        ran: Callable[[], float],
        names: AlerterNames,
        folded: Callable[[AlertId], Iterable[ContractKey]],
    ) -> None:
        self._state = state
        self._positions = positions
        self._decide = decide
        self._needs_person = needs_person
        self._records = PresentRecords(state, candidates, names)
        self._orders = OrderOwnership(state, needs_person)
        self._log = DecisionLog(state, positions, folded)
        self._parts = PartOwnership(state, self._orders, self._log, self._records.remember, needs_person)
        self._ran = ran
        self.skew = timedelta(0)

    # As an execution is booked

    def judge(self, frame: Frame, execution: Execution) -> BookingVerdict:
        """Decide which alerts own a new execution, which the frame brought."""
        order = self._orders.known(execution)
        if order is not None:
            order = self._without_namesakes(frame, execution, order)
        owners = owners_of(order.match) if order is not None else ()
        if order is not None and isinstance(order.match, Matched) and owners:
            now = self._records.owner_now
            owners_now = {now(execution, alert): rule for alert, rule in order.match.alerts}
            match: Match = Matched(tuple(owners_now.items()))
        elif order is not None and order.settled:
            return BookingVerdict(order.match, dismissed=order.settled == DISMISSED)
        elif order is not None:
            # Fills of one order stay together, so each is matched by the first of them.
            first = self._first_of(order, execution)
            match = settle(order.match, self._matched(first, (execution, frame.seq))) or order.match
        else:
            match = self._matched(execution, (execution, frame.seq))
        if not isinstance(match, Matched):
            return BookingVerdict(match)
        at_booking: list[AlertId] = []
        younger: list[tuple[AlertId, Rule, datetime]] = []
        known = order.claims if order is not None else ()
        # A successor has its own claim where an earlier fill went to it in place of an owner that is gone.
        oldest_last = sorted(known, key=lambda claim: claim.since, reverse=True)
        claims = {self._records.owner_now(execution, claim.alert): claim for claim in oldest_last}
        second = second_of(execution.time)
        for alert, rule in match.alerts:
            claim = claims.get(alert)
            follows = claim is not None and claim.since <= second
            if claim is not None and claim.decided and not follows:
                # The decision after it gives its lot to the alert.
                continue
            own = follows or execution.request_id == LIVE
            began = None if own else self._began(execution, alert)
            if began is None or second_of(began) <= second:
                at_booking.append(alert)
            else:
                younger.append((alert, rule, began))
        return BookingVerdict(match, tuple(sorted(at_booking, key=alert_text)), tuple(younger))

    def _without_namesakes(self, frame: Frame, execution: Execution, order: OrderOwners) -> OrderOwners:
        """Return an order with former names for owners whose identity another contract's record has now."""
        renamed = False
        for alert, rule in order.match.alerts if isinstance(order.match, Matched) else ():
            # Every following fill comes here; the identity of an alert with a time of creation is its own.
            if rule not in (Rule.ORDER_REF, Rule.PERSON) and not is_dated(alert):
                known = self._state.get(ALERTS, alert_text(alert)) or AlertState(alert)
                now = self._records.find(execution, alert)
                former = without_namesake(known, now, execution.contract, frame.seq)
                if former is not None and not self._records.took_over(execution, known, now):
                    self._state.put(ALERTS, former)
                    self._orders.rename(order.order, alert, former.alert)
                    renamed = True
        return (self._orders.known(execution) or order) if renamed else order

    def _first_of(self, order: OrderOwners, execution: Execution) -> Execution:
        """Return the order's first fill, which may be the new one."""
        first = self._orders.in_force(order.first)
        return execution if first is None or execution.time < first.dated.time else first.dated

    def _matched(self, execution: Execution, arriving: tuple[Execution, int] | None = None) -> Match:
        """Match an order by an execution; `arriving` is the one being booked, with its frame's number."""
        owns = partial(self._owns, ContractKey(execution.account, execution.contract.con_id), arriving)
        match = self._decide(execution, Circumstances(owns, self.skew))
        for alert in owners_of(match):
            self._records.remember(execution, alert)
        return match

    def _owns(self, key: ContractKey, arriving: tuple[Execution, int] | None, alert: AlertId) -> bool:
        """Return whether a record owns a part of a contract, in any account, after the arriving execution.

        What the execution closes is not owned any longer, so its opening part does not belong to an alert
        that it has just closed.
        """
        first, *others = in_every_account(self._state, key)
        owns = self._positions.owns
        return owns(first, alert, arriving) or any(owns(other, alert) for other in others)

    def _owners(self, key: ContractKey) -> frozenset[AlertId]:
        holding = self._positions.with_all_booked(key)
        return holding.owners if holding is not None else frozenset()

    def _began(self, execution: Execution, alert: AlertId) -> datetime | None:
        """Return when a record was created, by the broker's clock; None if unknown."""
        record = self._records.find(execution, alert)
        if record is None:
            state = self._state.get(ALERTS, alert_text(alert))
            record = state.record if state is not None else None
        began = None if record is None else record.began_at
        return None if began is None else began - self.skew

    def booked(self, frame: Frame, booked: BookedExecution, verdict: BookingVerdict) -> None:
        """Note who owns the order now, and make the decisions that follow; the execution is in the state."""
        key = owners_key(booked.execution)
        known = self._state.get(OWNERS, key)
        if known is None:
            order = OrderOwners(
                key, booked.contract_key, booked.key, verdict.match, settled_by(verdict.match)
            )
            self._state.put(OWNERS, order)
        elif booked.execution.time < self._orders.row(known.first).execution.time:
            self._state.put(OWNERS, replace(known, first=booked.key))
        window = RetryWindow(key, self._ran())
        if self._state.get(WINDOWS, key) != window:
            # The window counts from each fill of the order.
            self._state.put(WINDOWS, window)
        self._orders.claim(key, verdict.at_booking, booked.execution.time, decided=False)
        for alert, rule, began in verdict.younger:
            # An execution in the second of the alert's creation counts as after it.
            place = Moment(second_of(began), 0)
            younger = Ruling(booked.contract_key, OwnershipKind.YOUNGER, [(alert, rule)], key, place)
            self._log.make(frame, younger, self.skew)
            self._orders.claim(key, [alert], place.time, decided=True)
        if known is not None and not known.settled and not owners_of(known.match):
            self._extend(frame, booked, verdict.match)

    def _extend(self, frame: Frame, booked: BookedExecution, match: Match) -> None:
        """Give the order's earlier fills the verdict that a later one led to.

        That decision comes after those about the later fill itself, whose owners may be younger than it.
        """
        known = self._orders.of(booked)
        if match == known.match:
            return
        self._state.put(OWNERS, replace(known, match=match, settled=settled_by(match)))
        if isinstance(match, Matched):
            ruling = Ruling(known.contract, OwnershipKind.MATCHED, match.alerts, known.order)
            self._log.make(frame, ruling, self.skew)
        self._orders.show(known.order, booked, match)

    # Later

    def rematch(self, frame: Frame, key: ExecutionKey) -> None:
        """Match the order of an execution again, since the store has changed."""
        booked = self._orders.in_force(key)
        assert booked is not None, "the ledger matches booked executions again"
        order = self._orders.of(booked)
        if order.settled:
            return
        first = self._orders.in_force(order.first) or booked
        match = self._matched(first.dated)
        held = self._positions.with_all_booked(order.contract)
        left = list(of_order(held.lots, order.order)) if held is not None else []
        before = order.match
        if isinstance(before, Matched):
            before = owners_so_far(self._state, before, left)
        new = settle(before, self._without_successors(first.dated, left, match))
        if new is None:
            return
        if not left:
            if isinstance(new, Matched):
                self._note_in_vain(frame, order, new)
            return
        self._state.put(OWNERS, replace(order, match=new, settled=settled_by(new)))
        if isinstance(new, Matched):
            more = [each for each in new.alerts if each[0] not in owners_of(before)]
            assert held is not None, "lots are left"
            continued = {alert: self._records.continued(first.dated, alert, held) for alert, _ in more}
            ruling = Ruling(order.contract, OwnershipKind.MATCHED, more, order.order, continued=continued)
            place = self._log.make(frame, ruling, self.skew)
            self._orders.claim(order.order, [alert for alert, _ in more], place.time, decided=True)
        self._orders.show(order.order, booked, new)

    def _without_successors(self, execution: Execution, left: Sequence[Lot], match: Match) -> Match:
        """Leave out the successors of the lots' owners that are no longer in the store.

        Such an alert takes over from that owner when the store is compared, and does not share with it.
        """
        if not isinstance(match, Matched):
            return match
        owners = {owner for lot in left for owner in lot.owners}
        gone = [owner for owner in owners if self._records.find(execution, owner) is None]
        successors = {self._records.successor(execution, owner) for owner in gone}
        named = [(alert, rule) for alert, rule in match.alerts if alert not in successors]
        return replace(match, alerts=tuple(named)) if named else Unmatched("", match.rejected)

    def _note_in_vain(self, frame: Frame, order: OrderOwners, match: Matched) -> None:
        """Note once, also across restarts, that alerts were found for an order of which nothing is left."""
        known = [one for one in self._state.find(DECISIONS, "orders", order.order) if one.in_vain]
        if all(tuple(each.alert for each in one.alerts) != owners_of(match) for one in known):
            kind = OwnershipKind.MATCHED
            ruling = Ruling(order.contract, kind, match.alerts, order.order, in_vain=True)
            self._log.write(frame, ruling, self.skew)

    def assign(self, frame: Frame, key: ExecutionKey, alert: AlertId) -> BookedExecution | None:
        """Give what is left of an order to one alert; return the execution, None if nothing changed."""
        booked = self._orders.in_force(key)
        if booked is None:
            return None
        order = self._orders.of(booked)
        match = Matched(((alert, Rule.PERSON),), booked.match.rejected)
        if order.settled == PERSON and owners_of(order.match) == (alert,):
            return None
        self._records.remember(booked.execution, alert)
        self._state.put(OWNERS, replace(order, match=match, settled=PERSON, claims=()))
        # Who stood in for an owner that is gone had the lots, and gets them back.
        mine = order.match.alerts if isinstance(order.match, Matched) else ()
        now = partial(self._records.owner_now, booked.execution)
        before = tuple({now(owner): rule for owner, rule in mine}.items())
        kind = OwnershipKind.ASSIGNED
        ruling = Ruling(order.contract, kind, match.alerts, order.order, before=before, was=order.match)
        place = self._log.make(frame, ruling, self.skew)
        self._orders.claim(order.order, [alert], place.time, decided=True)
        self._orders.show(order.order, booked, match)
        return booked

    def assign_part(self, frame: Frame, entry: PartAssigned) -> BookedExecution | None:
        """Give a part of what is left of a fill to one alert; return the fill, None if nothing changed."""
        booked = self._orders.in_force(entry.execution)
        if booked is None:
            return None
        held = self._positions.with_all_booked(booked.contract_key)
        part = FillPart(entry.alert, entry.quantity, frame.seq)
        whole = entry.whole == WHOLE
        return booked if self._parts.assign(frame, booked, held, part, self.skew, whole=whole) else None

    def undo(self, frame: Frame, key: ExecutionKey, seq: int) -> BookedExecution | None:
        """Undo, from now on, what a person decided with a frame; the order is not matched again."""
        booked = self._orders.in_force(key)
        if booked is not None and self._parts.undo(frame, booked, seq, self.skew):
            return booked
        if booked is None:
            return None
        order = self._orders.of(booked)
        made = [one for one in self._state.find(DECISIONS, "orders", order.order) if one.seq == seq]
        if booked.dismissed and not made:
            return self._put_back(booked, seq)
        if order.settled != PERSON or not made:
            return None
        # Records may have been renamed or replaced since.
        now = partial(self._records.called_since, made[0], booked.execution)
        since = {now(owner): rule for owner, rule in made[0].before}
        before = tuple(since.items())
        old = Matched(before) if before else Unmatched("a person took the assignment back")
        match = old if isinstance(made[0].was, Matched) else made[0].was or old
        self._state.put(OWNERS, replace(order, match=match, settled=PERSON, claims=()))
        known = self._known_before(made[0], booked.execution)
        ruling = Ruling(order.contract, OwnershipKind.ASSIGNED, before, order.order, known=known)
        place = self._log.make(frame, ruling, self.skew)
        self._orders.claim(order.order, [alert for alert, _ in before], place.time, decided=True)
        self._orders.show(order.order, booked, match)
        return booked

    def _known_before(self, made: OwnershipDecision, execution: Execution) -> dict[AlertId, Decided]:
        """Return what was known of each owner of an order before an assignment, as it was matched late."""
        decisions = self._state.find(DECISIONS, "orders", made.order)
        about_all = [one for one in decisions if one.seq < made.seq and not one.in_vain and not one.fill]
        now = partial(self._records.called_since, execution=execution)
        in_turn = sorted(about_all, key=lambda one: (one.seq, one.number))
        return {now(one, owner=each.alert): each for one in in_turn for each in one.alerts}

    def _put_back(self, booked: BookedExecution, dismissed_with: int) -> BookedExecution:
        """Let an execution that a frame dismissed, and later fills of its order, need a person again."""
        order = self._orders.of(booked)
        if order.settled == DISMISSED:
            self._state.put(OWNERS, replace(order, settled=PERSON))
        for row in self._orders.rows(booked):
            if row.dismissed and (row.key == booked.key or row.seq > dismissed_with):
                self._state.put(EXECUTIONS, replace(row, dismissed=False))
                self._needs_person(row)
        return booked

    def dismiss(self, key: ExecutionKey) -> BookedExecution | None:
        """Take an execution out of what needs a person; its order is not matched again."""
        booked = self._state.get(EXECUTIONS, f"{key.account} {key.exec_id}")
        if booked is None or booked.dismissed:
            return None
        order = self._orders.of(booked)
        if not owners_of(order.match):
            self._state.put(OWNERS, replace(order, settled=DISMISSED))
        self._state.put(EXECUTIONS, replace(booked, dismissed=True))
        return booked

    def waiting_of(self, alert: AlertId) -> list[ContractKey]:
        """Return the contracts with waiting executions of which a record will own a part."""
        return [holding.key for holding in self._positions.waiting() if alert in holding.owners]

    def last_name(self, alert: AlertId) -> AlertId:
        """Return the name that an alert had last, after a change of its spelling or its conid."""
        return self._records.last_name(alert)

    def owns(self, alert: AlertId, contracts: Iterable[ContractKey]) -> bool:
        """Return whether a record owns a part of one of these contracts, waiting executions included."""
        return any(alert in self._owners(key) for key in contracts)

    def hand_on(self, frame: Frame, alert: AlertId, contracts: Iterable[ContractKey]) -> set[AlertId]:
        """Give what was folded late for a record to its successor, where that takes over the contract.

        A record that is back by another name has all that it had, see `succeed`.
        """
        successors: set[AlertId] = set()
        for key in contracts:
            last = self._last_execution(key, alert)
            new = alert if last is None else self._records.owner_now(last, alert)
            if last is None or new == alert:
                continue
            if self.succeed(frame, alert, new, [key], whole=self._records.is_same_alert(last, alert, new)):
                successors.add(new)
        return successors

    def _last_execution(self, key: ContractKey, alert: AlertId) -> Execution | None:
        """Return the last execution of a record's part of a contract, None where it never had one."""
        holding = self._positions.with_all_booked(key)
        mine = [each for each in holding.alerts if each.alert == alert] if holding is not None else []
        if holding is None or not mine:
            return None
        last = self._state.get(EXECUTIONS, holding.last_execution(mine[0]))
        assert last is not None, "a position names an execution of the state"
        return last.execution

    def succeed(
        self,
        frame: Frame,
        old: AlertId,
        new: AlertId,
        contracts: Iterable[ContractKey],
        *,
        whole: bool,
        told: Alert | None = None,
    ) -> bool:
        """Give what is left of a record's lots to its successor; return whether there was anything.

        `whole`: the successor is the same alert, which keeps all it had, even if that is closed; later fills
        of its orders are its own too. `told`: what it said; by that it gets nothing of another contract, of
        which the record may own lots only by now.
        """
        gone = self._state.get(ALERTS, alert_text(old)) or AlertState(old)
        handed = False
        for key in contracts:
            holding = self._positions.with_all_booked(key)
            mine = [each for each in holding.alerts if each.alert == old] if holding is not None else []
            kind = OwnershipKind.SUCCEEDED
            ruling = Ruling(key, kind, [(new, None)], taken_from=old, whole=whole)
            if whole and holding is not None and not mine:
                # It handed all on; what is told late to have come to it is known by its new name.
                self._log.make(frame, ruling, self.skew)
                for order in sorted(self._orders.of_contract(key)):
                    self._orders.rename(order, old, new)
            if holding is None or not (mine and (mine[0].quantity or whole)):
                continue
            last = self._state.get(EXECUTIONS, holding.last_execution(mine[0]))
            assert last is not None, "a position names an execution of the state"
            if told and not whole and self._records.among([told], gone, last.execution) is None:
                continue
            handed = True
            self._records.remember(last.execution, new, told)
            orders = {lot.order for lot in holding.lots if old in lot.owners}
            if whole:
                orders |= self._orders.of_contract(key)
            self._log.make(frame, ruling, self.skew)
            for order in sorted(orders):
                self._orders.rename(order, old, new)
        return handed
