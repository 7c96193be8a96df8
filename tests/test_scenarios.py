"""Each fault of the never-lost work from a scenario file alone, over the real socket, to the real daemon.

The paper gateway's book is the truth: at the end every alert shows what the broker holds, and the journal
counts every execution in force exactly once. The files are in `scenarios` beside this one; faults that are no
gateway's (`kill -9`, the other writer of alerts.json) are in test_crash and test_neighbour.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from tests.daemon_rig import Rig, record
from tracker.clock import now
from tracker.core.book import EXECUTIONS
from tracker.paper.book import Book
from tracker.paper.contracts import PaperContract
from tracker.paper.facts import ZERO, PaperExecution
from tracker.paper.scenario import Scenario
from tracker.paper.service import PaperOptions, load_scenario, make_gateway
from tracker.paper.stage import Stage, play
from tracker.stores.journal import Journal

FOLDER: Final = Path(__file__).parent / "scenarios"
FAULTS: Final = {
    "before-its-order": "an execution before its openOrder, or without any",
    "cancelled": "a partial fill of a cancelled order, and a fill behind the cancel",
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
PATIENCE: Final = [
    *("--gateway.request_timeout", "1", "--gateway.connect_timeout", "1", "--gateway.probe_seconds", "1"),
    *("--gateway.timezone", "US/Eastern"),
]
AT_ONCE: Final = 6
ROUNDING: Final = 1e-6

Lived: TypeAlias = Mapping[str, BaseException | None]
"""Name of a scenario -> what went wrong."""


def test_every_fault_has_its_file() -> None:
    assert sorted(FAULTS) == sorted(path.stem for path in FOLDER.glob("*.toml"))


@pytest.mark.parametrize("name", FAULTS)
def test_a_scenario_ends_with_the_brokers_truth_counted_once(name: str, lived: Lived) -> None:
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


async def live(scenario: Scenario, folder: Path) -> None:
    """Run the daemon against the gateway of a scenario, and compare when both have come to rest."""
    rig = Rig(folder)
    rig.gateway = make_gateway(PaperOptions(port=0), scenario, now)
    rig.options = PATIENCE
    stage = Stage(rig.gateway, now, scenario)
    rig.write(alerts_for(rig.gateway.book))
    async with rig:
        playing = asyncio.create_task(play(scenario, rig.gateway, stage, lambda line: None))
        try:
            await rig.start(ready=False)
            await playing
        finally:
            playing.cancel()
        book = rig.gateway.book
        await rig.until(lambda: not differences(rig, book))
        await two_more_sweeps(rig)
        assert differences(rig, book) == []
        assert await rig.stop() == 0
    assert counted(folder) == Counter(execution.exec_id for execution in in_force(book))


def alerts_for(book: Book) -> dict[str, dict[str, Any]]:
    """Return an alert of its own for each instrument of a scenario."""
    return {f"about-{one.con_id}": {one.symbol: alert_for(one)} for one in book.contracts.values()}


def alert_for(contract: PaperContract) -> dict[str, Any]:
    details: dict[str, Any] = {"ticker": contract.symbol, "is_bullish": True}
    if contract.sec_type != "OPT":
        return record(option_conid=None, option_conids=[], alert_details=details)
    day = contract.expiry
    details |= {
        "strike": str(contract.strike),
        "side": contract.right,
        "expiry": f"{day[4:6]}/{day[6:]}/{day[:4]}",
    }
    return record(option_conid=contract.con_id, option_conids=[contract.con_id], alert_details=details)


async def two_more_sweeps(rig: Rig) -> None:
    """Wait until the broker was asked for everything twice more, whether the answers end or not."""
    counts = rig.gateway.floor.received_counts
    goal = counts[0, "7"] + 2
    await rig.until(lambda: counts[0, "7"] >= goal)
    await rig.until(lambda: delivered(rig))


async def delivered(rig: Rig) -> bool:
    return not (await rig.status())["store"]["undelivered"]


# The broker's truth


def in_force(book: Book) -> Iterator[PaperExecution]:
    """Yield every execution that counts: no combo's own line, and of four segments the highest version."""
    for execution in book.executions.values():
        root, _, version = execution.exec_id.rpartition(".")
        corrected = execution.exec_id.count(".") == 3 and f"{root}.{int(version) + 1:02d}" in book.executions
        if execution.contract.sec_type != "BAG" and not corrected:
            yield execution


def differences(rig: Rig, book: Book) -> list[str]:
    """Say where an alert does not show what the broker holds."""
    found = []
    for contract in book.contracts.values():
        alert = f"about-{contract.con_id}"
        shown = rig.read(alert, contract.symbol)
        mine = [one for one in in_force(book) if one.contract.con_id == contract.con_id]
        held = book.positions[book.accounts[0], contract.con_id].quantity
        assert sum(one.signed for one in mine) == held, "nothing was held before"
        position = shown.get("position", {}).get("quantity")
        if (shown["open"], position) != (held != 0, float(held)):
            found.append(f"{alert}: {shown['open']}, {position} held; the broker has {held}")
        else:
            found += order_differences(alert, shown["last_order_update"], book, mine)
    return found


def order_differences(
    alert: str, news: dict[str, Any], book: Book, mine: list[PaperExecution]
) -> Iterator[str]:
    """Say where the sums over the order that an alert tells of are not the broker's."""
    last = book.executions[news["exec_id"]]
    fills = [one for one in mine if one.perm_id == last.perm_id]
    filled = sum((one.quantity for one in fills), ZERO)
    cost = sum((one.quantity * one.price for one in fills), ZERO)
    fee = sum((book.fees[one.exec_id].commission for one in fills if one.exec_id in book.fees), ZERO)
    for key, right in (("filled_qty", filled), ("avg_fill_price", cost / filled), ("commission", fee)):
        if abs(float(news[key] or 0) - float(right)) > ROUNDING:
            yield f"{alert}: {key} is {news[key]}, the broker's {right}"


def counted(folder: Path) -> Counter[str]:
    """Return how often the journal counts each execution."""
    journal = Journal(folder / "journal.db", read_only=True)
    try:
        return Counter(row.execution.exec_id for row in journal.book.every(EXECUTIONS) if row.counted)
    finally:
        journal.close()
