"""Find the rows that a packet's messages will ask for, with one query for all of them.

Owns which raw fields make which row keys. A wrong key only costs one more query later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from tracker.core.journal_entries import execution_key
from tracker.core.message_fields import ExecutionAt, FeeAt, Message
from tracker.core.state import ALERTS, EXECUTIONS, FEES, ORDERS, OWNERS, TOTALS, WINDOWS
from tracker.core.state_rows import root_text
from tracker.journal.rows import JournalState

_MANY: Final = 8
"""The number of fills from which on they are looked up together."""


class FilledOrder(NamedTuple):
    """Name an order that filled, as messages and reports write it."""

    account: str
    con_id: str
    perm_id: str


class RowKeys(NamedTuple):
    """Hold keys of rows, and values of their indexes."""

    executions: set[str]
    roots: set[str]
    exec_ids: set[str]
    """Keys of executions and of fees."""
    filled: set[FilledOrder]


def row_keys(messages: Sequence[Sequence[str]]) -> RowKeys:
    """Return the rows that deciding the executions and fees among these messages will look up.

    An order without a permId has another key and is looked up alone, and so is one without a fill here.
    """
    found = RowKeys(set(), set(), set(), set())
    for fields in messages:
        kind = fields[0] if fields else ""
        if kind == Message.EXECUTION and (key := execution_key(fields)) is not None:
            account, exec_id = key
            found.executions.add(f"{account} {exec_id}")
            found.exec_ids.add(exec_id)
            if (root := root_text(account, exec_id)) is not None:
                found.roots.add(root)
            if len(fields) > ExecutionAt.PERM_ID:
                con_id, perm_id = fields[ExecutionAt.CON_ID], fields[ExecutionAt.PERM_ID]
                found.filled.add(FilledOrder(account, con_id, perm_id))
        elif kind == Message.FEE and len(fields) > FeeAt.EXEC_ID:
            found.exec_ids.add(fields[FeeAt.EXEC_ID])
    return found


def look_up(state: JournalState, messages: Sequence[Sequence[str]]) -> None:
    """Find out with one query which of the rows that many messages will ask for do not exist."""
    if len(messages) < _MANY:
        return
    keys = row_keys(messages)
    if len(keys.exec_ids) < _MANY:
        return
    state.look_up(EXECUTIONS, keys.executions)
    state.look_up(EXECUTIONS, keys.roots, "root")
    state.look_up(EXECUTIONS, keys.exec_ids, "exec_id")
    state.look_up(FEES, keys.exec_ids)
    look_up_orders(state, keys.filled)


def look_up_orders(state: JournalState, filled: Iterable[FilledOrder]) -> None:
    """Find out with one query for each table which rows of these orders do not exist."""
    found = {*filled}
    orders = {f"{each.perm_id}/0/0" for each in found}
    totals = {f"{each.account} {each.con_id} {each.perm_id}/0/0" for each in found}
    owners = {f"{each.account} {each.con_id} {each.perm_id}" for each in found}
    state.look_up(ORDERS, orders)
    state.look_up(TOTALS, totals)
    state.look_up(EXECUTIONS, totals, "orders")
    state.look_up(OWNERS, owners)
    state.look_up(WINDOWS, owners)
    state.look_up(ALERTS, orders, "orders")
