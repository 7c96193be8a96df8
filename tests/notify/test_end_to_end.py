"""Messages to people, from the real daemon through Apprise to a webhook on the loopback."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.daemon_rig import CALL, Rig, details, record
from tests.support.free_ports import free_port
from tests.support.webhook import Webhook
from tracker.clock import now
from tracker.gateway.error_codes import planned_reset

SECRETS = ("sesame", "secret-path")


async def trade(rig: Rig, side: str, quantity: int, price: str) -> None:
    rig.gateway.fill(rig.gateway.order(CALL, side, quantity, limit=price))


def metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def of(hook: Webhook, word: str) -> list[str]:
    """Return the lines of one kind, without their time."""
    return [line.partition(" UTC ")[2] for line in hook.lines() if f" UTC {word}" in line]


def test_opening_and_closing_are_sent(tmp_path: Path) -> None:
    """Once each, a partial exit in between not at all, and nothing again after a restart."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start("--notify.urls", hook.url)
        await trade(rig, "BUY", 4, "2.5")
        await rig.until(lambda: hook.said("OPENED"))
        await trade(rig, "SELL", 1, "3")
        await rig.until(partial(holds, rig, 3))
        assert await rig.stop() == 0
        await rig.start("--notify.urls", hook.url)
        await rig.idle()
        await trade(rig, "SELL", 3, "3.25")
        await rig.until(lambda: hook.said("CLOSED"))
        # The webhook has the message a moment before the daemon has its answer.
        await rig.until(partial(told, rig, 1))
        figures = (await rig.status())["notify"]
        assert (figures["urls"], figures["sent"], figures["waiting"], figures["trouble"]) == (1, 1, 0, {})
        figures_drawn = await asyncio.to_thread(metrics, rig.status_port)
        assert "tracker_notify_sent_total 1\n" in figures_drawn
        assert "tracker_notify_dropped_total 0\n" in figures_drawn

    with Webhook() as hook:
        play(tmp_path, story)
    assert of(hook, "OPENED") == [
        "OPENED robindahood-alerts/NVDA: BUY 4 NVDA 2030-12-20 122.5 C at 2.5, by con_id; holds 4 at 2.5"
    ]
    (closed,) = of(hook, "CLOSED")
    assert closed.startswith(
        "CLOSED robindahood-alerts/NVDA: SELL 3 NVDA 2030-12-20 122.5 C at 3.25, by ownership;"
        " 4 in at 2.5, out at 3.1875: profit 275 before fees, held "
    )
    assert len(hook.lines()) == 2


