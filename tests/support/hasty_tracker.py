"""The tracker with little patience about positions: `python -m` this, as `tracker`.

What no execution explains becomes an adjustment within seconds, which otherwise takes minutes.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from tracker.cli.main import main
from tracker.core import differences
from tracker.daemon import position_recheck

WITNESS = timedelta(seconds=0.3)

if __name__ == "__main__":
    vars(differences).update(WITNESS=WITNESS, VANISHED=WITNESS)
    defaults = position_recheck.recheck_positions.__kwdefaults__
    assert defaults is not None
    assert defaults["first"] == position_recheck.FIRST_SECONDS
    defaults["first"] = 0.3
    sys.exit(main())
