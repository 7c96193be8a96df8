"""What an event of a scenario does, in one line of text.

Owns the wording. It knows no gateway, so quantities that only the book knows are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.paper.scenario import Event


def event_text(event: Event) -> str:
    """Return one line about an event, `client 7 buys 10 nvda-call at 2.51 (calls)`."""
    values = event.values
    match event.do:
        case "order":
            return f"{_who(values)} {_wants(values)}{_at(values, 'limit')}{_named(values)}"
        case "execute":
            return f"{_who(values)} {_wants(values)}{_at(values, 'price')}, an execution without its order"
        case "fill":
            quantity = values.get("quantity", "the rest")
            return f"{quantity} of {values.get('order', 'the oldest order')} filled{_at(values, 'price')}"
        case _:
            told = (f"{key} {_plain(value)}" for key, value in values.items() if key != "name")
            return " ".join((event.do, ", ".join(told))).rstrip()


def _who(values: Mapping[str, Any]) -> str:
    return "by hand:" if values.get("manual") else f"client {values.get('client_id', 0)}"


def _wants(values: Mapping[str, Any]) -> str:
    verb = {"BUY": "buys", "SELL": "sells"}.get(str(values["side"]), "sells short")
    return f"{verb} {values['quantity']} {values['contract']}"


def _at(values: Mapping[str, Any], key: str) -> str:
    price = values.get(key)
    return "" if price is None else f" at {price}"


def _named(values: Mapping[str, Any]) -> str:
    return f" ({values['name']})" if "name" in values else ""


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value) or '""'
