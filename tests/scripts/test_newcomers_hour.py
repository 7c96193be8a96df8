"""The newcomer's hour: every command of it, one after the other, from a fresh checkout in a clean home.

It begins with the README's blocks as they stand, goes on in the folder that they made, and ends with the
journal and alerts of an older version.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon_rig import BOUND_SECONDS, CALL, details, record
from tests.support.free_ports import free_port
from tests.support.project import PROJECT
from tests.support.readme import cleaning, follow_run_it, fresh_checkout, newcomers_environment
from tracker.clock import now
from tracker.paper.contracts import PaperContract, option
from tracker.paper.server import PaperGateway

ROBIN, PROF = "robindahood-alerts", "prof-and-kian-alerts"
LOOSE: dict[str, Any] = {"option_conid": None, "option_conids": []}
AMD = option("AMD", "20301220", "C", "100", con_id=700100301)
TSLA = option("TSLA", "20301220", "C", "100", con_id=700100302)


class Newcomer:
    """Hold a clean home, and run commands in it as its owner does."""

    def __init__(self, folder: Path) -> None:
        self.checkout = fresh_checkout(folder / "checkout")
        self.environment = newcomers_environment(folder, free_port(), self.checkout)
        self.home = Path(self.environment["HOME"])
        self.folder = self.home / "order-tracker"
        self.alerts = self.folder / "data/alerts/alerts.json"

    def connects_to(self, gateway: PaperGateway) -> None:
        """Take another gateway than the README's, and ask it often."""
        more = {"GATEWAY__PORT": gateway.port, "GATEWAY__SWEEP_SECONDS": 1}
        self.environment |= {f"TRACKER_{name}": str(value) for name, value in more.items()}
        self.environment["TRACKER_STORES__TIMEZONE"] = "UTC"

    async def start(self, *arguments: str, folder: Path | None = None) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *("tracker", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            stdin=asyncio.subprocess.DEVNULL,
            cwd=folder or self.folder,
            env=self.environment,
        )

    def cleans_up(self) -> None:
        """Remove what was tried, as the README says."""
        subprocess.run(["bash", "-ec", cleaning()], env=self.environment, check=True, timeout=BOUND_SECONDS)

    async def runs(self, during: Callable[[], Awaitable[None]]) -> str:
        """Run the tracker while something is done; returns its log."""
        tracker = await self.start("run")
        try:
            await self.until(("status",), lambda status: status["subscribed"])
            await during()
        finally:
            tracker.send_signal(signal.SIGTERM)
            _, log = await asyncio.wait_for(tracker.communicate(), BOUND_SECONDS)
        assert tracker.returncode == 0, log.decode()
        return log.decode()

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


@pytest.mark.usefixtures("unmeasured")
def test_newcomers_hour(tmp_path: Path) -> None:
    async def main() -> None:
        me = Newcomer(tmp_path)
        assert "`tracker init` makes one" in await me.does("run", code=2, folder=me.home)
        await asyncio.to_thread(follow_run_it, me.environment, tmp_path, me.checkout)
        for part in (hour, upgrade):
            await asyncio.to_thread(me.cleans_up)
            gateway = PaperGateway(now=now)
            await gateway.start()
            me.connects_to(gateway)
            try:
                await part(me, gateway)
            finally:
                await gateway.stop()

    asyncio.run(main())


async def hour(me: Newcomer, gateway: PaperGateway) -> None:
    """Set up once more by flags, meet mistakes, run, decide, sum up, compare."""
    flags = ("--yes", "--port", str(gateway.port), "--store-zone", "UTC")
    made = await me.does("init", str(me.home / "again"), *flags, folder=me.home)
    assert made.splitlines()[-1] == f"Next: cd {me.home / 'again'} && tracker run"
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

    async def day() -> None:
        await decides(me, gateway)
        await sums_up(me, gateway)
        await meets_wrong_zone(me, gateway)
        assert (await me.asks("reconcile"))["by"] == "the running tracker"

    await me.runs(day)
    answer = await me.asks("reconcile")
    assert (answer["by"], answer["trades_differ"]) == ("itself", 0)
    assert all(trade["agrees"] for trade in answer["trades"])


async def decides(me: Newcomer, gateway: PaperGateway) -> None:
    """Assign an order of two fills by its number and in parts, take it back, assign it again."""
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
    part = await me.asks("assign", number, "prof-and-kian/NVDA", "--quantity", "7")
    assert (me.shows(PROF)["position"]["quantity"], part["quantity"]) == (7, 7)
    assert "3 of it are left" in await me.does(
        "assign", number, "robindahood/NVDA", "--quantity", "4", code=1
    )
    await me.does("undo", part["id"])
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


async def upgrade(me: Newcomer, gateway: PaperGateway) -> None:
    """Start over the journal of commit 29f0234: its fills are there, and its old form is kept beside it."""
    data = PROJECT / "tests/journal/data"
    shutil.copy(data / "alerts_29f0234.json", me.alerts)
    journal = me.folder / "data/journal.db"
    with closing(sqlite3.connect(journal)) as db:
        db.executescript((data / "journal_29f0234.sql").read_text())
        (form,) = db.execute("PRAGMA user_version").fetchone()
    before = await me.does("fills", "--since", "2025-11-01", code=5)
    assert "start the tracker once to bring it up to date" in before

    async def day() -> None:
        fills = await me.asks("fills", "--since", "2025-11-01")
        assert fills["total"] == 7
        why = await me.asks("why", "robindahood/NVDA")
        assert len(why["records"][0]["fills"]) == 3, "two bought, one sold"

    log = await me.runs(day)
    assert f"changed from form {form} to form" in log
    assert journal.with_name(f"journal.db.v{form}").exists()
