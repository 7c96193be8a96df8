"""Each recording of `data/` replays to what a person wrote beside it.

NAME.jsonl is a transcript, NAME.json has the alerts as they were before (`alerts`) and what is expected of
them (`shows`): ALERTER/TICKER -> keys of the record, those of an object may be some of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tracker.config.loader import load
from tracker.recordings.redaction import ACCOUNT
from tracker.recordings.replay import replay
from tracker.recordings.transcript import read_transcript

DATA = Path(__file__).parent / "data"
NAMES = sorted(path.stem for path in DATA.glob("*.jsonl"))
MADE_UP = "9000"
"""With which the numbers of replaced accounts begin."""


def part_of(shown: Any, expected: Any) -> Any:
    """Return what is shown, of each object only the keys that are expected."""
    if isinstance(expected, dict) and isinstance(shown, dict):
        return {key: part_of(shown.get(key), value) for key, value in expected.items()}
    return shown


def test_recordings_are_there() -> None:
    assert len(NAMES) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_recording_replays_as_expected(name: str, tmp_path: Path) -> None:
    written = json.loads((DATA / f"{name}.json").read_text("utf-8"))
    alerts, nothing = tmp_path / "alerts.json", tmp_path / "settings.toml"
    alerts.write_text(json.dumps(written["alerts"]), "utf-8")
    nothing.touch()
    settings = load({"stores.timezone": "UTC"}, str(nothing))
    answer = replay(read_transcript(DATA / f"{name}.jsonl"), alerts, settings)
    shown = {each["alert"]: each for each in answer["alerts"]}
    assert written["shows"]
    for alert, expected in written["shows"].items():
        assert part_of(shown[alert], expected) == expected, alert


@pytest.mark.parametrize("name", NAMES)
def test_recording_names_no_account(name: str) -> None:
    text = (DATA / f"{name}.jsonl").read_text("utf-8")
    assert all(MADE_UP in account for account in ACCOUNT.findall(text))
