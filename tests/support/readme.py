"""The README as somebody follows it: the commands of its blocks, run in terminals, and what they print."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.support.free_ports import free_port
from tests.support.project import PROJECT

README: Final = (PROJECT / "README.md").read_text("utf-8")
LEFT_OUT: Final = "..."
"""A line that stands for any number of lines."""
INSTALL: Final = "pipx install '.[watch]'"
"""The one command of the README's way that is not run but in test_packaging, since it takes long."""
_SECONDS: Final = 60.0


def shape(line: str) -> str:
    """Return a line without what differs from run to run: execIds, numbers, how columns are filled up."""
    line = re.sub(r"\b[0-9a-f]{8}\.[0-9a-f]{8}(\.\d\d)+", "ID", line)
    return re.sub(r"\s+", " ", re.sub(r"[\d.]*\d", "0", line)).rstrip()


def check_shown(shown: Sequence[str], real: Sequence[str]) -> None:
    """Check that real output is what a page shows; a line of dots stands for lines left out."""
    rest = [shape(line) for line in real]
    anywhere = False
    for line in shown:
        if line == LEFT_OUT:
            anywhere = True
            continue
        assert shape(line) in (rest if anywhere else rest[:1]), f"{line!r} is not in {rest}"
        rest = rest[rest.index(shape(line)) + 1 :]
        anywhere = False
    assert anywhere or not rest, f"the page leaves out {rest} and does not say so"


def blocks_of(heading: str) -> list[list[str]]:
    """Return the commands of each console block below a heading of the README."""
    text = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.M | re.S)
    return [re.findall(r"^\$ (.+)$", block, re.M) for block in blocks]


def output_of(command: str) -> list[str]:
    """Return what the README shows below a command."""
    (found,) = re.findall(rf"^\$ {re.escape(command)}\n(.*?)^(?:\$ |```)", README, re.M | re.S)
    return str(found).splitlines()


def cleaning() -> str:
    """Return the command by which the README removes what the trial left."""
    (found,) = re.findall(r"`(rm -r ~/order-tracker/data/[^`]*)`", README)
    return str(found)


class Terminal:
    """A shell that somebody opens beside the README and pastes one block of it into."""

    def __init__(
        self, commands: str, environment: Mapping[str, str], log: Path, folder: Path = PROJECT
    ) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                ["bash", "-ec", commands],
                cwd=folder,
                env=dict(environment),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        return self._log.read_text("utf-8")

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return once it holds; AssertionError with what was printed where it does not within a minute."""
        end = time.monotonic() + _SECONDS
        while not condition():
            assert time.monotonic() < end, self.said()
            assert self._process.poll() is None, self.said()
            time.sleep(0.05)

    def finish(self) -> str:
        """Wait for the last command; returns what all of them printed."""
        assert self._process.wait(timeout=_SECONDS) == 0, self.said()
        return self.said()

    def interrupt(self) -> None:
        """Press Ctrl-C and wait for the end."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
        self._process.wait(timeout=_SECONDS)


def fresh_checkout(folder: Path) -> Path:
    """Copy what the project tracks, as a clone has it; returns the copy."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True, timeout=_SECONDS
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((PROJECT / name).read_bytes())
    return folder


def newcomers_environment(folder: Path, port: int, checkout: Path = PROJECT) -> dict[str, str]:
    """Return the variables of somebody with an empty home, a `python3` and the checkout's `tracker`.

    Other tests run beside, so its ports are its own.
    """
    programs, home = folder / "programs", folder / "home"
    programs.mkdir()
    home.mkdir()
    (programs / "python3").symlink_to(sys.executable)
    program = programs / "tracker"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{checkout}" exec "{sys.executable}" -m tracker "$@"\n')
    program.chmod(0o755)
    foreign = ("PYTHON", "VIRTUAL", "TRACKER_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {
        **kept,
        "HOME": str(home),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "TRACKER_GATEWAY__PORT": str(port),
        "TRACKER_STATUS__PORT": str(free_port()),
    }


def follow_run_it(environment: Mapping[str, str], folder: Path, checkout: Path = PROJECT) -> None:
    """Follow "Run it" as it stands, one terminal for each block; each prints what is shown."""
    (installing, init), gateway, (run,), ask = blocks_of("Run it")
    assert installing == INSTALL
    port, home = environment["TRACKER_GATEWAY__PORT"], Path(environment["HOME"])

    def terminal(name: str, commands: list[str]) -> Terminal:
        return Terminal("\n".join(commands), environment, folder / f"{name}.txt", checkout)

    # Nobody sits here to answer; tests/cli/test_init.py answers.
    said = terminal("init", [f"{init} --yes"]).finish()
    assert f"nothing listens on 127.0.0.1:{port}" in said
    assert said.splitlines()[-1].startswith("Next: ")
    last = gateway.pop()
    assert "--port 4002 " in last
    paper = terminal("gateway", [*gateway, "exec " + last.replace("4002", port)])
    paper.wait_for(lambda: "paper gateway on" in paper.said())
    tracker = terminal("run", [run.replace("&& ", "&& exec ")])
    paper.wait_for(lambda: "scenario is over" in paper.said())
    written = home / "order-tracker/data/alerts/alerts.json"
    tracker.wait_for(lambda: '"realized_pnl": 5' in written.read_text("utf-8"))
    printed = terminal("ask", ask).finish().splitlines()
    tracker.interrupt()
    paper.interrupt()
    second = printed.index("robindahood-alerts/NVDA")
    check_shown(output_of("tracker status"), printed[:second])
    check_shown(output_of("tracker why robindahood-alerts/NVDA"), printed[second:])
