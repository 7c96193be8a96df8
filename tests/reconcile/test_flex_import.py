"""A gap closes once the hours of all imported reports cover its day, for every account of the login."""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.support.flex_desk import FlexDesk
from tests.support.flex_report import ACCOUNT, statement, trade, write_report
from tracker.core.model import Moment
from tracker.core.state import GAPS, LINKS
from tracker.core.state_rows import Gap, LoginState
from tracker.gateway.flex import read_report
from tracker.journal.journal import Journal
from tracker.reconcile.flex_import import FlexImporter

NEW_YORK = ZoneInfo("America/New_York")
OTHER = "DU9000001"
LAST_MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = (date(2025, 11, day) for day in range(17, 22))
SATURDAY, MONDAY = date(2025, 11, 22), date(2025, 11, 24)


def plant(journal: Journal, *days: date, accounts: tuple[str, ...] = (ACCOUNT,)) -> None:
    """Leave days unproven."""
    at = datetime(2025, 11, 26, tzinfo=UTC)
    with journal.step():
        journal.state.put(LINKS, LoginState(accounts, severed=False, judged=TUESDAY))
        for day in days:
            journal.state.put(GAPS, Gap(day, Moment(at, 1)))


def imported(
    journal: Journal, folder: Path, *spans: tuple[date, date], account: str = ACCOUNT, zone: tzinfo = NEW_YORK
) -> tuple[list[date], list[date], int]:
    """Import reports of these trade dates; returns what closes, what waits, and how many frames came."""
    made = [statement(first=first, last=last, account=account) for first, last in spans]
    importer = FlexImporter(journal, read_report(write_report(folder / "flex.xml", *made)), zone)
    frames = [frame for batch in importer.batches() for frame in batch]
    found = importer.result
    if frames:
        journal.append(1, datetime(2025, 11, 26, tzinfo=UTC), frames)
    # The pump closes what the journal says.
    with journal.step():
        for day in found.closes:
            journal.state.put(
                GAPS, Gap(day, Moment(datetime(2025, 11, 26, tzinfo=UTC), 1), closed_how="flex")
            )
    return found.closes, found.waiting, len(frames)


def test_evening_is_in_the_next_report(journal: Journal, tmp_path: Path) -> None:
    """The report of a day leaves it open, and that of the next trade date, days later, closes it."""
    plant(journal, TUESDAY)
    assert imported(journal, tmp_path, (TUESDAY, TUESDAY)) == ([], [TUESDAY], 1)
    assert imported(journal, tmp_path, (TUESDAY, TUESDAY)) == ([], [TUESDAY], 0)
    assert imported(journal, tmp_path, (WEDNESDAY, WEDNESDAY)) == ([TUESDAY], [], 2)


def test_order_of_reports_does_not_matter(journal: Journal, tmp_path: Path) -> None:
    plant(journal, TUESDAY, WEDNESDAY)
    assert imported(journal, tmp_path, (WEDNESDAY, WEDNESDAY))[:2] == ([], [TUESDAY, WEDNESDAY])
    assert imported(journal, tmp_path, (TUESDAY, TUESDAY))[:2] == ([TUESDAY], [])


def test_range_closes_all_but_its_last_day(journal: Journal, tmp_path: Path) -> None:
    """Also where it comes as a statement for each day."""
    plant(journal, TUESDAY, WEDNESDAY, THURSDAY)
    days = [(day, day) for day in (TUESDAY, WEDNESDAY, THURSDAY)]
    assert imported(journal, tmp_path, *days)[:2] == ([TUESDAY, WEDNESDAY], [THURSDAY])


def test_weekend_is_in_mondays_report(journal: Journal, tmp_path: Path) -> None:
    plant(journal, FRIDAY, SATURDAY)
    assert imported(journal, tmp_path, (FRIDAY, FRIDAY))[:2] == ([], [FRIDAY])
    assert imported(journal, tmp_path, (MONDAY, MONDAY))[:2] == ([FRIDAY, SATURDAY], [])


def test_missing_day_in_between_stays_open(journal: Journal, tmp_path: Path) -> None:
    plant(journal, TUESDAY, WEDNESDAY)
    imported(journal, tmp_path, (TUESDAY, TUESDAY))
    assert imported(journal, tmp_path, (THURSDAY, THURSDAY))[:2] == ([], [WEDNESDAY])


def test_every_account_is_needed(journal: Journal, tmp_path: Path) -> None:
    plant(journal, TUESDAY, accounts=(ACCOUNT, OTHER))
    assert imported(journal, tmp_path, (TUESDAY, WEDNESDAY))[:2] == ([], [TUESDAY])
    assert imported(journal, tmp_path, (TUESDAY, WEDNESDAY), account=OTHER)[:2] == ([TUESDAY], [])


def test_day_that_a_person_accepted_is_proven_too(journal: Journal, tmp_path: Path) -> None:
    """Once; a part of it is not waited for, since nothing is open."""
    plant(journal, TUESDAY)
    at = datetime(2025, 11, 26, tzinfo=UTC)
    with journal.step():
        journal.state.put(GAPS, Gap(TUESDAY, Moment(at, 1), closed_how="person"))
    assert imported(journal, tmp_path, (TUESDAY, TUESDAY))[:2] == ([], [])
    assert imported(journal, tmp_path, (WEDNESDAY, WEDNESDAY))[:2] == ([TUESDAY], [])
    assert imported(journal, tmp_path, (WEDNESDAY, WEDNESDAY))[:2] == ([], [])


@pytest.mark.parametrize(
    ("zone", "closes"), [("Asia/Tokyo", [TUESDAY]), ("Europe/Berlin", [TUESDAY]), ("America/Los_Angeles", [])]
)
def test_day_is_the_logins(journal: Journal, tmp_path: Path, zone: str, closes: list[date]) -> None:
    """Tuesday of Tokyo or Berlin is over before New York's evening, that of Los Angeles is not."""
    plant(journal, TUESDAY)
    assert imported(journal, tmp_path, (LAST_MONDAY, TUESDAY), zone=ZoneInfo(zone))[0] == closes


def test_rows_are_looked_up_together(tmp_path: Path) -> None:
    """A row more costs no query more: neither as it is compared, nor as it is decided."""
    rows = [
        trade(ibExecID=f"0000e0d5.{number:08x}.01.01", tradeID=str(number), transactionID=str(number))
        for number in range(1, 201)
    ]
    asked: list[str] = []
    with FlexDesk(tmp_path) as desk:
        desk.connect()
        desk.journal._db.set_trace_callback(asked.append)
        assert desk.take_in(statement(*rows, first=TUESDAY, last=TUESDAY)).new == len(rows)
    queries = [each for each in asked if each.startswith("SELECT") and "json_each" not in each]
    assert len(queries) < len(rows) // 2
