"""The tracker, writing down which of its files are run once SIGUSR1 has come: `python -m` this, as `tracker`.

Owns the profile hook; the list goes to the file that $TRACKED_FILES names, one path a line, relative to the
project, each once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from tests.support.project import PROJECT
from tracker.cli.main import main


class Trace:
    """Note each file of the tracker at its first call after `arm`."""

    def __init__(self, to: Path) -> None:
        self._to = to.open("w", buffering=1, encoding="utf-8")
        self._armed = False
        self._seen: set[str] = set()

    def arm(self, *signalled: object) -> None:
        self._armed = True

    def on_call(self, frame: FrameType, event: str, argument: Any) -> None:
        name = frame.f_code.co_filename
        if self._armed and name not in self._seen:
            self._seen.add(name)
            if name.startswith(f"{PROJECT}/tracker/"):
                self._to.write(name.removeprefix(f"{PROJECT}/") + "\n")


if __name__ == "__main__":
    trace = Trace(Path(os.environ["TRACKED_FILES"]))
    signal.signal(signal.SIGUSR1, trace.arm)
    threading.setprofile(trace.on_call)
    sys.setprofile(trace.on_call)
    sys.exit(main())
