"""Bugs that the tests named in INVARIANTS.md must find, beside those that simulated lives find.

Owns one bug for each invariant, as a careless programmer might have written it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from tests.support.planting import Patch, always
from tracker.core import lots, matching
from tracker.core.decision_log import DecisionLog
from tracker.core.ledger import Ledger
from tracker.core.lot_changes import LotChanges
from tracker.core.state import HOLDINGS, LedgerState
from tracker.pipeline.store_changes import StoreChanges


def _forget_the_last(real: Any) -> Any:
    """Begin each process without the place of the last entry, so that a late execution counts as the last."""

    def begin(self: Ledger, state: LedgerState, *values: Any, **named: Any) -> None:
        real(self, state, *values, **named)
        for holding in state.every(HOLDINGS):
            state.put(HOLDINGS, replace(holding, last=None))

    return begin


def _by_the_wall_clock(real: Any) -> Any:
    """Date each decision by the clock instead of by its frame."""
    return lambda self, frame, *values: real(self, replace(frame, received_at=datetime.now(UTC)), *values)


def _as_it_was(real: Any) -> Any:
    return lambda movement, renames: movement


BUGS: Final[Mapping[str, Sequence[Patch]]] = {
    "a restart forgets the last execution": ((Ledger, "__init__", _forget_the_last),),
    "a sale leaves the alert's quantity": ((LotChanges, "_sell", always(None)),),
    "a call is as good as a put": ((matching, "contradiction", always("")),),
    "a decision is dated by the clock": ((DecisionLog, "write", _by_the_wall_clock),),
    "a new name begins anew": ((lots, "_renamed_movement", _as_it_was),),
    "a copied position stays": ((StoreChanges, "_copies", always(())),),
}
