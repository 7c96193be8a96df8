"""The main job over the real socket: the daemon in its own process, real files, a gateway that trades.

Each test is a line of what the tracker promises.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon_rig import CALL, PUT, SHARES, Rig, details, record
from tracker.clock import now
from tracker.paper.contracts import option

ROBIN = "robindahood-alerts"


def play(folder: Path, story: Callable[[Rig], Awaitable[None]], **gateway: Any) -> None:
    """Run a story against a gateway and a rig."""

    async def main() -> None:
        async with Rig(folder, **gateway) as rig:
            await story(rig)

    asyncio.run(main())


def test_partial_fills_open_exactly_one_alert(tmp_path: Path) -> None:
    """4 of 10, then the rest: PARTIALLY_FILLED, then FILLED; all else is unchanged to the byte."""

    async def story(rig: Rig) -> None:
        other = record(option_conid=5, option_conids=[5], alert_details=details(ticker="TSLA"), note=1.0)
        mine = record(unknown={"z": [1, 2.50], "a": None})
        before = rig.write({ROBIN: {"TSLA": other, "NVDA": mine}, "zz-unheard-of": {"TSLA": other}})
        await rig.start()
        order = rig.gateway.order(CALL, "BUY", 10, limit="2.51", client_id=7)
        rig.gateway.fill(order, 4)
        await rig.until(lambda: rig.read()["open"], seconds=1.5)
        shown = rig.read()["last_order_update"]
        assert (shown["filled_qty"], shown["status"], shown["remaining_qty"]) == (4, "PARTIALLY_FILLED", 6)
        rig.gateway.fill(order, 6)
        await rig.until(lambda: rig.read()["last_order_update"]["filled_qty"] == 10, seconds=1.5)
        await rig.idle()
        after = json.loads(rig.alerts_path.read_text())
        assert after[ROBIN]["NVDA"]["last_order_update"]["status"] == "FILLED"
        assert after[ROBIN]["NVDA"]["position"]["quantity"] == 10
        for key in ("open", "last_order_update", "position"):
            after[ROBIN]["NVDA"].pop(key)
        rebuilt = {**after, ROBIN: {**after[ROBIN], "NVDA": {"open": False, **after[ROBIN]["NVDA"]}}}
        assert json.dumps(rebuilt, indent=2) == before

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("expiry", "created"),
    [
        ("1220", "2025-11-18T15:42:07.318245"),
        ("12/20", "2025-11-18T15:42:07.318245"),
        ("12/20/2025", "2025-11-18T15:42:07.318245"),
        ("20251220", "2025-11-18T15:42:07.318245"),
        ("DEC20", "2025-11-18T15:42:07.318245"),
    ],
)
def test_alert_without_conid_matches_by_contract(tmp_path: Path, expiry: str, created: str) -> None:
    """Symbol, right, strike and expiry, however the expiry is written; any alerter's key is served."""

    async def story(rig: Rig) -> None:
        alert = record(
            option_conid=None, option_conids=[], created_at=created, alert_details=details(expiry=expiry)
        )
        rig.write({"somebody-new": {"NVDA": alert}})
        await rig.start()
        contract = option("NVDA", "20251220", "C", "122.5", con_id=700100999)
        rig.gateway.fill(rig.gateway.order(contract, "BUY", 1, limit="2.51"))
        await rig.until(lambda: rig.read("somebody-new")["open"])
        assert rig.read("somebody-new")["last_order_update"]["matched_by"] == "contract"

    play(tmp_path, story)


def test_stock_or_put_opens_no_call(tmp_path: Path) -> None:
    """A stock fill and a put fill of the same symbol touch nothing; a call fill after them does."""

    async def story(rig: Rig) -> None:
        text = rig.write({ROBIN: {"NVDA": record(option_conid=None, option_conids=[])}})
        await rig.start()
        rig.gateway.fill(rig.gateway.order(SHARES, "BUY", 100, limit="130"))
        rig.gateway.fill(rig.gateway.order(PUT, "BUY", 1, limit="2"))
        await rig.idle()
        assert rig.alerts_path.read_text() == text
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 1, limit="2"))
        await rig.until(lambda: rig.read()["open"])

    play(tmp_path, story)


