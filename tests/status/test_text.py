"""The text of `tracker status`: what matters first, in words, within 80 columns."""

from __future__ import annotations

from typing import Any

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
    "needs_you": {"ambiguous": 2, "near_miss": 0, "undecodable": 1},
    "store": {"away": {}, "undelivered": 0, "late_writes_merged": 2, "late_writes_lost": 0},
    "fees_pending": 3,
}


def test_the_summary_says_what_matters_first_and_in_words() -> None:
    assert summarise(STATUS).splitlines() == [
        "Running, but NOT receiving fills.",
        "link                waiting since 2025-11-18 15:44:50 UTC (20 s ago)",
        "reason              client id 0 is in use by another session; end that one, or",
        "                    choose another gateway.client_id",
        "next attempt        2025-11-18 15:45:18 UTC (8 s from now)",
        "accounts            DU1234567",
        "needs you           2 ambiguous, 1 undecodable",
        "last sweep          never",
        "fills counted       12",
        "alerts updated      7, last 2025-11-18 15:43:10 UTC (2 min ago)",
        "started             2025-11-17 12:00:00 UTC (1 d ago)",
        "store               away none, undelivered 0",
        "fees pending        3",
    ]


def test_what_a_neighbour_wrote_and_was_lost_is_told_with_what_it_means() -> None:
    store = {"away": {}, "undelivered": 0, "late_writes_merged": 2, "late_writes_lost": 1}
    assert summarise({"subscribed": True, "store": store}).splitlines()[1:] == [
        "store               away none, undelivered 0",
        "late writes lost    1: another program began to write alerts.json and never",
        "                    finished; see that its records are there",
    ]


def without(mapping: dict[str, Any], keys: set[str]) -> dict[str, Any]:
    return {
        key: without(value, keys) if isinstance(value, dict) else value
        for key, value in mapping.items()
        if key not in keys
    }


@given(st.sets(st.sampled_from([*STATUS, *STATUS["link"], *STATUS["stats"]])))
def test_the_summary_puts_up_with_any_missing_field(gone: set[str]) -> None:
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
def test_the_summary_puts_up_with_fields_of_another_kind(answer: dict[str, Any]) -> None:
    assert summarise(answer)


def test_unproven_days_are_named_in_words_with_the_next_step() -> None:
    """Those that follow one another as a range, over a month's end too; none are told as none."""
    days = ["2025-10-31", "2025-11-01", "2025-11-02", "2025-11-14", "soon"]
    assert summarise({"subscribed": True, "gaps": days}).splitlines()[1:] == [
        "days not proven     2025-10-31 to 2025-11-02, 2025-11-14, soon: fills may be",
        "                    missing, see `tracker gaps`",
    ]
    assert summarise({"subscribed": True, "gaps": []}).splitlines()[1:] == ["days not proven     none"]


def test_the_summary_shows_fields_it_does_not_know_by_their_name() -> None:
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
