"""The journal keeps frames and rows durably, or says that it could not."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from tests.support.facts import ACCOUNT, ALERT, NVDA, START, Story, exec_id, execution, fee, quantity
from tracker.core.model import (
    Alert,
    CommissionReport,
    ExecutionKey,
    Source,
)
from tracker.core.state import (
    FEES,
    TOTALS,
)
from tracker.core.state_rows import alert_text
from tracker.journal.journal import Journal
from tracker.journal.journal_file import size_of

KEY = ExecutionKey(ACCOUNT, exec_id(1))


def again(journal: Journal) -> Journal:
    """Open the same file as another process would."""
    return Journal(journal.path)


# Frames


def test_frames_come_back_as_they_were(journal: Journal) -> None:
    texts: list[tuple[str, ...]] = [
        ("11", "", "", "Zürich", "\\xff", "日本", " ", "a\nb"),
        ("",),
        ("4", "2", "-1", "1100", "lost", ""),
    ]
    at = START + timedelta(microseconds=123457)
    journal.append(3, at, [(Source.BROKER, text) for text in texts])
    other = again(journal)
    frames = other.frames_after(0, 10)
    assert [frame.fields for frame in frames] == texts
    assert {(frame.received_at, frame.connection_no, frame.source) for frame in frames} == {
        (at, 3, Source.BROKER)
    }
    assert [frame.seq for frame in frames] == [1, 2, 3]
    assert other.frame(2) == frames[1]
    assert other.frame(9) is None
    other.close()


def test_frames_are_read_in_pages(journal: Journal) -> None:
    journal.append(1, START, [(Source.BROKER, (str(number),)) for number in range(5)])
    assert [frame.fields[0] for frame in journal.frames_after(1, 2)] == ["1", "2"]


@pytest.mark.parametrize("micro", [0, 1, 333333, 499999, 999999])
def test_a_receipt_keeps_its_microseconds(journal: Journal, micro: int) -> None:
    at = START + timedelta(microseconds=micro)
    journal.append(1, at, [(Source.LINK, ("up",))])
    assert journal.frames_after(0, 1)[0].received_at == at


def test_last_connection_outlives_frames(journal: Journal) -> None:
    """The number of the last connection outlives the frames."""
    assert journal.last_connection_no == 0
    journal.set_meta("session", "4")
    assert journal.last_connection_no == 4
    journal.append(5, START, [(Source.LINK, ("up",))])
    with closing(again(journal)) as other:
        assert other.last_connection_no == 5


def executed(identity: ExecutionKey) -> tuple[Source, tuple[str, ...]]:
    """Return the frame of an execution, as far as the journal looks at it."""
    fields = ["11"] + [""] * 30
    fields[14], fields[16] = identity.exec_id, identity.account
    return Source.BROKER, tuple(fields)


def test_execution_is_contained_from_frame(journal: Journal) -> None:
    """The journal contains an execution from its frame on."""
    assert not journal.contains(KEY)
    journal.append(1, START, [executed(KEY), (Source.BROKER, ("11", "short"))])
    assert journal.contains(KEY)
    with journal.step() as advance:
        Story(state=journal.state, up=False).tell(execution(KEY.exec_id, 4))
        advance(2)
    assert journal.contains(KEY)
    other = again(journal)
    assert other.contains(KEY)
    other.close()


def test_newest_fee_is_the_applied_one(journal: Journal) -> None:
    """The newest fee of an execution is the one that was applied last."""
    told = CommissionReport(KEY.exec_id, Decimal("0.65"), "USD", None)
    assert journal.newest_fee(told.exec_id) is None
    with journal.step():
        journal.state.put(FEES, told)
    other = again(journal)
    assert other.newest_fee(told.exec_id) == replace(told, commission=Decimal("0.650"))
    other.close()


def test_waiting_execution_stays_contained(journal: Journal) -> None:
    """The journal contains an execution whose frame waits behind a step."""
    journal.append(1, START, [(Source.LINK, ("up", ACCOUNT, "176")), executed(KEY)])
    with journal.step() as advance:
        advance(1)
    with journal.step():
        pass
    assert journal.contains(KEY)


# The pump's step


def test_step_keeps_rows_and_cursor(journal: Journal) -> None:
    """A step keeps its rows and the cursor."""
    assert journal.cursor == 0
    with journal.step() as advance:
        journal.state.put(FEES, fee("a", "1"))
        advance(7)
    other = again(journal)
    assert other.cursor == 7
    assert other.state.get(FEES, "a") == fee("a", "1")
    assert other.state.has(FEES, "a")
    assert not other.state.has(FEES, "b")
    other.close()


def test_failed_step_keeps_nothing(journal: Journal) -> None:
    """A step that fails keeps nothing, in the file or in memory."""
    with journal.step() as advance:
        journal.state.put(FEES, fee("a", "1"))
        advance(1)
    with pytest.raises(ZeroDivisionError):
        _break_off(journal)
    assert journal.cursor == 1
    assert journal.state.get(FEES, "a") == fee("a", "1")
    assert journal.state.get(FEES, "b") is None


def _break_off(journal: Journal) -> None:
    with journal.step() as advance:
        journal.state.put(FEES, fee("a", "2"))
        journal.state.put(FEES, fee("b", "2"))
        assert len(list(journal.state.every(FEES))) == 2
        advance(2)
        raise ZeroDivisionError


def test_step_without_cursor(journal: Journal) -> None:
    """A step without a new cursor leaves the cursor where it is."""
    with journal.step() as advance:
        advance(3)
    with journal.step():
        journal.state.put(FEES, fee("a", "1"))
    assert journal.cursor == 3


def test_dropped_rows_are_found_again(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many rows are dropped from memory, and found again."""
    monkeypatch.setattr("tracker.journal.rows._CACHED_ROWS", 3)
    with journal.step():
        for number in range(5):
            journal.state.put(FEES, fee(str(number), "1"))
    assert journal.state._tables["fees"].rows == {}
    assert journal.state.get(FEES, "4") == fee("4", "1")
    assert len(list(journal.state.every(FEES))) == 5


