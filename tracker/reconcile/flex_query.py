"""Say what a Flex report's query lacks, so that its user knows which boxes to tick.

Owns the answer of `tracker flex check`, as JSON and in words. It needs neither journal nor tracker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tracker.core.alert_updates import instant
from tracker.gateway.flex import QueryCheck, check_report
from tracker.gateway.flex_columns import SECTIONS
from tracker.gateway.flex_events import read_events
from tracker.gateway.flex_xml import Progress
from tracker.queries.as_json import Json
from tracker.terminal import printable, wrap

_INDENT: Final = "  "


def check(path: Path, progress: Progress = lambda done, total: None) -> Json:
    """Return what a report holds, and everything that it lacks."""
    found = check_report(path, progress)
    report = found.report
    statements = () if report is None else report.statements
    absent = dict.fromkeys(name for statement in statements for name in statement.absent)
    return {
        "file": str(path),
        "usable": report is not None,
        "problems": [{"message": str(each), "tick": list(each.labels)} for each in found.problems],
        "tick": list(dict.fromkeys(label for each in found.problems for label in each.labels)),
        "advisable": list(found.advisable),
        "absent_sections": [
            {"section": SECTIONS[name].label, "tells": SECTIONS[name].tells} for name in absent
        ],
        "executions": None if report is None else report.executions,
        "statements": [
            {"account": each.account, "begins": instant(each.begins), "ends": instant(each.ends)}
            for each in statements
        ],
        "terms_left_out": _left_out(found),
        "unread_events": [] if report is None else list(read_events(report.others).problems),
    }


def _left_out(found: QueryCheck) -> list[Json]:
    if found.report is None:
        return []
    return [
        {"con_id": con_id, "tick": list(labels)} for con_id, labels in sorted(found.report.left_out.items())
    ]


def in_words(answer: Mapping[str, Any]) -> str:
    """Write the answer of `check`."""
    return "\n".join(line.rstrip() for line in _lines(answer))


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    name = printable(answer["file"])
    if answer["usable"]:
        yield from wrap(f"{name} can be imported: {_count(answer['executions'])}.")
        for each in answer["statements"]:
            begins, ends = (_evening(each[key]) for key in ("begins", "ends"))
            covers = f"covers {begins} to {ends} New York" if begins != ends else "covers no whole trade date"
            yield from wrap(f"{each['account']}: {covers}", _INDENT)
    else:
        yield from wrap(f"{name} cannot be imported:")
        for each in answer["problems"]:
            yield from wrap(each["message"], _INDENT)
    if answer["unread_events"]:
        yield from wrap("It proves no day, since rows of the other sections cannot be read:")
        for problem in answer["unread_events"]:
            yield from wrap(printable(problem), _INDENT)
    for each in answer["terms_left_out"]:
        yield from wrap(
            f"The report does not say all of what conid {each['con_id']} is. Unless the tracker has seen that"
            f" contract, tick {', '.join(each['tick'])}."
        )
    if answer["advisable"]:
        yield from wrap(f"It would tell more with these fields of Trades: {', '.join(answer['advisable'])}.")
    if answer["absent_sections"]:
        absent = answer["absent_sections"]
        names = "; ".join(f"{each['section']} (which {each['tells']})" for each in absent)
        yield from wrap(f"Sections that it lacks: {names}.")


def _count(executions: int) -> str:
    return "1 execution" if executions == 1 else f"{executions} executions"


def _evening(text: str) -> str:
    from tracker.gateway.flex_dates import NEW_YORK

    return f"{datetime.fromisoformat(text).astimezone(NEW_YORK):%Y-%m-%d %H:%M}"
