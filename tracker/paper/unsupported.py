"""What the paper gateway will never serve, and how it says so, so that no client waits.

Owns texts and the place of the request id in each such request. It never acts.
"""

from __future__ import annotations

from typing import Final

from tracker.paper.decode_requests import Cursor, RequestError
from tracker.paper.framing import Fields
from tracker.paper.notices import NO_MARKET_DATA

_NO_HISTORY: Final = (
    "Historical Market Data Service error message:No market data permissions. (paper gateway)"
)
_NOT_HERE: Final = "Error validating request. The paper gateway does not serve this request."
_NO_FUNDAMENTALS: Final = "We are sorry, but fundamentals data for the security specified is not available."

REFUSED: Final[dict[str, tuple[int, int, str]]] = {
    **dict.fromkeys(("1", "10"), (2, 354, NO_MARKET_DATA)),
    "97": (1, 354, NO_MARKET_DATA),
    "50": (2, 162, _NO_HISTORY),
    **dict.fromkeys(("20", "22", "86", "87", "88", "96"), (1, 162, _NO_HISTORY)),
    "52": (2, 430, _NO_FUNDAMENTALS),
    **dict.fromkeys(("21", "54", "55", "67", "68"), (2, 321, _NOT_HERE)),
    **dict.fromkeys(("78", "79", "83", "84", "91", "92", "94", "100", "102", "104"), (1, 321, _NOT_HERE)),
    **dict.fromkeys(("18", "19", "24", "65", "66", "72", "73", "80", "82", "85"), (0, 321, _NOT_HERE)),
}
"""Request -> (index of its request id, 0 for none; code; text)."""

_SILENT = (2, 11, 12, 13, 14, 23, 25, 51, 53, 56, 57, 59, 63, 69, 70, 77, 89, 90, 93, 95, 98, 101, 103)
QUIET: Final = frozenset(str(number) for number in _SILENT)
"""Cancellations and settings, to which the real gateway answers nothing either."""


def refusal(fields: Fields) -> RequestError:
    """Return what to say to a request that has no answer here."""
    kind = fields[0]
    if kind not in REFUSED:
        return RequestError(320, f"Error reading request. Unknown message id {kind[:12]!r}.")
    where, code, text = REFUSED[kind]
    if not where:
        return RequestError(code, text)
    return RequestError(code, text, Cursor(fields, where).integer())
