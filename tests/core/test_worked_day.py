"""The worked day of MATCHING.md is played row by row, and each row shows what the page says."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from tests.support.facts import (
    ACCOUNT,
    ALERT,
    Story,
    alert_fields,
    exec_id,
    execution,
    holding,
    matched,
    unmatched,
)
from tests.support.project import PROJECT
from tracker.core.model import AlertId, Source

PAGE = (PROJECT / "tracker/core/MATCHING.md").read_text("utf-8")
ROWS = re.findall(r"^\| (15:\d\d:\d\d) \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", PAGE, re.M)
ALERTS = {
    f"{alerter}/TSLA": AlertId(alerter, "TSLA", ALERT.created_at, None)
    for alerter in ("real-day-trading", "robindahood-alerts")
}
START = 15 * 3600 + 43 * 60
"""The rig's first second of the day."""


def seconds(clock: str) -> int:
    hours, minutes, rest = map(int, clock.split(":"))
    return hours * 3600 + minutes * 60 + rest - START


def play(story: Story, clock: str, what: str) -> None:
    """Tell one row of the page."""
    if found := re.fullmatch(
        r"(?:arrives late: )?order (\d) (buys|sells) (\d) at (\d)(?:, for (no alert|\S+))?", what
    ):
        number, side, quantity, price, owner = found.groups()
        story.decide = matched(ALERTS[owner]) if owner in ALERTS else unmatched
        signed = int(quantity) * (1 if side == "buys" else -1)
        fill = execution(exec_id(int(number)), signed, price, at=seconds(clock), perm_id=int(number))
        story.tell(fill)
    elif found := re.fullmatch(r"(\S+) appears for order (\d)", what):
        story.decide = matched(ALERTS[found[1]])
        story.note(Source.STORE, "rematch", ACCOUNT, exec_id(int(found[2])))
    elif found := re.fullmatch(r"a person gives order (\d) to (\S+)", what):
        alert = alert_fields(ALERTS[found[2]])
        story.note(Source.PERSON, "assign", ACCOUNT, exec_id(int(found[1])), *alert)
    else:
        pytest.fail(f"the page says {what!r}, which no row of this test plays")


def position_of(story: Story, alert: AlertId) -> str:
    for mine in holding(story).alerts:
        if mine.alert == alert:
            return f"{mine.quantity.normalize():f} at {mine.avg_price.normalize():f}"
    return "nothing"


def test_page_has_a_day() -> None:
    assert len(ROWS) == 8


def test_each_row_shows_what_the_page_says() -> None:
    story = Story()
    for clock, what, first, second, free in ROWS:
        play(story, clock, what)
        shown = [position_of(story, alert) for alert in ALERTS.values()]
        left = sum((lot.quantity for lot in holding(story).lots if not lot.owners), Decimal(0))
        assert [*shown, f"{left:f}"] == [first, second, free], what
