"""The tracker on a disk that hangs once a file `hang` is in the folder: `python -m tests.hanging run ...`."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from tracker import parts
from tracker.cli import main


class Hanging(parts.AlertStores):
    """Look at the stores, but never come back once the file is there."""

    def _refresh(self) -> bool:
        if Path("hang").exists():
            # The thread of a stalled network disk cannot be ended either.
            threading.Event().wait()
        return super()._refresh()


if __name__ == "__main__":
    parts.AlertStores = Hanging  # type: ignore[misc]  # The class is named only there.
    sys.exit(main())
