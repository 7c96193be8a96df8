"""Positions that change without a fill, or are reported late: what alerts show, over the real socket.

The gateway's clock is set forward where a rule waits for minutes, since positions are judged by its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from tests.support.daemon_rig import PUT, SHARES, Rig, details, record
from tests.support.flex_report import statement, trade, write_report
from tests.support.reconcile_rig import ACCOUNT, OTHER, ROBIN, positions_requests, reconcile
from tracker.clock import now
from tracker.paper import position_events
from tracker.paper.contracts import PaperContract, stock
from tracker.paper.model import PaperExecution, PaperPosition

AFTER = stock("NVDB", con_id=4815748)
RENUMBERED = "DU7654321"
SPY = stock("SPY", con_id=756733)
NEW_YORK = ZoneInfo("America/New_York")
TWO_MINUTES = timedelta(minutes=2)
OLD: Final = {"created_at": (now() - timedelta(hours=1)).replace(tzinfo=None).isoformat()}
"""As an alert that is older than every fill."""
SIX_MINUTES = timedelta(minutes=6)


class BrokerClock:
    """Show the broker's time: this host's, and what it was set forward by."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return now() + self.ahead


class Table:
    """Hold a daemon beside a gateway whose clock can be set, and whose account is never flat."""

    def __init__(self, rig: Rig, clock: BrokerClock) -> None:
        self.rig = rig
        self.gateway = rig.gateway
        self._clock = clock

    async def start(self, alerts: dict[str, Any]) -> None:
        """Start, and wait for the first answer about positions that is certain."""
        self.rig.write(alerts)
        self.gateway.set_position(ACCOUNT, SPY, 1)
        asked = positions_requests(self.rig)
        await self.rig.start()
        # The first answer that can be certain is asked for after the first sweep.
        await self.rig.until(lambda: positions_requests(self.rig) >= asked + 2)
        await self.rig.idle()

    async def answer(self) -> None:
        """Have the broker asked for everything once more, as an audit does, and wait for what follows."""
        await reconcile(self.rig, script=False)
        await self.rig.idle()

    def trade(
        self, contract: PaperContract, signed: int, *, ago: float = 60, push: bool = True
    ) -> PaperExecution:
        """Buy, or sell where it is negative, so many seconds ago by the broker's clock."""
        side, time = "BUY" if signed > 0 else "SELL", self._clock() - timedelta(seconds=ago)
        order = self.gateway.order(contract, side, abs(signed), limit="2.5", push=push)
        return self.gateway.fill(order, time=time, push=push)

    def change(self, changed: list[PaperPosition]) -> None:
        """Have positions change without a fill, and pushed."""
        self.gateway.engine.push_positions(changed)

    def split(self, new: int) -> None:
        self.change(position_events.split(self.gateway.book, SHARES, Decimal(new), Decimal(1), self._clock()))

    def assign(self, quantity: int) -> None:
        """Have short puts assigned: the shares come, the puts go."""
        book = self.gateway.book
        self.change(position_events.assign(book, PUT, SHARES, Decimal(quantity), ACCOUNT, self._clock()))

    def later(self, passed: timedelta = TWO_MINUTES) -> None:
        """Let so much time pass at the broker."""
        self._clock.ahead += passed

    async def difference(self, amount: int) -> None:
        """Wait until the status shows this one position that no fill explains."""

        async def shown() -> bool:
            found = await self.unexplained()
            return [each["difference"] for each in found] == [amount]

        await self.rig.until(shown)

    async def settled(self) -> None:
        """Wait until every position is explained, by a fill or an adjustment."""

        async def none() -> bool:
            return not await self.unexplained()

        await self.rig.until(none)

    async def unexplained(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.rig.ask("inbox"))["unexplained"]
        return found

    def shown(self, alerter: str = ROBIN) -> tuple[bool, Any]:
        """Return whether an alert is open, and how much of it is left."""
        alert = self.rig.read(alerter)
        return alert["open"], alert.get("position", {}).get("quantity")

    async def shows(self, is_open: bool, quantity: int, alerter: str = ROBIN) -> None:
        """Wait until an alert shows this, and see that it stays so."""
        await self.rig.until(lambda: self.shown(alerter) == (is_open, quantity))
        await self.rig.idle()
        assert self.shown(alerter) == (is_open, quantity)


def of_shares() -> dict[str, Any]:
    """Return a record about the shares."""
    stock_details = {"ticker": "NVDA", "is_bullish": True}
    return record(**OLD, option_conid=None, option_conids=[], alert_details=stock_details)


def of_puts() -> dict[str, Any]:
    puts = [PUT.con_id]
    return record(**OLD, option_conid=PUT.con_id, option_conids=puts, alert_details=details(side="P"))


