"""What a ledger keeps in memory is put back as it was, whatever changed it."""

from __future__ import annotations

import copy
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.support.facts import execution
from tracker.core.ledger import Ledger
from tracker.core.model import Unmatched
from tracker.core.state import MemoryLedgerState
from tracker.pipeline.rollback import LedgerMemory


@dataclass(slots=True)
class Draft:
    rows: dict[str, int] = field(default_factory=dict)
    overdue: bool = False


class Run(NamedTuple):
    before: int
    names: dict[str, None]


class Whole:
    """Something with every kind of memory that the core uses."""

    def __init__(self) -> None:
        self.rows = object()
        self.counts = {"a": 1}
        self.lists = defaultdict(list, {"a": [1]})
        self.names = {"x"}
        self.draft: Draft | None = Draft({"a": 1})
        self.pair = (Draft({"b": 2}), 3)
        self.runs = {"k": Run(1, {"n": None})}
        self.call = self.change
        self.plain: tuple[int, ...] = (1, 2)

    def change(self) -> None:
        """Change everything, in place and by assignment."""
        self.counts["b"] = 2
        self.lists["a"].append(2)
        self.lists["b"].append(3)
        self.names.add("y")
        assert self.draft is not None
        self.draft.rows["c"] = 3
        self.draft.overdue = True
        self.draft = None
        self.pair[0].rows.clear()
        self.runs["k"].names["m"] = None
        self.plain = (3,)


def test_all_memory_is_put_back() -> None:
    """Twice in a row, since what was put back may be changed again."""
    whole = Whole()
    plain = {name: value for name, value in vars(whole).items() if name not in ("call", "rows")}
    before = copy.deepcopy(plain)
    memory = LedgerMemory(whole, whole.rows)
    for _ in range(2):
        whole.change()
        memory.put_back()
        after = {name: value for name, value in vars(whole).items() if name not in ("call", "rows")}
        assert after == before


def test_later_keep_replaces_earlier_one() -> None:
    whole = Whole()
    memory = LedgerMemory(whole, whole.rows)
    whole.counts["kept"] = 1
    memory.keep()
    whole.counts.clear()
    memory.put_back()
    assert whole.counts == {"a": 1, "kept": 1}


def test_parts_found_and_rows_left() -> None:
    """Every object of the core that the ledger is made of, and not its rows, which the journal takes back."""
    rows = MemoryLedgerState()
    ledger = Ledger(rows, lambda fill, now: Unmatched(execution("x", 1).exec_id))
    parts = LedgerMemory(ledger, rows)._parts
    names = {type(part).__name__ for part in parts}
    assert {"Ledger", "Positions", "Orders", "Completeness", "Expirations"} <= names
    assert not any(part is rows for part in parts)


def test_no_two_parts_keep_one_memory() -> None:
    """Each is put back by itself, so what two of them kept in common would be two from then on."""
    state = MemoryLedgerState()
    ledger = Ledger(state, lambda execution, now: Unmatched(""))
    kept = [
        id(value)
        for part in LedgerMemory(ledger, state)._parts
        for value in vars(part).values()
        if isinstance(value, dict | list | set)
    ]
    assert len(kept) == len(set(kept))
