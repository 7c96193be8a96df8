"""Rows in the journal are found as those in memory are, however few of them are kept decoded."""

from __future__ import annotations

import copy
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from msgspec.structs import replace

from tests.support.facts import ACCOUNT, NVDA, START, exec_id, execution, fee
from tracker.core.model import Execution, Unmatched
from tracker.core.state import EXECUTIONS, FEES, MemoryLedgerState
from tracker.core.state_rows import Attention, BookedExecution, root_text
from tracker.journal import rows
from tracker.journal.journal import Journal

NUMBERS = st.integers(0, 11)
CONTRACTS = st.integers(1, 3)
ATTENTIONS = st.sampled_from(Attention)
KEPT = 2
ABSENT_KEPT = 3


def booked(
    number: int, con_id: int, seq: int, *, folded: bool, attention: Attention = Attention.NONE
) -> BookedExecution:
    told = execution(exec_id(number), 1, contract=replace(NVDA, con_id=con_id))
    return BookedExecution(told, seq, START, 1, Unmatched("none of them"), folded=folded, attention=attention)


def wire_execution(told: Execution) -> tuple[str, ...]:
    """Return the message that brings an execution, as far as the journal looks at it."""
    fields = [""] * 31
    fields[0], fields[14], fields[16] = "11", told.exec_id, told.account
    return tuple(fields)


class Unlucky(Exception):
    """Whatever may end a step."""


class Books(RuleBasedStateMachine):
    """Do the same to both books; the journal's keeps next to nothing decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(rows, "_CACHED_ROWS", KEPT)
        patch.setattr(rows, "_ABSENT_KEPT", ABSENT_KEPT)
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.journal = self.stack.enter_context(closing(Journal(Path(folder) / "journal.db")))
        self.step = ExitStack()
        self.open = False
        self.memory = MemoryLedgerState()
        self.seq = 0

    def teardown(self) -> None:
        self.step.close()
        self.stack.close()

    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=6), folded=st.booleans(), attention=ATTENTIONS)
    def put(self, numbers: list[int], folded: bool, attention: Attention) -> None:
        self.begin()
        for number in numbers:
            self.seq += 1
            row = booked(number, number % 3 + 1, self.seq, folded=folded, attention=attention)
            self.memory.put(EXECUTIONS, row)
            self.journal.state.put(EXECUTIONS, row)

    @rule(con_id=CONTRACTS)
    def find(self, con_id: int) -> None:
        self.same("contract", f"{ACCOUNT} {con_id}")

    @rule()
    def find_waiting(self) -> None:
        self.same("waiting", "1")

    @rule(attention=ATTENTIONS)
    def find_in_the_inbox(self, attention: Attention) -> None:
        self.same("inbox", attention.value)

    @rule(number=NUMBERS)
    def get(self, number: int) -> None:
        key = f"{ACCOUNT} {exec_id(number)}"
        assert self.journal.state.get(EXECUTIONS, key) == self.memory.get(EXECUTIONS, key)

    @precondition(lambda self: self.open)
    @rule()
    def commit(self) -> None:
        self.step.close()
        self.open = False

    @precondition(lambda self: self.open)
    @rule()
    def fail(self) -> None:
        """Take back all that the step changed."""

        def raising() -> None:
            raise Unlucky

        self.step.callback(raising)
        with pytest.raises(Unlucky):
            self.step.close()
        self.open = False
        self.memory = self.before

    @rule(numbers=st.lists(NUMBERS, max_size=6), con_ids=st.lists(CONTRACTS, max_size=2))
    def look_up(self, numbers: list[int], con_ids: list[int]) -> None:
        """Learn much at once, which changes no later answer."""
        self.journal.state.look_up(EXECUTIONS, [f"{ACCOUNT} {exec_id(number)}" for number in numbers])
        self.journal.state.look_up(EXECUTIONS, [f"{ACCOUNT} {con_id}" for con_id in con_ids], "contract")
        self.journal.state.look_up(EXECUTIONS, ["1"], "waiting")
        self.journal.state.look_up(EXECUTIONS, [each.value for each in Attention], "inbox")

    @rule(number=NUMBERS)
    def has(self, number: int) -> None:
        key = f"{ACCOUNT} {exec_id(number)}"
        assert self.journal.state.has(EXECUTIONS, key) is (self.memory.get(EXECUTIONS, key) is not None)

    def begin(self) -> None:
        if not self.open:
            self.before = copy.deepcopy(self.memory)
            self.step.enter_context(self.journal.step())
            self.open = True

    def same(self, index: str, value: str) -> None:
        found = self.journal.state.find(EXECUTIONS, index, value)
        assert len(found) == len({row.key for row in found})
        wanted = self.memory.find(EXECUTIONS, index, value)
        assert sorted(found, key=lambda row: row.seq) == sorted(wanted, key=lambda row: row.seq)


Books.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
test_books_agree = Books.TestCase


def test_failed_step_leaves_no_value_empty(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was looked up in a large step, whose rows were written early, does not outlive that step."""
    monkeypatch.setattr(rows, "_CACHED_ROWS", KEPT)
    waiting = booked(0, 1, 1, folded=False)
    with journal.step():
        journal.state.put(EXECUTIONS, waiting)

    def large_step() -> None:
        with journal.step():
            for number in range(KEPT + 1):
                journal.state.put(EXECUTIONS, booked(number, 1, 2, folded=True))
            assert len(journal.state.find(EXECUTIONS, "contract", f"{ACCOUNT} 1")) == KEPT + 1
            journal.state.look_up(EXECUTIONS, ["1"], "waiting")
            raise Unlucky

    with pytest.raises(Unlucky):
        large_step()
    assert journal.state.find(EXECUTIONS, "waiting", "1") == [waiting]


