"""The demo's folder and processes: `tracker paper`, and the real tracker watching it.

Owns their start, the waiting for what they do, and their end: whatever happens, no process outlives the demo.
It does not know what is played and prints nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import socket
import sys
import sysconfig
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

import tracker
from tracker.core.model import JsonValue
from tracker.demo.report import LOG
from tracker.status.client import NotReachable, ask

STEP_SECONDS: Final = 10.0
"""The longest time in seconds that the tracker may take for a step; it takes milliseconds."""
START_SECONDS: Final = 30.0
"""The longest time in seconds for a process to become ready on a busy machine."""
END_SECONDS: Final = 10.0
MAX_ANSWER_BYTES: Final = 1 << 24
LOOK_SECONDS: Final = 0.001
"""Seconds between two readings of the alert file."""
_PORTS: Final = range(22_000, 32_768)
"""Ports that no system assigns by itself, since the tracker starts more than once on the same one."""

_SETTINGS: Final = """\
# Written by `tracker demo`.
[gateway]
port = {gateway_port}
timezone = "{zone}"
# Short, so that the demo need not wait for the next time; the defaults suit real use.
sweep_seconds = 0.5
connect_timeout = 1
request_timeout = 1
probe_seconds = 1

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


class DemoFailed(Exception):
    """The demo cannot go on; the message says what did not happen."""


