"""What must hold: always, while faults are on, and at the end, when they are off.

Owns the comparisons, each with words that say what is wrong. They look at the store as any reader does and at
the journal's rows, and change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Context, Decimal
from typing import Any, NamedTuple

from tests.sim.broker import AccountContract, SimBroker
from tests.sim.clock import NEW_YORK
from tests.sim.neighbour import Neighbour, RecordKey
from tests.sim.oracle_feed import OracleFeed
from tests.sim.rules_oracle.facts import OrderKey, root_and_version
from tests.sim.rules_oracle.names import Alerters, ticker_key
from tests.sim.rules_oracle.oracle import AlertExpected, Expected
from tests.sim.stores import own_fields
from tests.support.fakes import Records
from tracker.core.alert_updates import positions_of
from tracker.core.journal_entries import GapAccepted, GapReopened, read_entry
from tracker.core.model import Execution
from tracker.core.state import ADJUSTMENTS, ALERTS, DIFFERENCES, EXECUTIONS, GAPS, HOLDINGS, LedgerState
from tracker.core.state_rows import Attention, Baseline, GapEnd, alert_text
from tracker.journal.journal import Journal
from tracker.paper.contracts import PaperContract
from tracker.paper.model import PaperExecution
from tracker.stores.alert_reader import read_id, read_shown

ZERO = Decimal(0)


class Broken(AssertionError):
    """A property does not hold."""


def check_neighbour(records: Records, neighbour: Neighbour) -> None:
    """See to it that every record is there, and no other, with its writer's own fields untouched."""
    there = own_fields(records)
    neighbour.let_go(there)
    if there.keys() != neighbour.own.keys():
        more, less = there.keys() - neighbour.own.keys(), neighbour.own.keys() - there.keys()
        raise Broken(f"records came back: {sorted(more)}, records were lost: {sorted(less)}")
    for key, fields in there.items():
        if fields != neighbour.own[key]:
            raise Broken(f"{key}: the writer's fields {neighbour.own[key]} became {fields}")


def check_safe(records: Records, feed: OracleFeed) -> None:
    """Check that no record shows an execution that nobody reported, or counts one twice."""
    for key, record in _records(records):
        shown = record.get("last_order_update")
        if not shown:
            continue
        truth = feed.known.get(shown["exec_id"])
        if truth is None:
            raise Broken(f"{key} shows {shown['exec_id']}, which was never taken in")
        _check_kind(key, record, truth.contract)
        _check_filled(key, shown, truth, feed.broker)


def _check_kind(key: RecordKey, record: Mapping[str, Any], contract: PaperContract) -> None:
    right = record["alert_details"]["side"] or ""
    if contract.sec_type == "STK" and right:
        raise Broken(f"{key} is for an option and was touched by a fill of {contract.local_symbol}")
    if contract.sec_type == "OPT" and right not in (contract.right, ""):
        raise Broken(f"{key} speaks of {right} and was touched by a fill of {contract.local_symbol}")


def _check_filled(
    key: RecordKey, shown: Mapping[str, Any], touched: PaperExecution, broker: SimBroker
) -> None:
    """See to it that no execution counts twice: at most what the order ever filled, in any version."""
    most: dict[str, Decimal] = {}
    for execution in broker.executions.values():
        same_order = (execution.perm_id, execution.client_id, execution.account) == (
            touched.perm_id,
            touched.client_id,
            touched.account,
        )
        if not same_order or execution.contract.con_id != touched.contract.con_id:
            continue
        if not execution.perm_id and execution.order_id != touched.order_id:
            continue
        four = execution.exec_id.count(".") == 3
        root = execution.exec_id.rpartition(".")[0] if four else execution.exec_id
        most[root] = max(most.get(root, ZERO), execution.quantity)
    if shown["filled_qty"] > float(sum(most.values())) + 1e-9:
        raise Broken(f"{key} shows {shown['filled_qty']} filled of {sum(most.values())}")


def check_state(state: LedgerState) -> None:
    """See to it that nobody owns more than is held, nor against it."""
    for holding in state.every(HOLDINGS):
        owned = sum((abs(group.quantity) for group in holding.lots), ZERO)
        if owned > abs(holding.held):
            raise Broken(f"{holding.key}: {owned} owned of {holding.held} held")
        if any(group.quantity * holding.held <= 0 for group in holding.lots):
            raise Broken(f"{holding.key}: {holding.lots} owned against {holding.held} held")


