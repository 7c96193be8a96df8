"""Run a script in the project's own environment, if this Python lacks packages that the tracker needs.

Owns that choice for the scripts that are Python; those of bash source `environment` themselves. It imports
nothing that may be missing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
NEEDED = ("ib_insync", "loguru", "msgspec", "pydantic_settings")


def need(script: str, arguments: Sequence[str], *, modules: Sequence[str] = (), extras: str = "") -> None:
    """Return if this Python can run the script; else run it in the environment, which is made if missing.

    `modules` are needed beside the tracker's own; `extras` are those of pyproject.toml that bring them.
    """
    if sys.version_info >= (3, 11) and all(find_spec(name) is not None for name in (*NEEDED, *modules)):
        sys.path.insert(0, str(SCRIPTS.parent))
        return
    command = f'source "$0" && use_environment {extras} && exec "$python" "$@"'
    os.execvp("bash", ["bash", "-c", command, str(SCRIPTS / "environment"), script, *arguments])
