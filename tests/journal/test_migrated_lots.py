"""A journal of commit 29f0234 opens: each set of owners has one lot, and nothing is folded again.

`data/journal_29f0234.sql` is what that commit's pump made of seven fills: two that two alerts share, partly
sold; one bought and sold; one sold to open; one of no alert.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.facts import ACCOUNT, NVDA, exec_id, execution
from tracker.core.ledger import Ledger
from tracker.core.lot_rows import Lot
from tracker.core.model import AlertId, Frame, Match, Source, Unmatched
from tracker.core.state import ALERTS, HOLDINGS
from tracker.core.state_rows import ContractKey, alert_text
from tracker.journal.journal import Journal

DATA = Path(__file__).parent / "data"
ROBIN = AlertId("robindahood-alerts", "NVDA", "2025-11-18T15:42:07.318245", NVDA.con_id)
DEMSLAYER = AlertId("demslayer", "NVDA", "2025-11-18T15:42:10", NVDA.con_id)
LATER = datetime(2025, 11, 18, 17, 0, tzinfo=UTC)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Open the old journal with today's code."""
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        db.executescript((DATA / "journal_29f0234.sql").read_text())
    with closing(Journal(tmp_path / "journal.db")) as journal:
        yield journal


def tell(journal: Journal, *fills: object) -> None:
    """Apply fills that no alert is found for, as the next frames of the journal."""

    def nothing(fill: object, now: object) -> Match:
        return Unmatched("nothing")

    ledger = Ledger(journal.state, nothing)
    with journal.step():
        for number, fill in enumerate(fills, journal.cursor + 1):
            frame = Frame(number, LATER, 2, Source.BROKER, ("fact",))
            ledger.apply(frame, fill)  # type: ignore[arg-type]  # the fills of this test are executions
        ledger.settle(frame)


def lots(journal: Journal) -> Sequence[Lot]:
    row = journal.state.get(HOLDINGS, ContractKey(ACCOUNT, NVDA.con_id).text())
    assert row is not None
    return row.lots


def shown(journal: Journal, alert: AlertId) -> tuple[object, object]:
    row = journal.state.get(ALERTS, alert_text(alert))
    assert row is not None
    assert row.shown is not None
    assert row.shown.position is not None
    return row.shown.position["quantity"], row.shown.position["avg_price"]


def test_every_alert_shows_what_it_showed(journal: Journal) -> None:
    """The rows decode to the values that the old version wrote into alerts.json."""
    file = json.loads((DATA / "alerts_29f0234.json").read_text())
    rows = list(journal.state.every(ALERTS))
    assert len(rows) == 4
    for row in rows:
        record = file[row.alert.alerter][row.alert.ticker]
        assert row.shown is not None
        assert (row.shown.open, row.closed) == (record["open"], not record["open"])
        assert row.shown.position == record["position"]
        assert row.shown.last_order_update == record["last_order_update"]


def test_group_is_a_lot_with_its_average(journal: Journal) -> None:
    """10 bought at an average of 2.56, 3 of them sold: one lot of 7 since the first fill."""
    (lot,) = lots(journal)
    assert (lot.owners, lot.quantity, lot.price) == ((DEMSLAYER, ROBIN), Decimal(7), Decimal("2.56"))
    assert lot.opened.time == datetime(2025, 11, 18, 15, 43, tzinfo=UTC)


def test_next_sale_closes_the_old_lot(journal: Journal) -> None:
    """A sale takes from it, for both owners; their average stays."""
    tell(journal, execution(exec_id(20), -4, "3.20", at=4000, perm_id=300))
    assert shown(journal, ROBIN) == (3, 2.56)
    assert shown(journal, DEMSLAYER) == (3, 2.56)


def test_late_fill_folds_the_old_past(journal: Journal) -> None:
    """One of the same order that stands before what was folded: 4 + 6 + 2 bought, 3 sold, average 2.47."""
    tell(journal, execution(exec_id(21), 2, "2.02", at=2, perm_id=188, request_id=0))
    assert shown(journal, ROBIN) == (9, 2.47)
    assert [lot.quantity for lot in lots(journal)] == [1, 6, 2]


def test_step_after_migration_folds_nothing_again(journal: Journal) -> None:
    """A newer opening stands beside the old lot, which keeps no execution."""
    before = lots(journal)
    tell(journal, execution(exec_id(22), 1, "2.00", at=4000, perm_id=301))
    assert lots(journal)[:1] == before
    assert LATER - timedelta(hours=3) < before[0].opened.time
