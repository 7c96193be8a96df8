"""Random mornings over the real socket: whatever happens, executions count once and quantities are equal.

Each is written as a scenario from a seed and lived like those of test_scenarios, the real daemon against the
paper gateway. Five seeds are always the same, the last of them one that found something, and two are new.
`MORNING_SEED=N` lives that seed in place of the new ones, `MORNING_FILE=PATH` one that a failure kept.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from random import SystemRandom
from typing import Final, TypeAlias

import pytest

from tests.support.random_morning import Morning, stops_in
from tests.support.scenario_rig import live
from tracker.paper.scenario import parse

FIXED: Final = (1, 2, 3, 4, 862153847)
AT_ONCE: Final = 7

Lived: TypeAlias = Mapping[str, BaseException | None]
"""Name of a morning -> what went wrong."""


def mornings() -> dict[str, str]:
    """Return the mornings to live, by name."""
    if file := os.environ.get("MORNING_FILE"):
        return {"file": Path(file).read_text("utf-8")}
    given = os.environ.get("MORNING_SEED")
    fresh = [int(given)] if given else [SystemRandom().randrange(10**9) for _ in range(2)]
    named = {f"fixed-{seed}": seed for seed in FIXED} | {f"new-{n}": seed for n, seed in enumerate(fresh, 1)}
    return {name: Morning(seed).text() for name, seed in named.items()}


MORNINGS: Final = mornings()


def test_seed_writes_the_same_morning() -> None:
    """A seed writes the same morning and another another."""
    assert Morning(5).text() == Morning(5).text() != Morning(6).text()


def test_mornings_hold_their_events() -> None:
    """Over some seeds everything that can happen does."""
    text = "".join(Morning(seed).text() for seed in range(100))
    for what in (
        *("order", "fill", "execute", "correct", "cancel", "repeat", "drop", "restart", "notice", "fault"),
        *("manual", "push = false", "announce", "silent", "withhold_exec_end", "refuse_client_id"),
        *("duplicate", "reorder", "late_fee_seconds", "1100", "1101", "1102", "2110"),
    ):
        assert what in text
    assert {stop.number for stop in stops_in(text)} == {9, 15}


@pytest.mark.parametrize("name", MORNINGS)
def test_random_morning_equals_brokers_truth(name: str, lived: Lived) -> None:
    """A morning ends with the brokers truth counted once."""
    trouble = lived[name]
    if trouble is not None:
        raise trouble


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """Live all of them, several at once: they mostly wait."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(name: str, text: str) -> None:
        folder = tmp_path_factory.mktemp(name)
        file = folder / "morning.toml"
        file.write_text(text, "utf-8")
        async with room:
            try:
                await live(parse(text, str(file)), folder, stops_in(text))
            except Exception as error:
                again = f"MORNING_FILE={file} scripts/test tests/daemon/test_random_mornings.py"
                raise AssertionError(f"{error}\n\n{text}\nlive it again: {again}") from error

    async def run() -> Lived:
        done = await asyncio.gather(*(one(*each) for each in MORNINGS.items()), return_exceptions=True)
        return dict(zip(MORNINGS, done, strict=True))

    return asyncio.run(run())
