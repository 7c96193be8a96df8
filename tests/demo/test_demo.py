"""The demo: the real daemon, a paper gateway and real files, each in its own process."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import PROJECT
from tracker.core.model import JsonValue
from tracker.demo import command, processes
from tracker.demo.checks import differences
from tracker.demo.expectations import BookAdjustment, BookExecution, GatewayBook, OpeningPosition, expected
from tracker.demo.morning_script import A_TIME, ALERTS, AMD, NVDA, Morning, expiry_after, morning
from tracker.demo.report import RunOutcome, ShownAlert, TextReport, Verdict, in_short
from tracker.paper.service import shipped_scenarios
from tracker.status.protocol import SCHEMA
from tracker.stores.lock import FileLock

BOUND_SECONDS = 60
MOMENT = datetime(2025, 11, 18, 15, 0, tzinfo=UTC)


def demo_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tracker", "demo", *arguments]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return one whose temporary files go below this folder, so that what is left over is seen."""
    return {**os.environ, "PYTHONPATH": str(PROJECT), "TMPDIR": str(folder), **more}


def demo(
    folder: Path, *arguments: str, code: int = 0, through: Sequence[str] = (), **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the demo as a person does and check its exit code."""
    done = subprocess.run(
        [*through, *demo_command(*arguments)],
        capture_output=True,
        text=True,
        timeout=BOUND_SECONDS,
        cwd=folder,
        env=environment(folder, **env),
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


def test_text_report_and_kept_folder(tmp_path: Path) -> None:
    """The events with their clock time, before and after, a table; narrow, and plain where no terminal is."""
    kept = tmp_path / "new" / "kept"
    done = demo(tmp_path, "--keep", str(kept))
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80
    assert "\x1b" not in done.stdout
    assert sum(bool(re.match(r"\d\d:\d\d:\d\d\.\d{3}  \S", line)) for line in lines) == 11
    assert "        filled_qty      4 -> 10" in lines
    assert "    nothing changes: no alert is about it" in lines
    assert re.search(
        r"^RobinDaHood/NVDA +closed, 0 held, sold 6 +closed, 0 held, sold 6 +yes$",
        done.stdout,
        re.M,
    )
    assert re.search(r"^message to file: median [\d.]+ ms, slowest [\d.]+ ms, 8 changes$", done.stdout, re.M)
    assert lines[-1] == f"stores, journal and logs are in {kept.resolve()}"
    record = json.loads((kept / "alerts.json").read_text())["robindahood-alerts"]["NVDA"]
    assert record["open"] is False
    assert record["position"]["quantity"] == 0
    assert "stopping, as requested" in (kept / "tracker.log").read_text()


@pytest.mark.usefixtures("unmeasured")  # The data files of coverage would be cut off too.
def test_unwritable_store_is_reported(tmp_path: Path) -> None:
    """Exit code 1, why, and where its log is; the folder stays for a look."""
    small_files = (
        "import os, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (16 * 1024, 16 * 1024))\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    done = demo(tmp_path, code=1, through=(sys.executable, "-c", small_files))
    (folder,) = left_over(tmp_path)
    first, last = done.stderr.splitlines()
    assert first.startswith("tracker demo: the tracker ended with exit code 5: ")
    assert "journal.db" in first
    assert f"the tracker's log is {folder.resolve() / 'tracker.log'}" in last
    assert (folder / "tracker.log").stat().st_size


def test_unexpected_alert_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Told that shares open no alert of shares, the demo finds that they do."""

    def told_otherwise(moment: datetime) -> Morning:
        story = morning(moment)
        steps = [
            replace(step, alert=None, shows={}) if step.cue == "shares" else step for step in story.steps
        ]
        return replace(story, steps=tuple(steps))

    assert command.run(keep=tmp_path / "kept", tell=told_otherwise) == 1
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
        demo_command(*arguments), stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment(tmp_path)
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
            assert "stopping, as requested" in (kept / "tracker.log").read_text()


def test_closed_pipe_is_no_failure(tmp_path: Path) -> None:
    """`tracker demo | head` ends well, says nothing more and leaves nothing behind."""
    with subprocess.Popen(
        demo_command(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment(tmp_path),
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
        async with processes.DemoProcesses(tmp_path) as empty:
            await empty.until(lambda: False, "the moon is blue", seconds=0.01)

    with pytest.raises(processes.DemoFailed, match=r"not within 0\.01 s: the moon is blue"):
        asyncio.run(wait())


def test_differences_are_exact() -> None:
    """true is not 1, 10 is 10.0, a time is one with a zone, and a key that is not there is said to be so."""
    wanted: Mapping[str, Any] = {"open": True, "n": 10, "at": A_TIME, "gone": None}
    assert differences(wanted, {"open": 1, "n": 10.0, "at": "2025-11-18T15:00:00", "other": 1}) == [
        "open is 1, expected true",
        'at is "2025-11-18T15:00:00", expected "a time"',
        "gone is not there, expected null",
    ]
    assert differences({"at": A_TIME}, {"at": "2025-11-18T15:00:00+00:00"}) == []
    assert differences({"at": A_TIME}, {"at": "noon"}) == ['at is "noon", expected "a time"']


def test_the_contracts_have_not_expired() -> None:
    """They end on a Friday at least two weeks on, whatever the day."""
    for day in (date(2025, 11, 18), date(2025, 12, 31), date(2028, 2, 29), date(2025, 11, 21)):
        expiry = expiry_after(day)
        assert expiry.weekday() == 4
        assert 14 <= (expiry - day).days <= 20


# Scenarios

TWO_STOCKS = """
[contracts.here]
kind = "stock"
symbol = "AMD"
con_id = 4391

[contracts.there]
kind = "stock"
symbol = "AMD"
con_id = 4392

[[events]]
at = 0
do = "execute"
contract = "here"
side = "BUY"
quantity = 5
price = 158.20
"""
"""Nothing tells which of two alerts about one symbol is meant, so that none is opened."""
HELD_BEFORE = """
[gateway]
accounts = ["DU1234567", "DU9000001"]
master_client_id = -1
zone = "Europe/Berlin"

[contracts.wheat]
kind = "future"
symbol = "ZW"
expiry = "today+30"
multiplier = "50"
local_symbol = "ZWZ6"

[[positions]]
contract = "wheat"
quantity = 3

[[events]]
at = 0.1
do = "execute"
contract = "wheat"
side = "BUY"
quantity = 2
price = 510.25
client_id = 7

[[events]]
at = 0.2
do = "execute"
contract = "wheat"
side = "SELL"
quantity = 4
price = 512
client_id = 7

[[events]]
at = 0.3
do = "execute"
contract = "wheat"
side = "BUY"
quantity = 1
price = 511
account = "DU9000001"
"""


def test_shipped_scenarios_match_gateway_book(tmp_path: Path) -> None:
    """Five demos at once: they mostly wait. Exit code 0, and nothing is left behind."""
    names = shipped_scenarios()
    lived = [
        subprocess.Popen(
            demo_command("--scenario", name, "--json", "--seed", "7"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environment(tmp_path),
        )
        for name in names
    ]
    for name, process in zip(names, lived, strict=True):
        out, err = process.communicate(timeout=BOUND_SECONDS)
        assert (process.returncode, err) == (0, ""), f"{name}: {out}"
        told = json.loads(out)
        assert (told["ok"], told["schema"], told["problems"]) == (True, SCHEMA, [])
        assert all(verdict["ok"] for verdict in told["alerts"])
        assert any(verdict["expected"].get("position.quantity") for verdict in told["alerts"])
        assert {event["cue"] for event in told["events"]} > {"file"}
        assert all(event["changes"] for event in told["events"] if event["alerter"])
    assert left_over(tmp_path) == []


def test_scenario_report_and_kept_folder(tmp_path: Path) -> None:
    """A file, named from where the user is; what was held before and a second account count apart."""
    (tmp_path / "held.toml").write_text(HELD_BEFORE)
    done = demo(tmp_path, "--scenario", "held.toml", "--keep", "kept")
    assert re.search(r"^\d\d:\d\d:\d\d\.\d{3}  0\.1 s: client 7 buys 2 wheat at 510\.25", done.stdout, re.M)
    assert re.search(r"^\d\d:\d\d:\d\d\.\d{3}  wheat/ZW$", done.stdout, re.M)
    assert "      open              false -> true" in done.stdout.splitlines()
    assert re.search(r"^wheat/ZW +open, 1 held, bought 1 .* yes$", done.stdout, re.M)
    assert "every alert ended as it should" in done.stdout
    assert 'timezone = "Europe/Berlin"' in (tmp_path / "kept" / "settings.toml").read_text()


def test_alert_that_contradicts_book(tmp_path: Path) -> None:
    """An alert that the book contradicts is named."""
    (tmp_path / "two.toml").write_text(TWO_STOCKS)
    done = demo(tmp_path, "--scenario", "two.toml", code=1)
    assert "here/AMD: open is false, expected true" in done.stderr
    assert "the tracker's log is" in done.stderr
    assert re.search(r"^here/AMD +open, 5 held, bought 5 +not open, untouched +NO$", done.stdout, re.M)
    assert re.search(r"^there/AMD +not open, untouched +not open, untouched +yes$", done.stdout, re.M)


@pytest.mark.parametrize(
    ("name", "cause"), [("none.toml", "cannot be read"), ("bad.toml", "'atx' is not a key here")]
)
def test_unusable_scenario_starts_nothing(tmp_path: Path, name: str, cause: str) -> None:
    """A scenario that cannot be used starts nothing."""
    (tmp_path / "bad.toml").write_text(TWO_STOCKS.replace("at = 0", "at = 0\natx = 0"))
    done = demo(tmp_path, "--scenario", name, code=2)
    assert done.stderr.startswith(f"tracker demo: {name}")
    assert cause in done.stderr
    assert left_over(tmp_path) == []


def test_unplayable_event_is_named(tmp_path: Path) -> None:
    """A scenario that the gateway cannot play on is named."""
    text = TWO_STOCKS.replace('do = "execute"', 'do = "order"\nname = "a"').replace("price", "limit")
    (tmp_path / "s.toml").write_text(text + "[[events]]\nat = 0.1\ndo = 'fill'\norder = 'a'\nquantity = 6\n")
    done = demo(tmp_path, "--scenario", "s.toml", code=1)
    assert "the paper gateway ended with exit code 2" in done.stderr
    assert "cannot fill 6" in done.stderr


def dealt(
    number: int, signed: str, price: str = "2", *, perm_id: int = 1, account: str = "DU1"
) -> BookExecution:
    return BookExecution(f"a.b.c.{number:02d}", account, 5, perm_id, Decimal(signed), Decimal(price))


@pytest.mark.parametrize(
    ("before", "fills", "is_open", "quantity"),
    [
        ("0", ["4", "-3"], True, 1),
        ("0", ["4", "-4"], False, 0),
        ("0", ["4", "-6"], True, -2),
        ("3", ["2", "-4"], False, 0),
        ("-3", ["2"], None, None),
        ("-3", ["5"], True, 2),
        ("0", ["0.5"], True, 0.5),
    ],
)
def test_opening_balance_belongs_to_no_alert(
    before: str, fills: list[str], is_open: bool | None, quantity: float | None
) -> None:
    """The alert's part is sold first, what was held before it last."""
    book = GatewayBook(tuple(dealt(number, signed) for number, signed in enumerate(fills)), {})
    found = expected(
        book, 5, [OpeningPosition("DU1", 5, Decimal(before)), OpeningPosition("DU1", 6, Decimal(9))], {}
    )
    if is_open is None:
        assert found == {"open": False}
    else:
        assert (found["open"], found["position.quantity"]) == (is_open, quantity)
        assert found["position.closed_at"] == (None if is_open else A_TIME)


@pytest.mark.parametrize(
    ("events", "is_open", "quantity"),
    [
        # A split of 10 into 40, unexplained: the 30 that came without a fill are sold first.
        (["10", ("10", "40"), "-40"], False, 0),
        (["10", ("10", "40"), "-20"], True, 10),
        (["10", ("10", "40"), "-35"], True, 5),
        # 100 were transferred in after a round trip; they are no alert's.
        (["10", "-10", ("0", "100"), "-100"], False, 0),
        # 2 of 5 short puts are assigned early; all shares are called away.
        (["-5", ("-5", "-3")], True, -3),
        (["100", ("100", "0")], False, 0),
        # A short position turned into a long one: nothing of it is the alert's.
        (["-5", ("-5", "5")], False, 0),
    ],
)
def test_adjustments_in_the_book(events: list[str | tuple[str, str]], is_open: bool, quantity: float) -> None:
    """What goes away without a fill is first what no alert owns; what comes is no alert's."""
    happened = [
        dealt(number, one) if isinstance(one, str) else BookAdjustment("DU1", 5, *map(Decimal, one))
        for number, one in enumerate(events)
    ]
    found = expected(GatewayBook(tuple(happened), {}), 5, (), {})
    assert (found["open"], found["position.quantity"]) == (is_open, quantity)


def test_what_goes_was_there_first() -> None:
    """Of what no alert owns, the opening balance goes before what came without a fill; that is sold first."""
    more, less = (BookAdjustment("DU1", 5, Decimal(one), Decimal(two)) for one, two in ("68", "87"))
    book = GatewayBook((dealt(1, "3"), more, less, dealt(2, "-4")), {})
    found = expected(book, 5, [OpeningPosition("DU1", 5, Decimal(3))], {})
    # 2 that came and 2 of the alert's 3 are sold; 2 of the opening balance's 3 are left.
    assert found["position.quantity"] == 1


def test_sums_are_of_the_shown_order() -> None:
    """The sums are those of the order that is shown."""
    fills = (dealt(1, "4"), dealt(2, "6", "3"), dealt(3, "-2", "5", perm_id=2))
    book = GatewayBook(fills, {"a.b.c.01": Decimal("2.60")})
    last = expected(book, 5, (), {})
    assert (last["last_order_update.side"], last["last_order_update.filled_qty"]) == ("SELL", 2)
    assert last["last_order_update.commission"] is None
    first = expected(book, 5, (), {"last_order_update.exec_id": "a.b.c.01"})
    assert (first["last_order_update.filled_qty"], first["last_order_update.avg_fill_price"]) == (10, 2.6)
    assert first["last_order_update.commission"] == 2.6
    assert "last_order_update.commission" not in expected(book, 5, (), {}, fees=False)


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
    words = TextReport()
    words.event(ShownAlert(MOMENT, "cue", "what happened", "", NVDA, {"open": False}, {"open": True}, 1.0))
    outcome = RunOutcome(Path("folder"), kept=False)
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
