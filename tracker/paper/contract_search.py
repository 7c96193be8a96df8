"""Finding the instrument that a client means.

Owns the search among what the book knows, and making up what is described completely, so that a person can
trade on paper without any set-up. It never asks a market.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Final

from tracker.paper import formats
from tracker.paper.contracts import BAG_CON_ID, PaperContract, future, numbered, option, stock
from tracker.paper.decode_orders import AskedContract

MOST_MULTIPLIER: Final = Decimal(1_000_000)
MOST_STRIKE: Final = Decimal(10_000_000)


def find(known: dict[int, PaperContract], asked: AskedContract) -> list[PaperContract]:
    """Return the known instruments that fit all that was said; for a combo itself, if its legs are known."""
    if asked.sec_type == "BAG":
        combo = _combo(known, asked)
        return [] if combo is None else [combo]
    if asked.con_id:
        contract = known.get(asked.con_id)
        return [] if contract is None else [_routed(contract, asked)]
    return [_routed(contract, asked) for contract in known.values() if _fits(contract, asked)]


def make_up(asked: AskedContract) -> PaperContract | None:
    """Return an instrument of a complete description, None where it is not complete or not possible."""
    if not asked.symbol or asked.symbol.isspace():
        return None
    multiplier = formats.read_number(asked.multiplier) if asked.multiplier else Decimal(1)
    if multiplier is None or not 0 < multiplier <= MOST_MULTIPLIER:
        return None
    con_id = asked.con_id or None
    currency = asked.currency or "USD"
    if asked.sec_type == "STK":
        where = asked.primary_exchange or "NASDAQ"
        return _routed(stock(asked.symbol, con_id, where, currency, asked.trading_class or "NMS"), asked)
    dated = len(asked.expiry) == 8 and asked.expiry.isdecimal() and asked.expiry.isascii()
    if asked.sec_type == "OPT" and dated and asked.right in ("C", "P"):
        if asked.strike is None or not 0 < asked.strike <= MOST_STRIKE:
            return None
        made = option(
            asked.symbol, asked.expiry, asked.right, asked.strike, con_id, asked.trading_class,
            formats.plain(multiplier) if asked.multiplier else "100", currency,
        )  # fmt: skip
        return _routed(made, asked)
    if asked.sec_type == "FUT" and dated:
        local = asked.local_symbol or f"{asked.symbol}{asked.expiry[2:6]}"
        return _routed(
            future(asked.symbol, asked.expiry, formats.plain(multiplier), local, con_id=con_id), asked
        )
    if asked.sec_type == "CASH":
        made = PaperContract(
            0,
            asked.symbol,
            "CASH",
            exchange="IDEALPRO",
            currency=currency,
            local_symbol=f"{asked.symbol}.{currency}",
        )
        return numbered(made, con_id)
    return None


def matching(known: Iterable[PaperContract], pattern: str, most: int) -> list[PaperContract]:
    """Return stocks whose symbol begins with a pattern."""
    start = pattern.upper()
    stocks = (contract for contract in known if contract.sec_type == "STK")
    return [contract for contract in stocks if contract.symbol.startswith(start)][:most]


def _routed(contract: PaperContract, asked: AskedContract) -> PaperContract:
    return replace(contract, exchange=asked.exchange) if asked.exchange else contract


def _fits(contract: PaperContract, asked: AskedContract) -> bool:
    return (
        contract.sec_type == asked.sec_type
        and asked.symbol in ("", contract.symbol)
        and (asked.expiry == "" or contract.expiry.startswith(asked.expiry))
        and (asked.strike is None or contract.strike == asked.strike)
        and asked.right in ("", contract.right)
        and asked.currency in ("", contract.currency)
        and asked.local_symbol in ("", contract.local_symbol)
        and asked.trading_class in ("", contract.trading_class)
        and (asked.symbol != "" or asked.local_symbol != "")
    )


def _combo(known: dict[int, PaperContract], asked: AskedContract) -> PaperContract | None:
    legs = [known.get(leg.con_id) for leg in asked.legs]
    found = tuple(leg for leg in legs if leg is not None)
    usable = all(leg.action in ("BUY", "SELL") and 0 < leg.ratio <= MOST_MULTIPLIER for leg in asked.legs)
    if not legs or len(found) != len(legs) or not usable:
        return None
    return PaperContract(
        BAG_CON_ID,
        asked.symbol,
        "BAG",
        exchange=asked.exchange or "SMART",
        currency=asked.currency or "USD",
        local_symbol=str(BAG_CON_ID),
        trading_class="COMB",
        legs=asked.legs,
        leg_contracts=found,
    )
