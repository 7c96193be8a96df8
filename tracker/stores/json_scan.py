"""Scan JSON text without rebuilding it: find white space, keys and values, and where each ends.

Owns the only scanner of the alert file's text. It is pure and keeps nothing.
"""

from __future__ import annotations

import json
import re
from typing import Final

SPACE: Final = " \t\n\r"

_DIGITS_MAX: Final = 4_000
"""Python refuses to read an integer of more than 4,300 digits."""
_skip: Final = re.compile(r"[ \t\n\r]*").match
_nesting: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL).finditer


def _integer(text: str) -> int | float:
    """Read an integer; one that is too long for Python becomes infinite, so that the file can still be
    read.
    """
    return int(text) if len(text) <= _DIGITS_MAX else float(text)


_decoder: Final = json.JSONDecoder(parse_int=_integer)
read_json: Final = _decoder.decode
"""Read a whole text as json.loads does; raises ValueError, RecursionError."""


def scan_value(text: str, at: int) -> tuple[object, int]:
    """Read the value that starts here; return it and where it ends.

    One that is nested more deeply than Python can read is returned as None. Raises ValueError.
    """
    try:
        return _decoder.raw_decode(text, at)
    except RecursionError:
        return None, _end_of_nested(text, at)


def _end_of_nested(text: str, at: int) -> int:
    """Return where an object or array ends, without reading its content; raises ValueError."""
    depth = 0
    for found in _nesting(text, at):
        sign = found[0]
        depth += (sign in "[{") - (sign in "]}")
        if not depth:
            return found.end()
    raise ValueError(f"not JSON: what starts at character {at} does not end")


def after_space(text: str, at: int) -> int:
    """Return where the white space from here on ends."""
    found = _skip(text, at)
    assert found is not None, "a pattern of * matches everywhere"
    return found.end()


def after_sign(sign: str, text: str, at: int) -> int:
    """Return the place after a character that must be here; raises ValueError."""
    if text[at : at + 1] != sign:
        raise ValueError(f"not JSON: {sign!r} is missing at character {at}")
    return at + 1


def scan_key(text: str, at: int) -> tuple[str, int, int]:
    """Read a member's key; return it, where its text ends, and where the value starts. Raises ValueError."""
    name, key_end = scan_value(text, after_sign('"', text, at) - 1)
    assert isinstance(name, str), "what starts with a quotation mark is a text"
    colon = after_space(text, key_end)
    return name, key_end, after_space(text, after_sign(":", text, colon))
