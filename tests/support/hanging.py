"""The tracker on a disk that hangs once a file `hang` exists: `python -m tests.support.hanging run ...`."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from tracker import wiring
from tracker.cli.main import main


class Hanging(wiring.AlertStores):
    """Look at the stores, but never come back once the file is there."""

    def _refresh(self) -> bool:
        if Path("hang").exists():
            # The thread of a stalled network disk cannot be ended either.
            threading.Event().wait()
        return super()._refresh()


if __name__ == "__main__":
    wiring.AlertStores = Hanging  # type: ignore[misc]  # The class is named only there.
    sys.exit(main())
