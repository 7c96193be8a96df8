"""Twenty minutes without the shared store, longer than a fill is matched again: no alert misses its fill.

As tests/pipeline/test_store_watch.py has it for a file, by the same clock, which stands still but for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.answer_rig import ROBIN, Desk, buy, record
from tests.support.cutting_proxy import CuttingProxy
from tests.support.postgres import Database
from tests.support.shared_rig import SharedRig
from tracker.core.state import EXECUTIONS

OUTAGE = timedelta(minutes=20)
RETRY_FOR = timedelta(minutes=15)
ALERTS = {ROBIN: {"NVDA": record()}}


class SharedDesk(Desk):
    """A desk whose alerts are in PostgreSQL, behind a proxy; each look of its pump asks the server."""

    def __init__(self, folder: Path, database: Database) -> None:
        super().__init__(folder, {})
        self.proxy = CuttingProxy(database.server.port)
        self.rig = SharedRig(database)
        self.store.close()
        self.store = self.rig.store(port=self.proxy.port, names=self.names)
        self.pump = self.make_pump(self.store, retry_for=RETRY_FOR)

    def stop(self) -> None:
        super().stop()
        self.proxy.close()

    def wait(self, length: timedelta) -> None:
        """Let time pass, in which the pump looks at the store."""
        for _ in range(10):
            self.now += length / 10
            self.run_pump()

    def held(self) -> object:
        """Return what readers of the store see of the alert."""
        shown = self.rig.records()[ROBIN]["NVDA"]
        return (shown["open"], shown.get("position", {}).get("quantity"))


@pytest.fixture
def desk(tmp_path: Path, database: Database) -> Iterator[SharedDesk]:
    with SharedDesk(tmp_path, database) as desk:
        yield desk


def test_frames_wait_for_a_first_read(desk: SharedDesk) -> None:
    """The server is away as the tracker starts: nothing is decided on alerts that nobody has read."""
    desk.rig.put(ALERTS)
    desk.proxy.refuse()
    desk.tell(buy(1, 4))
    desk.wait(OUTAGE)
    assert list(desk.journal.state.every(EXECUTIONS)) == []
    assert desk.held() == (False, None)
    desk.proxy.go_on()
    desk.run_pump()
    assert desk.held() == (True, 4)


def test_time_away_does_not_count(desk: SharedDesk) -> None:
    """An alert that is put while the server is away gets the fill of before."""
    desk.tell(buy(1, 4))
    desk.proxy.refuse()
    desk.wait(OUTAGE)
    desk.rig.put(ALERTS)
    desk.proxy.go_on()
    desk.run_pump()
    assert desk.held() == (True, 4)


def test_time_with_the_store_counts(desk: SharedDesk) -> None:
    """Without an outage the window is over after fifteen minutes."""
    desk.tell(buy(1, 4))
    desk.wait(OUTAGE)
    desk.rig.put(ALERTS)
    desk.run_pump()
    assert desk.held() == (False, None)
