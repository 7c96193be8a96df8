"""One tracker beside one gateway, both fresh, as most rows want them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmark.place import Place, write_alerts
from benchmark.processes import Gateway, Tracker, running


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
