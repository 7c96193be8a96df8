"""The real daemon beside random order programs shows the broker's truth after each step.

The truth is the gateway's own book, positions that changed without executions included. Two seeds are
always the same, one is new; `PROGRAM_SEED=N` runs that one in its place.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Final

import pytest

from tests.support.daemon_rig import Rig
from tests.support.paper_clients import raw_client
from tests.support.random_program import BASE, CLIENT_ID, CONTRACTS, RandomProgram
from tests.support.scenario_rig import alert_for, two_more_sweeps
from tracker.clock import now
from tracker.demo.checks import differences
from tracker.demo.expectations import (
    BookAdjustment,
    BookExecution,
    GatewayBook,
    OpeningPosition,
    expected,
)
from tracker.demo.morning_script import TRACKER_KEYS
from tracker.demo.report import flatten
from tracker.paper.book_report import book_report
from tracker.paper.order_engine import FillPolicy
from tracker.paper.scenario_player import ScenarioPlayer

STEPS: Final = 7
FIRST_ACCOUNT: Final = "DU1234567"
SEEDS: Final = (1, 2, int(os.environ.get("PROGRAM_SEED") or SystemRandom().randrange(10**6)))


def known_book(rig: Rig, player: ScenarioPlayer) -> tuple[GatewayBook, list[OpeningPosition]]:
    """Return the book without what happened to a contract before its first execution, and what that left.

    The last answer about positions before that execution gives the opening balance. An account's old number
    is no longer listed, so nothing of it is closed.
    """
    book = rig.gateway.book
    report = book_report(book, player.contracts)
    report["adjustments"] = [
        row for row in report["adjustments"] if row["cause"] != "renumbered" or row["after"] != "0"
    ]
    known = GatewayBook.read(report, "US/Eastern")
    traded: set[tuple[str, int]] = set()
    held = {(FIRST_ACCOUNT, one.con_id): Decimal(BASE) for one in CONTRACTS.values()}
    kept: list[BookExecution | BookAdjustment] = []
    for event in known.events:
        key = event.account, event.con_id
        if isinstance(event, BookExecution):
            traded.add(key)
        elif key not in traded:
            held[key] = event.after
            continue
        kept.append(event)
    balances = [OpeningPosition(*key, quantity) for key, quantity in held.items()]
    return GatewayBook(tuple(kept), known.fees), balances


def wrong(rig: Rig, player: ScenarioPlayer) -> list[str]:
    """Return where an alert does not show what the gateway's book holds."""
    known, before = known_book(rig, player)
    found = []
    for name, contract in CONTRACTS.items():
        shown = flatten(rig.read(name, contract.symbol), TRACKER_KEYS)
        found += [
            f"{name}: {each}" for each in differences(expected(known, contract.con_id, before, shown), shown)
        ]
    return found


async def all_explained(rig: Rig) -> bool:
    """Return whether the tracker knows of no position that its executions and adjustments do not explain."""
    return bool(await rig.status_of("needs_you", "unexplained") == 0)


async def live(seed: int, folder: Path) -> None:
    rig = Rig(folder, zone="US/Eastern", fills=FillPolicy(latency_seconds=0.005), seed=seed % 1000 + 1)
    rig.options = ["--gateway.timezone", "US/Eastern", "--gateway.sweep_seconds", "0.4"]
    rig.write({name: {one.symbol: alert_for(one)} for name, one in CONTRACTS.items()})
    player = ScenarioPlayer(rig.gateway, now)
    for name, contract in CONTRACTS.items():
        player._contracts[name] = rig.gateway.book.learn(contract)
        rig.gateway.set_position(FIRST_ACCOUNT, contract, BASE, 1, push=False)
    rig.gateway.book.adjustments.clear()
    async with rig:
        await rig.start(module="tests.support.hasty_tracker")
        async with raw_client(rig.gateway, CLIENT_ID) as client:
            program = RandomProgram(seed, rig.gateway, player, client)
            for _ in range(STEPS):
                step = await program.step()
                try:
                    await two_more_sweeps(rig)
                    await rig.until(partial(all_explained, rig), 20)
                    await rig.until(lambda: not wrong(rig, player), 20)
                except AssertionError as error:
                    raise AssertionError(
                        f"seed {seed}, after {program.steps}: {wrong(rig, player)} ({step})"
                    ) from error
        assert await rig.stop() == 0


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, BaseException | None]:
    """Live all of them at once: they mostly wait. Returns what went wrong, by seed."""

    async def all_of_them() -> list[BaseException | None]:
        lives = [live(seed, tmp_path_factory.mktemp(f"program-{seed}")) for seed in SEEDS]
        return await asyncio.gather(*lives, return_exceptions=True)

    return dict(zip(SEEDS, asyncio.run(all_of_them()), strict=True))


# Each process of a parallel run draws the last seed anew, and must collect tests of the same names.
@pytest.mark.parametrize("seed", SEEDS, ids=[*map(str, SEEDS[:-1]), "fresh"])
def test_truth_is_shown_after_each_step(seed: int, lived: Mapping[int, BaseException | None]) -> None:
    trouble = lived[seed]
    if trouble is not None:
        raise trouble
