"""The demo: the real daemon, a paper gateway and real files, each in its own process."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from tracker.core.model import JsonValue
from tracker.demo import play, stage
from tracker.demo.morning import A_TIME, ALERTS, AMD, NVDA, Morning, expiry_after, morning
from tracker.demo.report import Outcome, Shown, Verdict, Words, in_short
from tracker.stores.lock import FileLock

PROJECT = Path(__file__).parent.parent
BOUND_SECONDS = 60
MOMENT = datetime(2025, 11, 18, 15, 0, tzinfo=UTC)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tracker", "demo", *arguments]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return one whose temporary files go below this folder, so that what is left over is seen."""
    return {**os.environ, "PYTHONPATH": str(PROJECT), "TMPDIR": str(folder), **more}


def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep coverage out of the processes started from now on: its data files would be cut off too."""
    for name in [name for name in os.environ if name.startswith("COVERAGE_PROCESS")]:
        monkeypatch.delenv(name)


def demo(
    folder: Path, *arguments: str, code: int = 0, before: Callable[[], None] | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the demo as a person does and check its exit code."""
    done = subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=BOUND_SECONDS,
        cwd=folder,
        env=environment(folder, **env),
        preexec_fn=before,
        check=False,
    )
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done


def left_over(folder: Path) -> list[Path]:
    return list(folder.glob("tracker-demo-*"))


def test_every_alert_ends_as_it_should(tmp_path: Path) -> None:
    """Exit code 0, one JSON document, nothing else said, nothing left behind; no foreign setting counts."""
    done = demo(tmp_path, "--json", TRACKER_CLOSING__POLICY="remove")
    told = json.loads(done.stdout)
    assert done.stderr == ""
    assert told["ok"] is True
    assert told["problems"] == []
    assert told["folder"] is None
    assert left_over(tmp_path) == []
    assert [(one["alerter"], one["ticker"], one["ok"]) for one in told["alerts"]] == [
        (alert.alerter, alert.ticker, True) for alert in ALERTS
    ]
    events = {event["cue"]: event for event in told["events"]}
    assert list(events) == [step.cue for step in morning(MOMENT).steps]
    first = events["first-part"]["changes"]
    assert first["open"] == [False, True]
    assert first["last_order_update.filled_qty"] == [None, 4]
    assert first["last_order_update.status"] == [None, "PARTIALLY_FILLED"]
    assert events["second-part"]["changes"]["last_order_update.status"] == ["PARTIALLY_FILLED", "FILLED"]
    assert events["by-hand"]["changes"]["last_order_update.matched_by"] == [None, "contract"]
    assert events["late-fees"]["changes"]["last_order_update.commission"] == [None, 6.5]
    assert events["last-sale"]["changes"]["open"] == [True, False]
    for cue in ("shares-of-an-option-alert", "unasked", "asked-again"):
        assert events[cue]["changes"] == {}
        assert events[cue]["frame_to_file_ms"] is None
    times = [event["frame_to_file_ms"] for event in told["events"] if event["changes"]]
    assert told["frame_to_file_ms"]["changes"] == len(times) == 8
    assert all(0 < each <= told["frame_to_file_ms"]["slowest"] for each in times)


def test_it_tells_a_person_and_keeps_the_folder_when_asked(tmp_path: Path) -> None:
    """The events with their clock time, before and after, a table; narrow, and plain where no terminal is."""
    kept = tmp_path / "new" / "kept"
    done = demo(tmp_path, "--keep", str(kept))
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80
    assert "\x1b" not in done.stdout
    assert sum(bool(re.match(r"\d\d:\d\d:\d\d\.\d{3}  \S", line)) for line in lines) == 11
    assert "        filled_qty      4 -> 10" in lines
    assert "    nothing changes: no alert asked for it" in lines
    assert re.search(
        r"^RobinDaHood/NVDA +shut, 0 held, sold 6 +shut, 0 held, sold 6 +yes$", done.stdout, re.M
    )
    assert re.search(r"^frame to file: median [\d.]+ ms, slowest [\d.]+ ms, 8 changes$", done.stdout, re.M)
    assert lines[-1] == f"stores, journal and logs are in {kept.resolve()}"
    record = json.loads((kept / "alerts.json").read_text())["robindahood-alerts"]["NVDA"]
    assert record["open"] is False
    assert record["position"]["quantity"] == 0
    assert "stopping, as asked" in (kept / "tracker.log").read_text()


