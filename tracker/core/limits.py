"""Bound the numbers, texts and dates that come from outside: the wire, Flex files, alert stores, the socket.

Owns how large each may be, and the reading of a number within those bounds. Every edge reads through here
once, so that the core computes exactly (28 digits), a row written to the journal is read back, and whatever
is stored can be printed in any time zone. It never decides what happens to a refused value.

| what | bound |
|---|---|
| a number | 12 digits before the point, 24 after it; quantities 12 after it |
| a whole number | 64 bits with sign |
| an id (execId, account) | 100 characters |
| any other text | 200 characters, the rest is cut off; always UTF-8 |
| a day | years 1970 to 2199 |
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Final

WHOLE_DIGITS: Final = 12
DECIMALS: Final = 24
"""A double that the broker prints in full has up to 17 digits, after a few zeros where it is small."""
QUANTITY_DECIMALS: Final = 12
"""With twelve digits before the point, ten thousand quantities still add up exactly."""
ID_LENGTH: Final = 100
TEXT_LENGTH: Final = 200
NUMBER_LENGTH: Final = 64
"""Longest text that is looked at for a number, in characters."""

_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 2199
"""A day more or less, or another time zone, leads from none of these years beyond what a date can hold."""
_INTEGER_LIMIT: Final = 2**63
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_INTEGER: Final = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_QUOTED: Final = 40


class OutOfBounds(ValueError):
    """A text holds no usable value; the message says why, to follow the name of the field."""


@lru_cache(4096)
def read_number(text: str, decimals: int = DECIMALS) -> Decimal:
    """Read a decimal number exactly as written; raises OutOfBounds."""
    if len(text) > NUMBER_LENGTH or not _NUMBER.fullmatch(text):
        raise OutOfBounds(f"is not a number: {quoted(text)}")
    value = Decimal(text)
    if value.adjusted() >= WHOLE_DIGITS:
        raise OutOfBounds(f"has more than {WHOLE_DIGITS} digits before the point: {quoted(text)}")
    if -_exponent(value) > decimals:
        raise OutOfBounds(f"has more than {decimals} digits after the point: {quoted(text)}")
    return value


def read_quantity(text: str) -> Decimal:
    """Read a number that is added up; raises OutOfBounds."""
    return read_number(text, QUANTITY_DECIMALS)


def read_integer(text: str) -> int:
    """Read a whole number of 64 bits; raises OutOfBounds."""
    if not _INTEGER.fullmatch(text):
        raise OutOfBounds(f"is not a whole number of 64 bits: {quoted(text)}")
    value = int(text)
    if not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        raise OutOfBounds(f"is not a whole number of 64 bits: {quoted(text)}")
    return value


def read_id(text: str) -> str:
    """Return an id as it is; raises OutOfBounds where it is empty or too long to be one."""
    if text.isascii() and 0 < len(text) <= ID_LENGTH:
        return text
    if not text:
        raise OutOfBounds("is empty")
    if len(text) > ID_LENGTH:
        raise OutOfBounds(f"is longer than {ID_LENGTH} characters: {quoted(text)}")
    return clean_text(text)


def clean_text(text: str, length: int = TEXT_LENGTH) -> str:
    """Cut a text to its bound, with a backslash escape for what UTF-8 cannot encode (half an emoji)."""
    if len(text) > length:
        text = text[:length]
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()[:length]


def is_plausible(day: date) -> bool:
    """Return whether a day, or the day of a time, lies within the years that count."""
    return _FIRST_YEAR <= day.year <= _LAST_YEAR


def quoted(text: str) -> str:
    """Quote the beginning of a text for a message."""
    return repr(text[:_QUOTED]) + ("..." if len(text) > _QUOTED else "")


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int), "the pattern lets through finite numbers only"
    return exponent
