"""The fields of TWS messages that hold names of accounts and people, and the texts that are never names.

Owns the places of fields, for server versions 157 to 178, and the list of texts that may stay in any field.
What is not listed here, neither as a message nor as a word, is treated as a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Final

from tracker.core.journal_entries import Fields
from tracker.gateway.times import zone_named
from tracker.recordings.transcript import CLIENT, HANDSHAKE, Side

NEWEST_VERSION: Final = 178
"""The newest server version whose layouts are listed here."""
_WITHOUT_PROFILE: Final = 177
"""From this version on an order has no faProfile, so the fields after it have lower numbers."""
_EXECUTION: Final = "11"
_WITH_REVISION: Final = 178
"""From this version on an execution has a last field pendingPriceRevision."""
_REVISION_AT: Final = 31
OLDEST_READER: Final = 176
"""ib_insync's newest version; messages of newer versions are changed to its layouts."""


class Part(Enum):
    """Name what a field holds; the text that replaces a name begins with the value."""

    ACCOUNT = "account"
    ACCOUNTS = "accounts"
    """Several accounts, separated by commas."""
    REFERENCE = "ref"
    MODEL = "model"
    GROUP = "group"
    """An advisor's group or profile."""
    OTHER = "text"
    """Any text; it stays if it cannot be a name."""
    WORDS = "words"
    """Text for people, in which only known names are replaced."""
    ALLOCATION = "allocation"
    """permId, account and share of an order, separated by slashes."""
    PUBLIC = "public"
    """A description of a contract, or a keyword of the protocol."""


def _public(*spans: tuple[int, int]) -> dict[int, Part]:
    return {place: Part.PUBLIC for first, last in spans for place in range(first, last + 1)}


_FROM_GATEWAY: Final[Mapping[str, Mapping[int, Part]]] = {
    "3": {},
    "4": {4: Part.WORDS, 5: Part.WORDS},
    "5": {
        **_public((2, 12)),
        19: Part.REFERENCE,
        20: Part.ACCOUNT,
        23: Part.REFERENCE,
        30: Part.ALLOCATION,
        31: Part.GROUP,
        34: Part.GROUP,
        35: Part.MODEL,
    },
    "6": {2: Part.PUBLIC, 5: Part.ACCOUNT},
    "7": {**_public((2, 12)), 19: Part.ACCOUNT},
    "11": {**_public((3, 15), (17, 17)), 16: Part.ACCOUNT, 26: Part.REFERENCE, 29: Part.MODEL},
    "15": {2: Part.ACCOUNTS},
    "54": {2: Part.ACCOUNT},
    "59": _public((2, 2)),
    "61": {2: Part.ACCOUNT, **_public((3, 13))},
    "63": {3: Part.ACCOUNT, 4: Part.PUBLIC},
    "71": {3: Part.ACCOUNT, **_public((4, 14)), 17: Part.MODEL},
    "73": {3: Part.ACCOUNT, 4: Part.MODEL, 5: Part.PUBLIC},
    "101": {
        **_public((1, 11)),
        18: Part.REFERENCE,
        19: Part.ACCOUNT,
        22: Part.REFERENCE,
        28: Part.GROUP,
        31: Part.GROUP,
        32: Part.MODEL,
    },
}
_FROM_CLIENT: Final[Mapping[str, Mapping[int, Part]]] = {
    "3": {**_public((2, 13)), 22: Part.REFERENCE, 23: Part.ACCOUNT, 26: Part.REFERENCE},
    "6": {3: Part.ACCOUNT},
    "7": {4: Part.ACCOUNT, 6: Part.PUBLIC},
    "21": {**_public((3, 13)), 16: Part.ACCOUNT},
    "62": {3: Part.GROUP, 4: Part.PUBLIC},
    "74": {3: Part.ACCOUNT, 4: Part.MODEL},
    "76": {3: Part.ACCOUNT, 4: Part.MODEL},
    "92": {2: Part.ACCOUNT, 3: Part.MODEL},
    "94": {2: Part.ACCOUNT, 3: Part.MODEL},
}
_MARKET_FROM_GATEWAY: Final = frozenset(
    re.findall(
        r"\d+",
        "1 2 10 12 13 17 18 19 20 21 45 46 47 50 51 57 58 75 76 79 80 81 82 83 84 85 86 87 88 89 90 91 92"
        " 93 96 97 98 99 104 105 106",
    )
)
_MARKET_FROM_CLIENT: Final = frozenset(
    re.findall(
        r"\d+",
        "1 2 9 10 11 20 22 23 24 25 50 51 52 53 54 55 56 57 59 78 81 82 83 84 86 87 88 89 90 91 96 97 98",
    )
)
"""Messages about contracts and markets: their contents are public, except known names."""

_ORDERS: Final = {"5": (34, 35), "101": (31, 32)}
"""The place of faProfile in an order message; the model code comes after it."""

