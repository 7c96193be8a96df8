"""Match an execution although one of the records cannot be used.

Owns finding the records that make matching fail; each is rejected by name, and all others still match. It
decides no match itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol

import msgspec
from loguru import logger
from msgspec.structs import replace

from tracker.core.limits import clean_text
from tracker.core.model import Alert, AlertId, Execution, Match, Rejection
from tracker.core.ownership import Circumstances


class MatchAlerts(Protocol):
    """Match an execution against records; see `core.matching.match_execution`."""

    def __call__(
        self,
        execution: Execution,
        candidates: Sequence[Alert],
        *,
        owns: Callable[[AlertId], bool],
        skew: timedelta,
    ) -> Match: ...


class CarefulMatch:
    """Call a matching function; where it fails, call it again without the records that make it fail."""

    def __init__(self, match_alerts: MatchAlerts) -> None:
        self._match = match_alerts

    def __call__(self, execution: Execution, candidates: Sequence[Alert], now: Circumstances) -> Match:
        """Match; raises an error that the execution causes without any record."""
        try:
            return self._matched(execution, candidates, now)
        except Exception:
            usable, rejected = self.tried(execution, candidates)
            if not rejected:
                raise
            return self.without(execution, usable, rejected, now)

    def _matched(self, execution: Execution, candidates: Sequence[Alert], now: Circumstances) -> Match:
        return self._match(execution, candidates, owns=now.owns, skew=now.skew)

    def tried(
        self, execution: Execution, candidates: Sequence[Alert]
    ) -> tuple[Sequence[Alert], Sequence[Rejection]]:
        """Match each record by itself; return the usable ones, and the others with the reason."""
        usable: list[Alert] = []
        rejected: list[Rejection] = []
        for alert in candidates:
            try:
                # A record that cannot be written into the journal cannot be used either.
                msgspec.json.encode((alert, self._matched(execution, [alert], Circumstances())))
            except Exception as error:
                why = clean_text(f"the record cannot be used: {type(error).__name__}: {error}")
                logger.warning("{} for {}: {}", alert.id.name, execution.exec_id, why)
                rejected.append(Rejection(alert.id, why, near=True))
            else:
                usable.append(alert)
        return usable, rejected

    def without(
        self, execution: Execution, usable: Sequence[Alert], rejected: Sequence[Rejection], now: Circumstances
    ) -> Match:
        """Match the usable records, and list the others as rejected."""
        match = self._matched(execution, usable, now)
        return replace(match, rejected=(*match.rejected, *rejected))
