"""The text of `tracker status`: what matters first, in words, within 80 columns."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.status.text import summarise
from tracker.terminal import WIDTH

STATUS: dict[str, Any] = {
    "ok": True,
    "schema": 1,
    "running": True,
    "subscribed": False,
    "last_polled_at": None,
    "stats": {"orders_processed": 12, "alerts_updated": 7, "last_update": "2025-11-18T15:43:10+00:00"},
    "now": "2025-11-18T15:45:10+00:00",
    "started_at": "2025-11-17T12:00:00+00:00",
    "link": {
        "state": "waiting",
        "since": "2025-11-18T15:44:50+00:00",
        "reason": "client id 0 is in use by another session; end that one, or choose another"
        " gateway.client_id",
        "next_attempt_at": "2025-11-18T15:45:18+00:00",
        "accounts": ["DU1234567"],
        "last_frame_at": None,
    },
    "needs_you": {"ambiguous": 2, "near_miss": 0},
    "undecodable": 1,
    "store": {"away": {}, "undelivered": 0, "late_writes_merged": 2, "late_writes_lost": 0},
    "fees_pending": 3,
}


def test_summary_begins_with_what_matters() -> None:
    """Whether fills are received, the link, what needs a person; zeros that need no one are left out."""
    assert summarise(STATUS).splitlines() == [
        "Running, but NOT receiving fills.",
        "link                waiting since 2025-11-18 15:44:50 UTC (20 s ago)",
        "reason              client id 0 is in use by another session; end that one, or",
        "                    choose another gateway.client_id",
        "next attempt        2025-11-18 15:45:18 UTC (8 s from now)",
        "accounts            DU1234567",
        "needs you           2 ambiguous, 1 undecodable; see `tracker inbox`",
        "set aside           1 message that could not be used, kept; see `tracker inbox`",
        "last sweep          never",
        "fills counted       12 since the start",
        "alerts updated      7 since the start, the last 2025-11-18 15:43:10 UTC (2 min",
        "                    ago)",
        "alert store         can be read and written; nothing waits to be written",
        "started             2025-11-17 12:00:00 UTC (1 d ago)",
    ]


SETUP = {
    "alerts": "alerts.json",
    "alerts_read": [
        {"alerter": "robindahood-alerts", "count": 2},
        {"alerter": "zone", "count": 1},
    ],
    "alerts_timezone": "UTC",
    "gateway": "127.0.0.1:4002",
    "client_id": 0,
    "login": "paper login DU***67",
    "login_timezone": "US/Eastern",
    "work": "first sweep: 12 fills so far",
    "next": "receive fills as they happen",
}


def test_summary_of_working_tracker() -> None:
    answer = {
        "subscribed": True,
        "now": STATUS["now"],
        "link": {"state": "up", "attempts": 1, "last_sweep_timed_out": False},
        "needs_you": {"ambiguous": 0},
        "undecodable": 0,
        "gaps": [],
        "proven_until": STATUS["now"],
        "fills_today": 12,
        "fees_pending": 3,
        "store": {"kind": "file", "away": {}, "absent": False, "undelivered": 0},
        "reapplied": 0,
        "journal": {"path": "journal.db", "bytes": 716_888, "mode": "paper", "cursor": 7},
        "setup": SETUP,
        "notify": {
            "urls": 1,
            "sent": 4,
            "waiting": 0,
            "dropped": 0,
            "given_up": 1,
            "trouble": {"1 (ntfy)": "away"},
        },
        "heartbeat": {"last_sent_at": STATUS["now"], "withheld": "", "trouble": "HTTP status 404"},
        "log": {"lost": 0, "trouble": []},
        "versions": {"tracker": "0.1.0", "server": 0},
    }
    assert summarise(answer).splitlines() == [
        "Running, and receiving fills.",
        "link                up",
        "needs you           nothing",
        "incomplete days     none",
        "complete until      2025-11-18 15:45:10 UTC (0 s ago)",
        "fills today         12, 3 of them without their fee yet",
        "alert store         can be read and written; nothing waits to be written",
        "journal             journal.db, 0.7 MB, of a paper login",
        "at work             first sweep: 12 fills so far",
        "next                receive fills as they happen",
        "alerts              3 alerts read (robindahood-alerts 2, zone 1) from",
        "                    alerts.json, times in UTC",
        "gateway             127.0.0.1:4002 as client 0, paper login DU***67, days in",
        "                    US/Eastern",
        "notifications       4 sent; 1 given up; url 1 (ntfy): away",
        "heartbeat           last call 2025-11-18 15:45:10 UTC (0 s ago); the call fails:",
        "                    HTTP status 404",
        "log                 no lines lost",
        "versions            tracker 0.1.0",
    ]


@pytest.mark.parametrize(("away", "verb"), [("read", "cannot be read"), ("written", "cannot be written")])
def test_first_line_names_store_outage(away: str, verb: str) -> None:
    """Fills are received, and reach no alert: who reads one line must not take that for well."""
    answer = {
        "subscribed": True,
        "store": {"away": {away: {"since": "2025-11-18T15:45:00Z", "reason": "damaged"}}},
    }
    first = summarise(answer).splitlines()[0]
    assert first == f"Running, and receiving fills, but the alert store {verb}."
    assert f"{verb} since 2025-11-18 15:45:00 UTC: damaged" in summarise(answer)


def test_summary_of_troubles() -> None:
    """Each says what it is, since when and why, or where to look."""
    store = {
        "away": {"read": {"since": "2025-11-18T15:45:00+00:00", "reason": "alerts.json is not there"}},
        "undelivered": 1,
        "late_writes_lost": 1,
        "absent": True,
    }
    answer = {"now": STATUS["now"], "link": {"last_sweep_timed_out": True}, "undecodable": 2, "reapplied": 1}
    assert summarise({**answer, "subscribed": True, "store": store}).splitlines()[1:] == [
        "link                unknown",
        "last sweep          not answered in full by the gateway in time; it is asked",
        "                    again",
        "set aside           2 messages that could not be used, kept; see `tracker inbox`",
        "alert store         cannot be read since 2025-11-18 15:45:00 UTC (10 s ago):",
        "                    alerts.json is not there; 1 update waits to be written",
        "late writes lost    1: another program began to write alerts.json and never",
        "                    finished; check that its records are there",
        "written again       1 update that other programs had undone",
    ]


def test_message_set_aside_needs_a_person() -> None:
    """The inbox counts it too; beside it `needs you: nothing` was wrong."""
    counts = {"near_miss": 1, "ambiguous": 0}
    text = summarise({"subscribed": True, "needs_you": counts, "undecodable": 2})
    assert "needs you           1 near miss, 2 undecodable; see `tracker inbox`" in text.splitlines()


def test_summary_of_shared_store() -> None:
    """Its rows say what they are about; a figure of a newer tracker is shown by its own name."""
    store = {"kind": "shared", "seat": "box-2", "epoch": 3, "seen_at": STATUS["now"], "lag_bytes": 12}
    assert summarise({"now": STATUS["now"], "subscribed": True, "store": store}).splitlines()[1:] == [
        "alert store         can be read and written; nothing waits to be written",
        "seat                box-2, taken 3 times",
        "server answered     2025-11-18 15:45:10 UTC (0 s ago)",
        "store: lag bytes    12",
    ]


def without(mapping: dict[str, Any], keys: set[str]) -> dict[str, Any]:
    return {
        key: without(value, keys) if isinstance(value, dict) else value
        for key, value in mapping.items()
        if key not in keys
    }


@given(st.sets(st.sampled_from([*STATUS, *STATUS["link"], *STATUS["stats"]])))
def test_any_field_may_be_missing(gone: set[str]) -> None:
    lines = summarise(without(STATUS, gone)).splitlines()
    assert lines[0].startswith("Running")
    assert max(map(len, lines)) <= WIDTH


@given(
    st.dictionaries(
        st.sampled_from([*STATUS, "gaps", "new"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.lists(st.text() | st.dates().map(str))
        | st.dictionaries(st.text(), st.integers()),
    )
)
def test_any_field_may_be_odd(answer: dict[str, Any]) -> None:
    assert summarise(answer)


def test_incomplete_days_are_ranges() -> None:
    """Days that follow one another are one range, over a month's end too, with the next step."""
    days = ["2025-10-31", "2025-11-01", "2025-11-02", "2025-11-14", "soon"]
    assert summarise({"subscribed": True, "gaps": days}).splitlines()[1:] == [
        "incomplete days     2025-10-31 to 2025-11-02, 2025-11-14, soon: fills may be",
        "                    missing; see `tracker gaps`",
    ]
    assert summarise({"subscribed": True, "gaps": []}).splitlines()[1:] == ["incomplete days     none"]


def test_unknown_fields_show_by_name() -> None:
    answer = {
        "running": True,
        "subscribed": True,
        "open_gaps": ["2025-11-14"],
        "paused": False,
        "seen_at": STATUS["now"],
    }
    assert summarise(answer).splitlines() == [
        "Running, and receiving fills.",
        "open gaps           2025-11-14",
        "paused              no",
        "seen at             2025-11-18 15:45:10 UTC",
    ]
    assert summarise({"running": False}) == "Not running."
