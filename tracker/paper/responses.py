"""The gateway's answer to each request.

Owns the table from message id to answer. It parses with `decode_requests` and reads the book; `order_rules`
does whatever changes an order. What it cannot serve it refuses with an error; no request raises an exception.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from tracker.paper import decode_requests, encode_messages, encode_orders, notices, order_rules, profits
from tracker.paper.account_values import account_values
from tracker.paper.broadcast import Broadcaster
from tracker.paper.connection import Connection
from tracker.paper.decode_requests import Cursor, RequestError
from tracker.paper.framing import Fields
from tracker.paper.model import PaperOrder
from tracker.paper.order_engine import OrderEngine
from tracker.paper.unsupported import EMPTY, QUIET, REFUSED, refusal

_log = logging.getLogger(__name__)

Handle: TypeAlias = Callable[[Broadcaster, Connection, Fields], Iterable[Fields]]
TradeHandle: TypeAlias = Callable[[OrderEngine, Connection, Fields], Iterable[Fields]]

MAX_CLIENT_ID: Final = 2**31 - 1
MAX_SUBSCRIPTIONS: Final = 50
"""How many position or account subscriptions one client may hold."""


def answer(engine: OrderEngine, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Return the messages that answer a request; it is carried out as the iterator is read."""
    hub = engine.broadcast
    hub.on_request(connection, fields)
    kind = fields[0]
    if connection.client_id is None and kind != "71":
        _log.info("paper gateway: a request %r came before startApi and is ignored", kind[:12])
        return
    if kind in {str(number) for number in hub.faults.ignored_requests}:
        return
    try:
        if kind in _TABLE:
            yield from _TABLE[kind](hub, connection, fields)
        elif kind in _TRADING:
            yield from _TRADING[kind](engine, connection, fields)
        elif kind not in QUIET:
            if kind not in EMPTY:
                raise refusal(fields)
            yield EMPTY[kind](fields)
    except RequestError as error:
        hub.refused[kind if kind in _TABLE or kind in _TRADING or kind in REFUSED else "?"] += 1
        _log.info("paper gateway: client %s: request %r refused: %s", connection.client_id, kind[:12], error)
        if kind in _TRADING:
            hub.tell(f"client {connection.client_id}, request {error.request_id} refused: {error.text}")
        yield encode_messages.error(error.request_id, error.code, error.text, connection.version)


