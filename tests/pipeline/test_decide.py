"""A frame that cannot be decided is kept and shown, and stops no other; nothing of it is left behind."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.answer_rig import ROBIN, Desk, buy, loose, record
from tests.support.facts import exec_id
from tracker.core.alert_updates import EventKind, TrackerEvent
from tracker.core.journal_entries import (
    Entry,
    ExecutionsAsked,
    FirstSweepOver,
    LinkDown,
    LinkUp,
    PositionsAsked,
)
from tracker.core.model import Alert, End, EndOf, Execution, Frame, Match, Matched, Source
from tracker.core.state import EXECUTIONS, SNAPSHOTS, UNDECODED
from tracker.core.state_rows import Attention, UndecodableFrame
from tracker.pipeline.pump import Pump
from tracker.queries.why import why_execution

POISON = "poison"
"""The order reference of an execution that the core raises on."""


class PoisonedDesk(Desk):
    """A desk whose matching raises on some executions and on some records."""

    def __init__(self, *values: Any, **more: Any) -> None:
        self.events: list[TrackerEvent] = []
        self.bad_record = ""
        self.cured = False
        super().__init__(*values, **more)

    def make_pump(self, store: Any, match: Any = None, **more: Any) -> Pump:
        return super().make_pump(store, match or self._poisoned, on_event=self.events.append, **more)

    def _poisoned(self, execution: Execution, candidates: Sequence[Alert], **now: Any) -> Match:
        if execution.order_ref == POISON and not self.cured:
            raise OverflowError("date value out of range")
        if any(alert.id.name == self.bad_record for alert in candidates):
            raise ValueError("no such day")
        return self.match(execution, candidates, **now)

    @property
    def refused(self) -> list[UndecodableFrame]:
        return self.journal.state.find(UNDECODED, "open", "1")

    def again(self) -> None:
        """Start the pump again, as after a restart."""
        self.pump = self.make_pump(self.store)
        self.pump._decider.decide_again(self.now)
        self.run_pump()


def poison(number: int, **changes: Any) -> Execution:
    return replace(buy(number, 1), order_ref=POISON, **changes)


def quantity(desk: Desk) -> object:
    """Return what the first record shows as its position."""
    (alert, *_) = desk.store.alerts()
    shown = desk.store.shown(alert.id)
    return shown.position["quantity"] if shown is not None and shown.position else None


def test_failing_frame_stops_no_other(tmp_path: Path) -> None:
    """The frames around it, in one batch with it, count; it is kept with the reason and published."""
    with PoisonedDesk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4), poison(2), buy(3, 2))
        assert quantity(desk) == 6
        (row,) = desk.refused
        assert (row.kind, row.exec_id, row.live) == ("execution", exec_id(2), True)
        assert row.reason == "it could not be decided: OverflowError: date value out of range"
        assert [event.kind for event in desk.events].count(EventKind.FILL) == 2
        assert [event.kind for event in desk.events].count(EventKind.UNDECODABLE) == 1
        assert not desk.journal.waiting


def test_failing_frame_that_comes_alone(tmp_path: Path) -> None:
    """It is journalled and decided in one commit where it can be; else the pump continues after it."""
    with PoisonedDesk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.run_pump()
        desk.take(poison(1))
        assert desk.journal.waiting
        desk.run_pump()
        desk.take(buy(2, 4))
        desk.run_pump()
        assert quantity(desk) == 4
        assert len(desk.refused) == 1


def test_same_refused_execution_is_kept_once(tmp_path: Path) -> None:
    with PoisonedDesk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(poison(1))
        desk.tell(poison(1))
        assert len(desk.refused) == 1
        assert [event.kind for event in desk.events] == [EventKind.UNDECODABLE]


def test_refused_frame_is_decided_at_start(tmp_path: Path) -> None:
    """A version that can decide it heals it; one that cannot leaves it as it was."""
    with PoisonedDesk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(poison(1), buy(2, 4))
        desk.again()
        assert len(desk.refused) == 1
        assert [event.kind for event in desk.events].count(EventKind.UNDECODABLE) == 1
        desk.cured = True
        desk.again()
        assert desk.refused == []
        assert quantity(desk) == 5


def test_later_version_heals_refused_one(tmp_path: Path) -> None:
    """A correction that can be decided stands in the place of the version that could not be."""
    with PoisonedDesk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(poison(1))
        desk.tell(replace(buy(1, 3), exec_id=exec_id(1, 2)))
        assert desk.refused == []
        assert quantity(desk) == 3


def test_earlier_version_heals_no_later_one(tmp_path: Path) -> None:
    with PoisonedDesk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(poison(1, exec_id=exec_id(1, 2)))
        desk.tell(buy(1, 3))
        assert len(desk.refused) == 1
        assert quantity(desk) == 3


def test_unusable_record_hides_no_other(tmp_path: Path) -> None:
    """It is rejected by name, with the reason, and the fill wants a person; the other record shows it."""
    alerts = {ROBIN: {"NVDA": record()}, "wolf": {"NVDA": loose()}}
    with PoisonedDesk(tmp_path, alerts) as desk:
        desk.bad_record = "wolf/NVDA"
        desk.tell(buy(1, 4))
        assert quantity(desk) == 4
        match = desk.booked(exec_id(1)).match
        assert isinstance(match, Matched)
        (rejection,) = [each for each in match.rejected if each.alert.name == "wolf/NVDA"]
        assert rejection.reason == "the record cannot be used: ValueError: no such day"
        assert desk.refused == []


def test_only_unusable_record_wants_person(tmp_path: Path) -> None:
    with PoisonedDesk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.bad_record = f"{ROBIN}/NVDA"
        desk.tell(buy(1, 4))
        assert desk.booked(exec_id(1)).attention is Attention.NEAR_MISS
        answer = why_execution(desk.journal, exec_id(1), desk.names)
        assert "no such day" in str(answer)


def test_repaired_record_gets_its_fill(tmp_path: Path) -> None:
    with PoisonedDesk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.bad_record = f"{ROBIN}/NVDA"
        desk.tell(buy(1, 4))
        desk.bad_record = ""
        desk.change(lambda alerts: alerts[ROBIN]["NVDA"].update(note="repaired"))
        assert quantity(desk) == 4


def test_failed_decision_leaves_no_trace(tmp_path: Path) -> None:
    """After a batch that fails the ledger's memory and rows are those of a run that never met it.

    Fills, fees and repeats of many contracts, with a poisoned one anywhere among them.
    """
    numbers = random.Random(7)
    for run in range(20):
        folders = [tmp_path / f"{run}-{name}" for name in ("with", "without")]
        desks: list[PoisonedDesk] = []
        for folder in folders:
            folder.mkdir()
            desks.append(PoisonedDesk(folder, {ROBIN: {"NVDA": record()}}))
        fills = [buy(number, numbers.randint(1, 9)) for number in range(1, 21)]
        batches = [fills[at : at + 5] for at in range(0, 20, 5)]
        for batch in batches:
            poisoned: list[Execution] = list(batch)
            poisoned.insert(numbers.randint(0, 5), poison(numbers.randint(100, 999)))
            desks[0].tell(*poisoned)
            desks[1].tell(*batch)
        assert quantity(desks[0]) == quantity(desks[1])
        assert _memory(desks[0]) == _memory(desks[1])
        assert _folded(desks[0]) == _folded(desks[1])
        for desk in desks:
            desk.stop()


def _folded(desk: Desk) -> list[object]:
    rows = desk.journal.state.every(EXECUTIONS)
    return [(row.key, row.opening, row.closing, row.owners) for row in rows]


def _memory(desk: PoisonedDesk) -> list[tuple[str, int]]:
    """Return how much each part of the ledger keeps in memory; what was refused is meant to stay."""
    parts = desk.pump._decider._memory._parts
    kept = [(name, value) for part in parts for name, value in vars(part).items()]
    return [
        (name, len(value))
        for name, value in kept
        if isinstance(value, dict | list | set) and name not in ("_open", "_came")
    ]


def test_unjournalled_frame_is_an_error(tmp_path: Path) -> None:
    """What could not be journalled may not be taken for what could not be decided: the capture must know."""
    with PoisonedDesk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.run_pump()
        with pytest.raises(UnicodeEncodeError):
            desk.pump.append(1, desk.now, [(Source.BROKER, ("fact", "\ud800"))])
        assert not desk.journal.waiting


class BrokenDesk(PoisonedDesk):
    """A desk whose core raises on some entries of the link and ends of answers."""

    broken: tuple[type, ...] = ()

    def make_pump(self, store: Any, match: Any = None, **more: Any) -> Pump:
        pump = super().make_pump(store, match, **more)
        whole = pump._ledger._note, pump._ledger._end

        def note(frame: Frame, entry: Any) -> None:
            if isinstance(entry, self.broken):
                raise OverflowError("a bug")
            whole[0](frame, entry)

        def end(frame: Frame, fact: End) -> None:
            if End in self.broken and fact.of is EndOf.EXECUTIONS:
                raise OverflowError("a bug")
            whole[1](frame, fact)

        # The bug itself.
        vars(pump._ledger).update(_note=note, _end=end)
        return pump

    def enter(self, entry: Entry) -> None:
        source, fields = entry.arriving
        self.note(source, *fields)

    def sweep(self, request: int, *listed: Execution) -> None:
        self.enter(ExecutionsAsked(request, "DU1234567"))
        answer = [replace(each, request_id=request) for each in listed]
        self.tell(*answer, End(EndOf.EXECUTIONS, request))


def test_next_sweep_heals_undecided_end(tmp_path: Path) -> None:
    """What the sweep brought waits for the next one's end; the same failure is kept once."""
    with BrokenDesk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.enter(LinkUp(("DU1234567",), "176"))
        desk.enter(FirstSweepOver())
        desk.broken = (End,)
        desk.sweep(1, buy(1, 4))
        desk.sweep(2, buy(1, 4), buy(2, 1))
        assert [row.kind for row in desk.refused] == ["message fact"]
        assert quantity(desk) is None
        desk.broken = ()
        desk.sweep(3, buy(1, 4), buy(2, 1))
        assert quantity(desk) == 5
        assert not desk.pump._ledger._positions.awaits_sweep(("DU1234567",))