def check_gaps(journal: Journal, ended: frozenset[date], feed: OracleFeed) -> None:
    """See to it that each day that nobody saw to its end is a gap, and closed only where that is right.

    By a person where one accepted it, and did not take that back; by positions where nothing was missed.
    """
    gaps = {gap.day: gap.closed_how for gap in journal.state.every(GAPS)}
    if feed.hears_answers and gaps.keys() != ended:
        raise Broken(f"gaps are {sorted(gaps)}, days that ended unseen are {sorted(ended)}")
    for day in [day for day, how in gaps.items() if feed.hears_answers and how == GapEnd.POSITIONS.value]:
        _check_missed(day, feed)
    accepted: dict[str, bool] = {}
    for frame in journal.notes():
        entry = read_entry(frame)
        if frame.seq <= journal.cursor and isinstance(entry, GapAccepted | GapReopened):
            accepted[entry.day.isoformat()] = isinstance(entry, GapAccepted)
    for text, closed in accepted.items():
        gap = journal.state.get(GAPS, text)
        if gap is None or (not gap.closed_how if closed else gap.closed_how == "person"):
            raise Broken(f"the gap of {text} is {gap}, accepted: {closed}")


def _check_missed(day: date, feed: OracleFeed) -> None:
    """See to it that what was missed on a day adds up to nothing: no position shows a round trip."""
    missed: dict[AccountContract, Decimal] = {}
    for exec_id, execution in feed.broker.executions.items():
        of_day = execution.time.astimezone(NEW_YORK).date() == day
        if of_day and execution.contract.sec_type != "BAG" and feed.broker.latest(exec_id) == exec_id:
            key = (execution.account, execution.contract.con_id)
            held = ZERO if exec_id in feed.known else execution.signed
            missed[key] = missed.get(key, ZERO) + held
    if any(missed.values()):
        raise Broken(f"{day} is closed by positions, missed was {missed}")


def check_decided(records: Records, state: LedgerState) -> None:
    """See to it that each record shows what was decided, once nothing is on its way to it."""
    for key, record in _records(records):
        decided = state.get(ALERTS, alert_text(read_id(*key, dict(record))))
        if decided is None or decided.shown is None or decided.gone or decided.successor is not None:
            continue
        if not read_shown(dict(record)).agrees(decided.shown):
            raise Broken(f"{key} shows {shown_of(record)}, decided was {decided.shown}")


def check_exact(records: Records, feed: OracleFeed, state: LedgerState) -> None:
    """See to it that each record shows what is right, once nothing is on its way to it."""
    if state.find(EXECUTIONS, "waiting", "1"):
        return
    right = feed.now()
    unexplained: set[AccountContract] = set()
    if feed.hears_answers:
        check_word(feed, state)
    else:
        unexplained = leave_out_unexplained(feed, state)
    doubtful = _doubtful(feed, state)
    for holding in state.every(HOLDINGS):
        key = (holding.account, holding.contract.con_id)
        held = holding.held - holding.pending
        sure = key not in doubtful or not feed.hears_answers
        if key not in unexplained and sure and key in right.positions and held != right.positions[key]:
            raise Broken(f"{key}: {held} held, right is {right.positions[key]}")
    present = {(alert.alerter, alert.ticker): alert for alert in right.alerts if alert.present}
    doubted = {row.alert[:2] for row in state.find(ALERTS, "doubted", "1")}
    """Records that stay open until the broker's newer word on what is held agrees with their close."""
    for name, record in _records(records):
        if name not in present:
            raise Broken(f"{name} stands in the store and was not seen")
        alert = present[name]
        if name in doubted and not alert.quantity:
            continue
        if feed.broker.contract(record["about"]).symbol in feed.loose:
            # What was decided hangs on an opening balance that was wrong; only the quantities held are sure.
            continue
        if alert.removed:
            raise Broken(f"{name} is closed and still there")
        shown, wanted = shown_of(record), wanted_of(alert)
        if shown is not None and wanted is not None and not wanted.quantity:
            # With whom it was shared is history.
            shown = shown._replace(shared_with=wanted.shared_with)
        # What was void before it was ever shown is not shown, nor is it missed: nothing is owned either way.
        never_shown = None in (shown, wanted) and not any(
            one is not None and (one.quantity or one.opened_at) for one in (shown, wanted)
        )
        if shown != wanted and not never_shown:
            raise Broken(f"{'/'.join(name)} {_difference(shown, wanted)}")
        if wanted is None or shown is None:
            # One that never showed anything is as open as its writer says.
            if shown is not None and record["open"] is not False:
                raise Broken(f"{name} owns nothing and is open")
            continue
        if record["open"] is not alert.open:
            raise Broken(f"{name} is open {record['open']}, right is {alert.open}")
        if wanted.opened_at is not None:
            _check_sums(name, record["last_order_update"], right, ended=feed.hears_answers)
    check_inbox(feed, state)
    check_orphans(feed, state)


