"""What an order filled, and whether it still works (section 5).

Owns totals, remaining and status. Fills come from the facts in force, everything else from what was told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from tests.sim.rules_oracle.facts import (
    ZERO,
    CompletedOrderTold,
    Event,
    Executed,
    Fact,
    OpenOrdersAnswered,
    OpenOrdersAsked,
    OrderKey,
    OrderTold,
    StatusTold,
    order_key,
    root_and_version,
)

_OVER = ("Filled", "Cancelled", "ApiCancelled")
"""An order that is Inactive may work again: only an answer that lacks it says that it does not."""
_SIZED = ("PreSubmitted", "Submitted", "Filled")
"""What is filled and left of such an order is all of it; a cancelled one reports its balance as it likes."""


@dataclass(frozen=True, slots=True)
class OrderExpected:
    """What is right for an order's fills in one account and contract."""

    filled_qty: Decimal
    avg_fill_price: Decimal | None
    status: Literal["FILLED", "PARTIALLY_FILLED"]
    remaining: Decimal | None
    """None where nobody told."""
    exec_ids: tuple[str, ...] = ()
    """The executions in force."""


@dataclass(slots=True)
class _Told:
    """The last word on one permId."""

    total: Decimal | None = None
    ratios: dict[int, Decimal] | None = None
    status: str = ""
    filled: Decimal = ZERO
    counted: Decimal = ZERO
    """What the last status says was filled, also before our first day; nothing after a correction."""
    remaining: Decimal | None = None
    completed: Decimal | None = None
    completed_status: str = ""
    missing: bool = False
    """A complete answer about all open orders lacked it, and nothing newer was heard."""
    size: Decimal | None = None
    """What a status said was filled and is left."""
    fills: dict[OrderKey, dict[str, tuple[int, Decimal]]] = field(default_factory=dict)
    """Each execution's version in force, with its quantity."""
    most: dict[OrderKey, Decimal] = field(default_factory=dict)
    """The most that it ever filled in an account and contract."""
    lowered: bool = False
    """A correction came since the last status: that the order filled less is no sign that it works again."""

    def book(self, event: Executed) -> None:
        order, (root, version) = order_key(event), root_and_version(event.exec_id)
        fills = self.fills.setdefault(order, {})
        before = fills.get(root)
        if before is None or version > before[0]:
            self.lowered = self.lowered or before is not None
            if before is not None and before[1] != event.quantity:
                self.counted = ZERO
            fills[root] = version, event.quantity
        filled = sum((quantity for _, quantity in fills.values()), ZERO)
        self.most[order] = max(filled, self.most.get(order, ZERO))

    def ordered(self, whole: Decimal) -> None:
        """A cancelled order that says more than was known of its size was enlarged unheard."""
        if self.total is not None:
            self.total = max(self.total, whole)
        elif self.size is not None:
            self.size = max(self.size, whole)


class Orders:
    """Follow what is told of orders, by permId, else by client and orderId.

    What was told before an order had its permId is not taken for what the order with one is: orderIds are
    used again after a restart of the Gateway, and the openOrder with the permId says its total once more.
    """

    def __init__(self) -> None:
        self._told: dict[tuple[int, ...], _Told] = {}
        self._heard_since: set[tuple[int, ...]] | None = None

    def handle(self, event: Event) -> None:
        if isinstance(event, Executed):
            self._executed(event)
        elif isinstance(event, OrderTold):
            told = self._of(event.perm_id, event.client_id, event.order_id)
            told.total, told.ratios, told.missing = event.total, dict(event.ratios), False
            told.status = event.status or told.status
        elif isinstance(event, StatusTold):
            told = self._of(event.perm_id, event.client_id, event.order_id)
            told.status, told.filled, told.remaining = event.status, event.filled, event.remaining
            told.counted, told.missing, told.lowered = event.filled, False, False
            if event.status in _SIZED:
                told.size = event.filled + event.remaining or told.size
            elif event.status in _OVER:
                told.ordered(event.filled + event.remaining)
        elif isinstance(event, CompletedOrderTold):
            told = self._of(event.perm_id, 0, 0)
            told.completed, told.completed_status = event.filled, event.status
            told.total = event.total or told.total
        elif isinstance(event, OpenOrdersAsked):
            self._heard_since = set()
        elif isinstance(event, OpenOrdersAnswered):
            self._open_orders(event)

    def _executed(self, event: Executed) -> None:
        """A correction changes a fill in its place (rule 1.1); it tells nothing newer of the order."""
        told = self._of(event.perm_id, event.client_id, event.order_id, heard=False)
        root, _ = root_and_version(event.exec_id)
        if event.live and root not in told.fills.get(order_key(event), {}):
            told = self._of(event.perm_id, event.client_id, event.order_id)
            told.missing = False
        told.book(event)

    def _of(self, perm_id: int, client_id: int, order_id: int, *, heard: bool = True) -> _Told:
        key = (perm_id,) if perm_id else (client_id, order_id)
        if heard and self._heard_since is not None:
            self._heard_since.add(key)
        return self._told.setdefault(key, _Told())

    def _open_orders(self, event: OpenOrdersAnswered) -> None:
        """Rule 5.1: what a complete answer lacks does not work, unless something newer was heard of it."""
        heard, self._heard_since = self._heard_since or set(), None
        if not event.complete:
            return
        for key, told in self._told.items():
            # One without permId is listed by its client and orderId, and so it was heard of.
            listed = len(key) == 1 and key[0] in event.perm_ids
            if not listed and key not in heard:
                told.missing = True

    def expected(self, order: OrderKey, facts: Iterable[Fact]) -> OrderExpected:
        """Return what is right for one order's facts."""
        booked = [fact.now for fact in facts]
        filled = sum((event.quantity for event in booked), ZERO)
        paid = sum((event.quantity * event.price for event in booked), ZERO)
        first = booked[0]
        key = (order.perm_id,) if order.perm_id else (first.client_id, first.order_id)
        told = self._told.get(key, _Told())
        ratio = (told.ratios or {}).get(order.con_id, Decimal(1))
        total = self._total(told, ratio, told.most.get(order, ZERO))
        over = told.missing or told.status in _OVER or bool(told.completed_status)
        full = total is not None and filled == total and filled > 0
        # One that filled more than its total lost something before that was told.
        over = over or (total is not None and told.lowered and told.most.get(order, ZERO) == total)
        remaining: Decimal | None = None
        if over or full:
            remaining = ZERO
        elif total is not None:
            remaining = max(total - max(filled, told.counted * ratio), ZERO)
        elif told.remaining is not None:
            remaining = told.remaining * ratio
        return OrderExpected(
            filled,
            paid / filled if filled else None,
            "FILLED" if full else "PARTIALLY_FILLED",
            remaining,
            tuple(event.exec_id for event in booked),
        )

    @staticmethod
    def _total(told: _Told, ratio: Decimal, most: Decimal) -> Decimal | None:
        """Rule 5.2: the order's own total, else the completed order's, else what was filled when it was.

        A completed order that is filled says its own total, where it was changed unheard: it filled more than
        was told, or less, and never all of that.
        """
        whole = told.completed if told.completed_status == "Filled" else None
        if told.total is not None or told.size is not None:
            own = told.total or told.size or ZERO
            less = not told.ratios and most < own and (whole or own) < own
            return (whole if whole and (whole > own or less) else own) * ratio
        if whole is not None:
            return whole * ratio
        if told.status == "Filled":
            return told.filled * ratio
        return most if told.completed_status == "Filled" else None