class DemoAlertFile:
    """Look at alerts.json as any other program does."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self.text = ""
        self.records: Mapping[str, Mapping[str, dict[str, JsonValue]]] = {}

    def read(self) -> None:
        """Read the file if it changed; the tracker replaces it whole, so it is never half written."""
        found = self._path.stat()
        seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        if seen != self._seen:
            self.text = self._path.read_text("utf-8")
            self.records = json.loads(self.text)
            self._seen = seen


class DemoProcesses:
    """Hold the two processes; use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        """Use an empty folder."""
        self.folder = folder
        self.log = folder / LOG
        self.file = DemoAlertFile(folder / "alerts.json")
        self.gateway_port = 0
        self.gateway_lines: list[str] = []
        """What the gateway has printed so far, line by line."""
        self._status_port = _free_port()
        self._stack = AsyncExitStack()
        self._gateway: Process | None = None
        self._tracker: Process | None = None
        self._control: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> DemoProcesses:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def start_gateway(self, *options: str) -> None:
        """Start `tracker paper` with these options and reach its control socket. Raises DemoFailed."""
        self._gateway = await self._start(
            self.folder / "gateway.log",
            *("tracker", "paper", "--port", "0", "--control-port", "0", *options),
            stdout=PIPE,
        )
        listening = asyncio.create_task(self._read_lines(self._gateway))
        self._stack.callback(listening.cancel)
        await self.until(lambda: self._port("control socket"), "the paper gateway listens", START_SECONDS)
        self.gateway_port = self._port("paper gateway")
        self._control = await asyncio.open_connection(
            "127.0.0.1", self._port("control socket"), limit=MAX_ANSWER_BYTES
        )
        self._stack.callback(self._control[1].close)

    async def start_tracker(self, stores: Mapping[str, str], zone: str = "") -> None:
        """Write the stores, by file name, and start the tracker; `zone` is gateway.timezone."""
        for name, text in stores.items():
            (self.folder / name).write_text(text, "utf-8")
        settings = self.folder / "settings.toml"
        settings.write_text(
            _SETTINGS.format(gateway_port=self.gateway_port, status_port=self._status_port, zone=zone),
            "utf-8",
        )
        self._tracker = await self._start(self.log, "tracker", "run", "--settings", str(settings))

    async def wait_until_subscribed(self) -> None:
        """Wait until the tracker receives fills. Raises DemoFailed."""
        await self.until(
            lambda: self.status().get("subscribed"), "the tracker watches the gateway", START_SECONDS
        )

    async def control(self, command: Mapping[str, JsonValue]) -> dict[str, Any]:
        """Give the gateway's control socket a command; returns its answer. Raises DemoFailed."""
        assert self._control is not None, "the gateway was opened"
        reader, writer = self._control
        line = b""
        try:
            # Not wait_for, which before Python 3.12 may swallow a Ctrl-C that comes along with the answer.
            async with asyncio.timeout(STEP_SECONDS):
                writer.write(json.dumps(command).encode() + b"\n")
                line = await reader.readline()
        except (TimeoutError, ConnectionError):
            pass  # Reported below, like a closed socket: neither is an answer.
        if not line:
            raise DemoFailed(f"the paper gateway did not do {command}; see {self.folder / 'gateway.log'}")
        answer: dict[str, Any] = json.loads(line)
        if not answer["ok"]:
            raise DemoFailed(f"the paper gateway refused {command}: {answer['error']['message']}")
        return answer

    def status(self) -> dict[str, Any]:
        """Ask the tracker how it is; empty while it does not answer."""
        try:
            return ask("127.0.0.1", self._status_port, {"command": "status"}, STEP_SECONDS)
        except NotReachable:
            return {}

    async def until(
        self, condition: Callable[[], object], what: str, seconds: float = STEP_SECONDS, look: float = 0.01
    ) -> int:
        """Wait until a condition holds; returns the time at which it did, in monotonic nanoseconds.

        Raises DemoFailed if the tracker ends or the time runs out; `what` names the condition.
        """
        if not await self.wait_for(condition, seconds, look):
            raise DemoFailed(f"not within {seconds:g} s: {what}")
        return time.monotonic_ns()

    async def wait_for(self, condition: Callable[[], object], seconds: float, look: float = 0.01) -> bool:
        """Wait until a condition holds; False if the time runs out. Raises DemoFailed if a process ends."""
        deadline = time.monotonic() + seconds
        while not condition():
            for name, process, log in self._processes():
                if process is not None and process.returncode is not None:
                    raise DemoFailed(f"{name} ended with exit code {process.returncode}: {_last_line(log)}")
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(look)
        return True

    def next_sweep(self) -> Callable[[], bool]:
        """Return a condition that holds once a sweep has ended after now."""
        before = self.status().get("last_polled_at")
        return lambda: self.status().get("last_polled_at") not in (None, before)

    async def stop_tracker(self) -> int:
        """Stop the tracker as a service manager does; returns its exit code. Raises DemoFailed."""
        assert self._tracker is not None, "the processes is open"
        with suppress(ProcessLookupError):
            self._tracker.terminate()
        try:
            async with asyncio.timeout(END_SECONDS):
                return await self._tracker.wait()
        except TimeoutError:
            raise DemoFailed(f"not within {END_SECONDS:g} s: the end of the tracker after SIGTERM") from None

    async def _read_lines(self, gateway: Process) -> None:
        assert gateway.stdout is not None, "it was started with a pipe"
        while line := await gateway.stdout.readline():
            self.gateway_lines.append(line.decode().rstrip())

    def _port(self, what: str) -> int:
        """Return the port that the gateway named, 0 until it has."""
        found = (re.match(rf"{what} on 127\.0\.0\.1:(\d+)", line) for line in self.gateway_lines)
        return next((int(match[1]) for match in found if match), 0)

    def _processes(self) -> Iterator[tuple[str, Process | None, Path]]:
        yield "the tracker", self._tracker, self.log
        yield "the paper gateway", self._gateway, self.folder / "gateway.log"

    async def _start(self, log: Path, *module: str, stdout: int | None = None) -> Process:
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *module,
                stdin=DEVNULL,
                stdout=file if stdout is None else stdout,
                stderr=file,
                cwd=self.folder,
                env=_environment(),
                # Ctrl-C must reach only the demo, which then ends its processes in order.
                start_new_session=True,
            )
        self._stack.push_async_callback(_end, process)
        return process


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


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").splitlines() or ["it said nothing"]
    return next((line for line in reversed(lines) if " ERROR " in line), lines[-1])


def _environment() -> dict[str, str]:
    """Return the environment for a process of the demo: this tracker's code, and none of its settings."""
    found = {key: value for key, value in os.environ.items() if not key.upper().startswith("TRACKER_")}
    home = Path(tracker.__path__[0]).parent
    if home != Path(sysconfig.get_path("purelib")):
        paths: Sequence[str] = (str(home), found.get("PYTHONPATH", ""))
        found["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return found


def _free_port() -> int:
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as one, suppress(OSError):  # Raised where somebody listens there.
            one.bind(("127.0.0.1", port))
            return port
