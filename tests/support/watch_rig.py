"""The screen of `tracker watch` without a terminal: what it shows as text, and waiting for it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC
from html import unescape
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from tests.support.daemon_rig import BOUND_SECONDS
from tracker.clock import now
from tracker.watch.app import Watch
from tracker.watch.connection_to_daemon import DaemonConnection

_CELL = re.compile(r'<text [^>]*?x="([\d.]+)"[^>]*?clip-path="url\(#[^)]*-line-(\d+)\)">(.*?)</text>')
_CELL_WIDTH = 12.2
"""Of one column in the pictures that Textual exports."""


def lines_of(picture: str) -> list[str]:
    """Return the lines of text in an exported picture, without blanks at their ends."""
    lines: dict[int, list[str]] = {}
    for x, number, text in _CELL.findall(picture):
        line = lines.setdefault(int(number), [])
        column = round(float(x) / _CELL_WIDTH)
        line.extend(" " * (column - len(line)))
        line[column:] = unescape(text).replace("\xa0", " ")
    return ["".join(lines.get(number, ())).rstrip() for number in range(max(lines, default=-1) + 1)]


class Screen:
    """Hold a running screen: press keys, and wait for what it shows."""

    def __init__(self, app: Watch, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    def lines(self) -> list[str]:
        """Return what the terminal would show."""
        return lines_of(self.app.export_screenshot())

    def text(self) -> str:
        """Return the same as one text."""
        return "\n".join(self.lines())

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        await self.pilot.press(*keys)

    async def until(self, condition: Callable[[], Any], seconds: float = BOUND_SECONDS) -> None:
        """Wait for a condition, within a bound."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not condition():
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"not within {seconds} s; the screen showed:\n{self.text()}")
            await asyncio.sleep(0.02)

    async def shows(self, *texts: str, seconds: float = BOUND_SECONDS) -> None:
        """Wait until the screen shows all of these texts at once."""
        await self.until(lambda: all(text in self.text() for text in texts), seconds)


@asynccontextmanager
async def watching(port: int, token_file: Path, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Screen]:
    """Run the screen on a terminal of this size, against whatever listens on a port of the loopback."""
    app = Watch(DaemonConnection("127.0.0.1", port, token_file), UTC, now)
    async with app.run_test(size=size) as pilot:
        yield Screen(app, pilot)
