"""Turn facts, in the order of the journal, into orders, fills, positions and ownership.

Owns every rule by which a fact changes a row of the book. It is a function of the frames and of the alerts
that `candidates` answers: the same frames give the same rows. It never invents a fill, never reads a clock,
and writes nowhere but into the book.

Rules
| fact | what it changes |
|---|---|
| execution, new | booked with its match; folded into its contract |
| execution, known | nothing, whatever carries it and however often |
| execution, another version of a known one | the highest is in force, in the first one's place |
| execution of a combo (BAG) | booked, never folded: its legs are |
| execution of an account that is not watched | booked and folded, matched to nothing |
| fee | the sums of its order; never holds a fill |
| orderStatus, openOrder | total, status and remaining; no quantity, no opening, no closing |
| position | compared; seeds a contract only as part of a complete snapshot |
| end of positions | seeds the contracts that wait for it, and those seeded in doubt |
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from tracker.core.book import (
    ALERTS,
    EXECUTIONS,
    FEES,
    HOLDINGS,
    ORDERS,
    POSITIONS,
    TOTALS,
    UNDECODED,
    AlertState,
    Attention,
    Book,
    Booked,
    BrokerPosition,
    ContractKey,
    Moment,
    OrderState,
    OrderTotals,
    Undecoded,
    alert_text,
    attention_of,
    broker_order_text,
)
from tracker.core.holdings import Holdings
from tracker.core.model import (
    ZERO,
    AlertId,
    BrokerFact,
    CommissionReport,
    CompletedOrder,
    End,
    EndOf,
    Execution,
    Frame,
    Match,
    Matched,
    Notice,
    OpenOrder,
    OrderStatus,
    Position,
    Rule,
    Source,
    Totals,
    Undecodable,
    Unmatched,
    correction_parts,
)
from tracker.core.updates import ClosingPolicy, Event, EventKind, order_shown, show

Decide = Callable[[Execution], Match]
"""Match an execution against the alerts that the store has now."""


class Ledger:
    """Apply facts to a book.

    `accounts` empty watches every account. `settle` ends a batch: it puts the updates into the outbox.
    """

    def __init__(
        self,
        book: Book,
        decide: Decide,
        *,
        policy: ClosingPolicy = ClosingPolicy.MARK,
        accounts: Collection[str] = (),
    ) -> None:
        self._book = book
        self._decide = decide
        self._policy = policy
        self._accounts = frozenset(accounts)
        self._holdings = Holdings(book, self._touch)
        self._undecoded = {row.exec_id: row for row in book.find(UNDECODED, "open", "1") if row.exec_id}
        self._dirty: dict[AlertId, dict[ContractKey, None]] = {}
        self._events: list[Event] = []
        self._sweep_reasons: dict[str, str] = {}

    # Facts

    def apply(self, frame: Frame, fact: BrokerFact | None) -> None:
        """Apply one frame; `fact` is what a broker frame says, None for the other sources."""
        match fact:
            case Execution():
                self._execution(frame, fact)
            case CommissionReport():
                self._fee(frame, fact)
            case OrderStatus():
                self._order_status(fact)
            case OpenOrder():
                self._open_order(fact)
            case Position():
                self._position(frame, fact)
            case End():
                self._end(frame, fact)
            case Undecodable():
                self._undecodable(frame, fact)
            case CompletedOrder() | Notice():
                pass
            case None:
                self._note(frame)

    def settle(self, frame: Frame) -> list[Event]:
        """End a batch with its last frame: put what the touched alerts must show into the outbox."""
        for alert, contracts in self._dirty.items():
            shown = show(self._book, alert, contracts, self._policy, frame)
            if shown is not None:
                self._events.append(shown)
        self._dirty.clear()
        events, self._events = self._events, []
        return events

    def take_sweep_reasons(self) -> list[str]:
        """Return why the broker should be asked for the day's executions, once."""
        reasons, self._sweep_reasons = list(self._sweep_reasons.values()), {}
        return reasons

    # Executions

    def _execution(self, frame: Frame, execution: Execution) -> None:
        known = self._book.get(EXECUTIONS, f"{execution.account} {execution.exec_id}")
        if known is not None:
            self._repeat(frame, known, execution)
            return
        self._heal(execution.exec_id)
        match = self._match(execution)
        booked = Booked(execution, frame.seq, frame.received_at, frame.session, match, source=frame.source)
        versions = self._versions(booked)
        if versions:
            self._correct(frame, booked, versions)
            return
        booked = replace(booked, folded=booked.execution.contract.is_combo)
        self._book.put(EXECUTIONS, booked)
        self._tell(EventKind.FILL, frame, booked)
        self._ask_if_behind(booked)
        if booked.counted:
            self._sum(booked)
            self._holdings.add(booked)

    def _match(self, execution: Execution) -> Match:
        if execution.contract.is_combo:
            return Unmatched("a combo's own line; its legs are counted")
        if self._accounts and execution.account not in self._accounts:
            return Unmatched(f"account {execution.account} is not watched")
        return self._decide(execution)

    def _repeat(self, frame: Frame, known: Booked, execution: Execution) -> None:
        was = known.execution
        if (was.quantity, was.price, was.side, was.contract.con_id) != (
            execution.quantity,
            execution.price,
            execution.side,
            execution.contract.con_id,
        ):
            self._tell(EventKind.CONFLICT, frame, known, note="the broker repeats it with other values")

    def _versions(self, booked: Booked) -> list[Booked]:
        """Return the other versions of the same execution: four segments, alike but for the last."""
        execution = booked.execution
        parts = correction_parts(execution.exec_id)
        if parts is None:
            return []
        return [
            row
            for row in self._book.find(EXECUTIONS, "root", f"{execution.account} {parts.root}")
            if row.execution.perm_id == execution.perm_id
            and row.execution.contract.con_id == execution.contract.con_id
            and row.execution.side is execution.side
        ]

    def _correct(self, frame: Frame, booked: Booked, versions: Sequence[Booked]) -> None:
        """Put the highest version in force, in the place of the first; keep the decision made before."""
        everyone = [*versions, booked]
        newest = max(everyone, key=_version)
        place = min(Moment(row.execution.time, row.seq) for row in everyone)
        decided = next((row for row in versions if not row.superseded_by), versions[0])
        for row in everyone:
            superseded_by = "" if row is newest else newest.execution.exec_id
            self._book.put(
                EXECUTIONS,
                replace(
                    row,
                    match=decided.match,
                    place=place,
                    superseded_by=superseded_by,
                    folded=decided.folded or bool(superseded_by),
                    attention=decided.attention,
                    dismissed=decided.dismissed,
                ),
            )
        in_force = self._get(newest)
        self._tell(EventKind.CORRECTION, frame, in_force)
        if not in_force.counted:
            return
        self._sum_again(in_force)
        if decided.folded:
            self._holdings.refold(in_force.contract_key)
        else:
            self._holdings.add(in_force)

    def _get(self, booked: Booked) -> Booked:
        row = self._book.get(EXECUTIONS, EXECUTIONS.key(booked))
        assert row is not None, "a booked execution stays in the book"
        return row

    def _touch(self, alerts: Iterable[AlertId], key: ContractKey | None = None) -> None:
        """Have these alerts shown anew when the batch ends."""
        for alert in alerts:
            contracts = self._dirty.setdefault(alert, {})
            if key is not None:
                contracts[key] = None

    # Sums of an order, and fees

    def _sum(self, booked: Booked) -> None:
        """Add one new execution to the sums of its order."""
        row = self._book.get(TOTALS, booked.order)
        totals = row.totals if row is not None else Totals()
        fee = self._book.get(FEES, booked.execution.exec_id)
        self._book.put(TOTALS, OrderTotals(booked.order, _added(totals, booked.execution, fee)))

    def _sum_again(self, booked: Booked) -> None:
        """Sum an order anew, after a correction or a changed fee."""
        rows = [row for row in self._book.find(EXECUTIONS, "orders", booked.order) if row.counted]
        rows.sort(key=lambda row: row.moment)
        totals = Totals()
        for row in rows:
            totals = _added(totals, row.execution, self._book.get(FEES, row.execution.exec_id))
        self._book.put(TOTALS, OrderTotals(booked.order, totals))
        self._touch_order(booked.execution)

    def _fee(self, frame: Frame, fee: CommissionReport) -> None:
        if self._book.get(FEES, fee.exec_id) == fee:
            return
        self._book.put(FEES, fee)
        for booked in self._book.find(EXECUTIONS, "exec_id", fee.exec_id):
            if booked.counted:
                self._sum_again(booked)
                self._tell(EventKind.FEE, frame, booked)

    # Orders

    def _order_status(self, status: OrderStatus) -> None:
        key = status.order_key
        if key is None:
            return
        before = self._book.get(ORDERS, broker_order_text(key)) or OrderState(key)
        total = before.total if before.total is not None else _total_of(status)
        after = replace(before, status=status.status, broker_filled=status.filled, total=total)
        self._put_order(before, after)
        if status.filled is not None and status.filled > 0:
            self._ask_if_order_behind(key_text=broker_order_text(key), filled=status.filled)

    def _open_order(self, order: OpenOrder) -> None:
        key = order.order_key
        if key is None:
            return
        before = self._book.get(ORDERS, broker_order_text(key)) or OrderState(key)
        self._put_order(
            before,
            replace(
                before,
                account=order.account or before.account,
                con_id=order.contract.con_id,
                total=order.total or before.total,
                status=order.status or before.status,
                legs=order.legs or before.legs,
            ),
        )

    def _put_order(self, before: OrderState, after: OrderState) -> None:
        if after == before:
            return
        self._book.put(ORDERS, after)
        self._touch(state.alert for state in self._book.find(ALERTS, "orders", broker_order_text(after.key)))

    def _touch_order(self, execution: Execution) -> None:
        self._touch(state.alert for state in self._book.find(ALERTS, "orders", order_shown(execution)))

    def _ask_if_behind(self, booked: Booked) -> None:
        """Ask for a sweep when the order's cumQty is above what we have of it."""
        execution = booked.execution
        if execution.cum_qty is None or not booked.counted or booked.source is not Source.BROKER:
            return
        row = self._book.get(TOTALS, booked.order)
        have = (row.totals.filled if row is not None else ZERO) + execution.quantity
        if execution.cum_qty > have:
            self._want_sweep(
                booked.order, f"cumQty {execution.cum_qty} is above the {have} known of its order"
            )

    def _ask_if_order_behind(self, key_text: str, filled: Decimal) -> None:
        order = self._book.get(ORDERS, key_text)
        assert order is not None, "the order was just put"
        if order.legs or not order.account or not order.con_id:
            return
        row = self._book.get(TOTALS, f"{order.account} {order.con_id} {key_text}")
        have = row.totals.filled if row is not None else ZERO
        if filled > have:
            self._want_sweep(key_text, f"the broker says {filled} filled, {have} known")

    def _want_sweep(self, order: str, reason: str) -> None:
        self._sweep_reasons[order] = reason

    # Positions

    def _position(self, frame: Frame, position: Position) -> None:
        self._book.put(POSITIONS, BrokerPosition(position, frame.seq, frame.received_at))
        key = ContractKey(position.account, position.contract.con_id)
        self._holdings.listed(key, position.quantity)
        holding = self._book.get(HOLDINGS, key.text())
        if holding is not None and holding.held == position.quantity:
            # What a newer position no longer contradicts may be shut now.
            self._touch(stake.alert for stake in holding.stakes if not stake.quantity)

    def _end(self, frame: Frame, end: End) -> None:
        if end.of is EndOf.EXECUTIONS:
            self._holdings.sweep_over(end.request_id)
        elif end.of is EndOf.POSITIONS:
            self._holdings.snapshot_ended(Moment(frame.received_at, frame.seq))

    # What could not be read

    def _undecodable(self, frame: Frame, fact: Undecodable) -> None:
        row = Undecoded(frame.seq, fact.kind, fact.reason, fact.exec_id)
        self._book.put(UNDECODED, row)
        what = {"kind": fact.kind, "reason": fact.reason}
        self._events.append(Event(EventKind.UNDECODABLE, frame.received_at, what))
        if fact.exec_id and fact.exec_id not in self._undecoded:
            self._undecoded[fact.exec_id] = row
            self._want_sweep(f"execId {fact.exec_id}", f"execution {fact.exec_id} could not be read")

    def _heal(self, exec_id: str) -> None:
        if exec_id in self._undecoded:
            for row in self._book.find(UNDECODED, "open", "1"):
                if row.exec_id == exec_id:
                    self._book.put(UNDECODED, replace(row, healed=True))
            del self._undecoded[exec_id]

    # Notes of our own

    def _note(self, frame: Frame) -> None:
        name, *rest = frame.fields
        match (frame.source, name):
            case (Source.SENT, "positions"):
                self._holdings.snapshot_asked(Moment(frame.received_at, frame.seq))
            case (Source.SENT, "executions"):
                self._holdings.sweep_asked(int(rest[0]))
            case (Source.LINK, "up"):
                self._holdings.new_link(snapshot_due=True)
            case (Source.LINK, "down"):
                self._holdings.new_link(snapshot_due=False)
            case (Source.LINK, "timeout") if rest[0] == "positions":
                self._holdings.snapshot_failed()
            case (Source.LINK, "timeout") if rest[0] == "executions":
                self._holdings.sweep_over(int(rest[1]))
            case (Source.LINK, "quiet"):
                self._holdings.sweep_over(int(rest[0]))
            case (Source.LINK, "first_sweep"):
                self._holdings.no_more_snapshots()
            case (Source.STORE, "rematch"):
                self._rematch(rest[0], rest[1])
            case (Source.STORE, "replaced"):
                self._take_over(frame, _alert_id(rest[:4]), _alert_id(rest[4:8]))
            case (Source.STORE, "gone"):
                self._gone(_alert_id(rest[:4]))
            case (Source.PERSON, "assign"):
                self._assign(rest[0], rest[1], _alert_id(rest[2:6]))
            case (Source.PERSON, "dismiss"):
                self._dismiss(rest[0], rest[1])
            case _:
                pass

    # Alerts

    def _rematch(self, account: str, exec_id: str) -> None:
        """Decide an execution again, since the store has changed."""
        booked = self._book.get(EXECUTIONS, f"{account} {exec_id}")
        if booked is None or isinstance(booked.match, Matched):
            return
        self._set_match(booked, self._match(booked.execution))

    def _set_match(self, booked: Booked, match: Match) -> None:
        if match == booked.match:
            return
        attention = attention_of(match) if booked.opening else Attention.NONE
        self._book.put(EXECUTIONS, replace(booked, match=match, attention=attention))
        if booked.folded and booked.counted:
            self._holdings.refold(booked.contract_key)

    def _assign(self, account: str, exec_id: str, alert: AlertId) -> None:
        booked = self._book.get(EXECUTIONS, f"{account} {exec_id}")
        if booked is not None:
            self._set_match(booked, Matched(((alert, Rule.PERSON),), booked.match.rejected))

    def _dismiss(self, account: str, exec_id: str) -> None:
        booked = self._book.get(EXECUTIONS, f"{account} {exec_id}")
        if booked is not None:
            self._book.put(EXECUTIONS, replace(booked, dismissed=True))

    def _take_over(self, frame: Frame, old: AlertId, new: AlertId) -> None:
        """Hand what a replaced record owned to the newer record of the same contract."""
        state = self._book.get(ALERTS, alert_text(old))
        if state is None or state.successor is not None or self._holdings.current(new) == old:
            return
        self._book.put(ALERTS, replace(state, successor=new, gone=True))
        heir = self._book.get(ALERTS, alert_text(new)) or AlertState(new)
        contracts = tuple(dict.fromkeys((*heir.contracts, *state.contracts)))
        self._book.put(ALERTS, replace(heir, contracts=contracts))
        for key in state.contracts:
            self._holdings.refold(key)
        self._events.append(
            Event(EventKind.TAKEN_OVER, frame.received_at, {"alert": new.name, "created_at": new.created_at})
        )

    def _gone(self, alert: AlertId) -> None:
        state = self._book.get(ALERTS, alert_text(alert))
        if state is not None:
            self._book.put(ALERTS, replace(state, gone=True))

    def _tell(self, kind: EventKind, frame: Frame, booked: Booked, note: str = "") -> None:
        execution = booked.execution
        what: dict[str, str | int | float | None] = {
            "account": execution.account,
            "exec_id": execution.exec_id,
            "symbol": execution.contract.symbol,
            "con_id": execution.contract.con_id,
            "side": execution.side.value,
            "quantity": str(execution.quantity),
            "price": str(execution.price),
        }
        if note:
            what["note"] = note
        self._events.append(Event(kind, frame.received_at, what))


