"""The commission and margin that an order would cost, which whatIf asks for.

Owns one plain rule in place of the broker's. Of the value (quantity times price times multiplier) shares need
50 % to open and 25 % to hold, futures 10 % and 8 %, a bought option all of its premium, a sold one 20 % and
15 % of its strike's value, anything else all of it. A combo needs the sum of its legs.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final, NamedTuple

from tracker.paper.account_values import net_liquidation
from tracker.paper.book import Book, usual_fee
from tracker.paper.contracts import PaperContract, made_up_leg_prices
from tracker.paper.model import ZERO, PaperOrder

_SHARES: Final = {
    "STK": (Decimal("0.5"), Decimal("0.25")),
    "FUT": (Decimal("0.1"), Decimal("0.08")),
}
_SHORT_OPTION: Final = (Decimal("0.2"), Decimal("0.15"))
_WHOLE: Final = (Decimal(1), Decimal(1))


class Margins(NamedTuple):
    """Hold initial margin, maintenance margin and equity with loan value."""

    initial: Decimal
    maintenance: Decimal
    equity: Decimal


class Preview(NamedTuple):
    """Hold what an order would change, and its commission."""

    before: Margins
    change: Margins
    commission: Decimal

    @property
    def after(self) -> Margins:
        """Return the margins once the order is filled."""
        return Margins(*(old + more for old, more in zip(self.before, self.change, strict=True)))


def preview(book: Book, order: PaperOrder, price: Decimal) -> Preview:
    """Return what an order would cost if it filled whole at a price; a combo's is its net price."""
    held = [one for one in book.positions.values() if one.account == order.account and one.quantity]
    needed = [_needed(one.contract, one.quantity, one.last_price) for one in held]
    before = Margins(
        sum((initial for initial, _ in needed), ZERO),
        sum((maintenance for _, maintenance in needed), ZERO),
        net_liquidation(book, order.account),
    )
    initial = maintenance = commission = ZERO
    for contract, signed, paid in _parts(order, price):
        has = book.positions.get((order.account, contract.con_id))
        quantity = ZERO if has is None else has.quantity
        old, new = _needed(contract, quantity, paid), _needed(contract, quantity + signed, paid)
        initial += new[0] - old[0]
        maintenance += new[1] - old[1]
        commission += usual_fee(contract, abs(signed))
    return Preview(before, Margins(initial, maintenance, -commission), commission)


def _parts(order: PaperOrder, price: Decimal) -> Iterator[tuple[PaperContract, Decimal, Decimal]]:
    """Yield each instrument that an order moves, by how much and at what price."""
    sign, combo = 1 if order.buys else -1, order.contract
    if not combo.legs:
        yield combo, sign * order.quantity, price
        return
    prices = made_up_leg_prices(combo, price)
    for leg, contract, paid in zip(combo.legs, combo.leg_contracts, prices, strict=True):
        yield contract, sign * order.quantity * leg.ratio * (1 if leg.action == "BUY" else -1), paid


def _needed(contract: PaperContract, quantity: Decimal, price: Decimal) -> tuple[Decimal, Decimal]:
    """Return initial and maintenance margin of a position."""
    value, rates = abs(quantity) * abs(price) * contract.factor, _WHOLE
    if contract.sec_type in ("OPT", "FOP") and quantity < 0 and contract.strike is not None:
        value, rates = abs(quantity) * contract.strike * contract.factor, _SHORT_OPTION
    elif contract.sec_type in _SHARES:
        rates = _SHARES[contract.sec_type]
    return value * rates[0], value * rates[1]