def play(folder: Path, story: Callable[[Table], Awaitable[None]], alerts: dict[str, Any]) -> None:
    """Run a story with these alerts."""

    async def main() -> None:
        clock = BrokerClock()
        async with Rig(folder, now=clock) as rig:
            table = Table(rig, clock)
            await table.start(alerts)
            await story(table)
            assert await rig.stop() == 0

    asyncio.run(main())


# Late and empty answers


def test_empty_answer_after_restart_then_sale(tmp_path: Path) -> None:
    """10 are the alert's; the gateway restarts, lists nothing at first, and 4 are sold: 6 are left."""

    async def story(table: Table) -> None:
        table.trade(SHARES, 10)
        await table.shows(True, 10)
        await table.gateway.stop()
        table.gateway.faults.missing_positions = {SHARES.con_id, SPY.con_id}
        await table.gateway.start()
        await table.rig.until(table.rig.subscribed)
        await table.answer()
        assert table.shown() == (True, 10)
        table.trade(SHARES, -4, ago=0)
        await table.shows(True, 6)
        table.gateway.faults.missing_positions = set()
        table.later(SIX_MINUTES)
        await table.answer()
        await table.shows(True, 6)
        assert await table.unexplained() == []

    play(tmp_path, story, {ROBIN: {"NVDA": of_shares()}})


def test_old_shares_sold_after_empty_answer(tmp_path: Path) -> None:
    """10 were held before the alert; the gateway restarts and lists nothing; selling 4 opens no short."""

    async def story(table: Table) -> None:
        table.gateway.set_position(ACCOUNT, SHARES, 10)
        await table.answer()
        await table.gateway.stop()
        table.gateway.faults.missing_positions = {SHARES.con_id, SPY.con_id}
        await table.gateway.start()
        await table.rig.until(table.rig.subscribed)
        await table.answer()
        table.trade(SHARES, -4, ago=0)
        await table.answer()
        assert table.shown() == (False, None)

    play(tmp_path, story, {ROBIN: {"NVDA": of_shares()}})


def test_lagging_answer_then_sale(tmp_path: Path) -> None:
    """3 are bought while the link is down; positions are shown as before that; all 8 are sold: closed."""

    async def story(table: Table) -> None:
        table.trade(SHARES, 5)
        await table.shows(True, 5)
        table.gateway.broadcast.hold_positions()
        table.gateway.drop_connections()
        table.trade(SHARES, 3, ago=0, push=False)
        await table.shows(True, 8)
        await table.answer()
        await table.shows(True, 8)
        table.gateway.broadcast.release_positions()
        table.trade(SHARES, -8, ago=0)
        await table.shows(False, 0)
        await table.settled()
        assert table.shown() == (False, 0)

    play(tmp_path, story, {ROBIN: {"NVDA": of_shares()}})


# Splits and assignments


def test_split_sold_whole_before_second_answer(tmp_path: Path) -> None:
    """10 become 40, of which 30 are unexplained, and all 40 are sold: closed, no short."""

    async def story(table: Table) -> None:
        table.trade(SHARES, 10)
        await table.shows(True, 10)
        table.split(4)
        await table.difference(30)
        assert table.shown() == (True, 10)
        table.trade(SHARES, -40, ago=0)
        await table.shows(False, 0)
        table.later(SIX_MINUTES)
        await table.settled()
        await table.shows(False, 0)

    play(tmp_path, story, {ROBIN: {"NVDA": of_shares()}})


def test_split_half_sold_before_second_answer(tmp_path: Path) -> None:
    """What the split brought is sold before what the alert owns: 10 stay, then go with the last 20."""

    async def story(table: Table) -> None:
        table.trade(SHARES, 10)
        await table.shows(True, 10)
        table.split(4)
        await table.difference(30)
        table.trade(SHARES, -20, ago=0)
        await table.answer()
        assert table.shown() == (True, 10)
        table.later()
        await table.settled()
        await table.shows(True, 10)
        table.trade(SHARES, -20, ago=0)
        await table.shows(False, 0)

    play(tmp_path, story, {ROBIN: {"NVDA": of_shares()}})


def test_early_assignment_of_two_of_five(tmp_path: Path) -> None:
    """5 puts were sold and 2 are assigned: the alert shows -3, and 200 shares belong to nobody."""

    async def story(table: Table) -> None:
        table.trade(PUT, -5)
        await table.shows(True, -5)
        table.assign(2)
        await table.difference(2)
        table.later()
        await table.settled()
        await table.shows(True, -3)
        table.trade(PUT, 3, ago=0)
        await table.shows(False, 0)

    play(tmp_path, story, {ROBIN: {"NVDA": of_puts()}})


