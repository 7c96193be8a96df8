"""Where the gateway's frames go: into the journal, and decided in the same commit if the pump is free.

Owns only the connection between the gateway and the pump; implements `gateway.capture_sink.Sink`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from tracker.core.journal_entries import Fields
from tracker.core.model import CommissionReport, ExecutionKey
from tracker.journal.journal import Arriving, Journal
from tracker.pipeline.pump import Pump


class JournalSink:
    """Append frames through one pump; questions about known executions are answered from its journal."""

    def __init__(self, journal: Journal, pump: Pump) -> None:
        self._journal = journal
        self._pump = pump

    def append(self, connection_no: int, received_at: datetime, frames: Arriving) -> None:
        self._pump.append(connection_no, received_at, frames)

    def prefetch(self, messages: Sequence[Fields]) -> None:
        self._journal.prefetch(messages)

    def contains(self, key: ExecutionKey) -> bool:
        return self._journal.contains(key)

    def newest_fee(self, exec_id: str) -> CommissionReport | None:
        return self._journal.newest_fee(exec_id)

    def count_missing(self, account: str, listed: Collection[str], since: datetime, asked: datetime) -> int:
        return self._journal.count_missing(account, listed, since, asked)