def test_round_trip_of_one_sweep(tmp_path: Path) -> None:
    """A round trip that one sweep brings is reported as opened and as closed."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await trade(rig, "BUY", 4, "2.5")
        await trade(rig, "SELL", 4, "3")
        await rig.start("--notify.urls", hook.url)
        await rig.until(lambda: hook.said("CLOSED"))

    with Webhook() as hook:
        play(tmp_path, story)
    assert of(hook, "OPENED") == ["OPENED robindahood-alerts/NVDA: it was closed again since"]
    (closed,) = of(hook, "CLOSED")
    assert closed.startswith(
        "CLOSED robindahood-alerts/NVDA: SELL 4 NVDA 2030-12-20 122.5 C at 3, by ownership"
    )


def test_downtime_is_sent_after_start(tmp_path: Path) -> None:
    """The fill comes with the first sweep; an alert that opened before the stop is not reported again."""

    async def story(rig: Rig) -> None:
        tesla = record(option_conid=None, option_conids=[], alert_details=details(ticker="TSLA"))
        rig.write({ROBIN: {"NVDA": record(), "TSLA": tesla}})
        await rig.start("--notify.urls", hook.url)
        await rig.stop()
        await trade(rig, "BUY", 2, "2.5")
        await rig.start("--notify.urls", hook.url)
        await rig.until(lambda: hook.said("OPENED robindahood-alerts/NVDA"))
        await rig.stop()
        await rig.start("--notify.urls", hook.url)
        await rig.idle()

    with Webhook() as hook:
        play(tmp_path, story)
    assert len(hook.lines()) == 1


def test_needs_you_is_sent(tmp_path: Path) -> None:
    """Two alerts without a usable expiry are about the same strike."""

    async def story(rig: Rig) -> None:
        vague = record(option_conid=None, option_conids=[], alert_details=details(expiry=None))
        rig.write({ROBIN: {"NVDA": vague}, "demslayer": {"NVDA": vague}})
        await rig.start("--notify.urls", hook.url)
        await trade(rig, "BUY", 1, "2.5")
        await rig.until(lambda: hook.said("NEEDS YOU"))

    with Webhook() as hook:
        play(tmp_path, story)
    (line,) = of(hook, "NEEDS YOU")
    assert "(ambiguous): BUY 1 NVDA 2030-12-20 122.5 C at 2.5" in line
    assert "it may belong to demslayer/NVDA or robindahood-alerts/NVDA" in line
    assert "tracker inbox" in line
    assert hook.received[0]["title"] == "Order tracker: action needed"
    assert hook.received[0]["type"] == "warning"


def hours_back() -> int:
    """Return how long ago no planned reset of IBKR was near, in which a lost link is not reported."""
    soon = now() + timedelta(minutes=5)
    return 12 if planned_reset(now()) or planned_reset(soon) else 0


def test_link_down_and_up_are_sent(tmp_path: Path) -> None:
    """A link that stays down is reported and so is its return."""

    async def story(rig: Rig) -> None:
        rig.write({})
        options = ("--notify.urls", hook.url, "--notify.link_down_minutes", "0.01")
        await rig.start(*options, module="tests.support.backdated", env={"HOURS_BACK": str(hours_back())})
        assert not hook.lines()
        await rig.gateway.stop()
        await rig.until(lambda: hook.said("LINK DOWN"))
        await rig.gateway.start()
        await rig.until(lambda: hook.said("LINK UP"))

    with Webhook() as hook:
        play(tmp_path, story)
    (down,) = of(hook, "LINK DOWN")
    assert "no fills are received: " in down


@pytest.mark.parametrize("fault", ["hangs", "is dead", "refuses"])
def test_a_webhook_that_fails_costs_nothing(tmp_path: Path, fault: str) -> None:
    """Fills go on, the end is not held up, and the one that works is told all the same."""

    async def story(rig: Rig) -> None:
        alerts = {
            f"SYM{n}": record(option_conid=n, option_conids=[n], alert_details=details(ticker=f"SYM{n}"))
            for n in range(1, 31)
        }
        rig.write({ROBIN: {"NVDA": record(), **alerts}})
        # Apprise itself would wait for an hour.
        url = f"{bad.url}?rto=3600"
        if fault == "is dead":
            url = f"json://user:sesame@127.0.0.1:{free_port()}/secret-path"
        await rig.start("--notify.urls", f"{url},{good.url}")
        await trade(rig, "BUY", 1, "2.5")
        await rig.until(lambda: good.said("OPENED"))
        if fault != "is dead":
            await rig.until(lambda: bad.asked)
        for quantity in range(2, 22):
            started = asyncio.get_running_loop().time()
            await trade(rig, "BUY", 1, "2.5")
            await rig.until(partial(holds, rig, quantity))
            slowest.append(asyncio.get_running_loop().time() - started)
        if fault != "hangs":
            await rig.until(lambda: troubled(rig))
        started = asyncio.get_running_loop().time()
        assert await rig.stop() == 0
        ended.append(asyncio.get_running_loop().time() - started)
        assert "1 message not sent before the end" in rig.log()
        for secret in SECRETS:
            assert secret not in rig.log()

    slowest: list[float] = []
    ended: list[float] = []
    with Webhook() as bad, Webhook() as good:
        if fault == "hangs":
            bad.hang.set()
        bad.code = 503
        play(tmp_path, story)
    assert sorted(slowest)[10] < 5
    assert ended[0] < 10


def holds(rig: Rig, quantity: int) -> bool:
    # The first message may be there before the file is written.
    return bool(rig.read().get("position", {}).get("quantity") == quantity)


async def told(rig: Rig, count: int) -> bool:
    return bool((await rig.status())["notify"]["sent"] == count)


async def troubled(rig: Rig) -> bool:
    """Return whether the status names the url that fails, without saying it."""
    figures: dict[str, Any] = (await rig.status())["notify"]
    text = json.dumps(figures)
    assert not any(secret in text for secret in SECRETS)
    return list(figures["trouble"]) == ["1 (json)"] and figures["waiting"] == 1
