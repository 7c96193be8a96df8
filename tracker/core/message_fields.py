"""The fields by which a TWS message names its subject, before it is decoded.

Owns the numbers of messages and the places of the fields by which executions, fees and orders are
distinguished. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final


class Message:
    """Name the TWS messages that the tracker reads, by field 0."""

    ORDER_STATUS: Final = "3"
    NOTICE: Final = "4"
    OPEN_ORDER: Final = "5"
    EXECUTION: Final = "11"
    CURRENT_TIME: Final = "49"
    OPEN_ORDERS_END: Final = "53"
    EXECUTIONS_END: Final = "55"
    FEE: Final = "59"
    POSITION: Final = "61"
    POSITIONS_END: Final = "62"
    COMPLETED_ORDER: Final = "101"
    COMPLETED_ORDERS_END: Final = "102"


class ExecutionAt:
    """Place the fields of message 11 that identify an execution, its order and what it answers."""

    REQUEST: Final = 1
    ORDER_ID: Final = 2
    CON_ID: Final = 3
    EXEC_ID: Final = 14
    TIME: Final = 15
    ACCOUNT: Final = 16
    PERM_ID: Final = 21
    CLIENT_ID: Final = 22


class FeeAt:
    """Place the field of message 59 that names the execution."""

    EXEC_ID: Final = 2


class OrderStatusAt:
    """Place the fields of message 3 that identify an order."""

    ORDER_ID: Final = 1
    PERM_ID: Final = 6
    CLIENT_ID: Final = 9


class OpenOrderAt:
    """Place the fields of message 5 that identify an order."""

    ORDER_ID: Final = 1
    CON_ID: Final = 2
    CLIENT_ID: Final = 24
    PERM_ID: Final = 25


class NoticeAt:
    """Place the fields of message 4."""

    REQUEST: Final = 2
    CODE: Final = 3


class ExecutionsEndAt:
    """Place the field of message 55 that names the request."""

    REQUEST: Final = 2


PUSHED: Final = "-1"
"""The request of an execution that answers none."""


def field_at(fields: Sequence[str], place: int) -> str | None:
    """Return one field of a message, None where the message is too short to have it."""
    return fields[place] if place < len(fields) else None
