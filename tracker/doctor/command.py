"""`tracker doctor`: run the checks, print the findings, and exit with 1 if one of them is a fault.

Owns the text form, and makes a mistake in the settings a finding like any other. The text is made from the
JSON answer, so it cannot say anything that the JSON does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tracker.config.loader import find_file, load
from tracker.config.settings import Settings, SettingsError
from tracker.console import FAILED, WELL, Refusal, say
from tracker.doctor.check_machine import settings_errors
from tracker.doctor.examine import answer, examine, examine_machine
from tracker.doctor.finding import Finding
from tracker.doctor.probes import Probes
from tracker.logs import log
from tracker.status.protocol import SCHEMA
from tracker.terminal import counted, wrap

_LEVELS: Final = {"ok": "ok", "note": "note", "warning": "WARNING", "fault": "FAULT"}
_INDENT: Final = " " * 30


def run(
    flags: Mapping[str, str],
    path: str | None,
    *,
    as_json: bool,
    offline: bool,
    probes: Probes | None = None,
    report: Path | None = None,
) -> int:
    """Print the findings and return the exit code: 1 for a fault or a report that could not be written, else
    0.
    """
    probes = probes or Probes()
    found = diagnose(flags, path, probes, offline=offline)
    if report is not None:
        _write_report(report, found, flags, path, probes)
    say(json.dumps(found, indent=2) if as_json else as_text(found))
    if report is not None and not as_json:
        say(f"\n{report} is written. Read it whole before you send it.")
    return WELL if found["well"] else FAILED


def _write_report(
    report: Path, found: Mapping[str, Any], flags: Mapping[str, str], path: str | None, probes: Probes
) -> None:
    """Write the report; raises Refusal."""
    from tracker.doctor.report_file import ReportNotWritten, write_report
    from tracker.recordings.redaction import NameLeft

    settings: Settings | SettingsError
    try:
        settings = load(flags, path)
    except SettingsError as error:
        settings = error
    try:
        write_report(report, as_text(found), settings, probes.now())
    except ReportNotWritten as error:
        raise Refusal(FAILED, [f"tracker doctor: {error}"]) from None
    except NameLeft as error:
        cause = (
            f"tracker doctor: {error}; no report was left. This is a fault of the tracker: please report it"
        )
        raise Refusal(FAILED, [cause]) from None


def diagnose(flags: Mapping[str, str], path: str | None, probes: Probes, *, offline: bool) -> dict[str, Any]:
    """Return the whole answer, as `--json` prints it."""
    findings: list[Finding]
    # Log lines of the client library would be printed among the findings.
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
        counted(counts[level], level) for level in ("fault", "warning", "note") if counts[level]
    )
    if counts["fault"]:
        return f"Not ready to run: {shown}. Fix the faults first."
    rest = f" ({shown})" if shown else ""
    if offline:
        return f"No fault found{rest}; the gateway was not checked."
    return f"Ready to run{rest}."
