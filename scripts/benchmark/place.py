"""Where a measurement runs: a fresh folder of stores for each repeat, on the disk that is measured.

Owns the folders and the sizes of a run. It starts nothing.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from benchmark import streams
from tracker.clock import now


@dataclass(frozen=True, slots=True)
class Sizes:
    """Hold how much is measured."""

    repeats: int = 5
    fills: int = 5_000
    """Per repeat, at either number of fills per order."""
    latencies: int = 200
    """Single fills, in all repeats together."""
    polls: int = 20
    burst: int = 1_000
    journalled: int = 1_000_000
    swept: int = 20_000
    alerts: int = 100
    many_alerts: int = 100_000
    session: int = 100_000
    """Fills of one session whose memory is watched."""
    starts: int = 20
    """Processes started for the command line's figures."""
    beset: int = 500
    """Single fills beside abusive clients, in all repeats together."""
    seats: int = 1_000
    """Seats that follow one alert of the shared store."""
    shared_alerts: int = 1_000
    """Alerts of the shared store that is polled."""
    shared_seconds: float = 4.0
    """Of writes at full speed, per repeat."""
    crowd: int = 100
    """Trackers of the shared store that write at once."""
    crowd_seconds: float = 60.0
    frozen_seconds: float = 30.0
    """How long the shared store's server is frozen."""


QUICK = Sizes(
    *(3, 1_000, 40, 3, 1_000, 20_000, 2_000, 100, 10_000, 5_000, 5, 30),
    *(100, 100, 0.5, 20, 3.0, 3.0),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Hold the folder that measurements may use, and how much they do."""

    root: Path
    sizes: Sizes

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Give a fresh folder; it is removed when the block ends."""
        made = Path(tempfile.mkdtemp(dir=self.root))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)


def write_alerts(folder: Path, count: int) -> Path:
    """Write an alerts.json of `count` records made a minute ago; returns its path."""
    path = folder / "alerts.json"
    path.write_text(json.dumps(streams.alerts(count, now() - timedelta(minutes=1)), indent=2))
    return path
