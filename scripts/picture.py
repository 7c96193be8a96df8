#!/usr/bin/env python3
"""Draw tracker/watch/watch.svg: the real screen beside the real tracker and a paper gateway.

`scripts/picture [FILE]` plays the demo's morning, with its made-up account, up to the first sale: alerts are
open then. One more alert nearly agrees with a fill, which therefore waits in the inbox. Nothing is drawn by
hand, and whoever looks at it fetches nothing.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tracker.clock import now
from tracker.config.loader import load
from tracker.demo.morning_script import SPX, TSLA, morning
from tracker.demo.processes import DemoProcesses
from tracker.watch.app import Watch
from tracker.watch.connection_to_daemon import DaemonConnection
from tracker.watch.screen_model import ScreenModel

PLACE: Final = Path(__file__).resolve().parents[1] / "tracker/watch/watch.svg"
LAST_STEP: Final = "partial-exit"
FONTS: Final = "Menlo, 'DejaVu Sans Mono', Consolas, 'Courier New', monospace"


def with_a_near_miss(alerts: str) -> str:
    """Return the morning's alerts.json with one more alert: it wants another expiry than what is bought."""
    records = json.loads(alerts)
    like = records[SPX.alerter]["SPX"]
    details = {**like["alert_details"], "ticker": "MSFT", "strike": "480", "expiry": "12/18/2030"}
    records.setdefault(TSLA.alerter, {})["MSFT"] = {**like, "alert_details": details}
    return json.dumps(records, indent=2)


async def draw(folder: Path) -> str:
    """Play the morning in an empty folder and return the picture of the screen; raises DemoFailed."""
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
            return without_web_fonts(app.export_screenshot(title="tracker watch"))


def _shows(model: ScreenModel, fills: int) -> bool:
    return model.fills_total >= fills and not model.stale


def without_web_fonts(picture: str) -> str:
    """Return a picture in the reader's own fonts: the export names some that a browser would fetch."""
    picture = re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.S)
    return picture.replace("Fira Code, monospace", FONTS)


def main() -> None:
    """Write the picture where it belongs, or to the file named."""
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else PLACE
    with tempfile.TemporaryDirectory(prefix="tracker-picture-") as folder:
        file.write_text(asyncio.run(draw(Path(folder))), "utf-8")
    print(f"{file} is drawn")


if __name__ == "__main__":
    main()