def test_selling_earlier_holdings_touches_no_alert(tmp_path: Path) -> None:
    """4 of 10 sold, held before the alert existed."""

    async def story(rig: Rig) -> None:
        text = rig.write({ROBIN: {"NVDA": record()}})
        rig.gateway.set_position("DU1234567", CALL, 10)
        await rig.start()
        rig.gateway.fill(rig.gateway.order(CALL, "SELL", 4, limit="2"))
        await rig.idle()
        assert (await rig.status())["stats"]["orders_processed"] == 1
        assert rig.alerts_path.read_text() == text

    play(tmp_path, story)


def test_partial_exit_then_last_sale_closes(tmp_path: Path) -> None:
    """Buy 10, sell 4, sell 6, then sell to open and flip."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()

        async def trade(side: str, quantity: int, leaves: int, is_open: bool) -> None:
            rig.gateway.fill(rig.gateway.order(CALL, side, quantity, limit="2"))
            await rig.until(lambda: rig.read().get("position", {}).get("quantity") == leaves)
            assert rig.read()["open"] is is_open

        await trade("BUY", 10, 10, True)
        await trade("SELL", 4, 6, True)
        await trade("SELL", 6, 0, False)
        assert rig.read()["position"]["closed_at"] is not None
        await trade("SELL", 3, -3, True)
        await trade("BUY", 5, 2, True)

    play(tmp_path, story)


def test_fill_without_open_order_counts(tmp_path: Path) -> None:
    """ib_insync's own event stays silent for it for ever."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        rig.gateway.execute(CALL, "BUY", 2, "2.5", client_id=9, order_id=12)
        await rig.until(lambda: rig.read()["open"])
        assert rig.read()["last_order_update"]["filled_qty"] == 2

    play(tmp_path, story)


def test_fill_only_in_executions_answer_counts(tmp_path: Path) -> None:
    """Nothing was pushed; the next sweep brings it."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2", push=False), push=False)
        await rig.until(lambda: rig.read()["open"])
        await rig.idle()
        assert rig.read()["last_order_update"]["filled_qty"] == 2

    play(tmp_path, story)


def test_fill_with_unparsable_time_zone_counts(tmp_path: Path) -> None:
    """ib_insync's decoder drops such an execution."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        order = rig.gateway.order(CALL, "BUY", 2, limit="2")
        rig.gateway.fill(order, time="20251118 10:43:10 Nowhere Standard Time")
        await rig.until(lambda: rig.read()["open"])
        await rig.idle()
        assert rig.read()["last_order_update"]["filled_qty"] == 2

    play(tmp_path, story)


def test_five_deliveries_count_once(tmp_path: Path) -> None:
    """Four repeats live, then the sweeps."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        execution = rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2"))
        for _ in range(4):
            rig.gateway.repeat(execution)
        await rig.idle()
        assert rig.read()["last_order_update"]["filled_qty"] == 2
        assert rig.read()["position"]["quantity"] == 2

    play(tmp_path, story)


def test_fills_while_the_tracker_was_down(tmp_path: Path) -> None:
    """The first sweep after the start brings them; what was known stays counted once."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        order = rig.gateway.order(CALL, "BUY", 10, limit="2")
        rig.gateway.fill(order, 4)
        await rig.until(lambda: rig.read()["open"])
        assert await rig.stop() == 0
        rig.gateway.fill(order, 6)
        await rig.start()
        await rig.until(lambda: rig.read()["last_order_update"]["filled_qty"] == 10)
        assert rig.read()["position"]["quantity"] == 10

    play(tmp_path, story)


