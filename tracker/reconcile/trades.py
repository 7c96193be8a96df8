"""Compare each order that the broker lists with the journal: which fills, how many, at which price.

Owns that list of an audit. A trade is an order with its fills, as ib_insync's `ib.trades()` has it. Pure; it
says only whether both sides agree. `core.audit` judges what a difference means.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from tracker.core.alert_updates import number
from tracker.core.audit.inputs import BrokerView, LedgerView
from tracker.core.audit.side_by_side import root
from tracker.core.model import ZERO, Execution, correction_version
from tracker.queries.as_json import Json, contract_json

MOST: Final = 1000
"""Trades of one answer; those that differ come first."""


class TradeKey(NamedTuple):
    """Name an order in one account and contract; an order without a permId by its execution."""

    account: str
    con_id: int
    perm_id: int
    exec_id: str


def trades(ledger: LedgerView, broker: BrokerView | None) -> list[Json]:
    """Return the orders whose fills the broker lists, those that differ first, then in order of time."""
    if broker is None:
        return []
    told = [each for each in broker.executions if ledger.watches(each.account)]
    roots = set(map(root, told))
    listed = _by_trade(told)
    counted = [
        view.execution
        for view in ledger.executions
        if not view.superseded
        # An order may have fills of earlier days, which the broker no longer lists.
        and (root(view.execution) in roots or (broker.covers(view.execution) and not view.imported))
    ]
    known = _by_trade(execution for execution in counted if _key(execution) in listed)
    found = [_trade(theirs, known.get(key, ())) for key, theirs in listed.items()]
    return sorted(found, key=lambda each: bool(each["agrees"]))


def _key(execution: Execution) -> TradeKey:
    perm_id = max(execution.perm_id, 0)
    exec_id = "" if perm_id else execution.exec_id
    return TradeKey(execution.account, execution.contract.con_id, perm_id, exec_id)


def _by_trade(executions: Iterable[Execution]) -> dict[TradeKey, list[Execution]]:
    """Gather executions by their order, each in its newest version."""
    newest: dict[tuple[object, ...], Execution] = {}
    for execution in executions:
        key = root(execution)
        known = newest.get(key)
        if known is None or correction_version(execution.exec_id) > correction_version(known.exec_id):
            newest[key] = execution
    found: dict[TradeKey, list[Execution]] = {}
    for execution in sorted(newest.values(), key=lambda each: (each.time, each.exec_id)):
        found.setdefault(_key(execution), []).append(execution)
    return found


def _trade(broker: Sequence[Execution], journal: Sequence[Execution]) -> Json:
    first = broker[0]
    theirs, ours = _sums(broker), _sums(journal)
    differs = [
        f"{name}: broker {theirs[name] or 0}, journal {ours[name] or 0}"
        for name in theirs
        if theirs[name] != ours[name]
    ]
    if not journal:
        differs = ["the journal has none of it"]
    # A cancelled fill may have another version in the journal: a report voids it under one of ours.
    one_sided = {each.exec_id for each in broker if each.quantity} ^ {
        each.exec_id for each in journal if each.quantity
    }
    if one_sided and not differs:
        differs = [f"other executions: {', '.join(sorted(one_sided))}"]
    return {
        "account": first.account,
        "perm_id": first.perm_id,
        "order_id": first.order_id,
        "client_id": first.client_id,
        **contract_json(first.contract),
        "side": first.side.value,
        "broker": theirs,
        "journal": ours,
        "agrees": not differs,
        "differs": differs,
    }


def _sums(executions: Sequence[Execution]) -> Json:
    """Return the number of fills, their quantity and their average price."""
    quantity = sum((each.quantity for each in executions), ZERO)
    cost = sum((each.quantity * each.price for each in executions), ZERO)
    average = None if not quantity else round(cost / quantity, 8).normalize()
    return {"fills": len(executions), "quantity": number(quantity), "avg_price": number(average)}
