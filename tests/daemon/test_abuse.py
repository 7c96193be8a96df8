"""A thousand unfriendly connections to the real daemon's socket, and every fill is applied beside them."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

from tests.daemon.test_end_to_end import ROBIN, play
from tests.status.test_abuse import AT_ONCE, ATTEMPTS, FILLS, misbehave
from tests.support.daemon_rig import BOUND_SECONDS, Rig, records_of
from tracker.paper.contracts import option

ALERTS = 10


def open_files(rig: Rig) -> int:
    """Count the daemon's open files, where the system tells."""
    assert rig.process is not None
    folder = Path(f"/proc/{rig.process.pid}/fd")
    return len(os.listdir(folder)) if folder.exists() else 0


def test_fills_survive_thousand_bad_connections(tmp_path: Path) -> None:
    """Depth, floods, silence, halves of lines, web pages: 500 fills over the gateway's socket meanwhile."""
    contracts = [option(f"SYM{n}", "20301220", "C", "100", con_id=700200000 + n) for n in range(ALERTS)]

    async def trade(rig: Rig, attack: asyncio.Future[list[None]]) -> None:
        for number in range(FILLS):
            rig.gateway.fill(rig.gateway.order(contracts[number % ALERTS], "BUY", 1, limit="2"))
            # Spread over the attack, as far as it lasts.
            await asyncio.sleep(0 if attack.done() else 0.005)

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: records_of(contracts)})
        await rig.start()
        chance = random.Random(1)
        turns = asyncio.Semaphore(AT_ONCE)
        attempts = [misbehave(rig.status_port, chance, turns) for _ in range(ATTEMPTS)]
        attack = asyncio.ensure_future(asyncio.gather(*attempts))
        await trade(rig, attack)
        held = FILLS // ALERTS

        def applied() -> bool:
            shown = [rig.read(ticker=contract.symbol).get("position") for contract in contracts]
            return all(position and position["quantity"] == held for position in shown)

        await rig.until(applied)
        async with asyncio.timeout(BOUND_SECONDS):
            await attack

        async def answered() -> bool:
            return "fills_today" in await rig.status()

        # A client without the token waits its turn until the last of the attackers has left its place.
        await rig.until(answered)
        status = await rig.status()
        assert (status["fills_today"], status["subscribed"]) == (FILLS, True)
        await rig.until(lambda: open_files(rig) < AT_ONCE)

    play(tmp_path, story)
