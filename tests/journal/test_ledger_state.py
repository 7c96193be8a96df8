"""Every `LedgerState` keeps and finds rows alike: the one in memory, and the one in the journal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.facts import ACCOUNT, Story, exec_id, execution, fee
from tracker.core.model import (
    Source,
)
from tracker.core.ownership_rows import RetryWindow
from tracker.core.state import (
    ALERTS,
    EXECUTIONS,
    FEES,
    OUTBOX,
    TABLES,
    WINDOWS,
    LedgerState,
    MemoryLedgerState,
    Row,
    Table,
)
from tracker.journal.journal import Journal
from tracker.queries.rehearsal import Overlay


@pytest.fixture(params=["memory", "journal"])
def state(request: pytest.FixtureRequest, journal: Journal) -> Iterator[LedgerState]:
    if request.param == "memory":
        yield MemoryLedgerState()
        return
    with journal.step():
        yield journal.state


def test_row_is_found_by_key(state: LedgerState) -> None:
    assert state.get(FEES, "a") is None
    state.put(FEES, fee("a", "1.5"))
    assert state.get(FEES, "a") == fee("a", "1.5")


def test_row_replaces_its_key(state: LedgerState) -> None:
    """A row takes the place of the one with its key."""
    state.put(FEES, fee("a", None))
    state.put(FEES, fee("b", "2"))
    state.put(FEES, fee("a", "1.5"))
    assert sorted(state.every(FEES), key=FEES.key) == [fee("a", "1.5"), fee("b", "2")]


def test_rows_are_found_by_their_indexes(state: LedgerState) -> None:
    story = Story(state=state)
    story.tell(execution(exec_id(1), 4), execution(exec_id(2), 6, perm_id=189, at=1))
    found = state.find(EXECUTIONS, "contract", f"{ACCOUNT} 700100200")
    assert {row.execution.exec_id for row in found} == {exec_id(1), exec_id(2)}
    assert state.find(EXECUTIONS, "waiting", "1") == []
    assert state.find(EXECUTIONS, "contract", "nobody 1") == []


def test_changed_row_leaves_its_index(state: LedgerState) -> None:
    """A row is no longer found by an index value that it had."""
    story = Story(state=state)
    story.tell(execution(exec_id(1), 4))
    assert len(state.find(OUTBOX, "pending", "1")) == 1
    (row,) = state.find(ALERTS, "kept", "1")
    story.note(Source.STORE, "gone", *row.alert[:3], str(row.alert.option_conid))
    assert state.find(ALERTS, "kept", "1") == []


def test_key_is_found_by_how_it_begins(state: LedgerState) -> None:
    """Also over what a rehearsal keeps beside it."""
    state.put(FEES, fee("flex-1", "1.5"))
    above = Overlay(state)
    above.put(FEES, fee("plan-1", "1.5"))
    for prefix, here, there in (("flex-", True, True), ("plan-", False, True), ("flex-2", False, False)):
        assert (state.has_key_from(FEES, prefix), above.has_key_from(FEES, prefix)) == (here, there)


def test_values_of_an_index_that_lead_to_rows(state: LedgerState) -> None:
    """Also over what a rehearsal changes; the second window is over, the others began at 5 and at 25 s."""
    for order, began in (("a", 25.0), ("b", 15.0), ("c", 5.0), ("d", 29.0)):
        state.put(WINDOWS, RetryWindow(order, began))
    state.put(WINDOWS, RetryWindow("b", 15.0, over=True))
    assert state.values(WINDOWS, "open") == ["0000000000", "0000000002"]
    above = Overlay(state)
    above.put(WINDOWS, RetryWindow("c", 5.0, over=True))
    above.put(WINDOWS, RetryWindow("e", 31.0))
    assert above.values(WINDOWS, "open") == ["0000000002", "0000000003"]


def test_key_in_the_file_is_found_by_how_it_begins(journal: Journal) -> None:
    with journal.step():
        journal.state.put(FEES, fee("flex-1", "1.5"))
    other = Journal(journal.path, read_only=True)
    assert other.state.has_key_from(FEES, "flex-")
    assert not other.state.has_key_from(FEES, "flex-2")
    other.close()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_table_can_be_read(state: LedgerState, table: Table[Row]) -> None:
    """Every kind of row can be asked for."""
    assert list(state.every(table)) == []
    for index in table.indexes:
        assert state.find(table, index, "1") == []
