"""The soak runs and keeps its promises, and it can tell a loss: each is planted once."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from pytest_mock import MockerFixture
from soaking.judging import (
    Fault,
    Neighbour,
    Record,
    Sample,
    Sent,
    Sighting,
    Verdict,
    apart,
    close_windows,
    judge_alerts,
    judge_journal,
    judge_latency,
    judge_memory,
    judge_neighbour,
    minutes,
    slope,
)
from soaking.running import Daemon, Options, Outcome, Part, Soak
from soaking.showing import Told

from tests.support.project import PROJECT

SECONDS = 120.0
BEGAN = datetime(2030, 12, 2, 15, 0, tzinfo=UTC)
FIRST, SECOND, FIXED = "0001.01.01.01", "0001.02.01.01", "0001.01.01.02"


def after(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def reported(exec_id: str, quantity: int, seconds: float, ticker: str = "AMD") -> tuple[str, str, int, str]:
    return exec_id, ticker, quantity, after(seconds).isoformat()


def record(*reports: tuple[str, str, int, str]) -> Record:
    made = Record(BEGAN)
    made.take(reports or [reported(FIRST, 2, 1), reported(SECOND, -1, 2), reported(FIXED, 3, 3)])
    return made


def row(exec_id: str, quantity: int, counted: str = "yes", side: str = "BUY") -> dict[str, str]:
    return {"exec_id": exec_id, "quantity": str(quantity), "side": side, "counted": counted}


ROWS = [row(FIRST, 2, "no"), row(SECOND, 1, side="SELL"), row(FIXED, 3)]
ALERTS: dict[str, dict[str, dict[str, Any]]] = {
    "demslayer": {
        "AMD": {"open": True, "last_order_update": {"exec_id": SECOND}, "position": {"quantity": 2}},
        "OWN1": {"open": False},
    }
}


def test_a_journal_that_agrees_is_well() -> None:
    assert [verdict.kept for verdict in judge_journal(record(), ROWS)] == [True, True]


@pytest.mark.parametrize(
    ("rows", "kept", "example"),
    [
        (ROWS[:1] + ROWS[2:], [False, False], f"{SECOND} is missing"),
        ([*ROWS, row("0001.03.01.01", 1)], [False, False], "0001.03.01.01 was never sent"),
        ([*ROWS, ROWS[2]], [False, True], f"{FIXED} stands there 2 times"),
        ([row(FIRST, 2), *ROWS[1:]], [True, False], f"{FIRST} is counted, and should not be"),
        ([*ROWS[:2], row(FIXED, 3, "no")], [True, False], f"{FIXED} is not counted"),
        ([*ROWS[:2], row(FIXED, 2)], [True, False], f"{FIXED} counts 2, sent 3"),
        ([ROWS[0], row(SECOND, 1), ROWS[2]], [True, False], f"{SECOND} counts 1, sent -1"),
    ],
)
def test_lost_or_doubled_fill_is_reported(rows: list[dict[str, str]], kept: list[bool], example: str) -> None:
    """A fill that is lost or doubled is reported."""
    verdicts = list(judge_journal(record(), rows))
    assert [verdict.kept for verdict in verdicts] == kept
    assert example in [told for verdict in verdicts for told in verdict.examples]


def changed(**fields: Any) -> dict[str, dict[str, dict[str, Any]]]:
    return {"demslayer": {"AMD": ALERTS["demslayer"]["AMD"] | fields}}


@pytest.mark.parametrize(
    ("alerts", "kept"),
    [
        (ALERTS, True),
        (changed(open=False), False),
        (changed(last_order_update={"exec_id": FIXED}), False),
        (changed(last_order_update=None), False),
        (changed(position={"quantity": 1}), False),
        ({"demslayer": {}}, False),
    ],
)
def test_alert_shows_corrected_position(alerts: dict[str, dict[str, dict[str, Any]]], kept: bool) -> None:
    """An alert shows the last execution and the corrected position."""
    assert judge_alerts(record(), alerts).kept is kept


def neighbour(**changes: Any) -> Neighbour:
    told: Any = {"writes": 5, "renames": 2, "lost": [], "lost_by_rename": [], "came_back": 1, "unreadable": 0}
    made: Neighbour = told | changes
    return made


def test_what_the_neighbour_lost_is_told() -> None:
    loss = ["AMD: wrote 5, shown 4"]
    assert [verdict.kept for verdict in judge_neighbour(neighbour())] == [True, True]
    lost, renamed = judge_neighbour(neighbour(lost=loss))
    assert (lost.kept, lost.examples, renamed.kept) == (False, tuple(loss), True)
    lost, renamed = judge_neighbour(neighbour(lost_by_rename=loss))
    assert (lost.kept, renamed.kept, renamed.examples) == (True, None, tuple(loss))


def samples(per_hour: float, seconds: float = 1_800) -> list[Sample]:
    """Return a memory that rises fast at the start, and then at this rate."""
    times = [10.0 * number for number in range(int(seconds / 10) + 1)]
    return [Sample(at, (20 + at if at < 120 else 140) + per_hour * at / 3600, 9, 1.0) for at in times]


@pytest.mark.parametrize(("per_hour", "kept"), [(0.0, True), (59.0, True), (61.0, False), (-5.0, True)])
def test_memory_is_judged_by_slope(per_hour: float, kept: bool) -> None:
    """Memory is judged by its slope after the start."""
    verdict = judge_memory(samples(per_hour))
    assert verdict.kept is kept
    assert f"{per_hour:+.1f} MiB/h" in verdict.found
    assert slope(samples(per_hour)[12:]) == pytest.approx(per_hour)


def test_a_short_run_tells_no_slope() -> None:
    assert judge_memory(samples(1_000, 300)).kept is None
    assert judge_memory([]).kept is None


def fills(latency: Callable[[float], float], seconds: int = 1_800, rate: int = 10) -> list[Sent]:
    times = [number / rate for number in range(seconds * rate)]
    return [Sent(f"{at}.01", "AMD", 1, at, at + latency(at)) for at in times]


def test_rising_p99_is_reported() -> None:
    """A p99 that rises by more than half is reported."""
    steady = fills(lambda at: 0.01 if at % 60 else 0.2)
    assert judge_latency(steady, [], 1_800).kept is True
    rising = fills(lambda at: 0.01 * (1 + at / 1_800))
    assert judge_latency(rising, [], 1_800).kept is False
    assert judge_latency(steady[:5_000], [], 500).kept is None


def test_p99_during_fault_is_excused() -> None:
    """A p99 that a fault spoils is not held against it."""
    spoilt = fills(lambda at: 3.0 if 1_700 <= at < 1_720 else 0.01)
    assert judge_latency(spoilt, [], 1_800).kept is False
    faults = [Fault("cut", 1_700.0, 1_719.0)]
    close_windows(faults, spoilt)
    assert faults[0].until == pytest.approx(1_722, abs=0.2)
    assert judge_latency(spoilt, faults, 1_800).kept is True


def test_unseen_fill_keeps_fault_open() -> None:
    """A fill that is never shown keeps its fault's window open."""
    lost = [Sent("a.01", "AMD", 1, 5.0), Sent("b.01", "AMD", 1, 30.0, 30.1)]
    faults = [Fault("silent", 4.0, 6.0)]
    close_windows(faults, lost)
    assert math.isinf(faults[0].until)
    assert apart(lost, faults) == []
    assert minutes(lost, faults, [])[0].p99 == math.inf


