"""When an order that waits begins to work: stops, touches, trails, conditions and times.

Owns the rules, and reads an order's fields for them. It is pure: prices, times and executions are passed in,
and the order engine acts on what is returned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from tracker.paper import formats
from tracker.paper.model import PaperExecution, PaperOrder

STOPS: Final = frozenset({"STP", "STP LMT", "TRAIL", "TRAIL LIMIT"})
TOUCHES: Final = frozenset({"MIT", "LIT"})
LIMITED: Final = frozenset({"LMT", "STP LMT", "LIT", "TRAIL LIMIT"})
"""Types that work as a limit order once triggered; for all but TRAIL LIMIT the client sets the limit."""
UNTRIGGERED: Final = frozenset({"MKT", "LMT"})
RESTING: Final = frozenset(
    {"MOC", "LOC", "MTL", "REL", "PEG BENCH", "PEG MID", "PEG MKT", "PEG STK", "PEG BEST", "MIDPRICE"}
) | {
    *("VOL", "BOX TOP", "PASSV REL", "SNAP MID", "SNAP MKT", "SNAP PRIM", "LWH", "LMT + MKT"),
    *("REL + LMT", "REL + MKT", "STP PRT", "MKT PRT", "AUC"),
}
"""Types that are accepted and filled by hand only."""
ORDER_TYPES: Final = STOPS | TOUCHES | UNTRIGGERED | RESTING
_PRICE: Final = "1"
_TIME: Final = "3"
EXECUTION: Final = "5"
"""Types of conditions, as placeOrder writes them."""


def why_held(order: PaperOrder) -> str:
    """Return `whyHeld` of an order that waits: child, trigger, both or nothing."""
    parts = []
    if order.held and order.parent_id:
        parts.append("child")
    if order.order_type in STOPS | TOUCHES and not order.triggered and not order.done:
        parts.append("trigger")
    return ",".join(parts)


def is_touched(order: PaperOrder, price: Decimal | None) -> bool:
    """Return whether a price starts a stop or touch; a trail follows the price first."""
    if order.triggered or order.order_type not in STOPS | TOUCHES:
        return True
    if price is None:
        return False
    if order.order_type in ("TRAIL", "TRAIL LIMIT"):
        _follow(order, price)
    level = order.trail_stop if order.order_type in ("TRAIL", "TRAIL LIMIT") else order.aux
    if level is None:
        return False
    # A stop to buy waits for a higher price, a touch to buy for a lower one.
    rises = order.buys is (order.order_type in STOPS)
    return price >= level if rises else price <= level


def _follow(order: PaperOrder, price: Decimal) -> None:
    """Let a trailing stop follow a price; it never moves back."""
    percent = formats.read_number(order.terms.get("trailing_percent", ""))
    distance = order.aux if percent is None else price * percent / 100
    if order.trail_stop is None:
        order.trail_stop = formats.read_number(order.terms.get("trail_stop_price", ""))
    if distance is None:
        return
    stop = price + distance if order.buys else price - distance
    if order.trail_stop is None:
        order.trail_stop = stop
    else:
        order.trail_stop = (min if order.buys else max)(order.trail_stop, stop)


def limit_of(order: PaperOrder) -> Decimal | None:
    """Return the limit at which a triggered order works, None for a market order."""
    if order.order_type == "TRAIL LIMIT" and order.trail_stop is not None:
        offset = formats.read_number(order.terms.get("lmt_price_offset", "")) or Decimal(0)
        return order.trail_stop - offset if not order.buys else order.trail_stop + offset
    return order.limit if order.order_type in LIMITED else None


def is_marketable(order: PaperOrder, limit: Decimal | None, price: Decimal | None) -> bool | None:
    """Return whether an order fills at a price, None where no price is known."""
    if price is None:
        return None
    return limit is None or (price <= limit if order.buys else price >= limit)


def conditions_met(
    order: PaperOrder,
    prices: Mapping[int, Decimal],
    executions: Iterable[PaperExecution],
    now: datetime,
    zone: ZoneInfo,
) -> bool:
    """Return whether an order's conditions hold, from left to right; each says `and` or `or` to the next.

    Price, time and execution conditions are known; margin, volume and percent change never come true.
    """
    met, joined_by_and = True, True
    seen = tuple(executions)
    for number, (kind, join, *rest) in enumerate(order.conditions):
        holds = _holds(kind, rest, prices, seen, now, zone)
        met = holds if not number else (met and holds if joined_by_and else met or holds)
        joined_by_and = join == "a"
    return met


def _holds(
    kind: str,
    fields: list[str],
    prices: Mapping[int, Decimal],
    executions: Iterable[PaperExecution],
    now: datetime,
    zone: ZoneInfo,
) -> bool:
    if kind == _PRICE:
        is_more, level, con_id = fields[0] == "1", Decimal(fields[1]), int(Decimal(fields[2]))
        price = prices.get(con_id)
        return price is not None and (price >= level if is_more else price <= level)
    if kind == _TIME:
        moment = read_time(fields[1], zone)
        return (now >= moment) if fields[0] == "1" else (now <= moment)
    if kind == EXECUTION:
        sec_type, _, symbol = fields
        return any(one.contract.symbol == symbol and one.contract.sec_type == sec_type for one in executions)
    return False


def times_of(order: PaperOrder, zone: ZoneInfo) -> list[datetime]:
    """Return the moments at which an order may begin or end; ValueError for one that cannot be read."""
    texts = [order.terms[name] for name in ("good_after_time", "good_till_date") if name in order.terms]
    texts += [fields[3] for fields in order.conditions if fields[0] == _TIME]
    return [read_time(text, zone) for text in texts]


def starts_at(order: PaperOrder, zone: ZoneInfo) -> datetime | None:
    """Return the moment before which an order does not work."""
    text = order.terms.get("good_after_time", "")
    return read_time(text, zone) if text else None


def ends_at(order: PaperOrder, zone: ZoneInfo) -> datetime | None:
    """Return the moment at which a GTD order is cancelled."""
    text = order.terms.get("good_till_date", "")
    return read_time(text, zone) if text and order.tif == "GTD" else None


def read_time(text: str, zone: ZoneInfo) -> datetime:
    """Read a time of an order; a day alone is its end. ValueError for any other text."""
    words = text.split()
    if len(words) == 1 and len(text) == 8:
        return datetime.strptime(f"{text} 23:59:59", "%Y%m%d %H:%M:%S").replace(tzinfo=zone)
    moment = formats.read_filter_time(text, zone)
    if moment is None:
        raise ValueError("a time is missing")
    return moment
