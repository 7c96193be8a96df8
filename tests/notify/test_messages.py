"""What is told, and in which words: no I/O, no clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tracker.core.alert_updates import CLOSED_AS_BEFORE
from tracker.core.model import JsonValue
from tracker.notify.details import AlertDetails, FillDetails
from tracker.notify.messages import LONGEST_LINE, Notification, NotificationRules, digest, trial_notification

NOON = datetime(2025, 11, 18, 17, 0, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FILL = FillDetails("BUY 4 NVDA 2025-11-21 122.5 C at 2.5", NOON, "it may belong to a/NVDA or b/NVDA")
ALERT = AlertDetails(FILL, "con_id", "4", "2.5", closed=False, closed_by="", realized="", emptied=False)


class Known:
    """Know one alert and one fill."""

    def __init__(self, alert: AlertDetails | None, fill: FillDetails | None) -> None:
        self._alert = alert
        self._fill = fill

    def alert(self, name: str, created_at: str) -> AlertDetails | None:
        return self._alert

    def fill(self, account: str, exec_id: str) -> FillDetails | None:
        return self._fill


def choice(
    alert: AlertDetails | None = ALERT, fill: FillDetails | None = FILL, **changes: Any
) -> NotificationRules:
    options: dict[str, Any] = {
        "started_at": NOON,
        "link_down": 5 * MINUTE,
        "unproven": lambda now: "",
        "planned": lambda now: "",
    }
    return NotificationRules(Known(alert, fill), **(options | changes))


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


def test_report_is_one_line() -> None:
    """It is news, and nothing that a person must do at once."""
    (told,) = choice().handle(event("report", says="of 2025-11-17: 1 round trip"), NOON)
    assert told == Notification("17:00:05 UTC REPORT of 2025-11-17: 1 round trip")


def link(subscribed: bool, reason: str = "nothing listens") -> dict[str, JsonValue]:
    return event("link", state="up" if subscribed else "waiting", reason=reason, subscribed=subscribed)


def said(notifications: list[Notification]) -> str:
    (one,) = notifications
    return one.text


def test_opened_names_fill_rule_holding() -> None:
    """An opened alert is reported with fill rule and holding."""
    assert choice().handle(opened(), NOON) == [
        Notification(
            "17:00:05 UTC OPENED robin/NVDA: BUY 4 NVDA 2025-11-21 122.5 C at 2.5, by con_id; holds 4 at 2.5"
        )
    ]


@pytest.mark.parametrize(
    ("details", "words"),
    [
        (ALERT, "CLOSED robin/NVDA: BUY 4 NVDA 2025-11-21 122.5 C at 2.5, by con_id"),
        (replace(ALERT, realized="-120.5"), "by con_id; realized -120.5"),
        (
            replace(ALERT, round_trip="4 in at 2.5, out at 3: profit 200 before fees, held 2 h 0 min"),
            "by con_id; 4 in at 2.5, out at 3: profit 200 before fees, held 2 h 0 min",
        ),
        (
            replace(ALERT, closed_by="expired"),
            "CLOSED robin/NVDA: its position ended without a fill (expired)",
        ),
        (
            replace(ALERT, emptied=True),
            "CLOSED robin/NVDA: its only fill was corrected, or assigned to another alert",
        ),
        (None, "CLOSED robin/NVDA: holds 0"),
    ],
)
def test_closed_names_its_cause(details: AlertDetails | None, words: str) -> None:
    """A closed alert is reported with what closed it."""
    assert said(choice(details).handle(closed(), NOON)).endswith(words)


def test_orphaned_names_record_and_way_out() -> None:
    told = said(choice().handle(event("orphaned", alert="robin/NVDA", quantity="4"), NOON))
    assert "NEEDS YOU (orphaned): the record robin/NVDA is gone, no other takes over the 4" in told
    assert "`tracker inbox`" in told


def test_closed_by_sale_for_another_says_so() -> None:
    note = "the order's reference names another alert, of which nothing was left"
    assert said(choice(ALERT).handle({**closed(), "note": note}, NOON)).endswith(f"by con_id; {note}")


def test_closed_as_before_names_no_old_sale() -> None:
    """What is shown then closed long ago, and its profit was reported then."""
    told = said(choice(replace(ALERT, realized="80")).handle({**closed(), "note": CLOSED_AS_BEFORE}, NOON))
    assert told.endswith(
        "CLOSED robin/NVDA: what had opened it again was corrected, or assigned to another alert"
    )


def test_unknown_alert_is_sent() -> None:
    """An alert that the ledger's state does not show is reported all the same."""
    assert said(choice(alert=None).handle(opened(), NOON)) == "17:00:05 UTC OPENED robin/NVDA: holds 4"


