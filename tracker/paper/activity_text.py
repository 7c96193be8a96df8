"""What clients do on the paper gateway, in one line of text each.

Owns the wording of orders and fills. It changes nothing.
"""

from __future__ import annotations

from decimal import Decimal

from tracker.paper import formats
from tracker.paper.model import PaperOrder


def order_text(order: PaperOrder) -> str:
    """Return an order in words and numbers, `BUY 10 NVDA LMT 2.5: Submitted`."""
    contract = order.contract
    name = f"{contract.symbol} combo" if contract.legs else contract.local_symbol or contract.symbol
    terms = [f"{order.action} {formats.plain(order.quantity)} {name} {order.order_type}"]
    if order.limit is not None:
        terms.append(formats.plain(order.limit))
    if order.aux:
        terms.append(f"at {formats.plain(order.aux)}")
    return f"{' '.join(terms)}: {'not transmitted' if order.held and not order.parent_id else order.status}"


def fill_text(order: PaperOrder, quantity: Decimal, price: Decimal) -> str:
    """Return what was filled, and what is left of the order."""
    return f"{formats.plain(quantity)} filled at {formats.plain(price)}{_left(order)}"


def end_text(order: PaperOrder) -> str:
    """Return how an order ended."""
    return f"{order.status}{_left(order)}"


def _left(order: PaperOrder) -> str:
    return f", {formats.plain(order.remaining)} left" if order.remaining else ""
