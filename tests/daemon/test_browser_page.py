"""The page in a real Chromium, beside the real daemon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.browser import Browser, browser, needs_browser
from tests.support.daemon_rig import CALL, PUT, Rig, details, record
from tracker.cli.main import main
from tracker.paper.contracts import stock

pytestmark = needs_browser

BOUND = 20.0
HOSTILE = "<img src=x onerror=window.hacked=1>"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


async def seen(condition: Callable[[], bool], seconds: float = BOUND) -> None:
    """Wait until the page shows something."""
    begun = time.monotonic()
    while not await asyncio.to_thread(condition):
        assert time.monotonic() - begun < seconds, "the page did not show it in time"
        await asyncio.sleep(0.02)


async def look_at(chromium: Browser, rig: Rig) -> None:
    await asyncio.to_thread(chromium.open, f"http://127.0.0.1:{rig.status_port}/")
    await seen(lambda: "Receives fills" in chromium.text("#link"))


def shows(chromium: Browser, words: str, selector: str = "body") -> Callable[[], bool]:
    return lambda: words in chromium.text(selector)


def test_page_follows_fills_and_restarts(tmp_path: Path, chromium: Browser) -> None:
    """Each fill within a second; away while the tracker is; back by itself, with what came meanwhile."""

    async def trade(rig: Rig, price: str) -> None:
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit=price))

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        await look_at(chromium, rig)
        assert "Nothing to do" in chromium.text("#todo")
        for number in range(1, 4):
            await trade(rig, f"2.{number}1")
            await seen(shows(chromium, f"2.{number}1", "#fills"), seconds=1)
        await seen(shows(chromium, "robindahood-alerts/NVDA", "#alerts"))
        await seen(shows(chromium, "Open alerts (1)"))
        await seen(lambda: chromium.count("#plot circle") > 0)
        chromium.run("window.marked = true")
        assert await rig.stop() == 0
        await seen(shows(chromium, "TRACKER AWAY since", "#away"))
        assert "2.11" in chromium.text("#fills")
        await trade(rig, "7.77")
        await rig.start()
        await seen(lambda: chromium.text("#away") == "")
        await seen(shows(chromium, "7.77", "#fills"))
        await seen(shows(chromium, "opened robindahood-alerts/NVDA", "#fills"))
        await trade(rig, "8.88")
        await seen(shows(chromium, "8.88", "#fills"))
        assert chromium.run("return window.marked") is True
        rig.gateway.notice(1100)
        await seen(shows(chromium, "NOT receiving fills", "#link"))
        await seen(shows(chromium, "No fills are received", "#todo"))

    chromium.complaints()
    play(tmp_path, story)
    # Only of requests that nobody answered while the tracker was away.
    assert [line for line in chromium.complaints() if "net::ERR_" not in line] == []


def test_alerts_follow_what_comes_close_together(tmp_path: Path, chromium: Browser) -> None:
    """A fill just after an answer shows in its alert soon, and so do those of a burst before its end."""

    async def trade(rig: Rig) -> None:
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2"))

    def shown() -> int:
        return int(chromium.run("return document.querySelector('#alerts td.number')?.innerText") or 0)

    async def burst(rig: Rig) -> None:
        while True:
            await trade(rig)
            await asyncio.sleep(0.03)

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        await look_at(chromium, rig)
        await trade(rig)
        await seen(lambda: shown() == 2, seconds=15)
        # Within the second in which the tracker gives the answer that it has.
        await trade(rig)
        await seen(lambda: shown() == 4, seconds=15)
        fills = asyncio.create_task(burst(rig))
        try:
            await seen(lambda: shown() > 4, seconds=15)
        finally:
            fills.cancel()
        chromium.open("about:blank")

    play(tmp_path, story)


def test_burst_is_drawn_together(tmp_path: Path, chromium: Browser) -> None:
    """Each event made table and plot anew, hundreds of elements: in a burst the browser stood still."""
    burst = """
        window.drawn = 0;
        askSoon = () => {};
        const real = showLatency;
        showLatency = () => { window.drawn += 1; real(); };
        const at = new Date().toISOString();
        for (let each = 0; each < 300; each += 1) onEvent({ event: "written", at, seconds: 0.01 });
        return window.drawn;
    """

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        await look_at(chromium, rig)
        assert await asyncio.to_thread(chromium.run, burst) == 0
        await seen(lambda: int(chromium.run("return window.drawn")) > 0)
        # One for all of them, and one for an answer of the tracker that was under way.
        assert int(chromium.run("return window.drawn")) <= 2
        chromium.open("about:blank")

    play(tmp_path, story)


def test_inbox_lists_orders(tmp_path: Path, chromium: Browser) -> None:
    """An order that filled in two pieces is one line, with the number to decide it by and what is left."""

    async def story(rig: Rig) -> None:
        loose = record(option_conid=None, option_conids=[], alert_details=details(expiry=None))
        rig.write({ROBIN: {"NVDA": loose}, "demslayer": {"NVDA": loose}})
        await rig.start()
        order = rig.gateway.order(CALL, "BUY", 10, limit="2.5", client_id=7)
        rig.gateway.fill(order, 4)
        rig.gateway.fill(order, 6)
        await look_at(chromium, rig)
        await seen(shows(chromium, "BUY 10 NVDA", "#inbox"))
        assert "2 fills, ambiguous" in chromium.text("#inbox")
        assert chromium.count("#inbox tr") == 1
        number = chromium.text("#inbox td:last-child").split()[-1]
        words = ("assign", number, f"{ROBIN}/NVDA", "--quantity", "7", *rig.flags())
        assert await asyncio.to_thread(main, words) == 0
        # The first fill is given whole, so that the second alone waits.
        await seen(shows(chromium, "BUY 6 NVDA", "#inbox"))
        assert "ambiguous, 3 left" in chromium.text("#inbox")
        chromium.open("about:blank")

    play(tmp_path, story)


def test_record_that_is_gone_while_it_holds_something_is_shown(tmp_path: Path, chromium: Browser) -> None:
    """In the inbox and in what to do, until a person has it put back as the inbox says."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2"))
        await rig.until(lambda: rig.read()["open"])
        rig.write({ROBIN: {}})
        await look_at(chromium, rig)
        await seen(shows(chromium, "1 record gone from the alert store with a position", "#todo"))
        assert "the record is gone while it holds 2 NVDA" in chromium.text("#inbox")
        assert await asyncio.to_thread(main, ("reconcile", "--apply", *rig.flags())) == 0
        await seen(shows(chromium, "Nothing needs you.", "#inbox"))
        assert (await rig.status())["needs_you"]["orphaned"] == 0
        chromium.open("about:blank")

    play(tmp_path, story)


