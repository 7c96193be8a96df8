"""What the measured gateway sends, encoded before anything is measured.

Owns the contracts, the alerts about them and the messages of fills, in the order in which a real
gateway was recorded to send them. It measures nothing and opens nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from tracker.paper import encode_messages, encode_orders
from tracker.paper.contracts import PaperContract, option
from tracker.paper.framing import Fields, frame
from tracker.paper.model import Fee, PaperExecution, PaperOrder, PaperPosition, Status

VERSION: Final = 176
"""The server version that ib_insync agrees on."""
ACCOUNT: Final = "DU1234567"
ALERTERS: Final = ("robindahood-alerts", "prof-and-kian-alerts", "real-day-trading", "demslayer")
MARK_CODE: Final = 2108
"""A data-farm notice, which says nothing of orders: it ends a stream."""
_COMMISSION: Final = Decimal("0.65")
_FIRST_CON_ID: Final = 700_000_000
SOME_DAY: Final = datetime(2030, 12, 2, 15, 0, tzinfo=UTC)


def ticker(number: int) -> str:
    """Return a ticker; the digits are spelled as letters, as tickers are."""
    letters = ""
    for _ in range(4):
        number, digit = divmod(number, 26)
        letters = chr(ord("A") + digit) + letters
    return letters


def contract(number: int) -> PaperContract:
    """Return the option that alert `number` is about."""
    return option(ticker(number), "20301220", "C", "100", con_id=_FIRST_CON_ID + number)


def alerts(count: int, created_at: datetime) -> dict[str, dict[str, Any]]:
    """Return an alerts.json with `count` records, as the alert writer makes them."""
    made: dict[str, dict[str, Any]] = {}
    for number in range(count):
        name, con_id = ticker(number), _FIRST_CON_ID + number
        made.setdefault(ALERTERS[number % len(ALERTERS)], {})[name] = {
            "open": False,
            "created_at": created_at.replace(tzinfo=None).isoformat(),
            "option_conids": [con_id],
            "option_conid": con_id,
            "sentiment": "bullish",
            "conid": 4815747,
            "alert_details": {
                "ticker": name,
                "strike": "100",
                "side": "C",
                "expiry": "12/20/2030",
                "is_bullish": True,
            },
        }
    return made


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold what a stream contains; plans of different `first` share no order and no execution."""

    orders: int
    fills_per_order: int
    alerts: int
    first: int = 0
    contracts: int = 0
    """How many contracts are traded, in turn; 0 for that of every alert."""
    alone: bool = False
    """Send each execution by itself: no orders, states or fees."""


@dataclass(slots=True)
class Stream:
    """Hold the encoded messages, and what each alert shows after all of them."""

    parts: list[Fields] = field(default_factory=list)
    executions: list[Fields] = field(default_factory=list)
    shown: dict[str, tuple[str, float | None]] = field(default_factory=dict)
    """Ticker -> the last execId, and the commission of its order."""
    held: dict[int, PaperPosition] = field(default_factory=dict)
    """conId -> what the account has of it by these messages alone."""

    def encoded(self, *, marked: bool = True) -> bytes:
        """Return the bytes; with `marked` a notice follows, by which a client knows the end."""
        ending = (
            [encode_messages.error(-1, MARK_CODE, "end of the measured stream", VERSION)] if marked else []
        )
        return encode([*self.parts, *ending])


def encode(parts: Iterable[Fields]) -> bytes:
    """Return messages as one run of bytes."""
    return b"".join(map(frame, parts))


def execution_id(number: int) -> str:
    """Return the execId of a stream's fill by its number over all streams."""
    return f"0000e0d5.{number:08x}.01.01"


def stream(plan: Plan, at: datetime) -> Stream:
    """Make a plan's messages; all fills buy, at `at`."""
    made = Stream()
    # Contracts are visited in turn, as a busy day's orders would.
    for number in range(plan.orders):
        place = (plan.first + number) % (plan.contracts or plan.alerts)
        order_number = plan.first + number + 1
        _order(made, contract(place), order_number, plan, at)
    return made


def one_frame() -> bytes:
    """Return what the journal keeps of a single fill."""
    return "\0".join(stream(Plan(1, 1, 1, alone=True), SOME_DAY).parts[0]).encode()


def _order(made: Stream, traded: PaperContract, number: int, plan: Plan, at: datetime) -> None:
    order = PaperOrder(
        client_id=0,
        account=ACCOUNT,
        contract=traded,
        action="BUY",
        quantity=Decimal(plan.fills_per_order),
        order_id=number,
        perm_id=900_000_000 + number,
        limit=Decimal("2.60"),
    )
    held = made.held.setdefault(traded.con_id, PaperPosition(ACCOUNT, traded))
    about = [] if plan.alone else _state(order)
    made.parts += about
    for fill in range(plan.fills_per_order):
        execution = _execution(order, (number - 1) * plan.fills_per_order + fill, at)
        order.filled = execution.cum_qty
        order.cost += execution.price
        order.last_price = execution.price
        if order.filled == order.quantity:
            order.status = Status.FILLED
        details = encode_messages.execution_details(
            execution, encode_messages.LIVE, f"{at:%Y%m%d-%H:%M:%S}", VERSION
        )
        made.parts.append(details)
        made.executions.append(details)
        held.add(execution.quantity, execution.price)
        if not plan.alone:
            made.parts += _after_fill(order, execution)
    commission = None if plan.alone else float(_COMMISSION * plan.fills_per_order)
    made.shown[traded.symbol] = (execution.exec_id, commission)


def _state(order: PaperOrder) -> Sequence[Fields]:
    return [encode_orders.open_order(order, VERSION), encode_messages.order_status(order)]


def _after_fill(order: PaperOrder, execution: PaperExecution) -> Iterator[Fields]:
    """Yield the messages that follow each execution in recordings: the order's state twice, and its fee."""
    yield from _state(order)
    yield from _state(order)
    yield encode_messages.commission_report(Fee(execution.exec_id, _COMMISSION, "USD"))


def _execution(order: PaperOrder, number: int, at: datetime) -> PaperExecution:
    price = Decimal("2.40") + Decimal(number % 20) / 100
    filled = order.filled + 1
    return PaperExecution(
        exec_id=execution_id(number),
        perm_id=order.perm_id,
        order_id=order.order_id,
        client_id=order.client_id,
        account=order.account,
        contract=order.contract,
        side="BOT",
        quantity=Decimal(1),
        price=price,
        time=at,
        exchange="CBOE",
        cum_qty=filled,
        avg_price=((order.cost + price) / filled).quantize(Decimal("1e-8")),
    )
