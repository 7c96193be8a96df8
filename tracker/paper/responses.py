"""What the gateway answers to each request.

Owns the table from message id to answer. It parses with `requests`, reads the book, and lets `trading` do
whatever changes an order. Everything it cannot serve is refused with an error; nothing a client sends raises.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from tracker.paper import decode_requests, encode_messages, encode_orders, notices, order_rules
from tracker.paper.account_values import account_values
from tracker.paper.broadcast import Floor
from tracker.paper.connection import Connection
from tracker.paper.decode_requests import Cursor, RequestError
from tracker.paper.framing import Fields
from tracker.paper.model import PaperOrder
from tracker.paper.order_engine import Desk
from tracker.paper.unsupported import QUIET, REFUSED, refusal

_log = logging.getLogger(__name__)

Handle: TypeAlias = Callable[[Floor, Connection, Fields], Iterable[Fields]]
TradeHandle: TypeAlias = Callable[[Desk, Connection, Fields], Iterable[Fields]]

MAX_CLIENT_ID: Final = 2**31 - 1
MAX_SUBSCRIPTIONS: Final = 50
"""How many position or account subscriptions one client may hold."""


def answer(desk: Desk, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Return what a client gets for a request, once the answer is read to its end."""
    floor = desk.floor
    floor.heard(connection, fields)
    kind = fields[0]
    if connection.client_id is None and kind != "71":
        _log.info("paper gateway: a request %r came before startApi and is ignored", kind[:12])
        return
    if kind in {str(number) for number in floor.faults.ignored_requests}:
        return
    try:
        if kind in _TABLE:
            yield from _TABLE[kind](floor, connection, fields)
        elif kind in _TRADING:
            yield from _TRADING[kind](desk, connection, fields)
        elif kind not in QUIET:
            raise refusal(fields)
    except RequestError as error:
        floor.refused[kind if kind in _TABLE or kind in _TRADING or kind in REFUSED else "?"] += 1
        _log.info("paper gateway: client %s: request %r refused: %s", connection.client_id, kind[:12], error)
        yield encode_messages.error(error.request_id, error.code, error.text, connection.version)


