"""An alert's expiry is read as the person who wrote it meant it, or said to be unusable."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.expiry import read_expiry
from tracker.core.model import NO_EXPIRY, ExpiryKind

CREATED = date(2025, 11, 18)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("1121", date(2025, 11, 21)),
        ("11/21", date(2025, 11, 21)),
        ("1/3", date(2026, 1, 3)),
        ("01/03", date(2026, 1, 3)),
        ("11-21", date(2025, 11, 21)),
        ("11/21/2025", date(2025, 11, 21)),
        ("1/3/26", date(2026, 1, 3)),
        ("20251121", date(2025, 11, 21)),
        ("20251121 08:30:00 US/Central", date(2025, 11, 21)),
        ("2025-11-21", date(2025, 11, 21)),
        ("2025-11-21T00:00:00", date(2025, 11, 21)),
        ("25OCT2025", date(2025, 10, 25)),
        ("25OCT25", date(2025, 10, 25)),
        ("25-Oct-2025", date(2025, 10, 25)),
        ("21NOV", date(2025, 11, 21)),
        ("Oct 25 2025", date(2025, 10, 25)),
        ("October 25, 2025", date(2025, 10, 25)),
        ("Nov 5", date(2026, 11, 5)),
        ("  11/21  ", date(2025, 11, 21)),
        (1121, date(2025, 11, 21)),
        (20251121, date(2025, 11, 21)),
    ],
)
def test_day_is_read_in_every_form(text: object, day: date) -> None:
    """A day is read in every form that people write."""
    expiry = read_expiry(text, CREATED)
    assert (expiry.kind, expiry.day, expiry.month) == (ExpiryKind.DAY, day, None)
    assert expiry.text == str(text).strip()
    assert expiry.usable


@pytest.mark.parametrize(
    ("text", "created", "day"),
    [
        ("1118", date(2025, 11, 18), date(2025, 11, 18)),
        ("1117", date(2025, 11, 18), date(2026, 11, 17)),
        ("1119", date(2025, 11, 18), date(2025, 11, 19)),
        ("1/1", date(2025, 12, 31), date(2026, 1, 1)),
        ("12/31", date(2025, 12, 31), date(2025, 12, 31)),
        ("12/31", date(2026, 1, 1), date(2026, 12, 31)),
        ("02/29", date(2027, 6, 1), date(2028, 2, 29)),
        ("02/29", date(2028, 2, 29), date(2028, 2, 29)),
    ],
)
def test_day_without_year_is_the_next(text: str, created: date, day: date) -> None:
    """A day without a year is the next one on or after the day of writing."""
    assert read_expiry(text, created).day == day


@pytest.mark.parametrize(
    "text",
    [
        "02/30",
        "1332",
        "1100",
        "0/5",
        "20251301",
        "11/21/2025x",
        "125",
        "251121",
        "soon",
        "N/A",
        "OCTOPUS25",
        "31NOV2025",
        "02/29/2025",
        "\u0663/\u0664",
        3.5,
        True,
        ["11/21"],
        {"expiry": "11/21"},
        -1121,
    ],
)
def test_text_without_day_is_unusable(text: object) -> None:
    """What names no day is unusable and kept as written."""
    expiry = read_expiry(text, CREATED)
    assert expiry.kind is ExpiryKind.UNUSABLE
    assert expiry.text == str(text)
    assert not expiry.usable


def test_impossible_leap_day_is_unusable() -> None:
    """A leap day that neither this year nor the next has is unusable."""
    assert read_expiry("02/29", date(2025, 1, 1)).kind is ExpiryKind.UNUSABLE
    assert read_expiry("02/29", date(2024, 3, 1)).kind is ExpiryKind.UNUSABLE


def test_day_without_year_needs_writing_day() -> None:
    """A day without a year cannot be resolved without the day of writing."""
    assert read_expiry("11/21", None).kind is ExpiryKind.UNUSABLE
    assert read_expiry("11/21/2025", None).day == date(2025, 11, 21)


def test_last_year_of_calendar_has_no_next() -> None:
    assert read_expiry("01/01", date(9999, 12, 31)).kind is ExpiryKind.UNUSABLE


@pytest.mark.parametrize("text", [None, "", "   "])
def test_nothing_written_is_no_expiry(text: object) -> None:
    assert read_expiry(text, CREATED) == NO_EXPIRY


@pytest.mark.parametrize("text", ["OCT25", "Oct 25", "october 25", "Oct25"])
def test_month_with_two_digits_keeps_both_readings(text: str) -> None:
    expiry = read_expiry(text, date(2025, 10, 20))
    assert expiry.kind is ExpiryKind.MONTH
    assert expiry.day == date(2025, 10, 25)
    assert expiry.month == (2025, 10)


def test_month_as_day_follows_year_rule() -> None:
    """The day reading of a month follows the rule of days without a year."""
    assert read_expiry("OCT25", date(2025, 10, 25)).day == date(2025, 10, 25)
    assert read_expiry("OCT25", date(2025, 10, 26)).day == date(2026, 10, 25)
    assert read_expiry("OCT25", None).day is None


@pytest.mark.parametrize(
    ("text", "month"),
    [("OCT32", (2032, 10)), ("FEB30", (2030, 2)), ("Oct 2025", (2025, 10)), ("OCT2025", (2025, 10))],
)
def test_month_with_impossible_day_is_month(text: str, month: tuple[int, int]) -> None:
    """A month whose digits are no day of it is a month only."""
    expiry = read_expiry(text, CREATED)
    assert (expiry.kind, expiry.day, expiry.month) == (ExpiryKind.MONTH, None, month)


def test_endless_text_is_cut_short() -> None:
    assert len(read_expiry("x" * 100_000, CREATED).text) <= 80
    assert len(read_expiry(["x" * 100_000], CREATED).text) <= 80


@given(
    st.one_of(st.text(max_size=12), st.integers(), st.floats(), st.none(), st.lists(st.text())), st.dates()
)
def test_no_text_makes_the_reader_fail(text: object, created: date) -> None:
    expiry = read_expiry(text, created)
    assert expiry.usable == (expiry.day is not None or expiry.month is not None)


@given(st.dates(date(2001, 1, 1), date(2090, 1, 1)), st.integers(min_value=0, max_value=364))
def test_days_survive_losing_their_year(created: date, ahead: int) -> None:
    """Every day within a year survives being written without its year."""
    day = date.fromordinal(created.toordinal() + ahead)
    for text in (f"{day:%m%d}", f"{day.month}/{day.day}", f"{day:%m/%d}"):
        assert read_expiry(text, created).day == day
    for text in (f"{day:%m/%d/%Y}", f"{day.month}/{day.day}/{day:%y}", f"{day:%Y%m%d}", day.isoformat()):
        assert read_expiry(text, None).day == day
