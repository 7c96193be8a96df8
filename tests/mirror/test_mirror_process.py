"""`tracker mirror` as a process: beside trackers with gateways of their own, and beside what goes wrong."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon_rig import CALL, Rig, record
from tests.support.postgres import PASSWORD, Database
from tests.support.project import PROJECT
from tests.support.shared_rig import SharedRig
from tests.support.store_cases import dump, some_records

ROBIN = "robindahood-alerts"
SECONDS = 60.0
SUM_SECONDS = 3.0
"""From the last fill to the sum in the file."""


class MirrorProcess:
    """A folder with an alerts.json, and `tracker mirror` on it."""

    def __init__(self, folder: Path, database: Database, *flags: str) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / "alerts.json"
        self._folder = folder
        self._flags = [
            *flags,
            *("--shared.url", database.url_of("tracker_producer"), "--shared.seat", folder.name),
            *("--shared.poll_seconds", "0.5", "--stores.alerts", str(self.path), "--stores.timezone", "UTC"),
        ]
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with (self._folder / "mirror.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tracker", "mirror", *self._flags,
                stderr=log, cwd=self._folder, env={**os.environ, "PYTHONPATH": str(PROJECT)},
            )  # fmt: skip

    def log(self) -> str:
        return (self._folder / "mirror.log").read_text()

    def records(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.read_text())
        return found

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                assert self.process is not None
                assert self.process.returncode is None, self.log()
                await asyncio.sleep(0.02)

    async def ended(self) -> int:
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), SECONDS)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return await self.ended()


@asynccontextmanager
async def mirrored(folder: Path, database: Database, *flags: str) -> AsyncIterator[MirrorProcess]:
    """Start a mirror, and kill what is left of it."""
    made = MirrorProcess(folder, database, *flags)
    try:
        yield made
    finally:
        if made.process is not None and made.process.returncode is None:
            made.process.kill()
            await made.process.wait()


def tracker(folder: Path, database: Database, account: str) -> Rig:
    """Return a paper gateway and its tracker, on a seat of the store."""
    folder.mkdir()
    rig = Rig(folder, accounts=[account])
    rig.options = ["--shared.url", database.url_of("tracker_seat"), "--shared.seat", folder.name]
    return rig


def test_sum_of_two_logins_reaches_the_file(database: Database, tmp_path: Path) -> None:
    """An alert is put by a file and filled in two accounts: view and file show 6 within 3 s.

    4 at 2.50 and 2 at 3.10 are 6 at 2.70. What only the alert writer knows stays, in its place.
    """
    alert = {"zebra": [1, {"b": 2.50, "a": None}], **record(), "apple": "caf\u00e9"}

    async def play() -> None:
        async with (
            mirrored(tmp_path / "box", database) as box,
            mirrored(tmp_path / "reader", database, "--copy") as reader,
            tracker(tmp_path / "left", database, "DU1000001") as left,
            tracker(tmp_path / "right", database, "DU1000002") as right,
        ):
            # In sequence, since each start takes seconds of a processor.
            box.path.write_text(dump({ROBIN: {"NVDA": alert}}))
            await box.start()
            await left.start()
            await right.start()
            await reader.start()
            await box.until(lambda: bool(database.rows("SELECT 1 FROM tracker.alerts")))
            await reader.until(reader.path.exists)
            await asyncio.gather(knows(left), knows(right))
            left.gateway.fill(left.gateway.order(CALL, "BUY", 4, limit="2.5"))
            right.gateway.fill(right.gateway.order(CALL, "BUY", 2, limit="3.1"))
            async with asyncio.timeout(SUM_SECONDS):
                await box.until(lambda: shown(box.records()) == (6, 2.7))
            ((view,),) = database.rows("SELECT record FROM tracker.alerts")
            assert shown({ROBIN: {"NVDA": view}}) == (6, 2.7)
            await reader.until(lambda: shown(reader.records()) == (6, 2.7))
            for found in (box.records(), reader.records()):
                written = found[ROBIN]["NVDA"]
                assert list(written) == [*alert, "last_order_update", "position"]
                assert written["zebra"] == alert["zebra"]
                assert list(written["position"])[:3] == ["quantity", "avg_price", "opened_at"]
                assert list(written["last_order_update"])[:3] == ["order_id", "status", "filled_qty"]
            assert written["open"] is True
            assert PASSWORD not in box.log() + left.log() + reader.log()
            assert [await one.stop() for one in (box, reader, left, right)] == [0, 0, 0, 0]

    with SharedRig(database):
        asyncio.run(play())


async def knows(rig: Rig) -> None:
    """Wait until a tracker has read the alert."""

    async def read() -> bool:
        return bool((await rig.status())["setup"]["alerts_read"])

    await rig.until(read)


def shown(records: dict[str, Any]) -> tuple[float, float] | None:
    position = records[ROBIN]["NVDA"].get("position")
    return position and (position["quantity"], position["avg_price"])


def test_server_may_come_and_go(database: Database, tmp_path: Path) -> None:
    """What changed while it was away is put once it is back; a damaged file is waited out as well."""

    async def play() -> None:
        async with mirrored(tmp_path / "box", database) as box:
            box.path.write_text(dump(some_records()))
            await box.start()
            await box.until(lambda: len(database.rows("SELECT 1 FROM tracker.alerts")) == 3)
            database.server.kill()
            await box.until(lambda: "cannot be reached" in box.log())
            box.path.write_text(dump(some_records())[:40])
            await box.until(lambda: "cannot be read as JSON" in box.log())
            records = some_records()
            del records["demslayer"]
            box.path.write_text(dump(records))
            await box.until(lambda: "the file can be used again" in box.log())
            database.server.start()
            await box.until(lambda: len(database.rows("SELECT 1 FROM tracker.alerts")) == 2)
            await box.until(lambda: "the store can be used again" in box.log())
            assert await box.stop() == 0

    with SharedRig(database):
        asyncio.run(play())


def test_second_mirror_is_refused(database: Database, tmp_path: Path) -> None:
    """One file has one mirror; and a store without tables ends the start with the next step."""

    async def play() -> None:
        async with mirrored(tmp_path / "box", database) as box:
            await box.start()
            assert await box.ended() == 5
            assert "run `tracker store create`" in box.log()
            with SharedRig(database):
                await box.start()
                await box.until(lambda: "mirroring" in box.log().rpartition("create`")[2])
                second = MirrorProcess(tmp_path / "box", database)
                await second.start()
                assert await second.ended() == 5
                assert "is in use by tracker mirror, process" in box.log()

    asyncio.run(play())


@pytest.mark.usefixtures("hangs_up")
def test_end_of_its_terminal_stops_it(database: Database, tmp_path: Path) -> None:
    async def play() -> None:
        async with mirrored(tmp_path / "box", database) as box:
            await box.start()
            await box.until(lambda: "mirroring" in box.log())
            assert await box.stop(signal.SIGHUP) == 0
            assert "stopping, as requested" in box.log()

    with SharedRig(database):
        asyncio.run(play())
