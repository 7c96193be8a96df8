"""Write figures in the text form that Prometheus reads.

Owns the form. The answer of the command `metrics` says which figures there are: {"figures": {name: number}},
with `help`, `labels` and `histograms` by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from tracker.core.model import JsonValue
from tracker.status.protocol import Answer

PREFIX: Final = "tracker_"

_UNFIT: Final = re.compile("[^a-zA-Z0-9_]")
_Sample: TypeAlias = tuple[str, int | float]
"""The labels after a figure's name, and the number."""


def exposition(answer: Answer) -> str:
    """Return the lines of each figure and histogram; null and text get no line.

    A name that ends in `_total` is a counter, every other a gauge; true and false are 1 and 0. Numbers by
    name become samples with the label that `labels` names, else figures of their own, names joined by `_`.
    """
    labels, helps = _mapping(answer, "labels"), _mapping(answer, "help")
    lines: list[str] = []
    for name, value in _mapping(answer, "figures").items():
        help_text, label = str(helps.get(name, "")), labels.get(name)
        if isinstance(label, str) and isinstance(value, dict):
            lines += _family(name, _kind(name), help_text, _labelled(label, value))
        else:
            for flat, number in _flat(name, value):
                lines += _family(flat, _kind(flat), help_text, [("", number)])
    for name, value in _mapping(answer, "histograms").items():
        if isinstance(value, dict):
            lines += _family(name, "histogram", str(helps.get(name, "")), _histogram(value))
    return "".join(f"{line}\n" for line in lines)


def _family(name: str, kind: str, help_text: str, samples: list[_Sample]) -> list[str]:
    full = PREFIX + _UNFIT.sub("_", name)
    about = [f"# HELP {full} {_escaped(help_text)}"] if help_text else []
    return [*about, f"# TYPE {full} {kind}", *(f"{full}{behind} {number}" for behind, number in samples)]


def _kind(name: str) -> str:
    return "counter" if name.endswith("_total") else "gauge"


def _labelled(label: str, values: Mapping[str, JsonValue]) -> list[_Sample]:
    return [(_label(label, key), number) for key, value in values.items() for _, number in _flat("", value)]


def _histogram(value: Mapping[str, JsonValue]) -> list[_Sample]:
    buckets = {**_mapping(value, "buckets"), "+Inf": value.get("count")}
    samples = [(f"_bucket{behind}", number) for behind, number in _labelled("le", buckets)]
    return samples + [
        (f"_{part}", number) for part in ("sum", "count") for _, number in _flat("", value.get(part))
    ]


def _label(label: str, value: str) -> str:
    escaped = _escaped(value).replace('"', '\\"')
    return f'{{{label}="{escaped}"}}'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _flat(name: str, value: JsonValue) -> Iterator[_Sample]:
    if isinstance(value, bool):
        yield name, int(value)
    elif isinstance(value, int | float):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{name}_{key}", inner)


def _mapping(answer: Mapping[str, JsonValue], name: str) -> Mapping[str, JsonValue]:
    value = answer.get(name)
    return value if isinstance(value, dict) else {}
