"""A good set-up that doctor passes, for tests to plant one fault each."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.daemon_rig import BOUND_SECONDS, record
from tests.support.free_ports import free_port
from tests.support.project import PROJECT
from tracker.clock import now
from tracker.doctor.command import diagnose
from tracker.doctor.finding import Space
from tracker.doctor.probes import Probes
from tracker.journal.journal import Journal
from tracker.paper.server import PaperGateway

LOCAL_DISK = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
PLENTY = Space(1, 1 << 40, None)


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the real command in a process of its own, in this folder."""
    return subprocess.run(
        [sys.executable, "-m", "tracker", "doctor", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        check=False,
    )


class Setup:
    """Hold a folder of stores with its settings, and what doctor looks at them with.

    File systems and free space are a good machine's, whatever the tests run on; all else is real.
    """

    def __init__(self, folder: Path, gateway_port: int) -> None:
        self.folder = folder
        self.alerts = folder / "alerts" / "alerts.json"
        self.journal = folder / "journal.db"
        self.probes = Probes(mountinfo=lambda: LOCAL_DISK, space=lambda path: PLENTY)
        self.flags: dict[str, str] = {}
        self.status_port = free_port()
        self.alerts.parent.mkdir()
        self.write({"robindahood-alerts": {"NVDA": record()}})
        self.settings = folder / "settings.toml"
        self.settings.write_text(
            f"[gateway]\nport = {gateway_port}\ntimezone = 'US/Eastern'\naccounts = ['DU1234567']\n"
            f"connect_timeout = {BOUND_SECONDS}\n"
            "[stores]\nalerts = 'alerts/alerts.json'\njournal = 'journal.db'\ntimezone = 'UTC'\n"
            "contracts = 'alerter_contracts.json'\nstocks = 'alerter_stocks.json'\n"
            f"[status]\nport = {self.status_port}\ntoken_file = 'status.token'\n"
        )

    def write(self, alerts: dict[str, Any]) -> None:
        """Write alerts.json as the alert writer does."""
        self.alerts.write_text(json.dumps(alerts, indent=2))

    def write_created(self, **ago: float) -> None:
        """Write one record that says it was created so long ago, in UTC without a zone."""
        at = (now() - timedelta(**ago)).replace(tzinfo=None)
        self.write({"robindahood-alerts": {"NVDA": record(created_at=at.isoformat())}})

    def bind_journal(self, kind: str) -> None:
        """Make a journal that knows this kind of login, and close it."""
        journal = Journal(self.journal)
        journal.set_meta("mode", kind)
        self.journal.chmod(0o600)
        journal.close()

    def with_probes(self, **changes: Any) -> None:
        """Plant other means of looking."""
        self.probes = replace(self.probes, **changes)

    def look(self, *, offline: bool = True) -> Diagnosis:
        """Have doctor look, here; the gateway must be in another thread or process."""
        return Diagnosis(diagnose(self.flags, str(self.settings), self.probes, offline=offline))

    async def examine(self) -> Diagnosis:
        """Have doctor look at everything, while the gateway is served here."""
        return await asyncio.to_thread(self.look, offline=False)

    def files(self) -> dict[str, tuple[int, int, bytes]]:
        """Return all that is in the folder: (inode, time of change, content) by name."""
        found = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {
            str(path.relative_to(self.folder)): (
                path.stat().st_ino,
                path.stat().st_mtime_ns,
                path.read_bytes(),
            )
            for path in found
        }


class Diagnosis:
    """Hold one answer, to be asked by check."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.well: bool = answer["well"]
        self.checks = [finding["check"] for finding in answer["findings"]]

    def __getitem__(self, check: str) -> dict[str, str]:
        (found,) = [finding for finding in self.answer["findings"] if finding["check"] == check]
        return dict(found)

    def of(self, *levels: str) -> list[str]:
        """Return the checks that ended so; not the resets, since a test may run during one."""
        return [
            each["check"]
            for each in self.answer["findings"]
            if each["level"] in levels and each["check"] != "planned_resets"
        ]

    def faults(self) -> list[str]:
        return self.of("fault")

    def check_only(self, check: str, words: str, step: str) -> None:
        """Check that this is the one fault, that it says what was found, and what to do."""
        assert self.faults() == [check], self.answer["findings"]
        assert words in self[check]["found"], self[check]
        assert step in self[check]["next_step"], self[check]
        assert not self.well


@asynccontextmanager
async def good_setup(folder: Path, **gateway: Any) -> AsyncIterator[tuple[Setup, PaperGateway]]:
    """Make a set-up with its paper gateway."""
    async with PaperGateway(now=gateway.pop("now", now), **({"read_only": True} | gateway)) as paper:
        yield Setup(folder, paper.port), paper


def play(folder: Path, story: Callable[[Setup, PaperGateway], Awaitable[None]], **gateway: Any) -> None:
    """Run a story with a good set-up."""

    async def main() -> None:
        async with good_setup(folder, **gateway) as (setup, paper):
            await story(setup, paper)

    asyncio.run(main())
