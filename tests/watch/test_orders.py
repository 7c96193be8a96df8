"""The screen lists orders, and shows what is held for an alert."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.daemon_rig import CALL, Rig, record
from tests.support.watch_rig import Screen
from tests.watch.test_app import NO_CONID, ROBIN, buy, play
from tracker.cli import main
from tracker.paper.contracts import option


def test_partial_fills_are_one_item(tmp_path: Path) -> None:
    """An order that filled in two pieces is decided once, and can be taken back from its fill."""

    async def story(rig: Rig, screen: Screen) -> None:
        order = rig.gateway.order(CALL, "BUY", 10, limit="2.5", client_id=7)
        rig.gateway.fill(order, 4)
        rig.gateway.fill(order, 6)
        await screen.shows("NEEDS YOU  1", "BUY    10 NVDA", "2 fills, ambiguous")
        await screen.press("d", "y")
        await screen.shows("NEEDS YOU  0", "dismissed: BUY 10 NVDA")
        await screen.press("tab", "u")
        await screen.shows("Take back the dismissal of ")
        await screen.press("y")
        await screen.shows("NEEDS YOU  1", "2 fills, ambiguous")

    play(tmp_path, story)


def test_older_decision_taken_back_first(tmp_path: Path) -> None:
    """Taking back the decision about another fill leaves the last one of the screen to `u`."""

    async def story(rig: Rig, screen: Screen) -> None:
        for at, quantity in enumerate((4, 6), 1):
            rig.gateway.fill(rig.gateway.order(CALL, "BUY", quantity, limit="2.5", client_id=7))
            await screen.shows("NEEDS YOU  1", f"FILLS TODAY  {at}")
            await screen.press("d", "y")
            await screen.shows("NEEDS YOU  0", f"dismissed: BUY {quantity} NVDA")
        await screen.press("tab", "end", "u")
        await screen.shows("Take back the dismissal of ")
        await screen.press("y")
        await screen.shows("NEEDS YOU  1", "BUY     4 NVDA")
        await screen.press("shift+tab", "u")
        await screen.shows("Take back the dismissal of ")
        await screen.press("y")
        await screen.shows("NEEDS YOU  2")

    play(tmp_path, story)


def test_held_contract_is_shown(tmp_path: Path) -> None:
    """A fill of a later expiry that was assigned shows the later one, and what the alert asked for."""

    async def story(rig: Rig, screen: Screen) -> None:
        rig.write({ROBIN: {"NVDA": record(**NO_CONID)}})
        buy(rig, option("NVDA", "20301227", "C", "122.5", con_id=700100209))
        await screen.shows("NEEDS YOU  1")
        fill = screen.app.model.waiting[0].fill
        assert fill is not None
        await asyncio.to_thread(main.main, ["assign", fill.exec_id, f"{ROBIN}/NVDA", *rig.flags()])
        await screen.shows("OPEN ALERTS  1", "held 12-27, asked 12-20")

    play(tmp_path, story)


def test_part_given_is_shown(tmp_path: Path) -> None:
    """Of an order of which a part was given, the inbox says what is left, and the fill to whom it went."""

    async def story(rig: Rig, screen: Screen) -> None:
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 10, limit="2.5", client_id=7))
        await screen.shows("NEEDS YOU  1")
        fill = screen.app.model.waiting[0].fill
        assert fill is not None
        words = ("assign", fill.exec_id, f"{ROBIN}/NVDA", "--quantity", "3")
        await asyncio.to_thread(main.main, [*words, *rig.flags()])
        await screen.shows("NEEDS YOU  1", "BUY    10 NVDA", "7 left, ambiguous")
        await screen.until(
            lambda: screen.app.model.fills[0].outcome.endswith(f"ambiguous, 3 to {ROBIN}/NVDA")
        )

    play(tmp_path, story)
