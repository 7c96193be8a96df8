"""`tracker demo`: play a trading morning or a scenario to the real tracker, and check what it makes of it.

Owns the run from an empty folder to the exit code. What is played, and what is checked on the way, is the
player's.
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
from tracker.demo.morning_run import MorningPlay
from tracker.demo.morning_script import Morning, morning
from tracker.demo.processes import DemoProcesses, Trouble
from tracker.demo.report import ReportText, RunOutcome, Silence
from tracker.demo.scenario_run import Played, ScenarioPlay
from tracker.paper.scenario import ScenarioError
from tracker.paper.service import load_scenario


class Player(Protocol):
    """Play a story on a stage."""

    async def run(self) -> None:
        """Play it to its end. Raises Trouble."""

    def judge(self) -> None:
        """Compare, also after trouble, and put what is found into the outcome."""


def run(
    *,
    as_json: bool = False,
    keep: Path | None = None,
    scenario: str = "",
    seed: int = 1,
    tell: Callable[[datetime], Morning] = morning,
) -> int:
    """Play the demo; returns 0 if every alert ended as it should, 1 if not, 2 for what cannot be used.

    `keep` names an empty or new folder in which everything stays; else a temporary one is used, which stays
    only after a failure. `scenario` is a file, or the name of a shipped one, `seed` its gateway's; without
    one it is the morning, which `tell` makes.
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
    words = Silence() if as_json else ReportText()

    def play_on(stage: DemoProcesses) -> Player:
        if read is None:
            return MorningPlay(stage, tell(now()), outcome, words)
        return ScenarioPlay(stage, Played(read, scenario, seed), outcome, words)

    try:
        return asyncio.run(_play(outcome, play_on, words))
    finally:
        if not outcome.kept:
            shutil.rmtree(folder)


async def _play(outcome: RunOutcome, play_on: Callable[[DemoProcesses], Player], words: ReportText) -> int:
    """Play until the end or a signal; returns the exit code. Ctrl-C raises KeyboardInterrupt, as anywhere."""
    ended_by: list[signal.Signals] = []
    loop = asyncio.get_running_loop()
    async with DemoProcesses(outcome.folder) as stage:
        play = asyncio.create_task(_through(play_on(stage), stage, outcome, words))

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


async def _through(player: Player, stage: DemoProcesses, outcome: RunOutcome, words: ReportText) -> None:
    """Play, let the tracker end, and compare; what was found is in the outcome."""
    try:
        await player.run()
        code = await stage.end_tracker()
        if code:
            outcome.problems.append(f"the tracker ended with exit code {code} when told to end")
    except Trouble as trouble:
        outcome.problems.append(str(trouble))
        outcome.cut_short = True
    player.judge()
    outcome.kept |= not outcome.ok
    words.summary(outcome)


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="tracker-demo-")).resolve()
    keep.mkdir(parents=True, exist_ok=True)
    if any(keep.iterdir()):
        raise OSError(
            "the folder is not empty; name an empty or new one, since the demo writes stores into it"
        )
    return keep.resolve()