def check_orphans(feed: OracleFeed, state: LedgerState) -> None:
    """See to it that what records hold that are gone, and that nobody took over, is told of each of them.

    It is told in the spelling in which the record was known last: one that held nothing is not followed.
    """
    right: dict[tuple[tuple[str, str], AccountContract], Decimal] = {}
    for one in feed.now().orphans:
        held = (_in_any_spelling(one.alert), one.holding)
        right[held] = right.get(held, ZERO) + one.quantity
    ours: dict[tuple[tuple[str, str], AccountContract], Decimal] = {}
    for row in state.find(ALERTS, "orphaned", "1"):
        for holding, mine in positions_of(state, row):
            held = (_in_any_spelling(row.alert.name), (holding.account, holding.contract.con_id))
            ours[held] = ours.get(held, ZERO) + mine.quantity
    sure = [held for held in {**right, **ours} if feed.broker.contract(held[1][1]).symbol not in feed.loose]
    for held in sure:
        if ours.get(held, ZERO) != right.get(held, ZERO):
            raise Broken(f"{held} is an orphan of {ours.get(held)}, right is {right.get(held)}")


def _doubtful(feed: OracleFeed, state: LedgerState) -> set[AccountContract]:
    """Return of what either side guesses the opening balance, and what was moved on from there.

    How much was moved hangs on an opening balance for good that was in doubt at any time.
    """
    found = {key for key, opening in feed.now().openings.items() if not opening.confirmed}
    guessed = [one for one in state.every(HOLDINGS) if one.baseline is not Baseline.SNAPSHOT]
    found |= {(one.account, one.contract.con_id) for one in guessed}
    moves = [one for one in state.every(ADJUSTMENTS) if one.came_from and not one.undone]
    for _ in moves:
        # What moved on from there moved on further.
        for one in moves:
            account, _, con_id = one.came_from.rpartition(" ")
            source = (account, int(con_id))
            if source in found or source in feed.guessed:
                found.add((one.account, one.con_id))
    return found


def leave_out_unexplained(feed: OracleFeed, state: LedgerState) -> set[AccountContract]:
    """Leave out of the comparison what no execution explains; return it."""
    unexplained = {(one.account, one.con_id) for one in state.every(DIFFERENCES) if not one.over}
    unexplained |= {(one.account, one.con_id) for one in state.every(ADJUSTMENTS) if not one.undone}
    for _, con_id in unexplained:
        feed.leave_out(feed.broker.contract(con_id).symbol)
    return unexplained


def _in_any_spelling(name: str) -> tuple[str, str]:
    alerter, _, ticker = name.partition("/")
    return Alerters({}).key(alerter), ticker_key(ticker)


def check_word(feed: OracleFeed, state: LedgerState) -> None:
    """See to it that differences and adjustments are those that the broker's answers make."""
    right = feed.now()
    sure = {key for key, opening in right.openings.items() if opening.confirmed}
    sure &= {
        (one.account, one.contract.con_id)
        for one in state.every(HOLDINGS)
        if one.baseline is Baseline.SNAPSHOT
    }
    sure = {key for key in sure if feed.broker.contract(key[1]).symbol not in feed.loose}
    ours = {(one.account, one.con_id) for one in state.every(DIFFERENCES) if not one.over}
    wanted = {key for key, difference in right.unexplained.items() if difference}
    # What a fill explains meanwhile waits until the next answer agrees.
    if not wanted & sure <= ours or not ours & sure <= right.unexplained.keys():
        raise Broken(f"unexplained is {sorted(ours & sure)}, right is {sorted(wanted & sure)}")
    made = sorted(
        (one.account, one.con_id, one.cause)
        for one in state.every(ADJUSTMENTS)
        if not one.undone and not one.came_from and (one.account, one.con_id) in sure
    )
    right_made = sorted((*one.holding, one.cause) for one in right.adjustments if one.holding in sure)
    if made != right_made:
        raise Broken(f"adjustments are {made}, right is {right_made}")


