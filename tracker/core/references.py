"""Read the ALERTER/TICKER that an order's reference may carry.

Owns the one way to read a reference, for openings and closes. It knows no record: the caller finds by the
keys which alert a reference names, if any.
"""

from __future__ import annotations

from msgspec import Struct

from tracker.core.alerters import AlerterNames, symbol_key
from tracker.core.contracts import tickers_of
from tracker.core.model import AlertId, Contract

_PREFIX = "tracker:"
_LONGEST = 200


class Reference(Struct, frozen=True):
    """Hold what a text names, for one contract."""

    text: str
    """Without the prefix."""
    keys: frozenset[str]
    """Name keys, one for each way to split the text: a ticker may hold a slash (`BRK/B`)."""
    as_written: frozenset[str]
    """The same, each with its ticker as it is written."""
    certain: bool
    """Whether it certainly names an alert, whatever records exist: by our prefix or a listed alerter.

    Other programs put slashes into their references too.
    """


NO_REFERENCE = Reference("", frozenset(), frozenset(), certain=False)


def read_reference(order_ref: str, contract: Contract, names: AlerterNames) -> Reference:
    """Read any spelling of alerter and ticker, the prefix in any case; no keys where there is no name."""
    text = order_ref.strip()[:_LONGEST]
    if "/" not in text:
        return NO_REFERENCE
    prefixed = text.lower().startswith(_PREFIX)
    text = text[len(_PREFIX) :].strip() if prefixed else text
    parts = [(text[:at].strip(), text[at + 1 :].strip()) for at, sign in enumerate(text) if sign == "/"]
    splits = [(alerter, ticker) for alerter, ticker in parts if alerter and ticker]
    keys = frozenset(name_key(alerter, ticker, contract, names) for alerter, ticker in splits)
    as_written = frozenset(written_key(alerter, ticker, names) for alerter, ticker in splits)
    certain = bool(splits) and (prefixed or any(names.knows(alerter) for alerter, _ in splits))
    return Reference(text, keys, as_written, certain)


def name_key(alerter: str, ticker: str, contract: Contract, names: AlerterNames) -> str:
    """Return the key under which every spelling of ALERTER/TICKER is found, for one contract.

    All tickers of the contract are one: SPXW and SPX for an option of that class.
    """
    key = symbol_key(ticker)
    return f"{names.key(alerter)}/{symbol_key(contract.symbol) if key in tickers_of(contract) else key}"


def written_key(alerter: str, ticker: str, names: AlerterNames) -> str:
    """Return the key of every spelling of ALERTER/TICKER, for this ticker only."""
    return f"{names.key(alerter)}/{symbol_key(ticker)}"


def alert_key(alert: AlertId, contract: Contract, names: AlerterNames) -> str:
    """Return the name key of a record."""
    return name_key(alert.alerter, alert.ticker, contract, names)
