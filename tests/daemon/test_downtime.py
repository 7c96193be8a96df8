"""A week in which the tracker did not run: which days are unproven, and what a Flex report of them does.

All through the real commands; what ran a week ago is the real daemon with another time of day.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from tests.support.daemon_rig import BOUND_SECONDS, Rig, details
from tests.support.flex_report import statement, trade, write_report
from tests.support.project import PROJECT
from tests.support.reconcile_rig import ACCOUNT, CONTRACTS, ROBIN, alert_of, buy, import_answer, reconcile
from tracker.clock import now
from tracker.paper.contracts import PaperContract, option
from tracker.paper.server import PaperGateway

WEEK: Final = 7
"""Days: the tracker was stopped so long ago, at this time of day."""


class Week(NamedTuple):
    """Hold the days of the downtime; `zone` is the login's, in which it is about noon now."""

    zone: ZoneInfo
    today: date

    @property
    def days(self) -> list[date]:
        """The days that nobody watched to their end, oldest first."""
        return [self.today - timedelta(days=back) for back in range(WEEK, 0, -1)]

    @property
    def expiring(self) -> PaperContract:
        """An option that expired three days ago."""
        return option("QQQ", f"{self.days[4]:%Y%m%d}", "C", "500", con_id=800_000_100)


def this_week() -> Week:
    """Return the week after now, seen where no midnight is near: this test must not see a day end."""
    hours = 12 - now().hour
    zone = ZoneInfo(f"Etc/GMT{-hours:+d}" if hours else "Etc/GMT")
    return Week(zone, now().astimezone(zone).date())


def before(day: date, hour: int, zone: tzinfo) -> str:
    """Return when an alert was written, as its writer says it in UTC."""
    return (
        datetime.combine(day, time(hour), zone).astimezone(ZoneInfo("UTC")).replace(tzinfo=None).isoformat()
    )


def play(folder: Path, story: Callable[[Rig, Week], Awaitable[None]]) -> None:
    """Run a story on a tracker that traded a week ago and was stopped, and what the broker has now."""

    async def main() -> None:
        week = this_week()
        rig = Rig(folder)
        rig.options = ["--gateway.timezone", week.zone.key]
        rig.gateway = PaperGateway(now=lambda: now() - timedelta(days=WEEK), zone=week.zone.key)
        async with rig:
            await trade_a_week_ago(rig, week)
            await rig.gateway.stop()
            rig.gateway = PaperGateway(port=rig.gateway.port, now=now, zone=week.zone.key)
            for ticker, quantity in {"NVDA": 0, "META": 2, "AMD": 3}.items():
                rig.gateway.set_position(ACCOUNT, CONTRACTS[ticker], quantity)
            await rig.gateway.start()
            await story(rig, week)

    asyncio.run(main())


async def trade_a_week_ago(rig: Rig, week: Week) -> None:
    """Buy what three alerts are about; two more alerts are written while nobody watches."""
    first, later = before(week.days[0], 1, week.zone), before(week.days[1], 1, week.zone)
    expiry = week.expiring.expiry
    qqq = alert_of(
        "NVDA",
        created_at=first,
        option_conid=week.expiring.con_id,
        option_conids=[week.expiring.con_id],
        alert_details=details(ticker="QQQ", strike="500", expiry=f"{expiry[4:6]}/{expiry[6:]}/{expiry[:4]}"),
    )
    written = {ticker: alert_of(ticker, created_at=first) for ticker in ("NVDA", "META", "PLTR")}
    late = {ticker: alert_of(ticker, created_at=later) for ticker in ("AMD", "COIN")}
    rig.write({ROBIN: {**written, "QQQ": qqq}})
    await rig.start(module="tests.support.backdated", env={"HOURS_BACK": str(24 * WEEK)})
    back = WEEK * 86_400
    buy(rig, CONTRACTS["NVDA"], 4, ago=back)
    buy(rig, CONTRACTS["META"], 2, ago=back)
    buy(rig, week.expiring, 1, ago=back)
    await rig.until(lambda: all(rig.read(ROBIN, ticker)["open"] for ticker in ("NVDA", "META", "QQQ")))
    await rig.idle()
    assert await rig.stop() == 0
    alerts = json.loads(rig.alerts_path.read_text())
    rig.write({ROBIN: alerts[ROBIN] | late})


