"""Messages that cannot be used are kept, and asked for once."""

from __future__ import annotations

from tracker.core.model import Undecodable
from tracker.core.state import MemoryLedgerState
from tracker.core.undecodables import Undecodables


def test_execution_without_version_is_asked_for_once() -> None:
    """An execId that is not of four segments has no versions; it is asked for all the same."""
    undecodables = Undecodables(MemoryLedgerState())
    odd = Undecodable("execution", "3 of 31 fields", exec_id="odd")
    assert undecodables.asks_for(1, odd)
    assert not undecodables.asks_for(2, odd)
