"""Compare what the files show at the end with what they must show.

Owns the comparison and its messages. It reads the files, as any other program would.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from tracker.core.model import JsonValue
from tracker.demo.morning_script import A_TIME, TRACKER_KEYS, AlertName
from tracker.demo.processes import DemoAlertFile
from tracker.demo.report import Flat, RunOutcome, Verdict, flatten

_NOTHING_THERE: Final = object()


def tracker_keys(file: DemoAlertFile, alert: AlertName) -> dict[str, JsonValue]:
    """Return the tracker's keys of a record, by dotted key; an absent record has none."""
    return flatten(file.records.get(alert.alerter, {}).get(alert.ticker, {}), TRACKER_KEYS)


def judge(
    outcome: RunOutcome, file: DemoAlertFile, stores: Mapping[str, str], wanted: Mapping[AlertName, Flat]
) -> None:
    """Compare every store with what it must show at the end; `stores` holds their first content, by file
    name.
    """
    try:
        file.read()
    except (OSError, ValueError) as error:
        outcome.problems.append(f"alerts.json cannot be read: {error}")
        return
    begun = json.loads(stores["alerts.json"])
    for alert, expected in wanted.items():
        shown = tracker_keys(file, alert)
        found = [*differences(expected, shown)]
        if len(expected) == 1:
            found += [f"{key} is there, expected none" for key in shown if key not in expected]
        record = file.records.get(alert.alerter, {}).get(alert.ticker, {})
        if _others(record) != _others(begun[alert.alerter][alert.ticker]):
            found.append("a key of the alert writer changed")
        outcome.verdicts.append(Verdict(alert, expected, shown, tuple(found)))
    if file.text != json.dumps(file.records, indent=2):
        outcome.problems.append("alerts.json does not have the format of the alert writer")
    for name, text in stores.items():
        if name != "alerts.json" and (outcome.folder / name).read_text("utf-8") != text:
            outcome.problems.append(f"{name} changed, though the tracker must not write it")


def differences(wanted: Mapping[str, JsonValue], shown: Mapping[str, JsonValue]) -> list[str]:
    """Say where a record differs from what is expected."""
    return [
        f"{key} is {json.dumps(shown[key]) if key in shown else 'not there'}, expected {json.dumps(value)}"
        for key, value in wanted.items()
        if not _fits(value, shown.get(key, _NOTHING_THERE))
    ]


def _fits(wanted: JsonValue, shown: object) -> bool:
    if wanted == A_TIME:
        try:
            return isinstance(shown, str) and datetime.fromisoformat(shown).tzinfo is not None
        except ValueError:
            return False
    # True == 1 and 10 == 10.0 in Python; of these a reader of the file can tell only true from 1.
    return shown == wanted and isinstance(shown, bool) is isinstance(wanted, bool)


def _others(record: Mapping[str, JsonValue]) -> str:
    """Return the alert writer's keys as text, so that their order is compared too."""
    return json.dumps({key: value for key, value in record.items() if key not in TRACKER_KEYS})
