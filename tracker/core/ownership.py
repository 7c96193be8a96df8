"""Decide whose an order's lots are: as its fills are booked, later, by a person, and by succession.

Owns every decision about ownership and the place at which it stands. It folds nothing itself: what a decision
does to lots, `lots` says, when, `positions`.

- Fills of one order stay together: a fill follows its order's owners, or a person's decision, else it is
  matched, judged by the order's first fill. An execution without a permId stands for itself.
- A match found as an execution is booked is part of it, if the alert was there before a live one came, or was
  created no later than the execution's second. A younger alert of a swept execution gets what is left at its
  creation.
- What is found later is a decision. Its place is behind the last execution of the contract that was booked
  when it was made; it is written down then, and what was closed before it stays closed.
- An order that has owners gets those that a conid or a contract names beside them; an ambiguous one is
  settled by a strong rule only. What a reference matched or a person decided is not matched again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, TypeAlias

from msgspec.structs import replace

from tracker.core.alert_updates import positions_of
from tracker.core.entries import current_record
from tracker.core.lot_changes import second_of
from tracker.core.matching import STRONG
from tracker.core.model import (
    LIVE,
    Alert,
    AlertId,
    Ambiguous,
    Execution,
    ExecutionKey,
    Frame,
    Match,
    Matched,
    Moment,
    Rule,
    Unmatched,
)
from tracker.core.ownership_rows import (
    Claim,
    Decided,
    OrderOwners,
    OwnershipDecision,
    OwnershipKind,
    RetryWindow,
)
from tracker.core.positions import Positions
from tracker.core.state import ALERTS, DECISIONS, EXECUTIONS, HOLDINGS, OWNERS, WINDOWS, LedgerState
from tracker.core.state_rows import (
    AlertState,
    Attention,
    BookedExecution,
    ContractKey,
    alert_text,
    attention_of,
    order_of,
    owners_key,
    owners_of,
    rules_of,
)

REFERENCE = "reference"
PERSON = "person"
DISMISSED = "dismissed"
"""Why an order is never matched again."""


class Circumstances(NamedTuple):
    """Hold what a match depends on beside the execution and the alerts."""

    owning: frozenset[AlertId] = frozenset()
    """The records that own a part of the contract."""
    skew: timedelta = timedelta(0)
    """How far the stores' clock, which is ours, is ahead of the broker's."""


Decide: TypeAlias = Callable[[Execution, Circumstances], Match]
"""Match an execution against the alerts that the store has now."""
FindAlert: TypeAlias = Callable[[Execution, AlertId], Alert | None]
"""Return a record among those that an execution may belong to, as it is now."""


class BookingVerdict(NamedTuple):
    """Hold what was decided about an execution as it is booked."""

    match: Match
    at_booking: tuple[AlertId, ...] = ()
    """The owners of its opening part."""
    younger: tuple[tuple[AlertId, Rule, datetime], ...] = ()
    """Alerts that own what is left at their creation."""
    dismissed: bool = False


class Ownership:
    """Decide for one ledger's state; `needs_person` is told each fill that did not need one before."""

    def __init__(
        self,
        state: LedgerState,
        positions: Positions,
        decide: Decide,
        find_alert: FindAlert,
        needs_person: Callable[[BookedExecution], None],
        ran: Callable[[], float],
    ) -> None:
        self._state = state
        self._positions = positions
        self._decide = decide
        self._find_alert = find_alert
        self._needs_person = needs_person
        self._ran = ran
        self._numbered = Moment(datetime.min, 0)
        """The frame of the last decision, as `seq`, and how many it made."""
        self._made = 0
        self.skew = timedelta(0)

    # As an execution is booked

    def judge(self, execution: Execution) -> BookingVerdict:
        """Decide about a new execution that may be matched."""
        order = self._order_of(execution)
        owners = owners_of(order.match) if order is not None else ()
        if order is not None and isinstance(order.match, Matched) and owners:
            match: Match = Matched(order.match.alerts)
        elif order is not None and order.settled:
            return BookingVerdict(order.match, dismissed=order.settled == DISMISSED)
        elif order is not None:
            # Fills of one order stay together, so each is judged by the first of them.
            match = settle(order.match, self._matched(self._first_of(order, execution))) or order.match
        else:
            match = self._matched(execution)
        if not isinstance(match, Matched):
            return BookingVerdict(match)
        # The store may still show a record that is known to have a successor.
        match = with_successors(self._state, match)
        at_booking: list[AlertId] = []
        younger: list[tuple[AlertId, Rule, datetime]] = []
        known = order.claims if order is not None else ()
        claims = {current_record(self._state, claim.alert): claim for claim in known}
        second = second_of(execution.time)
        for alert, rule in match.alerts:
            claim = claims.get(alert)
            follows = claim is not None and claim.since <= second
            if claim is not None and claim.decided and not follows:
                # The decision that stands behind it gives its lot to the alert.
                continue
            own = follows or execution.request_id == LIVE
            began = None if own else self._began(execution, alert)
            if began is None or second_of(began) <= second:
                at_booking.append(alert)
            else:
                younger.append((alert, rule, began))
        return BookingVerdict(match, tuple(sorted(at_booking, key=alert_text)), tuple(younger))

    def _first_of(self, order: OrderOwners, execution: Execution) -> Execution:
        """Return the order's first fill, which a new one may be."""
        first = self._in_force(order.first)
        return execution if first is None or execution.time < first.dated.time else first.dated

    def _matched(self, execution: Execution) -> Match:
        holding = self._state.get(HOLDINGS, f"{execution.account} {execution.contract.con_id}")
        owning = holding.owners if holding is not None else frozenset()
        match = self._decide(execution, Circumstances(owning, self.skew))
        for alert in owners_of(match):
            self._remember(execution, alert)
        return match

    def _remember(self, execution: Execution, alert: AlertId) -> None:
        """Keep what a record said when it was last matched: its successor is judged by that."""
        record = self._find_alert(execution, alert)
        state = self._state.get(ALERTS, alert_text(alert)) or AlertState(alert)
        if record is not None and state.record != record:
            self._state.put(ALERTS, replace(state, record=record))

    def _began(self, execution: Execution, alert: AlertId) -> datetime | None:
        """Return when a record was created, by the broker's clock; None where nobody knows."""
        record = self._find_alert(execution, alert)
        if record is None:
            state = self._state.get(ALERTS, alert_text(alert))
            record = state.record if state is not None else None
        began = None if record is None else record.began_at
        return None if began is None else began - self.skew

    def booked(self, frame: Frame, booked: BookedExecution, verdict: BookingVerdict) -> None:
        """Note whose the order is now, and make the decisions that follow; the execution is in the state."""
        key = owners_key(booked.execution)
        known = self._state.get(OWNERS, key)
        if known is None:
            order = OrderOwners(key, booked.contract_key, booked.key, verdict.match, _settled(verdict.match))
            self._state.put(OWNERS, order)
            self._state.put(WINDOWS, RetryWindow(key, self._ran()))
        else:
            if booked.execution.time < self._row(known.first).execution.time:
                known = replace(known, first=booked.key)
                self._state.put(OWNERS, known)
            if verdict.match != known.match and not known.settled and not owners_of(known.match):
                self._extend(frame, known, booked, verdict.match)
        self._claim(key, verdict.at_booking, booked.execution.time, decided=False)
        for alert, rule, began in verdict.younger:
            # An execution in the very second of its creation counts as behind it.
            place = Moment(second_of(began), 0)
            self._make(frame, booked.contract_key, OwnershipKind.YOUNGER, [(alert, rule)], key, place=place)
            self._claim(key, [alert], place.time, decided=True)

    def _extend(self, frame: Frame, known: OrderOwners, booked: BookedExecution, match: Match) -> None:
        """Have the order's earlier fills follow the verdict that a later one led to."""
        self._state.put(OWNERS, replace(known, match=match, settled=_settled(match)))
        if isinstance(match, Matched):
            self._make(frame, known.contract, OwnershipKind.MATCHED, match.alerts, known.order)
        self._set_match(known.order, booked, match)

    # Later

    def rematch(self, frame: Frame, key: ExecutionKey) -> None:
        """Match the order of an execution again, since the store has changed."""
        booked = self._in_force(key)
        assert booked is not None, "the ledger matches booked executions again"
        order = self._owners(booked)
        if order.settled:
            return
        first = self._in_force(order.first) or booked
        match = self._matched(first.dated)
        before = order.match
        if isinstance(before, Matched):
            before = with_successors(self._state, before)
        new = settle(before, match)
        if new is None:
            return
        if isinstance(new, Matched) and not is_left(self._state, order):
            self._note_in_vain(frame, order, new)
            return
        self._state.put(OWNERS, replace(order, match=new, settled=_settled(new)))
        if isinstance(new, Matched):
            more = [each for each in new.alerts if each[0] not in owners_of(before)]
            place = self._make(frame, order.contract, OwnershipKind.MATCHED, more, order.order)
            self._claim(order.order, [alert for alert, _ in more], place.time, decided=True)
        self._set_match(order.order, booked, new)

    def _claim(self, key: str, alerts: Iterable[AlertId], time: datetime, *, decided: bool) -> None:
        """Note from when on alerts own an order, where they do not own it since earlier."""
        order = self._state.get(OWNERS, key)
        assert order is not None, "only what is known of an order is claimed"
        since = second_of(time)
        claims = {claim.alert: claim for claim in order.claims}
        new = [alert for alert in alerts if alert not in claims or claims[alert].since > since]
        if new:
            claims |= {alert: Claim(alert, since, decided) for alert in new}
            self._state.put(OWNERS, replace(order, claims=tuple(claims.values())))

    def _note_in_vain(self, frame: Frame, order: OrderOwners, match: Matched) -> None:
        """Keep that alerts were found for an order of which nothing is left; once, whatever starts again."""
        known = [one for one in self._state.find(DECISIONS, "orders", order.order) if one.in_vain]
        if all(tuple(each.alert for each in one.alerts) != owners_of(match) for one in known):
            self._write(frame, order.contract, OwnershipKind.MATCHED, match.alerts, order.order, in_vain=True)

    def assign(self, frame: Frame, key: ExecutionKey, alert: AlertId) -> BookedExecution | None:
        """Give what is left of an order to one alert; returns the execution, None where nothing changed."""
        booked = self._in_force(key)
        if booked is None:
            return None
        order = self._owners(booked)
        match = Matched(((alert, Rule.PERSON),), booked.match.rejected)
        if order.settled == PERSON and owners_of(order.match) == (alert,):
            return None
        self._remember(booked.execution, alert)
        self._state.put(OWNERS, replace(order, match=match, settled=PERSON, claims=()))
        before = order.match.alerts if isinstance(order.match, Matched) else ()
        kind = OwnershipKind.ASSIGNED
        place = self._make(frame, order.contract, kind, match.alerts, order.order, before=before)
        self._claim(order.order, [alert], place.time, decided=True)
        self._set_match(order.order, booked, match)
        return booked

    def undo(self, frame: Frame, key: ExecutionKey, seq: int) -> BookedExecution | None:
        """Take back, from now on, what a person decided with a frame; the order is not matched again."""
        booked = self._in_force(key)
        if booked is None or booked.dismissed:
            if booked is not None:
                self._state.put(EXECUTIONS, replace(booked, dismissed=False))
                self._needs_person(booked)
            return booked
        order = self._owners(booked)
        made = [one for one in self._state.find(DECISIONS, "orders", order.order) if one.seq == seq]
        if order.settled != PERSON or not made:
            return None
        before = made[0].before
        match: Match = Matched(before) if before else Unmatched("a person took the assignment back")
        self._state.put(OWNERS, replace(order, match=match, settled=PERSON, claims=()))
        place = self._make(frame, order.contract, OwnershipKind.ASSIGNED, before, order.order)
        self._claim(order.order, [alert for alert, _ in before], place.time, decided=True)
        self._set_match(order.order, booked, match)
        return booked

    def dismiss(self, key: ExecutionKey) -> BookedExecution | None:
        """Take an execution out of what needs a person; its order is not matched again."""
        booked = self._state.get(EXECUTIONS, f"{key.account} {key.exec_id}")
        if booked is None or booked.dismissed:
            return None
        order = self._owners(booked)
        if not owners_of(order.match):
            self._state.put(OWNERS, replace(order, settled=DISMISSED))
        self._state.put(EXECUTIONS, replace(booked, dismissed=True))
        return booked

    def succeed(
        self, frame: Frame, old: AlertId, new: AlertId, contracts: Iterable[ContractKey], *, whole: bool
    ) -> bool:
        """Hand what is left of a record's lots to its successor; True where there was something to hand on.

        `whole`: it is the same alert, which keeps what it had, also where that is closed.
        """
        handed = False
        for key in contracts:
            holding = self._state.get(HOLDINGS, key.text())
            mine = [each for each in holding.alerts if each.alert == old] if holding is not None else []
            if holding is None or not (mine and (mine[0].quantity or whole)):
                continue
            handed = True
            last = self._state.get(EXECUTIONS, holding.last_execution(mine[0]))
            assert last is not None, "a position names an execution of the state"
            self._remember(last.execution, new)
            orders = dict.fromkeys(lot.order for lot in holding.lots if old in lot.owners)
            self._make(frame, key, OwnershipKind.SUCCEEDED, [(new, None)], "", taken_from=old, whole=whole)
            for order in orders:
                self._rename(order, old, new)
        return handed

    def _rename(self, order: str, old: AlertId, new: AlertId) -> None:
        """Have later fills of an order follow the successor."""
        known = self._state.get(OWNERS, order)
        if known is not None and isinstance(known.match, Matched):
            alerts = {new if alert == old else alert: rule for alert, rule in known.match.alerts}
            match = replace(known.match, alerts=tuple(alerts.items()))
            claims = [replace(each, alert=new) if each.alert == old else each for each in known.claims]
            self._state.put(OWNERS, replace(known, match=match, claims=tuple(claims)))

    # Decisions

    def _make(
        self,
        frame: Frame,
        key: ContractKey,
        kind: OwnershipKind,
        alerts: Sequence[tuple[AlertId, Rule | None]],
        order: str,
        *,
        place: Moment | None = None,
        taken_from: AlertId | None = None,
        whole: bool = False,
        before: tuple[tuple[AlertId, Rule], ...] = (),
    ) -> Moment:
        """Write a decision down with its place, which is returned, and apply it."""
        decision = self._write(
            frame, key, kind, alerts, order, place=place, taken_from=taken_from, whole=whole, before=before
        )
        self._positions.decide(decision)
        return decision.place

    def _write(
        self,
        frame: Frame,
        key: ContractKey,
        kind: OwnershipKind,
        alerts: Sequence[tuple[AlertId, Rule | None]],
        order: str,
        *,
        place: Moment | None = None,
        taken_from: AlertId | None = None,
        whole: bool = False,
        in_vain: bool = False,
        before: tuple[tuple[AlertId, Rule], ...] = (),
    ) -> OwnershipDecision:
        self._made = self._made + 1 if self._numbered.seq == frame.seq else 0
        self._numbered = Moment(frame.received_at, frame.seq)
        decision = OwnershipDecision(
            *key,
            frame.seq,
            self._made,
            place or Moment(self._positions.newest(key), frame.seq),
            kind,
            tuple(self._decided(alert, rule, key) for alert, rule in alerts),
            order,
            taken_from,
            whole,
            frame.received_at,
            self.skew.total_seconds(),
            in_vain,
            before,
        )
        self._state.put(DECISIONS, decision)
        return decision

    def _decided(self, alert: AlertId, rule: Rule | None, key: ContractKey) -> Decided:
        """Name an alert with what is known of its positions in other contracts."""
        state = self._state.get(ALERTS, alert_text(alert))
        others = positions_of(self._state, state) if state is not None else []
        elsewhere = [mine for holding, mine in others if holding.key != key]
        closed = [mine.closed_at for mine in elsewhere if mine.closed_at is not None]
        return Decided(alert, rule, any(mine.quantity for mine in elsewhere), max(closed, default=None))

    # Rows

    def _order_of(self, execution: Execution) -> OrderOwners | None:
        """Return what is known of the order of an execution; of one without a permId, what is known of it."""
        key = owners_key(execution)
        known = self._state.get(OWNERS, key)
        if known is not None or execution.perm_id <= 0:
            return known
        name = order_of(execution)
        # An older version kept none; its executions tell.
        rows = [row for row in self._state.find(EXECUTIONS, "orders", name) if row.at_booking is None]
        if not rows:
            return None
        first = min(rows, key=lambda row: row.moment)
        settled = _settled(first.match, dismissed=first.dismissed)
        return OrderOwners(key, first.contract_key, first.key, first.match, settled)

    def _owners(self, booked: BookedExecution) -> OrderOwners:
        settled = _settled(booked.match, dismissed=booked.dismissed)
        key = owners_key(booked.execution)
        alone = OrderOwners(key, booked.contract_key, booked.key, booked.match, settled)
        return self._order_of(booked.execution) or alone

    def _row(self, key: ExecutionKey) -> BookedExecution:
        row = self._state.get(EXECUTIONS, f"{key.account} {key.exec_id}")
        assert row is not None, "a booked execution stays in the state"
        return row

    def _in_force(self, key: ExecutionKey) -> BookedExecution | None:
        return _version_in_force(self._state, key)

    def _set_match(self, order: str, booked: BookedExecution, match: Match) -> None:
        """Show a verdict on all executions of an order."""
        whole = booked.execution.perm_id > 0
        for row in self._state.find(EXECUTIONS, "orders", booked.order) if whole else [booked]:
            current = self._row(row.key)
            attention = attention_of(match) if current.opening else Attention.NONE
            self._state.put(EXECUTIONS, replace(current, match=match, attention=attention))
            if attention is not current.attention:
                self._needs_person(self._row(row.key))