def start_api(floor: Floor, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Let a client in (71): 15, 9 and the farm notices; 326 and the end where its id is taken."""
    cursor = Cursor(fields)
    cursor.skip(1)
    client_id = cursor.integer()
    if connection.client_id is not None:
        raise RequestError(321, "Error validating request.-'b' : cause - The API was started already.")
    taken = any(other.client_id == client_id for other in floor.ready() if other is not connection)
    if not 0 <= client_id <= MAX_CLIENT_ID or taken or floor.faults.refuse_client_id:
        connection.hang_up = True
        raise RequestError(326, notices.CLIENT_ID_IN_USE)
    connection.client_id = client_id
    floor.arrived.set()
    yield encode_messages.managed_accounts(floor.book.accounts)
    yield encode_messages.next_valid_id(floor.book.next_order_id(client_id))
    for code, text in notices.START_UP:
        yield encode_messages.error(-1, code, text, connection.version)


def next_id(floor: Floor, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqIds (8)."""
    yield encode_messages.next_valid_id(floor.book.next_order_id(connection.client_id or 0))


def current_time(floor: Floor, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqCurrentTime (49)."""
    yield encode_messages.current_time(int(floor.now().timestamp()))


def managed_accounts(floor: Floor, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqManagedAccts (17)."""
    yield encode_messages.managed_accounts(floor.book.accounts)


def open_orders(floor: Floor, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqOpenOrders (5): the client's own; client 0 also has the manual ones bound."""
    _refuse_read_only(floor)
    if connection.client_id == 0:
        _bind_all(floor)
    yield from _orders(floor, connection, [o for o in floor.book.open_orders() if floor.owns(connection, o)])


def all_open_orders(floor: Floor, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqAllOpenOrders (16): everybody's, once; it binds nothing."""
    yield from _orders(floor, connection, floor.book.open_orders())


def auto_open_orders(floor: Floor, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Take reqAutoOpenOrders (15): only client 0 may have manual orders bound; there is no answer."""
    cursor = Cursor(fields)
    cursor.skip(1)
    wanted = cursor.flag()
    if connection.client_id != 0:
        raise RequestError(
            321, "Error validating request.-'ck' : cause - Only client 0 may bind manual orders."
        )
    _refuse_read_only(floor)
    connection.binds = wanted
    if wanted:
        _bind_all(floor)
    return iter(())


def executions(floor: Floor, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqExecutions (7): the day's, of all clients; fees only of its own, the master gets all."""
    wanted = decode_requests.execution_filter(fields, floor.book.zone)
    found = [execution for execution in floor.book.today(floor.now()) if wanted.takes(execution)]
    for execution in found:
        yield from floor.execution_messages(execution, wanted.request_id, connection.version)
    for execution in found:
        fee = floor.book.fees.get(execution.exec_id)
        if fee is not None and (floor.is_master(connection) or floor.owns(connection, execution)):
            yield encode_messages.commission_report(fee)
    if not floor.faults.withhold_exec_end:
        yield encode_messages.executions_end(wanted.request_id)


def completed_orders(floor: Floor, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqCompletedOrders (99): the day's; apiOnly leaves out manual ones."""
    _refuse_read_only(floor)
    api_only = Cursor(fields).flag()
    floor.book.roll(floor.now())
    for order in floor.book.completed_orders():
        if not (api_only and order.manual):
            yield encode_orders.completed_order(order, floor.completed_time(order), connection.version)
    if not floor.faults.withhold_completed_end:
        yield encode_messages.completed_orders_end()


def positions(floor: Floor, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqPositions (61) and go on telling."""
    connection.wants_positions = True
    for held in tuple(floor.book.positions.values()):
        if held.quantity:
            yield encode_messages.position(held)
    if not floor.faults.withhold_position_end:
        yield encode_messages.position_end()


def cancel_positions(floor: Floor, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Take cancelPositions (64)."""
    connection.wants_positions = False
    return iter(())


def positions_multi(floor: Floor, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqPositionsMulti (74) and go on telling."""
    cursor = Cursor(fields)
    cursor.skip(1)
    request_id = cursor.for_request()
    account = _account(floor, cursor, request_id)
    if len(connection.position_requests) >= MAX_SUBSCRIPTIONS:
        raise RequestError(322, "Error processing request. Too many position requests.", request_id)
    connection.position_requests[request_id] = account
    for held in tuple(floor.book.positions.values()):
        if held.quantity and account in ("", held.account):
            yield encode_messages.position_multi(held, request_id)
    yield encode_messages.position_multi_end(request_id)


def cancel_positions_multi(floor: Floor, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Take cancelPositionsMulti (75)."""
    cursor = Cursor(fields)
    cursor.skip(1)
    connection.position_requests.pop(cursor.for_request(), None)
    return iter(())


def account_updates(floor: Floor, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqAccountUpdates (6); changes of positions are told until it is switched off."""
    cursor = Cursor(fields)
    cursor.skip(1)
    subscribe = cursor.flag()
    account = _account(floor, cursor, -1) or floor.book.accounts[0]
    connection.account_updates = account if subscribe else ""
    if not subscribe:
        return
    for line in account_values(floor.book, account):
        yield encode_messages.account_value(account, line.tag, line.value, line.currency)
    for held in tuple(floor.book.positions.values()):
        if held.account == account and held.quantity:
            yield encode_messages.portfolio_value(held, held.last_price)
    yield encode_messages.account_update_time(f"{floor.now().astimezone(floor.book.zone):%H:%M}")
    yield encode_messages.account_download_end(account)


def account_updates_multi(floor: Floor, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqAccountUpdatesMulti (76)."""
    cursor = Cursor(fields)
    cursor.skip(1)
    request_id = cursor.for_request()
    account = _account(floor, cursor, request_id)
    model = cursor.text()
    for name in (account,) if account else floor.book.accounts:
        for line in account_values(floor.book, name):
            yield encode_messages.account_update_multi(
                request_id, name, model, line.tag, line.value, line.currency
            )
    yield encode_messages.account_update_multi_end(request_id)


def account_summary(floor: Floor, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqAccountSummary (62); an unknown group is refused, `All` is every account."""
    cursor = Cursor(fields)
    cursor.skip(1)
    request_id = cursor.for_request()
    group, tags = cursor.text(), set(cursor.text().split(","))
    if group != "All":
        raise RequestError(
            321, f"Error validating request.-'cd' : cause - No group {group[:40]}.", request_id
        )
    everything = any(tag.startswith("$LEDGER") for tag in tags)
    for account in floor.book.accounts:
        for line in account_values(floor.book, account):
            if everything or line.tag in tags:
                yield encode_messages.account_summary(
                    request_id, account, line.tag, line.value, line.currency
                )
    yield encode_messages.account_summary_end(request_id)


def _account(floor: Floor, cursor: Cursor, request_id: int) -> str:
    account = cursor.text()
    if account and account not in floor.book.accounts:
        raise RequestError(
            321, f"Error validating request.-'b' : cause - Invalid account {account[:20]}.", request_id
        )
    return account


def _refuse_read_only(floor: Floor, request_id: int = -1) -> None:
    if floor.rules.read_only:
        raise RequestError(321, notices.READ_ONLY, request_id)


def _bind_all(floor: Floor) -> None:
    for order in floor.book.open_orders():
        if order.manual and not order.order_id:
            floor.bind(order)


def _orders(floor: Floor, connection: Connection, orders: Iterable[PaperOrder]) -> Iterator[Fields]:
    for order in orders:
        if order.announced:
            yield from floor.messages_of_order(order, connection.version)
    if not floor.faults.withhold_open_order_end:
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
    "99": completed_orders,
}

_TRADING: Final[dict[str, TradeHandle]] = {
    "3": order_rules.place_order,
    "4": order_rules.cancel_order,
    "9": order_rules.contract_details,
    "58": order_rules.global_cancel,
    "81": order_rules.matching_symbols,
}
