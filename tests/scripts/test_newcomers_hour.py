"""The newcomer's hour: every command of it, one after the other, in a clean home beside a paper gateway."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.daemon_rig import BOUND_SECONDS, CALL, details, record
from tests.support.free_ports import free_port
from tests.support.project import PROJECT
from tracker.clock import now
from tracker.paper.contracts import PaperContract, option
from tracker.paper.server import PaperGateway

ROBIN, PROF = "robindahood-alerts", "prof-and-kian-alerts"
LOOSE: dict[str, Any] = {"option_conid": None, "option_conids": []}
AMD = option("AMD", "20301220", "C", "100", con_id=700100301)
TSLA = option("TSLA", "20301220", "C", "100", con_id=700100302)


class Newcomer:
    """Hold a clean home, and run commands in it as its owner does."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "order-tracker"
        self.alerts = self.folder / "data/alerts/alerts.json"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
        port = {"TRACKER_STATUS__PORT": str(free_port()), "TRACKER_GATEWAY__SWEEP_SECONDS": "1"}
        self._environment = {**kept, **port, "HOME": str(home), "PYTHONPATH": str(PROJECT)}

    async def start(self, *arguments: str, folder: Path | None = None) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tracker", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            stdin=asyncio.subprocess.DEVNULL,
            cwd=folder or self.folder,
            env=self._environment,
        )

    async def does(self, *arguments: str, code: int = 0, folder: Path | None = None) -> str:
        """Run a command; returns what it printed."""
        process = await self.start(*arguments, folder=folder)
        out, err = await asyncio.wait_for(process.communicate(), BOUND_SECONDS)
        assert process.returncode == code, (out + err).decode()
        return (out + err).decode()

    async def asks(self, *arguments: str) -> dict[str, Any]:
        """Run a command with --json; returns its answer, whatever its exit code.

        On a slow machine standard error says meanwhile what it waits for.
        """
        process = await self.start(*arguments, "--json")
        out, _ = await asyncio.wait_for(process.communicate(), BOUND_SECONDS)
        answer: dict[str, Any] = json.loads(out)
        return answer

    async def until(
        self, arguments: tuple[str, ...], holds: Callable[[dict[str, Any]], Any]
    ) -> dict[str, Any]:
        """Ask until the answer is as expected, within a bound."""
        end = asyncio.get_running_loop().time() + BOUND_SECONDS
        while True:
            answer = await self.asks(*arguments)
            if answer.get("ok") and holds(answer):
                return answer
            assert asyncio.get_running_loop().time() < end, answer
            await asyncio.sleep(0.1)

    def shows(self, alerter: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.alerts.read_text())[alerter]["NVDA"]
        return found


def test_newcomers_hour(tmp_path: Path) -> None:
    async def main() -> None:
        gateway = PaperGateway(now=now)
        await gateway.start()
        try:
            await hour(Newcomer(tmp_path), gateway)
        finally:
            await gateway.stop()

    asyncio.run(main())


async def hour(me: Newcomer, gateway: PaperGateway) -> None:
    """Set up, meet mistakes, run, decide, sum up, compare."""
    assert "`tracker init` makes one" in await me.does("run", code=2, folder=me.home)
    made = await me.does(
        *("init", str(me.folder), "--yes", "--port", str(gateway.port), "--store-zone", "UTC"), folder=me.home
    )
    assert made.splitlines()[-1] == f"Next: cd {me.folder} && tracker run"
    assert "nothing listens" in await me.does("doctor", "--gateway.port", str(free_port()), code=1)
    assert "does not exist; create it" in await me.does("run", "--stores.alerts", "gone/alerts.json", code=2)
    await me.does("inbox", code=5)

    loose = record(**LOOSE, alert_details=details(expiry=None))
    later = (now() + timedelta(hours=5, minutes=-1)).replace(tzinfo=None).isoformat()
    early = {
        contract.symbol: record(
            created_at=later,
            option_conid=contract.con_id,
            option_conids=[contract.con_id],
            alert_details=details(ticker=contract.symbol, strike="100"),
        )
        for contract in (AMD, TSLA)
    }
    me.alerts.write_text(json.dumps({ROBIN: {"NVDA": loose}, PROF: {"NVDA": loose}, "zone": early}))
    tracker = await me.start("run")
    try:
        await me.until(("status",), lambda status: status["subscribed"])
        await decides(me, gateway)
        await sums_up(me, gateway)
        await meets_wrong_zone(me, gateway)
        assert (await me.asks("reconcile"))["by"] == "the running tracker"
    finally:
        tracker.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(tracker.communicate(), BOUND_SECONDS)
    assert tracker.returncode == 0, log.decode()
    answer = await me.asks("reconcile")
    assert (answer["by"], answer["trades_differ"]) == ("itself", 0)
    assert all(trade["agrees"] for trade in answer["trades"])


async def decides(me: Newcomer, gateway: PaperGateway) -> None:
    """Assign an order of two fills by its number, take it back, assign it again."""
    order = gateway.order(CALL, "BUY", 10, limit="2.5", client_id=7)
    gateway.fill(order, 4)
    gateway.fill(order, 6)
    inbox = await me.until(("inbox",), lambda inbox: inbox["counts"]["ambiguous"] == 2)
    (item,) = inbox["orders"]
    number = str(item["number"])
    planned = await me.asks("assign", number, "robindahood/NVDA", "--dry-run")
    assert not me.shows(ROBIN)["open"]
    did = await me.asks("assign", number, "robindahood/NVDA")
    assert planned["shows"]["position"] == did["shows"]["position"]
    assert me.shows(ROBIN)["position"]["quantity"] == 10
    await me.does("undo", item["fills"][0])
    assert (await me.asks("inbox"))["orders"][0]["number"] == item["number"]
    assert not me.shows(ROBIN)["open"]
    await me.does("assign", "--order", str(item["fill"]["perm_id"]), "robindahood/NVDA")
    assert me.shows(ROBIN)["open"]


async def sums_up(me: Newcomer, gateway: PaperGateway) -> None:
    gateway.fill(gateway.order(CALL, "SELL", 10, limit="3", client_id=7))
    report = await me.until(("report",), lambda report: report["round_trips"])
    (trip,) = report["round_trips"]
    assert (trip["alert"], trip["quantity"], trip["profit"]) == (f"{ROBIN}/NVDA", 10, 500)
    assert "1 round trip, 1 won (100%); profit 500," in await me.does("report")
    assert "not open" in await me.does("alerts", "robindahood/NVDA")


async def meets_wrong_zone(me: Newcomer, gateway: PaperGateway) -> None:
    def buy(contract: PaperContract) -> None:
        gateway.fill(gateway.order(contract, "BUY", 1, limit="2", client_id=7))

    buy(AMD)
    buy(TSLA)
    inbox = await me.until(("inbox",), lambda inbox: inbox["counts"]["near_miss"] == 2)
    assert "created 5 h after their fill; stores.timezone may be wrong" in inbox["hint"]