def start_api(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Log a client in (71): send 15, 9 and the farm notices; 326 and the end where its id is taken."""
    cursor = Cursor(fields)
    cursor.skip(1)
    client_id = cursor.integer()
    if connection.client_id is not None:
        raise RequestError(321, "Error validating request.-'b' : cause - The API was started already.")
    taken = any(other.client_id == client_id for other in hub.ready() if other is not connection)
    if not 0 <= client_id <= MAX_CLIENT_ID or taken or hub.faults.refuse_client_id:
        connection.hang_up = True
        raise RequestError(326, notices.CLIENT_ID_IN_USE)
    connection.client_id = client_id
    hub.arrived.set()
    hub.tell(f"client {client_id} is connected, protocol version {connection.version}")
    yield encode_messages.managed_accounts(hub.book.accounts)
    yield encode_messages.next_valid_id(hub.book.next_order_id(client_id))
    for code, text in notices.START_UP:
        yield encode_messages.error(-1, code, text, connection.version)


def next_id(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqIds (8)."""
    yield encode_messages.next_valid_id(hub.book.next_order_id(connection.client_id or 0))


def current_time(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqCurrentTime (49)."""
    yield encode_messages.current_time(int(hub.now().timestamp()))


def managed_accounts(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqManagedAccts (17)."""
    yield encode_messages.managed_accounts(hub.book.accounts)


def open_orders(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqOpenOrders (5): the client's own; client 0 also has the manual ones bound."""
    _refuse_read_only(hub)
    if connection.client_id == 0:
        _bind_all(hub)
    yield from _orders(hub, connection, [o for o in hub.book.open_orders() if hub.owns(connection, o)])


def all_open_orders(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqAllOpenOrders (16): everybody's, once; it binds nothing."""
    yield from _orders(hub, connection, hub.book.open_orders())


def auto_open_orders(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Handle reqAutoOpenOrders (15): only client 0 may have manual orders bound; there is no answer."""
    cursor = Cursor(fields)
    cursor.skip(1)
    wanted = cursor.flag()
    if connection.client_id != 0:
        raise RequestError(
            321, "Error validating request.-'ck' : cause - Only client 0 may bind manual orders."
        )
    _refuse_read_only(hub)
    connection.binds = wanted
    if wanted:
        _bind_all(hub)
    return iter(())


def executions(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqExecutions (7): the day's, of all clients; fees of its own ones, for the master of all."""
    wanted = decode_requests.execution_filter(fields, hub.book.zone)
    found = [execution for execution in hub.book.today(hub.now()) if wanted.takes(execution)]
    for execution in found:
        yield from hub.execution_messages(execution, wanted.request_id, connection.version)
    for execution in found:
        fee = hub.book.fees.get(execution.exec_id)
        if fee is not None and (hub.is_master(connection) or hub.owns(connection, execution)):
            yield encode_messages.commission_report(fee)
    if not hub.faults.withhold_exec_end:
        yield encode_messages.executions_end(wanted.request_id)


def completed_orders(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqCompletedOrders (99): the day's; apiOnly leaves out manual ones."""
    _refuse_read_only(hub)
    api_only = Cursor(fields).flag()
    hub.book.roll(hub.now())
    for order in hub.book.completed_orders():
        if not (api_only and order.manual):
            yield encode_orders.completed_order(order, hub.completed_time(order), connection.version)
    if not hub.faults.withhold_completed_end:
        yield encode_messages.completed_orders_end()


def positions(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqPositions (61), and push changes from then on."""
    connection.wants_positions = True
    for held in hub.positions():
        if held.quantity:
            yield encode_messages.position(held)
    if not hub.faults.withhold_position_end:
        yield encode_messages.position_end()


def cancel_positions(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Handle cancelPositions (64)."""
    connection.wants_positions = False
    return iter(())


def positions_multi(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqPositionsMulti (74), and push changes from then on."""
    cursor = Cursor(fields)
    cursor.skip(1)
    request_id = cursor.for_request()
    account = _account(hub, cursor, request_id)
    if len(connection.position_requests) >= MAX_SUBSCRIPTIONS:
        raise RequestError(322, "Error processing request. Too many position requests.", request_id)
    connection.position_requests[request_id] = account
    for held in hub.positions():
        if held.quantity and account in ("", held.account):
            yield encode_messages.position_multi(held, request_id)
    yield encode_messages.position_multi_end(request_id)


def cancel_positions_multi(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Handle cancelPositionsMulti (75)."""
    cursor = Cursor(fields)
    cursor.skip(1)
    connection.position_requests.pop(cursor.for_request(), None)
    return iter(())


def account_updates(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqAccountUpdates (6); changes of positions are pushed until it is switched off."""
    cursor = Cursor(fields)
    cursor.skip(1)
    subscribe = cursor.flag()
    account = _account(hub, cursor, -1) or hub.book.accounts[0]
    connection.account_updates = account if subscribe else ""
    if not subscribe:
        return
    for line in account_values(hub.book, account):
        yield encode_messages.account_value(account, line.tag, line.value, line.currency)
    for held in hub.positions():
        if held.account == account and held.quantity:
            yield encode_messages.portfolio_value(held, held.last_price)
    yield encode_messages.account_update_time(f"{hub.now().astimezone(hub.book.zone):%H:%M}")
    yield encode_messages.account_download_end(account)


def account_updates_multi(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqAccountUpdatesMulti (76)."""
    cursor = Cursor(fields)
    cursor.skip(1)
    request_id = cursor.for_request()
    account = _account(hub, cursor, request_id)
    model = cursor.text()
    for name in (account,) if account else hub.book.accounts:
        for line in account_values(hub.book, name):
            yield encode_messages.account_update_multi(
                request_id, name, model, line.tag, line.value, line.currency
            )
    yield encode_messages.account_update_multi_end(request_id)


def account_summary(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqAccountSummary (62); an unknown group is refused, `All` is every account."""
    cursor = Cursor(fields)
    cursor.skip(1)
    request_id = cursor.for_request()
    group, tags = cursor.text(), set(cursor.text().split(","))
    if group != "All":
        raise RequestError(
            322, f"Error processing request.-'cd' : cause - No group {group[:40]}.", request_id
        )
    everything = any(tag.startswith("$LEDGER") for tag in tags)
    for account in hub.book.accounts:
        for line in account_values(hub.book, account):
            if everything or line.tag in tags:
                yield encode_messages.account_summary(
                    request_id, account, line.tag, line.value, line.currency
                )
    yield encode_messages.account_summary_end(request_id)


def _account(hub: Broadcaster, cursor: Cursor, request_id: int) -> str:
    account = cursor.text()
    if account and account not in hub.book.accounts:
        raise RequestError(
            322, f"Error processing request.-'b' : cause - Invalid account {account[:20]}.", request_id
        )
    return account


def _refuse_read_only(hub: Broadcaster, request_id: int = -1) -> None:
    if hub.rules.read_only:
        raise RequestError(321, notices.READ_ONLY, request_id)


def _bind_all(hub: Broadcaster) -> None:
    for order in hub.book.open_orders():
        if order.manual and not order.order_id:
            hub.bind(order)


def _orders(hub: Broadcaster, connection: Connection, orders: Iterable[PaperOrder]) -> Iterator[Fields]:
    for order in orders:
        if order.announced:
            yield from hub.messages_of_order(order, connection.version)
    if not hub.faults.withhold_open_order_end:
        yield encode_messages.open_order_end()


_TABLE: Final[dict[str, Handle]] = {
    "5": open_orders,
    "6": account_updates,
    "7": executions,
    "8": next_id,
    "15": auto_open_orders,
    "16": all_open_orders,
    "17": managed_accounts,
    "49": current_time,
    "61": positions,
    "62": account_summary,
    "64": cancel_positions,
    "71": start_api,
    "74": positions_multi,
    "75": cancel_positions_multi,
    "76": account_updates_multi,
    **dict.fromkeys(("92", "94"), profits.subscribe),
    **dict.fromkeys(("93", "95"), profits.cancel),
    "99": completed_orders,
}

_TRADING: Final[dict[str, TradeHandle]] = {
    "3": order_rules.place_order,
    "4": order_rules.cancel_order,
    "9": order_rules.contract_details,
    "58": order_rules.global_cancel,
    "81": order_rules.matching_symbols,
}
