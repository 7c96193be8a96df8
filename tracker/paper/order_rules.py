"""Requests of clients to place, change and cancel orders and to look up contracts.

Owns the rules by which a request is accepted or refused, with the codes and texts of the real gateway. It
reads requests with `decode_orders` and acts through the engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from tracker.paper import contract_search, encode_messages, encode_orders, notices, triggers
from tracker.paper.connection import Connection
from tracker.paper.contracts import PaperContract
from tracker.paper.decode_orders import AskedContract, AskedOrder, asked_contract, asked_order
from tracker.paper.decode_requests import Cursor, RequestError
from tracker.paper.framing import Fields
from tracker.paper.margins import preview
from tracker.paper.model import PaperOrder, Status
from tracker.paper.order_engine import OrderEngine

MOST_QUANTITY: Final = Decimal(1_000_000_000)
LEAST_QUANTITY: Final = Decimal("0.0001")
MOST_PRICE: Final = Decimal(100_000_000)
MOST_MATCHES: Final = 16

_WITH_LIMIT: Final = triggers.ORDER_TYPES - {"MKT", "STP", "TRAIL", "MIT", "MOC"}
_OFF_TICK: Final = "The price does not conform to the minimum price variation for this contract."
_UNKNOWN_CONTRACT: Final = "No security definition has been found for the request"


def place_order(engine: OrderEngine, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Handle placeOrder (3): a new order, or the change of one that this client placed or bound."""
    asked = asked_order(fields, connection.version)
    _refuse_read_only(engine, asked.order_id)
    _check(asked)
    client_id = connection.client_id or 0
    known = engine.book.find_order(client_id, asked.order_id)
    if asked.what_if:
        yield from _what_if(engine, connection, asked)
    elif known is None:
        _place_new(engine, client_id, asked)
    else:
        _change(engine, known, asked)


