"""Each fault of the never-lost work from a scenario file alone, over the real socket, to the real daemon.

The paper gateway's book is the truth: at the end every alert shows what the broker holds, and the journal
counts every execution in force exactly once. The files are in `scenarios` beside this one; faults that are no
gateway's (`kill -9`, the other writer of alerts.json) are in test_crash and test_neighbour.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, TypeAlias

import pytest

from tests.support.project import PROJECT
from tests.support.scenario_rig import live
from tracker.paper.service import load_scenario

FOLDER: Final = PROJECT / "tests" / "scenarios"
FAULTS: Final = {
    "before-its-order": "an execution before its openOrder, or without any",
    "cancelled": "a partial fill of a cancelled order, and a fill after the cancel",
    "combo": "a BAG with its legs; ids of five segments",
    "corrections": "corrections in any order, also after the close",
    "down": "fills while no tracker ran",
    "dropped": "accepted and dropped",
    "five-times": "everything five times over",
    "fractions": "fractional quantities",
    "garbage": "messages nobody knows, bytes out of frame, half a message",
    "late-fees": "late fees",
    "no-end": "End withheld",
    "no-perm-ids": "permId 0",
    "no-positions": "a request that is never answered",
    "order-ids-again": "order numbers used again after a restart, and twice",
    "out-of-order": "executions out of order",
    "refused": "refused with 326",
    "silent": "a silent peer",
    "unreadable-time": "times that cannot be read",
    "upstream-lost": "1100, 1101, 1102 and 2110",
}
AT_ONCE: Final = 6

Lived: TypeAlias = Mapping[str, BaseException | None]
"""Name of a scenario -> what went wrong."""


def test_every_fault_has_its_file() -> None:
    assert sorted(FAULTS) == sorted(path.stem for path in FOLDER.glob("*.toml"))


@pytest.mark.parametrize("name", FAULTS)
def test_scenario_equals_brokers_truth(name: str, lived: Lived) -> None:
    """A scenario ends with the brokers truth counted once."""
    trouble = lived[name]
    if trouble is not None:
        raise trouble


@pytest.fixture(scope="module")
def lived(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """Live the scenarios that are asked for, several at once: they mostly wait."""
    chosen = {
        str(item.callspec.params["name"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module and hasattr(item, "callspec")
    }

    async def run() -> Lived:
        room = asyncio.Semaphore(AT_ONCE)

        async def one(name: str) -> None:
            async with room:
                await live(load_scenario(str(FOLDER / f"{name}.toml")), tmp_path_factory.mktemp(name))

        names = sorted(chosen)
        return dict(zip(names, await asyncio.gather(*map(one, names), return_exceptions=True), strict=True))

    return asyncio.run(run())
