"""The answers and pushes of a recorded gateway at each point of its recording.

Owns the state that the recording has shown so far: executions, fees, orders, positions, completed orders.
Pure: the lines of one client go in one by one, pushes come out, and any client's request is answered from the
state. An answer to the recorded client is not pushed to clients that did not ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from tracker.core.journal_entries import Fields, execution_key
from tracker.core.message_fields import (
    PUSHED,
    ExecutionAt,
    FeeAt,
    Message,
    NoticeAt,
    OpenOrderAt,
    OrderStatusAt,
    field_at,
)
from tracker.core.model import ExecutionKey
from tracker.recordings.transcript import CLIENT, GATEWAY, Line, Said

POSITIONS: Final = "61"
EXECUTIONS: Final = "7"
OPEN_ORDERS: Final = "16"
OWN_ORDERS: Final = "5"
COMPLETED_ORDERS: Final = "99"
ENDS: Final = {
    Message.POSITIONS_END: (POSITIONS,),
    Message.EXECUTIONS_END: (EXECUTIONS,),
    Message.OPEN_ORDERS_END: (OPEN_ORDERS, OWN_ORDERS),
    Message.COMPLETED_ORDERS_END: (COMPLETED_ORDERS,),
}
"""Message that ends an answer -> the requests that it may answer."""
_DONE: Final = frozenset({"Filled", "Cancelled", "ApiCancelled"})
_ANSWERED: Final = {"9": (2, "10", 1, "52"), "62": (2, "63", 2, "64"), "76": (2, "73", 2, "74")}
"""Request -> the place of its id, its answer, the place of the id in that, and the end of the answer."""
ACCOUNT_UPDATES: Final = "6"
_EMPTY: Final[dict[str, Callable[[str], Fields]]] = {
    "62": lambda request: ("64", "1", request),
    "74": lambda request: ("72", "1", request),
    "76": lambda request: ("74", "1", request),
}
"""Request -> the answer that lists nothing."""


class RecordedGateway:
    """Follow the lines of one recorded client."""

    def __init__(self, lines: Iterable[Line]) -> None:
        """Read all lines, for the answers that are given as they were recorded."""
        self._answers = dict(_recorded_answers(lines))
        self._executions: dict[ExecutionKey, Fields] = {}
        self._fees: dict[str, Fields] = {}
        self._pushed: set[str] = set()
        """execIds that were pushed, whose fees are pushed too."""
        self._orders: dict[str, Fields] = {}
        self._statuses: dict[str, Fields] = {}
        self._positions: dict[Fields, Fields] = {}
        self._completed: dict[str, Fields] = {}
        self._values: dict[Fields, Fields] = {}
        """The latest messages about the account's values and holdings."""
        self._asked: set[str] = set()
        """Requests of the recorded client whose answer has not ended."""
        self._listed: dict[Fields, Fields] = {}
        """Positions that the unfinished answer has listed."""

    def apply(self, line: Line) -> Iterator[Fields]:
        """Read one line; yields the messages that the gateway pushed."""
        if not isinstance(line, Said) or line.blocked:
            return
        fields, kind = line.fields, line.fields[0]
        if line.by == CLIENT:
            self._asked.add(kind)
            if kind == POSITIONS:
                self._listed = {}
        elif kind in ENDS:
            self._asked -= {*ENDS[kind]}
            if kind == Message.POSITIONS_END:
                self._positions = self._listed
        elif self._is_push(fields):
            yield fields

    def _is_push(self, fields: Fields) -> bool:
        """Put a message into the state; return whether it was pushed, and no answer."""
        match fields[0]:
            case Message.EXECUTION:
                return self._execution(fields)
            case Message.FEE:
                exec_id = field_at(fields, FeeAt.EXEC_ID) or ""
                news = self._fees.get(exec_id) != fields
                self._fees[exec_id] = fields
                return news and exec_id in self._pushed
            case Message.OPEN_ORDER:
                return self._order(self._orders, fields, OpenOrderAt.PERM_ID, OpenOrderAt.ORDER_ID)
            case Message.ORDER_STATUS:
                return self._order(self._statuses, fields, OrderStatusAt.PERM_ID, OrderStatusAt.ORDER_ID)
            case Message.POSITION:
                self._positions[fields[2:4]] = self._listed[fields[2:4]] = fields
                return POSITIONS not in self._asked
            case Message.COMPLETED_ORDER:
                self._completed[field_at(fields, 23) or ""] = fields
                return False
            case "6" | "7":
                # The key of a value is all fields but the value itself; the account is last.
                named = (fields[0], fields[2], *fields[4:]) if fields[0] == "6" else (*fields[:3], fields[-1])
                self._values[named] = fields
                return False
            case Message.NOTICE:
                return field_at(fields, NoticeAt.REQUEST) == PUSHED
        return False

    def _execution(self, fields: Fields) -> bool:
        key = execution_key(fields)
        if key is None:
            return False
        self._executions[key] = fields
        live = fields[ExecutionAt.REQUEST] == PUSHED
        if live:
            self._pushed.add(key.exec_id)
        return live

    def _order(self, orders: dict[str, Fields], fields: Fields, perm_at: int, order_at: int) -> bool:
        perm_id = field_at(fields, perm_at)
        key = perm_id if perm_id not in (None, "0") else f"order {field_at(fields, order_at)}"
        before, orders[key] = orders.get(key), fields
        if not self._asked & {OPEN_ORDERS, OWN_ORDERS}:
            return True
        # Within an answer, only a change of a known order can be a push.
        return before is not None and before != fields

    # Answers to any client

    def answer(self, fields: Fields) -> list[Fields] | None:
        """Return the answer to a request, None where the recording has none."""
        kind = fields[0]
        if kind == POSITIONS:
            held = [one for one in self._positions.values() if field_at(one, 14) not in ("0", "0.0")]
            return [*held, (Message.POSITIONS_END, "1")]
        if kind == EXECUTIONS:
            return self._list_executions(fields)
        if kind in (OPEN_ORDERS, OWN_ORDERS):
            return [*self._open_orders(), (Message.OPEN_ORDERS_END, "1")]
        if kind == COMPLETED_ORDERS:
            return [*self._completed.values(), (Message.COMPLETED_ORDERS_END,)]
        if kind == ACCOUNT_UPDATES:
            account = field_at(fields, 3) or ""
            mine = [one for one in self._values.values() if not account or one[-1] == account]
            return [*mine, ("54", "1", account)]
        asked = _without_id(fields)
        if asked is None or asked not in self._answers:
            request = field_at(fields, 2) or ""
            return [_EMPTY[kind](request)] if kind in _EMPTY else None
        at, _, answer_at, end = _ANSWERED[kind]
        return [
            _with_id(each, 2 if each[0] == end else answer_at, fields[at]) for each in self._answers[asked]
        ]

    def _list_executions(self, fields: Fields) -> list[Fields]:
        request, account = field_at(fields, 2) or "", field_at(fields, 4)
        found = [one for key, one in self._executions.items() if account in ("", None, key.account)]
        fees = [self._fees.get(one[ExecutionAt.EXEC_ID]) for one in found]
        return [
            *(_with_id(one, ExecutionAt.REQUEST, request) for one in found),
            *(fee for fee in fees if fee is not None),
            (Message.EXECUTIONS_END, "1", request),
        ]

    def _open_orders(self) -> Iterator[Fields]:
        for key, order in self._orders.items():
            status = self._statuses.get(key)
            if status is None:
                yield order
            elif field_at(status, 2) not in _DONE:
                yield order
                yield status


