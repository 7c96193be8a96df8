"""What the screen shows follows from answers and events, whatever their order, in bounded memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.facts import ACCOUNT, exec_id
from tracker.core.alert_updates import EventKind
from tracker.watch.screen_model import (
    FILLS_KEPT,
    QUESTIONS,
    SAMPLES_KEPT,
    Candidate,
    ScreenModel,
    TrackerAway,
)

START = datetime(2025, 11, 18, 15, 0, tzinfo=UTC)
LIFE = "2025-11-18T14:00:00.000000+00:00"
LATER_LIFE = "2025-11-18T15:30:00.000000+00:00"


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def status(life: str = LIFE, **fields: Any) -> dict[str, Any]:
    return {"ok": True, "started_at": life, "subscribed": True, "now": START.isoformat(), **fields}


def fill(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "exec_id": exec_id(number),
        "account": ACCOUNT,
        "time": after(number).isoformat(),
        "contract": "NVDA 2025-11-21 122.5 C",
        "symbol": "NVDA",
        "side": "BUY",
        "quantity": 4,
        "price": 2.5,
        "opening": 4,
        "closing": 0,
        "alerts": [],
        "attention": None,
        "dismissed": False,
        **fields,
    }


def fills(*numbers: int) -> dict[str, Any]:
    return {"total": len(numbers), "fills": [fill(number) for number in numbers]}


def told(seq: int, number: int) -> dict[str, Any]:
    """Return the event of a fill."""
    return {
        "seq": seq,
        "event": "fill",
        "at": after(number).isoformat(),
        "account": ACCOUNT,
        "exec_id": exec_id(number),
        "symbol": "NVDA",
        "side": "BUY",
        "quantity": "4",
        "price": "2.50",
    }


def greeted(life: str = LIFE) -> ScreenModel:
    """Return a board that a daemon has answered everything."""
    board = ScreenModel(START)
    board.greeted(status(life), START)
    for command in QUESTIONS:
        board.asking(command)
    return board


def shown(board: ScreenModel) -> list[str]:
    return [each.exec_id for each in board.fills]


def text(board: ScreenModel) -> str:
    notice = board.notice(START)
    return "" if notice is None else notice.text


def test_everything_is_stale_at_first() -> None:
    """At first everything is to be asked and the kept events are followed from the oldest."""
    board = ScreenModel(START)
    assert board.stale == set(QUESTIONS)
    assert board.greeted(status(), START) == 0
    assert board.stale == set(QUESTIONS) - {"status"}
    assert text(board) == ""


def test_fill_from_event_then_answer() -> None:
    """A fill is shown by its event alone and then as the answer tells it."""
    board = greeted()
    board.happened(told(1, 1), START)
    (first,) = board.fills
    assert (first.contract, first.price, first.outcome) == ("NVDA", "2.50", "")
    assert board.stale == {"fills"}
    board.answered("fills", fills(1), START, board.asking("fills"))
    (first,) = board.fills
    assert (first.contract, first.outcome) == ("NVDA 2025-11-21 122.5 C", "no alert")
    assert board.fills_total == 1
    assert not board.stale


def test_fill_during_question_stays() -> None:
    """A fill that came while the answer was on its way stays."""
    board = greeted()
    board.happened(told(1, 1), START)
    asked = board.asking("fills")
    board.happened(told(2, 2), START)
    board.answered("fills", fills(1), START, asked)
    assert shown(board) == [exec_id(2), exec_id(1)]
    assert board.fills_total == 2
    assert board.stale == {"fills"}, "the answer is older than the event"
    board.answered("fills", fills(2), START, board.asking("fills"))
    assert shown(board) == [exec_id(2)], "an answer that knows of the event has the last word"


def test_repeated_fill_is_one_row() -> None:
    """A fill that is told twice is one row."""
    board = greeted()
    board.answered("fills", fills(1), START, board.asking("fills"))
    for seq in (1, 2):
        board.happened(told(seq, 1), START)
    assert shown(board) == [exec_id(1)]
    assert board.fills_total == 1


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"alerts": [{"alert": "a/X", "matched_by": "con_id"}]}, "opened a/X"),
        (
            {"opening": 0, "closing": -4, "alerts": [{"alert": "a/X"}, {"alert": "b/X"}]},
            "closed for a/X, b/X",
        ),
        ({"opening": -1, "closing": -4, "alerts": [{"alert": "a/X"}]}, "flipped a/X"),
        ({"opening": 0, "closing": -4}, "no alert"),
        ({"attention": "near_miss"}, "NEEDS YOU: near miss"),
        ({"attention": "near_miss", "dismissed": True}, "no alert"),
        ({"waiting": True}, "waiting"),
    ],
)
def test_outcome_of_fill_in_short(fields: dict[str, Any], outcome: str) -> None:
    """What became of a fill is said in few words."""
    board = greeted()
    board.answered("fills", {"fills": [fill(1, **fields)]}, START, 0)
    assert board.fills[0].outcome == outcome


def test_events_make_answers_stale() -> None:
    """Events make the answers old that they change."""
    for kind in (*(kind.value for kind in EventKind), "written", "link", "one of a newer daemon"):
        board = greeted()
        board.happened({"seq": 1, "event": kind}, START)
        assert board.stale, kind
    assert board.stale == set(QUESTIONS), "what is not known may change anything"
    board = greeted()
    board.happened({"seq": 1, "event": "settled"}, START)
    assert board.stale == {"inbox", "fills"}


def test_heartbeat_only_updates_heard_at() -> None:
    """A heartbeat changes nothing but when the daemon was heard."""
    board = greeted()
    board.happened({"heartbeat": True}, after(15))
    assert board.heard_at == after(15)
    assert not board.stale
    assert board.last_seq == 0


def test_link_event_shows_at_once() -> None:
    """The state of the link is shown as soon as it is told."""
    board = greeted()
    event = {"seq": 1, "event": "link", "at": LIFE, "state": "waiting", "reason": "no route"}
    board.happened({**event, "subscribed": False}, START)
    assert board.status["subscribed"] is False
    assert board.status["link"]["state"] == "waiting"
    assert board.status["link"]["reason"] == "no route"


def test_missed_events_refresh_everything() -> None:
    """Missed events are said and everything is asked again."""
    board = greeted()
    board.happened(told(1, 1), START)
    board.happened({"missed": 7}, START)
    assert board.stale == set(QUESTIONS)
    assert "missed 7 events" in text(board)


def test_events_before_start_are_not_missed() -> None:
    """What happened before the screen came was not missed."""
    board = greeted()
    board.happened({"missed": 7}, START)
    assert text(board) == ""


def test_away_since_last_heard() -> None:
    """Away counts from when the daemon was heard last."""
    board = ScreenModel(START)
    board.lost("no daemon listens")
    assert board.away == TrackerAway(START, "no daemon listens")
    board = greeted()
    board.happened({"heartbeat": True}, after(10))
    board.lost("gone")
    board.lost("still gone")
    assert board.away == TrackerAway(after(10), "still gone")


def test_events_resume_after_pause() -> None:
    """After a pause the events go on behind the last one and everything is asked again."""
    board = greeted()
    board.happened(told(41, 1), START)
    board.lost("gone")
    assert board.greeted(status(), after(12)) == 41
    assert board.away is None
    assert board.stale == set(QUESTIONS) - {"status"}
    assert "away for 12 s" in text(board)


def test_restarted_daemon_resets_events() -> None:
    """A daemon that was started again begins its events anew."""
    board = greeted()
    board.happened(told(41, 1), START)
    board.happened({"seq": 42, "event": "written", "seconds": 0.01}, START)
    assert board.is_another_life(status(LATER_LIFE))
    board.lost("gone")
    assert board.greeted(status(LATER_LIFE), after(12)) == 0
    assert "started again" in text(board)
    assert board.latency() is None
    board.happened({"missed": 3}, after(13))
    assert "started again" in text(board), "what its memory forgot was read anew"
    assert not board.is_another_life(status(LATER_LIFE))


def test_open_alerts_show_position() -> None:
    """Open alerts show position and average price."""
    rows = [
        {
            "alert": "robindahood-alerts/NVDA",
            "created_at": "2025-11-18T15:42:07",
            "symbol": "NVDA",
            "expiry": "2025-11-21",
            "strike": 122.5,
            "right": "C",
            "position": {"quantity": 10, "avg_price": 2.512, "opened_at": LIFE},
        },
        {"alert": "b/TSLA", "created_at": "x", "symbol": "TSLA", "position": None, "strike": None},
    ]
    board = greeted()
    board.answered("alerts", {"total": 3, "alerts": rows, "store_trouble": None}, START, 0)
    first, second = board.alerts
    assert (first.contract, first.quantity, first.price) == ("NVDA 2025-11-21 122.5 C", "10", "2.512")
    assert first.opened_at == datetime.fromisoformat(LIFE)
    assert (second.contract, second.quantity, second.price) == ("TSLA", "", "")
    assert board.alerts_total == 3


def test_inbox_names_possible_alerts() -> None:
    """The inbox names the alerts that may be meant and no others."""
    item = {
        "needs": "near_miss",
        "combo": None,
        "fill": fill(1, attention="near_miss"),
        "decision": "unmatched",
        "alerts": [{"alert": "a/X", "rule": "strike"}, {"alert": "a/X", "rule": "strike"}],
        "rejected": [
            {"alert": "b/X", "reason": "its expiry is another", "near": True},
            {"alert": "c/X", "reason": "another symbol", "near": False},
        ],
    }
    unread = {"frame": 7, "kind": "execution", "reason": "no number", "exec_id": None, "received_at": LIFE}
    answer = {"counts": {"near_miss": 1, "undecodable": 1}, "needs_you": [item], "undecodable": [unread]}
    board = greeted()
    board.answered("inbox", answer, START, 0)
    fill_row, unread_row = board.waiting
    assert fill_row.candidates == (Candidate("a/X", "by strike"), Candidate("b/X", "its expiry is another"))
    assert fill_row.reason == "near miss: a/X, b/X"
    assert unread_row.fill is None
    assert unread_row.reason == "execution cannot be read: no number"
    assert board.waiting_total == 2


def test_latency_over_latest_changes() -> None:
    """Latency is ranked over the latest changes only."""
    board = greeted()
    assert board.latency() is None
    for seq in range(SAMPLES_KEPT):
        board.happened({"seq": seq, "event": "written", "seconds": 100.0}, START)
    for seq in range(SAMPLES_KEPT):
        board.happened({"seq": seq, "event": "written", "seconds": (seq + 1) / 1000}, START)
    assert board.latency() == (SAMPLES_KEPT, 0.120, 0.238, 0.240)
    board.samples.clear()
    board.happened({"seq": 999, "event": "written", "seconds": 0.5}, START)
    assert board.latency() == (1, 0.5, 0.5, 0.5)


def test_ages_use_daemon_clock() -> None:
    """Ages are those of the daemons clock."""
    board = ScreenModel(START)
    board.greeted(status(now=after(90).isoformat()), START)
    assert board.daemon_time(after(1)) == after(91)
    board.answered("status", {"started_at": LIFE}, START, 0)
    assert board.daemon_time(START) == START, "an older daemon does not say"


def test_notice_expires_after_ten_minutes() -> None:
    """A notice is news for ten minutes."""
    board = ScreenModel(START)
    board.say(START, "done")
    assert board.notice(after(599)) == (START, "done")
    assert board.notice(after(601)) is None


@given(st.lists(st.integers(1, 3 * FILLS_KEPT), max_size=40), st.booleans())
def test_memory_is_bounded(numbers: list[int], answered: bool) -> None:
    """Memory is bounded and each fill is shown once."""
    board = greeted()
    flood = [*numbers, *range(FILLS_KEPT + 20)]
    for seq, number in enumerate(flood, 1):
        board.happened(told(seq, number), START)
    if answered:
        board.answered("fills", fills(*range(FILLS_KEPT)), START, len(flood) // 2)
    assert len(board.fills) == len(set(shown(board))) <= FILLS_KEPT
    assert len(board._told) <= FILLS_KEPT
