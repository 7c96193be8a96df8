"""Figures of the tracker itself: how it starts, what it keeps in memory, what known executions cost.

Owns the rows that do not follow single fills. Each repeat starts fresh processes.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, timedelta
from pathlib import Path

from benchmark import history, streams
from benchmark.beside import beside
from benchmark.figures import Figure, interleaved, median_ratio
from benchmark.place import Place, write_alerts
from benchmark.processes import PROJECT, Gateway, Process, Tracker, running
from benchmark.streams import Plan
from tracker.clock import now
from tracker.core.alerters import AlerterNames
from tracker.core.matching import match_execution
from tracker.core.model import Execution, Frame, Source
from tracker.gateway.normalise import normalise
from tracker.stores.alert_file import AlertFile

_SETTLED_SECONDS = 2.0
"""How long a process is left alone before its memory is read."""
_FEW = 100
_CHUNK = 10_000


def restart(place: Place) -> Iterator[Figure]:
    """Measure a start, until fills are received, on a long journal and on a short one."""
    sizes = place.sizes
    with place.folder() as long, place.folder() as short, place.folder() as folder, ExitStack() as stack:
        gateway = Gateway(folder / "gateway.log")
        stack.enter_context(running(gateway))
        for made, executions in ((long, sizes.journalled), (short, _FEW)):
            history.make(made / "journal.db", executions)
            write_alerts(made, sizes.alerts)

        def start(stores: Path) -> float:
            began = time.perf_counter()
            tracker = Tracker(stores, gateway.port)
            with running(tracker):
                return float(tracker.hear("ready")["ready"]) - began

        many, few = interleaved(sizes.repeats, lambda: start(long), lambda: start(short))
    title = f"restart with {sizes.journalled:,} executions in the journal, until ready"
    ours, baseline = statistics.median(many), statistics.median(few)
    against = f"restart with {_FEW}"
    yield Figure(
        "restart", title, against, "s", ours, baseline, ours / baseline, "x", 1.5, repeats=sizes.repeats
    )
    yield Figure(
        "restart_seconds", title, against, "s", ours, baseline, ours, "s", 2.0, repeats=sizes.repeats
    )


def sweep(place: Place) -> Iterator[Figure]:
    """Measure an answer that lists the day's executions, all of them known."""
    sizes = place.sizes
    plan = Plan(sizes.swept, 1, sizes.alerts)

    def ours() -> float:
        with place.folder() as folder, ExitStack() as stack:
            gateway = Gateway(folder / "gateway.log")
            stack.enter_context(running(gateway))
            gateway.prepare("day", plan)
            write_alerts(folder, sizes.alerts)
            tracker = Tracker(folder, gateway.port, sweep_seconds=1)
            stack.enter_context(running(tracker))
            tracker.hear("swept")
            # The second answer may still contain news; from the third on every execution is known.
            tracker.hear("swept")
            return float(tracker.hear("swept")["swept"])

    def bare() -> float:
        with place.folder() as folder, ExitStack() as stack:
            gateway = Gateway(folder / "gateway.log")
            stack.enter_context(running(gateway))
            gateway.prepare("day", plan)
            client = Process("bare", str(gateway.port), log=folder / "bare.log")
            stack.enter_context(running(client))
            client.hear("ready")
            for _ in range(2):
                client.tell({})
                took = float(client.hear("swept")["swept"])
            return took

    found, baseline = interleaved(sizes.repeats, ours, bare)
    yield Figure(
        "sweep",
        f"sweep answering {sizes.swept:,} executions of the day, all known",
        "bare request",
        "ms",
        statistics.median(found) * 1e3,
        statistics.median(baseline) * 1e3,
        median_ratio(found, baseline),
        "x",
        1.3,
        repeats=sizes.repeats,
    )


def _settled_memory(process: Process) -> float:
    """Read a process's memory after a pause, since no answer says when it has nothing left to do."""
    time.sleep(_SETTLED_SECONDS)
    return process.memory()


def memory(place: Place) -> Iterator[Figure]:
    """Measure what a long session adds to the tracker's memory."""
    sizes = place.sizes
    early: list[float] = []
    late: list[float] = []
    for _ in range(sizes.repeats):
        with beside(place, sizes.alerts) as (_, _, gateway, tracker):
            sent = 0
            while sent < sizes.session:
                fills = min(_CHUNK, sizes.session - sent) if sent else 1_000
                tracker.expect(gateway.prepare("part", Plan(fills, 1, sizes.alerts, first=sent)))
                gateway.send("part")
                tracker.hear("done")
                sent += fills
                if sent == 1_000:
                    early.append(_settled_memory(tracker))
            late.append(_settled_memory(tracker))
    ours, baseline = statistics.median(late), statistics.median(early)
    yield Figure(
        "memory",
        f"memory after {sizes.session:,} fills in one session",
        "after 1,000",
        "MiB",
        ours,
        baseline,
        ours - baseline,
        "MiB",
        30.0,
        repeats=sizes.repeats,
    )


