"""An alert store that is not there, or cannot be read, costs no fill: frames wait for it, and time stands."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from tests.support.answer_rig import ROBIN, Desk, buy, record
from tests.support.facts import exec_id
from tracker import wiring
from tracker.core.model import Matched
from tracker.core.state import EXECUTIONS
from tracker.pipeline.store_watch import StoreOutage

RETRY_FOR = timedelta(minutes=15)
ALERTS = {ROBIN: {"NVDA": record()}}


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Collect what is logged from level INFO on."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(message.record["message"]), level="INFO")
    yield lines
    logger.remove(sink)


class OutageDesk(Desk):
    """A desk that keeps what its pump says of outages."""

    def __init__(self, *values: Any, **more: Any) -> None:
        self.outages: list[StoreOutage | None] = []
        super().__init__(*values, **more)

    def make_pump(self, store: Any, match: Any = None, **more: Any) -> Any:
        return super().make_pump(store, match, on_outage=self.outages.append, retry_for=RETRY_FOR, **more)

    def spoil(self) -> str:
        """Cut the file off; returns what it held."""
        whole = self.alerts_path.read_text()
        self.alerts_path.write_text(whole[: len(whole) // 2])
        return whole

    def remove(self) -> str:
        whole = self.alerts_path.read_text()
        self.alerts_path.unlink()
        return whole

    def repair(self, whole: str, after: timedelta) -> None:
        """Put the file right after a time."""
        self.now += after
        self.alerts_path.write_text(whole)
        self.run_pump()

    def wait(self, length: timedelta) -> None:
        """Let time pass, in which the pump looks at the store."""
        for _ in range(10):
            self.now += length / 10
            self.run_pump()

    def restart(self) -> None:
        """Start the tracker again on the same files."""
        self.store.close()
        self.store = wiring.alert_stores(self.settings, self.names)
        self.pump = self.make_pump(self.store)


def held(desk: Desk) -> object:
    (alert,) = desk.store.alerts()
    shown = desk.store.shown(alert.id)
    return shown.position["quantity"] if shown is not None and shown.position else None


@pytest.mark.parametrize("how", ["spoil", "remove"])
def test_frames_wait_for_a_first_look(tmp_path: Path, how: str) -> None:
    """A file that is cut off when the tracker starts, for longer than a fill is decided again."""
    with OutageDesk(tmp_path, ALERTS) as desk:
        if how == "remove":
            desk.store.expect()
        whole = getattr(desk, how)()
        desk.tell(buy(1, 4))
        assert list(desk.journal.state.every(EXECUTIONS)) == []
        desk.repair(whole, 2 * RETRY_FOR)
        assert held(desk) == 4
        assert [outage is None for outage in desk.outages] == [False, True]


def test_known_journal_waits_for_absent_file(tmp_path: Path) -> None:
    """A journal that has read the file once takes a path without one for a mistake, or an outage."""
    with OutageDesk(tmp_path, ALERTS) as desk:
        desk.run_pump()
        desk.restart()
        whole = desk.remove()
        desk.tell(buy(1, 4))
        assert desk.journal.waiting
        assert "is gone; put it back" in desk.pump.away["read"].reason
        assert desk.pump.away["read"].reason.endswith("; it is tried again")
        desk.repair(whole, 2 * RETRY_FOR)
        assert held(desk) == 4


def test_new_journal_decides_without_file(tmp_path: Path) -> None:
    """Nothing was missed where there never was a file; the fill is decided again when it appears."""
    with OutageDesk(tmp_path, ALERTS) as desk:
        whole = desk.remove()
        desk.tell(buy(1, 4))
        assert not isinstance(desk.booked(exec_id(1)).match, Matched)
        assert desk.pump.away == {}
        desk.repair(whole, 2 * RETRY_FOR)
        assert held(desk) == 4


def test_removed_file_is_an_outage(tmp_path: Path) -> None:
    """While alerts are open: shown with the reason and since when; what is decided is written on return."""
    with OutageDesk(tmp_path, ALERTS) as desk:
        desk.tell(buy(1, 4))
        whole = desk.remove()
        began = desk.now + timedelta(seconds=1)
        desk.tell(buy(2, 1))
        desk.wait(2 * RETRY_FOR)
        assert desk.pump.away["read"].since == began
        assert not desk.alerts_path.exists()
        desk.repair(whole, timedelta())
        assert held(desk) == 5
        assert desk.pump.away == {}


def test_time_away_does_not_count(tmp_path: Path) -> None:
    """A fill whose alert is written while the file is broken finds it, however long that lasts."""
    with OutageDesk(tmp_path, {ROBIN: {}}) as desk:
        desk.tell(buy(1, 4))
        desk.spoil()
        desk.wait(4 * RETRY_FOR)
        desk.write(ALERTS)
        desk.run_pump()
        assert held(desk) == 4


def test_time_with_the_store_counts(tmp_path: Path) -> None:
    """Readable time before and after an outage is added up, and the outage is left out."""
    with OutageDesk(tmp_path, {ROBIN: {}}) as desk:
        desk.run_pump()
        desk.wait(timedelta(minutes=10))
        whole = desk.spoil()
        desk.wait(timedelta(minutes=50))
        desk.repair(whole, timedelta(minutes=1))
        desk.wait(timedelta(minutes=3))
        read = timedelta(seconds=desk.pump._clock.ran())
        # A span counts when the store was read at both of its ends, so the last look's own is left out.
        assert timedelta(minutes=12) <= read <= timedelta(minutes=14)


def test_first_look_says_what_is_there(tmp_path: Path, logged: list[str]) -> None:
    with OutageDesk(tmp_path, ALERTS) as desk:
        desk.run_pump()
        desk.run_pump()
        assert logged == [f"1 alert read from {desk.alerts_path}: {ROBIN} 1"]


def test_absent_file_is_said_loudly(tmp_path: Path, logged: list[str]) -> None:
    with OutageDesk(tmp_path, ALERTS) as desk:
        whole = desk.remove()
        desk.run_pump()
        desk.run_pump()
        absent = f"{desk.alerts_path} is not there; until it is, fills open no alert"
        assert logged == [absent]
        desk.repair(whole, timedelta(seconds=1))
        assert logged == [absent, f"1 alert read from {desk.alerts_path}: {ROBIN} 1"]
