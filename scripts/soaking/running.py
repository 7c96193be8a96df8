"""One soak from start to end: the processes, the faults in turn, and what is read of the tracker.

Owns starting and ending them, and the schedule. `judging` judges the result.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final

from benchmark.floor import Floor
from benchmark.place import write_alerts
from benchmark.processes import PROJECT, Process, free_port, resident, running, stores, words

from soaking.judging import Fault, Neighbour, Record, Sample
from soaking.watching import Watcher
from tracker.clock import now
from tracker.status.client import NotReachable, ask

FAULTS: Final = (
    *("cut", "half", "repeats", "stale", "upstream"),
    *("corrections", "folder", "crowd", "silent"),
)
"""The faults in their order; `MEANINGS` describes each."""
MEANINGS: Final[Mapping[str, str]] = {
    "cut": "the link is reset, and refused for a while",
    "half": "alerts.json is left half written for a while",
    "repeats": "executions of the past come again",
    "silent": "the gateway sends nothing for a while; what it had to say is lost",
    "stale": "an old copy of the whole file is written over ours",
    "upstream": "1100, fills that are never pushed, 1102",
    "crowd": "bad clients crowd the status socket",
    "folder": "a folder stands in the place of alerts.json for a while",
    "corrections": "executions are corrected",
}
_NEIGHBOURS: Final = ("half", "stale", "folder")
_WITHHOLDING: Final = ("cut", "silent", "upstream")
"""Faults that keep executions from the tracker while they last; it must fetch them afterwards."""
_TICK_SECONDS: Final = 0.25
_SAMPLE_SECONDS: Final = 10.0
_FLOOR_SECONDS: Final = 1.0
_ASK_SECONDS: Final = 1.0
"""Seconds between two health requests: late on a busy day one delays fills by 0.3 s."""
_LONGEST_FAULT: Final = 5.0
_SETTLE_SECONDS: Final = 90.0
_START_SECONDS: Final = 60.0
_SLOWEST: Final = 100.0
"""The fewest fills a second that the tracker handles."""


_NOTHING_TOLD: Final[Neighbour] = {
    "writes": 0,
    "renames": 0,
    "lost": [],
    "lost_by_rename": [],
    "came_back": 0,
    "unreadable": 0,
}


@dataclass(frozen=True, slots=True)
class Options:
    """Hold how long, how fast and with which seed."""

    minutes: float = 30.0
    rate: float = 50.0
    seed: int = 1
    fault_every: float = 60.0
    """Seconds."""
    sweep_seconds: float = 15.0
    """The tracker's own default."""
    earlier: int = 0
    """Fills of the day before the tracker starts."""

    @property
    def alerts(self) -> int:
        """So many that an alert's fills are 2 s apart: within one second the broker's times give no order."""
        return max(100, int(2 * self.rate))

    @property
    def fault_seconds(self) -> float:
        """How long a fault lasts that has a length."""
        return min(_LONGEST_FAULT, max(0.5, self.fault_every / 12))

    @property
    def crowd(self) -> int:
        """How many bad clients come."""
        return max(50, min(1_000, int(20 * self.fault_every)))


@dataclass(slots=True)
class Outcome:
    """Hold all that was sent, seen and measured."""

    record: Record
    neighbour: Neighbour
    seconds: float = 0.0
    """How long fills were made."""
    faults: list[Fault] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    floor: list[tuple[float, float]] = field(default_factory=list)
    """(seconds since the start, seconds that one commit and one replaced file took on the same disk)."""
    late: float = 0.0
    """The most seconds by which the gateway made a fill after its turn."""
    missed_events: int = 0
    status: dict[str, Any] = field(default_factory=dict)
    alerts: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, str]] = field(default_factory=list)
    exit_code: int | None = None


class Part(Process):
    """Run one of the soak's own processes."""

    package: ClassVar[str] = "soaking."


