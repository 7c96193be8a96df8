"""Compare the ledger, the alert store and a snapshot of the broker, and list where they disagree.

Owns the rule that finds each kind of discrepancy. Pure. It never invents a fill and repairs nothing;
`repairable` says that a repair follows from facts alone, everything else waits for a person.

Rules:
    What the broker did not answer is reported, and nothing is concluded from it.
    A contract is compared once per account, however many alerts share it.
    One cause is one discrepancy: an execution that the journal lacks is listed itself, and the position and
    the order that it explains are not listed beside it.
    A position that no alert owns is not ours; it is listed apart, and is no discrepancy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from tracker.core.audit.discrepancies import (
    Audit,
    Discrepancy,
    DiscrepancyKind,
    add_up,
    contract_words,
    fill_words,
)
from tracker.core.audit.inputs import BrokerView, DecidedView, HeldView, LedgerView, RecordView, StoreView
from tracker.core.audit.side_by_side import SideBySide, root
from tracker.core.model import ZERO, AlertId, CompletedOrder, Execution

_APPLY: Final = "`tracker reconcile --apply`"
_AGREED: Final = "a second answer agrees, five minutes later"
_FOLLOWS: Final = {
    False: "alerts follow it once a second answer agrees",
    True: "alerts follow it only by its cause, as its expiry day has come",
}
_REPORT: Final = "this is a mistake of the tracker: report it, with a copy of the journal"
_KINDS: Final = list(DiscrepancyKind)


def audit(
    ledger: LedgerView, store: StoreView, broker: BrokerView | None, *, now: datetime, fee_grace: timedelta
) -> Audit:
    """Compare all three; `broker` None compares ledger and store only.

    `fee_grace` is how long a fee may take before it counts as missing.
    """
    comparison = SideBySide(ledger, store, broker)
    found = [
        *_unknown(ledger, store, broker),
        *_executions(comparison),
        *_orders(comparison),
        *_positions(comparison),
        *_alerts(comparison),
        *_fills(comparison, now, fee_grace),
    ]
    order = sorted(found, key=lambda each: (_KINDS.index(each.kind), each.subject, each.message))
    return Audit(tuple(order), comparison.not_ours())


def _unknown(ledger: LedgerView, store: StoreView, broker: BrokerView | None) -> Iterator[Discrepancy]:
    for what in broker.unanswered if broker else ():
        yield Discrepancy(
            DiscrepancyKind.NOT_ANSWERED,
            what,
            "the broker did not answer, so nothing was compared with it",
            "run `tracker reconcile` again; if that does not help, run `tracker doctor`",
        )
    if store.records is None:
        yield Discrepancy(
            DiscrepancyKind.STORE_UNREADABLE,
            store.name,
            f"the alerts could not be read: {store.trouble or 'the reason is unknown'}",
            "make the file readable and valid, then run `tracker reconcile` again",
        )
    for gap in ledger.gaps:
        yield Discrepancy(
            DiscrepancyKind.GAP,
            f"{gap.account} {gap.day}",
            f"no sweep proved this day complete: {gap.reason}",
            "import the day with `tracker reconcile --flex FILE`, or accept it with `tracker gaps accept`",
        )
    for frame in ledger.undecoded:
        yield Discrepancy(
            DiscrepancyKind.UNDECODED,
            f"frame {frame.seq}",
            f"a message of kind {frame.kind} could not be read: {frame.reason}",
            "it is kept and a later version reads it again; until then compare the position with TWS",
        )


def _executions(comparison: SideBySide) -> Iterator[Discrepancy]:
    for execution in comparison.missing:
        correction = " as a correction" if root(execution) in comparison.in_force else ""
        yield Discrepancy(
            DiscrepancyKind.EXECUTION_MISSING,
            execution.exec_id,
            f"the broker lists {fill_words(execution)}{correction}, the journal does not have it",
            f"{_APPLY} adds it",
            repairable=True,
        )
    for view in comparison.ledger.executions:
        if not view.folded and not view.superseded:
            yield Discrepancy(
                DiscrepancyKind.EXECUTION_WAITING,
                view.execution.exec_id,
                f"{fill_words(view.execution)} is in the journal but not counted yet",
                "it is counted with the broker's next complete answer; run `tracker reconcile` again then",
            )
    if comparison.broker is not None:
        yield from _against_the_list(comparison, comparison.broker)


def _against_the_list(comparison: SideBySide, broker: BrokerView) -> Iterator[Discrepancy]:
    """Compare journalled executions with those that the broker lists, in the time that its answer covers."""
    listed = {execution.key: execution for execution in broker.executions}
    roots = {root(execution) for execution in broker.executions}
    for view in comparison.ledger.executions:
        ours, theirs = view.execution, listed.get(view.execution.key)
        if theirs is not None and _substance(ours) != _substance(theirs):
            yield Discrepancy(
                DiscrepancyKind.EXECUTION_DIFFERS,
                ours.exec_id,
                f"the journal has {fill_words(ours)}, the broker lists {fill_words(theirs)}",
                "compare with the account's statement; the journal keeps what came first",
            )
        expected = broker.covers(ours) and not view.superseded and not view.imported
        if expected and theirs is None and root(ours) not in roots:
            yield Discrepancy(
                DiscrepancyKind.EXECUTION_UNKNOWN,
                ours.exec_id,
                f"the journal has {fill_words(ours)}, the broker no longer lists it",
                "the exchange may have cancelled it; compare with the account's statement",
            )


def _substance(execution: Execution) -> tuple[object, ...]:
    return (execution.contract.con_id, execution.side, execution.quantity, execution.price)


def _orders(comparison: SideBySide) -> Iterator[Discrepancy]:
    explained = {execution.perm_id for execution in comparison.missing}
    known = {view.execution.perm_id for view in comparison.ledger.executions} | explained
    unseen = [order for order in _completed(comparison) if order.perm_id not in known]
    told = explained | {order.perm_id for order in unseen}
    for order in comparison.ledger.orders:
        if order.broker_filled > order.filled and order.perm_id not in told:
            yield Discrepancy(
                DiscrepancyKind.ORDER_AHEAD,
                order.name,
                f"the broker reports {order.broker_filled} filled, {order.filled} are known here",
                "run `tracker reconcile` again after the next sweep; if it persists, import the day by Flex",
            )
    for completed in unseen:
        yield Discrepancy(
            DiscrepancyKind.COMPLETED_WITHOUT_FILLS,
            f"order {completed.perm_id}",
            f"the broker lists it as filled in {completed.account}, and no fill of it is known",
            "run `tracker reconcile` again; if it persists, import the day by Flex",
        )


def _completed(comparison: SideBySide) -> Iterator[CompletedOrder]:
    """Yield the watched orders that the broker lists as filled."""
    broker = comparison.broker
    for order in (broker.completed_orders if broker else None) or ():
        if order.status == "Filled" and order.perm_id > 0 and comparison.ledger.watches(order.account):
            yield order


def _positions(comparison: SideBySide) -> Iterator[Discrepancy]:
    for held in comparison.held:
        if not held.managed:
            if held.quantity:
                yield _not_managed(held)
            yield from _within_ledger(held)
            continue
        told = comparison.positions
        disturbed = comparison.broker is not None and held.key in comparison.broker.disturbed
        agrees = False
        if told is not None:
            row = told.get(held.key)
            quantity = row.quantity if row else ZERO
            ours = held.quantity - held.pending
            agrees = quantity in (ours, ours + comparison.moves.get(held.key, ZERO))
            if held.certain and not agrees and not disturbed:
                silent = not any(account == held.account for account, _ in told)
                yield _position_differs(held, quantity, silent=silent)
        if not (held.certain or agrees) and (held.quantity or held.owned):
            yield _unconfirmed(held)
        yield from _within_ledger(held)
        if held.key not in comparison.undecided:
            yield from _without_alert(held, comparison.records or ())


def _not_managed(held: HeldView) -> Discrepancy:
    whose = f"; it belongs to {_names(held)}" if held.owned else ""
    return Discrepancy(
        DiscrepancyKind.ACCOUNT_NOT_MANAGED,
        _subject(held),
        f"the login no longer manages the account, so nothing is known of the {held.quantity} held{whose}",
        "connect with a login that manages it; if the account has a new number:"
        f" `tracker adjust {held.contract.con_id} --account {held.account} --moved NEW_NUMBER`",
    )


def _unconfirmed(held: HeldView) -> Discrepancy:
    return Discrepancy(
        DiscrepancyKind.BASELINE_UNCONFIRMED,
        _subject(held),
        f"what was held before the first fill is not known; {held.quantity} is a guess",
        "the running tracker settles it by the next complete answer for positions; run `tracker reconcile`"
        " again then",
    )


def _within_ledger(held: HeldView) -> Iterator[Discrepancy]:
    if held.executed is not None and held.base + held.executed != held.quantity:
        yield Discrepancy(
            DiscrepancyKind.SUM_DIFFERS,
            _subject(held),
            f"{held.base} before the first fill and {held.executed} since do not add up to {held.quantity}",
            _REPORT,
        )
    owned = _owned(held)
    if owned * held.quantity < 0 or abs(owned) > abs(held.quantity):
        yield Discrepancy(
            DiscrepancyKind.OWNED_EXCEEDS_HELD,
            _subject(held),
            f"alerts own {owned} of the {held.quantity} held ({_names(held)})",
            "compare with the positions in TWS; a correction may be missing",
        )


def _position_differs(held: HeldView, quantity: Decimal, *, silent: bool) -> Discrepancy:
    """Return a difference; `silent` says that the answer lists nothing of the account, which is no proof."""
    whose = f"; it belongs to {_names(held)}" if held.owned else ""
    if quantity or held.pending:
        return Discrepancy(
            DiscrepancyKind.POSITION_DIFFERS,
            _subject(held),
            f"the broker holds {quantity}, {add_up(held.base)} {held.quantity - held.pending}{whose}",
            f"{_FOLLOWS[held.expiring]}; name the cause with"
            f" {_noted(held)} (--split, --becomes and --moved at any time), or bring"
            " missed fills with `tracker reconcile --flex FILE`",
        )
    when = "its expiry day is over and two answers agree" if held.expiring else _AGREED
    step = f"its alerts close once {when}, or by {_noted(held)}"
    if held.departed:
        step = f"{_APPLY} closes its alerts"
    elif silent:
        step = (
            "an answer without any position of an account closes only options whose expiry day is over; if it"
            f" went otherwise, its alerts close by {_noted(held)}"
        )
    return Discrepancy(
        DiscrepancyKind.POSITION_GONE,
        _subject(held),
        f"the broker holds none, {add_up(held.base)} {held.quantity}{whose}",
        step if held.owned else "nothing to do: no alert depends on it",
        repairable=held.departed,
    )


def _noted(held: HeldView) -> str:
    """Return the command by which a person confirms the broker's position, and when it is accepted."""
    command = f"`tracker adjust {held.contract.con_id} --note TEXT`"
    if held.noticed:
        return command
    return f"{command}, which is taken once a running tracker has the broker's answer"


