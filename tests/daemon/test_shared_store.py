"""Trackers that share one set of alerts in PostgreSQL, as real processes beside paper gateways.

SHARED_WHOLE=1 has the server away for 60 s, and frozen for 30 s.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon_rig import CALL, Rig, record
from tests.support.postgres import PASSWORD, Database
from tests.support.project import PROJECT
from tests.support.shared_rig import SharedRig

ROBIN = "robindahood-alerts"
WHOLE = "SHARED_WHOLE" in os.environ
AWAY_SECONDS = 60 if WHOLE else 0
FROZEN_SECONDS = 30 if WHOLE else 7
"""Longer than a call to the server may take."""
FILL_SECONDS = 0.05
SLOWEST_SECONDS = 2.5
"""What an answer may take on a busy machine: half of what a call to a frozen server takes."""


@pytest.fixture
def shared(database: Database) -> Iterator[SharedRig]:
    with SharedRig(database) as rig:
        yield rig


def tracker(shared: SharedRig, folder: Path, seat: str, account: str, **gateway: Any) -> Rig:
    """Return a paper gateway and its tracker, on one seat of the store."""
    folder.mkdir(exist_ok=True)
    rig = Rig(folder, accounts=[account], **gateway)
    rig.options = [
        *("--shared.url", shared.database.url_of("tracker_seat"), "--shared.seat", seat),
        *("--shared.poll_seconds", "0.1"),
    ]
    return rig


async def command(rig: Rig, *words: str) -> str:
    """Return what a command of the tracker answers."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tracker", *words, *rig.flags(), *rig.options),
        stdout=asyncio.subprocess.PIPE,
        cwd=rig.folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    return (await process.communicate())[0].decode()


def quantity(shared: SharedRig) -> float | None:
    """Return what readers see of the alert's position."""
    found: float | None = shared.records()[ROBIN]["NVDA"].get("position", {}).get("quantity")
    return found


def test_two_trackers_show_the_sum(shared: SharedRig, tmp_path: Path) -> None:
    """Two accounts filled on one alert: readers see both together, and each tracker its own part."""

    async def play() -> None:
        shared.put({ROBIN: {"NVDA": record(note="kept")}})
        async with (
            tracker(shared, tmp_path / "left", "left", "DU1000001") as left,
            tracker(shared, tmp_path / "right", "right", "DU1000002") as right,
        ):
            await asyncio.gather(left.start(), right.start())
            left.gateway.fill(left.gateway.order(CALL, "BUY", 4, limit="2.5"))
            right.gateway.fill(right.gateway.order(CALL, "BUY", 2, limit="3.1"))
            await left.until(lambda: quantity(shared) == 6)
            shown = shared.records()[ROBIN]["NVDA"]
            assert (shown["open"], shown["note"]) == (True, "kept")
            assert shown["position"]["avg_price"] == 2.7
            parts = [(seat, position and position["quantity"]) for _, seat, _, _, position in shared.parts()]
            assert parts == [("left", 4), ("right", 2)]
            store = await left.status_of("store")
            assert (store["kind"], store["seat"], store["epoch"], store["away"]) == ("shared", "left", 1, {})
            assert (store["undelivered"], store["late_writes_merged"]) == (0, 0)
            answer = await right.ask("alerts")
            (alert,) = answer["alerts"]
            assert alert["position"]["quantity"] == 2
            everywhere = {"open": True, "seats": ["left", "right"], "quantity": 6, "avg_price": 2.7}
            assert alert["all_seats"] == everywhere
            assert PASSWORD not in left.log() + str(await left.status())
            assert await left.stop() == 0
            # With the daemon stopped its command reads the store by itself, under the same seat.
            told = await command(left, "why", f"{ROBIN}/NVDA")
            assert "open, as decided" in told
            assert "6 at 2.7, open at left, right" in told
            await command(
                left,
                "test",
                *["--symbol", "NVDA", "--strike", "122.5", "--right", "C", "--expiry", "20301220"],
                "--commit",
            )
            (copy,) = left.folder.glob("alerts.json.test-*")
            assert json.loads(copy.read_text())[ROBIN]["NVDA"]["note"] == "kept"

    asyncio.run(play())


