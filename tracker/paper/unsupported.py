"""Requests that the paper gateway does not serve, and the answers that keep clients from waiting for them.

Owns the table: an empty answer for requests without an id, an error with the id for the others. The codes are
those that both Python libraries take for an error: ib_async takes 321 for a warning and would wait for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tracker.paper.decode_requests import Cursor, RequestError
from tracker.paper.framing import Fields
from tracker.paper.notices import NO_MARKET_DATA

_NO_HISTORY: Final = (
    "Historical Market Data Service error message:No market data permissions. (paper gateway)"
)
_NOT_HERE: Final = "Error processing request. The paper gateway does not serve this request."
_NO_FUNDAMENTALS: Final = "We are sorry, but fundamentals data for the security specified is not available."

REFUSED: Final[dict[str, tuple[int, int, str]]] = {
    **dict.fromkeys(("1", "10"), (2, 354, NO_MARKET_DATA)),
    "97": (1, 354, NO_MARKET_DATA),
    "50": (2, 162, _NO_HISTORY),
    **dict.fromkeys(("22", "20", "86", "87", "88", "96"), (1, 162, _NO_HISTORY)),
    "52": (2, 430, _NO_FUNDAMENTALS),
    **dict.fromkeys(("21", "54", "55", "67", "68"), (2, 322, _NOT_HERE)),
    **dict.fromkeys(("78", "79", "83", "84", "100", "102", "104"), (1, 322, _NOT_HERE)),
    **dict.fromkeys(("65", "66", "72", "73"), (0, 322, _NOT_HERE)),
}
"""Request -> (index of its request id, 0 for none; code; text)."""


def _fa_data(fields: Fields) -> Fields:
    cursor = Cursor(fields)
    cursor.skip(1)
    return ("16", "1", str(cursor.integer()), "")


def _fa_replaced(fields: Fields) -> Fields:
    return ("103", fields[4] if len(fields) > 4 else "-1", "")


def _market_rule(fields: Fields) -> Fields:
    return ("93", str(Cursor(fields).integer()), "1", "0", "0.01")


EMPTY: Final[dict[str, Callable[[Fields], Fields]]] = {
    "18": _fa_data,
    "19": _fa_replaced,
    "24": lambda fields: ("19", "1", "<ScanParameterResponse/>"),
    "80": lambda fields: ("78", "0"),
    "82": lambda fields: ("80", "0"),
    "85": lambda fields: ("85", "0"),
    "91": _market_rule,
}
"""Request without an id in its answer -> the answer: nothing, or for 91 the one rule of prices, 0.01."""

_SILENT = (2, 11, 12, 13, 14, 23, 25, 51, 53, 56, 57, 59, 63, 69, 70, 77, 89, 90, 98, 101, 103)
QUIET: Final = frozenset(str(number) for number in _SILENT)
"""Cancellations, settings and bulletins, to which the real gateway answers nothing either."""


def refusal(fields: Fields) -> RequestError:
    """Return the answer to a request that is not served."""
    kind = fields[0]
    if kind not in REFUSED:
        return RequestError(320, f"Error reading request. Unknown message id {kind[:12]!r}.")
    where, code, text = REFUSED[kind]
    if not where:
        return RequestError(code, text)
    return RequestError(code, text, Cursor(fields, where).integer())
