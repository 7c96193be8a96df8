"""What the running daemon answers, over the line protocol and over HTTP on the same port."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.daemon_rig import CALL, Rig, record
from tracker.clock import now


async def _get(rig: Rig, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.status_port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


def test_status_commands_answer_to_curl(tmp_path: Path) -> None:
    """The original's fields are there; readiness follows the link."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2"))
        await rig.until(lambda: rig.read()["open"])
        await rig.idle()
        code, body = await _get(rig, "/status")
        status: dict[str, Any] = json.loads(body)
        assert code == 200
        assert (status["running"], status["subscribed"]) == (True, True)
        assert status["stats"]["orders_processed"] == 1
        assert status["stats"]["alerts_updated"] >= 1
        assert status["last_polled_at"] is not None
        assert status["journal"]["bytes"] > (rig.folder / "journal.db").stat().st_size
        assert (await _get(rig, "/health"))[0] == 200
        assert (await _get(rig, "/ready"))[0] == 200
        assert "tracker_fills_total 1" in (await _get(rig, "/metrics"))[1].splitlines()
        rig.gateway.notice(1100)
        await rig.until(lambda: _unready(rig), seconds=2)

    play(tmp_path, story)


def test_late_neighbour_write_is_counted(tmp_path: Path) -> None:
    """It had the file open from before it was replaced, and its own record is kept."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        with rig.alerts_path.open("r+") as neighbour:
            rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2"))
            await rig.until(lambda: rig.read()["open"])
            neighbour.write(json.dumps({ROBIN: {"NVDA": record(), "AMD": record()}}))
            neighbour.truncate()
        await rig.until(lambda: "AMD" in json.loads(rig.alerts_path.read_text())[ROBIN])
        await rig.until(lambda: _merged(rig))
        figures = (await _get(rig, "/metrics"))[1].splitlines()
        assert "tracker_late_writes_merged_total 1" in figures
        assert "tracker_late_writes_lost_total 0" in figures

    play(tmp_path, story)


async def _counted(rig: Rig, fills: int) -> bool:
    return bool((await rig.status())["stats"]["orders_processed"] == fills)


async def _merged(rig: Rig) -> bool:
    store = (await rig.status())["store"]
    return (store["late_writes_merged"], store["late_writes_lost"]) == (1, 0)


async def _unready(rig: Rig) -> bool:
    code, body = await _get(rig, "/ready")
    return code == 503 and "upstream" in body


def test_fills_today_begin_at_account_midnight(tmp_path: Path) -> None:
    """Midnight was one to two hours ago there, whatever the UTC date is."""

    async def story(rig: Rig) -> None:
        ahead = (1 - now().hour) % 24
        rig.options = [
            "--gateway.timezone",
            f"Etc/GMT{-ahead:+d}" if ahead <= 14 else f"Etc/GMT+{24 - ahead}",
        ]
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        for hours in (0, 3):
            at = now() - timedelta(hours=hours)
            rig.gateway.execute(CALL, "BUY", 1, "2", time=at, fee=False)
        await rig.until(lambda: _counted(rig, 2))
        status = await rig.status()
        assert (status["fills_today"], status["fees_pending"]) == (1, 1)

    play(tmp_path, story)


def test_subscriber_receives_fill_and_alert(tmp_path: Path) -> None:
    """One JSON line each, numbered."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.status_port)
        writer.write(b'{"command": "subscribe", "after": 0}\n')
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2"))
        heard: list[dict[str, Any]] = []
        while not any(event.get("event") == "opened" for event in heard):
            heard.append(json.loads(await asyncio.wait_for(reader.readline(), 5)))
        writer.close()
        events = [event for event in heard if "seq" in event]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert {"link", "fill", "opened"} <= {event["event"] for event in events}

    play(tmp_path, story)
