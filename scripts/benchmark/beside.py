"""One tracker and one gateway, both fresh, as most rows need them, and what is done with both.

Owns starting them, sending single fills, and asking for the status meanwhile.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmark.place import Place, write_alerts
from benchmark.processes import BOUND_SECONDS, Gateway, Tracker, running
from benchmark.streams import Plan
from tracker.status.client import ask

_ASK_SECONDS = 0.2
"""Seconds between two requests for the status."""
PAUSE_SECONDS = 0.02
"""Seconds between single fills, enough for the tracker to finish its work after the last one."""


class Pair(NamedTuple):
    """Hold both, and where their files are."""

    folder: Path
    alerts: Path
    gateway: Gateway
    tracker: Tracker


@contextmanager
def beside(place: Place, alerts: int) -> Iterator[Pair]:
    """Start both on fresh stores of so many alerts; the tracker receives fills when the block begins."""
    with place.folder() as folder, ExitStack() as stack:
        gateway = Gateway(folder / "gateway.log")
        stack.enter_context(running(gateway))
        path = write_alerts(folder, alerts)
        tracker = Tracker(folder, gateway.port)
        stack.enter_context(running(tracker))
        tracker.hear("ready")
        yield Pair(folder, path, gateway, tracker)


def single_fills(gateway: Gateway, tracker: Tracker, alerts: int) -> Callable[[], float]:
    """Return a function that sends the next fill and returns what it took to be in the file."""
    numbers = iter(range(1_000_000))

    def single() -> float:
        shown = gateway.prepare("single", Plan(1, 1, alerts, first=next(numbers), alone=True))
        tracker.expect(shown)
        gateway.send("single")
        done = tracker.hear("done")
        return float(done["done"]) - float(done["received"])

    return single


@contextmanager
def asking(tracker: Tracker, took: list[float]) -> Iterator[None]:
    """Ask for the status with the token again and again while the block runs; `took` gets the seconds."""
    over = threading.Event()
    request = {"command": "status", "token": tracker.token_file.read_text().strip()}

    def keep_asking() -> None:
        while not over.is_set():
            began = time.perf_counter()
            ask("127.0.0.1", tracker.status_port, request, timeout=BOUND_SECONDS)
            took.append(time.perf_counter() - began)
            over.wait(_ASK_SECONDS)

    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(keep_asking)
        try:
            yield
        finally:
            over.set()
        asking.result()


def alternate_with_floor(
    fill: Callable[[], float], floor: Callable[[], float], times: int
) -> Iterator[tuple[float, float]]:
    """Measure single fills, each followed by the floor; yield the seconds of both."""
    for _ in range(times):
        took = fill()
        # The tracker's work after a fill would disturb the floor, and no answer says when it is done.
        time.sleep(PAUSE_SECONDS)
        yield took, floor()
        come_at_any_moment()


def come_at_any_moment() -> None:
    """Keep fills from synchronising with the tracker's own timers, which would distort the figures."""
    time.sleep(random.uniform(0, PAUSE_SECONDS))


def wait_until_due(moment: float) -> None:
    """Sleep until a moment of `time.perf_counter`: the rate of the fills is part of what is measured."""
    time.sleep(max(0.0, moment - time.perf_counter()))
