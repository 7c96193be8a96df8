"""Trackers on one store while they and the server are killed and frozen: each part is what was decided.

Real daemons, each beside a paper gateway: three seats, one of which changes hands by a copy of its journal.
SHARED_SEEDS=50 plays as many lives; a failure names its seed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import pytest

from tests.support.daemon_rig import Rig, records_of
from tests.support.postgres import Server
from tests.support.shared_rig import SharedRig
from tracker.clock import now
from tracker.paper.contracts import PaperContract, option

ROBIN: Final = "robindahood-alerts"
CONTRACTS: Final = [
    option(symbol, "20301220", "C", "100", con_id=700_100_000 + number)
    for number, symbol in enumerate(("AMD", "NVDA", "META", "TSLA"))
]
SEATS: Final = {"one": "DU1000001", "two": "DU1000002", "three": "DU1000003"}
CHANGES_HANDS: Final = "three"
FAULTS: Final = 7
FILL_SECONDS: Final = 0.05
BOUND_SECONDS: Final = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


class Fill(NamedTuple):
    """One purchase, as each gateway of its account reports it."""

    contract: PaperContract
    quantity: int
    number: int

    def report(self, rig: Rig) -> None:
        rig.gateway.execute(
            self.contract, "BUY", self.quantity, "2.5",
            exec_id=f"0000e0d5.{self.number:08x}.01.01", perm_id=self.number, time=now(),
        )  # fmt: skip


class Seat:
    """Hold the boxes of one seat: the last one started is its holder, those before it are to be fenced."""

    def __init__(self, name: str, folder: Path, shared: SharedRig, stack: AsyncExitStack) -> None:
        self.name = name
        self._folder = folder
        self._shared = shared
        self._stack = stack
        self._epoch = 0
        self.fills: list[Fill] = []
        self.boxes: list[Rig] = []

    @property
    def holder(self) -> Rig:
        return self.boxes[-1]

    async def start(self) -> None:
        """Start the holder's tracker on a journal of its own, or on the one that is there."""
        self._epoch = self._taken()
        await self.holder.start(ready=False)

    async def add_box(self) -> None:
        """Add a box whose gateway knows what the account did, and a copy of the holder's journal."""
        folder = self._folder / f"{self.name}-{len(self.boxes)}"
        folder.mkdir()
        rig = Rig(folder, accounts=[SEATS[self.name]])
        rig.options = [
            *("--shared.url", self._shared.database.url_of("tracker_seat"), "--shared.seat", self.name),
            *("--shared.poll_seconds", "0.2", "--gateway.sweep_seconds", "20"),
        ]
        await self._stack.enter_async_context(rig)
        if self.boxes:
            with (
                sqlite3.connect(self.holder.folder / "journal.db") as source,
                sqlite3.connect(folder / "journal.db") as made,
            ):
                source.backup(made)
        for fill in self.fills:
            fill.report(rig)
        self.boxes.append(rig)

    def fill(self, fill: Fill) -> None:
        self.fills.append(fill)
        for box in self.boxes:
            fill.report(box)

    async def kill(self) -> None:
        await self.holder.stop(signal.SIGKILL)
        await self.start()

    async def take_over(self) -> None:
        """Have another box go on; the one before may still run, or be frozen.

        Not before that one has sat down: two that start at once take the seat in any order.
        """
        if self._taken() > self._epoch:
            await self.add_box()
            await self.start()

    def _taken(self) -> int:
        """Return the seat's epoch, 0 for none; the last known one while the server is away."""
        rows = self._shared.database.rows("SELECT epoch FROM tracker.seat WHERE seat = %s", self.name)
        return int(rows[0][0]) if rows else 0

    def signal(self, number: signal.Signals) -> None:
        for box in self.boxes:
            if box.process is not None and box.process.returncode is None:
                box.process.send_signal(number)

    def expected(self) -> dict[str, int]:
        """Return what was bought, by symbol."""
        bought: Counter[str] = Counter()
        for fill in self.fills:
            bought[fill.contract.symbol] += fill.quantity
        return dict(bought)

    async def decided(self) -> dict[str, int]:
        """Return what the holder's journal says is held for each alert that has something."""
        answer = await self.holder.ask("alerts")
        return {
            row["alert"].partition("/")[2]: held["quantity"]
            for row in answer["alerts"]
            for held in row["holds"]
        }

    def part(self) -> dict[str, int]:
        """Return what the store has of this seat."""
        return {
            ticker: position["quantity"]
            for ticker, seat, _, _, position in self._shared.parts()
            if seat == self.name and position is not None
        }


