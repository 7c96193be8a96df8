"""The day is summed up once, at its hour, and reported: with the clock and the notifier in hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.daemon.test_end_to_end import ROBIN, play
from tests.sim.clock import NEW_YORK, SimClock
from tests.support.answer_rig import Desk, buy, record
from tests.support.daemon_rig import Rig
from tests.support.daemon_rig import record as new_record
from tests.support.facts import NVDA, exec_id, fee
from tests.support.webhook import Webhook
from tracker.clock import now
from tracker.core.model import JsonValue, Moment
from tracker.core.state import GAPS
from tracker.core.state_rows import Gap
from tracker.daemon.daily_report import DailyReport
from tracker.journal.journal import Journal
from tracker.queries.day_report import report
from tracker.queries.lookup import needing_decision
from tracker.status.protocol import CommandError

DAY = timedelta(days=1)


class Teller:
    """A daemon's report over a real journal; what is told is kept."""

    def __init__(self, desk: Desk, at: time = time(), zone: tzinfo = NEW_YORK) -> None:
        self.clock = SimClock()
        self.told: list[dict[str, JsonValue]] = []
        self.trouble = ""
        self._desk = desk
        self.daily = DailyReport(
            at,
            zone,
            reported=self._reported,
            keep=lambda until: desk.journal.set_meta("reported_until", until.isoformat()),
            sum_up=self._sum_up,
            pass_on=self.told.append,
            now=self.clock.now,
        )
        self.look()

    def _reported(self) -> datetime | None:
        text = self._desk.journal.meta("reported_until")
        return None if text is None else datetime.fromisoformat(text)

    async def _sum_up(self, since: datetime, until: datetime) -> Mapping[str, Any]:
        if self.trouble:
            raise CommandError("journal_failed", self.trouble)
        journal = self._desk.journal
        waiting = len(needing_decision(journal.state))
        return {**report(journal, self._desk.names, since, until), "needs_you": waiting}

    def look(self) -> None:
        asyncio.run(self.daily.look())

    def pass_until(self, moment: datetime, step: timedelta = timedelta(minutes=10)) -> None:
        """Let time pass, and have the daemon look every few minutes."""
        while self.clock.now() < moment:
            self.clock.advance(min(step, moment - self.clock.now()).total_seconds())
            self.look()

    def says(self) -> list[str]:
        return [str(event["says"]) for event in self.told]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Return a desk where 4 were bought at 2.50 and sold at 3.25, for 2.60 each, at 10:43 in New York."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        sale = buy(2, -4, price="3.25")
        desk.tell(buy(1, 4), sale, fee(exec_id(1), "2.6"), fee(exec_id(2), "2.6"))
        yield desk


SUMS = "1 round trip, 1 won (100%); profit 300, fees 5.2, net 294.8 USD"


def test_day_is_told_at_midnight(desk: Desk) -> None:
    """Once, a minute after midnight in New York; the next day, on which nothing happened, is not."""
    teller = Teller(desk)
    midnight = datetime(2025, 11, 19, 5, 0, tzinfo=UTC)
    teller.pass_until(midnight + timedelta(seconds=59))
    assert teller.told == []
    teller.pass_until(midnight + 3 * DAY)
    assert teller.says() == [f"of 2025-11-18: {SUMS}"]
    (event,) = teller.told
    assert (event["event"], event["since"], event["until"]) == (
        "report",
        "2025-11-18T05:00:00.000000+00:00",
        "2025-11-19T05:00:00.000000+00:00",
    )


def test_set_hour_loses_nothing_behind_it(desk: Desk) -> None:
    """At 10:43 of each day: the round trip of that very minute is in the next day's report."""
    teller = Teller(desk, time(10, 43))
    teller.pass_until(datetime(2025, 11, 21, 0, 0, tzinfo=UTC))
    assert teller.says() == [f"from 2025-11-18 10:43 to 2025-11-19 10:43: {SUMS}"]


def test_days_without_a_tracker_are_in_the_next_report(desk: Desk) -> None:
    """It was down from the 18th to the 21st: one report is about all of it, also after a further start."""
    Teller(desk)
    back = Teller(desk)
    back.clock.advance(3 * 86400)
    back.look()
    again = Teller(desk)
    again.clock.advance(3 * 86400)
    again.look()
    assert back.says() == [f"of 2025-11-18 to 2025-11-20: {SUMS}"]
    assert again.says() == []


