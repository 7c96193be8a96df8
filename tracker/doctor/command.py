"""`tracker doctor`: run the checks, print the findings, and exit with 1 if one of them is a fault.

Owns the text form, and that a mistake in the settings is a finding like any other. The text is made from the
JSON answer, so that it cannot say what the JSON does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tracker.config.loader import find_file, load
from tracker.config.settings import SettingsError
from tracker.console import FAILED, WELL, say
from tracker.doctor.check_machine import settings_errors
from tracker.doctor.examine import answer, examine, examine_machine
from tracker.doctor.finding import Finding
from tracker.doctor.probes import Probes
from tracker.logs import log
from tracker.status.protocol import SCHEMA
from tracker.terminal import wrap

_LEVELS: Final = {"ok": "ok", "note": "note", "warning": "WARNING", "fault": "FAULT"}
_INDENT: Final = " " * 30


def run(
    flags: Mapping[str, str],
    path: str | None,
    *,
    as_json: bool,
    offline: bool,
    probes: Probes | None = None,
) -> int:
    """Print the findings and return the exit code: 1 for a fault, else 0."""
    report = diagnose(flags, path, probes or Probes(), offline=offline)
    say(json.dumps(report, indent=2) if as_json else as_text(report))
    return WELL if report["well"] else FAILED


def diagnose(flags: Mapping[str, str], path: str | None, probes: Probes, *, offline: bool) -> dict[str, Any]:
    """Return the whole answer, as `--json` prints it."""
    findings: list[Finding]
    # Log lines of the client library would stand among the findings.
    log.configure("ERROR")
    try:
        settings, source = load(flags, path), find_file(path)
    except SettingsError as error:
        findings = [*examine_machine(probes), *settings_errors(error.lines)]
    else:
        findings = list(examine(settings, source, probes, offline=offline))
    return {"ok": True, "schema": SCHEMA, **answer(findings, now=probes.now(), offline=offline)}


def as_text(answer: Mapping[str, Any]) -> str:
    """Write a line for each finding, the next step below it, and a summary as the last line."""
    return "\n".join([*_lines(answer), "", _summary(answer["counts"], offline=bool(answer["offline"]))])


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    for finding in answer["findings"]:
        label = finding["check"].replace("_", " ")
        yield from wrap(finding["found"], f"{_LEVELS[finding['level']]:<9}{label:<20} ", _INDENT)
        if finding["next_step"]:
            yield from wrap(finding["next_step"], f"{_INDENT}-> ", _INDENT)


def _summary(counts: Mapping[str, int], *, offline: bool) -> str:
    shown = ", ".join(
        f"{counts[level]} {level}{'s' if counts[level] != 1 else ''}"
        for level in ("fault", "warning", "note")
        if counts[level]
    )
    if counts["fault"]:
        return f"Not ready to run: {shown}. Fix the faults first."
    rest = f" ({shown})" if shown else ""
    if offline:
        return f"No fault found{rest}; the gateway was not checked."
    return f"Ready to run{rest}."
