"""What a note's stored bytes are, and that they are read back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from tracker.core.journal_entries import (
    ENTRIES,
    WHOLE,
    AdjustmentTold,
    Assigned,
    CompletedOrdersAsked,
    DayCovered,
    DecidedAgain,
    Dismissed,
    Entry,
    EventCancelled,
    ExecutionsAsked,
    FirstSweepOver,
    FlexAdjustment,
    FlexFee,
    FlexTrade,
    GapAccepted,
    GapReopened,
    HoursCovered,
    LinkDown,
    LinkUp,
    OpenOrdersAsked,
    PartAssigned,
    PositionChanged,
    PositionsAsked,
    RecordBack,
    RecordCopied,
    RecordGone,
    RecordReplaced,
    Rematched,
    RequestTimedOut,
    SweepChecked,
    SweepQuiet,
    Undone,
    entry_of,
    execution_key,
    read_entry,
)
from tracker.core.message_fields import field_at
from tracker.core.model import AlertId, Contract, EndOf, ExecutionKey, Frame, Source

OLD = AlertId("robindahood-alerts", "NVDA", "2025-11-18T15:42:07.318245", 700100200)
NEW = AlertId("robindahood-alerts", "NVDA", "2025-11-18T15:50:00", None)
OLD_TEXT = "robindahood-alerts NVDA 2025-11-18T15:42:07.318245 700100200"
FILL = ExecutionKey("DU1234567", "0000e0d5.00000001.01.01")
FILL_TEXT = "DU1234567 0000e0d5.00000001.01.01"

CALL = Contract(
    8, "NVDA", "OPT", date(2025, 11, 21), Decimal("122.5"), "C", "100", "USD", "NVDA1", trading_class="NVDA1"
)

STORED: list[tuple[Entry, str, str]] = [
    (LinkUp(("DU1234567", "DU7654321"), "176"), "link", "up DU1234567,DU7654321 176"),
    (LinkDown("lost"), "link", "down lost"),
    (FirstSweepOver(), "link", "first_sweep"),
    (RequestTimedOut(EndOf.POSITIONS), "link", "timeout positions -1"),
    (RequestTimedOut(EndOf.EXECUTIONS, 900000001), "link", "timeout executions 900000001"),
    (SweepQuiet(900000001), "link", "quiet 900000001"),
    (SweepChecked.of(900000001, 0), "link", "proof 900000001 complete"),
    (PositionsAsked(), "sent", "positions"),
    (ExecutionsAsked(900000001, "DU1234567"), "sent", "executions 900000001 DU1234567"),
    (OpenOrdersAsked(), "sent", "open_orders"),
    (CompletedOrdersAsked(), "sent", "completed_orders"),
    (RecordGone(OLD), "store", f"gone {OLD_TEXT}"),
    (RecordBack(OLD), "store", f"back {OLD_TEXT}"),
    (RecordCopied(OLD), "store", f"copied {OLD_TEXT}"),
    (Rematched(FILL), "store", f"rematch {FILL_TEXT}"),
    (Assigned(FILL, OLD), "person", f"assign {FILL_TEXT} {OLD_TEXT}"),
    (
        PartAssigned(FILL, OLD, Decimal("1.5"), WHOLE),
        "person",
        f"assign_part {FILL_TEXT} {OLD_TEXT} 1.5 whole",
    ),
    (DecidedAgain(7), "link", "decide_again 7"),
    (Dismissed(FILL), "person", f"dismiss {FILL_TEXT}"),
    (AdjustmentTold("DU1:7", "split", "4", "why", "DU1:8"), "person", "adjust DU1:7 split 4 why DU1:8"),
    (FlexAdjustment("DU1:7", "split", "4", "why", "DU1:8"), "flex", "adjust DU1:7 split 4 why DU1:8"),
    (
        PositionChanged("DU1:7", "split", "2025-11-18T01:25:00+00:00", "30", "4", "why"),
        "flex",
        "position_changed DU1:7 split 2025-11-18T01:25:00+00:00 30 4 why",
    ),
    (
        PositionChanged("DU1:7", "adjusted", "2025-11-18T01:25:00+00:00", "-3", "1", "why", CALL),
        "flex",
        "position_changed DU1:7 adjusted 2025-11-18T01:25:00+00:00 -3 1 why"
        " 8 NVDA OPT 2025-11-21 122.5 C 100 USD NVDA1 NVDA1",
    ),
    (
        EventCancelled(*("700100200", "transferred", "2025-11-18T20:00:00+00:00", "4", "NVDA", "502", 7)),
        "flex",
        "event_cancelled 700100200 transferred 2025-11-18T20:00:00+00:00 4 NVDA 502 7",
    ),
    (Undone(9, FILL), "person", f"undo 9 {FILL_TEXT}"),
    (GapAccepted(date(2025, 11, 17)), "person", "gap_accepted 2025-11-17"),
    (GapReopened(9, date(2025, 11, 17)), "person", "gap_reopened 9 2025-11-17"),
    (DayCovered(date(2025, 11, 17)), "flex", "covered 2025-11-17"),
    (
        HoursCovered("DU1234567", "2025-11-18T01:20:00+00:00", "2025-11-19T01:20:00+00:00"),
        "flex",
        "hours DU1234567 2025-11-18T01:20:00+00:00 2025-11-19T01:20:00+00:00",
    ),
    (FlexTrade("{}"), "flex", "trade {}"),
    (FlexFee("{}"), "flex", "trade_fee {}"),
]
"""Entry, source and fields, as a journal of commit 29f0234 holds them."""


@pytest.mark.parametrize(("entry", "source", "text"), STORED)
def test_stored_bytes_stay(entry: Entry, source: str, text: str) -> None:
    """What older versions wrote is read, and the same is written."""
    fields = tuple(text.split(" "))
    assert entry.arriving == (Source(source), fields)
    assert entry_of(Source(source), fields) == entry
    at = datetime(2025, 11, 18, tzinfo=UTC)
    assert read_entry(Frame(1, at, 1, Source(source), fields)) == entry


def test_replacement_names_both_records() -> None:
    """A record without a conid leaves that field empty."""
    fields = ("replaced", *OLD_TEXT.split(" "), *NEW[:3], "")
    assert entry_of(Source.STORE, fields) == RecordReplaced(OLD, NEW)
    assert RecordReplaced(OLD, NEW).fields == (*fields, "", "", "")


def test_replacement_names_what_is_taken_over() -> None:
    """Contracts are named as state rows are; the same alert keeps what is closed too."""
    entry = RecordReplaced(OLD, NEW, ("DU1234567 700100200", "DU1234567 7"), WHOLE)
    assert entry.fields[-3:] == ("DU1234567 700100200,DU1234567 7", "whole", "")
    assert entry_of(Source.STORE, entry.fields) == entry


def test_incomplete_answer_is_counted() -> None:
    """A sweep that lacks executions proves nothing, and its note says how many."""
    entry = SweepChecked.of(7, 3)
    assert entry.fields == ("proof", "7", "missing 3")
    assert (entry.complete, SweepChecked.of(7, 0).complete) == (False, True)


def test_every_entry_is_held_by_a_test() -> None:
    """A new kind of note gets its bytes written down here."""
    assert {type(entry) for entry, _, _ in STORED} | {RecordReplaced} == set(ENTRIES)
    assert len({(entry.SOURCE, entry.NAME) for entry in ENTRIES}) == len(ENTRIES)


def test_other_frames_are_no_entries() -> None:
    """The broker's messages, unknown notes and empty frames are read as none."""
    assert entry_of(Source.BROKER, ("11", "-1")) is None
    assert entry_of(Source.STORE, ("assign", *FILL)) is None
    assert entry_of(Source.LINK, ()) is None
    assert read_entry(Frame(1, datetime(2025, 11, 18, tzinfo=UTC), 1, Source.LINK, ())) is None


def test_missing_values_take_their_default() -> None:
    """A note from before a value was kept is read without it."""
    assert entry_of(Source.LINK, ("up", "")) == LinkUp()


def test_short_messages_name_nothing() -> None:
    """A message that ends before a place has no such field."""
    message = ("11", *map(str, range(1, 17)))
    assert execution_key(message) == ExecutionKey("16", "14")
    assert execution_key(message[:-1]) is None
    assert (field_at(message, 2), field_at(message, 40)) == ("2", None)