def _without_alert(held: HeldView, records: Sequence[RecordView]) -> Iterator[Discrepancy]:
    """Find openings after a close that belong to no alert although the closed alert names the contract."""
    free = held.quantity - _owned(held)
    before = held.base if held.base * held.quantity > 0 else ZERO
    if free * held.quantity <= 0 or abs(free) <= abs(before):
        return
    owners = {owner for part in held.owned for owner in part.owners}
    named = sorted(
        record.alert.id.name
        for record in records
        if held.contract.con_id in record.alert.con_ids
        and not record.shown.open
        and record.alert.id not in owners
    )
    if named:
        yield Discrepancy(
            DiscrepancyKind.POSITION_WITHOUT_OPEN_ALERT,
            _subject(held),
            f"{free} of it belong to no alert, and {', '.join(named)} names the contract but is not open",
            "`tracker fills` lists its fills; `tracker assign EXEC_ID ALERTER/TICKER` gives one to an alert",
        )


def _alerts(comparison: SideBySide) -> Iterator[Discrepancy]:
    if comparison.records is None:
        return
    records = {record.alert.id: record for record in comparison.records}
    names = {(record.alert.id.alerter, record.alert.id.ticker) for record in comparison.records}
    live = comparison.live()
    decided = {view.update.alert: view for view in comparison.ledger.decided}
    for alert, view in decided.items():
        yield from _quantity(alert, view, live.get(alert, ()))
    for alert, held in live.items():
        if alert not in records:
            yield _lost(alert, decided.get(alert), held, replaced=(alert.alerter, alert.ticker) in names)
    for alert, record in records.items():
        if alert in decided:
            yield from _against_decision(record, decided[alert], comparison)
        elif record.shown.open and alert not in live:
            yield _open_without(record, comparison)
        elif alert in live and not record.shown.open:
            yield _closed_but_owning(record, live[alert])


