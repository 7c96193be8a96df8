"""A stop ends within 5 s whatever is under way."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import closing
from pathlib import Path

import pytest

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.daemon_rig import CALL, STOP_SECONDS, Rig, record

FILLS = 20_000


async def flood(rig: Rig) -> None:
    """Push 20,000 fills in one go, and wait until the daemon has begun with them."""
    with rig.gateway.one_packet():
        for _ in range(FILLS):
            rig.gateway.execute(CALL, "BUY", 1, price="2")
    await rig.until(lambda: rig.read().get("position"))


def test_stop_is_quick_in_flood(tmp_path: Path) -> None:
    """Most of 20,000 fills are not decided yet; the next start goes on with them."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        await flood(rig)
        assert await rig.seconds_to_stop() < STOP_SECONDS
        assert 0 < rig.read()["position"]["quantity"] < FILLS, "the stop came too late to test anything"

    play(tmp_path, story)


def test_stop_is_quick_when_others_hang(tmp_path: Path) -> None:
    """A flood, a service for messages that never answers, and a standard error that nobody reads."""

    async def story(rig: Rig) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as silent:
            unread, written = os.pipe()
            (tmp_path / "settings.toml").write_text(
                f'[notify]\nurls = ["json://127.0.0.1:{silent.getsockname()[1]}/"]\n'
            )
            rig.write({ROBIN: {"NVDA": record()}})
            await rig.start(stderr=written)
            os.close(written)
            rig.gateway.push_raw(11, "unreadable")
            await flood(rig)
            assert await rig.seconds_to_stop() < STOP_SECONDS
            os.close(unread)

    play(tmp_path, story)


@pytest.mark.usefixtures("hangs_up")
def test_end_of_its_terminal_stops_it(tmp_path: Path) -> None:
    """As SIGTERM does: with what it says at the end, and the exit code of a stop."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        assert await rig.stop(signal.SIGHUP) == 0
        assert "stopped" in rig.log()

    play(tmp_path, story)


def test_nohup_keeps_it_running(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        rig.prefix = ["nohup"]
        await rig.start()
        assert rig.process is not None
        rig.process.send_signal(signal.SIGHUP)
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2"))
        await rig.until(lambda: rig.read()["open"])
        assert await rig.stop() == 0

    play(tmp_path, story)
