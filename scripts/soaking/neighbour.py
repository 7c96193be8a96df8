"""The program beside the tracker: it writes alerts.json as a whole, and checks that its own work stays.

Runs as `python -m soaking.neighbour ALERTS SEED` with lines of JSON. It truncates and rewrites the file in
place, without lock or rename, from a copy that may be stale, as the real alert writer does; now and then it
renames a new file over it. It knows what it last wrote, into a field of its own and as records of its own,
and counts what of that the file no longer shows. It changes the tracker's fields only by a stale copy.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, Final, TypeAlias

from soaking.judging import Neighbour as Told
from tracker.clock import now

Alerts: TypeAlias = dict[str, dict[str, dict[str, Any]]]

_ROUND_SECONDS: Final = 0.2
"""The longest pause between two of its writes."""
_CARELESS: Final = 0.1
_RENAMING: Final = 0.1
_EXTRA: Final = 0.1
_PATIENCE_SECONDS: Final = 10.0
"""How long its work may be missing before it counts as lost: the tracker watches a replaced file 2 s."""
_CALM_SECONDS: Final = 3.0
"""How long all must be there at the end: what the tracker had to merge is merged by then."""
_OLD_SECONDS: Final = 5.0
_MOST_EXTRAS: Final = 20
_EXTRA_ALERTER: Final = "neighbours-own"


class Neighbour:
    """Write one file and remember what it should show."""

    def __init__(self, path: Path, seed: int) -> None:
        self._path = path
        self._chance = random.Random(seed)
        alerts = self._read()
        self._tickers = {ticker: alerter for alerter, records in alerts.items() for ticker in records}
        self._wanted: dict[str, int | None] = dict.fromkeys(self._tickers)
        """Ticker -> the number it wrote last; None: never, or (a record of its own) deleted."""
        self._missed: dict[str, float] = {}
        """Ticker -> since when the file shows something else."""
        self._renamed: dict[str, bool] = {}
        """Ticker -> whether it was last written by a rename."""
        self._past: deque[tuple[float, str]] = deque()
        self._writes = 0
        self._unreadable = 0
        self._came_back = 0
        self._renames = 0
        self._lost: list[str] = []
        """What it wrote into the file itself and the file no longer shows."""
        self._lost_by_rename: list[str] = []
        self.busy = asyncio.Lock()
        """Held while it reads, changes and writes: it does one thing at a time."""

    async def rounds(self) -> None:
        """Write for ever."""
        while True:
            await asyncio.sleep(self._chance.uniform(0, _ROUND_SECONDS))
            async with self.busy:
                await self._round()

    async def _round(self) -> None:
        """Read, change and write the whole file; between reading and writing others may write too."""
        alerts = self._look()
        if alerts is None or self._missed:
            # Missing work is missing in this copy too, so writing it would lose that work.
            return
        careless = self._chance.random() < _CARELESS
        await asyncio.sleep(self._chance.uniform(0.1, 0.4) if careless else self._chance.uniform(0, 0.02))
        self._writes += 1
        renames = self._chance.random() < _RENAMING
        self._renamed[self._change(alerts)] = renames
        text = json.dumps(alerts, indent=2)
        if renames:
            self._renames += 1
            self._rename_over(text)
        else:
            await self._write_in_place(text)
        self._remember(text)

    def _change(self, alerts: Alerts) -> str:
        """Change any record, or make or delete one of its own; returns its ticker."""
        ticker = self._chance.choice(sorted(self._tickers))
        extras = [
            each for each, number in self._wanted.items() if each not in self._tickers and number is not None
        ]
        if self._chance.random() < _EXTRA:
            fresh = len(extras) < _MOST_EXTRAS and self._chance.random() < 0.5
            ticker = f"OWN{self._writes}" if fresh or not extras else self._chance.choice(extras)
        self._wanted[ticker] = None if ticker in extras else self._writes
        self._show(alerts, ticker)
        return ticker

    def _show(self, alerts: Alerts, ticker: str) -> None:
        """Put its own values of one record into a copy of the file."""
        number = self._wanted[ticker]
        if ticker in self._tickers:
            if number is not None:
                alerts[self._tickers[ticker]][ticker]["mine"] = number
        elif number is None:
            alerts.get(_EXTRA_ALERTER, {}).pop(ticker, None)
        else:
            made = {"open": False, "created_at": now().replace(tzinfo=None).isoformat(), "mine": number}
            alerts.setdefault(_EXTRA_ALERTER, {})[ticker] = {**made, "alert_details": {"ticker": ticker}}

    def _look(self) -> Alerts | None:
        """Read the file, and note which of its own work is missing or there again."""
        try:
            alerts = self._read()
        except ValueError:
            self._unreadable += 1
            return None
        moment = time.monotonic()
        for ticker, number in self._wanted.items():
            alerter = self._tickers.get(ticker, _EXTRA_ALERTER)
            shown = alerts.get(alerter, {}).get(ticker, {}).get("mine")
            if shown == number:
                self._came_back += self._missed.pop(ticker, None) is not None
            elif moment - self._missed.setdefault(ticker, moment) > _PATIENCE_SECONDS:
                lost = self._lost_by_rename if self._renamed.get(ticker) else self._lost
                lost.append(f"{ticker}: wrote {number}, shown {shown}")
                self._wanted[ticker] = shown
                del self._missed[ticker]
        return alerts

    def _read(self) -> Alerts:
        alerts: Alerts = json.loads(self._path.read_text())
        return alerts

    async def _write_in_place(self, text: str) -> None:
        with self._path.open("w") as file:
            half = self._chance.randrange(len(text))
            file.write(text[:half])
            file.flush()
            if self._chance.random() < 0.2:
                await asyncio.sleep(self._chance.uniform(0, 0.01))
            file.write(text[half:])

    def _rename_over(self, text: str) -> None:
        new = self._path.with_name("alerts.json.neighbour")
        new.write_text(text)
        os.replace(new, self._path)

    def _remember(self, text: str) -> None:
        moment = time.monotonic()
        self._past.append((moment, text))
        while len(self._past) > 1 and self._past[1][0] < moment - _OLD_SECONDS:
            self._past.popleft()

    # What it does to other programs at times.

    async def fault(self, name: str, seconds: float) -> None:
        """Do one of them; returns when it is over."""
        async with self.busy:
            if name == "stale":
                await self._go_back()
            elif name == "half":
                await self._leave_half(seconds)
            else:
                await self._put_folder(seconds)

    async def _go_back(self) -> None:
        """Write a copy from some seconds ago over the file, with only its own work brought up to date."""
        alerts: Alerts = json.loads(self._past[0][1])
        for ticker in self._wanted:
            self._show(alerts, ticker)
        await self._write_in_place(json.dumps(alerts, indent=2))

    async def _leave_half(self, seconds: float) -> None:
        """Leave the file half written for a while."""
        text = self._path.read_text()
        self._path.write_text(text[: len(text) // 2])
        await asyncio.sleep(seconds)
        self._path.write_text(text)

    async def _put_folder(self, seconds: float) -> None:
        """Put a folder in the place of the file: neither readable nor replaceable, even by root."""
        aside = self._path.with_name("alerts.json.aside")
        while True:
            os.replace(self._path, aside)
            try:
                self._path.mkdir()
                break
            except FileExistsError:
                # The tracker's rename came in between; what it wrote is taken aside in turn.
                continue
        await asyncio.sleep(seconds)
        self._path.rmdir()
        os.replace(aside, self._path)

    def told(self) -> Told:
        """Return which of its work stayed."""
        return {
            "writes": self._writes,
            "renames": self._renames,
            "lost": self._lost,
            "lost_by_rename": self._lost_by_rename,
            "came_back": self._came_back,
            "unreadable": self._unreadable,
        }

    async def settle(self) -> None:
        """Read until all of its work stays, or what is missing counts as lost."""
        calm = time.monotonic()
        while time.monotonic() - calm < _CALM_SECONDS:
            if self._look() is None or self._missed:
                calm = time.monotonic()
            await asyncio.sleep(0.1)


def say(**answer: Any) -> None:
    """Print one answer."""
    print(json.dumps(answer), flush=True)


async def main(path: Path, seed: int) -> None:
    """Serve until it is asked to settle."""
    neighbour = Neighbour(path, seed)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    rounds = asyncio.create_task(neighbour.rounds())
    say(ready=True)
    while line := await lines.readline():
        command = json.loads(line)
        if rounds.done():
            rounds.result()
        if "fault" in command:
            await neighbour.fault(command["fault"], command["seconds"])
            say(over=command["fault"])
        else:
            async with neighbour.busy:
                rounds.cancel()
            await neighbour.settle()
            say(settled=neighbour.told())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
