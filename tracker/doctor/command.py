"""`tracker doctor`: examine, print, and say with the exit code whether something is wrong.

Owns that a mistake in the settings is a finding like any other, since finding mistakes is what it is for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tracker import logs
from tracker.config.loader import find_file, load
from tracker.config.settings import SettingsError
from tracker.console import FAILED, WELL, say
from tracker.doctor.check_machine import refused_settings
from tracker.doctor.examine import answer, examine, examine_machine
from tracker.doctor.findings import Finding
from tracker.doctor.probes import Probes
from tracker.doctor.text import in_words
from tracker.status.protocol import SCHEMA


def run(
    flags: Mapping[str, str],
    path: str | None,
    *,
    as_json: bool,
    offline: bool,
    probes: Probes | None = None,
) -> int:
    """Print the findings and return the exit code: 1 for a fault, else 0."""
    told = diagnose(flags, path, probes or Probes(), offline=offline)
    say(json.dumps(told, indent=2) if as_json else in_words(told))
    return WELL if told["well"] else FAILED


def diagnose(flags: Mapping[str, str], path: str | None, probes: Probes, *, offline: bool) -> dict[str, Any]:
    """Return the whole answer, as `--json` prints it."""
    findings: list[Finding]
    # What the client library has to say would stand among the findings.
    logs.configure("ERROR")
    try:
        settings, source = load(flags, path), find_file(path)
    except SettingsError as error:
        findings = [*examine_machine(probes), *refused_settings(error.lines)]
    else:
        findings = list(examine(settings, source, probes, offline=offline))
    return {"ok": True, "schema": SCHEMA, **answer(findings, now=probes.now(), offline=offline)}