def test_fill_at_fault_start_is_not_calm() -> None:
    """A fill under way when a fault begins is no calm one."""
    sent = [
        Sent("a.01", "AMD", 1, 3.9, 4.2),
        Sent("b.01", "AMD", 1, 3.0, 3.1),
        Sent("c.01", "AMD", 1, 9.0, 9.1),
    ]
    faults = [Fault("stale", 4.0, 5.0)]
    close_windows(faults, sent)
    assert faults[0].until == 6.0
    assert apart(sent, faults) == sent[1:]


def test_sighting_shows_all_sent_before() -> None:
    """A sighting shows all that its alert was sent before."""
    made = record(reported(FIRST, 1, 1), reported(SECOND, 1, 2), reported("0001.03.01.01", 1, 3, "NVDA"))
    made.see([Sighting("AMD", SECOND, after(2.5), after(2.6))])
    assert [sent.shown for sent in made.sent] == [2.5, 2.5, None]
    assert made.unseen == 1
    # What the tracker said came before it was sent, so only the reading is believed.
    made.see([Sighting("NVDA", "0001.03.01.01", after(2.9), after(3.2))])
    assert made.sent[2].seconds == pytest.approx(0.2)


class LastMoment:
    """A market that makes one more fill before it hears that it is over."""

    def __init__(self) -> None:
        self.news = [reported(FIRST, 2, 1)]

    def tell(self, what: dict[str, Any]) -> None:
        if what == {"trade": False}:
            self.news.append(reported(SECOND, 1, 2))

    def hear(self, what: str) -> dict[str, Any]:
        news, self.news = self.news, []
        return {"report": news, "over": [], "late": 0.0}