def _quantity(alert: AlertId, view: DecidedView, held: Sequence[HeldView]) -> Iterator[Discrepancy]:
    shown = (view.update.position or {}).get("quantity")
    owned = sum((part.quantity for each in held for part in each.owned if alert in part.owners), ZERO)
    if isinstance(shown, int | float) and float(shown) != float(owned):
        yield Discrepancy(
            DiscrepancyKind.QUANTITY_DIFFERS,
            alert.name,
            f"the last decision shows {shown}, and it owns {owned}",
            _REPORT,
        )


def _lost(
    alert: AlertId, view: DecidedView | None, held: Sequence[HeldView], *, replaced: bool
) -> Discrepancy:
    what = ", ".join(sorted(_subject(each) for each in held))
    if replaced:
        return Discrepancy(
            DiscrepancyKind.REPLACED_WHILE_OWNED,
            alert.name,
            f"its record of {alert.created_at} owns a part of {what}, and a newer record took its place",
            "nothing, if you meant that: the position stays without an alert until it is closed",
        )
    kept = view is not None and view.text_kept
    return Discrepancy(
        DiscrepancyKind.VANISHED_WHILE_OWNED,
        alert.name,
        f"its record of {alert.created_at} owns a part of {what}, and the store no longer has it",
        f"{_APPLY} puts it back as it was"
        if kept
        else "write the record again; the journal has no copy of it",
        repairable=kept,
    )