def test_opened_and_closed_again() -> None:
    """An alert that is over by the time it is reported is not told with what closed it."""
    text = said(choice(replace(ALERT, closed=True, held="0")).handle(opened(), NOON))
    assert text == "17:00:05 UTC OPENED robin/NVDA: it was closed again since"


def test_needs_you_is_urgent() -> None:
    """A fill that needs a person is urgent and says what to do."""
    (notifications,) = choice().handle(needs_you(), NOON)
    assert notifications == Notification(
        "17:00:05 UTC NEEDS YOU (near miss): BUY 4 NVDA 2025-11-21 122.5 C at 2.5;"
        " it may belong to a/NVDA or b/NVDA; decide with `tracker inbox` (0000e0d5.6596b0d8.01.01)",
        urgent=True,
    )


def test_unknown_fill_is_sent() -> None:
    """A fill that the ledger's state does not show is reported all the same."""
    text = said(choice(fill=None).handle(needs_you(), NOON))
    assert "NEEDS YOU (near miss): BUY 4 NVDA at 2.5; decide with" in text


def test_late_fill_has_its_time() -> None:
    """A fill of earlier is reported with its time."""
    late = NOON + timedelta(minutes=40)
    assert said(choice().handle(opened(), late)).endswith(" (filled 2025-11-18 17:00:05 UTC)")
    assert " (filled 2025-11-18 17:00:05 UTC)" in said(choice().handle(needs_you(), late))


@pytest.mark.parametrize(
    "kind", ["fill", "fee", "correction", "changed", "settled", "taken_over", "gap", "conflict"]
)
def test_other_events_are_nobodys_news(kind: str) -> None:
    assert choice().handle(event(kind), NOON) == []


def test_missed_events_are_counted() -> None:
    """Events that were missed are reported as a number."""
    assert "7 events came too fast" in said(choice().handle({"missed": 7}, NOON))


def test_link_down_is_sent_once() -> None:
    """A link is reported once when it was down long enough and once when it is back."""
    told = choice()
    assert told.handle(link(True), NOON) == []
    assert told.handle(link(False), NOON) == []
    assert told.due(NOON + 5 * MINUTE - timedelta(seconds=1)) == []
    assert told.handle(link(False, "the port is shut"), NOON + 4 * MINUTE) == []
    (down,) = told.due(NOON + 5 * MINUTE)
    assert down.urgent
    assert down.text.endswith("LINK DOWN for 5 min, no fills are received: the port is shut")
    assert told.due(NOON + 60 * MINUTE) == []
    assert told.handle(link(False), NOON + 61 * MINUTE) == []
    (up,) = told.handle(link(True), NOON + 63 * MINUTE)
    assert not up.urgent
    assert up.text.endswith("LINK UP again, after 1 h 3 min without fills")
    assert told.due(NOON + 99 * MINUTE) == []


def test_a_short_break_is_nobodys_news() -> None:
    told = choice()
    told.handle(link(True), NOON)
    told.handle(link(False), NOON)
    assert told.handle(link(True), NOON + 4 * MINUTE) == []
    told.handle(link(False), NOON + 4 * MINUTE)
    assert told.due(NOON + 8 * MINUTE) == []


def test_link_never_up_is_sent() -> None:
    """A link that never came up is reported."""
    assert "LINK DOWN for 5 min" in said(choice().due(NOON + 5 * MINUTE))


def test_planned_reset_is_waited_out() -> None:
    """A planned reset is reported only when it is over and the link is not back."""
    over = NOON + 60 * MINUTE
    told = choice(planned=lambda now: "nightly" if now < over else "")
    told.handle(link(True), NOON)
    told.handle(link(False), NOON)
    assert told.due(over - MINUTE) == []
    assert "LINK DOWN for 1 h 0 min" in said(told.due(over))