def test_fill_before_markets_end_counts(mocker: MockerFixture) -> None:
    """Found by a soak that had seen all when trading was to end: its last fill was called unsent."""
    soak = Soak.__new__(Soak)
    soak._trading, soak._began, soak._over = cast(Part, LastMoment()), datetime.now(UTC), set()
    soak._watcher = mocker.Mock(failure=None, news=list)
    soak._outcome = Outcome(Record(BEGAN), mocker.Mock())
    soak._floor, soak._sampled = mocker.Mock(once=float), math.inf
    soak._tick()
    soak._close_market()
    assert [sent.exec_id for sent in soak._outcome.record.sent] == [FIRST, SECOND]


@pytest.mark.parametrize(
    ("name", "proven", "over"),
    [("silent", 8.9, False), ("silent", 9.0, True), ("silent", None, False), ("stale", None, True)],
)
def test_fault_ends_once_executions_are_fetched(
    mocker: MockerFixture, name: str, proven: float | None, over: bool
) -> None:
    """It said that it was well before it could know of them; the answer that brought them was called calm."""
    soak, daemon = Soak.__new__(Soak), Daemon.__new__(Daemon)
    soak._options, soak._daemon = Options(fault_every=60), daemon
    soak._began, soak._over, soak._asked = datetime.now(UTC), {name}, -math.inf
    told = None if proven is None else (soak._began + timedelta(seconds=proven)).isoformat()
    mocker.patch.object(daemon, "ask", return_value={"ready": True, "proven_until": told})
    assert soak._is_over(Fault(name, 4.0)) is over


def test_a_row_tells_its_minute() -> None:
    sent = [Sent("a.01", "AMD", 1, 5.0, 5.5), Sent("b.01", "AMD", 1, 70.0, 70.1)]
    faults = [Fault("cut", 4.0, 6.0)]
    close_windows(faults, sent)
    rows = minutes(sent, faults, [Sample(10, 50, 9, 1.0), Sample(50, 51, 10, 2.0), Sample(80, 52, 11, 3.0)])
    assert [(row.fills, row.calm_fills, row.memory, row.faults) for row in rows] == [
        (1, 0, 51, ("cut",)),
        (1, 1, 52, ()),
    ]
    assert rows[0].calm_p99 is None
    assert rows[0].disk is None
    timed = minutes(sent, faults, [], [(5.0, 0.01), (6.0, 0.4), (61.0, 0.02)])
    assert [row.disk for row in timed] == [0.4, 0.02]
    assert rows[1].calm_p99 == pytest.approx(0.1)


