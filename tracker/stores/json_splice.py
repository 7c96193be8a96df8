"""Put the tracker's values into the text of one record, and leave every other byte as it is.

Owns splicing values into a JSON object's text in that text's own style. It is pure, knows no field by name,
and never parses and dumps a record as a whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from tracker.stores.json_scan import SPACE, after_space, scan_key, scan_value

_LEAD: Final = re.compile(r'([ \t\n\r]*)"').search


class Member(NamedTuple):
    """Locate one member of an object's text."""

    name: str
    key_start: int
    colon: str
    start: int
    """Where the value starts."""
    end: int


class Style(NamedTuple):
    """Describe how an object's members are spaced."""

    lead: str
    """The new line and indent in front of each key; empty for an object on one line."""
    comma: str
    """The text between a value and the next lead."""
    colon: str
    indent: str | None
    """The indent of one level of nesting; None for an object on one line."""


def members(record: str) -> list[Member]:
    """Locate the members of an object's text, in order, duplicates included; raises ValueError."""
    found: list[Member] = []
    at = after_space(record, 1)
    while record[at] != "}":
        name, key_end, start = scan_key(record, at)
        _, end = scan_value(record, start)
        found.append(Member(name, at, record[key_end:start], start, end))
        at = after_space(record, end)
        if record[at] == ",":
            at = after_space(record, at + 1)
    return found


def splice(record: str, values: Mapping[str, object], key_before: str = "") -> str:
    """Return the record's text with these values: replaced where present, else added at its end in this
    order.

    `key_before` is the text in front of the record, from which an empty record takes its style. Of duplicate
    keys the last, which readers see, gets the value. Raises ValueError for a value that JSON cannot express.
    """
    found = members(record)
    style = _style(record, found, key_before)
    places = {member.name: member for member in found}
    pieces: list[str] = []
    done = 0
    for member in sorted(
        (places[name] for name in values if name in places), key=lambda member: member.start
    ):
        pieces += (record[done : member.start], _dump(values[member.name], style))
        done = member.end
    last = found[-1].end if found else 1
    pieces.append(record[done:last])
    empty = not found
    for name, value in values.items():
        if name not in places:
            pieces += (
                "" if empty else style.comma,
                style.lead,
                json.dumps(name),
                style.colon,
                _dump(value, style),
            )
            empty = False
    rest = record[last:]
    if not found and not empty:
        rest = _closing_lead(style) + rest.lstrip(SPACE)
    pieces.append(rest)
    return "".join(pieces)


def _style(record: str, found: list[Member], key_before: str) -> Style:
    if not found:
        return _style_around(key_before)
    lead, comma = record[1 : found[0].key_start], ","
    colon = found[0].colon
    between = record[found[-2].end : found[-1].key_start] if len(found) > 1 else ""
    if between:
        comma = between[: between.index(",") + 1]
        lead = between[len(comma) :]
    if "\n" not in lead:
        return Style("", between or (", " if colon.endswith(" ") else ","), colon, None)
    inner = lead[lead.rfind("\n") + 1 :]
    closing = record[found[-1].end : -1]
    outer = closing[closing.rfind("\n") + 1 :]
    nested = inner.startswith(outer) and len(inner) > len(outer)
    return Style(lead, comma, colon, inner[len(outer) :] if nested else "  ")


def _style_around(key_before: str) -> Style:
    """Guess the style of an empty record from the indent of its own key, which is two levels deep."""
    found = _LEAD(key_before)
    lead = found[1] if found else ""
    cut = lead.rfind("\n") + 1
    if not cut:
        tight = key_before.endswith(":")
        return Style("", "," if tight else ", ", ":" if tight else ": ", None)
    outer = lead[cut:]
    unit = outer[: len(outer) // 2] or "  "
    start = cut - 2 if lead[:cut].endswith("\r\n") else cut - 1
    return Style(lead[start:] + unit, ",", ": ", unit)


def _closing_lead(style: Style) -> str:
    return "" if style.indent is None else style.lead[: len(style.lead) - len(style.indent)]


def _dump(value: object, style: Style) -> str:
    if style.indent is None:
        separators = (",", ":") if style.colon == ":" else (", ", ": ")
        return json.dumps(value, separators=separators, allow_nan=False)
    if isinstance(value, dict) and value and not any(map(_nests, value.values())):
        # With an indent, json encodes in Python, which costs a fill more time than its write. The C encoder
        # can do one level.
        inner = style.lead + style.indent
        text = json.dumps(value, separators=("," + inner, ": "), allow_nan=False)
        return f"{{{inner}{text[1:-1]}{style.lead}}}"
    # Line breaks inside strings are escaped, so each one here is a new line of the value.
    text = json.dumps(value, indent=style.indent, allow_nan=False)
    return text.replace("\n", style.lead)


def _nests(value: object) -> bool:
    return isinstance(value, dict | list | tuple) and bool(value)