def _version_in_force(state: LedgerState, key: ExecutionKey) -> BookedExecution | None:
    """Return an execution in the version that is in force."""
    booked = state.get(EXECUTIONS, f"{key.account} {key.exec_id}")
    if booked is not None and booked.superseded_by:
        booked = state.get(EXECUTIONS, f"{key.account} {booked.superseded_by}")
    return booked


def is_left(state: LedgerState, order: OrderOwners) -> bool:
    """Tell whether something of an order is left, or waits to be folded."""
    first = _version_in_force(state, order.first)
    holding = state.get(HOLDINGS, order.contract.text())
    waits = first is not None and not first.folded
    return waits or (holding is not None and any(lot.order == order.order for lot in holding.lots))


def with_successors(state: LedgerState, match: Matched) -> Matched:
    """Name the records that took over in place of those that are gone."""
    alerts = {current_record(state, alert): rule for alert, rule in match.alerts}
    return replace(match, alerts=tuple(alerts.items()))


def settle(before: Match, now: Match) -> Match | None:
    """Return the verdict that a new look at an order leads to, None where it stays as it was.

    Owners are kept, and those that a strong rule names are added. An ambiguous order is settled by a strong
    rule or its reference only, not since a rival has gone.
    """
    if isinstance(before, Matched) and before.alerts:
        more = [
            (alert, rule) for alert, rule in _rules(now) if rule in STRONG and alert not in owners_of(before)
        ]
        return replace(before, alerts=(*before.alerts, *more)) if more else None
    if isinstance(before, Ambiguous):
        strong = any(rule in (*STRONG, Rule.ORDER_REF) for _, rule in _rules(now))
        return now if strong else None
    if isinstance(now, Matched | Ambiguous):
        return now
    return now if attention_of(now) is not attention_of(before) else None


def _rules(match: Match) -> tuple[tuple[AlertId, Rule], ...]:
    return match.alerts if isinstance(match, Matched) else ()


def _settled(match: Match, *, dismissed: bool = False) -> str:
    rules = rules_of(match)
    if Rule.PERSON in rules:
        return PERSON
    if Rule.ORDER_REF in rules:
        return REFERENCE
    return DISMISSED if dismissed else ""