def test_fill_during_upstream_outage_counts(tmp_path: Path) -> None:
    """1100, a fill that is pushed to no one, 1102: the sweep after it finds the fill."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start("--gateway.sweep_seconds", "3600")
        log = await asyncio.to_thread((rig.folder / "daemon.log").read_text)
        assert "gateway.sweep_seconds is 3600, but a day counts as complete only if a sweep falls into" in log
        rig.gateway.notice(1100)
        await rig.until(lambda: _unsubscribed(rig), seconds=2)
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2", push=False), push=False)
        rig.gateway.notice(1102)
        await rig.until(lambda: rig.read()["open"])

    play(tmp_path, story)


async def _unsubscribed(rig: Rig) -> bool:
    return not (await rig.status())["subscribed"]


def test_correction_after_close_reopens_alert(tmp_path: Path) -> None:
    """Bought 2, sold 2; the sale is corrected to 1."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2"))
        await rig.until(lambda: rig.read()["open"])
        sale = rig.gateway.fill(rig.gateway.order(CALL, "SELL", 2, limit="3"))
        await rig.until(lambda: not rig.read()["open"])
        rig.gateway.correct(sale, quantity=1)
        await rig.until(lambda: rig.read()["open"])
        assert rig.read()["position"]["quantity"] == 1

    play(tmp_path, story)


def test_fill_before_its_alert_is_matched(tmp_path: Path) -> None:
    """The alert writer looks contracts up for seconds, so the fill is often first."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {}})
        await rig.start()
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2"))
        await rig.idle()
        created = (now() + timedelta(seconds=1)).replace(tzinfo=None).isoformat()
        rig.write({ROBIN: {"NVDA": record(created_at=created)}})
        await rig.until(lambda: rig.read()["open"])

    play(tmp_path, story)


def test_no_order_message_leaves(tmp_path: Path) -> None:
    """Client 0 binds manual orders by two requests; the tracker sends neither."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        order = rig.gateway.order(CALL, "BUY", 2, limit="2", manual=True)
        rig.gateway.fill(order)
        await rig.until(lambda: rig.read()["open"])
        rig.gateway.notice(1102)
        await rig.idle()
        sent = {fields[0] for _, fields in rig.gateway.received}
        assert sent <= {"71", "61", "64", "7", "16", "17", "49", "99"}
        assert order.order_id == 0

    play(tmp_path, story)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: int) -> None:
    """Exit code 0, also while the gateway is away."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        assert await rig.stop(number) == 0

    play(tmp_path, story)


def test_second_signal_ends_at_once(tmp_path: Path) -> None:
    """It does not wait for the farewell that the first one began; both are pending before it can run."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        assert rig.process is not None
        for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
            rig.process.send_signal(number)
        assert await rig.ended() in (128 + signal.SIGTERM, 128 + signal.SIGINT)

    play(tmp_path, story)


def test_second_tracker_ends_at_once(tmp_path: Path) -> None:
    """Exit code 5, and it says who holds them."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        first = rig.process
        await rig.start("--status.port", "0", ready=False)
        assert await rig.ended() == 5
        assert first is not None
        assert f"process {first.pid}" in rig.log()
        rig.process = first
        assert await rig.stop() == 0

    play(tmp_path, story)


def test_unwatched_account_is_left_alone(tmp_path: Path) -> None:
    """It fits the alert, and is journalled; nothing is opened, now or when the store changes."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start("--gateway.accounts", "DU1234567")
        order = rig.gateway.order(CALL, "BUY", 2, limit="2", account="DU9000001")
        rig.gateway.fill(order)
        await rig.idle()
        text = rig.write({ROBIN: {"NVDA": record()}})
        await rig.idle()
        assert rig.alerts_path.read_text() == text
        status = await rig.status()
        assert status["stats"]["orders_processed"] == 1
        assert status["journal"]["cursor"] < 200

    play(tmp_path, story, accounts=("DU1234567", "DU9000001"))


def test_account_that_is_watched_later_brings_its_fills(tmp_path: Path) -> None:
    """Its order has no owner at the next start, so it gets the full look, and a later fill follows it."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start("--gateway.accounts", "DU1234567")
        order = rig.gateway.order(CALL, "BUY", 3, limit="2", account="DU9000001")
        rig.gateway.fill(order, 2)
        await rig.idle()
        assert await rig.stop() == 0
        await rig.start()
        await rig.idle()
        assert rig.read(ROBIN)["position"]["quantity"] == 2
        rig.gateway.fill(order, 1)
        await rig.idle()
        assert rig.read(ROBIN)["position"]["quantity"] == 3

    play(tmp_path, story, accounts=("DU1234567", "DU9000001"))
