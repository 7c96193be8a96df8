"""Orders that end while nobody looks, and trades that are busted: the alert says so, over the real socket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.support.daemon_rig import CALL, Rig, record

ROBIN = "robindahood-alerts"


def _news(rig: Rig) -> dict[str, Any]:
    shown: dict[str, Any] = rig.read().get("last_order_update") or {}
    return shown


def test_order_cancelled_during_outage_ends(tmp_path: Path) -> None:
    """10 ordered, 4 filled, link lost, the rest cancelled meanwhile: remaining 0 once it is back."""

    async def story() -> None:
        async with Rig(tmp_path) as rig:
            rig.write({ROBIN: {"NVDA": record()}})
            await rig.start()
            order = rig.gateway.order(CALL, "BUY", 10, limit="2.51")
            rig.gateway.fill(order, 4)
            await rig.until(lambda: _news(rig).get("remaining_qty") == 6)
            rig.gateway.cancel(order, push=False)
            rig.gateway.drop_connections()
            await rig.until(lambda: _news(rig)["remaining_qty"] == 0)
            assert (_news(rig)["status"], _news(rig)["filled_qty"]) == ("PARTIALLY_FILLED", 4)
            assert rig.read()["open"]

    asyncio.run(story())


def test_order_filled_before_start_is_filled(tmp_path: Path) -> None:
    """No openOrder of it ever comes; the completed order says how much it was."""

    async def story() -> None:
        async with Rig(tmp_path) as rig:
            rig.write({ROBIN: {"NVDA": record()}})
            rig.gateway.fill(rig.gateway.order(CALL, "BUY", 42, limit="2.51"))
            await rig.start()
            await rig.until(lambda: _news(rig).get("status") == "FILLED")
            assert (_news(rig)["filled_qty"], _news(rig)["remaining_qty"]) == (42, 0)

    asyncio.run(story())


def test_busted_trades_are_taken_back(tmp_path: Path) -> None:
    """The bust of a closing fill opens the alert again; the bust of the only one leaves nothing."""

    async def story() -> None:
        async with Rig(tmp_path) as rig:
            rig.write({ROBIN: {"NVDA": record()}})
            await rig.start()
            bought = rig.gateway.fill(rig.gateway.order(CALL, "BUY", 3, limit="2.51"))
            await rig.until(lambda: rig.read()["open"])
            sold = rig.gateway.fill(rig.gateway.order(CALL, "SELL", 3, limit="2.60"))
            await rig.until(lambda: not rig.read()["open"])
            rig.gateway.correct(sold, quantity=0)
            await rig.until(lambda: rig.read()["open"])
            assert rig.read()["position"]["quantity"] == 3
            rig.gateway.correct(bought, quantity=0)
            await rig.until(lambda: not rig.read()["open"])
            assert (rig.read()["position"]["quantity"], _news(rig)["filled_qty"]) == (0, 0)

    asyncio.run(story())