def test_prefetched_rows_need_no_query(journal: Journal) -> None:
    """What was looked up at once is not asked for again."""
    with journal.step():
        journal.state.put(EXECUTIONS, booked(0, 1, 1, folded=True))
    journal.state.forget()
    executions = [execution(exec_id(number), 1) for number in range(100)]
    journal.prefetch([wire_execution(each) for each in executions])
    asked: list[str] = []
    journal._db.set_trace_callback(asked.append)
    assert [each.exec_id for each in executions if journal.contains(each.key)] == [exec_id(0)]
    for each in executions[1:]:
        root = root_text(each.account, each.exec_id)
        assert root is not None
        assert journal.state.get(EXECUTIONS, f"{each.account} {each.exec_id}") is None
        assert journal.state.find(EXECUTIONS, "root", root) == []
        assert journal.state.find(EXECUTIONS, "exec_id", each.exec_id) == []
        assert journal.newest_fee(each.exec_id) is None
    assert asked == []


def test_few_messages_are_not_prefetched(journal: Journal) -> None:
    """Few messages are not looked up ahead."""
    asked: list[str] = []
    journal._db.set_trace_callback(asked.append)
    journal.prefetch([wire_execution(execution(exec_id(1), 1)), ("11",), ("59", "1"), ()])
    assert asked == []


def test_large_step_keeps_few_rows(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A break of the link makes it look at all of them; what it reads must not add up."""
    contracts, each = 20, 10
    monkeypatch.setattr(rows, "_CACHED_ROWS", 3 * each)
    with journal.step():
        for number in range(contracts * each):
            journal.state.put(EXECUTIONS, booked(number, number % contracts, number, folded=True))
    kept = journal.state._tables["executions"].rows
    with journal.step():
        for con_id in range(contracts):
            (first, *_) = found = journal.state.find(EXECUTIONS, "contract", f"{ACCOUNT} {con_id}")
            assert len(found) == each
            journal.state.put(EXECUTIONS, replace(first, folded=False))
            assert len(kept) <= 4 * each + 1
            kept = journal.state._tables["executions"].rows
    assert len(journal.state.find(EXECUTIONS, "waiting", "1")) == contracts


def test_sweep_keeps_few_fees(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that looks at each fee of the day keeps few of them in memory."""
    monkeypatch.setattr(rows, "_CACHED_ROWS", 5)
    with journal.step():
        for number in range(50):
            journal.state.put(FEES, fee(str(number), "1.5"))
    assert all(journal.newest_fee(str(number)) == fee(str(number), "1.5") for number in range(50))
    assert len(journal.state._tables["fees"].rows) <= 6