def _recorded_answers(lines: Iterable[Line]) -> Iterator[tuple[Fields, list[Fields]]]:
    """Yield each request of the recorded client with its whole answer."""
    open_requests: dict[tuple[str, str], tuple[Fields, list[Fields]]] = {}
    for line in lines:
        if not isinstance(line, Said) or line.blocked:
            continue
        asked = _without_id(line.fields) if line.by == CLIENT else None
        if asked is not None:
            at, answer, _, _ = _ANSWERED[line.fields[0]]
            open_requests[answer, line.fields[at]] = (asked, [])
        elif line.by == GATEWAY:
            for _, answer, answer_at, end in _ANSWERED.values():
                place = 2 if line.fields[0] == end else answer_at
                found = open_requests.get((answer, field_at(line.fields, place) or ""))
                if found is None or line.fields[0] not in (answer, end):
                    continue
                found[1].append(line.fields)
                if line.fields[0] == end:
                    yield found


def _without_id(fields: Fields) -> Fields | None:
    """Return a request without its id; None for a kind whose answers are not given as recorded."""
    known = _ANSWERED.get(fields[0])
    if known is None or len(fields) <= known[0]:
        return None
    return fields[: known[0]] + fields[known[0] + 1 :]


def _with_id(fields: Fields, place: int, request: str) -> Fields:
    return (*fields[:place], request, *fields[place + 1 :])
