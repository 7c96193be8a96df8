"""Reading placeOrder (3) and cancelOrder (4) of the three clients at versions 157 to 178.

Owns the place of every field, the blocks that are there only sometimes, and the many spellings of unset. It
decides nothing: `order_rules` does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from tracker.paper import formats
from tracker.paper.contracts import PaperLeg
from tracker.paper.decode_requests import MOST_INTEGER, Cursor, RequestError
from tracker.paper.framing import Fields

MOST_LEGS: Final = 32
MOST_ITEMS: Final = 100
"""The most order conditions, algo parameters or routing tags of one order."""

MOST_CHARACTERS: Final = 512
"""The longest field, so that an order's memory is bounded."""

_NOTHING: Final = formats.UNSET_TEXTS | {"0", "0.0", "-1"}
"""Values by which a client leaves a field unset; openOrder then shows the gateway's own default."""
_TEXTS: Final = frozenset(
    ("oca_group", "open_close", "good_after_time", "good_till_date", "fa_group", "fa_method", "fa_percentage")
) | {
    *("fa_profile", "model_code", "designated_location", "rule_80a", "settling_firm", "hedge_type"),
    *("hedge_param", "clearing_account", "clearing_intent", "algo_strategy", "adjusted_order_type"),
    *("soft_dollar_name", "soft_dollar_value", "reference_exchange"),
}
_FLOATS: Final = frozenset(
    ("discretionary_amt", "percent_offset", "nbbo_price_cap", "starting_price", "stock_ref_price", "delta")
) | {
    *("stock_range_lower", "stock_range_upper", "volatility", "trail_stop_price", "trailing_percent"),
    *("trigger_price", "lmt_price_offset", "adjusted_stop", "adjusted_stop_limit", "adjusted_trailing"),
    *("cash_qty", "pegged_change", "reference_change"),
}
_CONDITION_FIELDS: Final = {"1": "tifiti", "3": "tit", "4": "tii", "5": "tttt", "6": "tiiit", "7": "tifit"}
"""Condition type -> the fields after it: t text, i whole number, f number."""


@dataclass(frozen=True, slots=True)
class AskedContract:
    """Hold an instrument as a client names it; anything may be missing."""

    con_id: int
    symbol: str
    sec_type: str
    expiry: str
    strike: Decimal | None
    right: str
    multiplier: str
    exchange: str
    primary_exchange: str
    currency: str
    local_symbol: str
    trading_class: str
    legs: tuple[PaperLeg, ...] = ()


@dataclass(frozen=True, slots=True)
class AskedOrder:
    """Hold a placeOrder request."""

    order_id: int
    contract: AskedContract
    action: str
    quantity: Decimal | None
    order_type: str
    limit: Decimal | None
    aux: Decimal | None
    tif: str
    account: str
    order_ref: str
    transmit: bool
    parent_id: int
    what_if: bool
    terms: dict[str, str]
    conditions: tuple[tuple[str, ...], ...]


def asked_contract(cursor: Cursor) -> AskedContract:
    """Read the twelve fields of a contract, conId to tradingClass."""
    con_id = cursor.optional_integer()
    symbol, sec_type, expiry = cursor.texts(3)
    strike = cursor.number()
    right, multiplier, exchange, primary_exchange, currency, local_symbol, trading_class = cursor.texts(7)
    return AskedContract(
        con_id,
        symbol.upper(),
        sec_type.upper(),
        expiry.split(" ")[0],
        strike or None,
        {"CALL": "C", "PUT": "P", "?": "", "0": ""}.get(right.upper(), right.upper()),
        multiplier,
        exchange,
        primary_exchange,
        currency.upper(),
        local_symbol,
        trading_class,
    )


def asked_order(fields: Fields, version: int) -> AskedOrder:
    """Read placeOrder; RequestError where it cannot be read, with the order's id once that is known."""
    cursor = Cursor(fields)
    order_id = cursor.for_request()
    if any(len(text) > MOST_CHARACTERS for text in fields):
        raise RequestError(320, f"Error reading request. A field is longer than {MOST_CHARACTERS}.", order_id)
    terms: dict[str, str] = {}
    contract = asked_contract(cursor)
    cursor.skip(2)
    action = cursor.text().upper()
    quantity = cursor.number()
    order_type = cursor.text().upper()
    limit, aux = cursor.number(), cursor.number()
    tif = cursor.text().upper() or "DAY"
    _take(cursor, terms, "oca_group")
    account = cursor.text()
    _take(cursor, terms, "open_close", "origin")
    order_ref = cursor.text()
    transmit = cursor.flag()
    parent_id = cursor.optional_integer()
    _take(
        cursor,
        terms,
        "block_order",
        "sweep_to_fill",
        "display_size",
        "trigger_method",
        "outside_rth",
        "hidden",
    )
    legs = _combo(cursor) if contract.sec_type == "BAG" else ()
    _allocation_to_hedge(cursor, terms, version)
    what_if, conditions = _clearing_to_tail(cursor, terms, version, order_type)
    return AskedOrder(
        order_id,
        replace(contract, legs=legs),
        action,
        quantity,
        order_type,
        limit,
        aux,
        tif,
        account,
        order_ref,
        transmit,
        parent_id,
        what_if,
        terms,
        conditions,
    )