def check_inbox(feed: OracleFeed, state: LedgerState) -> None:
    """See to it that an order with lots of nobody waits for a person where it must.

    What else is so near that it is worth a look the rules leave open, so more near misses are no fault.
    """
    right = feed.now()
    wanted: dict[OrderKey | None, str] = {
        entry.order: entry.kind for entry in right.inbox if entry.order is not None
    }
    kinds = {Attention.AMBIGUOUS: "ambiguous", Attention.NEAR_MISS: "near miss"}
    waiting: dict[OrderKey | None, str] = {
        _order_of(row.execution): kinds[attention]
        for attention in kinds
        for row in state.find(EXECUTIONS, "inbox", attention.value)
    }
    for (_, con_id), lots in right.lots.items():
        if feed.broker.contract(con_id).symbol in feed.loose:
            continue
        owned = {lot.order for lot in lots if lot.owners}
        for order in {lot.order for lot in lots} - owned - right.by_person:
            ours, right_one = waiting.get(order), wanted.get(order)
            if ours != right_one and (ours, right_one) != ("near miss", None):
                raise Broken(f"{order} waits as {ours}, right is {right_one}")


def _order_of(execution: Execution) -> OrderKey:
    root, _ = root_and_version(execution.exec_id)
    alone = "" if execution.perm_id > 0 else root
    return OrderKey(execution.account, execution.contract.con_id, max(execution.perm_id, 0), alone)


class Shown(NamedTuple):
    """Hold what a record shows of its position, in comparable values."""

    quantity: float
    avg_price: float | None
    opened_at: datetime | None
    closed_at: datetime | None
    closed_by: str | None
    shared_with: tuple[str, ...]


def shown_of(record: Mapping[str, Any]) -> Shown | None:
    """Return what a record shows; None where it has no position."""
    position = record.get("position")
    if position is None:
        return None
    return Shown(
        _number(position["quantity"]),
        None if position["avg_price"] is None else _average(position["avg_price"]),
        _moment(position["opened_at"]),
        _moment(position["closed_at"]),
        position["closed_by"],
        tuple(position["shared_with"]),
    )


def wanted_of(alert: AlertExpected) -> Shown | None:
    """Return what is right for it; None where it never had anything."""
    if not alert.shown:
        return None
    return Shown(
        _number(alert.quantity),
        None if alert.avg_price is None else _average(alert.avg_price),
        alert.opened_at,
        alert.closed_at,
        alert.closed_by,
        alert.shared_with,
    )


def _difference(shown: Shown | None, wanted: Shown | None) -> str:
    """Return what differs, in few words."""
    if shown is None or wanted is None:
        return f"shows {_words(shown)}, right is {_words(wanted)}"
    names = [name for name in Shown._fields if getattr(shown, name) != getattr(wanted, name)]
    return "; ".join(
        f"{name} is {_word(getattr(shown, name))}, right is {_word(getattr(wanted, name))}" for name in names
    )


def _words(shown: Shown | None) -> str:
    if shown is None:
        return "nothing"
    return " ".join(f"{name}={_word(value)}" for name, value in shown._asdict().items() if value)


def _word(value: object) -> str:
    return f"{value:%H:%M:%S}" if isinstance(value, datetime) else str(value)


def _check_sums(key: RecordKey, shown: Mapping[str, Any], right: Expected, *, ended: bool) -> None:
    """See to it that the order's sums are those of its executions, and how it `ended` what was told of it."""
    orders = [
        (order, expected)
        for order, expected in right.orders.items()
        if (order.account, order.con_id) == (shown["account"], shown["con_id"])
        and shown["exec_id"] in expected.exec_ids
    ]
    if not orders:
        raise Broken(f"{key} shows {shown['exec_id']}, which is not in force")
    order, expected = orders[0]
    average = None if expected.avg_fill_price is None else _average(expected.avg_fill_price)
    sums = (_number(expected.filled_qty), average)
    told = None if shown["avg_fill_price"] is None else _average(shown["avg_fill_price"])
    if (_number(shown["filled_qty"]), told) != sums:
        raise Broken(
            f"{key} has {shown['filled_qty']} @ {shown['avg_fill_price']} of {order}, right is {sums}"
        )
    remaining = None if expected.remaining is None else _number(expected.remaining)
    state = (shown["status"], None if shown["remaining_qty"] is None else _number(shown["remaining_qty"]))
    # Of an order that it knows by fills alone the tracker leaves open whether anything works still.
    state = (state[0], remaining) if state[1] is None and remaining == 0 else state
    if ended and state != (expected.status, remaining):
        raise Broken(f"{key} has {state} of {order}, right is {(expected.status, remaining)}")