def test_axe_finds_no_serious_fault(tmp_path: Path, chromium: Browser) -> None:
    """Light and dark, on a desk and on a phone, with fills, alerts and one that needs a person."""

    async def story(rig: Rig) -> None:
        near = record(
            option_conid=None, option_conids=[], alert_details=details(expiry="12/21/2030", side="P")
        )
        rig.write({ROBIN: {"NVDA": record()}, "demslayer": {"NVDA": near}})
        await rig.start()
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2"))
        rig.gateway.fill(rig.gateway.order(PUT, "BUY", 2, limit="2"))
        await rig.until(lambda: rig.read()["open"])
        await look_at(chromium, rig)
        await seen(shows(chromium, "near miss", "#inbox"))
        for scheme, width in (("light", 1200), ("dark", 390)):
            chromium.prefer(scheme)
            chromium.resize(width, 800)
            assert serious_faults(chromium) == []
        # No wider than a phone, so that nothing is pushed out of sight.
        assert chromium.run("return document.documentElement.scrollWidth") <= 390
        chromium.open("about:blank")

    play(tmp_path, story)


def hostile_alerts(count: int) -> dict[str, dict[str, object]]:
    """Return so many open alerts, some of whose names are markup."""
    alerts = {
        f"{HOSTILE if number % 100 == 0 else 'SYM'}{number}": record(
            open=True,
            option_conid=number,
            option_conids=[number],
            alert_details=details(ticker=f"{HOSTILE}{number}" if number % 100 == 0 else f"SYM{number}"),
        )
        for number in range(count)
    }
    return {ROBIN: {**alerts, "NVDA": record()}}


def test_page_shows_500_alerts_and_runs_nothing(tmp_path: Path, chromium: Browser) -> None:
    """Names in the store and on the wire are text, whatever they say."""

    async def story(rig: Rig) -> None:
        rig.write(hostile_alerts(500))
        await rig.start()
        rig.gateway.fill(rig.gateway.order(stock(HOSTILE, con_id=4815748), "BUY", 2, limit="3"))
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2"))
        await rig.until(lambda: rig.read()["open"])
        await look_at(chromium, rig)
        await seen(lambda: chromium.count("#alerts tr") == 501)
        assert chromium.text("#alerts").count(f"{ROBIN}/{HOSTILE}") == 5
        await seen(shows(chromium, HOSTILE, "#fills"))
        assert chromium.count("img") == 0
        assert chromium.run("return window.hacked === undefined") is True
        chromium.open("about:blank")

    chromium.complaints()
    play(tmp_path, story)
    assert chromium.complaints() == []


def serious_faults(chromium: Browser) -> list[str]:
    """Return what axe-core finds serious or critical."""
    axe = (files("axe_core_python") / "axe.min.js").read_text("utf-8")
    chromium.run(f"{axe}\nwindow.axe = axe")
    chromium.driver.set_script_timeout(60)
    violations = chromium.driver.execute_async_script(
        "axe.run().then((found) => arguments[0](found.violations))"
    )
    return [
        f"{one['id']}: {node['html']}"
        for one in violations
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
