"""Events that change positions without an execution: splits, mergers, transfers, assignment, expiry.

Owns their arithmetic. Each function changes the book, notes what it did in `book.adjustments`, and returns
the positions that changed, in the order in which they are pushed. For these events the real Gateway sends
positions alone; the cause is named only in statements.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from tracker.paper.book import Book
from tracker.paper.contracts import PaperContract
from tracker.paper.model import ZERO, Adjustment, PaperPosition


def split(
    book: Book, contract: PaperContract, new: Decimal, old: Decimal, now: datetime
) -> list[PaperPosition]:
    """Turn each `old` of an instrument into `new` in every account; fractions stay, as before a payout."""
    ratio = new / old

    def scale(held: PaperPosition) -> None:
        held.quantity *= ratio
        held.average_cost /= ratio
        held.last_price /= ratio

    return [_changed(book, held, "split", now, scale, ratio) for held in _holders(book, contract)]


def merge(
    book: Book, contract: PaperContract, into: PaperContract, new: Decimal, old: Decimal, now: datetime
) -> list[PaperPosition]:
    """Turn each `old` of an instrument into `new` of another one: a merger, or a split with a new conId."""
    changed = []
    for held in _holders(book, contract):
        quantity, cost = held.quantity * new / old, held.average_cost * old / new
        changed.append(_emptied(book, held, "merged", now, new / old, into.con_id))
        changed.append(_received(book, held.account, into, quantity, cost, "merged", now))
    return changed


def transfer(
    book: Book, contract: PaperContract, quantity: Decimal, source: str, target: str, now: datetime
) -> list[PaperPosition]:
    """Move part of a position; an empty `source` or `target` is another broker. ValueError where too little
    is held.
    """
    if source == target:
        raise ValueError("a transfer needs from_account or to_account; if both are given, they must differ")
    for account in filter(None, (source, target)):
        _known(book, account)
    given, cost = quantity, ZERO
    changed = []
    if source:
        held = book.position(source, contract)
        if quantity > abs(held.quantity):
            raise ValueError(f"{source} holds {held.quantity}, so {quantity} cannot be transferred")
        given, cost = quantity.copy_sign(held.quantity), held.average_cost
        changed.append(_received(book, source, contract, -given, cost, "transferred", now))
    if target:
        changed.append(_received(book, target, contract, given, cost, "transferred", now))
    return changed


def assign(
    book: Book, option: PaperContract, stock: PaperContract, quantity: Decimal, account: str, now: datetime
) -> list[PaperPosition]:
    """Turn options into stock at the strike: assignment of a short position, exercise of a long one."""
    if option.sec_type != "OPT" or option.strike is None or stock.sec_type != "STK":
        raise ValueError("an assignment turns an option (contract) into a stock (stock)")
    held = book.position(account, option)
    if quantity > abs(held.quantity):
        raise ValueError(f"{account} holds {held.quantity}, so {quantity} cannot be assigned")
    cause = "exercised" if held.quantity > 0 else "assigned"
    signed = quantity.copy_sign(held.quantity)
    shares = signed * option.factor * (1 if option.right == "C" else -1)
    book.cash[account] -= shares * option.strike
    return [
        _received(book, account, option, -signed, held.average_cost, cause, now),
        _received(book, account, stock, shares, option.strike, cause, now),
    ]


def expire(book: Book, contract: PaperContract, now: datetime) -> list[PaperPosition]:
    """Remove an instrument from every account."""
    return [_emptied(book, held, "expired", now) for held in _holders(book, contract)]


def renumber(book: Book, account: str, into: str, now: datetime) -> list[PaperPosition]:
    """Give an account another number: its positions, cash and working orders go to the new number.

    The day's executions keep the old number.
    """
    _known(book, account)
    if into in book.accounts or not into:
        raise ValueError(f"{into!r} cannot be the new number of {account}: choose one that is not in use")
    book.accounts = tuple(into if each == account else each for each in book.accounts)
    book.cash[into] = book.cash.pop(account)
    for order in book.open_orders():
        if order.account == account:
            order.account = into
    changed = []
    for held in [held for held in book.positions.values() if held.account == account]:
        del book.positions[account, held.contract.con_id]
        if held.quantity:
            book.adjustments.append(
                Adjustment("renumbered", account, held.contract.con_id, held.quantity, ZERO, now)
            )
            changed.append(
                _received(book, into, held.contract, held.quantity, held.average_cost, "renumbered", now)
            )
    return changed


def _known(book: Book, account: str) -> None:
    if account not in book.accounts:
        raise ValueError(f"{account} is not one of the accounts {', '.join(book.accounts)}")


def _holders(book: Book, contract: PaperContract) -> list[PaperPosition]:
    found = [
        held for held in book.positions.values() if held.contract.con_id == contract.con_id and held.quantity
    ]
    if not found:
        raise ValueError(f"no account holds {contract.local_symbol or contract.symbol}")
    return found


def _changed(
    book: Book,
    held: PaperPosition,
    cause: str,
    now: datetime,
    change: Callable[[PaperPosition], None],
    ratio: Decimal | None = None,
    into: int = 0,
) -> PaperPosition:
    before = held.quantity
    change(held)
    book.adjustments.append(
        Adjustment(cause, held.account, held.contract.con_id, before, held.quantity, now, ratio, into)
    )
    return held


def _emptied(
    book: Book, held: PaperPosition, cause: str, now: datetime, ratio: Decimal | None = None, into: int = 0
) -> PaperPosition:
    def empty(each: PaperPosition) -> None:
        each.quantity = each.average_cost = ZERO

    return _changed(book, held, cause, now, empty, ratio, into)


def _received(
    book: Book,
    account: str,
    contract: PaperContract,
    signed: Decimal,
    cost: Decimal,
    cause: str,
    now: datetime,
) -> PaperPosition:
    """Add to a position, at a cost for each; nothing is realized."""

    def add(held: PaperPosition) -> None:
        before, held.quantity = held.quantity, held.quantity + signed
        if not held.quantity:
            held.average_cost = ZERO
        elif before * signed >= 0:
            held.average_cost = (held.average_cost * abs(before) + cost * abs(signed)) / abs(held.quantity)
        elif before * held.quantity < 0:
            held.average_cost = cost

    return _changed(book, book.position(account, book.learn(contract)), cause, now, add)
