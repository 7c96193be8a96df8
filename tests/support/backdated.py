"""Run the tracker as `python -m tests.support.backdated run ...`, so many hours ago as HOURS_BACK says.

Only the time of day is another one; what is waited for takes as long as ever.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta

from tracker import clock

_BACK = timedelta(hours=int(os.environ["HOURS_BACK"]))
_real = clock.now


def earlier() -> datetime:
    """Return the time of day, HOURS_BACK hours ago."""
    return _real() - _BACK


if __name__ == "__main__":
    # Before anything of the tracker takes the clock by its name.
    clock.now = earlier
    from tracker.cli.main import main

    sys.exit(main())
