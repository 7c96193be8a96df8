"""Completion in the shells, and what the command line says of itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import PROJECT
from tracker.cli.completion import SHELLS
from tracker.cli.main import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/alerts").mkdir(parents=True)
    alerts: dict[str, dict[str, object]] = {
        "robindahood-alerts": {"NVDA": {}, "$(touch hacked)": {}},
        "demslayer": {"SPX": {}},
    }
    (tmp_path / "data/alerts/alerts.json").write_text(json.dumps(alerts))
    return tmp_path


def offered(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["complete", *words]) == 0
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("wh",), ["why"]),
        (("comp",), ["completion"]),
        (("run", "--gateway.po"), ["--gateway.port"]),
        (("run", "--closing.policy", ""), ["keep", "mark", "remove"]),
        (("run", "--log.json", "t"), ["true"]),
        (("run", "--gateway.port", ""), []),
        (("fills", "--al"), ["--alert", "--all"]),
        (("fills", "--alert", "dem"), ["demslayer/SPX"]),
        (("why", ""), ["demslayer/SPX", "robindahood-alerts/NVDA"]),
        (("completion", ""), ["bash", "fish", "zsh"]),
        (("help", "matc"), ["matching"]),
        (("nonsense", ""), []),
    ],
)
@pytest.mark.usefixtures("folder")
def test_words_are_offered(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], expected: list[str]
) -> None:
    """Without a journal there are no execIds, and no error; a name that a shell would run is left out."""
    assert offered(capsys, *words) == expected


def test_fault_is_silent(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "data/alerts/alerts.json").write_text("{")
    assert offered(capsys, "fills", "--alert", "") == []


@pytest.mark.parametrize("shell", list(SHELLS))
def test_shell_takes_its_script(shell: str, tmp_path: Path) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed: apt-get install {shell}")
    file = tmp_path / "script"
    file.write_text(SHELLS[shell])
    subprocess.run([path, "-n", str(file)], check=True, timeout=30)


def test_bash_completes(folder: Path, tmp_path: Path) -> None:
    """The script asks the real command, and a hostile name is not offered."""
    command = folder / "tracker"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tracker "$@"\n')
    command.chmod(0o755)
    words = "tracker fills --alert rob"
    asked = f"COMP_WORDS=({words}); COMP_CWORD=3; _tracker"
    shown = "printf '%s\\n' \"${COMPREPLY[@]}\""
    script = f"{SHELLS['bash']}\n{asked}; {shown}"
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "robindahood-alerts/NVDA\n"


def test_help_of_topics(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "Matching"]) == 0
    assert capsys.readouterr().out.startswith("# ")
    assert main(["help", "why"]) == 0
    assert "usage: tracker why" in capsys.readouterr().out
    assert main(["help"]) == 0
    assert "usage: tracker COMMAND" in capsys.readouterr().out
    assert main(["help", "matchin"]) == 2
    assert "the nearest is 'matching'" in capsys.readouterr().err


def test_flag_without_section_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--port", "4001"]) == 2
    assert "did you mean --gateway.port or --status.port?" in capsys.readouterr().err
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith("tracker ")
    assert main(["completion", "tcsh"]) == 2
    assert "bash, zsh, fish" in capsys.readouterr().err
