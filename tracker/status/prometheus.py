"""Write figures in the text form that Prometheus reads.

Owns the form. Which figures there are is said by the command `metrics`: {"figures": {name: number}}.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from tracker.core.model import JsonValue
from tracker.status.protocol import Answer

PREFIX: Final = "tracker_"

_UNFIT: Final = re.compile("[^a-zA-Z0-9_]")


def exposition(answer: Answer) -> str:
    """Return one line for each number, nested ones joined by `_`; null and text have no line.

    A name that ends in `_total` is a counter, every other a gauge; true and false are 1 and 0.
    """
    figures = answer.get("figures")
    lines: list[str] = []
    if isinstance(figures, dict):
        for name, value in _flat(figures, PREFIX):
            lines += [f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}", f"{name} {value}"]
    return "".join(f"{line}\n" for line in lines)


def _flat(figures: Mapping[str, JsonValue], prefix: str) -> Iterator[tuple[str, int | float]]:
    for key, value in figures.items():
        name = prefix + _UNFIT.sub("_", key)
        if isinstance(value, bool):
            yield name, int(value)
        elif isinstance(value, int | float):
            yield name, value
        elif isinstance(value, dict):
            yield from _flat(value, f"{name}_")