def test_two_alerts_share_an_assignment(tmp_path: Path) -> None:
    """The lot shrinks for both, and buying the rest back closes both."""

    async def story(table: Table) -> None:
        table.trade(PUT, -5)
        for alerter in (ROBIN, OTHER):
            await table.shows(True, -5, alerter)
        table.assign(2)
        await table.difference(2)
        table.later()
        await table.settled()
        for alerter in (ROBIN, OTHER):
            await table.shows(True, -3, alerter)
        table.trade(PUT, 3, ago=0)
        for alerter in (ROBIN, OTHER):
            await table.shows(False, 0, alerter)

    play(tmp_path, story, {ROBIN: {"NVDA": of_puts()}, OTHER: {"NVDA": of_puts()}})


# After an adjustment


async def transferred_out(table: Table, quantity: int) -> None:
    """Have so many of 10 shares go to another broker, and the difference settled."""
    table.trade(SHARES, 10, ago=600)
    await table.shows(True, 10)
    book = table.gateway.book
    table.change(position_events.transfer(book, SHARES, Decimal(quantity), ACCOUNT, "", now()))
    await table.difference(-quantity)
    table.later()
    await table.settled()
    await table.shows(True, 10 - quantity)


def test_missed_sale_behind_adjustment(tmp_path: Path) -> None:
    """4 of 10 went; then a sale of 3 of them is told by a sweep: 6 are left as before, none is sold twice."""

    async def story(table: Table) -> None:
        await transferred_out(table, 4)
        sold = table.trade(SHARES, -3, ago=500, push=False)
        table.gateway.set_position(ACCOUNT, SHARES, 6)
        await table.rig.until(lambda: table.rig.read()["last_order_update"]["exec_id"] == sold.exec_id)
        await table.answer()
        await table.shows(True, 6)
        assert await table.unexplained() == []

    play(tmp_path, story, {ROBIN: {"NVDA": of_shares()}})


def test_flex_sale_behind_adjustment(tmp_path: Path) -> None:
    """The same, reported by a Flex report: the 6 that are left stay the alert's."""

    async def story(table: Table) -> None:
        await transferred_out(table, 4)
        sold_at = now().astimezone(NEW_YORK) - timedelta(seconds=500)
        row = trade(
            assetCategory="STK",
            symbol="NVDA",
            conid=str(SHARES.con_id),
            underlyingSymbol="",
            multiplier="1",
            strike="",
            expiry="",
            putCall="",
            dateTime=f"{sold_at:%Y%m%d;%H%M%S}",
            quantity="-3",
            buySell="SELL",
            ibOrderID="99",
        )
        made = datetime.now(UTC).astimezone(NEW_YORK).date()
        report = write_report(
            tmp_path / "flex.xml", statement(row, first=made - timedelta(days=1), last=made, made=made)
        )
        done = await reconcile(table.rig, "--flex", str(report), script=False)
        assert done.answer["imported"]["new"] == 1
        await table.answer()
        await table.shows(True, 6)
        assert await table.unexplained() == []

    play(tmp_path, story, {ROBIN: {"NVDA": of_shares()}})


# What a person tells


def test_merger_told_then_undone(tmp_path: Path) -> None:
    """10 become 5 of another contract: the alert has these, or its 10 back; selling the 5 closes it."""

    async def story(table: Table) -> None:
        table.trade(SHARES, 10)
        await table.shows(True, 10)
        book, five = table.gateway.book, Decimal(5)
        table.change(position_events.merge(book, SHARES, AFTER, five, Decimal(10), now()))
        await table.difference(-10)
        words = ("adjust", "NVDA", "--becomes", str(AFTER.con_id), "--ratio", "1:2")
        would = await reconcile(table.rig, "--dry-run", command=words)
        assert (would.answer["held"], would.answer["into"]["held"]) == (0, 5)
        assert table.shown() == (True, 10)
        done = await reconcile(table.rig, command=words)
        await table.shows(True, 5)
        assert await table.unexplained() == []
        assert (await reconcile(table.rig, command=("undo", done.answer["id"]))).code == 0
        await table.shows(True, 10)
        assert (await reconcile(table.rig, command=words)).code == 0
        table.trade(AFTER, -5, ago=0)
        await table.shows(False, 0)

    play(tmp_path, story, {ROBIN: {"NVDA": of_shares()}})


def test_renumbered_account_told(tmp_path: Path) -> None:
    """After the restart the login has another account, and the alert's shares are sold there."""

    async def story(table: Table) -> None:
        table.trade(SHARES, 10)
        await table.shows(True, 10)
        await table.gateway.stop()
        position_events.renumber(table.gateway.book, ACCOUNT, RENUMBERED, now())
        await table.gateway.start()
        await table.rig.until(lambda: _managed(table))
        words = ("adjust", "NVDA", "--account", ACCOUNT, "--moved", RENUMBERED)
        assert (await reconcile(table.rig, command=words)).code == 0
        await table.shows(True, 10)
        table.trade(SHARES, -10, ago=0)
        await table.shows(False, 0)

    play(tmp_path, story, {ROBIN: {"NVDA": of_shares()}})


async def _managed(table: Table) -> bool:
    return bool(await table.rig.status_of("link", "accounts") == [RENUMBERED])
