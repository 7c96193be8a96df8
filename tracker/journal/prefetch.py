"""Which rows a packet's messages will ask for, so that one query finds out about all of them.

Pure: it reads fields as they came and makes row keys. A key that it gets wrong costs a query later, no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from tracker.core.journal_entries import (
    ExecutionAt,
    FeeAt,
    Message,
    OpenOrderAt,
    OrderStatusAt,
    execution_key,
)
from tracker.core.state_rows import root_text

_PERM_ID_AT: Final = {
    Message.EXECUTION: ExecutionAt.PERM_ID,
    Message.OPEN_ORDER: OpenOrderAt.PERM_ID,
    Message.ORDER_STATUS: OrderStatusAt.PERM_ID,
}


class RowKeys(NamedTuple):
    """Hold the keys of rows, and values of their indexes."""

    executions: set[str]
    roots: set[str]
    exec_ids: set[str]
    """Those of executions and of fees."""
    orders: set[str]
    totals: set[str]
    fills: int
    """How many executions and fees there are."""


def row_keys(messages: Sequence[Sequence[str]]) -> RowKeys:
    """Return what deciding these messages will look up.

    Orders without a permId are left out: few are, and they have another key.
    """
    found = RowKeys(set(), set(), set(), set(), set(), 0)
    fills = 0
    for fields in messages:
        kind = fields[0] if fields else ""
        perm_id_at = _PERM_ID_AT.get(kind)
        if perm_id_at is not None and len(fields) > perm_id_at:
            order = f"{fields[perm_id_at]}/0/0"
            found.orders.add(order)
        else:
            order = ""
        if kind == Message.EXECUTION and (key := execution_key(fields)) is not None:
            fills += 1
            found.executions.add(f"{key.account} {key.exec_id}")
            found.exec_ids.add(key.exec_id)
            root = root_text(*key)
            if root is not None:
                found.roots.add(root)
            if order:
                found.totals.add(f"{key.account} {fields[ExecutionAt.CON_ID]} {order}")
        elif kind == Message.FEE and len(fields) > FeeAt.EXEC_ID:
            fills += 1
            found.exec_ids.add(fields[FeeAt.EXEC_ID])
    return found._replace(fills=fills)
