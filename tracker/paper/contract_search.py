"""Finding the instrument that a client means.

Owns the search among the instruments of the book. An instrument that is described completely is made up, so
that a person can trade on paper without any set-up. No market is asked: such an instrument exists unless it
has expired or its date or symbol is impossible.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

from tracker.paper import formats
from tracker.paper.contracts import BAG_CON_ID, PaperContract, future, numbered, option, stock
from tracker.paper.decode_orders import AskedContract

MOST_MULTIPLIER: Final = Decimal(1_000_000)
MOST_STRIKE: Final = Decimal(10_000_000)
INDEXES: Final = {
    "SPX": "CBOE",
    "NDX": "NASDAQ",
    "RUT": "RUSSELL",
    "VIX": "CBOE",
    "XSP": "CBOE",
    "DJX": "CBOE",
}
"""Symbol -> exchange of the indexes that options are written on most."""
FUTURES: Final = {"ES": "50", "NQ": "20", "RTY": "50", "MES": "5", "MNQ": "2", "M2K": "5"}
"""Symbol -> multiplier of the index futures of CME, which expire on the third Friday of a month."""
_MONTHS: Final = "FGHJKMNQUVXZ"
_SYMBOL: Final = re.compile(r"(?!X{3,}$)[A-Z0-9][A-Z0-9 .\-/]{0,15}")


def find(known: dict[int, PaperContract], asked: AskedContract, today: date) -> list[PaperContract]:
    """Return the known instruments that fit a description; for a combo itself, if its legs are known.

    A conId is enough by itself. What has expired by today, in the login's zone, is not found.
    """
    if asked.sec_type == "BAG":
        combo = _combo(known, asked)
        return [] if combo is None else [combo]
    if asked.con_id:
        contract = known.get(asked.con_id)
        found = [] if contract is None else [contract]
    else:
        found = [contract for contract in known.values() if _fits(contract, asked)]
    return [_routed(one, asked) for one in found if not one.expiry or one.expiry >= f"{today:%Y%m%d}"]


def make_up(asked: AskedContract, today: date) -> PaperContract | None:
    """Return an instrument made from its description; None where that is incomplete or impossible."""
    if not _SYMBOL.fullmatch(asked.symbol):
        return None
    multiplier = formats.read_number(asked.multiplier) if asked.multiplier else Decimal(1)
    if multiplier is None or not 0 < multiplier <= MOST_MULTIPLIER:
        return None
    con_id = asked.con_id or None
    currency = asked.currency or "USD"
    made = None
    match asked.sec_type:
        case "STK":
            where = asked.primary_exchange or "NASDAQ"
            made = stock(asked.symbol, con_id, where, currency, asked.trading_class or "NMS")
        case "IND" if asked.symbol in INDEXES:
            index = PaperContract(
                0, asked.symbol, "IND", exchange=INDEXES[asked.symbol], local_symbol=asked.symbol
            )
            made = numbered(index, con_id)
        case "OPT" if _lives(asked.expiry, today) and asked.right in ("C", "P"):
            if asked.strike is None or not 0 < asked.strike <= MOST_STRIKE:
                return None
            made = option(
                asked.symbol, asked.expiry, asked.right, asked.strike, con_id, asked.trading_class,
                formats.plain(multiplier) if asked.multiplier else "100", currency,
            )  # fmt: skip
        case "FUT":
            made = _future(asked, multiplier, today)
        case "CASH":
            pair = f"{asked.symbol}.{currency}"
            cash = PaperContract(
                0, asked.symbol, "CASH", exchange="IDEALPRO", currency=currency, local_symbol=pair
            )
            made = numbered(cash, con_id)
    return None if made is None else _routed(made, asked)


def matching(known: Iterable[PaperContract], pattern: str, most: int) -> list[PaperContract]:
    """Return stocks whose symbol begins with a pattern."""
    start = pattern.upper()
    stocks = (contract for contract in known if contract.sec_type == "STK")
    return [contract for contract in stocks if contract.symbol.startswith(start)][:most]


def _future(asked: AskedContract, multiplier: Decimal, today: date) -> PaperContract | None:
    """Return a future of a day or, where the multiplier is known, of a month."""
    text, usual = asked.expiry, FUTURES.get(asked.symbol)
    if re.fullmatch(r"\d{6}", text) and (usual or asked.multiplier):
        text = _third_friday(text)
    if not _lives(text, today):
        return None
    factor = formats.plain(multiplier) if asked.multiplier else usual or "1"
    local = asked.local_symbol or f"{asked.symbol}{_MONTHS[int(text[4:6]) - 1]}{text[3]}"
    return future(asked.symbol, text, factor, local, con_id=asked.con_id or None)


def _third_friday(month: str) -> str:
    try:
        first = date(int(month[:4]), int(month[4:]), 1)
    except ValueError:
        return ""
    return f"{first + timedelta(days=(4 - first.weekday()) % 7 + 14):%Y%m%d}"


def _lives(expiry: str, today: date) -> bool:
    """Return whether this is a day of the calendar that is not over."""
    if not re.fullmatch(r"[0-9]{8}", expiry):
        return False
    try:
        return datetime.strptime(expiry, "%Y%m%d").date() >= today
    except ValueError:
        return False


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