def _combo(cursor: Cursor) -> tuple[PaperLeg, ...]:
    legs = []
    for _ in range(cursor.count(MOST_LEGS)):
        con_id, ratio = cursor.integer(), cursor.integer()
        action, exchange = cursor.texts(2)
        cursor.skip(4)
        legs.append(PaperLeg(con_id, ratio, action.upper(), exchange or "SMART"))
    cursor.skip(cursor.count(MOST_LEGS))
    cursor.skip(2 * cursor.count(MOST_ITEMS))
    return tuple(legs)


def _allocation_to_hedge(cursor: Cursor, terms: dict[str, str], version: int) -> None:
    """Read from the deprecated sharesAllocation to the hedge."""
    cursor.skip(1)
    _take(cursor, terms, "discretionary_amt", "good_after_time", "good_till_date")
    _take(
        cursor, terms, "fa_group", "fa_method", "fa_percentage", *(("fa_profile",) if version < 177 else ())
    )
    _take(cursor, terms, "model_code", "short_sale_slot", "designated_location", "exempt_code", "oca_type")
    _take(
        cursor, terms, "rule_80a", "settling_firm", "all_or_none", "min_qty", "percent_offset", "e_trade_only"
    )
    _take(cursor, terms, "firm_quote_only", "nbbo_price_cap", "auction_strategy", "starting_price")
    _take(cursor, terms, "stock_ref_price", "delta", "stock_range_lower", "stock_range_upper")
    cursor.skip(1)
    _take(cursor, terms, "volatility", "volatility_type")
    delta_neutral = cursor.text()
    cursor.skip(1 + (8 if delta_neutral else 0))
    _take(cursor, terms, "continuous_update", "reference_price_type", "trail_stop_price", "trailing_percent")
    _take(cursor, terms, "scale_init", "scale_subs")
    increment = cursor.number()
    cursor.skip(7 if increment is not None and 0 < increment < Decimal("1e300") else 0)
    cursor.skip(3)
    if _take(cursor, terms, "hedge_type"):
        _take(cursor, terms, "hedge_param")


def _clearing_to_tail(
    cursor: Cursor, terms: dict[str, str], version: int, order_type: str
) -> tuple[bool, tuple[tuple[str, ...], ...]]:
    """Read the rest; return whether the order is a whatIf, and its conditions."""
    _take(cursor, terms, "opt_out_smart_routing", "clearing_account", "clearing_intent", "not_held")
    cursor.skip(3 if cursor.flag() else 0)
    if _take(cursor, terms, "algo_strategy"):
        cursor.skip(2 * cursor.count(MOST_ITEMS))
    cursor.skip(1)
    what_if = cursor.flag()
    cursor.skip(1)
    _take(cursor, terms, "solicited", "randomize_size", "randomize_price")
    if order_type == "PEG BENCH":
        _take(cursor, terms, "reference_contract", "pegged_decrease", "pegged_change", "reference_change")
        _take(cursor, terms, "reference_exchange")
    conditions = _conditions(cursor, terms)
    _take(cursor, terms, "adjusted_order_type", "trigger_price", "lmt_price_offset", "adjusted_stop")
    _take(cursor, terms, "adjusted_stop_limit", "adjusted_trailing", "adjusted_unit")
    cursor.skip(1)
    _take(cursor, terms, "soft_dollar_name", "soft_dollar_value", "cash_qty")
    cursor.skip(4)
    _take(
        cursor, terms, "dont_use_auto_price", "oms_container", "discretionary_up_to_limit", "price_mgmt_algo"
    )
    for since, name in ((158, "duration"), (160, "post_to_ats"), (162, "auto_cancel_parent")):
        if version >= since:
            _take(cursor, terms, name)
    # What may follow (advanced overrides, manual time, pegged offsets) changes nothing here.
    return what_if, conditions


def _conditions(cursor: Cursor, terms: dict[str, str]) -> tuple[tuple[str, ...], ...]:
    conditions = []
    for _ in range(cursor.count(MOST_ITEMS)):
        kind = cursor.text()
        if kind not in _CONDITION_FIELDS:
            raise RequestError(
                321, f"Error validating request. No condition type {kind[:12]!r}.", cursor.request_id
            )
        conditions.append(
            (kind, *(_checked(cursor, cursor.text(), what) for what in _CONDITION_FIELDS[kind]))
        )
    if conditions:
        _take(cursor, terms, "conditions_ignore_rth", "conditions_cancel")
    return tuple(conditions)


def _take(cursor: Cursor, terms: dict[str, str], *names: str) -> str:
    """Read fields, and keep those that are set as terms; return the last one unchanged.

    What openOrder echoes must be readable for every other client, so numbers are checked here.
    """
    text = ""
    for name in names:
        text = cursor.text()
        if text.lower() not in _NOTHING:
            kind = "t" if name in _TEXTS else "f" if name in _FLOATS else "i"
            terms[name] = _checked(cursor, text, kind)
    return text


def _checked(cursor: Cursor, text: str, kind: str) -> str:
    if kind == "t":
        return text
    value = formats.read_number(text)
    if value is None or abs(value) > MOST_INTEGER or (kind == "i" and value != int(value)):
        raise cursor.unreadable(text)
    return formats.plain(value)
