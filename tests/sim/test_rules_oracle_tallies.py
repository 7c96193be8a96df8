"""What the oracle shows of an alert that had several contracts, by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.sim.rules_oracle.tallies import Change, Did, tally

FIRST, SECOND = ("DU1234567", 5), ("DU9000001", 3)
START = datetime(2025, 11, 18, 15, tzinfo=UTC)
END = START + timedelta(minutes=30)
OLD, NEW = 8, 10


def test_part_that_was_taken_over_comes_with_its_last_execution() -> None:
    """Found by seed 5400310980: two contracts of an alert end in one second, by the broker's word.

    Of the first it took over 2 of 9, behind the sale f3 of the rest; of the second it sold 9 with f2. So the
    first changed last (rule 1.1).
    """
    began, sold = START, START + timedelta(minutes=10)
    first = [
        Change(began, OLD, FIRST, Did.OPENED, Decimal(9), Decimal("0.97"), began, lot=0, root="f1"),
        Change(END, OLD, FIRST, Did.CLOSED, Decimal(-7), None, END, lot=0, root="f3"),
        Change(END, OLD, FIRST, Did.HANDED, Decimal(-2), None, END, lot=0),
        Change(
            END, NEW, FIRST, Did.OPENED, Decimal(2), Decimal("0.97"), began, lot=0, reduced=True, root="f1"
        ),
        Change(END, NEW, FIRST, Did.ADJUSTED, Decimal(-2), None, END, "adjusted", lot=0),
    ]
    second = [
        Change(sold, NEW, SECOND, Did.OPENED, Decimal(-9), Decimal("5.52"), sold, lot=0, root="f2"),
        Change(END, NEW, SECOND, Did.ADJUSTED, Decimal(9), None, END, "adjusted", lot=0),
    ]
    for folds in ((first, second), (second, first)):
        shown = tally(folds)[NEW]
        assert (shown.average, shown.opened_at) == (Decimal("0.97"), began)
