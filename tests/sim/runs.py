"""Run lives, one or many, each in a folder of its own that is gone afterwards."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.sim.options import draw
from tests.sim.world import live

_SHARED_MEMORY: Final = Path("/dev/shm")
IN_MEMORY: Final = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
"""A folder in memory, where there is one: synchronous=FULL costs nothing there."""


@dataclass(frozen=True, slots=True)
class Result:
    """Hold how a life went."""

    seed: int
    failure: str = ""
    last_line: str = ""
    pumps: int = 0
    restarts: int = 0
    executions: int = 0
    sometimes: Mapping[str, int] = field(default_factory=dict)
    """How often what happens only sometimes did."""

    def report(self, *, short: bool = False) -> str:
        """Return what to print, with the command that lives it again."""
        if not self.failure:
            counts = f"{self.executions} executions, {self.restarts} restarts, {self.pumps} pumps"
            return f"seed {self.seed}: {counts}"
        what = self.last_line if short else self.failure
        return f"seed {self.seed} failed: {what}\n  again: python -m tests.sim {self.seed} --trace"


def run_one(seed: int, tell: Callable[[str], None] | None = None) -> Result:
    """Live one seed; a failure is returned, not raised."""
    with TemporaryDirectory(prefix="tracker-sim-", dir=IN_MEMORY) as folder:
        try:
            if tell is not None:
                from random import Random

                tell(draw(Random(seed)).describe())
            world = live(seed, Path(folder), tell or (lambda line: None))
        except Exception as error:
            # Whatever breaks is this seed's failure; the other seeds are to be lived all the same.
            text = "".join(traceback.format_exception(error))
            return Result(seed, text, f"{type(error).__name__}: {error}"[:300])
    return Result(
        seed,
        pumps=world.pumps,
        restarts=world.restarts,
        executions=len(world.broker.executions),
        sometimes=+world.feed.sometimes,
    )


def run_many(
    seeds: Iterable[int], processes: int | None = None, prepare: Callable[[], object] | None = None
) -> list[Result]:
    """Live many seeds in parallel, in the order of the seeds; each process begins with `prepare`."""
    # New processes, no forks: a test process may have threads, and a fork would keep the locks they hold.
    spawn = get_context("spawn")
    with ProcessPoolExecutor(processes or os.cpu_count(), spawn, prepare) as pool:
        return list(pool.map(run_one, seeds, chunksize=8))
