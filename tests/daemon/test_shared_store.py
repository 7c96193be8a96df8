"""Trackers that share one set of alerts in PostgreSQL, as real processes beside paper gateways."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon_rig import CALL, Rig, record
from tests.support.postgres import PASSWORD, Database
from tests.support.shared_rig import SharedRig

ROBIN = "robindahood-alerts"


@pytest.fixture
def shared(database: Database) -> Iterator[SharedRig]:
    with SharedRig(database) as rig:
        yield rig


def tracker(shared: SharedRig, folder: Path, seat: str, account: str, **gateway: Any) -> Rig:
    """Return a paper gateway and its tracker, on one seat of the store."""
    folder.mkdir(exist_ok=True)
    rig = Rig(folder, accounts=[account], **gateway)
    rig.options = [
        *("--shared.url", shared.database.url_of("tracker_seat"), "--shared.seat", seat),
        *("--shared.poll_seconds", "0.1"),
    ]
    return rig


def quantity(shared: SharedRig) -> float | None:
    """Return what readers see of the alert's position."""
    found: float | None = shared.records()[ROBIN]["NVDA"].get("position", {}).get("quantity")
    return found


def test_two_trackers_show_the_sum(shared: SharedRig, tmp_path: Path) -> None:
    """Two accounts filled on one alert: readers see both together, and each tracker its own part."""

    async def play() -> None:
        shared.put({ROBIN: {"NVDA": record(note="kept")}})
        async with (
            tracker(shared, tmp_path / "left", "left", "DU1000001") as left,
            tracker(shared, tmp_path / "right", "right", "DU1000002") as right,
        ):
            await asyncio.gather(left.start(), right.start())
            left.gateway.fill(left.gateway.order(CALL, "BUY", 4, limit="2.5"))
            right.gateway.fill(right.gateway.order(CALL, "BUY", 2, limit="3.1"))
            await left.until(lambda: quantity(shared) == 6)
            shown = shared.records()[ROBIN]["NVDA"]
            assert (shown["open"], shown["note"]) == (True, "kept")
            assert shown["position"]["avg_price"] == 2.7
            parts = [(seat, position and position["quantity"]) for _, seat, _, _, position in shared.parts()]
            assert parts == [("left", 4), ("right", 2)]
            assert (await left.status_of("store"))["seat"] == "left"
            assert PASSWORD not in left.log() + str(await left.status())
            assert await left.stop() == 0

    asyncio.run(play())
