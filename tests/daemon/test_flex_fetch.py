"""The running tracker fetches a Flex report once in the morning while a day is not proven."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from tests.support.daemon_rig import Rig
from tests.support.flex_report import ACCOUNT, statement
from tests.support.flex_web import QUERY, TOKEN, FlexWeb
from tests.support.reconcile_rig import CONTRACTS, ROBIN, alert_of, play, reconcile, traded
from tracker.clock import now
from tracker.core.model import Moment
from tracker.core.state import GAPS
from tracker.core.state_rows import Gap
from tracker.daemon.flex_fetch import MorningFetch
from tracker.gateway.flex_dates import NEW_YORK
from tracker.gateway.flex_service import FlexService
from tracker.journal.journal import Journal
from tracker.reconcile.flex_import import FlexImport
from tracker.status.protocol import CommandError

TUESDAY, WEDNESDAY = date(2025, 11, 18), date(2025, 11, 19)


def look(folder: Path, web: FlexWeb, *moments: datetime, gaps: list[date], fails: str = "") -> list[str]:
    """Look for a gap at these moments; returns what was logged."""
    said: list[str] = []
    at = moments[0]

    async def take_in(path: Path) -> FlexImport:
        if fails:
            raise CommandError("bad_request", fails)
        return FlexImport(3, new=2, closes=[TUESDAY], waiting=[WEDNESDAY])

    async def main() -> None:
        nonlocal at
        async with web.serving():
            fetching = MorningFetch(
                FlexService(web.base_url, QUERY, TOKEN, pause=0.001),
                folder / "flex-report.xml",
                open_gaps=lambda: gaps,
                take_in=take_in,
                now=lambda: at,
            )
            for moment in moments:
                at = moment
                await fetching.look()

    sink = logger.add(lambda message: said.append(message.record["message"]), level="INFO")
    try:
        asyncio.run(main())
    finally:
        logger.remove(sink)
    return said


def morning(day: int, clock: str) -> datetime:
    return datetime.fromisoformat(f"2025-11-{day}T{clock}:00").replace(tzinfo=NEW_YORK).astimezone(UTC)


def test_one_report_a_morning(tmp_path: Path) -> None:
    """After seven in New York, once, and again the next morning while the gap is open."""
    web = FlexWeb()
    moments = [morning(19, "06:59"), morning(19, "07:00"), morning(19, "07:01"), morning(20, "07:00")]
    said = look(tmp_path, web, *moments[:1], gaps=[TUESDAY])
    assert (web.asked, said) == ([], [])
    said = look(tmp_path, web, *moments, gaps=[TUESDAY])
    assert [name for name, _ in web.asked] == ["SendRequest", "GetStatement"] * 2
    assert said[:3] == [
        "fetching a Flex report, since fills may be missing on 2025-11-18",
        "imported a Flex report: 2 new of 3 executions, 0 voided; proven by it: 2025-11-18",
        "not proven yet: 2025-11-19; a report ends at 20:20 New York, the next one is fetched tomorrow",
    ]


def test_nothing_is_asked_without_a_gap(tmp_path: Path) -> None:
    web = FlexWeb()
    assert look(tmp_path, web, morning(19, "08:00"), gaps=[]) == []
    assert web.asked == []


@pytest.mark.parametrize(
    ("web", "fails", "words"),
    [
        (FlexWeb(send=["1012"]), "", "the token has expired; make a new one"),
        (FlexWeb(), "it lacks Conid", "it lacks Conid"),
    ],
)
def test_failure_is_logged_once_a_day(tmp_path: Path, web: FlexWeb, fails: str, words: str) -> None:
    moments = [morning(19, "08:00"), morning(19, "09:00")]
    said = look(tmp_path, web, *moments, gaps=[TUESDAY], fails=fails)
    assert len(said) == 2
    assert said[1].startswith("no Flex report was imported: ")
    assert words in said[1]
    assert TOKEN not in said[1]


def quiet_days(rig: Rig) -> tuple[date, str]:
    """Plant a gap of days ago while the tracker is stopped; returns it, and a report that covers it."""
    day = (now() - timedelta(days=8)).date()
    journal = Journal(rig.folder / "journal.db")
    with journal.step():
        journal.state.put(GAPS, Gap(day, Moment(now(), 1)))
    journal.close()
    made = statement(first=day - timedelta(days=4), last=day + timedelta(days=4))
    return day, f"<FlexQueryResponse><FlexStatements>{made}</FlexStatements></FlexQueryResponse>"


async def stopped_with_a_gap(rig: Rig, web: FlexWeb) -> date:
    rig.write({ROBIN: {"NVDA": alert_of("NVDA")}})
    await traded(rig, "NVDA")
    assert await rig.stop() == 0
    # The broker holds something else than the tracker knows, so that positions leave the gap open.
    rig.gateway.set_position(ACCOUNT, CONTRACTS["AMD"], 9, push=False)
    day, web.report = quiet_days(rig)
    rig.options = ["--flex.query_id", QUERY, "--flex.base_url", web.base_url, "--gateway.timezone", "UTC"]
    return day


def test_running_tracker_closes_the_gap(tmp_path: Path) -> None:
    """It fetches by itself, says so, and neither log nor status holds the token."""

    async def story(rig: Rig) -> None:
        web = FlexWeb(get=["1019"])
        async with web.serving():
            await stopped_with_a_gap(rig, web)
            await rig.start(env={"TRACKER_FLEX__TOKEN": TOKEN})
            if now().astimezone(NEW_YORK).hour < 7:
                assert web.asked == []
                return
            await rig.logged("proven by it")
            assert [name for name, _ in web.asked] == ["SendRequest", "GetStatement", "GetStatement"]
            gaps: dict[str, Any] = await rig.ask("gaps")
            assert gaps["open"] == 0
            assert TOKEN not in rig.log() + str(await rig.status())

    play(tmp_path, story)


@pytest.mark.parametrize("running", [True, False])
def test_person_fetches_a_report(tmp_path: Path, running: bool) -> None:
    """`tracker flex fetch` closes the gap, whether a tracker runs or not."""

    async def story(rig: Rig) -> None:
        web = FlexWeb()
        async with web.serving():
            day = await stopped_with_a_gap(rig, web)
            options = [*rig.options]
            if running:
                rig.options = []
                await rig.start("--gateway.timezone", "UTC")
            words = (*options, "--flex.token", TOKEN)
            planned = await reconcile(rig, *words, "--dry-run", command=("flex", "fetch"))
            assert planned.answer["dry_run"]
            done = await reconcile(rig, *words, command=("flex", "fetch"))
            assert planned.answer["imported"] == done.answer["imported"]
            assert done.answer["imported"]["closed_gaps"] == [day.isoformat()]
            assert TOKEN not in str(done.answer)

    play(tmp_path, story)


def test_fetch_without_settings_says_which(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        for options, key in (([], "token"), (["--flex.token", TOKEN], "query_id")):
            done = await reconcile(rig, *options, command=("flex", "fetch"))
            assert done.code == 2
            assert f"flex.{key} is empty (default of [flex] {key})" in done.answer["error"]["message"]

    play(tmp_path, story)
