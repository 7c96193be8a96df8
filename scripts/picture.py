#!/usr/bin/env python3
"""Draw tracker/watch/watch.svg and tracker/status/page.png: the real screen and the real page in a browser.

`scripts/picture [FOLDER]` plays the demo's morning, with its made-up account, up to the first sale: alerts
are open then. One more alert nearly agrees with a fill, which therefore waits in the inbox. Nothing is drawn
by hand, and the pictures load nothing from other hosts. The page needs Chromium and its driver; without them
only the screen is drawn.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
import time
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.browser import CHROMIUM, DRIVER, browser
from tracker.clock import now
from tracker.config.loader import load
from tracker.demo.morning_script import SPX, TSLA, morning
from tracker.demo.processes import DemoProcesses
from tracker.watch.app import Watch
from tracker.watch.connection_to_daemon import DaemonConnection
from tracker.watch.screen_model import ScreenModel

PROJECT: Final = Path(__file__).resolve().parents[1]
SCREEN: Final = PROJECT / "tracker/watch/watch.svg"
PAGE: Final = PROJECT / "tracker/status/page.png"
PAGE_SIZE: Final = (1000, 900)
LAST_STEP: Final = "partial-exit"
FONTS: Final = "Menlo, 'DejaVu Sans Mono', Consolas, 'Courier New', monospace"


def with_a_near_miss(alerts: str) -> str:
    """Return the morning's alerts.json with one more alert, of another expiry than the bought contract."""
    records = json.loads(alerts)
    like = records[SPX.alerter]["SPX"]
    details = {**like["alert_details"], "ticker": "MSFT", "strike": "480", "expiry": "12/18/2030"}
    records.setdefault(TSLA.alerter, {})["MSFT"] = {**like, "alert_details": details}
    return json.dumps(records, indent=2)


async def draw(folder: Path, page: Path | None) -> str:
    """Play the morning in an empty folder and return the picture of the screen; raises DemoFailed.

    `page` is where the picture of the page goes, if one can be made.
    """
    moment = now()
    told = morning(moment)
    stores = {**told.stores, "alerts.json": with_a_near_miss(told.stores["alerts.json"])}
    async with DemoProcesses(folder) as processes:
        await processes.start_gateway()
        for name, contract in told.contracts.items():
            await processes.control({"do": "contract", "name": name, **contract})
        await processes.start_tracker(stores)
        await processes.wait_until_subscribed()
        where = load({}, str(folder / "settings.toml")).status
        app = Watch(DaemonConnection(where.host, where.port, where.token_file), UTC, now)
        async with app.run_test(size=(80, 24)) as pilot:
            fills = 0
            for step in told.steps[: 1 + [step.cue for step in told.steps].index(LAST_STEP)]:
                for act in step.acts:
                    await processes.control(act)
                fills += step.fills
                await processes.until(partial(_shows, app.model, fills), f"the screen shows {fills} fills")
            await processes.until(lambda: app.model.waiting, "the screen shows what needs a person")
            await pilot.pause(1.5)
            if page is not None:
                await asyncio.to_thread(look, f"http://127.0.0.1:{where.port}/", page)
            return without_web_fonts(app.export_screenshot(title="tracker watch"))


def look(url: str, page: Path) -> None:
    """Save what a browser shows of the page once it has everything."""
    with browser() as found:
        found.resize(*PAGE_SIZE)
        found.open(url)
        deadline = time.monotonic() + 20
        while not (found.count("#plot circle") and "near miss" in found.text("#inbox")):
            if time.monotonic() > deadline:
                raise TimeoutError("the page does not show the morning")
            time.sleep(0.1)  # The browser reports nothing by itself, so it is asked again.
        found.save(page)


def _shows(model: ScreenModel, fills: int) -> bool:
    return model.fills_total >= fills and not model.stale


def without_web_fonts(picture: str) -> str:
    """Return a picture in the reader's own fonts: the export names some that a browser would fetch."""
    picture = re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.S)
    return picture.replace("Fira Code, monospace", FONTS)


def main() -> None:
    """Write the pictures where they belong, or into the folder named."""
    named = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    screen, page = (named / path.name if named else path for path in (SCREEN, PAGE))
    can_look = bool(CHROMIUM and DRIVER)
    with tempfile.TemporaryDirectory(prefix="tracker-picture-") as folder:
        screen.write_text(asyncio.run(draw(Path(folder), page if can_look else None)), "utf-8")
    print(f"{screen} is drawn")
    print(
        f"{page} is drawn"
        if can_look
        else "the page needs a browser: apt-get install chromium chromium-driver"
    )


if __name__ == "__main__":
    main()
