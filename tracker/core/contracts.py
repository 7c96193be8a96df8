"""The names of a contract: its tickers, the day on which it expires, whether it is an adjusted one.

Owns the one reader of names and the one reader of days, used for opening, closing, succession and audit alike
(`MATCHING.md`, "Names and days"). Pure: it reads a contract as the broker described it, and no alert.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

from tracker.core.alerters import symbol_key
from tracker.core.model import Contract

_LOCAL_OPTION: Final = re.compile(r"(?P<root>\S{1,6}?)\s*(?P<day>\d{6})[CP]\d{8}", re.ASCII)
"""An option's local symbol: root, day as YYMMDD, right and strike: `TSLA  301220C00095000`."""
_DAY_BEFORE_SETTLEMENT: Final = frozenset({"SPX", "NDX", "RUT", "VIX"})
"""Trading classes settled on the morning after their last trade date."""
_DAY: Final = timedelta(days=1)
_SATURDAY: Final = 5
_STANDARD_MULTIPLIERS: Final = frozenset({"", "100", "100.0"})


@lru_cache(4096)
def tickers_of(contract: Contract) -> frozenset[str]:
    """Return the keys (`symbol_key`) of all tickers by which people mean a contract.

    That is the symbol and the trading class (SPXW, 6E); for an option also the root of the local symbol, else
    the whole local symbol. A stock's class names its market.
    """
    names = {contract.symbol, _local_root(contract) if contract.is_option else contract.local_symbol}
    if contract.sec_type != "STK":
        names.add(contract.trading_class)
    return frozenset(key for name in names if (key := symbol_key(name)))


@lru_cache(4096)
def is_expiring(contract: Contract, day: date) -> bool:
    """Return whether a day is an option's expiry day or later; AM-settled ones trade last on the evening
    before the day that their symbol says.
    """
    days = days_of(contract) if contract.is_option else ()
    return bool(days) and days[0] <= day


@lru_cache(4096)
def days_of(contract: Contract) -> tuple[date, ...]:
    """Return the days that people may name as a contract's expiry, the most likely one first.

    The day in the local symbol, where there is one; a last trade date before it is meant too (AM-settled
    contracts trade last on the evening before). Else the last trade date; without a local symbol the classes
    that settle in the morning are called by the next trading day as well.
    """
    found = _LOCAL_OPTION.fullmatch(contract.local_symbol.strip()) if contract.is_option else None
    day = None if found is None else _day(found["day"])
    if day is not None:
        earlier = contract.expiry is not None and contract.expiry < day
        return (day, contract.expiry) if earlier and contract.expiry is not None else (day,)
    if contract.expiry is None:
        return ()
    if contract.trading_class not in _DAY_BEFORE_SETTLEMENT:
        return (contract.expiry,)
    # Holidays are not known here: only weekends separate trading days.
    settled = contract.expiry + _DAY
    while settled.weekday() >= _SATURDAY:
        settled += _DAY
    return (settled, contract.expiry)


def last_day(contract: Contract) -> date | None:
    """Return the day on which a contract ends; None if it does not end."""
    days = days_of(contract)
    return days[0] if days else None


@lru_cache(4096)
def adjustment_of(contract: Contract) -> str:
    """Return the sign of a corporate action that changed an option's deliverable; empty if there is none."""
    if contract.sec_type != "OPT":
        return ""
    for what, name in (("class", contract.trading_class), ("root", _local_root(contract))):
        if any(sign.isdigit() and sign not in contract.symbol for sign in name):
            return f"an adjusted contract ({what} {name})"
    if contract.currency in ("", "USD") and contract.multiplier not in _STANDARD_MULTIPLIERS:
        return f"an adjusted contract (multiplier {contract.multiplier})"
    return ""


def _local_root(contract: Contract) -> str:
    """Return the root of an option's local symbol; one without a day in it has none."""
    found = _LOCAL_OPTION.fullmatch(contract.local_symbol.strip())
    return "" if found is None else found["root"]


def _day(text: str) -> date | None:
    try:
        return date(2000 + int(text[:2]), int(text[2:4]), int(text[4:]))
    except ValueError:
        return None
