"""An environment for each client library, made once and kept: eventkit and aeventkit must not share one."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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


def python_of(library: str, project: Path = PROJECT) -> Path:
    """Return the interpreter of a library's environment, made where it is missing or of another version.

    Processes that ask at the same time wait for the one that makes it. RuntimeError where the package index
    cannot be reached, TimeoutError where another process does not get it made.
    """
    folder = project / f".venv-{library}-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    wanted = "\n".join((sys.version, *REQUIREMENTS[library]))
    marker = folder / "made-for.txt"
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not marker.is_file() or marker.read_text("utf-8") != wanted:
            venv.create(folder, clear=True)
            (folder / ".gitignore").write_text("*\n", "utf-8")
            install(python, REQUIREMENTS[library])
            marker.write_text(wanted, "utf-8")
    return python


@contextmanager
def locked(path: Path, seconds: float = 2 * INSTALL_SECONDS) -> Iterator[None]:
    """Hold a lock file, which ends with the process that holds it; TimeoutError after the bound."""
    end = time.monotonic() + seconds
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise TimeoutError(f"another process holds {path} for over {seconds} s") from None
                time.sleep(0.1)
        yield


def install(python: Path, requirements: Sequence[str]) -> None:
    """Install pip, and by it packages, into an environment; RuntimeError with pip's words where it cannot."""
    pip = ("pip", "install", "--quiet", "--disable-pip-version-check", *requirements)
    for command in (("ensurepip",), pip):
        words = [str(python), "-m", *command]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
        if done.returncode:
            raise RuntimeError(f"{', '.join(requirements)} cannot be installed:\n{done.stderr[-2000:]}")


if __name__ == "__main__":
    for name in REQUIREMENTS:
        print(name, python_of(name))