def test_server_that_was_away_gets_all(shared: SharedRig, tmp_path: Path) -> None:
    """Fills while the server is away are kept, also those of a tracker that starts meanwhile."""

    async def play() -> None:
        server = shared.database.server
        shared.put({ROBIN: {"NVDA": record()}})
        async with (
            tracker(shared, tmp_path / "left", "left", "DU1000001") as left,
            tracker(shared, tmp_path / "right", "right", "DU1000002") as right,
        ):
            await left.start()
            left.gateway.fill(left.gateway.order(CALL, "BUY", 1, limit="2.5"))
            await left.until(lambda: quantity(shared) == 1)
            server.kill()
            left.gateway.fill(left.gateway.order(CALL, "BUY", 2, limit="2.5"))
            await right.start()
            right.gateway.fill(right.gateway.order(CALL, "BUY", 4, limit="2.5"))

            async def known(rig: Rig) -> bool:
                return "cannot be reached" in str(await rig.status_of("store", "away"))

            await left.until(lambda: known(left))
            await right.until(lambda: known(right))
            # How long the server is away; nothing is waited for.
            await asyncio.sleep(AWAY_SECONDS)
            server.start()
            await left.until(lambda: quantity(shared) == 7, seconds=10)
            await left.until(lambda: known_again(left, right))
            assert await left.stop() == 0
            assert PASSWORD not in left.log() + right.log()

    async def known_again(*rigs: Rig) -> bool:
        return [await rig.status_of("store", "away") for rig in rigs] == [{}, {}]

    asyncio.run(play())


def test_status_answers_while_the_server_is_frozen(shared: SharedRig, tmp_path: Path) -> None:
    """Under 20 fills a second: the server keeps its sockets open and says nothing; then all is delivered.

    The list of alerts is answered too, without what other trackers show.
    """

    async def play() -> None:
        server = shared.database.server
        shared.put({ROBIN: {"NVDA": record()}})
        loop = asyncio.get_running_loop()
        async with tracker(shared, tmp_path / "left", "left", "DU1000001") as left:
            await left.start()
            left.gateway.fill(left.gateway.order(CALL, "BUY", 1, limit="2.5"))
            await left.until(lambda: quantity(shared) == 1)
            count, slowest, troubles = 1, 0.0, set()
            with server.frozen():
                ends = loop.time() + FROZEN_SECONDS
                while loop.time() < ends:
                    left.gateway.fill(left.gateway.order(CALL, "BUY", 1, limit="2.5"))
                    count += 1
                    asked = loop.time()
                    troubles.add(str(await left.status_of("store", "away", "written")))
                    slowest = max(slowest, loop.time() - asked)
                    await asyncio.sleep(max(0.0, FILL_SECONDS - (loop.time() - asked)))
                (alert,) = (await left.ask("alerts"))["alerts"]
            assert alert["holds"][0]["quantity"] > 1
            assert alert["all_seats"] is None
            assert slowest < SLOWEST_SECONDS
            assert any("did not answer within" in trouble for trouble in troubles)
            await left.until(lambda: quantity(shared) == count, seconds=10)
            assert await left.stop() == 0
            assert shared.records()[ROBIN]["NVDA"]["position"]["quantity"] == count

    asyncio.run(play())


def kept_epoch(one: Rig) -> str | None:
    with sqlite3.connect(one.folder / "journal.db") as journal:
        row = journal.execute("SELECT value FROM meta WHERE name = 'epoch of seat left'").fetchone()
    return None if row is None else str(row[0])


def test_seat_and_account_have_one_tracker(shared: SharedRig, tmp_path: Path) -> None:
    """Another journal on the seat ends with 5; a copy of the journal takes it, and the first one ends with 5.

    An account that another seat counts is refused at the login. Each journal keeps the epoch of its seat, by
    which an older copy of it would know that it was replaced.
    """

    async def play() -> None:
        shared.put({ROBIN: {"NVDA": record()}})
        async with (
            tracker(shared, tmp_path / "first", "left", "DU1000001") as first,
            tracker(shared, tmp_path / "other", "left", "DU1000002") as other,
            tracker(shared, tmp_path / "copy", "left", "DU1000001") as copy,
            tracker(shared, tmp_path / "right", "right", "DU1000001") as right,
        ):
            await first.start()
            first.gateway.fill(first.gateway.order(CALL, "BUY", 1, limit="2.5"))
            await first.until(lambda: quantity(shared) == 1)
            await other.start(ready=False)
            assert await other.ended() == 5
            assert "the seat left of PostgreSQL" in other.log()
            assert "tracker store free left" in other.log()
            await right.start(ready=False)
            await right.until(lambda: "account" in right.log() and "would count twice" in right.log())
            with (
                sqlite3.connect(first.folder / "journal.db") as journal,
                sqlite3.connect(copy.folder / "journal.db") as made,
            ):
                journal.backup(made)
            await copy.start(ready=False)
            assert await first.ended() == 5
            assert "has taken the seat left with a copy of this journal" in first.log()
            await copy.until(lambda: kept_epoch(copy) == "2")
            assert kept_epoch(first) == "1"
            assert [
                (seat, position and position["quantity"]) for _, seat, _, _, position in shared.parts()
            ] == [("left", 1)]

    asyncio.run(play())
