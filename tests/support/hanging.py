"""The tracker on a disk that hangs once a file `hang` exists: `python -m tests.support.hanging run ...`."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from tracker.cli.main import main
from tracker.stores.alert_stores import AlertStores


def hang_on_request() -> None:
    """Have every refresh of the stores hang for ever once the file is there."""
    refresh = AlertStores._refresh

    def hanging(self: AlertStores) -> bool:
        if Path("hang").exists():
            # The thread of a stalled network disk cannot be ended either.
            threading.Event().wait()
        return refresh(self)

    AlertStores._refresh = hanging  # type: ignore[method-assign]  # put in from outside


if __name__ == "__main__":
    hang_on_request()
    sys.exit(main())
