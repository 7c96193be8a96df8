"""What must hold: always, while faults are on, and at the end, when they are off.

Owns the comparisons, each with words that say what is wrong. They look at the store as any reader does and at
the journal's rows, and change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tests.sim.neighbour import Neighbour, RecordKey
from tests.sim.oracle import Oracle, View, shown_view
from tests.sim.stores import own_fields
from tests.support.fakes import Records
from tracker.core.model import AlertId
from tracker.core.state import ALERTS, EXECUTIONS, HOLDINGS, LedgerState
from tracker.core.state_rows import Baseline, alert_text
from tracker.paper.contracts import PaperContract
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


def check_possible(records: Records, oracle: Oracle) -> None:
    """See to it that no record shows another contract's fill, nor more of an order than was filled."""
    for key, _, record in _records(records):
        view = shown_view(record)
        if view is None:
            continue
        _check_kind(key, record, oracle.broker.contract(view.con_id))
        _check_filled(key, view, oracle)


def _check_kind(key: RecordKey, record: Mapping[str, Any], contract: PaperContract) -> None:
    details = record["alert_details"]
    said = (details["ticker"], details["side"] or "")
    if said != (contract.symbol, contract.right):
        raise Broken(f"{key} is about {said} and was touched by a fill of {contract.local_symbol}")


def _check_filled(key: RecordKey, view: View, oracle: Oracle) -> None:
    """See to it that no execution counts twice: at most what the order ever filled, in any version."""
    truth = oracle.broker.executions
    shown = truth[view.exec_id]
    most: dict[str, Decimal] = {}
    for execution in truth.values():
        same_order = (execution.perm_id, execution.client_id, execution.account) == (
            shown.perm_id,
            shown.client_id,
            shown.account,
        )
        if not same_order or execution.contract.con_id != view.con_id:
            continue
        if not execution.perm_id and execution.order_id != shown.order_id:
            continue
        four = execution.exec_id.count(".") == 3
        root = execution.exec_id.rpartition(".")[0] if four else execution.exec_id
        most[root] = max(most.get(root, ZERO), execution.quantity)
    if view.filled_qty > float(sum(most.values())) + 1e-9:
        raise Broken(f"{key} shows {view.filled_qty} filled of {sum(most.values())}")


def check_state(state: LedgerState) -> None:
    """See to it that nobody owns more than is held, nor against it."""
    for holding in state.every(HOLDINGS):
        owned = sum((abs(group.quantity) for group in holding.lots), ZERO)
        if owned > abs(holding.held):
            raise Broken(f"{holding.key}: {owned} owned of {holding.held} held")
        if any(group.quantity * holding.held <= 0 for group in holding.lots):
            raise Broken(f"{holding.key}: {holding.lots} owned against {holding.held} held")


def check_decided(records: Records, state: LedgerState) -> None:
    """See to it that each record shows what was decided, once nothing is on its way to it."""
    for key, alert, record in _records(records):
        alert_state = state.get(ALERTS, alert_text(alert))
        if (
            alert_state is None
            or alert_state.shown is None
            or alert_state.gone
            or alert_state.successor is not None
        ):
            continue
        if not read_shown(dict(record)).agrees(alert_state.shown):
            raise Broken(f"{key} shows {shown_view(record)}, decided was {alert_state.shown}")


def check_end(records: Records, oracle: Oracle, state: LedgerState, policy: str) -> None:
    """See to it that the stores equal the broker's truth."""
    if not oracle.complete():
        raise Broken("not every execution arrived")
    if waiting := state.find(EXECUTIONS, "waiting", "1"):
        raise Broken(f"executions wait for ever: {[row.execution.exec_id for row in waiting]}")
    for holding in state.every(HOLDINGS):
        key = (holding.account, holding.contract.con_id)
        truth = oracle.broker.positions.get(key, ZERO)
        if (holding.held, holding.baseline) != (truth, Baseline.SNAPSHOT):
            raise Broken(f"{key}: {holding.held} held ({holding.baseline}), the broker has {truth}")
        if oracle.held(key) != truth:
            raise Broken(f"{key}: the oracle counts {oracle.held(key)}, the broker has {truth}")
    check_decided(records, state)
    for name, alert, record in _records(records):
        view = shown_view(record)
        if view is not None and state.get(ALERTS, alert_text(alert)) is not None:
            _check_open(name, record, view, policy)
            _check_order(name, record, oracle)


def _check_open(key: RecordKey, record: Mapping[str, Any], view: View, policy: str) -> None:
    over = not view.quantity and record["position"]["closed_at"] is not None
    if view.quantity and (record["open"] is not True or record["position"]["closed_at"] is not None):
        raise Broken(f"{key} owns {view.quantity}, but open is {record['open']}")
    if not view.quantity and not over and not _long_and_short(record):
        raise Broken(f"{key} owns nothing and has no closed_at")
    if over and policy == "remove":
        raise Broken(f"{key} is over and still there")
    if over and record["open"] is not (policy == "keep"):
        raise Broken(f"{key} is over, open is {record['open']} under {policy}")


def _long_and_short(record: Mapping[str, Any]) -> bool:
    """Tell whether its quantities in several accounts add up to nothing, which is no end."""
    return record["position"]["closed_at"] is None and record["open"] is True


def _check_order(key: RecordKey, record: Mapping[str, Any], oracle: Oracle) -> None:
    """See to it that total, remaining, status and fee are the broker's or unknown."""
    shown = record["last_order_update"]
    order = next(one for one in oracle.broker.orders if shown["exec_id"] in one.executions)
    paper = order.paper
    ratio = Decimal(1)
    for leg in paper.contract.legs:
        if leg.con_id == shown["con_id"]:
            ratio = Decimal(leg.ratio)
    total = paper.quantity * ratio
    if (shown["status"] == "FILLED") > (shown["filled_qty"] == float(total)):
        raise Broken(f"{key} is FILLED with {shown['filled_qty']} of {total}")
    left = {float(total) - shown["filled_qty"]}
    if paper.status in ("Cancelled", "Filled"):
        # It is over, also where a correction lowered what it filled. The end may have been told while nobody
        # listened; it is not told again.
        left.add(0)
    if shown["remaining_qty"] is not None and round(shown["remaining_qty"], 9) not in {
        round(one, 9) for one in left
    }:
        raise Broken(f"{key} has {shown['remaining_qty']} remaining, the broker {left}")


def _records(records: Records) -> list[tuple[RecordKey, AlertId, Mapping[str, Any]]]:
    return [
        ((alerter, ticker), read_id(alerter, ticker, record), record)
        for alerter, tickers in records.items()
        for ticker, record in tickers.items()
    ]
