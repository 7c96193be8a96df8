"""Run the real daemon in its own process against a paper gateway in this one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.support.cpu_waits import CpuWaits
from tests.support.free_ports import free_port
from tests.support.project import PROJECT
from tracker.clock import now
from tracker.paper.contracts import PaperContract, option, stock
from tracker.paper.server import PaperGateway

BOUND_SECONDS = 60.0
"""The most that any wait takes before a test fails."""

STOP_SECONDS = 5.0
"""The most that a stop may take, whatever is under way."""

CALL = option("NVDA", "20301220", "C", "122.5", con_id=700100200)
PUT = option("NVDA", "20301220", "P", "122.5", con_id=700100201)
SHARES = stock("NVDA", con_id=4815747)


def record(**changes: Any) -> dict[str, Any]:
    """Return a record as the alert writer makes it, created just now."""
    base: dict[str, Any] = {
        "open": False,
        "created_at": now().replace(tzinfo=None).isoformat(),
        "option_conids": [700100200],
        "option_conid": 700100200,
        "sentiment": "bullish",
        "conid": 4815747,
        "alert_details": {
            "ticker": "NVDA",
            "strike": "122.5",
            "side": "C",
            "expiry": "12/20/2030",
            "is_bullish": True,
        },
    }
    return base | changes


def details(**changes: Any) -> dict[str, Any]:
    """Return alert_details with changes."""
    return dict(record()["alert_details"]) | changes


def records_of(contracts: Iterable[PaperContract]) -> dict[str, Any]:
    """Return a record for each of these calls of strike 100, by symbol."""
    return {
        contract.symbol: record(
            option_conid=contract.con_id,
            option_conids=[contract.con_id],
            alert_details=details(ticker=contract.symbol, strike="100"),
        )
        for contract in contracts
    }


class Rig:
    """Hold a folder of stores, a paper gateway and the daemon beside it."""

    def __init__(self, folder: Path, **gateway: Any) -> None:
        self.folder = folder
        self.alerts_path = folder / "alerts.json"
        self.gateway = PaperGateway(**{"now": now, **gateway})
        self.process: asyncio.subprocess.Process | None = None
        self.status_port = free_port()
        self.options: list[str] = []
        self.prefix: list[str] = []
        """The command that starts the daemon, as strace does, in the same process."""

    async def __aenter__(self) -> Rig:
        await self.gateway.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        await self.gateway.stop()

    def write(self, alerts: Mapping[str, Mapping[str, Any]]) -> str:
        """Write alerts.json as the alert writer does; returns the text."""
        text = json.dumps(alerts, indent=2)
        self.alerts_path.write_text(text)
        return text

    def read(self, alerter: str = "robindahood-alerts", ticker: str = "NVDA") -> dict[str, Any]:
        """Return one record as the file shows it now."""
        found: dict[str, Any] = json.loads(self.alerts_path.read_text())[alerter][ticker]
        return found

    def flags(self) -> list[str]:
        """Return the settings of this rig, as flags of any command."""
        arguments = {
            "gateway.port": str(self.gateway.port),
            "stores.alerts": str(self.alerts_path),
            "stores.contracts": str(self.folder / "alerter_contracts.json"),
            "stores.stocks": str(self.folder / "alerter_stocks.json"),
            "stores.journal": str(self.folder / "journal.db"),
            "stores.timezone": "UTC",
            "status.port": str(self.status_port),
            "status.token_file": str(self.folder / "status.token"),
            "gateway.sweep_seconds": "1",
        }
        return [word for key, value in arguments.items() for word in (f"--{key}", value)]

    async def start(
        self,
        *options: str,
        env: Mapping[str, str] | None = None,
        ready: bool = True,
        module: str = "tracker",
        stderr: int | None = None,
    ) -> None:
        """Start the daemon; with `ready` wait until it receives fills; it logs to daemon.log or `stderr`."""
        with (self.folder / "daemon.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.prefix,
                sys.executable,
                "-m",
                module,
                "run",
                *self.flags(),
                *self.options,
                *options,
                stderr=log if stderr is None else stderr,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(PROJECT), **(env or {})},
            )
        if ready:
            await self.until(self.subscribed)

    async def subscribed(self) -> bool:
        """Return whether the daemon says that it receives fills."""
        try:
            return bool((await self.status()).get("subscribed"))
        except (ConnectionError, json.JSONDecodeError):
            # Not listening yet, or just ending.
            return False

    async def status(self) -> dict[str, Any]:
        """Ask the status socket how the tracker is."""
        return await self.ask("status")

    async def status_of(self, *keys: str) -> Any:
        """Return one field of `status`, None where it is not there."""
        value: Any = await self.status()
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    async def ask(self, command: str) -> dict[str, Any]:
        """Ask the status socket."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.status_port)
        try:
            writer.write(f"{command}\n".encode())
            answer: dict[str, Any] = json.loads(await reader.readline())
            return answer
        finally:
            writer.close()

    async def get(self, path: str) -> str:
        """Return the body of a page of the status port."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.status_port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            return (await reader.read()).decode().partition("\r\n\r\n")[2]
        finally:
            writer.close()

    async def until(self, condition: Callable[[], Any], seconds: float = BOUND_SECONDS) -> None:
        """Wait for a condition, plain or awaitable, within a bound."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            value = condition()
            if isinstance(value, Awaitable):
                value = await value
            if value:
                return
            if self.process is not None and self.process.returncode is not None:
                raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{self.log()}")
            if loop.time() > deadline:
                raise AssertionError(f"not within {seconds} s; the daemon said:\n{self.log()}")
            await asyncio.sleep(0.01)

    async def idle(self) -> None:
        """Wait until a sweep that began after now has ended, and all that it brought is delivered."""
        await self.idle_sweep()
        await self.until(self._delivered)

    async def idle_sweep(self) -> None:
        """Wait until a sweep has begun and ended from now on."""
        await self._sweeps(2)

    async def one_more_sweep(self) -> None:
        """Wait until another sweep has ended; it may have begun already."""
        await self._sweeps(1)

    async def _sweeps(self, count: int) -> None:
        ends = {(await self.status())["last_polled_at"]}

        async def ended() -> bool:
            ends.add((await self.status())["last_polled_at"])
            return len(ends - {None}) > count

        await self.until(ended)

    async def _delivered(self) -> bool:
        return not (await self.status())["store"]["undelivered"]

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the daemon and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), BOUND_SECONDS)

    async def seconds_to_stop(self) -> float:
        """Ask the daemon to end; returns how long that takes, but for its waits for a processor."""
        assert self.process is not None
        loop = asyncio.get_running_loop()
        waits, waited = CpuWaits(self.process.pid), 0.0
        begun = loop.time()
        stopping = asyncio.create_task(self.stop(signal.SIGTERM))
        while not (await asyncio.wait({stopping}, timeout=0.05))[0]:
            # Never less than before: the last looks may find a process without threads.
            waited = max(waited, waits.seconds())
        assert await stopping == 0
        return loop.time() - begun - waited

    async def ended(self) -> int:
        """Wait for the daemon to end by itself; returns its exit code."""
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), BOUND_SECONDS)

    async def logged(self, words: str) -> None:
        """Wait until the daemon logged these words; a thread of its own writes the log, a little later."""
        await self.until(lambda: words in self.log())

    def log(self) -> str:
        """Return what the daemon logged."""
        return (self.folder / "daemon.log").read_text()
