"""Execution times in every form that a TWS is known to write, and the ones that it might."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.gateway.times import ZONE_NAMES, execution_time, zone_named

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20230224  12:04:56", datetime(2023, 2, 24, 17, 4, 56, tzinfo=UTC)),
        ("20250415  19:38:31", datetime(2025, 4, 15, 23, 38, 31, tzinfo=UTC)),
        ("20230224 12:04:56", datetime(2023, 2, 24, 17, 4, 56, tzinfo=UTC)),
        ("20260413 15:27:04 US/Eastern", datetime(2026, 4, 13, 19, 27, 4, tzinfo=UTC)),
        ("20231115 09:20:44 GB-Eire", datetime(2023, 11, 15, 9, 20, 44, tzinfo=UTC)),
        ("20231115 09:20:44 MET", datetime(2023, 11, 15, 8, 20, 44, tzinfo=UTC)),
        ("20231116-12:15:35", datetime(2023, 11, 16, 12, 15, 35, tzinfo=UTC)),
        ("20231116-12:15:35Z", datetime(2023, 11, 16, 12, 15, 35, tzinfo=UTC)),
        ("20200427-13:00:03 PST", datetime(2020, 4, 27, 20, 0, 3, tzinfo=UTC)),
        ("20251122-15:55:00 UTC", datetime(2025, 11, 22, 15, 55, tzinfo=UTC)),
        ("20251118 10:43:10 PST", datetime(2025, 11, 18, 18, 43, 10, tzinfo=UTC)),
        ("20251118 10:43:10 EST", datetime(2025, 11, 18, 15, 43, 10, tzinfo=UTC)),
        ("20251118 16:43:10 CET", datetime(2025, 11, 18, 15, 43, 10, tzinfo=UTC)),
        ("20251118 21:13:10 India Standard Time", datetime(2025, 11, 18, 15, 43, 10, tzinfo=UTC)),
        ("20251118 16:43:10 Central European Standard Time", datetime(2025, 11, 18, 15, 43, 10, tzinfo=UTC)),
        ("20251118 15:43:10 Greenwich Mean Time", datetime(2025, 11, 18, 15, 43, 10, tzinfo=UTC)),
        ("20250718 16:43:10 British Summer Time", datetime(2025, 7, 18, 15, 43, 10, tzinfo=UTC)),
        ("20251118 18:43:10 GMT+03:00", datetime(2025, 11, 18, 15, 43, 10, tzinfo=UTC)),
        ("2025-11-18 10:43:10.120", datetime(2025, 11, 18, 15, 43, 10, 120000, tzinfo=UTC)),
        ("1763823300", datetime(2025, 11, 22, 14, 55, tzinfo=UTC)),
        ("1763823300250", datetime(2025, 11, 22, 14, 55, 0, 250000, tzinfo=UTC)),
    ],
)
def test_known_form_is_read_into_utc(text: str, expected: datetime) -> None:
    assert execution_time(text, NEW_YORK) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20251122",
        "202511",
        "yesterday",
        "20251322 10:00:00",
        "20251122 25:00:00 US/Eastern",
        "20251122 10:00:00 Mars/Olympus",
        "20251122 10:00:00 America",
        "20251122 10:00:00 ../../etc/passwd",
        "20251122 10:00:00 GMT+99:00",
        "00010101 00:00:00 Asia/Tokyo",
    ],
)
def test_unreadable_form_is_none(text: str) -> None:
    assert execution_time(text, NEW_YORK) is None


@pytest.mark.parametrize("name", sorted(ZONE_NAMES))
def test_every_listed_name_is_a_zone(name: str) -> None:
    assert zone_named(name.title()) is not None


@given(
    st.text(max_size=40) | st.from_regex(r"\d{8}[- ]{1,2}\d\d:\d\d:\d\d ?[A-Za-z+/]{0,12}", fullmatch=True)
)
def test_no_text_raises(text: str) -> None:
    read = execution_time(text, NEW_YORK)
    assert read is None or read.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "zone", "first"),
    [
        ("20261101 01:10:00 US/Eastern", "UTC", datetime(2026, 11, 1, 5, 10, tzinfo=UTC)),
        ("20261025  02:10:00", "Europe/Berlin", datetime(2026, 10, 25, 0, 10, tzinfo=UTC)),
    ],
)
def test_hour_that_is_there_twice(text: str, zone: str, first: datetime) -> None:
    """Summer time ends: the reading that is nearer to the receipt is meant, whatever some minutes' skew."""
    login = ZoneInfo(zone)
    for minutes in (-20, 0, 1, 29):
        assert execution_time(text, login, first + timedelta(minutes=minutes)) == first
        second = first + timedelta(hours=1)
        assert execution_time(text, login, second + timedelta(minutes=minutes)) == second
    assert execution_time(text, login, first + timedelta(hours=8)) == first + timedelta(hours=1)


def test_hour_that_is_not_there_is_read_once() -> None:
    """Summer time begins: no clock shows 02:30, and its two readings are not told apart by the receipt."""
    for minutes in (-90, 0, 90):
        received = datetime(2026, 3, 8, 7, 30, tzinfo=UTC) + timedelta(minutes=minutes)
        read = execution_time("20260308 02:30:00 US/Eastern", NEW_YORK, received)
        assert read == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)
    assert execution_time("never", NEW_YORK, received) is None
