"""Trackers on one store while they and the server are killed and frozen: each part is what was decided.

Three seats, one of which changes hands between two hosts by a copy of its journal. SHARED_SEEDS=50
plays as many; a failure names its seed.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from tests.support.postgres import Server
from tests.support.project import PROJECT
from tests.support.shared_rig import SharedRig
from tests.support.store_cases import record
from tests.support.store_writer import ALERTER, TICKERS, decided_in
from tests.support.waiting import until

SEATS = ("one", "two", "three")
FAULTS = 14
BOUND_SECONDS = 40.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


class Writers:
    """Hold the processes of all seats; the last one started on a seat is its holder."""

    def __init__(self, url: str, folder: Path, seed: int) -> None:
        self._url = url
        self._folder = folder
        self._seed = seed
        self._started = 0
        self._hosts: dict[str, str] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.journals = {seat: folder / f"{seat}.db" for seat in SEATS}
        self.fenced: list[subprocess.Popen[bytes]] = []

    def start(self, seat: str) -> None:
        self._started += 1
        self._hosts[seat] = f"host-{self._started}"
        self.processes[seat] = subprocess.Popen(
            [sys.executable, "-m", "tests.support.store_writer", self._url, seat, self._hosts[seat],
             self.journals[seat], str(self._seed * 1000 + self._started)],
            cwd=PROJECT,
        )  # fmt: skip

    def kill(self, seat: str) -> None:
        self.processes[seat].kill()
        self.processes[seat].wait()
        self.start(seat)

    def take_over(self, seat: str, rig: SharedRig) -> None:
        """Copy the journal, and start on it; the one before may still run, or be frozen.

        Not before that one has sat down: two that start at once take the seat in any order.
        """
        copy = self._folder / f"{seat}-{self._started}.db"
        if hosts(rig)[seat] != self._hosts[seat]:
            return
        with closing(sqlite3.connect(self.journals[seat])) as source, closing(sqlite3.connect(copy)) as made:
            source.backup(made)
        self.fenced.append(self.processes[seat])
        self.journals[seat] = copy
        self.start(seat)

    def end(self, rig: SharedRig) -> None:
        """Have all go on, and end once each has delivered what it decided."""
        for process in (*self.processes.values(), *self.fenced):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
        # Whoever was started last may not have begun yet.
        until(lambda: hosts(rig) == self._hosts, BOUND_SECONDS)
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            assert process.wait(BOUND_SECONDS) == 0
        for process in self.fenced:
            assert process.wait(BOUND_SECONDS) == 5

    def close(self) -> None:
        for process in (*self.processes.values(), *self.fenced):
            process.kill()
            process.wait()


def hosts(rig: SharedRig) -> dict[str, str]:
    """Return seat -> who sits there."""
    return dict(rig.database.rows("SELECT seat, host FROM tracker.seats"))


def fault(random: Random, server: Server, writers: Writers, rig: SharedRig) -> None:
    """Do one thing that happens to machines; each pause is how long that lasts, and waits for nothing."""
    seat = random.choice(SEATS)
    match random.randrange(5):
        case 0:
            writers.kill(seat)
        case 1:
            process = writers.processes[seat]
            process.send_signal(signal.SIGSTOP)
            if random.random() < 0.5:
                time.sleep(random.random() * 0.3)
                process.send_signal(signal.SIGCONT)
        case 2:
            server.kill()
            time.sleep(random.random() * 0.2)
            server.start()
        case 3:
            with server.frozen():
                time.sleep(random.random() * 0.4)
        case 4:
            writers.take_over("three", rig)
    time.sleep(random.random() * 0.3)


@pytest.mark.parametrize("seed", range(int(os.environ.get("SHARED_SEEDS", "3"))))
def test_parts_equal_what_was_decided(server: Server, tmp_path: Path, seed: int) -> None:
    if not server.runs:
        server.start()
    random = Random(seed)
    with server.database() as database, SharedRig(database) as rig:
        rig.put({ALERTER: {ticker: record(ticker, None) for ticker in TICKERS}})
        writers = Writers(database.url_of("tracker_seat"), tmp_path, seed)
        try:
            for seat in SEATS:
                writers.start(seat)
            until(lambda: len({seat for _, seat, *_ in rig.parts()}) == len(SEATS), BOUND_SECONDS)
            for _ in range(FAULTS):
                fault(random, server, writers, rig)
            writers.end(rig)
            shown: Counter[str] = Counter()
            for ticker, seat, _, _, position in rig.parts():
                assert position is not None
                assert position["quantity"] == decided_in(writers.journals[seat])[ticker], (seat, ticker)
                shown[ticker] += position["quantity"]
            assert shown.total() > 100, "hardly anything was decided"
            records = rig.records()[ALERTER]
            assert {ticker: records[ticker]["position"]["quantity"] for ticker in shown} == dict(shown)
        finally:
            writers.close()
