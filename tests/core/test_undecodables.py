"""Messages that cannot be used are kept, and asked for once."""

from __future__ import annotations

from datetime import timedelta

from tests.support.facts import ACCOUNT, BESIDE, held, position, quantity
from tests.support.held_stock import KEY, STOCK, Held
from tracker.core.model import End, EndOf, Position, Source, Undecodable
from tracker.core.state import MemoryLedgerState
from tracker.core.undecodables import Undecodables


def test_execution_without_version_is_asked_for_once() -> None:
    """An execId that is not of four segments has no versions; it is asked for all the same."""
    undecodables = Undecodables(MemoryLedgerState())
    odd = Undecodable("execution", "3 of 31 fields", exec_id="odd")
    assert undecodables.asks_for(1, odd)
    assert not undecodables.asks_for(2, odd)


def unread(contract: str) -> Undecodable:
    return Undecodable("position", "position has more than 12 digits after the point", contract=contract)


class Answers(Held):
    """Hold 10 of a stock for an alert; each answer has a row that cannot be read."""

    def answer_unread(self, contract: str, *others: Position) -> None:
        self.now += timedelta(seconds=400)
        self.number += 1
        self.sweep(request=self.number)
        self.note(Source.SENT, "positions")
        self.tell(*others, unread(contract), End(EndOf.POSITIONS, -1))


def test_position_that_cannot_be_read_is_not_gone() -> None:
    """However often the row comes, the alert stays open; others of the answer are compared all the same."""
    story = Answers(10)
    for _ in range(3):
        story.answer_unread(KEY, position(1, contract=BESIDE))
    assert (quantity(story), held(story), story.waiting(), story.adjustments) == (10, 10, [], [])
    for _ in range(2):
        story.answer_unread(f"{ACCOUNT} 55", position(40, contract=STOCK))
    assert held(story) == 40


def test_row_of_an_unknown_contract_leaves_nothing_certain() -> None:
    story = Answers(10)
    for _ in range(3):
        story.answer_unread("", position(40, contract=STOCK))
    assert (quantity(story), held(story), story.waiting()) == (10, 10, [])


def test_row_that_is_pushed_says_nothing_of_the_next_answer() -> None:
    story = Answers(10)
    story.tell(unread(KEY))
    for _ in range(2):
        story.answer(12)
    assert held(story) == 12
