"""The demo's folder and processes: a paper gateway, and the real tracker watching it.

Owns their start, the waiting for what they do, and their end: whatever happens, no process outlives the
stage. It knows no story and prints nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import sysconfig
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

import tracker
from tracker.core.model import JsonValue
from tracker.demo.report import LOG
from tracker.status.client import NotReachable, ask

STEP_SECONDS: Final = 10.0
"""The most that the tracker may take for a step; it takes milliseconds."""
START_SECONDS: Final = 30.0
"""The most that a process may take to be ready, on a machine that is busy otherwise."""
END_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.001
"""Between two looks at the alert file."""

_SETTINGS: Final = """\
# Written by `tracker demo`.
[gateway]
port = {gateway_port}
# Short, so that the demo need not wait for the next time; the default suits real use.
sweep_seconds = 0.5

[stores]
alerts = "alerts.json"
contracts = "alerter_contracts.json"
stocks = "alerter_stocks.json"
journal = "journal.db"
timezone = "UTC"

[status]
port = {status_port}
token_file = "status.token"
"""


class Trouble(Exception):
    """The demo cannot go on; the message says what did not happen."""


class AlertFile:
    """Look at alerts.json as any other program does."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self.text = ""
        self.records: Mapping[str, Mapping[str, dict[str, JsonValue]]] = {}

    def look(self) -> None:
        """Read the file if it changed; the tracker replaces it whole, so it is never half written."""
        found = self._path.stat()
        seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        if seen != self._seen:
            self.text = self._path.read_text("utf-8")
            self.records = json.loads(self.text)
            self._seen = seen


class Stage:
    """Hold the two processes; use it as a context manager."""

    def __init__(self, folder: Path, stores: Mapping[str, str]) -> None:
        """Take an empty folder and what to write into it, by file name."""
        self.folder = folder
        self.log = folder / LOG
        self.file = AlertFile(folder / "alerts.json")
        self.gateway_port = 0
        self._stores = stores
        self._status_port = _free_port()
        self._stack = AsyncExitStack()
        self._gateway: Process | None = None
        self._tracker: Process | None = None

    async def __aenter__(self) -> Stage:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def open(self, moment: str) -> None:
        """Write the stores, start both processes and wait until the tracker receives fills.

        `moment` is when the morning begins, in ISO form. Raises Trouble.
        """
        for name, text in self._stores.items():
            (self.folder / name).write_text(text, "utf-8")
        self._gateway = await self._start(
            self.folder / "gateway.log", "tracker.demo.gateway", moment, stdin=PIPE, stdout=PIPE
        )
        self.gateway_port = int((await self._heard("listen", START_SECONDS))["port"])
        settings = self.folder / "settings.toml"
        settings.write_text(
            _SETTINGS.format(gateway_port=self.gateway_port, status_port=self._status_port), "utf-8"
        )
        self._tracker = await self._start(self.log, "tracker", "run", "--settings", str(settings))
        await self.until(
            lambda: self.status().get("subscribed"), "the tracker watches the gateway", START_SECONDS
        )

    async def cue(self, name: str) -> int:
        """Let the gateway do a step; returns when it wrote the first frame, in monotonic nanoseconds."""
        assert self._gateway is not None, "the stage is open"
        assert self._gateway.stdin is not None, "it was started with a pipe"
        self._gateway.stdin.write(f"{name}\n".encode())
        return int((await self._heard(f"play {name}", STEP_SECONDS))["written_ns"])

    def status(self) -> dict[str, Any]:
        """Ask the tracker how it is; empty while it does not answer."""
        try:
            return ask("127.0.0.1", self._status_port, {"command": "status"}, STEP_SECONDS)
        except NotReachable:
            return {}

    async def until(
        self, condition: Callable[[], object], what: str, seconds: float = STEP_SECONDS, look: float = 0.01
    ) -> int:
        """Wait until a condition holds; returns when it did, in monotonic nanoseconds.

        Raises Trouble if the tracker ends or the time is over; `what` says what was waited for.
        """
        deadline = time.monotonic() + seconds
        while True:
            if condition():
                return time.monotonic_ns()
            if self._tracker is not None and self._tracker.returncode is not None:
                raise Trouble(
                    f"the tracker ended with exit code {self._tracker.returncode}: {self._last_line()}"
                )
            if time.monotonic() > deadline:
                raise Trouble(f"not within {seconds:g} s: {what}")
            await asyncio.sleep(look)

    async def end_tracker(self) -> int:
        """Tell the tracker to end as a service manager does; returns its exit code. Raises Trouble."""
        assert self._tracker is not None, "the stage is open"
        with suppress(ProcessLookupError):
            self._tracker.terminate()
        try:
            async with asyncio.timeout(END_SECONDS):
                return await self._tracker.wait()
        except TimeoutError:
            raise Trouble(f"not within {END_SECONDS:g} s: the tracker ends when told to") from None

    async def _heard(self, what: str, seconds: float) -> dict[str, Any]:
        assert self._gateway is not None, "it was started"
        assert self._gateway.stdout is not None, "it was started with a pipe"
        try:
            # Not wait_for, which before Python 3.12 may swallow a Ctrl-C that comes along with the answer.
            async with asyncio.timeout(seconds):
                line = await self._gateway.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            raise Trouble(f"the paper gateway did not {what}; see {self.folder / 'gateway.log'}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def _start(
        self, log: Path, *module: str, stdin: int = DEVNULL, stdout: int | None = None
    ) -> Process:
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *module,
                stdin=stdin,
                stdout=file if stdout is None else stdout,
                stderr=file,
                cwd=self.folder,
                env=_environment(),
                # Ctrl-C is for the demo, which then ends its processes in their order.
                start_new_session=True,
            )
        self._stack.push_async_callback(_end, process)
        return process

    def _last_line(self) -> str:
        lines = self.log.read_text("utf-8", errors="replace").splitlines() or ["it said nothing"]
        return next((line for line in reversed(lines) if " ERROR " in line), lines[-1])


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _environment() -> dict[str, str]:
    """Return the environment for a process of the demo: this tracker's code, and none of its settings."""
    found = {key: value for key, value in os.environ.items() if not key.upper().startswith("TRACKER_")}
    home = Path(tracker.__path__[0]).parent
    if home != Path(sysconfig.get_path("purelib")):
        paths: Sequence[str] = (str(home), found.get("PYTHONPATH", ""))
        found["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return found


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
