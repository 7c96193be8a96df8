"""What the broker and other programs write never commands the terminal of who reads log and answers."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from pathlib import Path

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.daemon_rig import Rig, record
from tests.support.project import PROJECT
from tracker.paper.contracts import stock

CLEARED_LINE = "\r\x1b[K"
EVIL = "NV\x1b]0;owned\x07\x1b[2J\nDA"


async def on_terminal(rig: Rig, *command: str) -> str:
    """Run a command of the tracker with a terminal for its output; returns all that reached it."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tracker", *command, *rig.flags(),
        stdout=theirs, stderr=theirs, cwd=rig.folder, env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    os.close(theirs)
    text = await asyncio.to_thread(_drained, ours)
    await process.wait()
    # A slow answer shows its progress in one line that the next one clears: that is our own.
    return text.replace("\r\n", "\n").replace(CLEARED_LINE, "\n")


def _drained(terminal: int) -> str:
    read = bytearray()
    try:
        while chunk := os.read(terminal, 65_536):
            read += chunk
    except OSError:
        # The last one who could write has closed its end.
        pass
    finally:
        os.close(terminal)
    return read.decode()


def test_wire_text_never_commands_terminal(tmp_path: Path) -> None:
    """Escape sequences in a symbol, an order reference or an alert reach no terminal and no log."""

    async def story(rig: Rig) -> None:
        alert = record(option_conid=None, option_conids=[], conid=None)
        alert["alert_details"]["ticker"] = EVIL
        rig.write({ROBIN: {EVIL: alert}})
        await rig.start()
        order = rig.gateway.order(stock(EVIL, con_id=7), "BUY", 1, limit="2.5", order_ref=EVIL)
        fill = rig.gateway.fill(order)

        async def counted() -> bool:
            return bool((await rig.status())["fills_today"])

        await rig.until(counted)
        for command in (
            ("status",),
            ("fills", "--all"),
            ("inbox", "--all"),
            ("why", fill.exec_id),
            ("why", f"{ROBIN}/{EVIL}"),
            ("why", f"{ROBIN}/{EVIL}x"),
            ("export",),
            ("export", "--json"),
            ("reconcile",),
            (f"stat{EVIL}",),
            ("status", f"--gateway.{EVIL}", "1"),
        ):
            text = await on_terminal(rig, *command)
            assert text, command
            assert all(line.isprintable() for line in text.split("\n")), (command, text)
        log = rig.log()
        assert "NV?]0;owned??[2J?DA" in log
        assert all(line.isprintable() for line in log.split("\n"))

    play(tmp_path, story)
