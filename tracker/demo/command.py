"""`tracker demo`: play a trading morning or a scenario to the real tracker, and check the result.

Owns the run from an empty folder to the exit code. The player owns what is played and what is checked on the
way.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol

from tracker.clock import now
from tracker.demo.morning_run import MorningRun
from tracker.demo.morning_script import Morning, morning
from tracker.demo.processes import DemoFailed, DemoProcesses
from tracker.demo.report import JsonReport, RunOutcome, TextReport
from tracker.demo.scenario_run import ScenarioChoice, ScenarioRun
from tracker.paper.scenario import ScenarioError
from tracker.paper.service import load_scenario


class Player(Protocol):
    """Play a sequence of events to the demo's processes."""

    async def run(self) -> None:
        """Play it to its end. Raises DemoFailed."""

    def judge(self) -> None:
        """Compare the stores, also after a failure, and put the differences into the outcome."""


def run(
    *,
    as_json: bool = False,
    keep: Path | None = None,
    scenario: str = "",
    seed: int = 1,
    tell: Callable[[datetime], Morning] = morning,
) -> int:
    """Play the demo; returns 0 if every alert ended as it should, 1 if not, 2 for options that cannot be
    used.

    `keep` names an empty or new folder in which all files stay; without it a temporary folder is used, which
    stays only after a failure. `scenario` is a file or the name of an included one, and `seed` is the seed of
    its gateway; without a scenario the morning is played.
    """
    try:
        read = load_scenario(scenario) if scenario else None
    except ScenarioError as error:
        print(f"tracker demo: {error}", file=sys.stderr)
        return 2
    try:
        folder = _folder(keep)
    except OSError as error:
        print(f"tracker demo: --keep {keep}: {error.strerror or error}", file=sys.stderr)
        return 2
    outcome = RunOutcome(folder, kept=keep is not None)
    report = JsonReport() if as_json else TextReport()

    def play_on(processes: DemoProcesses) -> Player:
        if read is None:
            return MorningRun(processes, tell(now()), outcome, report)
        return ScenarioRun(processes, ScenarioChoice(read, scenario, seed), outcome, report)

    try:
        return asyncio.run(_play(outcome, play_on, report))
    finally:
        if not outcome.kept:
            shutil.rmtree(folder)


async def _play(outcome: RunOutcome, play_on: Callable[[DemoProcesses], Player], report: TextReport) -> int:
    """Play until the end or a signal; returns the exit code. Ctrl-C raises KeyboardInterrupt."""
    ended_by: list[signal.Signals] = []
    loop = asyncio.get_running_loop()
    async with DemoProcesses(outcome.folder) as processes:
        play = asyncio.create_task(_through(play_on(processes), processes, outcome, report))

        def end(number: signal.Signals) -> None:
            ended_by.append(number)
            play.cancel()

        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, end, number)
        try:
            await play
        except asyncio.CancelledError:
            if not ended_by:
                raise
            return 128 + ended_by[0]
    for problem in outcome.failures():
        print(f"tracker demo: {problem}", file=sys.stderr)
    return 0 if outcome.ok else 1


async def _through(player: Player, processes: DemoProcesses, outcome: RunOutcome, report: TextReport) -> None:
    """Play, stop the tracker, and compare; the outcome holds the result."""
    try:
        await player.run()
        code = await processes.stop_tracker()
        if code:
            outcome.problems.append(f"the tracker ended with exit code {code} when it was stopped")
    except DemoFailed as error:
        outcome.problems.append(str(error))
        outcome.interrupted = True
    player.judge()
    outcome.kept |= not outcome.ok
    report.summary(outcome)


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="tracker-demo-")).resolve()
    keep.mkdir(parents=True, exist_ok=True)
    if any(keep.iterdir()):
        raise OSError(
            "the folder is not empty; name an empty or new one, since the demo writes stores into it"
        )
    return keep.resolve()