def test_first_start_has_nothing_to_tell(desk: Desk) -> None:
    """What was before it is nobody's report."""
    teller = Teller(desk, time(12, 0), ZoneInfo("UTC"))
    assert teller.told == []
    assert desk.journal.meta("reported_until") == "2025-11-18T12:00:00+00:00"


def test_unreadable_journal_is_tried_again(desk: Desk) -> None:
    teller = Teller(desk)
    teller.trouble = "the journal is being copied"
    teller.pass_until(datetime(2025, 11, 19, 6, 0, tzinfo=UTC))
    assert teller.told == []
    teller.trouble = ""
    teller.look()
    assert teller.says() == [f"of 2025-11-18: {SUMS}"]


def test_what_wants_a_person_is_told(tmp_path: Path) -> None:
    """A fill in the inbox, a day with a gap, and what is open; a quiet day is told for those alone."""
    later = NVDA.__class__(7, "NVDA", "OPT", date(2025, 11, 28), NVDA.strike, "C", "100", "USD")
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4), buy(2, 1, contract=later))
        with desk.journal.step() as advance:
            desk.journal.state.put(GAPS, Gap(date(2025, 11, 17), Moment(desk.now, 1)))
            advance(desk.journal.cursor)
        teller = Teller(desk)
        teller.pass_until(datetime(2025, 11, 20, 6, 0, tzinfo=UTC))
    rest = "1 fill in the inbox; fills may be missing on 2025-11-17; 1 position open"
    assert teller.says() == [
        f"of 2025-11-18: 0 round trips; profit 0, fees 0, net 0 USD; {rest}",
        f"of 2025-11-19: {rest}",
    ]


@pytest.mark.parametrize(
    ("first", "hours"), [(date(2025, 3, 9), 23), (date(2025, 11, 2), 25), (date(2025, 6, 1), 24)]
)
def test_days_of_a_clock_change_are_whole(tmp_path: Path, first: date, hours: int) -> None:
    """From midnight to midnight, in spring 23 hours and in autumn 25."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        told = Teller(desk).told
        spans: list[tuple[datetime, datetime]] = []

        async def sum_up(since: datetime, until: datetime) -> dict[str, Any]:
            spans.append((since, until))
            return {"total": [], "alerters": [], "open": [], "gaps": [], "needs_you": 0}

        begin = datetime.combine(first, time(12), NEW_YORK).astimezone(UTC)
        moment = begin
        kept: list[datetime] = []
        daily = DailyReport(
            time(),
            NEW_YORK,
            reported=lambda: kept[-1] if kept else None,
            keep=kept.append,
            sum_up=sum_up,
            pass_on=told.append,
            now=lambda: moment,
        )
        for _ in range(2):
            asyncio.run(daily.look())
            moment = begin + timedelta(hours=24)
    ((since, until),) = spans
    assert since.astimezone(NEW_YORK).date() == first
    assert until - since == timedelta(hours=hours)


def test_daemon_sends_the_report(tmp_path: Path) -> None:
    """What fell due while it was down comes after the start, as message and log line."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": new_record()}})
        await rig.start("--gateway.timezone", "UTC")
        assert await rig.stop() == 0
        journal = Journal(rig.folder / "journal.db")
        day = now().date() - 10 * DAY
        with journal.step():
            journal.state.put(GAPS, Gap(day, Moment(now(), 1)))
        journal.set_meta("reported_until", (now() - DAY).isoformat())
        journal.close()
        hour = f"{now() - timedelta(minutes=2):%H:%M}"
        options = ("--gateway.timezone", "UTC", "--notify.urls", hook.url, "--notify.report_at", hour)
        await rig.start(*options)
        await rig.until(lambda: hook.said("REPORT"))
        assert f"fills may be missing on {day}" in hook.lines()[0]
        await rig.logged("report from")

    with Webhook() as hook:
        play(tmp_path, story)
    assert len([line for line in hook.lines() if "REPORT" in line]) == 1