def _against_decision(record: RecordView, view: DecidedView, comparison: SideBySide) -> Iterator[Discrepancy]:
    alert, update = record.alert.id, view.update
    if view.pending:
        yield Discrepancy(
            DiscrepancyKind.DELIVERY_PENDING,
            alert.name,
            "a decision about it is not written into the store yet",
            f"the running tracker writes it; while none runs, {_APPLY} does",
            repairable=True,
        )
    elif not record.shown.agrees(update):
        wants = (
            "be gone" if update.remove else f"show open {str(update.open).lower()} and the last fill's values"
        )
        yield Discrepancy(
            DiscrepancyKind.STORE_DIFFERS,
            alert.name,
            f"it should {wants}; another program wrote it since",
            f"{_APPLY} writes it again",
            repairable=True,
        )
    yield from _remaining(record, view, comparison)


def _remaining(record: RecordView, view: DecidedView, comparison: SideBySide) -> Iterator[Discrepancy]:
    order = view.update.last_order_update or {}
    remaining, perm_id = order.get("remaining_qty"), order.get("perm_id")
    working = comparison.broker.open_orders if comparison.broker else None
    if working is None or not view.update.open or not remaining or not perm_id:
        return
    known = {each.perm_id for each in working} | {each.perm_id for each in comparison.missing}
    if perm_id not in known:
        yield Discrepancy(
            DiscrepancyKind.REMAINING_NOT_WORKING,
            record.alert.id.name,
            f"it shows {remaining} of order {perm_id} as working, and the broker has no such open order",
            "look at the order in TWS; its position is not affected",
        )


