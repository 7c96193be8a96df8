"""The other program beside us: it rewrites alerts.json from stale copies, without lock or rename."""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.daemon_rig import CALL, Rig, details, record, records_of
from tests.support.seeds import fresh_seed
from tracker.clock import now
from tracker.paper.contracts import option

SECONDS = 60.0 if os.environ.get("CI") else 12.0
FILLS = 200
ALERTS = 10
RATE = 20


class Neighbour(threading.Thread):
    """Load the file, think, and write the whole of it again, some twenty times a second.

    It knows what it last wrote into its own field of each record, and which records it added, so that a loss
    can be told. What it wrote is there at the end, or the file was shared badly.
    """

    def __init__(self, path: Path, seed: int) -> None:
        super().__init__(daemon=True)
        self.path = path
        self.chance = random.Random(seed)
        self.stop = threading.Event()
        self.own: dict[str, int] = {}
        self.writes = 0

    def run(self) -> None:
        while not self.stop.wait(self.chance.uniform(0, 2 / RATE)):
            self.rewrite()

    def rewrite(self) -> None:
        alerts = self.load()
        if self.stop.wait(self.chance.uniform(0, 0.04)):
            return
        ticker = f"SYM{self.chance.randrange(ALERTS)}"
        if self.chance.random() < 0.1:
            ticker = f"NEW{self.writes}"
            alerts[ROBIN][ticker] = record(
                option_conid=None, option_conids=[], alert_details=details(ticker=ticker)
            )
        self.writes += 1
        self.own[ticker] = self.writes
        for name, number in self.own.items():
            alerts[ROBIN][name]["mine"] = number
        self.save(json.dumps(alerts, indent=2))

    def load(self) -> dict[str, Any]:
        """Read until it is whole: our renames never show half a file, so the first read is."""
        loaded: dict[str, Any] = json.loads(self.path.read_text())
        for name in self.own:
            assert name in loaded[ROBIN], f"the neighbour's {name} is lost"
        return loaded

    def save(self, text: str) -> None:
        """Truncate and write in two goes, as a large dump does."""
        with self.path.open("w") as file:
            half = self.chance.randrange(len(text))
            file.write(text[:half])
            file.flush()
            if self.chance.random() < 0.3:
                time.sleep(self.chance.uniform(0, 0.01))  # The neighbour's own slowness, not a wait of ours.
            file.write(text[half:])


def test_neighbour_and_tracker_lose_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """200 fills while the neighbour rewrites the file from stale copies all the time."""
    seed = fresh_seed("neighbour", "NEIGHBOUR_SEED", capsys)
    contracts = [option(f"SYM{n}", "20301220", "C", "100", con_id=700200000 + n) for n in range(ALERTS)]
    truth = [0] * ALERTS

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: records_of(contracts)})
        await rig.start()
        neighbour = Neighbour(rig.alerts_path, seed)
        neighbour.start()
        for number in range(FILLS):
            await asyncio.sleep(SECONDS / FILLS)
            which = number % ALERTS
            rig.gateway.fill(rig.gateway.order(contracts[which], "BUY", 1 + number % 3, limit="2"))
            truth[which] += 1 + number % 3
            assert neighbour.is_alive(), "the neighbour found the file broken or its own work lost"
        neighbour.stop.set()
        await asyncio.to_thread(neighbour.join)

        def settled() -> bool:
            file = json.loads(rig.alerts_path.read_text())[ROBIN]
            quantities = [file[contract.symbol].get("position", {}).get("quantity") for contract in contracts]
            return quantities == truth

        await rig.until(settled)
        await rig.idle()
        assert settled()
        file = json.loads(rig.alerts_path.read_text())[ROBIN]
        assert {name: file[name]["mine"] for name in neighbour.own} == neighbour.own
        assert all(file[contract.symbol]["open"] for contract in contracts)
        assert neighbour.writes > SECONDS * RATE / 4

    play(tmp_path, story)


def test_stale_write_undone_and_successor_found(tmp_path: Path) -> None:
    """The same identity is applied again; a repeated alert inherits; a deleted one stays away."""

    async def story(rig: Rig) -> None:
        stale = rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2"))
        await rig.until(lambda: rig.read()["open"])
        rig.alerts_path.write_text(stale)
        await rig.until(lambda: rig.read()["open"])
        assert rig.read()["position"]["quantity"] == 2
        repeated = record(created_at=now().replace(tzinfo=None).isoformat())
        rig.write({ROBIN: {"NVDA": repeated}})
        await rig.until(lambda: rig.read()["open"])
        assert rig.read()["position"]["quantity"] == 2
        rig.gateway.fill(rig.gateway.order(CALL, "SELL", 2, limit="2"))
        await rig.until(lambda: not rig.read()["open"])
        text = rig.write({ROBIN: {}})
        await rig.idle()
        assert rig.alerts_path.read_text() == text

    play(tmp_path, story)


@pytest.mark.parametrize("broken", ["", '{"robindahood-alerts": {"NV'])
def test_unreadable_file_is_never_written(tmp_path: Path, broken: str) -> None:
    """It is left alone and shown in status; when it is whole again what was owed is applied."""

    async def story(rig: Rig) -> None:
        whole = rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        rig.alerts_path.write_text(broken)
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2"))

        async def shown() -> bool:
            return bool((await rig.status())["store"]["away"])

        await rig.until(shown)
        await rig.idle_sweep()
        assert rig.alerts_path.read_text() == broken
        rig.alerts_path.write_text(whole)
        await rig.until(lambda: rig.read()["open"])

    play(tmp_path, story)


def test_returned_record_shows_its_position(tmp_path: Path) -> None:
    """Deleted by one stale copy, back by the next: the same identity, still owned."""

    async def story(rig: Rig) -> None:
        stale = rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2"))
        await rig.until(lambda: rig.read()["open"])
        empty = rig.write({ROBIN: {}})
        await rig.idle()
        assert rig.alerts_path.read_text() == empty
        rig.alerts_path.write_text(stale)
        await rig.until(lambda: rig.read()["open"])
        assert rig.read()["position"]["quantity"] == 2

    play(tmp_path, story)


def test_successor_found_behind_another_contract(tmp_path: Path) -> None:
    """The position waited without a record; the next one of its contract shows it."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2"))
        await rig.until(lambda: rig.read()["open"])
        put = record(option_conid=5, option_conids=[5], alert_details=details(side="P"))
        text = rig.write({ROBIN: {"NVDA": put}})
        await rig.idle()
        assert rig.alerts_path.read_text() == text
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.until(lambda: rig.read()["open"])
        assert rig.read()["position"]["quantity"] == 2

    play(tmp_path, story)