class Daemon(Process):
    """Run the tracker as a user does."""

    package: ClassVar[str] = ""

    def __init__(self, folder: Path, port: int, sweep_seconds: float) -> None:
        self.folder = folder
        self.status_port = free_port()
        self._settings = {
            **stores(folder),
            "gateway.port": port,
            "gateway.timezone": "UTC",
            "gateway.sweep_seconds": sweep_seconds,
            "status.port": self.status_port,
            "status.token_file": folder / "status.token",
        }
        super().__init__("tracker", "run", *words(self._settings), log=folder / "tracker.log")

    def ask(self, command: str) -> dict[str, Any] | None:
        """Return its answer; None if it cannot be reached now, for example in a crowd.

        Raises RuntimeError where it has ended.
        """
        if self.exit_code is not None:
            raise RuntimeError(f"the tracker ended; its log ends with:\n{self.log.read_text()[-2000:]}")
        try:
            return ask("127.0.0.1", self.status_port, {"command": command})
        except NotReachable:
            return None

    def is_ready(self) -> bool:
        """Return whether it says that a fill at this moment would reach its alert."""
        answer = self.ask("ready")
        return answer is not None and bool(answer.get("ready"))

    def has_settled(self, fills: int) -> bool:
        """Return whether it says that it counted so many fills, with their fees, and owes no write."""
        status = self.ask("status")
        if status is None:
            return False
        pending = status["fees_pending"] or status["store"]["undelivered"]
        return bool(status["stats"]["orders_processed"] >= fills and not pending)

    def has_proven(self, moment: datetime) -> bool:
        """Return whether it says that it missed nothing up to then."""
        status = self.ask("status")
        proven = None if status is None else status["proven_until"]
        return proven is not None and datetime.fromisoformat(proven) >= moment

    def sample(self, seconds: float) -> Sample:
        """Measure its memory and time now."""
        held = Path(f"/proc/{self.pid}/fd")
        journal = sum(path.stat().st_size for path in self.folder.glob("journal.db*"))
        files = len(os.listdir(held)) if held.exists() else None
        return Sample(seconds, resident(self.pid), files, journal / 2**20)

    def export(self) -> list[dict[str, str]]:
        """Return the whole output of `tracker export`; the tracker need not run."""
        place = self.folder / "export.csv"
        subprocess.run(
            [sys.executable, "-m", "tracker", "export", "--all", "--csv", str(place), *words(self._settings)],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )
        with place.open(newline="") as file:
            return list(csv.DictReader(file))