def _open_without(record: RecordView, comparison: SideBySide) -> Discrepancy:
    alert, positions = record.alert, comparison.positions
    rows = [
        row for row in (positions or {}).values() if row.contract.con_id in alert.con_ids and row.quantity
    ]
    if positions is not None and alert.con_ids and not rows:
        return Discrepancy(
            DiscrepancyKind.OPEN_WITHOUT_POSITION,
            alert.id.name,
            "it shows open, no known fill opened it, and the broker holds none of its contract",
            "set open to false in the alert store if the position is over",
        )
    holds = (
        "; the broker holds " + ", ".join(f"{row.quantity} in {row.account}" for row in rows) if rows else ""
    )
    return Discrepancy(
        DiscrepancyKind.OPEN_WITHOUT_FILLS,
        alert.id.name,
        f"it shows open, and no known fill opened it{holds}",
        "if it has a position, give it the fill with `tracker assign`; else set open to false in the store",
    )


def _closed_but_owning(record: RecordView, held: Sequence[HeldView]) -> Discrepancy:
    return Discrepancy(
        DiscrepancyKind.POSITION_WITHOUT_OPEN_ALERT,
        record.alert.id.name,
        f"it owns a part of {', '.join(map(_subject, held))} and is not open",
        _REPORT,
    )


def _fills(comparison: SideBySide, now: datetime, fee_grace: timedelta) -> Iterator[Discrepancy]:
    unpaid: dict[tuple[str, str, bool], list[Execution]] = defaultdict(list)
    ours = comparison.ledger.client_id
    # Fees of other clients' orders come only to the Master API client id: where none ever came, none can.
    told = [view.execution.client_id for view in comparison.ledger.executions if view.fee_known]
    master = any(client != ours for client in told)
    for view in comparison.ledger.executions:
        execution = view.execution
        if view.superseded or not comparison.ledger.watches(execution.account):
            continue
        if view.attention:
            yield Discrepancy(
                DiscrepancyKind.FILL_UNDECIDED,
                execution.exec_id,
                f"{fill_words(execution)} needs your decision: {view.attention}",
                f"`tracker why {execution.exec_id}`, then `tracker assign` or `tracker dismiss`",
            )
        foreign = execution.client_id != ours
        due = (master or not foreign) and not execution.contract.is_combo
        if due and not view.fee_known and now - execution.time > fee_grace:
            unpaid[(execution.account, _order_name(execution), foreign)].append(execution)
    for (account, order, foreign), executions in unpaid.items():
        yield _fee_missing(account, order, len(executions), ours if foreign else None)


def _fee_missing(account: str, order: str, count: int, master: int | None) -> Discrepancy:
    why = "the broker has not sent them"
    step = "nothing to do: they are filled in when they come, at the latest by Flex"
    if master is not None:
        why = "fees of another client's orders come only to the Master API client id"
        step = (
            f"set Master API client ID to {master} in the Gateway's API settings, or import the day by Flex"
        )
    return Discrepancy(
        DiscrepancyKind.FEE_MISSING,
        f"{account} {order}",
        f"the fees of {count} fills are not known; {why}",
        step,
    )


def _order_name(execution: Execution) -> str:
    key = execution.order_key
    if key is None:
        return f"fill {execution.exec_id}"
    return f"order {key.perm_id}" if key.perm_id else f"order {key.order_id} of client {key.client_id}"


def _owned(held: HeldView) -> Decimal:
    return sum((part.quantity for part in held.owned), ZERO)


def _names(held: HeldView) -> str:
    return ", ".join(sorted({owner.name for part in held.owned for owner in part.owners}))


def _subject(held: HeldView) -> str:
    return f"{held.account} {contract_words(held.contract)}"
