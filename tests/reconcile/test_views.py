"""How rows become the views of an audit."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tracker.core.expiration_rows import MissingPosition, MissingPositions
from tracker.core.model import Contract, Moment
from tracker.core.state import ABSENCES, HOLDINGS, PROOFS
from tracker.core.state_rows import (
    Baseline,
    Holding,
    VerifiedUntil,
)
from tracker.journal.journal import Journal
from tracker.reconcile.views import Watched, ledger_view

ACCOUNT = "DU1234567"
LOOKED = datetime(2025, 11, 18, 21, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "departed"),
    [
        (datetime(2025, 11, 19, 0, 30, tzinfo=UTC), False),
        (datetime(2025, 11, 19, 4, 59, tzinfo=UTC), False),
        (datetime(2025, 11, 19, 5, 1, tzinfo=UTC), True),
    ],
)
def test_account_midnight_ends_expiry_day(tmp_path: Path, now: datetime, departed: bool) -> None:
    """Seven in the evening in New York is the next day in UTC, and the option may still be exercised."""
    option = Contract(5, "NVDA", "OPT", expiry=date(2025, 11, 18))
    journal = Journal(tmp_path / "journal.db")
    held = Decimal(4)
    with journal.step():
        journal.state.put(HOLDINGS, Holding(ACCOUNT, option, Decimal(0), held, Baseline.SNAPSHOT))
        absence = MissingPosition(ACCOUNT, 5, held, Moment(LOOKED, 10))
        journal.state.put(ABSENCES, MissingPositions((absence,)))
        journal.state.put(PROOFS, VerifiedUntil(ACCOUNT, swept=Moment(LOOKED + timedelta(minutes=1), 11)))
    (view,) = ledger_view(journal, Watched(0, zone=ZoneInfo("America/New_York")), now).held
    journal.close()
    assert view.departed is departed
