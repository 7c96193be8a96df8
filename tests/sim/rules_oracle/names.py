"""How alerters, tickers and references are spelled.

Owns which spellings mean the same; which record is meant in the end is `matching`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from tests.sim.rules_oracle.facts import Contract

_OTHER_NAMES: Final = {
    "demslayerspx": "demslayer",
    "demspxslayer": "demslayer",
    "demspxslayerandleaps": "demslayer",
}
"""The one alerter whose names differ by more than spelling."""
_KNOWN: Final = frozenset({"realdaytrading", "demslayer", "profandkian", "robindahood"})
_OSI: Final = re.compile(r"^\s*(\S.*?)\s*(\d{6})([CP])(\d{8})\s*$")
_PREFIX: Final = "tracker:"


@cache
def _letters(name: str) -> str:
    bare = "".join(letter for letter in name.lower() if letter.isalnum())
    for tail in ("alerts", "alert"):
        if bare.endswith(tail) and bare != tail:
            return bare[: -len(tail)]
    return bare


class Alerters:
    """Tell which alerter a name means: letters and digits, without a trailing alert(s), and aliases."""

    def __init__(self, aliases: Mapping[str, Iterable[str]]) -> None:
        self._same = dict(_OTHER_NAMES)
        for name, others in aliases.items():
            first = self.key(name)
            for other in others:
                self._same[_letters(other)] = first
        self._known = set(_KNOWN) | {self.key(name) for name in aliases}

    def key(self, name: str) -> str:
        bare = _letters(name)
        return self._same.get(bare, bare)

    def knows(self, name: str) -> bool:
        return self.key(name) in self._known


@cache
def ticker_key(ticker: str) -> str:
    """Rule 2.5: `.`, `-`, `/`, space or nothing stand between a ticker's parts; people write `$` first."""
    return re.sub(r"[$.\-/ ]", "", ticker.upper())


def osi(contract: Contract) -> tuple[str, str] | None:
    """Return root and yymmdd of an option's local symbol, where it has that form."""
    found = _OSI.match(contract.local_symbol) if contract.is_option else None
    return (found[1], found[2]) if found else None


@cache
def contract_tickers(contract: Contract) -> frozenset[str]:
    """Return every ticker that may be written for the contract (rule 2.5).

    The trading class of a share names a market segment (NMS), so it counts for all but shares.
    """
    names = {contract.symbol}
    if contract.sec_type != "STK":
        names.add(contract.trading_class)
    if (parts := osi(contract)) is not None:
        names.add(parts[0])
    return frozenset(key for name in names if (key := ticker_key(name)))


def is_adjusted(contract: Contract) -> bool:
    """Rule 2.7: class or root with a digit that the symbol lacks, or an odd multiplier."""
    if contract.sec_type != "OPT":
        return False
    if contract.multiplier not in ("", "100", "100.0"):
        return True
    digits = {letter for letter in contract.symbol if letter.isdigit()}
    parts = osi(contract)
    others = contract.trading_class + (parts[0] if parts else "")
    return any(letter.isdigit() and letter not in digits for letter in others)


@dataclass(frozen=True, slots=True)
class Reference:
    """An order's reference to an alert; `text` is without the prefix."""

    alerter: str
    """The alerter's key."""
    ticker: str
    """The ticker's key."""
    alerter_text: str
    ticker_text: str
    names_contract: bool
    """Whether the ticker is one of the contract's."""
    certain: bool
    """Whether it is meant for us also where no such record is; other programs write slashes too."""

    def same_name(self, other: Reference | None) -> bool:
        """Return whether another one, of an order of that contract, names the same (rules 2.1 and 2.5)."""
        if other is None or self.alerter != other.alerter:
            return False
        return self.ticker == other.ticker or (self.names_contract and other.names_contract)


def read_reference(text: str, contract: Contract, alerters: Alerters) -> Reference | None:
    """Read `ALERTER/TICKER`, the same way at an opening and at a close (rule 2.1).

    It is certain with the prefix, or with an alerter that is listed.
    """
    bare = text.strip()
    prefixed = bare.lower().startswith(_PREFIX)
    if prefixed:
        bare = bare[len(_PREFIX) :].strip()
    alerter, slash, ticker = (part.strip() for part in bare.partition("/"))
    if not (slash and _letters(alerter) and ticker_key(ticker)):
        return None
    names_contract = ticker_key(ticker) in contract_tickers(contract)
    certain = prefixed or alerters.knows(alerter)
    return Reference(alerters.key(alerter), ticker_key(ticker), alerter, ticker, names_contract, certain)
