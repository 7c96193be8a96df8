"""Break the tracker on purpose, so that the simulation can show that it would notice.

Each mutation replaces one rule by what a careless programmer might have written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

from tests.support.planting import Patch, always, plant, planted
from tracker.core import ledger, lot_changes
from tracker.core.ledger import Ledger
from tracker.core.state import OUTBOX
from tracker.journal.journal import Journal
from tracker.journal.rows import JournalState
from tracker.pipeline import retry_clock
from tracker.pipeline.delivery import OutboxDelivery


def _sum_again(real: Any) -> Any:
    """Sum an execution once more that is known already."""

    def again(self: Ledger, frame: Any, known: Any, execution: Any) -> None:
        if known.counted:
            self._orders.add(known)

    return again


def _lose_every_third(real: Any) -> Any:
    """Commit the cursor, and every third row of the outbox not."""
    count = [0]

    def put(self: JournalState, table: Any, row: Any) -> None:
        if table is OUTBOX and row.state == "pending":
            count[0] += 1
            if count[0] % 3 == 0:
                return
        real(self, table, row)

    return put


def _as_written(real: Any) -> Any:
    """Take a written time as if the clock had always been set as it is now."""
    return lambda written, clock, now: written


MUTATIONS: Final[Mapping[str, Sequence[Patch]]] = {
    "dedup": ((Journal, "contains", always(False)), (Ledger, "_repeat", _sum_again)),
    "outbox": ((JournalState, "put", _lose_every_third),),
    # A corrected execution is one more execution.
    "corrections": ((ledger, "versions_of", always([])),),
    # A closing sale takes nothing from whoever opened.
    "ownership": ((lot_changes.LotChanges, "close", always(())),),
    # What a stale copy undid stays undone.
    "reapply": ((OutboxDelivery, "apply_again", always(None)),),
    # What was written before the clock was set is read by the clock as it is now.
    "host clock": ((retry_clock, "as_shown_now", _as_written),),
    # Nobody looks whether the journal's file is still in its place.
    "file watch": ((Journal, "check_file", always(None)),),
}


def mutated(name: str) -> AbstractContextManager[None]:
    """Run a block with one rule broken."""
    return planted(MUTATIONS[name])


def break_rule(name: str) -> None:
    """Break one rule in this process, for good."""
    plant(MUTATIONS[name])
