"""Each shipped scenario alone, played to the real tracker: nothing is lost and nothing doubled."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.daemon_rig import Rig, record
from tracker.clock import now
from tracker.paper.scenario_player import ScenarioPlayer, play
from tracker.paper.service import load_scenario

SPEED = 2.0
HELD = {"trading-morning": 0, "lost-and-found": 11, "second-thoughts": 3, "disorder": 7, "closed-door": 3}
"""Scenario -> the NVDA calls held at its end, by the broker's own account."""


@pytest.mark.parametrize("name", sorted(HELD))
def test_tracker_ends_with_broker_positions(name: str, tmp_path: Path) -> None:
    """The tracker ends a scenario with what the broker holds."""

    async def run() -> None:
        scenario = load_scenario(name)
        async with Rig(tmp_path) as rig:
            rig.write({"robindahood-alerts": {"NVDA": record()}})
            player = ScenarioPlayer(rig.gateway, now, scenario)
            playing = asyncio.create_task(play(scenario, rig.gateway, player, lambda line: None, SPEED))
            try:
                await rig.start(
                    "--gateway.request_timeout", "1", "--gateway.connect_timeout", "1",
                    "--gateway.probe_seconds", "1", ready=False,
                )  # fmt: skip
                await playing
            finally:
                playing.cancel()
            calls = [
                held for held in rig.gateway.book.positions.values() if held.contract.con_id == 700100200
            ]
            assert [held.quantity for held in calls] == [Decimal(HELD[name])]

            def shown() -> bool:
                position = rig.read().get("position")
                return position is not None and position["quantity"] == HELD[name]

            await rig.until(shown, 30)
            assert rig.read()["open"] is (HELD[name] > 0)
            assert await rig.stop() == 0

    asyncio.run(run())