def idle(place: Place) -> Iterator[Figure]:
    """Measure the memory of a tracker that has nothing to do."""

    def memory_of(kind: str) -> float:
        with place.folder() as folder, ExitStack() as stack:
            gateway = Gateway(folder / "gateway.log")
            stack.enter_context(running(gateway))
            write_alerts(folder, place.sizes.alerts)
            if kind == "bare":
                client = Process("bare", str(gateway.port), log=folder / "bare.log")
            else:
                client = Tracker(folder, gateway.port)
            stack.enter_context(running(client))
            client.hear("ready")
            return _settled_memory(client)

    ours, bare = interleaved(place.sizes.repeats, lambda: memory_of("ours"), lambda: memory_of("bare"))
    yield Figure(
        "idle",
        "memory of the idle daemon",
        "bare ib_insync, connected",
        "MiB",
        statistics.median(ours),
        statistics.median(bare),
        median_ratio(ours, bare),
        "x",
        1.6,
        repeats=place.sizes.repeats,
    )


def help_text(place: Place) -> Iterator[Figure]:
    """Measure whole processes of the command line, beside a Python that does nothing."""
    with place.folder() as folder, ExitStack() as stack:
        gateway = Gateway(folder / "gateway.log")
        stack.enter_context(running(gateway))
        write_alerts(folder, place.sizes.alerts)
        tracker = Tracker(folder, gateway.port)
        stack.enter_context(running(tracker))
        tracker.hear("ready")
        status = ["-m", "tracker", "status", "--status.port", str(tracker.status_port)]
        commands = {"help": ["-m", "tracker", "--help"], "status": status, "pass": ["-c", "pass"]}
        took: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(place.sizes.starts):
            for name, arguments in commands.items():
                took[name].append(_process(arguments))
    ours, baseline = (statistics.median(took[name]) * 1e3 for name in ("help", "pass"))
    status_ms = statistics.median(took["status"]) * 1e3
    yield Figure(
        "help",
        "tracker --help as a whole process",
        "python -c pass",
        "ms",
        ours,
        baseline,
        ours - baseline,
        "ms",
        120.0,
        repeats=place.sizes.starts,
    )
    yield Figure(
        "status",
        "tracker status as a whole process",
        "python -c pass",
        "ms",
        status_ms,
        baseline,
        status_ms - baseline,
        "ms",
        repeats=place.sizes.starts,
    )


def _process(arguments: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    return time.perf_counter() - began


def matching(place: Place) -> Iterator[Figure]:
    """Measure how long finding and judging a fill's alerts takes with few and with many of them."""
    many = place.sizes.many_alerts
    fills = [_execution(number) for number in range(_FEW)]
    with place.folder() as folder:
        stores = {count: _store(folder / str(count), count) for count in (many, _FEW)}
        early, names = timedelta(seconds=120), AlerterNames()

        def match(count: int) -> float:
            store = stores[count]
            began = time.perf_counter()
            for fill in fills:
                match_execution(fill, store.candidates(fill), early_fill=early, names=names)
            return (time.perf_counter() - began) / len(fills)

        for count in stores:
            match(count)
        ours, baseline = interleaved(10 * place.sizes.repeats, lambda: match(many), lambda: match(_FEW))
        for store in stores.values():
            store.close()
    yield Figure(
        "matching",
        f"match time per fill with {many:,} alerts",
        f"with {_FEW}",
        "us",
        statistics.median(ours) * 1e6,
        statistics.median(baseline) * 1e6,
        median_ratio(ours, baseline),
        "x",
        1.5,
        repeats=len(ours),
    )


def _execution(number: int) -> Execution:
    fields = streams.stream(Plan(1, 1, _FEW, first=number, alone=True), now()).parts[0]
    fact = normalise(Frame(1, now(), 1, Source.BROKER, fields), UTC)
    assert isinstance(fact, Execution), "a stream holds executions"
    return fact


def _store(folder: Path, alerts: int) -> AlertFile:
    folder.mkdir()
    store = AlertFile(write_alerts(folder, alerts), zone=UTC, now=now)
    store.refresh()
    return store
