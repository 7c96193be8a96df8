"""Random faults of the disk, injected into the system calls of the real daemon while it takes fills.

`python -m tests.support.fault_plans [--plans 500] [--seed N]` runs plans, each with a seed that repeats it.
A plan fails calls on the journal, the alerts, their locks, the token or the log by strace(1). Whatever fails:
the daemon goes on or ends with 5 and a reason, and the next start has every fill, once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.daemon_rig import BOUND_SECONDS, Rig, records_of
from tracker.paper.contracts import PaperContract, option

STRACE: Final = shutil.which("strace")
ALERTER: Final = "robindahood-alerts"
CONTRACTS: Final = tuple(
    option(symbol, "20301220", "C", "100", con_id=700200000 + number)
    for number, symbol in enumerate(("AAA", "BBB", "CCC"))
)
FILLS: Final = 6
PATHS: Final = {
    "journal": ("journal.db", "journal.db-wal", "journal.db-shm", "journal.db-journal"),
    "alerts": ("alerts.json", ".alerts.json.tracker-temp", "alerts.json.tracker-backup"),
    "lock": ("journal.db.lock", "alerts.json.lock"),
    "token": ("status.token",),
    "log": ("tracker.log",),
}
"""What a plan is about -> the files in the rig's folder."""
CALLS: Final = {
    "journal": ("openat", "pwrite64", "fdatasync", "fsync", "ftruncate"),
    "alerts": ("openat", "write", "fsync", "rename", "pread64"),
    "lock": ("openat", "ftruncate", "pwrite64"),
    "token": ("rename",),
    "log": ("write", "openat", "rename"),
}
ERRORS: Final = ("ENOSPC", "EIO", "EDQUOT", "EROFS", "EACCES", "EMFILE")
AT_ONCE: Final = 4
"""Plans that run side by side, since most of a plan's time is waiting."""
ENDED_SECONDS: Final = 20.0
_UP_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold which call on which files fails, how, and at which of its occurrences in a thread."""

    target: str
    call: str
    error: str
    when: str
    """strace's own: `3` is the third, `3+` the third and all after it, `3..5` three of them."""

    def prefix(self, folder: Path) -> list[str]:
        """Return the command that starts the daemon with this fault, as a child of its own."""
        assert STRACE is not None, "strace is not installed"
        paths = [word for name in PATHS[self.target] for word in ("-P", str(folder / name))]
        fault = f"inject={self.call}:error={self.error}:when={self.when}"
        # -D: the daemon is the process that is started and signalled, and strace is beside it.
        return [
            STRACE,
            "-D",
            "-f",
            "-qq",
            "-o",
            str(folder / "strace.log"),
            *paths,
            "-e",
            f"trace={self.call}",
            "-e",
            fault,
        ]


def plan_of(seed: int) -> Plan:
    """Return the plan of a seed."""
    chance = random.Random(seed)
    target = chance.choice(tuple(PATHS))
    first = chance.choice((1, 1, 2, 2, 3, 4, 6, 9))
    when = chance.choice((str(first), f"{first}+", f"{first}..{first + chance.randint(1, 4)}"))
    return Plan(target, chance.choice(CALLS[target]), chance.choice(ERRORS), when)


@dataclass(slots=True)
class PlanResult:
    """Hold what came of one plan."""

    seed: int
    plan: Plan
    wrong: str = ""
    code: int | None = None
    """What the daemon with the fault ended with."""
    struck: bool = False
    """Whether the call was made often enough to fail."""

    def __str__(self) -> str:
        return f"seed {self.seed}, {self.plan}, ended with {self.code}: {self.wrong or 'well'}"