def report(rig: Rig, week: Week) -> Path:
    """Write what happened meanwhile: a sale, a round trip, an expiry, a purchase."""

    def row(contract: PaperContract, quantity: int, day: date, number: int, **changes: str) -> dict[str, str]:
        return trade(
            conid=str(contract.con_id),
            underlyingSymbol=contract.symbol,
            symbol=contract.local_symbol,
            strike=str(contract.strike),
            expiry=contract.expiry,
            quantity=str(quantity),
            buySell="BUY" if quantity > 0 else "SELL",
            dateTime=f"{day:%Y%m%d};1300{number:02}",
            ibExecID=f"0000aaaa.{number:08x}.01.01",
            ibOrderID=str(900 + number),
            **changes,
        )

    booking = {
        "transactionType": "BookTrade",
        "tradePrice": "0",
        "ibCommission": "0",
        "notes": "Ep",
        "tradeID": "7777",
    }
    rows = [
        row(CONTRACTS["NVDA"], -4, week.days[1], 1),
        row(CONTRACTS["COIN"], 5, week.days[2], 2),
        row(CONTRACTS["COIN"], -5, week.days[3], 3),
        row(week.expiring, -1, week.days[4], 4, **booking) | {"ibExecID": "", "ibOrderID": ""},
        row(CONTRACTS["AMD"], 3, week.days[5], 5),
    ]
    # A report's days are New York's; those of the login's zone may begin before, and end behind them.
    first, last = week.days[0] - timedelta(days=1), week.days[-1] + timedelta(days=3)
    made = statement(*rows, first=first, last=last)
    return write_report(rig.folder / "flex.xml", made)


def imported(new: int, *closed: str) -> dict[str, Any]:
    """Return what the import of that report answers, except for the changes; it has trades alone."""
    return import_answer(5, new, *closed) | {
        "absent_sections": [
            {
                "section": "Option Exercises, Assignments and Expirations",
                "tells": "options were exercised, assigned or expired",
            },
            {"section": "Corporate Actions", "tells": "positions were split, merged or renamed"},
            {"section": "Transfers", "tells": "positions came or went without a trade"},
        ],
    }


def shown(rig: Rig, ticker: str) -> tuple[Any, ...]:
    """Return whether a record shows open, and how many."""
    record = rig.read(ROBIN, ticker)
    return record["open"], record.get("position", {}).get("quantity")


async def command(rig: Rig, *words: str) -> str:
    """Run a command of the tracker as a person does; returns what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tracker", *words, *rig.flags(), *rig.options,
        stdout=asyncio.subprocess.PIPE, cwd=rig.folder, env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    async with asyncio.timeout(BOUND_SECONDS):
        out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


def test_unproven_days_are_listed_without_report(tmp_path: Path) -> None:
    """Without a report status says which days are unproven and nothing is invented."""

    async def story(rig: Rig, week: Week) -> None:
        text = rig.alerts_path.read_text()
        await rig.start()
        await rig.idle()
        days = [day.isoformat() for day in week.days]
        assert (await rig.status())["gaps"] == days
        said = " ".join((await command(rig, "status")).split())
        assert f"incomplete days {days[0]} to {days[-1]}: fills may be missing; see `tracker gaps`" in said
        listed = (await command(rig, "gaps")).splitlines()
        assert [line for line in listed if "open" in line] == [
            f"{day}  open: fills may be missing" for day in days
        ]
        assert rig.alerts_path.read_text() == text
        assert await rig.stop() == 0

    play(tmp_path, story)


@pytest.mark.parametrize("running", [True, False])
def test_report_settles_alerts_and_closes_gap(tmp_path: Path, running: bool) -> None:
    """By the running tracker, or by scripts/reconcile.py with it stopped; the second time changes nothing."""

    async def story(rig: Rig, week: Week) -> None:
        await rig.start()
        await rig.idle()
        if not running:
            assert await rig.stop() == 0
        path = report(rig, week)
        days = [day.isoformat() for day in week.days]
        done = await reconcile(rig, "--flex", str(path), *rig.options)
        changes = done.answer["imported"].pop("changes")
        assert [(each["what"], each["execution"][:10]) for each in changes] == [
            ("new", "SELL 4 NVD"),
            ("new", "BUY 5 COIN"),
            ("new", "SELL 5 COI"),
            ("new", "SELL 1 QQQ"),
            ("new", "BUY 3 AMD "),
        ]
        assert done.answer["imported"] == imported(5, *days)
        assert done.answer["by"] == ("the running tracker" if running else "itself")
        assert {ticker: shown(rig, ticker) for ticker in ("NVDA", "META", "PLTR", "QQQ", "AMD", "COIN")} == {
            "NVDA": (False, 0),
            "META": (True, 2),
            "PLTR": (False, None),
            "QQQ": (False, 0),
            "AMD": (True, 3),
            "COIN": (False, 0),
        }
        assert (done.code, done.found) == (0, [])
        text = rig.alerts_path.read_text()
        again = await reconcile(rig, "--flex", str(path), *rig.options)
        assert again.answer["imported"].pop("changes") == []
        assert again.answer["imported"] == imported(0)
        assert (again.code, again.found) == (0, [])
        assert rig.alerts_path.read_text() == text
        if not running:
            await rig.start()
        assert (await rig.status())["gaps"] == []
        await rig.idle()
        assert rig.alerts_path.read_text() == text
        assert await rig.stop() == 0

    play(tmp_path, story)
