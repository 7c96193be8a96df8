"""What is told, and in which words: no I/O, no clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tracker.core.model import JsonValue
from tracker.notify.details import AlertDetails, FillDetails
from tracker.notify.messages import LONGEST_LINE, Choice, Notification, letter, trial_news

NOON = datetime(2025, 11, 18, 17, 0, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FILL = FillDetails("BUY 4 NVDA 2025-11-21 122.5 C at 2.5", NOON, "it may belong to a/NVDA or b/NVDA")
ALERT = AlertDetails(FILL, "con_id", "4", "2.5", over=False, closed_by="", realized="", emptied=False)


class Known:
    """Know one alert and one fill."""

    def __init__(self, alert: AlertDetails | None, fill: FillDetails | None) -> None:
        self._alert = alert
        self._fill = fill

    def alert(self, name: str, created_at: str) -> AlertDetails | None:
        return self._alert

    def fill(self, account: str, exec_id: str) -> FillDetails | None:
        return self._fill


def choice(alert: AlertDetails | None = ALERT, fill: FillDetails | None = FILL, **changes: Any) -> Choice:
    options: dict[str, Any] = {
        "started_at": NOON,
        "link_down": 5 * MINUTE,
        "unproven": lambda now: "",
        "planned": lambda now: "",
    }
    return Choice(Known(alert, fill), **(options | changes))


def event(kind: str, **more: JsonValue) -> dict[str, JsonValue]:
    return {"seq": 1, "event": kind, "at": NOON.isoformat(), **more}


def opened() -> dict[str, JsonValue]:
    return event("opened", alert="robin/NVDA", created_at="2025-11-18T11:59:00", quantity="4")


def closed() -> dict[str, JsonValue]:
    return event("closed", alert="robin/NVDA", created_at="2025-11-18T11:59:00", quantity="0")


def needs_you() -> dict[str, JsonValue]:
    return event(
        "needs_you",
        account="DU1234567",
        exec_id="0000e0d5.6596b0d8.01.01",
        symbol="NVDA",
        side="BUY",
        quantity="4",
        price="2.5",
        note="near_miss",
    )


def link(subscribed: bool, reason: str = "nothing listens") -> dict[str, JsonValue]:
    return event("link", state="up" if subscribed else "waiting", reason=reason, subscribed=subscribed)


def said(news: list[Notification]) -> str:
    (one,) = news
    return one.text


def test_an_opened_alert_is_told_with_fill_rule_and_holding() -> None:
    assert choice().hear(opened(), NOON) == [
        Notification(
            "17:00:05 UTC OPENED robin/NVDA: BUY 4 NVDA 2025-11-21 122.5 C at 2.5, by con_id; holds 4 at 2.5"
        )
    ]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (ALERT, "CLOSED robin/NVDA: BUY 4 NVDA 2025-11-21 122.5 C at 2.5, by con_id"),
        (replace(ALERT, realized="-120.5"), "by con_id; realized -120.5"),
        (
            replace(ALERT, closed_by="expired"),
            "CLOSED robin/NVDA: its position went without a fill (expired)",
        ),
        (replace(ALERT, emptied=True), "CLOSED robin/NVDA: its fill was assigned or corrected away"),
        (None, "CLOSED robin/NVDA: holds 0"),
    ],
)
def test_a_shut_alert_is_told_with_what_shut_it(facts: AlertDetails | None, words: str) -> None:
    assert said(choice(facts).hear(closed(), NOON)).endswith(words)


def test_an_alert_that_the_book_does_not_show_is_told_all_the_same() -> None:
    assert said(choice(alert=None).hear(opened(), NOON)) == "17:00:05 UTC OPENED robin/NVDA: holds 4"


def test_an_alert_that_is_over_by_the_time_it_is_told_is_not_told_with_what_shut_it() -> None:
    text = said(choice(replace(ALERT, over=True, held="0")).hear(opened(), NOON))
    assert text == "17:00:05 UTC OPENED robin/NVDA: and it is closed again by now"


def test_a_fill_that_needs_a_person_is_grave_and_says_what_to_do() -> None:
    (news,) = choice().hear(needs_you(), NOON)
    assert news == Notification(
        "17:00:05 UTC NEEDS YOU (near miss): BUY 4 NVDA 2025-11-21 122.5 C at 2.5;"
        " it may belong to a/NVDA or b/NVDA; settle it: tracker inbox (0000e0d5.6596b0d8.01.01)",
        grave=True,
    )


def test_a_fill_that_the_book_does_not_show_is_told_all_the_same() -> None:
    text = said(choice(fill=None).hear(needs_you(), NOON))
    assert "NEEDS YOU (near miss): BUY 4 NVDA at 2.5; settle it" in text


def test_a_fill_of_earlier_is_told_with_its_time() -> None:
    late = NOON + timedelta(minutes=40)
    assert said(choice().hear(opened(), late)).endswith(" (filled 2025-11-18 17:00:05 UTC)")
    assert " (filled 2025-11-18 17:00:05 UTC)" in said(choice().hear(needs_you(), late))


@pytest.mark.parametrize(
    "kind", ["fill", "fee", "correction", "changed", "settled", "taken_over", "gap", "conflict"]
)
def test_other_events_are_nobodys_news(kind: str) -> None:
    assert choice().hear(event(kind), NOON) == []


def test_events_that_were_missed_are_told_as_a_number() -> None:
    assert "7 events came too fast" in said(choice().hear({"missed": 7}, NOON))


def test_a_link_is_told_once_when_it_was_down_long_enough_and_once_when_it_is_back() -> None:
    told = choice()
    assert told.hear(link(True), NOON) == []
    assert told.hear(link(False), NOON) == []
    assert told.due(NOON + 5 * MINUTE - timedelta(seconds=1)) == []
    assert told.hear(link(False, "the port is shut"), NOON + 4 * MINUTE) == []
    (down,) = told.due(NOON + 5 * MINUTE)
    assert down.grave
    assert down.text.endswith("LINK DOWN for 5 min, no fills are received: the port is shut")
    assert told.due(NOON + 60 * MINUTE) == []
    assert told.hear(link(False), NOON + 61 * MINUTE) == []
    (up,) = told.hear(link(True), NOON + 63 * MINUTE)
    assert not up.grave
    assert up.text.endswith("LINK UP again, after 1 h 3 min without fills")
    assert told.due(NOON + 99 * MINUTE) == []


def test_a_short_break_is_nobodys_news() -> None:
    told = choice()
    told.hear(link(True), NOON)
    told.hear(link(False), NOON)
    assert told.hear(link(True), NOON + 4 * MINUTE) == []
    told.hear(link(False), NOON + 4 * MINUTE)
    assert told.due(NOON + 8 * MINUTE) == []


def test_a_link_that_never_came_up_is_told() -> None:
    assert "LINK DOWN for 5 min" in said(choice().due(NOON + 5 * MINUTE))


def test_a_planned_reset_is_told_only_when_it_is_over_and_the_link_is_not_back() -> None:
    over = NOON + 60 * MINUTE
    told = choice(planned=lambda now: "nightly" if now < over else "")
    told.hear(link(True), NOON)
    told.hear(link(False), NOON)
    assert told.due(over - MINUTE) == []
    assert "LINK DOWN for 1 h 0 min" in said(told.due(over))


def test_an_unproven_day_is_told_when_it_stays_so() -> None:
    told = choice(unproven=lambda now: "the broker forgets the day in 20 minutes")
    told.hear(link(True), NOON)
    assert told.hear(event("unproven", reason="in 21 minutes"), NOON) == []
    assert told.due(NOON + MINUTE / 2) == []
    (news,) = told.due(NOON + MINUTE)
    assert news.grave
    assert news.text.endswith("UNPROVEN DAY: the broker forgets the day in 20 minutes")
    assert told.due(NOON + 2 * MINUTE) == []


def test_a_day_that_is_proven_meanwhile_is_nobodys_news() -> None:
    """As when the tracker starts late in the evening: the first sweep proves the day."""
    told = choice()
    told.hear(link(True), NOON)
    told.hear(event("unproven", reason="in 21 minutes"), NOON)
    assert told.due(NOON + 2 * MINUTE) == []


def test_a_line_is_one_line_of_bounded_length_and_masked() -> None:
    facts = replace(FILL, what="BUY 1 \x1b[31mX\nY", why="DU1234567 " + "z" * 2000)
    told = choice(fill=facts, mask=lambda text: text.replace("1234567", "***67"))
    text = said(told.hear(needs_you(), NOON))
    assert "\n" not in text
    assert "\x1b" not in text
    assert "DU***67" in text
    assert "tracker inbox" in text
    assert len(text) <= LONGEST_LINE + len("17:00:05 UTC ")


def test_a_letter_holds_a_line_for_each_and_says_what_was_dropped() -> None:
    assert letter([Notification("a"), Notification("b")]) == ("Order tracker", "a\nb")
    title, body = letter([Notification("a"), Notification("b", grave=True)], dropped=3)
    assert title == "Order tracker: look at this"
    assert body.splitlines() == ["3 older messages could not be sent; see tracker status", "a", "b"]


def test_the_trial_says_that_it_is_one() -> None:
    assert "test" in trial_news(NOON).text
