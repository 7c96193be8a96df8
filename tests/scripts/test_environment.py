"""The scripts find the Pythons of a machine by running them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.project import PROJECT


def put_python(folder: Path, name: str, minor: str | None) -> Path:
    """Put a program that answers as a Python of this minor version; None for one that cannot run."""
    path = folder / name
    path.write_text(
        "#!/bin/sh\nexit 127\n"
        if minor is None
        else f'#!/bin/sh\ncase "$2" in *print*) echo {minor} ;; esac\nexit 0\n'
    )
    path.chmod(0o755)
    return path


def test_other_pythons_work_and_come_newest_first(tmp_path: Path) -> None:
    """One of each minor version; a version manager's dead names are left out."""
    put_python(tmp_path, "python3.15", None)
    newest = put_python(tmp_path, "python3.14", "3.14")
    named = put_python(tmp_path, "elsewhere", "3.9999")
    put_python(tmp_path, "twin", "3.14")
    put_python(tmp_path, "pyenv", None)
    found = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "source scripts/environment; other_pythons"],
        cwd=PROJECT,
        env={
            **os.environ,
            "PATH": f"{tmp_path}{os.pathsep}{os.defpath}",
            "PYTHONS": f"{named} {tmp_path / 'python3.14'} {tmp_path / 'twin'}",
        },
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout.split()  # fmt: skip
    assert [name for name in found if name.startswith(str(tmp_path))] == [str(named), str(newest)]
