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


def test_at_first_everything_is_to_be_asked_and_the_kept_events_are_followed_from_the_oldest() -> None:
    board = ScreenModel(START)
    assert board.stale == set(QUESTIONS)
    assert board.greeted(status(), START) == 0
    assert board.stale == set(QUESTIONS) - {"status"}
    assert text(board) == ""


def test_a_fill_is_shown_by_its_event_alone_and_then_as_the_answer_tells_it() -> None:
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


def test_a_fill_that_came_while_the_answer_was_on_its_way_stays() -> None:
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


def test_a_fill_that_is_told_twice_is_one_row() -> None:
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
def test_what_became_of_a_fill_is_said_in_few_words(fields: dict[str, Any], outcome: str) -> None:
    board = greeted()
    board.answered("fills", {"fills": [fill(1, **fields)]}, START, 0)
    assert board.fills[0].outcome == outcome


def test_events_make_the_answers_old_that_they_change() -> None:
    for kind in (*(kind.value for kind in EventKind), "written", "link", "one of a newer daemon"):
        board = greeted()
        board.happened({"seq": 1, "event": kind}, START)
        assert board.stale, kind
    assert board.stale == set(QUESTIONS), "what is not known may change anything"
    board = greeted()
    board.happened({"seq": 1, "event": "settled"}, START)
    assert board.stale == {"inbox", "fills"}


def test_a_heartbeat_changes_nothing_but_when_the_daemon_was_heard() -> None:
    board = greeted()
    board.happened({"heartbeat": True}, after(15))
    assert board.heard_at == after(15)
    assert not board.stale
    assert board.last_seq == 0


def test_the_state_of_the_link_is_shown_as_soon_as_it_is_told() -> None:
    board = greeted()
    event = {"seq": 1, "event": "link", "at": LIFE, "state": "waiting", "reason": "no route"}
    board.happened({**event, "subscribed": False}, START)
    assert board.status["subscribed"] is False
    assert board.status["link"]["state"] == "waiting"
    assert board.status["link"]["reason"] == "no route"


def test_missed_events_are_said_and_everything_is_asked_again() -> None:
    board = greeted()
    board.happened(told(1, 1), START)
    board.happened({"missed": 7}, START)
    assert board.stale == set(QUESTIONS)
    assert "missed 7 events" in text(board)


def test_what_happened_before_the_screen_came_was_not_missed() -> None:
    board = greeted()
    board.happened({"missed": 7}, START)
    assert text(board) == ""


def test_away_counts_from_when_the_daemon_was_heard_last() -> None:
    board = ScreenModel(START)
    board.lost("no daemon listens")
    assert board.away == TrackerAway(START, "no daemon listens")
    board = greeted()
    board.happened({"heartbeat": True}, after(10))
    board.lost("gone")
    board.lost("still gone")
    assert board.away == TrackerAway(after(10), "still gone")


def test_after_a_pause_the_events_go_on_behind_the_last_one_and_everything_is_asked_again() -> None:
    board = greeted()
    board.happened(told(41, 1), START)
    board.lost("gone")
    assert board.greeted(status(), after(12)) == 41
    assert board.away is None
    assert board.stale == set(QUESTIONS) - {"status"}
    assert "away for 12 s" in text(board)


def test_a_daemon_that_was_started_again_begins_its_events_anew() -> None:
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


def test_open_alerts_show_position_and_average_price() -> None:
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


def test_the_inbox_names_the_alerts_that_may_be_meant_and_no_others() -> None:
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


def test_latency_is_ranked_over_the_latest_changes_only() -> None:
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


def test_ages_are_those_of_the_daemons_clock() -> None:
    board = ScreenModel(START)
    board.greeted(status(now=after(90).isoformat()), START)
    assert board.daemon_time(after(1)) == after(91)
    board.answered("status", {"started_at": LIFE}, START, 0)
    assert board.daemon_time(START) == START, "an older daemon does not say"


def test_a_notice_is_news_for_ten_minutes() -> None:
    board = ScreenModel(START)
    board.say(START, "done")
    assert board.notice(after(599)) == (START, "done")
    assert board.notice(after(601)) is None


@given(st.lists(st.integers(1, 3 * FILLS_KEPT), max_size=40), st.booleans())
def test_memory_is_bounded_and_each_fill_is_shown_once(numbers: list[int], answered: bool) -> None:
    board = greeted()
    flood = [*numbers, *range(FILLS_KEPT + 20)]
    for seq, number in enumerate(flood, 1):
        board.happened(told(seq, number), START)
    if answered:
        board.answered("fills", fills(*range(FILLS_KEPT)), START, len(flood) // 2)
    assert len(board.fills) == len(set(shown(board))) <= FILLS_KEPT
    assert len(board._told) <= FILLS_KEPT
