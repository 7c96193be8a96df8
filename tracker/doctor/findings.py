"""One finding: what was checked, what was found, and what to do.

Owns the levels and how they become an exit code. It checks nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """Say how much a finding matters."""

    OK = "ok"
    NOTE = "note"
    """Good to know, or what could not be told; nothing is wrong."""
    WARNING = "warning"
    """The tracker works, and less well than it could or with a danger ahead."""
    FAULT = "fault"
    """The tracker would not start, not get in, or not do what it is for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """State the outcome of one check."""

    check: str
    """What was checked, one snake_case word or two; it names the check for programs, and is never renamed."""
    level: Level
    found: str
    next_step: str = ""
    """What to do, empty where nothing is to be done."""


def counted(findings: Iterable[Finding]) -> dict[str, int]:
    """Count the findings of each level, those with none included."""
    counts = Counter(finding.level for finding in findings)
    return {level.value: counts[level] for level in Level}


def is_well(findings: Iterable[Finding]) -> bool:
    """Tell whether no finding is a fault; a warning does not keep the tracker from its work."""
    return all(finding.level is not Level.FAULT for finding in findings)


def as_json(finding: Finding) -> dict[str, Any]:
    """Return a finding as programs read it."""
    return {
        "check": finding.check,
        "level": finding.level.value,
        "found": finding.found,
        "next_step": finding.next_step,
    }
