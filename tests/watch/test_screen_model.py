"""What the screen shows follows from answers and events, whatever their order, in bounded memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.facts import ACCOUNT, exec_id
from tracker.core.alert_updates import EventKind
from tracker.watch.screen_model import FILLS_KEPT, QUESTIONS, SAMPLES_KEPT, ScreenModel, TrackerAway
from tracker.watch.screen_rows import Candidate, distinct

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


def on_connected(life: str = LIFE) -> ScreenModel:
    """Return a board that a daemon has answered everything."""
    model = ScreenModel(START)
    model.on_connected(status(life), START)
    for command in QUESTIONS:
        model.before_question(command)
    return model


def shown(model: ScreenModel) -> list[str]:
    return [each.exec_id for each in model.fills]


def text(model: ScreenModel) -> str:
    notice = model.notice(START)
    return "" if notice is None else notice.text


def test_everything_is_stale_at_first() -> None:
    """At first everything is to be asked and the kept events are followed from the oldest."""
    model = ScreenModel(START)
    assert model.stale == set(QUESTIONS)
    assert model.on_connected(status(), START) == 0
    assert model.stale == set(QUESTIONS) - {"status"}
    assert text(model) == ""


def test_fill_from_event_then_answer() -> None:
    """A fill is shown by its event alone and then as the answer tells it."""
    model = on_connected()
    model.on_event(told(1, 1), START)
    (first,) = model.fills
    assert (first.contract, first.price, first.outcome) == ("NVDA", "2.50", "")
    assert model.stale == {"fills"}
    model.on_answer("fills", fills(1), START, model.before_question("fills"))
    (first,) = model.fills
    assert (first.contract, first.outcome) == ("NVDA 2025-11-21 122.5 C", "no alert")
    assert model.fills_total == 1
    assert not model.stale


def test_fill_during_question_stays() -> None:
    """A fill that came while the answer was on its way stays."""
    model = on_connected()
    model.on_event(told(1, 1), START)
    asked = model.before_question("fills")
    model.on_event(told(2, 2), START)
    model.on_answer("fills", fills(1), START, asked)
    assert shown(model) == [exec_id(2), exec_id(1)]
    assert model.fills_total == 2
    assert model.stale == {"fills"}, "the answer is older than the event"
    model.on_answer("fills", fills(2), START, model.before_question("fills"))
    assert shown(model) == [exec_id(2)], "an answer that knows of the event has the last word"


def test_repeated_fill_is_one_row() -> None:
    """A fill that is reported twice is one row."""
    model = on_connected()
    model.on_answer("fills", fills(1), START, model.before_question("fills"))
    for seq in (1, 2):
        model.on_event(told(seq, 1), START)
    assert shown(model) == [exec_id(1)]
    assert model.fills_total == 1


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"alerts": [{"alert": "a/X", "matched_by": "con_id"}]}, "opened a/X"),
        (
            {"side": "SELL", "opening": 0, "closing": -4, "alerts": [{"alert": "a/X"}, {"alert": "b/X"}]},
            "sold 4 of a/X, b/X",
        ),
        (
            {"side": "BUY", "opening": 0, "closing": 2, "alerts": [{"alert": "a/X"}]},
            "bought back 2 of a/X",
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
    model = on_connected()
    model.on_answer("fills", {"fills": [fill(1, **fields)]}, START, 0)
    assert model.fills[0].outcome == outcome


def test_events_make_answers_stale() -> None:
    """Events make the answers old that they change."""
    for kind in (*(kind.value for kind in EventKind), "written", "link", "one of a newer daemon"):
        model = on_connected()
        model.on_event({"seq": 1, "event": kind}, START)
        assert model.stale, kind
    assert model.stale == set(QUESTIONS), "what is not known may change anything"
    model = on_connected()
    model.on_event({"seq": 1, "event": "settled"}, START)
    assert model.stale == {"inbox", "fills"}


def test_heartbeat_only_updates_heard_at() -> None:
    """A heartbeat changes nothing but when the daemon was heard."""
    model = on_connected()
    model.on_event({"heartbeat": True}, after(15))
    assert model.heard_at == after(15)
    assert not model.stale
    assert model.last_seq == 0


def test_link_event_shows_at_once() -> None:
    """The state of the link is shown as soon as it is told."""
    model = on_connected()
    event = {"seq": 1, "event": "link", "at": LIFE, "state": "waiting", "reason": "no route"}
    model.on_event({**event, "subscribed": False}, START)
    assert model.status["subscribed"] is False
    assert model.status["link"]["state"] == "waiting"
    assert model.status["link"]["reason"] == "no route"


def test_missed_events_refresh_everything() -> None:
    """Missed events are said and everything is asked again."""
    model = on_connected()
    model.on_event(told(1, 1), START)
    model.on_event({"missed": 7}, START)
    assert model.stale == set(QUESTIONS)
    assert "missed 7 events" in text(model)


def test_events_before_start_are_not_missed() -> None:
    """What happened before the screen came was not missed."""
    model = on_connected()
    model.on_event({"missed": 7}, START)
    assert text(model) == ""


def test_away_since_last_heard() -> None:
    """Away counts from when the daemon was heard last."""
    model = ScreenModel(START)
    model.on_lost("nothing listens")
    assert model.away == TrackerAway(START, "nothing listens")
    model = on_connected()
    model.on_event({"heartbeat": True}, after(10))
    model.on_lost("gone")
    model.on_lost("still gone")
    assert model.away == TrackerAway(after(10), "still gone")


def test_events_resume_after_pause() -> None:
    """After a pause the events continue after the last one and everything is asked again."""
    model = on_connected()
    model.on_event(told(41, 1), START)
    model.on_lost("gone")
    assert model.on_connected(status(), after(12)) == 41
    assert model.away is None
    assert model.stale == set(QUESTIONS) - {"status"}
    assert "away for 12 s" in text(model)


def test_restarted_daemon_resets_events() -> None:
    """A daemon that was started again begins its events again."""
    model = on_connected()
    model.on_event(told(41, 1), START)
    model.on_event({"seq": 42, "event": "written", "seconds": 0.01}, START)
    assert model.is_restarted_daemon(status(LATER_LIFE))
    model.on_lost("gone")
    assert model.on_connected(status(LATER_LIFE), after(12)) == 0
    assert "restarted" in text(model)
    assert model.latency() is None
    model.on_event({"missed": 3}, after(13))
    assert "restarted" in text(model), "what its memory forgot was read again"
    assert not model.is_restarted_daemon(status(LATER_LIFE))


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
    model = on_connected()
    model.on_answer("alerts", {"total": 3, "alerts": rows, "store_trouble": None}, START, 0)
    first, second = model.alerts
    assert (first.contract, first.quantity, first.price) == ("NVDA 2025-11-21 122.5 C", "10", "2.512")
    assert first.opened_at == datetime.fromisoformat(LIFE)
    assert (second.contract, second.quantity, second.price) == ("TSLA", "", "")
    assert model.alerts_total == 3


ASKED: dict[str, Any] = {
    "alert": "robindahood-alerts/SPX",
    "symbol": "SPXW",
    "expiry": "2025-12-01",
    "strike": 6600,
    "right": "C",
}


@pytest.mark.parametrize(
    ("asked", "holds", "contract", "brief"),
    [
        ({}, [{"expiry": "2025-12-01", "strike": 6600, "right": "C"}], "SPX 2025-12-01 6600 C", ""),
        (
            {},
            [{"expiry": "2025-12-04", "strike": 6600, "right": "C"}],
            "SPX 2025-12-04 6600 C, asked 2025-12-01",
            "held 12-04, asked 12-01",
        ),
        (
            {},
            [{"expiry": "2025-12-04", "strike": 6610, "right": "C"}],
            "SPX 2025-12-04 6610 C, asked 2025-12-01 6600",
            "held 12-04 6610, asked 12-01 6600",
        ),
        (
            {"expiry": "Dec 2025"},
            [{"expiry": "2025-12-04", "strike": 6600, "right": "C"}],
            "SPX 2025-12-04 6600 C",
            "",
        ),
        ({"expiry": None}, [], "SPXW 6600 C", ""),
    ],
)
def test_alert_shows_contract_held(
    asked: dict[str, Any], holds: list[dict[str, Any]], contract: str, brief: str
) -> None:
    """What is held, with what was asked for only where that is another contract."""
    row = {**ASKED, **asked, "holds": [{"symbol": "SPX", **each} for each in holds]}
    model = on_connected()
    model.on_answer("alerts", {"total": 1, "alerts": [row], "store_trouble": None}, START, 0)
    (alert,) = model.alerts
    assert (alert.contract, alert.brief) == (contract, brief)


@pytest.mark.parametrize(
    ("position", "shown"),
    [
        ({"quantity": 10**400, "avg_price": -(10**400)}, ("inf", "-inf", None)),
        ({"quantity": "\x1b[2J", "opened_at": "9999-12-31T23:59:59-23:59"}, ("?[2J", "", None)),
        ({"quantity": ["x" * 99], "opened_at": "0001-01-01T00:00:00+23:59"}, ("['" + "x" * 18, "", None)),
        ({"quantity": "NaN", "avg_price": {}, "opened_at": 5}, ("NaN", "", None)),
    ],
)
def test_odd_position_ends_no_screen(
    position: dict[str, Any], shown: tuple[str, str, datetime | None]
) -> None:
    """What another program wrote in the place of a number or a time."""
    model = on_connected()
    row = {"alert": "b/TSLA", "created_at": "x", "symbol": "TSLA", "position": position}
    model.on_answer("alerts", {"total": 1, "alerts": [row], "store_trouble": None}, START, 0)
    (alert,) = model.alerts
    assert (alert.quantity, alert.price, alert.opened_at) == shown


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
    model = on_connected()
    model.on_answer("inbox", answer, START, 0)
    fill_row, unread_row = model.waiting
    assert fill_row.candidates == (Candidate("a/X", "by strike"), Candidate("b/X", "its expiry is another"))
    assert fill_row.reason == "near miss: a/X, b/X"
    assert unread_row.fill is None
    assert unread_row.reason == "execution cannot be read: no number"
    assert model.waiting_total == 2


def test_inbox_lists_what_is_no_fill() -> None:
    """A position that no fill explains, and a record that is gone while it holds something."""
    position = {"account": "DU1", "con_id": 9, "contract": "NVDA STK", "says": "the broker holds 6"}
    record = {"alert": "a/X", "created_at": LIFE, "option_conid": None, "says": "the record is gone"}
    counts = {"unexplained": 1, "orphaned": 1}
    answer = {"counts": counts, "needs_you": [], "undecodable": [], "orders": []}
    model = on_connected()
    model.on_answer("inbox", {**answer, "unexplained": [position], "orphaned": [record]}, START, 0)
    assert [(row.fill, row.reason) for row in model.waiting] == [
        (None, "unexplained: NVDA STK in DU1: the broker holds 6"),
        (None, "orphaned: a/X: the record is gone"),
    ]
    assert model.waiting_total == len(model.waiting)


def test_latency_over_latest_changes() -> None:
    """Latency is ranked over the latest changes only."""
    model = on_connected()
    assert model.latency() is None
    for seq in range(SAMPLES_KEPT):
        model.on_event({"seq": seq, "event": "written", "seconds": 100.0}, START)
    for seq in range(SAMPLES_KEPT):
        model.on_event({"seq": seq, "event": "written", "seconds": (seq + 1) / 1000}, START)
    assert model.latency() == (SAMPLES_KEPT, 0.120, 0.238, 0.240)
    model.samples.clear()
    model.on_event({"seq": 999, "event": "written", "seconds": 0.5}, START)
    assert model.latency() == (1, 0.5, 0.5, 0.5)


def test_ages_use_daemon_clock() -> None:
    """Ages are those of the daemons clock."""
    model = ScreenModel(START)
    model.on_connected(status(now=after(90).isoformat()), START)
    assert model.daemon_time(after(1)) == after(91)
    model.on_answer("status", {"started_at": LIFE}, START, 0)
    assert model.daemon_time(START) == START, "an older daemon does not say"


def test_notice_expires_after_ten_minutes() -> None:
    """A notice is news for ten minutes."""
    model = ScreenModel(START)
    model.show_notice(START, "done")
    assert model.notice(after(599)) == (START, "done")
    assert model.notice(after(601)) is None


@given(st.lists(st.integers(1, 3 * FILLS_KEPT), max_size=40), st.booleans())
def test_memory_is_bounded(numbers: list[int], answered: bool) -> None:
    """Memory is bounded and each fill is shown once."""
    model = on_connected()
    flood = [*numbers, *range(FILLS_KEPT + 20)]
    for seq, number in enumerate(flood, 1):
        model.on_event(told(seq, number), START)
    if answered:
        model.on_answer("fills", fills(*range(FILLS_KEPT)), START, len(flood) // 2)
    assert len(model.fills) == len(set(shown(model))) <= FILLS_KEPT
    assert len(model._event_fills) <= FILLS_KEPT


def test_alerts_that_print_alike() -> None:
    """Two records with one printed name and creation time are two rows with keys of their own."""
    row = {"alert": "a/b/c", "created_at": "2025-11-18T11:59:00"}
    model = ScreenModel(START)
    model.on_answer("alerts", {"alerts": [row, row, {**row, "alert": "d/e"}]}, START, 0)
    assert [alert.name for alert in model.alerts] == ["a/b/c", "a/b/c", "d/e"]
    assert len({alert.key for alert in model.alerts}) == 3


def test_distinct_candidates_by_name() -> None:
    """An alert is offered once, for the first reason given."""
    offered = distinct(
        [Candidate("a/b/c", "by rule"), Candidate("a/b/c", "same symbol"), Candidate("d/e", "")]
    )
    assert offered == (Candidate("a/b/c", "by rule"), Candidate("d/e", ""))