async def run_plan(result: PlanResult, folder: Path) -> str:
    """Run one plan; returns what is wrong, empty where nothing is."""
    plan, seed = result.plan, result.seed
    chance = random.Random(seed)
    truth = [0] * len(CONTRACTS)
    async with Rig(folder) as rig:
        # So small that a log is renewed while fills come.
        rig.options = ["--log.file", str(folder / "tracker.log"), "--log.rotation", "1 KB"]
        rig.write({ALERTER: records_of(CONTRACTS)})
        rig.prefix = plan.prefix(folder)
        await rig.start(ready=False)
        await _up_or_ended(rig)
        for _ in range(FILLS):
            _fill(rig, chance, truth)
            await asyncio.sleep(chance.uniform(0, 0.1))
        code = result.code = await _ended_or_stopped(rig)
        result.struck = "(INJECTED)" in (folder / "strace.log").read_text()
        # A log file that cannot be opened at the start is a mistake of the settings, and said as such.
        unopened = result.plan.target == "log" and code == 2 and "cannot be written" in rig.log()
        if code not in (0, 5) and not unopened:
            return f"it ended with {code}:\n{rig.log()}"
        if "Traceback" in rig.log() or (code == 5 and "ERROR" not in rig.log()):
            return f"it ended with {code} and no reason:\n{rig.log()}"
        rig.prefix = []
        await rig.start()
        _fill(rig, chance, truth)
        # What is counted twice is so by a later sweep.
        with suppress(AssertionError):
            await rig.until(lambda: _shown(rig) == truth)
        await rig.one_more_sweep()
        if _shown(rig) != truth:
            return f"{_shown(rig)} held, and {truth} bought:\n{rig.log()}"
        return "" if await rig.stop() == 0 else f"it did not end well:\n{rig.log()}"


def _fill(rig: Rig, chance: random.Random, truth: list[int]) -> None:
    which, quantity = chance.randrange(len(CONTRACTS)), chance.randint(1, 9)
    rig.gateway.fill(rig.gateway.order(CONTRACTS[which], "BUY", quantity, limit="2"))
    truth[which] += quantity


def _shown(rig: Rig) -> list[int]:
    return [_held(rig, contract) for contract in CONTRACTS]


def _held(rig: Rig, contract: PaperContract) -> int:
    position = rig.read(ALERTER, contract.symbol).get("position")
    return position["quantity"] if position else 0


async def _up_or_ended(rig: Rig) -> None:
    """Wait until the daemon receives fills, ended, or has answered for a while and does not receive any.

    From its first answer on it also takes a signal to end.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + BOUND_SECONDS
    answers = False
    assert rig.process is not None
    while rig.process.returncode is None and not await rig.subscribed():
        if not answers and await _answers(rig):
            answers, deadline = True, loop.time() + _UP_SECONDS
        if loop.time() > deadline:
            assert answers, "it neither ended nor answered"
            return
        await asyncio.sleep(0.02)


async def _answers(rig: Rig) -> bool:
    with suppress(ConnectionError, json.JSONDecodeError):
        return bool((await rig.ask("ping"))["ok"])
    return False


async def _ended_or_stopped(rig: Rig) -> int:
    """Give the fault a moment to strike, then ask the daemon to end; returns the exit code."""
    assert rig.process is not None
    try:
        return await asyncio.wait_for(asyncio.shield(rig.process.wait()), 1.0)
    except TimeoutError:
        rig.process.terminate()
        return await asyncio.wait_for(rig.process.wait(), ENDED_SECONDS)


async def run_seed(seed: int) -> PlanResult:
    """Run the plan of one seed in a folder of its own."""
    result = PlanResult(seed, plan_of(seed))
    with tempfile.TemporaryDirectory(prefix="tracker-faults-") as folder:
        try:
            result.wrong = await run_plan(result, Path(folder))
        except (AssertionError, TimeoutError, OSError, ValueError) as error:
            result.wrong = f"{type(error).__name__}: {error}"
    return result


async def run_many(seeds: range, at_once: int = AT_ONCE) -> list[PlanResult]:
    """Run the plans of many seeds, a few at once."""
    free = asyncio.Semaphore(at_once)

    async def one(seed: int) -> PlanResult:
        async with free:
            return await run_seed(seed)

    return list(await asyncio.gather(*map(one, seeds)))


def main() -> int:
    """Run plans from the command line."""
    parser = argparse.ArgumentParser(description="Run the daemon with random faults of its disk.")
    parser.add_argument("--plans", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0, help="the first plan's seed")
    given = parser.parse_args()
    if STRACE is None:
        print("strace is not installed; install it (apt-get install strace)", file=sys.stderr)
        return 2
    results = asyncio.run(run_many(range(given.seed, given.seed + given.plans)))
    wrong = [result for result in results if result.wrong]
    for result in wrong:
        print(result)
    struck = [result for result in results if result.struck]
    ended = sum(result.code == 5 for result in struck)
    print(
        f"{given.plans} plans from seed {given.seed}: the fault struck in {len(struck)}, of which {ended}"
        f" ended with 5 and the others went on; {len(wrong)} wrong"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
