"""A long field of a row is kept item by item: a change writes few of them, and all come back in order."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from tests.support.facts import ACCOUNT, NVDA, START
from tracker.core.lot_rows import Lot
from tracker.core.model import Moment
from tracker.core.packed_lots import RUN, LotRuns, appended
from tracker.core.state import HOLDINGS
from tracker.core.state_rows import Baseline, ContractKey, Holding
from tracker.journal.journal import Journal

KEY = ContractKey(ACCOUNT, NVDA.con_id).text()
LOTS = {
    name: Lot((), Decimal(4), Decimal(2), Moment(START + timedelta(seconds=at), at), name)
    for at, name in enumerate("abcdefgh", 1)
}
A_LESS = replace(LOTS["a"], quantity=Decimal(1))
B_LESS = replace(LOTS["b"], quantity=Decimal(3))


def named(names: str) -> list[Lot]:
    return [LOTS[name] for name in names]


def keep(journal: Journal, lots: Sequence[Lot]) -> int:
    """Put a holding with these lots; returns how many rows the file changed for it."""
    empty = Holding(ACCOUNT, NVDA, Decimal(0), Decimal(0), Baseline.SNAPSHOT)
    before = journal.state.get(HOLDINGS, KEY) or empty
    written = journal._db.total_changes
    with journal.step():
        journal.state.put(HOLDINGS, replace(before, lots=tuple(lots)))
    return journal._db.total_changes - written


def fail_after(journal: Journal, row: Holding) -> None:
    """Write a holding in a step that fails then."""
    with journal.step():
        journal.state.put(HOLDINGS, row)
        journal.state.flush()
        raise ZeroDivisionError


def in_file(journal: Journal) -> list[Lot]:
    with closing(Journal(journal.path, read_only=True)) as other:
        row = other.state.get(HOLDINGS, KEY)
        assert row is not None
        return list(row.lots)


def test_many_lots_come_back(journal: Journal) -> None:
    """Most of them are packed in memory: bought, sold from both ends and among them."""
    lots = [replace(LOTS["a"], exec_id=str(number), order=f"{number % 7}") for number in range(5 * RUN)]
    for after in (
        lots[: 3 * RUN],
        lots,
        lots[3:],
        [*lots[3:RUN], *lots[RUN + 1 :]],
        lots[RUN : 4 * RUN],
        lots,
    ):
        keep(journal, after)
        row = journal.state.get(HOLDINGS, KEY)
        assert row is not None
        assert isinstance(row.lots, LotRuns)
        assert list(row.lots) == in_file(journal) == after


def test_purchase_writes_one_of_many_lots(journal: Journal) -> None:
    """Also where its lot is the one from which on the older ones are packed; the row is the other change."""
    lots: Sequence[Lot] = ()
    for number in range(3 * RUN):
        lots = appended(lots, replace(LOTS["a"], exec_id=str(number)))
        empty = Holding(ACCOUNT, NVDA, Decimal(0), Decimal(0), Baseline.SNAPSHOT)
        written = journal._db.total_changes
        with journal.step():
            journal.state.put(HOLDINGS, replace(empty, lots=lots))
        assert journal._db.total_changes - written == 2
        row = journal.state.get(HOLDINGS, KEY)
        assert row is not None
        lots = row.lots
    assert in_file(journal) == list(lots)


@pytest.mark.parametrize("opened_anew", [False, True], ids=["same process", "after a start"])
@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        # The row itself is one of the changes.
        pytest.param("", named("a"), 2, id="the first"),
        pytest.param("abcd", named("abcde"), 2, id="one more"),
        pytest.param("abcd", named("abcdefg"), 4, id="several more"),
        pytest.param("abcd", [A_LESS, *named("bcd")], 2, id="the oldest is partly sold"),
        pytest.param("abcd", named("bcd"), 2, id="the oldest is sold"),
        pytest.param("abcd", [B_LESS, *named("cd")], 3, id="beyond the oldest"),
        pytest.param("abcd", named("acd"), 2, id="one among them is sold"),
        pytest.param("abcd", named("abc"), 2, id="the newest is sold"),
        pytest.param("abcd", [], 5, id="all are sold"),
        pytest.param("abcd", [A_LESS, *named("bcdef")], 7, id="sold and bought in one batch"),
        pytest.param("abcd", named("abcd"), 1, id="nothing about them"),
        pytest.param("abcd", named("abecd"), 10, id="one that came late"),
    ],
)
def test_only_changed_lots_are_written(
    journal: Journal, before: str, after: list[Lot], changes: int, opened_anew: bool
) -> None:
    keep(journal, named(before))
    if not opened_anew:
        assert keep(journal, after) == changes
        assert in_file(journal) == after
        return
    with closing(Journal(journal.path)) as other:
        lots = other.state.get(HOLDINGS, KEY)
        kept = {lot.exec_id: lot for lot in (lots.lots if lots is not None else ())}
        keep(other, [kept[lot.exec_id] if kept.get(lot.exec_id) == lot else lot for lot in after])
        assert in_file(other) == after


def test_numbers_follow_what_was_sold_before(journal: Journal) -> None:
    """Lots added after others were removed come after those that are left."""
    for names in ("abc", "bc", "bcd", "cd", "cdef", "", "gh"):
        keep(journal, named(names))
        assert in_file(journal) == named(names)


def test_failed_step_leaves_lots_as_they_were(journal: Journal) -> None:
    keep(journal, named("abc"))
    row = journal.state.get(HOLDINGS, KEY)
    assert row is not None
    sold = replace(row, lots=tuple(named("bc")))
    with pytest.raises(ZeroDivisionError):
        fail_after(journal, sold)
    assert in_file(journal) == named("abc")
    keep(journal, named("abcd"))
    assert in_file(journal) == named("abcd")


def test_every_row_comes_with_its_lots(journal: Journal) -> None:
    keep(journal, named("ab"))
    with closing(Journal(journal.path, read_only=True)) as other:
        (row,) = other.state.every(HOLDINGS)
        assert row.lots == tuple(named("ab"))
        assert other.state.find(HOLDINGS, "unowned", "1") == [row]