def test_a_tracker_that_cannot_write_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1, why, and where its log is; the folder stays for a look."""
    unmeasured(monkeypatch)

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16 * 1024, 16 * 1024))

    done = demo(tmp_path, code=1, before=small_files)
    (folder,) = left_over(tmp_path)
    first, last = done.stderr.splitlines()
    assert first.startswith("tracker demo: the tracker ended with exit code 5: ")
    assert "journal.db" in first
    assert f"the tracker's log is {folder.resolve() / 'tracker.log'}" in last
    assert (folder / "tracker.log").stat().st_size


def test_an_alert_that_ends_otherwise_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Told that shares open no alert of shares, the demo finds that they do."""

    def told_otherwise(moment: datetime) -> Morning:
        story = morning(moment)
        steps = [
            replace(step, alert=None, shows={}) if step.cue == "shares" else step for step in story.steps
        ]
        return replace(story, steps=tuple(steps))

    assert play.run(keep=tmp_path / "kept", tell=told_otherwise) == 1
    answer = capsys.readouterr()
    assert "RealDayTrading/AMD: open is true, expected false" in answer.err
    assert "it changed RealDayTrading/AMD, and should have changed nothing" in answer.err
    assert re.search(r"^RealDayTrading/AMD  not open, untouched +open, 50 held.* NO$", answer.out, re.M)
    assert "every alert ended as it should" not in answer.out


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """Exit code 2; somebody's alerts.json is never written over."""
    mine = tmp_path / "alerts.json"
    mine.write_text("{}")
    done = demo(tmp_path, "--keep", str(tmp_path), code=2)
    assert "the folder is not empty" in done.stderr
    assert mine.read_text() == "{}"
    assert [path.name for path in tmp_path.iterdir()] == ["alerts.json"]
    assert "Not a directory" in demo(tmp_path, "--keep", str(mine / "below"), code=2).stderr


@pytest.mark.parametrize(
    ("number", "code", "keep"), [(signal.SIGINT, 130, False), (signal.SIGTERM, 143, True)]
)
def test_a_signal_leaves_nothing_behind(tmp_path: Path, number: int, code: int, keep: bool) -> None:
    """The processes end; the folder goes, or with --keep stays and nobody holds its locks."""
    kept = tmp_path / "kept"
    arguments = ["--keep", str(kept)] if keep else []
    with subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment(tmp_path)
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(number)
        process.communicate(timeout=BOUND_SECONDS)
    assert process.returncode == code
    assert left_over(tmp_path) == []
    port = re.search(r":(\d+); the tracker watches it", first)
    assert port is not None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port[1])), 5)
    if keep:
        with FileLock(kept / "journal.db", "test"):
            assert "stopping, as asked" in (kept / "tracker.log").read_text()


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path: Path) -> None:
    """`tracker demo | head` ends well, says nothing more and leaves nothing behind."""
    with subprocess.Popen(
        command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=environment(tmp_path)
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(BOUND_SECONDS) == 0
    assert left_over(tmp_path) == []


def test_what_takes_too_long_is_named(tmp_path: Path) -> None:
    """No wait is without a bound."""

    async def wait() -> None:
        async with stage.Stage(tmp_path, {}) as empty:
            await empty.until(lambda: False, "the moon is blue", seconds=0.01)

    with pytest.raises(stage.Trouble, match=r"not within 0\.01 s: the moon is blue"):
        asyncio.run(wait())


def test_differences_are_exact() -> None:
    """true is not 1, 10 is 10.0, a time is one with a zone, and a key that is not there is said to be so."""
    wanted: Mapping[str, Any] = {"open": True, "n": 10, "at": A_TIME, "gone": None}
    assert play.differences(wanted, {"open": 1, "n": 10.0, "at": "2025-11-18T15:00:00", "other": 1}) == [
        "open is 1, expected true",
        'at is "2025-11-18T15:00:00", expected "a time"',
        "gone is not there, expected null",
    ]
    assert play.differences({"at": A_TIME}, {"at": "2025-11-18T15:00:00+00:00"}) == []
    assert play.differences({"at": A_TIME}, {"at": "noon"}) == ['at is "noon", expected "a time"']


def test_the_contracts_have_not_expired() -> None:
    """They end on a Friday at least two weeks on, whatever the day."""
    for day in (date(2025, 11, 18), date(2025, 12, 31), date(2028, 2, 29), date(2025, 11, 21)):
        expiry = expiry_after(day)
        assert expiry.weekday() == 4
        assert 14 <= (expiry - day).days <= 20


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colour_only_where_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], coloured: bool
) -> None:
    """On a terminal, unless NO_COLOR or a dumb one says otherwise."""
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    words = Words()
    words.event(Shown(MOMENT, "cue", "what happened", "", NVDA, {"open": False}, {"open": True}, 1.0))
    outcome = Outcome(Path("folder"), kept=False)
    outcome.verdicts.append(Verdict(AMD, {"open": False}, {"open": True}, ("open is true, expected false",)))
    words.summary(outcome)
    assert ("\x1b[" in screen.getvalue()) is coloured


def test_a_record_is_told_in_short() -> None:
    """What a table has room for."""
    order: dict[str, JsonValue] = {
        "last_order_update.side": "BUY",
        "last_order_update.filled_qty": 4,
        "position.quantity": 4,
    }
    part: dict[str, JsonValue] = {"open": True, "last_order_update.status": "PARTIALLY_FILLED", **order}
    assert in_short(part) == "open, 4 held, bought 4 so far"
    assert in_short({"open": True}) == "open, without a fill"
    assert in_short({"open": False}) == "not open, untouched"
