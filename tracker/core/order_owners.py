"""Keep which alerts own each order: the newest verdict, since when its alerts own it, and whether it is
settled.

Owns the rows of `OrderOwners`, and how a new verdict changes an older one. It matches nothing and writes no
decision: `ownership` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from msgspec.structs import replace

from tracker.core.entries import current_record
from tracker.core.lot_changes import second_of
from tracker.core.lot_rows import Lot
from tracker.core.matching import STRONG
from tracker.core.model import AlertId, Ambiguous, Execution, ExecutionKey, Match, Matched, Rule
from tracker.core.ownership_rows import Claim, OrderOwners
from tracker.core.state import EXECUTIONS, OWNERS, LedgerState
from tracker.core.state_rows import (
    Attention,
    BookedExecution,
    ContractKey,
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


class OrderOwnership:
    """Read and change the owners of the orders in one ledger's state.

    `needs_person` receives each fill that needs a person now and did not before.
    """

    def __init__(self, state: LedgerState, needs_person: Callable[[BookedExecution], None]) -> None:
        self._state = state
        self._needs_person = needs_person

    def known(self, execution: Execution) -> OrderOwners | None:
        """Return the owners of an execution's order; an execution without a permId is an order of its own."""
        key = owners_key(execution)
        known = self._state.get(OWNERS, key)
        if known is not None or execution.perm_id <= 0:
            return known
        name = order_of(execution)
        # An older version kept no such row; the order's executions say who owns it.
        rows = [row for row in self._state.find(EXECUTIONS, "orders", name) if row.at_booking is None]
        if not rows:
            return None
        first = min(rows, key=lambda row: row.moment)
        settled = settled_by(first.match, dismissed=first.dismissed)
        return OrderOwners(key, first.contract_key, first.key, first.match, settled)

    def of(self, booked: BookedExecution) -> OrderOwners:
        settled = settled_by(booked.match, dismissed=booked.dismissed)
        key = owners_key(booked.execution)
        alone = OrderOwners(key, booked.contract_key, booked.key, booked.match, settled)
        return self.known(booked.execution) or alone

    def row(self, key: ExecutionKey) -> BookedExecution:
        row = self._state.get(EXECUTIONS, f"{key.account} {key.exec_id}")
        assert row is not None, "a booked execution stays in the state"
        return row

    def rows(self, booked: BookedExecution) -> list[BookedExecution]:
        """Return the executions of an order; an execution without a permId is alone."""
        if booked.execution.perm_id <= 0:
            return [booked]
        return self._state.find(EXECUTIONS, "orders", booked.order)

    def of_contract(self, key: ContractKey) -> set[str]:
        """Return every order of a contract."""
        return {owners_key(row.execution) for row in self._state.find(EXECUTIONS, "contract", key.text())}

    def in_force(self, key: ExecutionKey) -> BookedExecution | None:
        return _version_in_force(self._state, key)

    def show(self, order: str, booked: BookedExecution, match: Match) -> None:
        """Show a verdict on all executions of an order."""
        for row in self.rows(booked):
            current = self.row(row.key)
            attention = attention_of(match) if current.opening else Attention.NONE
            self._state.put(EXECUTIONS, replace(current, match=match, attention=attention))
            if attention is not current.attention:
                self._needs_person(self.row(row.key))

    def claim(self, key: str, alerts: Iterable[AlertId], time: datetime, *, decided: bool) -> None:
        """Note the time from which alerts own an order, unless they own it since an earlier time."""
        order = self._state.get(OWNERS, key)
        assert order is not None, "only what is known of an order is claimed"
        since = second_of(time)
        claims = _oldest(order.claims)
        new = [alert for alert in alerts if alert not in claims or claims[alert].since > since]
        if new:
            claims |= {alert: Claim(alert, since, decided) for alert in new}
            self._state.put(OWNERS, replace(order, claims=tuple(claims.values())))

    def rename(self, order: str, old: AlertId, new: AlertId) -> None:
        """Have later fills of an order follow the successor, which keeps its own rule and the older claim."""
        known = self._state.get(OWNERS, order)
        if known is not None and isinstance(known.match, Matched):
            rules, names = dict(known.match.alerts), {old: new}
            alerts = {(now := names.get(alert, alert)): rules.get(now, rule) for alert, rule in rules.items()}
            match = replace(known.match, alerts=tuple(alerts.items()))
            claims = _oldest(replace(each, alert=names.get(each.alert, each.alert)) for each in known.claims)
            self._state.put(OWNERS, replace(known, match=match, claims=tuple(claims.values())))


def _oldest(claims: Iterable[Claim]) -> dict[AlertId, Claim]:
    """Return the oldest claim of each alert, which may have been that of who owned the order before it."""
    oldest_last = sorted(claims, key=lambda claim: (claim.since, claim.decided), reverse=True)
    return {claim.alert: claim for claim in oldest_last}


def _version_in_force(state: LedgerState, key: ExecutionKey) -> BookedExecution | None:
    """Return an execution in the version that is in force."""
    booked = state.get(EXECUTIONS, f"{key.account} {key.exec_id}")
    if booked is not None and booked.superseded_by:
        booked = state.get(EXECUTIONS, f"{key.account} {booked.superseded_by}")
    return booked


def owners_so_far(state: LedgerState, match: Matched, lots: Iterable[Lot]) -> Matched:
    """Return who owns an order of which these lots are left, with successors of records that are gone.

    A newer alert counts only where it took over lots of this order. It may own the lots for which the alert
    before it was matched too late, after it had been closed.
    """
    owners = {owner for lot in lots for owner in lot.owners}
    alerts: dict[AlertId, Rule] = {}
    for alert, rule in match.alerts:
        now = current_record(state, alert)
        alerts[now if now in owners or now.created_at == alert.created_at else alert] = rule
    return replace(match, alerts=tuple(alerts.items()))


def settle(before: Match, now: Match) -> Match | None:
    """Return the verdict after an order was matched again, None if it does not change.

    Owners are kept, and those that a strong rule names are added. An ambiguous order is settled by a strong
    rule or its reference only, and not because one of the candidates is gone.
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


def settled_by(match: Match, *, dismissed: bool = False) -> str:
    """Return why an order with such a verdict is never matched again; empty if it is matched again."""
    rules = rules_of(match)
    if Rule.PERSON in rules:
        return PERSON
    if Rule.ORDER_REF in rules:
        return REFERENCE
    return DISMISSED if dismissed else ""
