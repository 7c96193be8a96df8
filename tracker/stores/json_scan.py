"""Walk over JSON text without rebuilding it: white space, keys and values, and where each of them ends.

Owns the only scanner of the alert file's text. It is pure and keeps nothing.
"""

from __future__ import annotations

import json
import re
from typing import Final

SPACE: Final = " \t\n\r"

scan_value: Final = json.JSONDecoder().raw_decode
"""(text, at) -> (value, where it ends); the parser of json.loads. Raises ValueError, RecursionError."""
_skip: Final = re.compile(r"[ \t\n\r]*").match


def after_space(text: str, at: int) -> int:
    """Return where the white space from here on ends."""
    found = _skip(text, at)
    assert found is not None, "a pattern of * matches everywhere"
    return found.end()


def after_sign(sign: str, text: str, at: int) -> int:
    """Return the place behind a sign that must stand here; raises ValueError."""
    if text[at : at + 1] != sign:
        raise ValueError(f"not JSON: {sign!r} is missing at character {at}")
    return at + 1


def scan_key(text: str, at: int) -> tuple[str, int, int]:
    """Read a member's key; return it, where its text ends, and where the value starts. Raises ValueError."""
    name, key_end = scan_value(text, after_sign('"', text, at) - 1)
    colon = after_space(text, key_end)
    return name, key_end, after_space(text, after_sign(":", text, colon))
