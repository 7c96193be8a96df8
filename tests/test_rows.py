"""Rows in the journal are found as those in memory are, however few of them are kept decoded."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from msgspec.structs import replace

from tests.facts import ACCOUNT, NVDA, START, exec_id, execution, fee
from tracker.core.book import EXECUTIONS, FEES, Booked, MemoryBook
from tracker.core.model import Unmatched
from tracker.stores import rows
from tracker.stores.journal import Journal

NUMBERS = st.integers(0, 11)
CONTRACTS = st.integers(1, 3)
KEPT = 2


def booked(number: int, con_id: int, seq: int, *, folded: bool) -> Booked:
    told = execution(exec_id(number), 1, contract=replace(NVDA, con_id=con_id))
    return Booked(told, seq, START, 1, Unmatched("none of them"), folded=folded)


class Books(RuleBasedStateMachine):
    """Do the same to both books; the journal's keeps next to nothing decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(rows, "_CACHED_ROWS", KEPT)
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.journal = self.stack.enter_context(closing(Journal(Path(folder) / "journal.db")))
        self.step = ExitStack()
        self.open = False
        self.memory = MemoryBook()
        self.seq = 0

    def teardown(self) -> None:
        self.step.close()
        self.stack.close()

    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=6), con_id=CONTRACTS, folded=st.booleans())
    def put(self, numbers: list[int], con_id: int, folded: bool) -> None:
        self.begin()
        for number in numbers:
            self.seq += 1
            row = booked(number, con_id, self.seq, folded=folded)
            self.memory.put(EXECUTIONS, row)
            self.journal.book.put(EXECUTIONS, row)

    @rule(con_id=CONTRACTS)
    def find(self, con_id: int) -> None:
        self.same("contract", f"{ACCOUNT} {con_id}")

    @rule()
    def find_waiting(self) -> None:
        self.same("waiting", "1")

    @rule(number=NUMBERS)
    def get(self, number: int) -> None:
        key = f"{ACCOUNT} {exec_id(number)}"
        assert self.journal.book.get(EXECUTIONS, key) == self.memory.get(EXECUTIONS, key)

    @precondition(lambda self: self.open)
    @rule()
    def commit(self) -> None:
        self.step.close()
        self.open = False

    def begin(self) -> None:
        if not self.open:
            self.step.enter_context(self.journal.step())
            self.open = True

    def same(self, index: str, value: str) -> None:
        found = self.journal.book.find(EXECUTIONS, index, value)
        assert len(found) == len({row.key for row in found})
        wanted = self.memory.find(EXECUTIONS, index, value)
        assert sorted(found, key=lambda row: row.seq) == sorted(wanted, key=lambda row: row.seq)


Books.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
test_books_agree = Books.TestCase


def test_one_step_that_looks_at_the_past_of_many_contracts_keeps_little_of_it(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A break of the link makes it look at all of them; what it reads must not add up."""
    contracts, each = 20, 10
    monkeypatch.setattr(rows, "_CACHED_ROWS", 3 * each)
    with journal.step():
        for number in range(contracts * each):
            journal.book.put(EXECUTIONS, booked(number, number % contracts, number, folded=True))
    kept = journal.book._tables["executions"].rows
    with journal.step():
        for con_id in range(contracts):
            (first, *_) = found = journal.book.find(EXECUTIONS, "contract", f"{ACCOUNT} {con_id}")
            assert len(found) == each
            journal.book.put(EXECUTIONS, replace(first, folded=False))
            assert len(kept) <= 4 * each + 1
            kept = journal.book._tables["executions"].rows
    assert len(journal.book.find(EXECUTIONS, "waiting", "1")) == contracts


def test_a_sweep_that_looks_at_each_fee_of_the_day_keeps_few_of_them(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_CACHED_ROWS", 5)
    with journal.step():
        for number in range(50):
            journal.book.put(FEES, fee(str(number), "1.5"))
    assert all(journal.knows_fee(fee(str(number), "1.5")) for number in range(50))
    assert len(journal.book._tables["fees"].rows) <= 6
