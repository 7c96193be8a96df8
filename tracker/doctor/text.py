"""Say the findings in plain words, within 80 columns.

Owns the form. It is given the answer as JSON has it, so the text can never say what the JSON does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tracker.terminal import wrap

_LEVELS: Final = {"ok": "ok", "note": "note", "warning": "WARNING", "fault": "FAULT"}
_INDENT: Final = " " * 30


def in_words(answer: Mapping[str, Any]) -> str:
    """Write a line for each finding, with what to do below it, and the sum of them last."""
    return "\n".join([*_lines(answer), "", _sum(answer["counts"], offline=bool(answer["offline"]))])


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    for finding in answer["findings"]:
        label = finding["check"].replace("_", " ")
        yield from wrap(finding["found"], f"{_LEVELS[finding['level']]:<9}{label:<20} ", _INDENT)
        if finding["next_step"]:
            yield from wrap(finding["next_step"], f"{_INDENT}-> ", _INDENT)


def _sum(counts: Mapping[str, int], *, offline: bool) -> str:
    found = [
        f"{counts[level]} {level}{'s' if counts[level] != 1 else ''}"
        for level in ("fault", "warning", "note")
        if counts[level]
    ]
    shown = ", ".join(found)
    if counts["fault"]:
        return f"Not fit to trade with: {shown}. Mend the faults first."
    rest = f" ({shown})" if shown else ""
    if offline:
        return f"No fault in what was checked{rest}; the gateway was not asked."
    return f"{'Fit to trade with' if found else 'All is well'}{rest}."
