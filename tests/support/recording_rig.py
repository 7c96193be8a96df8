"""Run `tracker record` as a process of its own before a paper gateway in this one."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.project import PROJECT

SECONDS = 60.0


class RecorderProcess:
    """Hold the process, where it listens, and what it wrote."""

    host = "127.0.0.1"

    def __init__(self, process: asyncio.subprocess.Process, port: int, path: Path) -> None:
        self.process = process
        self.port = port
        self.path = path
        self.said = ""

    async def end(self, number: int = signal.SIGINT) -> int:
        """Press Ctrl-C; returns the exit code."""
        self.process.send_signal(number)
        output, errors = await asyncio.wait_for(self.process.communicate(), SECONDS)
        self.said += output.decode() + errors.decode()
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def recorder(folder: Path, gateway_port: int, *options: str) -> AsyncIterator[RecorderProcess]:
    """Run `tracker record` on a free port, writing `folder`/recording.jsonl."""
    path = folder / "recording.jsonl"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tracker", "record", "--listen", "0", "--to", str(path)),
        *("--gateway.port", str(gateway_port), "--gateway.timezone", "US/Eastern", *options),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), SECONDS)).decode()
        found = re.search(r"clients on 127\.0\.0\.1:(\d+)", line)
        assert found is not None, (line, await process.communicate())
        running = RecorderProcess(process, int(found[1]), path)
        running.said = line
        yield running
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
