"""Play a scenario to the real daemon, and compare alerts and journal with the paper gateway's book."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.support.daemon_rig import Rig, record
from tracker.clock import now
from tracker.core.state import EXECUTIONS
from tracker.journal.journal import Journal
from tracker.paper.book import Book
from tracker.paper.contracts import PaperContract
from tracker.paper.model import ZERO, PaperExecution
from tracker.paper.scenario import Scenario
from tracker.paper.scenario_player import ScenarioPlayer, play
from tracker.paper.service import PaperOptions, make_gateway

PATIENCE: Final = [
    *("--gateway.request_timeout", "1", "--gateway.connect_timeout", "1", "--gateway.probe_seconds", "1"),
    *("--gateway.timezone", "US/Eastern"),
]
ROUNDING: Final = 1e-6


class Stop(NamedTuple):
    """End the daemon `at` seconds after its first login, by a signal, for so long."""

    at: float
    number: int
    down_seconds: float


async def live(scenario: Scenario, folder: Path, stops: Sequence[Stop] = ()) -> None:
    """Run the daemon against the gateway of a scenario, and compare when both have come to rest.

    `stops`, in the order of their times, end the daemon and start it again meanwhile.
    """
    rig = Rig(folder)
    rig.gateway = make_gateway(PaperOptions(port=0), scenario, now)
    rig.options = PATIENCE
    player = ScenarioPlayer(rig.gateway, now, scenario)
    rig.write(alerts_for(rig.gateway.book))
    async with rig:
        playing = asyncio.create_task(play(scenario, rig.gateway, player, lambda line: None))
        try:
            await rig.start(ready=False)
            await stop_and_start(rig, stops)
            await playing
        finally:
            playing.cancel()
        book = rig.gateway.book
        # Not the first moment at which they agree: what a sweep brings next may be unconfirmed for seconds.
        await two_more_sweeps(rig)
        await rig.until(lambda: not differences(rig, book))
        await two_more_sweeps(rig)
        found = differences(rig, book)
        assert not found, f"{found}, and it was right before; the daemon said:\n{rig.log()}"
        assert await rig.stop() == 0
    assert counted(folder) == Counter(execution.exec_id for execution in in_force(book))


async def stop_and_start(rig: Rig, stops: Sequence[Stop]) -> None:
    """End the daemon by each signal at its time, and start it again."""
    if not stops:
        return
    await rig.gateway.broadcast.arrived.wait()
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for stop in stops:
        # The scenario's own clock: there is nothing to wait for but its time.
        await asyncio.sleep(max(begin + stop.at - loop.time(), 0))
        await rig.stop(stop.number)
        await asyncio.sleep(stop.down_seconds)
        await rig.start(ready=False)


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
    counts = rig.gateway.broadcast.received_counts
    goal = counts[0, "7"] + 2
    await rig.until(lambda: counts[0, "7"] >= goal)
    await rig.until(lambda: delivered(rig))


async def delivered(rig: Rig) -> bool:
    return not (await rig.status())["store"]["undelivered"]


# The broker's book


def in_force(book: Book) -> Iterator[PaperExecution]:
    """Yield every execution that counts: no combo's own line, and of four segments the highest version."""
    for execution in book.executions.values():
        root, _, version = execution.exec_id.rpartition(".")
        corrected = execution.exec_id.count(".") == 3 and f"{root}.{int(version) + 1:02d}" in book.executions
        if execution.contract.sec_type != "BAG" and not corrected:
            yield execution


def differences(rig: Rig, book: Book) -> list[str]:
    """Return where an alert does not show what the broker holds."""
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
    """Return where the sums over the order that an alert shows are not the broker's."""
    last = book.executions[news["exec_id"]]
    fills = [one for one in mine if one.perm_id == last.perm_id]
    filled = sum((one.quantity for one in fills), ZERO)
    cost = sum((one.quantity * one.price for one in fills), ZERO)
    fee = sum((book.fees[one.exec_id].commission for one in fills if one.exec_id in book.fees), ZERO)
    for key, right in (("filled_qty", filled), ("avg_fill_price", cost / filled), ("commission", fee)):
        # Averages are shown to 8 digits.
        if abs(float(news[key] or 0) - float(right)) > max(ROUNDING, abs(float(right)) * 1e-7):
            yield f"{alert}: {key} is {news[key]}, the broker's {right}"


def counted(folder: Path) -> Counter[str]:
    """Return how often the journal counts each execution."""
    journal = Journal(folder / "journal.db", read_only=True)
    try:
        return Counter(row.execution.exec_id for row in journal.state.every(EXECUTIONS) if row.counted)
    finally:
        journal.close()