async def hurt(random: Random, server: Server, seats: dict[str, Seat]) -> None:
    """Do one thing that happens to machines; each pause is how long that lasts, and waits for nothing."""
    seat = seats[random.choice(list(SEATS))]
    match random.randrange(5):
        case 0:
            await seat.kill()
        case 1:
            process = seat.holder.process
            assert process is not None
            process.send_signal(signal.SIGSTOP)
            if random.random() < 0.5:
                await asyncio.sleep(random.random())
                process.send_signal(signal.SIGCONT)
        case 2:
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(random.random() * 0.5)
            await asyncio.to_thread(server.start)
        case 3:
            server.freeze()
            await asyncio.sleep(random.random())
            server.thaw()
        case 4:
            await seats[CHANGES_HANDS].take_over()
    await asyncio.sleep(random.random() * 0.6)


async def live(random: Random, server: Server, shared: SharedRig, folder: Path) -> None:
    """Live one life to its end."""
    numbers = iter(range(1, 1_000_000))
    async with AsyncExitStack() as stack:
        seats = {name: Seat(name, folder, shared, stack) for name in SEATS}

        async def fill_on() -> None:
            while True:
                seat = seats[random.choice(list(SEATS))]
                seat.fill(Fill(random.choice(CONTRACTS), random.randint(1, 5), next(numbers)))
                await asyncio.sleep(FILL_SECONDS)

        for seat in seats.values():
            await seat.add_box()
        await asyncio.gather(*(seat.start() for seat in seats.values()))
        filling = asyncio.create_task(fill_on())
        await asyncio.gather(*(seat.holder.until(seat.part) for seat in seats.values()))
        for _ in range(FAULTS):
            await hurt(random, server, seats)
        for seat in seats.values():
            seat.signal(signal.SIGCONT)
        # Whoever has lost its seat finds out by the next fill.
        for seat in seats.values():
            for box in seat.boxes[:-1]:
                assert await box.ended() == 5, box.log()
        filling.cancel()
        for seat in seats.values():
            await check(seat)
        view = {ticker: record["position"]["quantity"] for ticker, record in shared.records()[ROBIN].items()}
        assert view == dict(sum((Counter(seat.part()) for seat in seats.values()), Counter()))
        assert sum(view.values()) > 100, "hardly anything was bought"
        for seat in seats.values():
            assert await seat.holder.stop() == 0


async def check(seat: Seat) -> None:
    """Wait until a seat's part, its journal and its account agree; they stay so, since nothing else comes."""
    expected = seat.expected()

    async def agree() -> bool:
        try:
            return seat.part() == await seat.decided() == expected
        except (ConnectionError, ValueError):
            return False  # It starts.

    try:
        await seat.holder.until(agree, BOUND_SECONDS)
    except AssertionError as error:
        found = f"{seat.name}: part {seat.part()}, expected {expected}"
        raise AssertionError(f"{found}, decided {await seat.decided()}\n{error}") from error


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("seed", range(int(os.environ.get("SHARED_SEEDS", "5"))))
def test_parts_equal_what_was_decided(server: Server, tmp_path: Path, seed: int) -> None:
    if not server.runs:
        server.start()
    with server.database() as database, SharedRig(database) as shared:
        shared.put({ROBIN: records_of(CONTRACTS)})
        asyncio.run(live(Random(seed), server, shared, tmp_path))