def _version(booked: Booked) -> int:
    parts = correction_parts(booked.execution.exec_id)
    return parts.version if parts is not None else 0


def _added(totals: Totals, execution: Execution, fee: CommissionReport | None) -> Totals:
    """Add an execution and its fee, if known, to the sums of its order."""
    commission, realized = totals.commission, totals.realized_pnl
    if fee is not None and fee.commission is not None:
        commission = (commission or ZERO) + fee.commission
    if fee is not None and fee.realized_pnl is not None:
        realized = (realized or ZERO) + fee.realized_pnl
    pending = totals.fees_pending + (fee is None or fee.commission is None)
    return Totals(
        totals.filled + execution.quantity,
        totals.cost + execution.quantity * execution.price,
        execution.price,
        commission,
        realized,
        pending,
    )


def _total_of(status: OrderStatus) -> Decimal | None:
    """Add up an order's size; a cancelled or inactive one reports its balance as it likes."""
    if status.status not in ("PreSubmitted", "Submitted", "Filled"):
        return None
    if status.filled is None or status.remaining is None:
        return None
    return status.filled + status.remaining or None


def _alert_id(fields: Sequence[str]) -> AlertId:
    alerter, ticker, created_at, con_id = fields
    return AlertId(alerter, ticker, created_at, int(con_id) if con_id else None)
