"""The scripts that are Python run with any, in the project's environment where something is missing."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.project import PROJECT


@pytest.fixture
def bare_python(tmp_path: Path) -> Path:
    """Return a Python that has nothing installed."""
    venv.create(tmp_path / "bare", with_pip=False)
    return tmp_path / "bare" / "bin" / "python"


def run(
    python: Path | str, *arguments: str, script: str = "reconcile.py"
) -> subprocess.CompletedProcess[str]:
    command = [str(python), str(PROJECT / "scripts" / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_bare_python_uses_project_environment(bare_python: Path) -> None:
    """As for who installed by pipx: no traceback, the same command."""
    done = run(bare_python, "--help")
    assert (done.returncode, done.stdout) == (0, run(sys.executable, "--help").stdout)
    assert done.stdout.startswith("usage: tracker reconcile")


def test_arguments_reach_the_command(bare_python: Path) -> None:
    done = run(bare_python, "--aply", "two words")
    assert done.returncode == 2
    assert "unknown flag --aply; the nearest known one is --apply" in done.stderr


@pytest.mark.parametrize("script", ["bench.py", "soak.py", "faults.py"])
def test_other_scripts_find_environment(bare_python: Path, script: str) -> None:
    done = run(bare_python, "--help", script=script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")