class Soak:
    """Hold one soak's processes; all are fresh, on the stores of one folder."""

    def __init__(self, options: Options, folder: Path, stack: ExitStack, tell: Callable[[str], None]) -> None:
        self._options = options
        self._folder = folder
        self._tell = tell
        alerts, seed = str(options.alerts), str(options.seed)
        self._trading = Part("trading", str(options.rate), alerts, seed, log=folder / "gateway.log")
        stack.enter_context(running(self._trading))
        port = int(self._trading.hear("port")["port"])
        self._alerts = write_alerts(folder, options.alerts)
        self._trading.tell({"earlier": options.earlier})
        self._trading.hear("earlier")
        self._daemon = Daemon(folder, port, options.sweep_seconds)
        stack.enter_context(running(self._daemon))
        patience = _START_SECONDS + options.earlier / _SLOWEST
        _wait(self._daemon.is_ready, patience, "the tracker is ready")
        _wait(lambda: self._daemon.has_settled(options.earlier), patience, "it has the day's earlier fills")
        self._neighbour = Part("neighbour", str(self._alerts), seed, log=folder / "neighbour.log")
        stack.enter_context(running(self._neighbour))
        crowd = str(options.crowd)
        self._crowd = Part("crowd", str(self._daemon.status_port), crowd, log=folder / "crowd.log")
        stack.enter_context(running(self._crowd))
        for process in (self._neighbour, self._crowd):
            process.hear("ready")
        self._floor = Floor(folder, self._alerts.read_bytes(), b"")
        stack.callback(self._floor.close)
        self._watcher = Watcher(self._daemon.status_port, self._alerts)
        stack.callback(self._watcher.close)
        self._turn = 0
        self._began = now()
        self._outcome = Outcome(Record(self._began), _NOTHING_TOLD)
        self._over: set[str] = set()
        self._sampled = 0.0
        self._asked = 0.0

    @property
    def _seconds(self) -> float:
        return (now() - self._began).total_seconds()

    def run(self) -> Outcome:
        """Run the soak; raises RuntimeError if a process other than the tracker fails."""
        outcome, options = self._outcome, self._options
        end = options.minutes * 60
        next_fault = options.fault_every
        last_fault = end - min(options.fault_every, 3 * _LONGEST_FAULT) / 2
        fault: Fault | None = None
        self._trading.tell({"trade": True})
        while self._seconds < end:
            self._tick()
            if fault is not None:
                if self._is_over(fault):
                    fault.over, fault = self._seconds, None
            elif next_fault <= self._seconds < last_fault:
                fault = self._begin()
                next_fault += options.fault_every
        self._close_market()
        outcome.seconds = self._seconds
        self._measure()
        self._settle(fault)
        return outcome

    def _close_market(self) -> None:
        """End the fills, and read those made since the last report, which nothing else would report."""
        self._trading.tell({"trade": False})
        self._tick()

    def _tick(self) -> None:
        """Read what was sent and seen, and measure if it is time."""
        # The soak's own pace: it waits for nothing, since other processes make the fills.
        time.sleep(_TICK_SECONDS)
        outcome = self._outcome
        if self._watcher.failure is not None:
            raise RuntimeError(
                f"the watch of the tracker ended; see {self._daemon.log}"
            ) from self._watcher.failure
        # In this order: what was seen by now was sent before, so the report has it.
        seen = self._watcher.news()
        self._trading.tell({"report": True})
        answer = self._trading.hear("report")
        outcome.record.take((each[0], each[1], each[2], each[3]) for each in answer["report"])
        outcome.record.see(seen)
        outcome.late = max(outcome.late, answer["late"])
        self._over.update(answer["over"])
        if not outcome.floor or self._seconds >= outcome.floor[-1][0] + _FLOOR_SECONDS:
            outcome.floor.append((self._seconds, self._floor.once()))
        if self._seconds >= self._sampled + _SAMPLE_SECONDS:
            self._measure()

    def _measure(self) -> None:
        self._sampled = self._seconds
        sample = self._daemon.sample(self._sampled)
        self._outcome.samples.append(sample)
        sent, unseen = len(self._outcome.record.sent), self._outcome.record.unseen
        told = f"{sent:,} sent, {unseen} not shown yet, {sample.memory:.1f} MiB"
        self._tell(f"{self._sampled / 60:5.1f} min  {told}")

    def _begin(self) -> Fault:
        name = FAULTS[self._turn % len(FAULTS)]
        self._turn += 1
        fault = Fault(name, self._seconds)
        self._outcome.faults.append(fault)
        self._tell(f"{fault.began / 60:5.1f} min  {name}: {MEANINGS[name]}")
        if name == "crowd":
            self._crowd.tell({"go": True})
        else:
            which = self._neighbour if name in _NEIGHBOURS else self._trading
            which.tell({"fault": name, "seconds": self._options.fault_seconds})
        return fault

    def _is_over(self, fault: Fault) -> bool:
        """Return whether what was done is undone, and the tracker says that it is well again.

        Where executions were kept from it, it is well once it has proven that it fetched them. That it does
        not know of any yet says nothing.
        """
        if fault.name not in self._over:
            if fault.name == "crowd":
                said = self._crowd.has_said("tried")
            else:
                said = fault.name in _NEIGHBOURS and self._neighbour.has_said("over")
            if not said:
                return False
            self._over.add(fault.name)
        if self._seconds < self._asked + _ASK_SECONDS:
            return False
        self._asked = self._seconds
        if not self._daemon.is_ready():
            return False
        if fault.name in _WITHHOLDING:
            undone = self._began + timedelta(seconds=fault.began + self._options.fault_seconds)
            if not self._daemon.has_proven(undone):
                return False
        self._over.discard(fault.name)
        return True

    def _settle(self, fault: Fault | None) -> None:
        """Wait until all is shown, then read everything; what never comes is judged after a time limit."""
        outcome = self._outcome
        deadline = self._seconds + _SETTLE_SECONDS
        while (fault is not None or outcome.record.unseen) and self._seconds < deadline:
            self._tick()
            if fault is not None and self._is_over(fault):
                fault.over, fault = self._seconds, None
        self._neighbour.tell({"settle": True})
        outcome.neighbour = self._neighbour.hear("settled")["settled"]
        outcome.status = self._daemon.ask("status") or {}
        outcome.missed_events = self._watcher.missed
        self._watcher.close()
        self._daemon.end()
        outcome.exit_code = self._daemon.exit_code
        outcome.alerts = json.loads(self._alerts.read_text())
        outcome.rows = self._daemon.export()


def soak(options: Options, folder: Path, tell: Callable[[str], None]) -> Outcome:
    """Run a soak in an empty folder; `tell` receives progress lines. Raises RuntimeError on failure."""
    with ExitStack() as stack:
        return Soak(options, folder, stack, tell).run()


def _wait(is_so: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(f"it took over {seconds:g} s until {what}")
        # Only a request over the socket says so, and each one slows the tracker.
        time.sleep(_ASK_SECONDS)
