"""Break the tracker on purpose, so that the simulation can show that it would notice.

Each mutation replaces one rule by what a careless programmer might have written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from tracker.core import ledger, lot_changes
from tracker.core.ledger import Ledger
from tracker.core.state import OUTBOX
from tracker.journal.journal import Journal
from tracker.journal.rows import JournalState
from tracker.pipeline.delivery import OutboxDelivery

Undo = Callable[[], None]


def _put(owner: Any, name: str, value: Any) -> Undo:
    before = getattr(owner, name)
    setattr(owner, name, value)
    return lambda: setattr(owner, name, before)


def _without_dedup() -> Undo:
    """Neither the capture nor the ledger knows an execution again; it is summed once more."""

    def again(self: Ledger, frame: Any, known: Any, execution: Any) -> None:
        if known.counted:
            self._orders.add(known)

    undo = [_put(Journal, "contains", lambda self, key: False), _put(Ledger, "_repeat", again)]
    return lambda: [each() for each in undo].clear()


def _without_outbox() -> Undo:
    """The cursor is committed, every third row of the outbox is not."""
    real = JournalState.put
    count = [0]

    def put(self: JournalState, table: Any, row: Any) -> None:
        if table is OUTBOX and row.state == "pending":
            count[0] += 1
            if count[0] % 3 == 0:
                return
        real(self, table, row)

    return _put(JournalState, "put", put)


def _without_corrections() -> Undo:
    """A corrected execution is one more execution."""
    return _put(ledger, "versions_of", lambda state, booked: [])


def _without_ownership() -> Undo:
    """A closing sale takes nothing from whoever opened."""
    return _put(lot_changes.LotChanges, "close", lambda self, quantity, movement, name_of: ())


def _without_reapply() -> Undo:
    """What a stale copy undid stays undone."""
    return _put(OutboxDelivery, "apply_again", lambda self, undone: None)


def _without_file_watch() -> Undo:
    """Nobody looks whether the journal's file is still in its place."""
    return _put(Journal, "check_file", lambda self: None)


MUTATIONS: Final[Mapping[str, Callable[[], Undo]]] = {
    "dedup": _without_dedup,
    "outbox": _without_outbox,
    "corrections": _without_corrections,
    "ownership": _without_ownership,
    "reapply": _without_reapply,
    "file watch": _without_file_watch,
}


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Run a block with one rule broken."""
    undo = MUTATIONS[name]()
    try:
        yield
    finally:
        undo()
