"""What was found by a look through the stores is told to the oracle as the tracker decides it."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.sim.looks import Journalled, Looks
from tests.sim.rules_oracle.facts import Event, Known, LookedAgain, LookNoted, OrderKey
from tracker.core.journal_entries import Rematched
from tracker.core.model import ExecutionKey, Frame

AT = datetime(2025, 11, 18, 15, tzinfo=UTC)
ACCOUNT = "DU1234567"
ONE, TWO = (OrderKey(ACCOUNT, 700, perm_id) for perm_id in (1, 2))
ORDERS = {"one": ONE, "two": TWO}


def rematch(seq: int, exec_id: str) -> Frame:
    arriving = Rematched(ExecutionKey(ACCOUNT, exec_id)).arriving
    return Frame(seq, AT, 0, arriving[0], arriving[1])


def test_process_ends_amid_the_notes_of_a_look() -> None:
    """Two orders are to be matched again; the second one is decided by what the next process reads."""
    told: list[Event] = []
    looks = Looks(told.append, lambda: Known(tuple(ORDERS.values()), frozenset({5})), ORDERS.__getitem__)
    looks.begin(Journalled(7, 7, 0))
    notes = [rematch(8, "one"), rematch(9, "two")]
    assert looks.unfinished(notes[:1], notes[1:]) == 7
    looks.decided_partly(AT, 7, notes[:1])
    looks.stopped(AT, 9)
    assert looks.unfinished(notes[1:], []) is None
    looks.decided(AT, 8)
    assert told == [
        LookedAgain(AT, True, False, 8, Known((ONE,), frozenset({5})), partly=True),
        LookNoted(AT, 7),
        LookedAgain(AT, True, True, 8, Known((TWO,), frozenset())),
    ]
    assert not looks.open


def test_look_of_which_nothing_is_decided_is_not_half_done() -> None:
    """Its first note is the next to be decided."""
    told: list[Event] = []
    looks = Looks(told.append, lambda: Known((), frozenset()), ORDERS.__getitem__)
    looks.begin(Journalled(6, 7, 0))
    looks.begin(Journalled(7, 8, 0))
    assert looks.unfinished([rematch(8, "one")], [rematch(9, "two")]) is None


def test_note_of_what_the_rules_leave_open_is_decided() -> None:
    """An order lost its near miss, of which the rules page says nothing, and the process ended."""
    told: list[Event] = []
    looks = Looks(told.append, lambda: Known((), frozenset()), ORDERS.__getitem__)
    looks.begin(Journalled(6, 7, 0))
    looks.stopped(AT, 8)
    looks.begin(Journalled(6, 8, 8))
    looks.keep_what_is_known()
    looks.decided(AT, 7, [rematch(8, "one"), rematch(9, "two")])
    assert told == [
        LookNoted(AT, 7),
        LookedAgain(AT, True, True, 7, Known((ONE,), frozenset())),
    ]


def test_tracker_looks_again_behind_frames_that_waited() -> None:
    """A frame waited as the stores were looked through; once it is decided they are looked through anew."""
    told: list[Event] = []
    nothing = Known((), frozenset())
    looks = Looks(told.append, lambda: nothing, ORDERS.__getitem__)
    looks.begin(Journalled(6, 7, 0))
    looks.rested(AT, 7)
    assert told == [LookedAgain(AT, True, False, 7, nothing), LookedAgain(AT, True, False, 7)]
    looks.begin(Journalled(7, 7, 0))
    looks.rested(AT, 7)
    assert told[2:] == [LookedAgain(AT, True, False, 7)]
    looks.begin(Journalled(7, 8, 0))
    looks.decided(AT, 8)
    assert looks.early
    looks.stopped(AT, 8)
    assert not looks.early
