"""Deduplication: which frames of a connection say something new, and so belong in the journal.

Owns a bounded memory of the messages of this connection. It never drops the first copy of anything: in doubt
a duplicate is journalled, which the pump ignores.

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
from collections.abc import Callable, Mapping
from typing import Final

from tracker.core.journal_entries import Fields, execution_key
from tracker.core.message_fields import (
    ExecutionAt,
    FeeAt,
    Message,
    NoticeAt,
    OpenOrderAt,
    OrderStatusAt,
    field_at,
)
from tracker.core.model import CommissionReport, ExecutionKey
from tracker.gateway.normalise import read_fee

DATA_FARM_CODES: Final = frozenset({"2103", "2104", "2105", "2106", "2107", "2108", "2119", "2157", "2158"})
"""Codes of notices about market-data farms, which concern neither orders nor the link to IBKR's order
servers.
"""

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
    """Remember the messages of one connection; ids and contents are kept as hashes of 61 bits, not as text.

    `contains` and `newest_fee` ask the journal about earlier connections.
    """

    def __init__(
        self,
        contains: Callable[[ExecutionKey], bool],
        newest_fee: Callable[[str], CommissionReport | None] = lambda exec_id: None,
    ) -> None:
        self._contains = contains
        self._newest_fee = newest_fee
        self._judges: Final[Mapping[str, Callable[[Fields], bool]]] = {
            Message.EXECUTION: self._execution_is_new,
            Message.FEE: self._fee_is_new,
            Message.NOTICE: _is_no_data_farm,
            **dict.fromkeys(_ORDER_NAMED_BY, self._order_is_new),
        }
        self._last: dict[str, Fields] = {}
        """Message -> the last one of that kind about an order; copies of it often follow at once."""
        self._orders: OrderedDict[int, int] = OrderedDict()
        """(message, ids of the order) -> the last content of that message for that order."""
        self._executions: OrderedDict[int, int] = OrderedDict()
        """(account, execId) -> the last content; for executions that the journal cannot read."""
        self._fees: set[int] = set()

    def is_new(self, fields: Fields) -> bool:
        """Return True for a message that must be journalled, and remember it; False for a duplicate."""
        message = fields[0] if fields else ""
        judge = self._judges.get(message)
        return message in _ALWAYS if judge is None else judge(fields)

    def forget_orders(self) -> None:
        """Journal the next answer about open orders as a whole, so that it can be read as a snapshot."""
        self._orders.clear()
        self._last.clear()

    def _execution_is_new(self, fields: Fields) -> bool:
        key = execution_key(fields)
        if key is not None and self._contains(key):
            return False
        # The request id does not count as content. Without this memory an unreadable execution would be
        # journalled again by every sweep.
        content = fields[ExecutionAt.REQUEST + 1 :]
        return _differs(self._executions, hash(key or content), hash(content), _EXECUTIONS_KEPT)

    def _fee_is_new(self, fields: Fields) -> bool:
        # Sweeps repeat every fee report. A report that changes back to an earlier content counts as a
        # duplicate until the next connection; detecting that would need a dict per execId, with twice the
        # memory.
        content = hash(fields)
        if content in self._fees:
            return False
        if len(self._fees) >= _FEES_KEPT:
            self._fees.clear()
        self._fees.add(content)
        # Messages of earlier connections are in the journal, not in this memory.
        known = self._newest_fee(field_at(fields, FeeAt.EXEC_ID) or "")
        return known is None or read_fee(fields) != known

    def _order_is_new(self, fields: Fields) -> bool:
        message = fields[0]
        if self._last.get(message) is fields:
            # The framing returns a copy as the same object; no other message about this order came in
            # between.
            return False
        self._last[message] = fields
        names = [field_at(fields, place) or "" for place in _ORDER_NAMED_BY[message]]
        return _differs(self._orders, hash((message, *names)), hash(fields), _ORDERS_KEPT)


def _is_no_data_farm(fields: Fields) -> bool:
    return field_at(fields, NoticeAt.CODE) not in DATA_FARM_CODES


def _differs(memory: OrderedDict[int, int], key: int, content: int, limit: int) -> bool:
    if memory.get(key) == content:
        memory.move_to_end(key)
        return False
    memory[key] = content
    memory.move_to_end(key)
    if len(memory) > limit:
        memory.popitem(last=False)
    return True
