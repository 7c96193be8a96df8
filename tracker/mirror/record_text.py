"""The text of one record as its producer wrote it, and the tracker's three fields beside it.

Owns how the tracker's fields are removed from a record's text and inserted; every other byte stays as it is.
It is pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tracker.core.model import Value
from tracker.stores.json_splice import members, splice

_TAKEN_OUT: Final = ("last_order_update", "position")
_ORDER_KEYS: Final = (
    *("order_id", "status", "filled_qty", "updated_at", "remaining_qty", "avg_fill_price", "last_fill_price"),
    *("side", "account", "perm_id", "con_id", "exec_id", "matched_by", "commission", "realized_pnl"),
)
_POSITION_KEYS: Final = ("quantity", "avg_price", "opened_at", "closed_at", "closed_by", "shared_with")


def producers_text(text: str) -> str:
    """Return a record's text without the tracker's two objects, and with `open` false where it has it."""
    found = members(text)
    kept = [place for place, member in enumerate(found) if member.name not in _TAKEN_OUT]
    if not kept:
        return "{}"
    pieces = [text[: found[0].key_start]]
    for place in kept:
        member = found[place]
        if place != kept[0]:
            pieces.append(text[found[place - 1].end : member.key_start])
        value = "false" if member.name == "open" else text[member.start : member.end]
        pieces += (text[member.key_start : member.start], value)
    pieces.append(text[found[-1].end :])
    return "".join(pieces)


def with_fields(
    text: str,
    *,
    is_open: bool,
    last_order_update: Mapping[str, Value] | None,
    position: Mapping[str, Value] | None,
) -> str:
    """Return a producer's text with the tracker's fields; an object that is None is left out."""
    values: dict[str, object] = {"open": is_open}
    if last_order_update is not None:
        values["last_order_update"] = order_in_order(last_order_update)
    if position is not None:
        values["position"] = position_in_order(position)
    return splice(text, values)


def order_in_order(fields: Mapping[str, Value]) -> dict[str, Value]:
    """Return a last_order_update with its keys as a tracker writes them: PostgreSQL keeps no order."""
    return _in_order(fields, _ORDER_KEYS)


def position_in_order(fields: Mapping[str, Value]) -> dict[str, Value]:
    """Return a position with its keys as a tracker writes them."""
    return _in_order(fields, _POSITION_KEYS)


def _in_order(fields: Mapping[str, Value], keys: tuple[str, ...]) -> dict[str, Value]:
    known = {key: fields[key] for key in keys if key in fields}
    return {**known, **fields}
