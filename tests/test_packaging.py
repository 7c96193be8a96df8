"""What is built from the project installs into an empty environment and works there."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.project import PROJECT


class Built(NamedTuple):
    """Hold both archives and the environment that the wheel was installed into."""

    wheel: Path
    sdist: Path
    programs: Path


def run(*command: str | Path, cwd: Path = PROJECT, **more: str) -> str:
    """Run a program without what this environment would lend it; returns what it printed."""
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environ.update(more)
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(folder: Path, kind: str, source: Path = PROJECT) -> Path:
    run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", folder, cwd=source)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    wheel, sdist = build(folder / "wheel", "wheel"), build(folder / "sdist", "sdist")
    run(sys.executable, "-m", "venv", folder / "fresh")
    programs = folder / "fresh" / "bin"
    run(programs / "python", "-m", "pip", "install", "--quiet", wheel)
    return Built(wheel, sdist, programs)


def test_the_installed_tracker_helps_and_plays_its_demo(built: Built, tmp_path: Path) -> None:
    """Outside of the project's folder, with nothing but what the wheel asks for, and without a warning."""
    strict = {"PYTHONWARNINGS": "error"}
    helped = run(built.programs / "tracker", "--help", cwd=tmp_path, **strict)
    assert "usage: tracker COMMAND" in helped
    assert run(built.programs / "tracker", "--version", cwd=tmp_path).startswith("tracker 0.")
    played = run(built.programs / "tracker", "demo", cwd=tmp_path, **strict)
    assert played.splitlines()[-1] == "every alert ended as it should"


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


def test_the_source_archive_builds_the_same_wheel(built: Built, tmp_path: Path) -> None:
    """And holds what a person needs besides: tests, settings and the deployment's files."""
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    again = build(tmp_path / "again", "wheel", source)
    assert names(again) == names(built.wheel)
    for name in ("settings.toml", "LICENSE", "tests/test_packaging.py", "scripts/deploy/compose.yaml"):
        assert (source / name).is_file()


def test_the_wheel_holds_the_package_and_no_tests(built: Built) -> None:
    found = names(built.wheel)
    assert "tracker/paper/scenarios/trading-morning.toml" in found
    assert "tracker/config/settings.toml" in found
    assert {name.split("/")[0] for name in found if ".dist-info/" not in name} == {"tracker"}