def cancel_order(engine: OrderEngine, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Handle cancelOrder (4): 10147 for an order that does not exist, 10148 for one that is over.

    A number that this client never used means the working order of another client: transcripts of the real
    Gateway show client 2 cancelling an order of client 1 with success.
    """
    cursor = Cursor(fields)
    cursor.skip(1)
    order_id = cursor.for_request()
    _refuse_read_only(engine, order_id)
    order = engine.book.find_order(connection.client_id or 0, order_id)
    if order is None:
        others = (each for each in engine.book.open_orders() if each.order_id == order_id)
        order = next(others, None)
    if order is None:
        raise RequestError(10147, f"OrderId {order_id} that needs to be cancelled is not found.", order_id)
    if order.done:
        text = f"OrderId {order_id} that needs to be cancelled can not be cancelled, state: {order.status}."
        raise RequestError(10148, text, order_id)
    engine.cancel(order)
    return iter(())


def global_cancel(engine: OrderEngine, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Handle reqGlobalCancel (58): it cancels the orders of all clients, and those placed by hand."""
    _refuse_read_only(engine, -1)
    for order in engine.book.open_orders():
        if not order.done:
            engine.cancel(order)
    return iter(())


def contract_details(engine: OrderEngine, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqContractDetails (9): the known contracts that fit, else one made up, else error 200."""
    cursor = Cursor(fields)
    cursor.skip(1)
    request_id = cursor.for_request()
    asked = asked_contract(cursor)
    if asked.sec_type == "BAG" or not (asked.sec_type or asked.con_id):
        # Error 200, since ib_async takes the real Gateway's 321 for a warning and waits for ever.
        raise RequestError(200, _UNKNOWN_CONTRACT, request_id)
    found = contract_search.find(engine.book.contracts, asked, engine.today())
    if not found:
        found = [_resolve(engine, asked, request_id)]
    for contract in found:
        yield encode_messages.contract_data(request_id, contract, connection.version)
    yield encode_messages.contract_data_end(request_id)


def matching_symbols(engine: OrderEngine, connection: Connection, fields: Fields) -> Iterator[Fields]:
    """Answer reqMatchingSymbols (81)."""
    cursor = Cursor(fields)
    request_id = cursor.for_request()
    found = contract_search.matching(engine.book.contracts.values(), cursor.text(), MOST_MATCHES)
    yield encode_messages.symbol_samples(request_id, found, connection.version)


def _place_new(engine: OrderEngine, client_id: int, asked: AskedOrder) -> None:
    if asked.order_id <= 0:
        raise RequestError(103, "Duplicate order id", asked.order_id)
    account = _account(engine, asked)
    contract = _resolve(engine, asked.contract, asked.order_id)
    order = PaperOrder(
        client_id,
        account,
        contract,
        asked.action,
        _quantity(asked, contract),
        order_id=asked.order_id,
        order_type=asked.order_type,
        limit=asked.limit if asked.order_type in _WITH_LIMIT else None,
        aux=asked.aux,
        tif=asked.tif,
        order_ref=asked.order_ref,
        parent_id=asked.parent_id,
        terms=asked.terms,
        conditions=asked.conditions,
    )
    parent = engine.book.find_order(client_id, asked.parent_id) if asked.parent_id > 0 else None
    if asked.parent_id > 0 and (parent is None or parent.order_id == asked.order_id):
        raise RequestError(135, f"Can't find order with id ={asked.parent_id}", asked.order_id)
    if parent is not None:
        if parent.done and parent.status != Status.FILLED:
            raise RequestError(201, "Order rejected - reason:The parent order is cancelled.", asked.order_id)
        parent.parent_of_others = True
    order.held = not asked.transmit or (parent is not None and not parent.done)
    _check_terms(engine, order)
    engine.accept(order)
    if asked.transmit and parent is not None and not parent.parent_id:
        # The last child transmits its parent, too.
        engine.release(parent)
    engine.work(order)


def _change(engine: OrderEngine, order: PaperOrder, asked: AskedOrder) -> None:
    if order.status == Status.FILLED:
        raise RequestError(104, "Cannot modify a filled order.", asked.order_id)
    if order.done:
        raise RequestError(103, "Duplicate order id", asked.order_id)
    named = asked.contract.con_id
    same = named in (0, order.contract.con_id) and asked.contract.sec_type in ("", order.contract.sec_type)
    if not same or (asked.action == "BUY") is not order.buys:
        raise RequestError(105, "Order being modified does not match original order.", asked.order_id)
    quantity = _quantity(asked, order.contract)
    if quantity <= order.filled:
        text = "Order rejected - reason:The new quantity is not above what is filled already."
        raise RequestError(201, text, asked.order_id)
    order.order_type = asked.order_type
    order.aux = asked.aux
    order.tif = asked.tif
    order.terms = asked.terms
    order.conditions = asked.conditions
    if asked.order_type not in _WITH_LIMIT:
        order.limit = None
    order.triggered, order.trail_stop = False, None
    _check_terms(engine, order)
    engine.wake_in_time(order)
    released = order.held and asked.transmit and not order.parent_id
    engine.change(order, quantity, asked.limit if asked.order_type in _WITH_LIMIT else None)
    if released:
        engine.release(order)
    else:
        engine.work(order)


def _what_if(engine: OrderEngine, connection: Connection, asked: AskedOrder) -> Iterator[Fields]:
    account = _account(engine, asked)
    contract = _resolve(engine, asked.contract, asked.order_id)
    order = PaperOrder(
        connection.client_id or 0,
        account,
        contract,
        asked.action,
        _quantity(asked, contract),
        order_id=asked.order_id,
        order_type=asked.order_type,
        limit=asked.limit if asked.order_type in _WITH_LIMIT else None,
        aux=asked.aux,
        tif=asked.tif,
        status=Status.PRE_SUBMITTED,
        terms={**asked.terms, "what_if": "1"},
    )
    _check_terms(engine, order)
    price = engine.book.prices.get(contract.con_id) or engine.price_of(order)
    yield encode_orders.open_order(order, connection.version, preview(engine.book, order, price))


def _check(asked: AskedOrder) -> None:
    if asked.action not in ("BUY", "SELL", "SSHORT"):
        text = f"Error validating request.-'bz' : cause - Invalid action {asked.action[:20]!r}."
        raise RequestError(321, text, asked.order_id)
    if not asked.order_type:
        raise RequestError(
            321, "Error validating request.-'bz' : cause - Missing order type.", asked.order_id
        )
    if asked.order_type not in triggers.ORDER_TYPES:
        text = "Unsupported order type for this exchange and security type."
        raise RequestError(387, text, asked.order_id)
    if asked.order_type in ("LMT", "STP LMT", "LIT") and asked.limit is None:
        raise RequestError(
            321, "Error validating request.-'bz' : cause - Missing limit price.", asked.order_id
        )
    for price in (asked.limit, asked.aux):
        if price is not None and (abs(price) > MOST_PRICE or price != round(price, 8)):
            raise RequestError(110, _OFF_TICK, asked.order_id)


def _check_terms(engine: OrderEngine, order: PaperOrder) -> None:
    """Refuse prices off the instrument's tick, a stop without its price, and times that cannot be read."""
    for price in (order.limit, order.aux):
        if price is not None and price % _tick(order.contract, price):
            raise RequestError(110, _OFF_TICK, order.order_id)
    stops_at_aux = order.order_type in ("STP", "STP LMT", "MIT", "LIT")
    trails = order.order_type in ("TRAIL", "TRAIL LIMIT")
    if (stops_at_aux and order.aux is None) or (
        trails and order.aux is None and "trailing_percent" not in order.terms
    ):
        text = "Error validating request.-'bz' : cause - Missing stop or trigger price."
        raise RequestError(321, text, order.order_id)
    try:
        triggers.times_of(order, engine.book.zone)
    except ValueError as error:
        text = f"Error validating request.-'bz' : cause - {error}"
        raise RequestError(321, text, order.order_id) from error


def _tick(contract: PaperContract, price: Decimal) -> Decimal:
    """Return the step between prices: 0.01, finer for currencies and for shares below 1."""
    if contract.sec_type == "CASH":
        return Decimal("0.00005")
    return Decimal("0.0001") if contract.sec_type == "STK" and abs(price) < 1 else Decimal("0.01")


def _quantity(asked: AskedOrder, contract: PaperContract) -> Decimal:
    quantity = asked.quantity
    if not quantity:
        raise RequestError(434, "The order size cannot be zero.", asked.order_id)
    if not LEAST_QUANTITY <= quantity <= MOST_QUANTITY:
        raise RequestError(201, "Order rejected - reason:Invalid order size.", asked.order_id)
    whole = contract.sec_type not in ("STK", "CASH")
    if quantity != (quantity.to_integral_value() if whole else round(quantity, 4)):
        raise RequestError(10318, "This order doesn't support fractional quantity trading", asked.order_id)
    return quantity


def _account(engine: OrderEngine, asked: AskedOrder) -> str:
    if not asked.account and len(engine.book.accounts) > 1:
        text = "Error validating request.-'bz' : cause - You must specify an account."
        raise RequestError(321, text, asked.order_id)
    account = asked.account or engine.book.accounts[0]
    if account not in engine.book.accounts:
        raise RequestError(201, "Order rejected - reason:Invalid account number.", asked.order_id)
    return account


def _resolve(engine: OrderEngine, asked: AskedContract, request_id: int) -> PaperContract:
    found = contract_search.find(engine.book.contracts, asked, engine.today())
    if len(found) > 1:
        text = f"The contract description specified for {asked.symbol[:20]} is ambiguous."
        raise RequestError(200, text, request_id)
    made = found[0] if found else contract_search.make_up(asked, engine.today())
    if made is None:
        raise RequestError(200, _UNKNOWN_CONTRACT, request_id)
    engine.book.learn(made)
    return made


def _refuse_read_only(engine: OrderEngine, request_id: int) -> None:
    if engine.broadcast.rules.read_only:
        raise RequestError(321, notices.READ_ONLY, request_id)
