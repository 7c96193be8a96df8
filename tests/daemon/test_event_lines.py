"""Log lines of what happened: the contract in full, price, fee, alert and reason; past fills by contract."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from tests.support.answer_rig import ROBIN, Desk, buy, record
from tests.support.facts import ACCOUNT, ALERT, NVDA, START, Story, exec_id, execution, fee, matched
from tests.support.facts import fee as fee_of
from tracker.core.alert_updates import EventKind, TrackerEvent
from tracker.core.model import Contract, End, EndOf, Source
from tracker.daemon.event_lines import line_of
from tracker.daemon.first_sweep import FirstSweep
from tracker.progress import Progress

WORDS = f"2025-11-21 122.5 C at 2.5, {ACCOUNT}, {exec_id(1)}"
LATER = NVDA.__class__(7, "NVDA", "OPT", date(2025, 11, 28), NVDA.strike, "C", "100", "USD")


def lines(story: Story) -> list[str]:
    return [line_of(event) for event in story.events]


def test_fill_and_fee_name_the_contract() -> None:
    story = Story(matched(ALERT))
    story.tell(execution(exec_id(1), 4), fee(exec_id(1), "2.6"))
    story.tell(execution(exec_id(2), -4, "3.10", at=9), fee(exec_id(2), None))
    created = ALERT.created_at
    told = lines(story)
    assert told[:2] == [f"fill: BUY 4 NVDA {WORDS}", f"fee: 2.6 USD for BUY 4 NVDA {WORDS}"]
    assert f"opened: {ALERT.name} of {created}: 4 held" in told
    assert f"closed: {ALERT.name} of {created}: 0 held" in told
    assert f"fill: SELL 4 NVDA 2025-11-21 122.5 C at 3.1, {ACCOUNT}, {exec_id(2)}" in told


def test_correction_and_settlement_keep_their_note() -> None:
    story = Story(matched(ALERT))
    story.tell(execution(exec_id(1), 4), execution(exec_id(1), 4, "2.40"))
    assert f"conflict: BUY 4 NVDA {WORDS}: the broker repeats it with other values" in lines(story)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        yield desk


def test_needs_you_names_alert_and_reason(desk: Desk) -> None:
    """A call of another expiry nearly fits the alert."""
    desk.tell(buy(1, 1, contract=LATER))
    booked = desk.booked(exec_id(1))
    line = line_of(TrackerEvent(EventKind.NEEDS_YOU, START, booked, booked.attention.value))
    assert line == (
        f"needs_you: BUY 1 NVDA 2025-11-28 122.5 C at 2.5, {ACCOUNT}, {exec_id(1)}: near miss: nearly"
        f" {ROBIN}/NVDA, but: its expiry is 2025-11-21, the fill's is 2025-11-28; see `tracker inbox`"
    )


def test_other_events_are_said_by_field() -> None:
    gap = TrackerEvent(EventKind.GAP, START, {"day": "2025-11-17", "state": "open"})
    bad = TrackerEvent(EventKind.UNDECODABLE, START, {"kind": "execution", "reason": "no time"})
    assert line_of(gap) == "gap day=2025-11-17 state=open"
    assert line_of(bad) == "set aside: execution that cannot be read (no time); see `tracker inbox`"


def test_past_fills_are_one_line_a_contract() -> None:
    """300 of a sweep in two contracts: two lines and a sum; a live one meanwhile by itself."""
    said: list[str] = []
    sweep = FirstSweep(Progress(), said.append)
    stock = Contract(9, "AMD", "STK", currency="USD")
    story = Story(matched(ALERT))
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    past = [
        execution(exec_id(number), 2, "1.50", at=number, request_id=900, perm_id=number)
        for number in range(1, 200)
    ]
    past.append(execution(exec_id(200), -8, "3", at=200, request_id=900, perm_id=200))
    past += [
        execution(exec_id(number), 1, "100", contract=stock, at=number, request_id=900, perm_id=number)
        for number in range(201, 301)
    ]
    story.tell(*past, fee_of(exec_id(1), "0.65"), fee_of(exec_id(200), "1.3"), End(EndOf.EXECUTIONS, 900))
    story.tell(execution(exec_id(400), 1, at=400, perm_id=400))
    rest = [line_of(event) for event in story.events if not sweep.gathers(event)]
    assert [line for line in rest if line.startswith(("fill", "fee"))] == [
        f"fill: BUY 1 NVDA 2025-11-21 122.5 C at 2.5, {ACCOUNT}, {exec_id(400)}"
    ]
    sweep.close("paper login DU***67")
    assert said == [
        f"first sweep: 200 fills of NVDA 2025-11-21 122.5 C in {ACCOUNT}: 398 bought at 1.5, 8 sold at 3;"
        " fees 1.95",
        f"first sweep: 100 fills of AMD STK in {ACCOUNT}: 100 bought at 100",
        "first sweep: 300 fills of 2 contracts from before the start, paper login DU***67; later fills are"
        " logged one by one",
    ]
    sweep.close("paper login DU***67")
    assert len(said) == 3
    (again,) = [event for event in story.events if event.kind is EventKind.FILL][:1]
    assert not sweep.gathers(again), "it is over"


def test_start_without_past_fills_says_so() -> None:
    said: list[str] = []
    FirstSweep(Progress(), said.append).close("live login U***89")
    assert said == [
        "first sweep: no fill from before the start, live login U***89; later fills are logged one by one"
    ]