@pytest.mark.parametrize("entry", [LinkUp, LinkDown])
def test_connection_begins_past_undecided_entry(tmp_path: Path, entry: type) -> None:
    """The sweeps of the old connection are forgotten, and the new one's positions and sweeps count."""
    with BrokenDesk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.enter(LinkUp(("DU1234567",), "176"))
        desk.enter(ExecutionsAsked(1, "DU1234567"))
        desk.tell(replace(buy(1, 4), request_id=1))
        desk.broken = (entry,)
        desk.enter(LinkDown("gone"))
        desk.enter(LinkUp(("DU1234567", "DU7654321"), "176"))
        assert [row.reason for row in desk.refused] == ["it could not be decided: OverflowError: a bug"]
        assert desk.pump._ledger._completeness.link.accounts == ("DU1234567", "DU7654321")
        desk.enter(PositionsAsked())
        desk.tell(End(EndOf.POSITIONS, -1))
        desk.sweep(2, buy(1, 4))
        assert quantity(desk) == 4
        assert desk.journal.state.get(SNAPSHOTS, "last") is not None


def test_failure_of_passing_over_is_survived(tmp_path: Path) -> None:
    """Where not even the connection can begin, the entry is kept and the pump goes on."""
    with BrokenDesk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.broken = (LinkUp,)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(desk.pump._ledger, "pass_over", lambda frame: frame.nothing)
            desk.enter(LinkUp(("DU1234567",), "176"))
        assert len(desk.refused) == 1
        desk.tell(buy(1, 4))
        assert quantity(desk) == 4
