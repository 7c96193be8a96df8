"""Profit and loss of an account or of one position, sent once a second until it is cancelled.

Owns the subscriptions and their arithmetic. The day's profit is the unrealized profit of what is held plus
the realized profit of the day's closing executions.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from tracker.paper import encode_messages
from tracker.paper.book import Book
from tracker.paper.broadcast import Broadcaster
from tracker.paper.connection import Connection
from tracker.paper.decode_requests import Cursor, RequestError
from tracker.paper.framing import Fields
from tracker.paper.model import ZERO

PERIOD_SECONDS: Final = 1.0
MOST_SUBSCRIPTIONS: Final = 50


def subscribe(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Handle reqPnL (92) or reqPnLSingle (94)."""
    cursor = Cursor(fields)
    request_id = cursor.for_request()
    account, _ = cursor.texts(2)
    con_id = cursor.integer() if fields[0] == "94" else 0
    if account not in hub.book.accounts or len(connection.profit_requests) >= MOST_SUBSCRIPTIONS:
        text = f"Error processing request. {account[:20]} is unknown, or there are too many requests."
        raise RequestError(322, text, request_id)
    connection.profit_requests[request_id] = (account, con_id)
    yield _message(hub.book, request_id, account, con_id)
    hub.call_later(PERIOD_SECONDS, lambda: _push(hub, connection, request_id, (account, con_id)))


def cancel(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Handle cancelPnL (93) or cancelPnLSingle (95)."""
    connection.profit_requests.pop(Cursor(fields).for_request(), None)
    return iter(())


def _push(hub: Broadcaster, connection: Connection, request_id: int, wanted: tuple[str, int]) -> None:
    if not connection.ready or connection.profit_requests.get(request_id) != wanted:
        return
    connection.push(_message(hub.book, request_id, *wanted))
    hub.call_later(PERIOD_SECONDS, lambda: _push(hub, connection, request_id, wanted))


def _message(book: Book, request_id: int, account: str, con_id: int) -> Fields:
    held = [
        one
        for one in book.positions.values()
        if one.account == account and con_id in (0, one.contract.con_id)
    ]
    values = [one.quantity * one.last_price * one.contract.factor for one in held]
    unrealized = sum(
        (value - one.quantity * one.average_cost for value, one in zip(values, held, strict=True)), ZERO
    )
    realized = sum((one.realized for one in held), ZERO)
    daily = unrealized + realized
    if not con_id:
        return encode_messages.profit(request_id, daily, unrealized, realized)
    quantity, value = sum((one.quantity for one in held), ZERO), sum(values, Decimal(0))
    return encode_messages.profit_single(request_id, quantity, daily, unrealized, realized, value)