def outcome(**changes: Any) -> Outcome:
    """Return what a soak without fault comes to, as short as it may be."""
    made = record()
    made.see([Sighting("AMD", SECOND, after(2.5), after(2.6))])
    fields: dict[str, Any] = {
        "seconds": 60.0,
        "samples": [Sample(10, 50, 9, 1.0)],
        "faults": [Fault("cut", 2.2, 2.3)],
        "neighbour": neighbour(),
        "status": {"stats": {"orders_processed": 2}, "reapplied": 1},
        "alerts": ALERTS,
        "rows": ROWS,
        "exit_code": 0,
    }
    return Outcome(made, **(fields | changes))


def broken(told: Told) -> list[Verdict]:
    return [verdict for verdict in told.verdicts if verdict.kept is False]


def test_all_is_in_tables_json_drawing() -> None:
    """All is reported in tables JSON and a drawing."""
    told = Told(outcome(), Options())
    assert not told.broken
    tables = told.tables()
    assert "kept        each fill is counted once" in tables
    assert "not judged  memory grows by at most 60 MiB/h" in tables
    answer = json.loads(told.as_json())
    assert (answer["fills"], answer["broken"], len(answer["minutes"])) == (2, False, 1)
    drawn = told.drawing()
    assert drawn.startswith("<svg")
    assert "polyline" in drawn
    assert ">cut</text>" in drawn


@pytest.mark.parametrize(
    ("changes", "promise"),
    [
        ({"rows": ROWS[1:]}, "each execution is in the journal once"),
        ({"rows": [*ROWS[:2], row(FIXED, 9)]}, "each fill is counted once"),
        ({"status": {"stats": {"orders_processed": 3}}}, "status counts each fill once"),
        ({"status": {}}, "status counts each fill once"),
        ({"alerts": {}}, "each alert shows its last execution and its position"),
        (
            {"neighbour": neighbour(lost=["x"])},
            "the neighbour lost nothing of its own",
        ),
        ({"samples": samples(90)}, "memory grows by at most 60 MiB/h"),
        ({"exit_code": 5}, "the tracker ran to the end and ended well"),
    ],
)
def test_one_broken_promise_breaks_the_soak(changes: dict[str, Any], promise: str) -> None:
    told = Told(outcome(**changes), Options())
    assert told.broken
    assert [verdict.promise for verdict in broken(told)] == [promise]
    assert "BROKEN" in told.tables()


def soak(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROJECT / "scripts/soak.py", *flags, "--folder", str(folder)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        check=False,
    )


def test_a_short_soak_keeps_every_promise(tmp_path: Path) -> None:
    done = soak(
        tmp_path, "--minutes", "0.15", "--fault-every", "1.2", "--sweep-seconds", "1", "--json", "--seed", "3"
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    answer = json.loads(done.stdout)
    assert answer["fills"] > 200
    # How many there are depends on the machine: the next one comes once the tracker is back from the last.
    assert answer["faults"]
    assert all(fault["until"] is not None for fault in answer["faults"])
    judged = {verdict["promise"]: verdict["kept"] for verdict in answer["verdicts"]}
    unjudged = [promise for promise, kept in judged.items() if kept is None]
    assert len(judged) == 9
    assert set(unjudged) <= {
        "memory grows by at most 60 MiB/h",
        "p99 of the last sixth is at most 1.5 x that of the first",
        "the same where it renames a new file over the old one",
    }
    assert answer["calm_p99"] is not None
    assert answer["neighbour"]["writes"] > 10
    assert answer["samples"]
    assert list(tmp_path.iterdir()) == []


def test_other_drawing_is_refused_first(tmp_path: Path) -> None:
    """Another kind of drawing is refused before anything runs."""
    done = soak(tmp_path, "--plot", "soak.png")
    assert done.returncode == 2
    assert "name a file that ends in .svg" in done.stderr
    assert list(tmp_path.iterdir()) == []
