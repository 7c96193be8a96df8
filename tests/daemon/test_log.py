"""The daemon's log holds up no fill, and says at the start where it cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.daemon_rig import Rig, records_of
from tracker.console import BAD_USAGE
from tracker.paper.contracts import option

FILLS = 400
CONTRACT = option("NVDA", "20301220", "C", "100", con_id=700200000)


def test_unread_log_stops_no_fill(tmp_path: Path) -> None:
    """As a terminal on Ctrl-S does; the lines of these fills are several times what a pipe holds."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: records_of([CONTRACT])})
        reading, writing = os.pipe()
        await rig.start("--log.file", str(tmp_path / "tracker.log"), stderr=writing)
        os.close(writing)
        for _ in range(FILLS):
            rig.gateway.fill(rig.gateway.order(CONTRACT, "BUY", 1, limit="2"))
        await rig.until(lambda: rig.read().get("position", {}).get("quantity") == FILLS)
        assert (await rig.status())["log"] == {"lost": 0, "trouble": []}
        assert await rig.stop() == 0
        os.set_blocking(reading, False)
        taken = len(os.read(reading, 1 << 20))
        os.close(reading)
        logged = (tmp_path / "tracker.log").read_text()
        assert taken < len(logged), "the pipe was full before the end"
        assert "stopping, as requested" in logged

    play(tmp_path, story)


@pytest.mark.parametrize("name", ["nowhere/tracker.log", "pipe"])
def test_unwritable_log_is_refused(tmp_path: Path, name: str) -> None:
    """Log that cannot be written is refused."""
    path = tmp_path / name
    if name == "pipe":
        os.mkfifo(path)

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: records_of([CONTRACT])})
        await rig.start("--log.file", str(path), ready=False)
        assert await rig.ended() == BAD_USAGE
        (line,) = rig.log().splitlines()
        assert line.startswith("flag --log.file: ")
        assert str(path.parent) in line
        assert "name another file" in line or "create it or correct the path" in line

    play(tmp_path, story)