def test_incomplete_day_is_sent() -> None:
    """An incomplete day is reported when it stays so."""
    told = choice(unproven=lambda now: "the broker forgets the day in 20 minutes")
    told.handle(link(True), NOON)
    assert told.handle(event("unproven", reason="in 21 minutes"), NOON) == []
    assert told.due(NOON + MINUTE / 2) == []
    (notifications,) = told.due(NOON + MINUTE)
    assert notifications.urgent
    assert notifications.text.endswith("INCOMPLETE DAY: the broker forgets the day in 20 minutes")
    assert told.due(NOON + 2 * MINUTE) == []


def test_completed_day_is_not_sent() -> None:
    """As when the tracker starts late in the evening: the first sweep proves the day."""
    told = choice()
    told.handle(link(True), NOON)
    told.handle(event("unproven", reason="in 21 minutes"), NOON)
    assert told.due(NOON + 2 * MINUTE) == []


def test_line_is_bounded_and_masked() -> None:
    """A line is one line of bounded length and masked."""
    details = replace(FILL, what="BUY 1 \x1b[31mX\nY", why="DU1234567 " + "z" * 2000)
    told = choice(fill=details, mask=lambda text: text.replace("1234567", "***67"))
    text = said(told.handle(needs_you(), NOON))
    assert "\n" not in text
    assert "\x1b" not in text
    assert "DU***67" in text
    assert "tracker inbox" in text
    assert len(text) <= LONGEST_LINE + len("17:00:05 UTC ")


def test_digest_has_line_each() -> None:
    """A digest holds a line for each and says what was dropped."""
    assert digest([Notification("a"), Notification("b")]) == ("Order tracker", "a\nb")
    title, body = digest([Notification("a"), Notification("b", urgent=True)], dropped=3)
    assert title == "Order tracker: action needed"
    assert body.splitlines() == ["3 older notifications could not be sent; see `tracker status`", "a", "b"]


def test_trial_says_so() -> None:
    """The trial says that it is one."""
    assert "test" in trial_notification(NOON).text


def store(readable: bool) -> dict[str, JsonValue]:
    return event("store", readable=readable, reason="" if readable else "alerts.json is not there")


def test_unreadable_store_is_reported_once() -> None:
    """Only after 10 s, since a program that rewrites the file in place takes less; its return follows."""
    rules = choice()
    assert rules.handle(store(False), NOON) == []
    assert rules.due(NOON + timedelta(seconds=9)) == []
    assert said(rules.due(NOON + timedelta(seconds=10))) == (
        "17:00:15 UTC ALERT STORE UNREADABLE: alerts.json is not there; fills are kept, and applied once it"
        " can be read"
    )
    assert rules.due(NOON + MINUTE) == []
    assert said(rules.handle(store(True), NOON + 2 * MINUTE)) == (
        "17:02:05 UTC ALERT STORE READABLE again, after 2 min; what waited is applied"
    )


def test_brief_store_outage_is_not_reported() -> None:
    rules = choice()
    assert rules.handle(store(False), NOON) == []
    assert rules.handle(store(True), NOON + timedelta(seconds=1)) == []
    assert rules.due(NOON + MINUTE) == []


def test_undecodable_messages_are_reported_sparingly() -> None:
    """The first at once, those of the next minute by their number."""
    rules = choice()
    reason = "the quantity 'x' is not a number"
    odd = {**event("undecodable"), "kind": "execution", "reason": reason}
    assert said(rules.handle(odd, NOON)) == (
        "17:00:05 UTC SET ASIDE: execution: the quantity 'x' is not a number; it is kept, see `tracker inbox`"
    )
    for _ in range(1000):
        assert rules.handle(odd, NOON + timedelta(seconds=30)) == []
    assert rules.due(NOON + timedelta(seconds=59)) == []
    assert said(rules.due(NOON + MINUTE)) == "17:01:05 UTC SET ASIDE: 1000 more messages; see `tracker inbox`"
    assert rules.due(NOON + 2 * MINUTE) == []