_TOKENS: Final = frozenset(
    re.findall(
        r"\S+",
        """
    IB Away PTA None true false Infinity Infinite NaN USD EUR GBP CHF JPY CAD AUD HKD SEK NOK DKK BASE
    BUY SELL SSHORT SLONG BOT SLD C P CALL PUT CALLS PUTS O CLOSE OPEN ? STK OPT FUT FOP IND CASH BAG BOND
    CFD FUND WAR CMDTY CRYPTO SMART GTC DAY IOC GTD OPG FOK DTC AUC MKT LMT STP TRAIL LIMIT MIT LIT MOC
    LOC REL VOL PEG MID BEST STK PRIM BENCH MTL BOX TOP RPI MIDPRICE SNAP PASSV
    PendingSubmit PendingCancel PreSubmitted Submitted ApiPending ApiCancelled Cancelled Filled Inactive
    Expired child trigger locate Adaptive adaptivePriority Urgent Normal Patient Twap Vwap NonGuaranteed COMB
    EqualQuantity NetLiq AvailableEquity PctChange Equal Percent All INDIVIDUAL EXERCISE ASSIGN
    NASDAQ NYSE AMEX ARCA ISLAND BATS IEX CBOE CBOE2 PHLX ISE BOX EDGX EDGEA DRCTEDGE BYX BEX CME GLOBEX
    NYMEX COMEX CBOT CFE EUREX IBIS IDEALPRO PEARL MIAX EMERALD GEMINI MERCURY NASDAQOM NASDAQBX MEMX
    LTSE PSX VALUE
    """,
    )
)
_HARMLESS: Final = re.compile(
    r"""
      [-+]?\d*\.?\d*(?:[eE][-+]?\d+)?                       # a number, or nothing
    | \d\d:\d\d
    | v\d+\.\.\d+                                          # the versions that a client speaks
    | [\d.]+/(?:[A-Z]+9\d{6}|account-\d+)?/[\d.]+             # an allocation whose account was replaced
    | -?\d+\|-?\d+(?:,-?\d+\|-?\d+)*                        # the legs of a combo
    | [0-9a-f]{8}\.[0-9a-f]{8}(?:\.\d\d){2}                 # an execution
    | Not\ an\ insider\ or\ substantial\ shareholder
    | Filled\ Size:\ [\d.]+
    | (?:Cancelled|Rejected)\ by\ (?:Trader|System):?\s*
    """,
    re.VERBOSE | re.ASCII,
)
_UPPER_TOKENS: Final = frozenset(word.upper() for word in (*_TOKENS, *(part.value for part in Part)))
_TIME: Final = re.compile(r"\d{8}[- ]+\d\d:\d\d:\d\d(?: (.+))?", re.ASCII)
_TEXTS_KEPT: Final = 1 << 16
_LAYOUTS_KEPT: Final = 1024
_BETWEEN_TOKENS: Final = re.compile("[ ,]")


@lru_cache(_TEXTS_KEPT)
def is_harmless(text: str) -> bool:
    """Return whether a text cannot be a name: a number, a time, or words of the protocol."""
    if _HARMLESS.fullmatch(text):
        return True
    if (time := _TIME.fullmatch(text)) is not None:
        return time[1] is None or zone_named(time[1]) is not None
    return all(word in _TOKENS for word in _BETWEEN_TOKENS.split(text))


def is_token(text: str) -> bool:
    """Return whether a text is a word of the protocol, in any case."""
    return text.upper() in _UPPER_TOKENS


@lru_cache(_LAYOUTS_KEPT)
def parts_of(kind: str, size: int, by: Side, version: int) -> Sequence[Part]:
    """Return what each field of a message holds; `version` is that of the link, 0 before it is known."""
    market = _MARKET_FROM_CLIENT if by == CLIENT else _MARKET_FROM_GATEWAY
    if kind == HANDSHAKE or kind in market:
        return [Part.PUBLIC, *[Part.WORDS] * (size - 1)]
    if not (kind.isascii() and kind.isdecimal()):
        return [Part.OTHER] * size
    layout = (_FROM_CLIENT if by == CLIENT else _FROM_GATEWAY).get(kind, {})
    if by != CLIENT and kind in _ORDERS and version >= _WITHOUT_PROFILE:
        profile, model = _ORDERS[kind]
        layout = {**layout, profile: Part.MODEL, model: Part.OTHER}
    return [Part.PUBLIC, *(layout.get(place, Part.OTHER) for place in range(1, size))]


def as_older(fields: Fields, recorded: int, version: int) -> Fields:
    """Return a message of the gateway in the layout of an older version, `OLDEST_READER` or later.

    An order gets an empty faProfile, and an execution loses its pendingPriceRevision.
    """
    kind = fields[0]
    if kind in _ORDERS and version < _WITHOUT_PROFILE <= recorded:
        place = _ORDERS[kind][0]
        return (*fields[:place], "", *fields[place:])
    if kind == _EXECUTION and version < _WITH_REVISION <= recorded:
        return fields[:_REVISION_AT]
    return fields


def contract_names(fields: Fields, by: Side) -> Fields:
    """Return symbol, local symbol and trading class of the contract that an order or execution is about."""
    first = {"5": 2, "101": 1, "11": 3}.get(fields[0]) if by != CLIENT else {"3": 2}.get(fields[0])
    if first is None:
        return ()
    offsets = (1, 9, 10) if by != CLIENT else (1, 10, 11)
    return tuple(fields[first + each] for each in offsets if first + each < len(fields))
