"""The processes of a measurement: the gateway, the tracker and the baselines.

Owns starting, asking and ending them, and reading their memory. Every wait is bounded.
"""

from __future__ import annotations

import json
import os
import queue
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Final

from benchmark.streams import Plan
from tests.support.abusive_clients import KINDS

PROJECT: Final = Path(__file__).parents[2]
BOUND_SECONDS: Final = 300.0
_END: Final = "null"
_PORTS: Final = range(22_000, 32_768)
"""Ports that no system assigns by itself to another process before the tracker listens there."""


class Process:
    """Run one of this package's modules and exchange lines of JSON with it."""

    package: ClassVar[str] = "benchmark."
    """What goes before the module's name."""

    def __init__(self, module: str, *arguments: str, log: Path) -> None:
        self.log = log
        with log.open("ab") as told:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"{self.package}{module}", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=told,
                text=True,
                env={**os.environ, "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'scripts'}"},
            )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(_END)

    def tell(self, command: Mapping[str, Any]) -> None:
        """Send one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def hear(self, name: str) -> dict[str, Any]:
        """Return the next answer that has `name`; others are dropped. Raises RuntimeError at the end."""
        while True:
            try:
                answer = json.loads(self._lines.get(timeout=BOUND_SECONDS))
            except queue.Empty:
                raise RuntimeError(f"no {name!r} within {BOUND_SECONDS:g} s; see {self.log}") from None
            if answer is None:
                said = self.log.read_text()[-2000:]
                raise RuntimeError(f"it ended before it said {name!r}; its log ends with:\n{said}")
            if name in answer:
                found: dict[str, Any] = answer
                return found

    def has_said(self, name: str) -> bool:
        """Return whether an answer with `name` is there, without waiting; others before it are dropped."""
        while True:
            try:
                answer = json.loads(self._lines.get_nowait())
            except queue.Empty:
                return False
            if answer is None:
                raise RuntimeError(f"it ended before it said {name!r}; see {self.log}")
            if name in answer:
                return True

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def memory(self) -> float:
        """Return the resident memory in MiB."""
        return resident(self._process.pid)

    def end(self) -> None:
        """Ask the process to end; kill it if it does not."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def resident(process: int) -> float:
    """Return a process's resident memory in MiB."""
    told = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(process)], capture_output=True, text=True, check=True
    )
    return int(told.stdout) / 1024


class Gateway(Process):
    """Run the sending gateway."""

    def __init__(self, log: Path) -> None:
        super().__init__("gateway", log=log)
        self.port = int(self.hear("port")["port"])

    def prepare(self, name: str, plan: Plan) -> dict[str, list[Any]]:
        """Have a stream encoded; returns what each alert shows in the end."""
        self.tell({"prepare": name, "plan": asdict(plan)})
        shown: dict[str, list[Any]] = self.hear("prepared")["shown"]
        return shown

    def send(self, name: str) -> float:
        """Have a stream sent; returns when that began."""
        self.tell({"send": name})
        return float(self.hear("sent")["began"])


class AbusiveClients(Process):
    """Run the clients that abuse a status socket, as the tests have them: 50 of each kind, until it ends."""

    package = "tests.support."

    def __init__(self, port: int, log: Path) -> None:
        super().__init__("abusive_clients", str(port), *KINDS, log=log)
        self.hear("begun")


class Pages(Process):
    """Keep so many pages of a browser open at a status socket, until it ends."""

    package = "tests.support."

    def __init__(self, port: int, count: int, log: Path) -> None:
        super().__init__("page_clients", str(port), str(count), log=log)
        self.hear("begun")


class Tracker(Process):
    """Run the tracker with clocks around it, over the stores of one folder."""

    def __init__(self, folder: Path, port: int, *flags: str, sweep_seconds: float = 3600) -> None:
        self.status_port = free_port()
        self.token_file = folder / "status.token"
        settings = {
            **stores(folder),
            "gateway.port": port,
            "gateway.sweep_seconds": sweep_seconds,
            "status.port": self.status_port,
            "status.token_file": self.token_file,
        }
        super().__init__("tracked", "run", *words(settings), *flags, log=folder / "tracker.log")

    def expect(self, shown: Mapping[str, Sequence[Any]]) -> None:
        """Have it report when these alerts are in the file."""
        self.tell({"expect": shown})
        self.hear("expecting")

    def appends(self) -> list[float]:
        """Return how long journalling each packet took since the last call, in seconds."""
        self.tell({"appends": True})
        found: list[float] = self.hear("appends")["appends"]
        return found


def stores(folder: Path) -> dict[str, object]:
    """Return the settings that name the stores of one folder."""
    return {
        "stores.alerts": folder / "alerts.json",
        "stores.contracts": folder / "alerter_contracts.json",
        "stores.stocks": folder / "alerter_stocks.json",
        "stores.journal": folder / "journal.db",
        "stores.timezone": "UTC",
    }


def words(settings: Mapping[str, object]) -> list[str]:
    """Return settings as flags of any command."""
    return [word for key, value in settings.items() for word in (f"--{key}", str(value))]


@contextmanager
def running(process: Process) -> Iterator[None]:
    """End the process when the block ends."""
    try:
        yield
    finally:
        process.end()


def free_port() -> int:
    """Return a port of the loopback that is free now."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as one, suppress(OSError):  # Raised where somebody listens there.
            one.bind(("127.0.0.1", port))
            return port
