"""How people and programs spell one alerter, one ticker and one reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

from tracker.paper.contracts import PaperContract

ALERTERS: Final[Mapping[str, tuple[str, ...]]] = {
    "robindahood-alerts": ("robindahood-alerts", "Robindahood Alerts", "robindahood"),
    "demslayer": ("demslayer", "demslayer-spx-alerts", "Dem Slayer"),
    "real-day-trading": ("real-day-trading", "RealDayTrading", "Real Day Trading Alerts"),
    "somebody-else": ("somebody-else", "Somebody Else"),
}
_TICKERS: Final[Mapping[str, tuple[str, ...]]] = {"BRK B": ("BRK B", "BRK-B", "BRKB", "BRK.B", "BRK/B")}
_PREFIXES: Final = ("", "tracker:", "Tracker:", "TRACKER: ")


def alerters(name: str) -> Sequence[str]:
    """Return every spelling of the alerter that is spelled so."""
    return next(spelled for spelled in ALERTERS.values() if name in spelled)


def tickers(contract: PaperContract) -> Sequence[str]:
    """Return what may be written for a contract's ticker."""
    if contract.sec_type == "OPT" and contract.symbol == "SPX":
        return ("SPX", "SPXW")
    return _TICKERS.get(contract.symbol, (contract.symbol,))


def reference(rng: Random, alerter: str, ticker: str, contract: PaperContract, respellings: float) -> str:
    """Return an order's reference to an alert, by its names or by another spelling of them."""
    if rng.random() >= respellings:
        return rng.choice(_PREFIXES[:2]) + f"{alerter}/{ticker}"
    if ticker in tickers(contract):
        ticker = rng.choice(tickers(contract))
    return rng.choice(_PREFIXES) + f"{rng.choice(alerters(alerter))}/{ticker}"
