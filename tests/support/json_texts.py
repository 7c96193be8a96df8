"""Hypothesis strategies for JSON texts in every formatting that a writer may choose.

A text is drawn together with its parts, so that a test knows where each value stands without parsing it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeAlias

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

Draw: TypeAlias = Any

calm = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
"""Time says nothing here: a loaded machine is slow, and drawing a text takes longer than cutting it."""

space = st.text(alphabet=" \t\n\r", max_size=3)
names = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["open", "position", "last_order_update", "created_at", "option_conid", 'a"b', "}", "\\", "NVDA"]
)
numbers = st.sampled_from(
    ["0", "-0", "1.0", "1e5", "1E+05", "122.50", "9" * 40, "0.1000000000000000055", "1e400"]
)


def _spell(draw: Draw, name: str) -> str:
    return json.dumps(name, ensure_ascii=draw(st.booleans()))


@st.composite
def _object(draw: Draw, value: st.SearchStrategy[str]) -> str:
    members = draw(st.lists(st.tuples(names, value), max_size=3))
    parts = [
        f"{draw(space)}{_spell(draw, name)}{draw(space)}:{draw(space)}{text}{draw(space)}"
        for name, text in members
    ]
    return "{" + (",".join(parts) or draw(space)) + "}"


@st.composite
def _array(draw: Draw, value: st.SearchStrategy[str]) -> str:
    parts = [f"{draw(space)}{text}{draw(space)}" for text in draw(st.lists(value, max_size=3))]
    return "[" + (",".join(parts) or draw(space)) + "]"


scalars = st.sampled_from(["true", "false", "null"]) | numbers | names.map(json.dumps)
values: st.SearchStrategy[str] = st.recursive(
    scalars, lambda inner: _object(inner) | _array(inner), max_leaves=6
)
records = _object(values)


@dataclass(frozen=True)
class Slot:
    """Hold one member of the second level."""

    alerter: str
    ticker: str
    start: int
    end: int


@dataclass(frozen=True)
class JsonText:
    """Hold a text and where its second level stands."""

    text: str
    slots: tuple[Slot, ...]
    names_twice: bool


@st.composite
def texts(draw: Draw) -> JsonText:
    """Draw an object of objects, with values of other kinds, empty objects and repeated keys among them."""
    out = draw(space) + "{"
    slots: list[Slot] = []
    seen: list[tuple[str, ...]] = []
    tops = draw(st.lists(names, max_size=4))
    for place, alerter in enumerate(tops):
        out += ("," if place else "") + draw(space) + _spell(draw, alerter) + draw(space) + ":" + draw(space)
        seen.append((alerter,))
        if draw(st.integers(0, 5)) == 0:
            out += draw(scalars)
        else:
            out += "{"
            for number, ticker in enumerate(draw(st.lists(names, max_size=4))):
                out += ("," if number else "") + draw(space) + _spell(draw, ticker) + draw(space) + ":"
                out += draw(space)
                value = draw(records) if draw(st.integers(0, 5)) else draw(values)
                slots.append(Slot(alerter, ticker, len(out), len(out) + len(value)))
                seen.append((alerter, ticker))
                out += value + draw(space)
            out += draw(space) + "}"
        out += draw(space)
    out += draw(space) + "}" + draw(space)
    return JsonText(out, tuple(slots), len(seen) != len(set(seen)))