def test_undeclared_index_is_refused(journal: Journal) -> None:
    """An index that is not declared is refused."""
    with pytest.raises(AssertionError, match="no index colour"):
        journal.state.find(FEES, "colour", "red")


def test_next_process_goes_on(journal: Journal) -> None:
    """What was decided is there for the next process."""
    with journal.step():
        Story(state=journal.state).tell(execution(exec_id(1), 4))
    other = again(journal)
    with other.step():
        story = Story(state=other.state, up=False)
        story.seq = 50
        story.note(Source.LINK, "up", ACCOUNT, "176")
        story.tell(execution(exec_id(1), 4), execution(exec_id(2), 6, at=1))
        assert quantity(story) == 10
    other.close()


def test_considered_alerts_are_kept(journal: Journal) -> None:
    """The alerts that a decision looked at are kept."""
    alert = Alert(ALERT, False, START, frozenset({700100200}), "NVDA", True)
    with journal.step():
        journal.considered(7, KEY, [alert])
        journal.considered(8, KEY, [])
    assert journal.was_considered(7, KEY) == (alert,)
    assert journal.was_considered(8, KEY) == ()


def test_store_log_is_in_order(journal: Journal) -> None:
    """What was done to the store is kept, oldest first."""
    with journal.step():
        for number in range(3):
            at = START + timedelta(seconds=number)
            journal.log_store(at, [(alert_text(ALERT), "applied", b"%d" % number), ("another", "gone", b"")])
    assert journal.store_log(alert_text(ALERT), 2) == [
        (START + timedelta(seconds=1), "applied", 1),
        (START + timedelta(seconds=2), "applied", 2),
    ]


def test_value_is_kept_by_name(journal: Journal) -> None:
    assert journal.meta("mode") is None
    journal.set_meta("mode", "paper")
    journal.set_meta("mode", "live")
    assert journal.meta("mode") == "live"


# What questions and proofs read


def test_many_frames_come_from_file(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """More frames than memory keeps are read from the file."""
    monkeypatch.setattr("tracker.journal.journal._TAIL_FRAMES", 3)
    for number in range(5):
        journal.append(1, START, [(Source.BROKER, (str(number),))])
    assert [frame.fields[0] for frame in journal.frames_after(0, 10)] == ["0", "1", "2", "3", "4"]
    with journal.step() as advance:
        advance(4)
    assert [frame.fields[0] for frame in journal.frames_after(4, 10)] == ["4"]


def test_entries_of_people_and_store(journal: Journal) -> None:
    """The entries of people and of the store are found."""
    sources = [Source.BROKER, Source.PERSON, Source.LINK, Source.STORE, Source.SENT, Source.FLEX]
    journal.append(1, START, [(source, (source.value,)) for source in sources])
    assert [frame.fields for frame in journal.notes()] == [("person",), ("store",)]


def test_size_includes_the_wal(journal: Journal) -> None:
    """Beside a busy daemon that is megabytes before they come into the file itself."""
    before = size_of(journal.path)
    for _ in range(50):
        journal.append(1, START, [(Source.BROKER, ("4", "x" * 10_000))])
    assert size_of(journal.path) - before > 500_000
    journal.close()
    assert size_of(journal.path) == journal.path.stat().st_size > 500_000


def test_the_days_with_executions_are_found(journal: Journal) -> None:
    with journal.step():
        story = Story(state=journal.state)
        story.tell(execution(exec_id(1), 4))
        story.tell(execution(exec_id(2), 4, at=86400), after=86400)
    assert journal.days() == ["2025-11-18", "2025-11-19"]


def test_fills_and_pending_fees_are_counted(journal: Journal) -> None:
    """Not those of a replaced version, nor a combo's own line; a report without a number tells no fee."""
    bag = replace(NVDA, con_id=28812380, sec_type="BAG")
    with journal.step():
        story = Story(state=journal.state)
        story.tell(execution(exec_id(1), 4), execution(exec_id(1, 2), 3), execution(exec_id(2), 1))
        story.tell(execution(exec_id(3), 1), execution(exec_id(4), 1, contract=bag, perm_id=190))
        story.tell(fee(exec_id(2), "1.05"), fee(exec_id(3), None))
    summed = sum(row.totals.fees_pending for row in journal.state.every(TOTALS))
    assert journal.fills_since(START) == (3, summed) == (3, 2)
    assert journal.fills_since(START + timedelta(seconds=1)) == (0, 0)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "UTC"])
def test_fills_are_counted_since_moment(journal: Journal, zone: str) -> None:
    """By the time of execution; one that a sweep brought late counts for its own day."""
    midnight = datetime(2025, 11, 18, tzinfo=ZoneInfo(zone))
    with journal.step():
        story = Story(state=journal.state)
        for number, seconds in enumerate((-7200, -0.5, 0, 0.5, 3600), 1):
            at = (midnight - START).total_seconds() + seconds
            story.tell(execution(exec_id(number), 1, at=at), after=3600)
    assert journal.fills_since(midnight) == (3, 3)
