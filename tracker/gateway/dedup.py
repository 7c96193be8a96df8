"""Deduplication: which frames of a connection say something new, and so belong in the journal.

Owns the memory of what this connection has brought, bounded whatever the gateway repeats. It never drops the
first copy of anything: in doubt a duplicate is journalled, which the pump bears.

| message | a duplicate is |
|---|---|
| execution (11) | contained in the journal in readable form, or the same as its last copy |
| fee (59) | the same as an earlier copy, or as the newest report in the journal |
| order status, open order (3, 5) | the same as the last copy for that order |
| notice (4) | never; but notices about market-data farms are not journalled |
| positions, completed orders, ends, the broker's time | never |
| any other | always: it is not journalled |
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from tracker.core.journal_entries import (
    ExecutionAt,
    Fields,
    Message,
    NoticeAt,
    OpenOrderAt,
    OrderStatusAt,
    execution_key,
    field_at,
)
from tracker.core.model import CommissionReport
from tracker.gateway.normalise import read_fee

DATA_FARM_CODES: Final = frozenset({"2103", "2104", "2105", "2106", "2107", "2108", "2119", "2157", "2158"})
"""Notices about market-data farms, which concern neither orders nor the link to IBKR's order servers."""

_ALWAYS: Final = frozenset(
    {
        *(Message.OPEN_ORDERS_END, Message.EXECUTIONS_END, Message.POSITION, Message.POSITIONS_END),
        *(Message.COMPLETED_ORDER, Message.COMPLETED_ORDERS_END, Message.CURRENT_TIME),
    }
)
_ORDER_NAMED_BY: Final = {
    Message.ORDER_STATUS: (OrderStatusAt.ORDER_ID, OrderStatusAt.PERM_ID, OrderStatusAt.CLIENT_ID),
    Message.OPEN_ORDER: (OpenOrderAt.ORDER_ID, OpenOrderAt.CLIENT_ID, OpenOrderAt.PERM_ID),
}
_ORDERS_KEPT: Final = 5_000
_EXECUTIONS_KEPT: Final = 2_000
_FEES_KEPT: Final = 500_000


class Deduplicator:
    """Remember what one connection brought; ids and contents are kept as hashes of 61 bits, not as text.

    `contains` and `contains_fee` ask the journal, for what an earlier connection brought.
    """

    def __init__(
        self,
        contains: Callable[[str, str], bool],
        contains_fee: Callable[[CommissionReport], bool] = lambda fee: False,
    ) -> None:
        self._contains = contains
        self._contains_fee = contains_fee
        self._orders: OrderedDict[int, int] = OrderedDict()
        """(message, ids of the order) -> the last content of that message for that order."""
        self._executions: OrderedDict[int, int] = OrderedDict()
        """(account, execId) -> the last content; for executions that the journal cannot read."""
        self._fees: set[int] = set()

    def is_new(self, fields: Fields) -> bool:
        """Return True for what is to be journalled, and remember it; False for a duplicate."""
        message = fields[0] if fields else ""
        if message == Message.EXECUTION:
            return self._execution_is_new(fields)
        if message == Message.FEE:
            return self._fee_is_new(fields)
        if message in _ORDER_NAMED_BY:
            names = tuple(field_at(fields, place) or "" for place in _ORDER_NAMED_BY[message])
            return self._order_is_new((message, *names), fields)
        if message == Message.NOTICE:
            return field_at(fields, NoticeAt.CODE) not in DATA_FARM_CODES
        return message in _ALWAYS

    def forget_orders(self) -> None:
        """Let the next open-order answer be journalled whole, so that it can be read as a snapshot."""
        self._orders.clear()

    def _execution_is_new(self, fields: Fields) -> bool:
        key = execution_key(fields)
        if key is not None and self._contains(*key):
            return False
        # The request that it answers is not part of its content. Without this memory an execution that nobody
        # can read would be journalled again by every sweep.
        content = fields[ExecutionAt.REQUEST + 1 :]
        return _differs(self._executions, hash(key or content), hash(content), _EXECUTIONS_KEPT)

    def _fee_is_new(self, fields: Fields) -> bool:
        # Sweeps repeat every fee report. A report that returned to an earlier content would be taken for a
        # duplicate until the next connection; a dict per execId would cost twice the memory to tell.
        content = hash(fields)
        if content in self._fees:
            return False
        if len(self._fees) >= _FEES_KEPT:
            self._fees.clear()
        self._fees.add(content)
        # What an earlier connection brought is in the journal, not in this memory.
        fee = read_fee(fields)
        return fee is None or not self._contains_fee(fee)

    def _order_is_new(self, key: Fields, fields: Fields) -> bool:
        return _differs(self._orders, hash(key), hash(fields), _ORDERS_KEPT)


def _differs(memory: OrderedDict[int, int], key: int, content: int, limit: int) -> bool:
    if memory.get(key) == content:
        memory.move_to_end(key)
        return False
    memory[key] = content
    memory.move_to_end(key)
    if len(memory) > limit:
        memory.popitem(last=False)
    return True
