"""An environment for each client library, made once and kept: eventkit and aeventkit must not share one."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

from tests.support.project import PROJECT

REQUIREMENTS: Final = {
    "ib_insync": ("ib_insync==0.9.86", "tzdata>=2024.1"),
    "ib_async": ("ib_async==2.1.0", "tzdata>=2024.1"),
    "ibapi": ("ibapi-stable==10.50.2",),
}
"""Library -> what its environment holds."""
INSTALL_SECONDS: Final = 300


def python_of(library: str) -> Path:
    """Return the interpreter of a library's environment, made where it is missing or of another version.

    RuntimeError where the package index cannot be reached.
    """
    folder = PROJECT / f".venv-{library}-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    wanted = "\n".join((sys.version, *REQUIREMENTS[library]))
    marker = folder / "made-for.txt"
    if marker.is_file() and marker.read_text("utf-8") == wanted:
        return python
    venv.create(folder, clear=True, with_pip=True)
    (folder / ".gitignore").write_text("*\n", "utf-8")
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *REQUIREMENTS[library],
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
    if done.returncode:
        raise RuntimeError(f"{', '.join(REQUIREMENTS[library])} cannot be installed:\n{done.stderr[-2000:]}")
    marker.write_text(wanted, "utf-8")
    return python


if __name__ == "__main__":
    for name in REQUIREMENTS:
        print(name, python_of(name))