def check_end(records: Records, feed: OracleFeed, state: LedgerState) -> None:
    """See to it that the stores equal the broker's truth."""
    if not feed.complete():
        raise Broken("not every execution arrived")
    if waiting := state.find(EXECUTIONS, "waiting", "1"):
        raise Broken(f"executions wait for ever: {[row.execution.exec_id for row in waiting]}")
    listed = {account for (account, _), quantity in feed.broker.positions.items() if quantity}
    for holding in state.every(HOLDINGS):
        key = (holding.account, holding.contract.con_id)
        truth = feed.broker.positions.get(key, ZERO)
        if feed.hears_answers and holding.account not in listed:
            # An answer that lacks an account is never certain of it: what went elsewhere stays as it was, an
            # opening balance that no answer before told stays a guess, and one that contained an execution
            # before that was reported counts beside it.
            guessed = holding.baseline is not Baseline.SNAPSHOT and not feed.now().openings[key].confirmed
            excused = guessed or key in feed.broker.changed or key in feed.reported_late
            if holding.held != truth and not excused:
                raise Broken(f"{key}: {holding.held} held, the broker lists nothing of the account")
            continue
        held = holding.held
        told = None if feed.hears_answers else state.get(DIFFERENCES, holding.key.text())
        if told is not None and not told.over:
            # What the broker's last word says otherwise is shown, and counts a minute later.
            held += told.amount - holding.pending
        if (held, holding.baseline) != (truth, Baseline.SNAPSHOT):
            raise Broken(f"{key}: {held} held ({holding.baseline}), the broker has {truth}")
    # What the broker's last word says otherwise keeps a record open until that counts, a minute later.
    open_still = {(one.account, one.con_id) for one in state.every(DIFFERENCES) if not one.over}
    rows = state.find(ALERTS, "doubted", "1")
    if doubted := [row for row in rows if open_still.isdisjoint(row.contracts)]:
        raise Broken(f"closed and still in doubt: {[row.alert.name for row in doubted]}")
    check_exact(records, feed, state)
    for name, record in _records(records):
        # What went to another alert leaves its last order behind, which is not followed any longer.
        if (shown := shown_of(record)) is not None and shown.opened_at is not None:
            _check_order(name, record, feed.broker)


def _check_order(key: RecordKey, record: Mapping[str, Any], broker: SimBroker) -> None:
    """See to it that total, remaining, status and fee are the broker's or unknown."""
    shown = record["last_order_update"]
    order = next(one for one in broker.orders if shown["exec_id"] in one.executions)
    paper = order.paper
    ratio = Decimal(1)
    for leg in paper.contract.legs:
        if leg.con_id == shown["con_id"]:
            ratio = Decimal(leg.ratio)
    total = paper.quantity * ratio
    # Of an order that filled, and one fill of which was void later, the broker reports what is left of it.
    full = {float(total), float(paper.filled * ratio)} if paper.status == "Filled" else {float(total)}
    if shown["status"] == "FILLED" and shown["filled_qty"] not in full:
        raise Broken(f"{key} is FILLED with {shown['filled_qty']} of {total}")
    left = {float(total) - shown["filled_qty"]}
    if paper.status in ("Cancelled", "Filled", "Inactive"):
        # It is over, also where a correction lowered what it filled. The end may have been told while nobody
        # listened; it is not told again.
        left.add(0)
    if shown["remaining_qty"] is not None and round(shown["remaining_qty"], 9) not in {
        round(one, 9) for one in left
    }:
        raise Broken(f"{key} has {shown['remaining_qty']} remaining, the broker {left}")


def _records(records: Records) -> list[tuple[RecordKey, Mapping[str, Any]]]:
    return [
        ((alerter, ticker), record)
        for alerter, tickers in records.items()
        for ticker, record in tickers.items()
    ]


def _number(value: Decimal | float) -> float:
    return round(float(value), 9)


def _average(value: Decimal | float) -> float:
    """Return an average to the digits that records show of it."""
    # Twelve digits first, so that where it was divided does not decide how a half is rounded.
    return float(Context(prec=8).create_decimal(repr(round(float(value), 12))))


def _moment(text: str | None) -> datetime | None:
    """Return a moment to the second, as the broker writes it."""
    return None if text is None else datetime.fromisoformat(text).replace(microsecond=0)
